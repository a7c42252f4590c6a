"""From a function of JAX to StableHLO text whose arguments and results have names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from jax import export as jax_export
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo
from jax.interpreters.mlir import make_ir_context

from ._errors import ModelError

#: The attribute of an argument or a result that has its name.
NAME = "natgrad.name"

#: Custom calls that mean nothing on one device.
_HARMLESS = {"Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape", "annotate_device_placement"}

_CALLBACK = "take out jax.debug.print, jax.debug.callback, jax.pure_callback and io_callback"

#: What to do about custom calls that people meet.
_ADVICE = {
    "xla_ffi_python": f"it calls Python: {_CALLBACK}",
    "xla_ffi_partitioned_python": f"it calls Python: {_CALLBACK}",
    "xla_python": f"it calls Python: {_CALLBACK}",
    "lapack": "it is a decomposition by LAPACK (jnp.linalg), which natgrad's plugin does not have",
}


def stablehlo_version() -> str:
    """The version of StableHLO that this JAX writes."""
    return str(stablehlo.get_current_version())


@contextlib.contextmanager
def _locations() -> Iterator[None]:
    """Locations with names of files alone, and one frame for each operation."""
    wanted = {"jax_hlo_source_file_canonicalization_regex": ".*/", "jax_traceback_in_locations_limit": 1}
    before = {name: getattr(jax.config, name) for name in wanted if hasattr(jax.config, name)}
    for name in before:
        jax.config.update(name, wanted[name])
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def text_of(
    function: Callable[..., tuple[Any, ...]],
    arguments: Sequence[tuple[str, jax.ShapeDtypeStruct]],
    results: Callable[[], Sequence[str]],
    *,
    platform: str,
    custom_calls: Sequence[str],
) -> str:
    """The module of a function of arrays to a tuple of arrays.

    `results` gives the names of the results. It is called when the function has been traced.
    """
    structs = [struct for _, struct in arguments]
    with _locations():
        checks = [jax_export.DisabledSafetyCheck.custom_call("ALL")]
        traced = jax_export.export(jax.jit(function, keep_unused=True), platforms=[platform], disabled_checks=checks)
        try:
            text = traced(*structs).mlir_module()
        except NotImplementedError as error:
            if "callback" in str(error):
                raise ModelError(f"the function calls Python while it runs: {_CALLBACK}") from None
            raise
    names = [name for name, _ in arguments], list(results())
    with make_ir_context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        _check_custom_calls(module, custom_calls)
        _name(module, *names)
        module.operation.verify()
        return str(module.operation.get_asm(enable_debug_info=True))


def _name(module: Any, arguments: Sequence[str], results: Sequence[str]) -> None:
    """Gives names to the arguments and results of `main`."""
    main = next(op for op in module.body.operations if op.operation.name == "func.func" and op.name.value == "main")
    function = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
    counts = len(function.inputs), len(function.results)
    if counts != (len(arguments), len(results)):
        raise ModelError(
            f"JAX exported {counts[0]} arguments and {counts[1]} results of a function with {len(arguments)} and {len(results)}"
        )
    for attribute, names in (("arg_attrs", arguments), ("res_attrs", results)):
        named = [ir.DictAttr.get({NAME: ir.StringAttr.get(name)}) for name in names]
        main.attributes[attribute] = ir.ArrayAttr.get(named)
    for argument, name in zip(main.regions[0].blocks[0].arguments, arguments, strict=True):
        if hasattr(argument, "set_location"):
            argument.set_location(ir.Location.name(name))


def _check_custom_calls(module: Any, allowed: Sequence[str]) -> None:
    """Refuses operations that are found by name at run time, as natgrad's plugins do not have JAX's."""
    known = _HARMLESS | set(allowed)
    found: dict[str, str] = {}

    def visit(op: Any) -> Any:
        if op.name == "stablehlo.custom_call":
            target = ir.StringAttr(op.attributes["call_target_name"]).value
            if target not in known:
                found.setdefault(target, str(op.location))
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for target, location in found.items():
        advice = next((text for start, text in _ADVICE.items() if target.startswith(start)), "a plugin that has it must be used")
        raise ModelError(f"the function has a custom call to {target!r} at {location}: {advice} (custom_calls=[{target!r}] lets it pass)")
