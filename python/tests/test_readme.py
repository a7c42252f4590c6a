"""What the README shows, and the examples."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = Path(__file__).parents[1]


def run(arguments, folder):
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=900, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_runs(tmp_path):
    code, shown = re.search(r"```python\n(.*?)```.*?```text\n(.*?)```", (PYTHON / "README.md").read_text(), re.DOTALL).groups()
    printed = run(["-c", code], tmp_path)
    scores = [re.findall(r"accuracy ([\d.]+)%, NLL ([\d.]+)", text) for text in (printed, shown)]
    assert len(scores[0]) == 2
    for found, wanted in zip(*scores, strict=True):
        assert abs(float(found[0]) - float(wanted[0])) < 1 and abs(float(found[1]) - float(wanted[1])) < 0.03, printed
    assert sorted(path.name for path in (tmp_path / "digits").iterdir()) == ["checkpoint.safetensors", "model"]


@pytest.mark.parametrize(("name", "needs"), [("flax_convnet", ["flax"]), ("torch_resnet", ["torch", "torchax"]), ("jax_transformer", [])])
def test_examples_beat_linear_models(name, needs, tmp_path):
    for module in needs:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    printed = run([str(PYTHON / "examples" / f"{name}.py")], tmp_path)
    rows = dict(re.findall(r"^(.*?\S)\s{2,}.*?([\d.]+)$", printed[printed.index("\non ") :], re.MULTILINE))
    simple = min(float(nll) for row, nll in rows.items() if row.startswith(("linear", "bigram")))
    others = {row: float(nll) for row, nll in rows.items() if not row.startswith(("linear", "bigram", "on "))}
    assert len(others) == 3 and all(nll < 0.9 * simple for nll in others.values()), printed
