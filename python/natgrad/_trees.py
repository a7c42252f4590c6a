"""Names, shapes and types of the leaves of pytrees."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._errors import ModelError

#: JAX's types, and what the folder of a model calls them.
TYPES = {
    "float64": "f64",
    "float32": "f32",
    "bfloat16": "bf16",
    "float16": "f16",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "uint16": "u16",
    "uint32": "u32",
    "uint64": "u64",
    "bool": "bool",
}

FLOATS = ("f64", "f32", "bf16", "f16")

#: What to write for a type that a folder cannot have.
_CONVERSIONS = {
    "int4": "jnp.int32",
    "uint4": "jnp.int32",
    "complex64": "jnp.float32, real and imaginary parts as two arrays",
    "complex128": "jnp.float64, real and imaginary parts as two arrays",
}


@dataclass(frozen=True)
class Leaf:
    """A named array of a tree."""

    name: str
    path: str
    shape: tuple[int, ...]
    type: str

    def __str__(self) -> str:
        return f"{self.path}, {self.type}{list(self.shape)}"

    def entry(self) -> dict[str, Any]:
        """What `model.json` says of it."""
        return {"name": self.name, "shape": list(self.shape), "type": self.type}

    def struct(self) -> jax.ShapeDtypeStruct:
        """Its shape and type, for JAX."""
        return jax.ShapeDtypeStruct(self.shape, dtype(self.type))


@dataclass(frozen=True)
class Tree:
    """The leaves of a pytree, and how to put them together again."""

    leaves: tuple[Leaf, ...]
    treedef: Any

    def unflatten(self, values: Any) -> Any:
        """The tree with other leaves."""
        return jax.tree_util.tree_unflatten(self.treedef, list(values))

    def names(self) -> list[str]:
        """The names, in the order of the leaves."""
        return [leaf.name for leaf in self.leaves]


def dtype(type_: str) -> np.dtype:
    """NumPy's type by the folder's name."""
    return np.dtype(next(jnp.dtype(jax_name) for jax_name, name in TYPES.items() if name == type_))


def _key(key: Any) -> str:
    """A step of a path, as it stands in names."""
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _is_wrapper(key: Any) -> bool:
    """Whether a step leads into a variable of Flax: its `value` is no name of the model's."""
    return isinstance(key, jax.tree_util.GetAttrKey) and key.name in ("value", "raw_value")


def name_of(path: tuple[Any, ...], bare: str, sequence: str | None = None) -> str:
    """The name of a leaf: the steps of its path, joined by dots.

    `bare` is the name of an array that is the whole tree; `sequence` goes before the number of a part, where the whole tree is a sequence.
    """
    if len(path) > 1 and _is_wrapper(path[-1]):
        path = path[:-1]
    if not path:
        return bare
    parts = [re.sub(r"[^A-Za-z0-9_.]", "_", _key(key)) or "_" for key in path]
    if sequence is not None and isinstance(path[0], jax.tree_util.SequenceKey):
        parts[0] = f"{sequence}_{parts[0]}"
    name = ".".join(parts)
    return f"p{name}" if name[0].isdigit() else name


def type_name(leaf: Any, path: str) -> str:
    """The type of an array, as the folder calls it."""
    found = str(jnp.dtype(leaf.dtype)) if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else "key"
    if found in TYPES:
        return TYPES[found]
    if found == "key":
        advice = "keys of random numbers come from natgrad: take one as the last argument of the loss, with key=True"
    else:
        advice = f"convert it, with .astype({_CONVERSIONS.get(found, 'jnp.float32')})"
    raise ModelError(f"{path} has the type {found} and the shape {list(leaf.shape)}; a model of natgrad's takes {', '.join(TYPES)}: {advice}")


def tree_of(tree: Any, root: str, bare: str, sequence: str | None = None, any_type: bool = False) -> tuple[Tree, list[Any]]:
    """The named leaves of a pytree, and their values. `root` is what messages call the whole tree.

    With `any_type`, types that a folder cannot have go through under JAX's names.
    """
    found, treedef = jax.tree_util.tree_flatten_with_path(tree)
    leaves, values = [], []
    paths: dict[str, str] = {}
    for path, value in found:
        place = root + jax.tree_util.keystr(path)
        if not hasattr(value, "dtype") and not isinstance(value, (bool, int, float)):
            raise ModelError(
                f"{place} is {_kind(value)}, and must be an array: keep what is no array outside of the tree (as equinox.partition does)"
            )
        if not isinstance(value, (jax.Array, jax.ShapeDtypeStruct)):
            value = _array(value, place)
        name = name_of(path, bare, sequence)
        if name in paths:
            raise ModelError(f"{place} and {paths[name]} both have the name {name!r}: give one of them another key")
        paths[name] = place
        leaves.append(Leaf(name, place, tuple(value.shape), str(value.dtype) if any_type else type_name(value, place)))
        values.append(value)
    return Tree(tuple(leaves), treedef), values


def _array(value: Any, place: str) -> Any:
    """An array of NumPy's or of another library, with the type that JAX gives it."""
    try:
        value = np.asarray(value)
    except Exception as error:
        raise ModelError(f"{place} is {_kind(value)}, and cannot be read as an array: {error}") from None
    if value.dtype.kind in "OSUMm" or value.dtype.names:
        raise ModelError(f"{place} is an array of {value.dtype}, and must be one of numbers")
    if value.dtype.byteorder == ">":
        value = value.astype(value.dtype.newbyteorder("="))
    wanted = jax.dtypes.canonicalize_dtype(value.dtype)
    return value if value.dtype == wanted else value.astype(wanted)


def _kind(value: Any) -> str:
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"a {module}{kind.__qualname__}"


def check_same(expected: Tree, tree: Any, root: str, bare: str, sequence: str | None = None) -> list[Any]:
    """The values of a tree that must have the paths, shapes and types of another."""
    found, values = tree_of(tree, root, bare, sequence)
    wanted = {leaf.name: leaf for leaf in expected.leaves}
    given = {leaf.name: leaf for leaf in found.leaves}
    for name, leaf in wanted.items():
        if name not in given:
            others = ", ".join(sorted(given.keys() - wanted.keys()))
            raise ModelError(f"{leaf.path} is missing ({leaf.type}{list(leaf.shape)})" + (f"; there is {others}" if others else ""))
    for name, leaf in given.items():
        if name not in wanted:
            raise ModelError(f"{leaf} is not in the tree that the model was made with, which has {', '.join(sorted(wanted))}")
        want = wanted[name]
        if leaf.shape != want.shape or leaf.type != want.type:
            raise ModelError(f"{leaf.path} is {leaf.type}{list(leaf.shape)}, and must be {want.type}{list(want.shape)}")
    by_name = dict(zip(given, values, strict=True))
    return [by_name[name] for name in wanted]
