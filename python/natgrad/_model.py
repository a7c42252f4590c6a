"""A model that is written as a function of JAX: what it takes and gives, and its StableHLO."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import _safetensors
from ._errors import ModelError
from ._mlir import stablehlo_version, text_of
from ._trees import FLOATS, TYPES, Tree, check_same, dtype, tree_of

#: The version of the folder's format.
FORMAT = 1

TASKS = ("classes", "tokens", "numbers")

CURVATURE = ("squared_gradients", "hessian_vector")


class Model:
    """A loss and all that is known of it."""

    def __init__(
        self,
        loss: Callable[..., Any],
        params: Any,
        batch: Any,
        *,
        predict: Callable[..., Any] | None = None,
        task: str | None = None,
        labels: str | int | None = None,
        noise: float | None = None,
        carried: Any = None,
        key: bool = False,
        rows: int | None = None,
        name: str | None = None,
        platform: str = "cpu",
        custom_calls: Sequence[str] = (),
    ) -> None:
        self.loss, self.predictor = loss, predict
        self.platform, self.custom_calls = platform, tuple(custom_calls)
        self.name = name or getattr(loss, "__name__", "loss").strip("<>")
        self.parameters, self.values = tree_of(params, "params", "parameter")
        if not self.parameters.leaves:
            raise ModelError("params has no array in it")
        for leaf in self.parameters.leaves:
            if leaf.type not in FLOATS:
                raise ModelError(f"{leaf.path} is {leaf.type}{list(leaf.shape)}, and has no gradient: parameters are of floats; give it as carried=, or close over it")
        self.batch, self.batch_values = tree_of(batch, "batch", "input", "input")
        if not self.batch.leaves:
            raise ModelError("batch has no array in it")
        self.has_carried = carried is not None
        self.carried, self.carried_values = tree_of(carried, "carried", "carried", "carried")
        for leaf in self.carried.leaves:
            if leaf.type not in FLOATS:
                raise ModelError(f"{leaf.path} is {leaf.type}{list(leaf.shape)}: carried state is of floats; convert it, with .astype(jnp.float32)")
        self.rows, self.is_row_wise = self._find_rows(rows)
        self.labels = self._find_labels(batch, labels)
        self.task, self.noise = self._check_task(task, noise)
        self.seed = self._seed(key)
        #: Filled in when the loss is traced.
        self.metrics: list[str] | None = None
        self.loss_type: str | None = None
        self._shape_of_loss()
        self.prediction = self._shape_of_prediction()

    # What the arguments say.

    def _find_rows(self, rows: int | None) -> tuple[int, dict[str, bool]]:
        with_rows = [leaf for leaf in self.batch.leaves if leaf.shape]
        if rows is None:
            if not with_rows:
                raise ModelError("batch has no array with rows: all of its arrays are single numbers")
            rows = with_rows[0].shape[0]
            for leaf in with_rows:
                if leaf.shape[0] != rows:
                    raise ModelError(f"{leaf} has {leaf.shape[0]} rows, and {with_rows[0]} has {rows}: give rows= if one of them is not of rows")
        elif all(leaf.shape[0] != rows for leaf in with_rows):
            raise ModelError(f"no array of the batch has the {rows} rows that rows= says")
        if rows < 1:
            raise ModelError(f"{with_rows[0]} has no rows")
        return rows, {leaf.name: bool(leaf.shape) and leaf.shape[0] == rows for leaf in self.batch.leaves}

    def _find_labels(self, batch: Any, labels: str | int | None) -> str | None:
        names = self.batch.names()
        if labels is None:
            return None
        if isinstance(labels, int) and isinstance(batch, (tuple, list)):
            if not -len(batch) <= labels < len(batch):
                raise ModelError(f"labels={labels}: the batch has {len(batch)} parts")
            labels = f"input_{labels % len(batch)}"
        if labels not in names:
            raise ModelError(f"labels={labels!r} is no array of the batch, whose names are {', '.join(names)}")
        return labels

    def _check_task(self, task: str | None, noise: float | None) -> tuple[str | None, float | None]:
        if task is not None and task not in TASKS:
            raise ModelError(f"task={task!r}: it must be one of {', '.join(TASKS)}, or None")
        if noise is not None and (task != "numbers" or not noise > 0):
            raise ModelError(f"noise={noise}: it is above 0, and belongs to task='numbers'")
        if task is not None and self.labels is not None:
            leaf = next(leaf for leaf in self.batch.leaves if leaf.name == self.labels)
            wanted = FLOATS if task == "numbers" else ("i32", "u32")
            if leaf.type not in wanted:
                raise ModelError(f"{leaf} has the labels, which are {' or '.join(wanted)} for task={task!r}")
        return task, (1.0 if noise is None else float(noise)) if task == "numbers" else None

    def _seed(self, key: bool) -> dict[str, Any] | None:
        self._impl = str(jax.config.values["jax_default_prng_impl"])
        if not key:
            return None
        data = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0, impl=self._impl)))
        return {"shape": list(data.shape), "type": TYPES[str(data.dtype)]}

    # The functions that are traced: all of flat arrays.

    def _call(self, parameters: Sequence[Any], carried: Sequence[Any], inputs: Sequence[Any], key: Any) -> tuple[Any, tuple[list[Any], list[Any]]]:
        """The loss, the new carried state and the metrics."""
        arguments = [self.parameters.unflatten(parameters)]
        if self.has_carried:
            arguments.append(self.carried.unflatten(carried))
        arguments.append(self.batch.unflatten(inputs))
        if key is not None:
            arguments.append(key)
        result = self.loss(*arguments)
        new: list[Any] = []
        metrics: dict[str, Any] = {}
        if self.has_carried:
            if not (isinstance(result, tuple) and len(result) == 2):
                raise ModelError(f"with carried=, the loss gives (loss, (new_carried, metrics)) or (loss, new_carried); it gave {_outline(result)}")
            result, rest = result
            carried_again, metrics = self._split(rest)
            new = check_same(self.carried, carried_again, "new_carried", "carried", "carried")
        elif isinstance(result, tuple):
            if len(result) != 2 or not isinstance(result[1], dict):
                raise ModelError(f"the loss gives a number, or (loss, metrics) with a dictionary of numbers; it gave {_outline(result)}")
            result, metrics = result
        loss = self._scalar("the loss", result)
        if loss.dtype not in (jnp.float32, jnp.float64):
            loss = loss.astype(jnp.float32)
        tree, values = tree_of(metrics, "metrics", "metric", any_type=True)
        values = [self._scalar(leaf.path, value).astype(jnp.float32) for leaf, value in zip(tree.leaves, values, strict=True)]
        self.metrics, self.loss_type = tree.names(), TYPES[str(loss.dtype)]
        return loss, (new, values)

    def _split(self, rest: Any) -> tuple[Any, dict[str, Any]]:
        """The new carried state and the metrics, if the loss gives metrics too."""
        if isinstance(rest, tuple) and len(rest) == 2 and isinstance(rest[1], dict):
            same = jax.tree_util.tree_structure(rest) == self.carried.treedef
            if not same:
                return rest
        return rest, {}

    def _scalar(self, what: str, value: Any) -> Any:
        if not hasattr(value, "shape") and not isinstance(value, (bool, int, float)):
            raise ModelError(f"{what} is a {type(value).__qualname__}, and must be one number")
        value = jnp.asarray(value)
        if value.shape != ():
            raise ModelError(f"{what} is {value.dtype}{list(value.shape)}, and must be one number")
        if what == "the loss" and not jnp.issubdtype(value.dtype, jnp.floating):
            raise ModelError(f"the loss is {value.dtype}, and must be a float")
        return value

    def _key(self, seed: Any) -> Any:
        return None if seed is None else jax.random.wrap_key_data(seed, impl=self._impl)

    def _unpack(self, flat: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any], Any, list[Any]]:
        """Parameters, carried state, inputs, seed, and what comes after them."""
        rest = list(flat)

        def take(count: int) -> list[Any]:
            taken = rest[:count]
            del rest[:count]
            return taken

        parameters, carried, inputs = (take(len(tree.leaves)) for tree in (self.parameters, self.carried, self.batch))
        seed = take(1)[0] if self.seed else None
        return parameters, carried, inputs, seed, rest

    def _gradient(self, carried: Any, inputs: Any, seed: Any) -> Callable[[Any], tuple[Any, Any]]:
        """Of parameters: the gradients, and beside them loss, new state and metrics."""
        function = jax.value_and_grad(lambda parameters: self._call(parameters, carried, inputs, self._key(seed)), has_aux=True)

        def loss_and_gradient(parameters: Any) -> tuple[Any, Any]:
            (loss, (new, metrics)), gradients = function(parameters)
            return gradients, (loss, metrics, new)

        return loss_and_gradient

    def loss_and_gradient(self, *flat: Any) -> tuple[Any, ...]:
        """The function in `loss_and_gradient.mlir`."""
        parameters, carried, inputs, seed, _ = self._unpack(flat)
        gradients, (loss, metrics, new) = self._gradient(carried, inputs, seed)(parameters)
        return loss, *metrics, *new, *gradients

    def hessian_vector(self, *flat: Any) -> tuple[Any, ...]:
        """The function in `hessian_vector.mlir`."""
        parameters, carried, inputs, seed, probes = self._unpack(flat)
        function = self._gradient(carried, inputs, seed)
        gradients, products, (loss, metrics, new) = jax.jvp(function, (parameters,), (probes,), has_aux=True)
        return loss, *metrics, *new, *gradients, *products

    def squared_gradients(self, *flat: Any) -> tuple[Any, ...]:
        """The function in `squared_gradients.mlir`."""
        parameters, carried, inputs, seed, _ = self._unpack(flat)
        row_wise = [self.is_row_wise[name] for name in self.batch.names()]

        def of_row(row: Any, number: Any) -> list[Any]:
            one = iter(row)
            batch = [next(one)[None] if wise else given for wise, given in zip(row_wise, inputs, strict=True)]
            key = self._key(seed)
            if key is not None:
                key = jax.random.fold_in(key, number)
            found = jax.grad(lambda parameters: self._call(parameters, carried, batch, key)[0])(parameters)
            return [gradient * gradient for gradient in found]

        rows = [given for wise, given in zip(row_wise, inputs, strict=True) if wise]
        squares = jax.vmap(of_row)(rows, jnp.arange(self.rows, dtype=jnp.uint32))
        means = [jnp.mean(square, axis=0) for square in squares]
        return *self.loss_and_gradient(*flat), *means

    def predict(self, *flat: Any) -> tuple[Any, ...]:
        """The function in `predict.mlir`."""
        assert self.predictor is not None
        flat_ = list(flat)
        parameters = flat_[: len(self.parameters.leaves)]
        carried = flat_[len(parameters) : len(parameters) + len(self.carried.leaves)]
        arguments = [self.parameters.unflatten(parameters)]
        if self.has_carried:
            arguments.append(self.carried.unflatten(carried))
        arguments.append(self._inputs_alone(flat_[len(parameters) + len(carried) :]))
        return (self.predictor(*arguments),)

    def _inputs_alone(self, values: Sequence[Any]) -> Any:
        """The batch without its labels; one array if one is left."""
        names = [name for name in self.batch.names() if name != self.labels]
        if self.labels is None:
            return self.batch.unflatten(values)
        if len(names) == 1:
            return values[0]
        by_name = dict(zip(names, values, strict=True))
        whole = self.batch.unflatten([by_name.get(name, _Removed) for name in self.batch.names()])
        if isinstance(whole, dict):
            return {key: value for key, value in whole.items() if value is not _Removed}
        if type(whole) in (tuple, list):
            return type(whole)(value for value in whole if value is not _Removed)
        return by_name

    # Shapes of what they give.

    def _shape_of_loss(self) -> None:
        _, structs = zip(*self.arguments("loss_and_gradient"), strict=True)
        parameters, carried, inputs, seed, _ = self._unpack(structs)
        jax.eval_shape(lambda p, c, i, s: self._call(p, c, i, self._key(s)), parameters, carried, inputs, seed)

    def _shape_of_prediction(self) -> dict[str, Any] | None:
        if self.predictor is None:
            return None
        structs = [struct for _, struct in self.arguments("predict")]
        (found,) = jax.eval_shape(self.predict, *structs)
        if not isinstance(found, jax.ShapeDtypeStruct):
            raise ModelError(f"predict gives {_outline(found)}, and must give one array")
        type_ = TYPES.get(str(found.dtype))
        if type_ not in FLOATS:
            raise ModelError(f"predict gives {found.dtype}{list(found.shape)}, and must give floats")
        shape = list(found.shape)
        wanted = {"classes": ("[rows, classes]", 2), "tokens": ("[rows, positions, tokens]", 3)}
        if self.task in wanted and len(shape) != wanted[self.task][1]:
            raise ModelError(f"predict gives {type_}{shape}; for task={self.task!r} it gives logits of the shape {wanted[self.task][0]}")
        if not shape or shape[0] != self.rows:
            raise ModelError(f"predict gives {type_}{shape} for a batch of {self.rows} rows: its first dimension must be the rows")
        return {"shape": shape, "type": type_}

    # Names.

    def arguments(self, function: str) -> list[tuple[str, jax.ShapeDtypeStruct]]:
        named = [(f"parameter/{leaf.name}", leaf.struct()) for leaf in self.parameters.leaves]
        named += [(f"carried/{leaf.name}", leaf.struct()) for leaf in self.carried.leaves]
        is_predict = function == "predict"
        named += [(f"input/{leaf.name}", leaf.struct()) for leaf in self.batch.leaves if not (is_predict and leaf.name == self.labels)]
        if self.seed and not is_predict:
            named.append(("seed", jax.ShapeDtypeStruct(tuple(self.seed["shape"]), dtype(self.seed["type"]))))
        if function == "hessian_vector":
            named += [(f"probe/{leaf.name}", leaf.struct()) for leaf in self.parameters.leaves]
        return named

    def results(self, function: str) -> list[str]:
        if function == "predict":
            return ["prediction"]
        assert self.metrics is not None
        names = self.parameters.names()
        results = ["loss", *(f"metric/{name}" for name in self.metrics), *(f"carried/{name}" for name in self.carried.names())]
        results += [f"gradient/{name}" for name in names]
        extra = {"squared_gradients": "squared_gradient", "hessian_vector": "hessian_vector"}.get(function)
        return results + [f"{extra}/{name}" for name in names] if extra else results

    def text(self, function: str) -> str:
        """The StableHLO of one of the functions, by its name."""
        traced = getattr(self, function)

        def named(*flat: Any) -> tuple[Any, ...]:
            return tuple(traced(*flat))

        named.__name__ = named.__qualname__ = function
        return text_of(
            named, self.arguments(function), lambda: self.results(function), platform=self.platform, custom_calls=self.custom_calls
        )

    def description(self) -> dict[str, Any]:
        """What `model.json` says."""
        described: dict[str, Any] = {
            "format": FORMAT,
            "name": self.name,
            "stablehlo": stablehlo_version(),
            "platforms": [self.platform],
            "task": self.task,
            "rows": self.rows,
            "parameters": [leaf.entry() for leaf in self.parameters.leaves],
            "inputs": [leaf.entry() for leaf in self.batch.leaves],
            "labels": self.labels,
            "seed": self.seed,
            "carried": [leaf.entry() for leaf in self.carried.leaves],
            "metrics": self.metrics,
            "prediction": self.prediction,
        }
        if self.noise is not None:
            described["noise"] = self.noise
        return described

    def tensors(self) -> dict[str, np.ndarray]:
        """The initial values, as `parameters.safetensors` names them."""
        found = dict(zip(self.parameters.names(), self.values, strict=True))
        found |= {f"carried/{name}": value for name, value in zip(self.carried.names(), self.carried_values, strict=True)}
        if any(isinstance(value, jax.ShapeDtypeStruct) for value in found.values()):
            raise ModelError("params and carried must have values, not only shapes, for a folder")
        return {name: np.asarray(value) for name, value in found.items()}

    def write(self, folder: str | os.PathLike[str], curvature: Sequence[str] = (), *, values: bool = True) -> Path:
        """Writes the folder, without initial values if so asked; everything is made before the first file."""
        for name in curvature:
            if name not in CURVATURE:
                raise ModelError(f"curvature={name!r}: it must be of {', '.join(CURVATURE)}")
        functions = ["loss_and_gradient", *(["predict"] if self.predictor else []), *(name for name in CURVATURE if name in curvature)]
        texts = {name: self.text(name) for name in functions}
        tensors = self.tensors() if values else None
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("loss_and_gradient", "predict", *CURVATURE):
            path = folder / f"{name}.mlir"
            if name in texts:
                path.write_text(texts[name], encoding="utf-8")
            else:
                path.unlink(missing_ok=True)
        if tensors is not None:
            _safetensors.save(folder / "parameters.safetensors", tensors)
        (folder / "model.json").write_text(json_text(self.description()), encoding="utf-8")
        return folder


class _Removed:
    """In the place of labels."""


def json_text(value: dict[str, Any]) -> str:
    """JSON with a line for each field, and for each array of a list."""
    lines = []
    for key, entry in value.items():
        if isinstance(entry, list) and entry and isinstance(entry[0], dict):
            text = "[\n" + ",\n".join(f"    {json.dumps(part)}" for part in entry) + "\n  ]"
        else:
            text = json.dumps(entry)
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _outline(value: Any) -> str:
    """The form of a result, for messages."""
    return str(jax.tree_util.tree_map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}" if hasattr(leaf, "dtype") else type(leaf).__name__, value))


def export(
    loss: Callable[..., Any],
    params: Any,
    batch: Any,
    folder: str | os.PathLike[str],
    *,
    predict: Callable[..., Any] | None = None,
    task: str | None = None,
    labels: str | int | None = None,
    noise: float | None = None,
    carried: Any = None,
    key: bool = False,
    rows: int | None = None,
    curvature: Sequence[str] = (),
    name: str | None = None,
    platform: str = "cpu",
    custom_calls: Sequence[str] = (),
) -> Path:
    """Writes a model as a folder that natgrad trains: `{"kind": "stablehlo", "path": "FOLDER"}`.

    `loss(params, batch)` gives a number, or `(number, metrics)` with a dictionary of numbers. With `carried=`, a tree of state that is not
    trained, it is `loss(params, carried, batch)` and gives `(number, new_carried)` or `(number, (new_carried, metrics))`. With `key=True` it
    takes a key of random numbers as its last argument.

    `predict(params, inputs)`, or `predict(params, carried, inputs)`, gives logits or numbers; `inputs` is the batch without its labels, and one
    array where one is left. `labels` names the array of the batch that holds the labels; for a tuple it may be a position.

    `curvature` asks for further functions: `"squared_gradients"` for VOGN, `"hessian_vector"` for VON. `rows` says how many rows the batch has,
    where not every array of it is of rows. `custom_calls` are the names of custom calls that the plugin will have.
    """
    curvature = (curvature,) if isinstance(curvature, str) else tuple(curvature)
    model = Model(
        loss,
        params,
        batch,
        predict=predict,
        task=task,
        labels=labels,
        noise=noise,
        carried=carried,
        key=key,
        rows=rows,
        name=name,
        platform=platform,
        custom_calls=custom_calls,
    )
    return model.write(folder, curvature)
