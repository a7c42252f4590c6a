"""What the tests share."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path.insert(0, str(Path(__file__).parent))


class Exported:
    """A folder that was exported, and the text of its modules run by JAX's own client."""

    def __init__(self, folder: Path) -> None:
        from natgrad import _safetensors

        self.folder = folder
        self.json = json.loads((folder / "model.json").read_text())
        self.tensors = _safetensors.load(folder / "parameters.safetensors")

    def names(self, function: str) -> tuple[dict[str, str], dict[str, str]]:
        """Names and types of the arguments and results of a module."""
        from jax.extend.mlir import ir
        from jax.interpreters.mlir import make_ir_context

        with make_ir_context():
            module = ir.Module.parse((self.folder / f"{function}.mlir").read_text())
            main = next(op for op in module.body.operations if op.name.value == "main")
            type_ = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
            found = []
            for attribute, types in (("arg_attrs", type_.inputs), ("res_attrs", type_.results)):
                names = [ir.StringAttr(ir.DictAttr(part)["natgrad.name"]).value for part in ir.ArrayAttr(main.attributes[attribute])]
                assert len(set(names)) == len(names)
                found.append({name: str(type_) for name, type_ in zip(names, types, strict=True)})
        return found[0], found[1]

    def run(self, function: str, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The results by name, from the text alone."""
        import jax
        from jax._src import compiler

        device = jax.devices("cpu")[0]
        text = (self.folder / f"{function}.mlir").read_text()
        program = device.client.compile_and_load(text, [device], compiler.get_compile_options(num_replicas=1, num_partitions=1))
        arguments, results = self.names(function)
        assert set(given) >= set(arguments)
        found = program.execute([jax.device_put(given[name], device) for name in arguments])
        return dict(zip(results, [np.asarray(value) for value in found], strict=True))


@pytest.fixture
def export(tmp_path):
    """Exports a model, and gives its folder."""
    import natgrad

    def exported(*arguments, **options):
        return Exported(natgrad.export(*arguments, tmp_path / "model", **options))

    return exported
