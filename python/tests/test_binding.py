"""What needs the library beneath."""

from __future__ import annotations

import dataclasses
import json
import sys
import sys

import numpy as np
import pytest

import natgrad
from natgrad import _natgrad
from natgrad._rules import RULES, curvature_of


def test_rules_have_the_fields_and_defaults_of_the_library():
    found = dict(json.loads(_natgrad.rules()))
    assert list(found) == list(RULES)
    for kind, rule in RULES.items():
        ours, theirs = rule().to_json(), found[kind]
        # The library writes a rule as {kind: fields}.
        assert ours == {"kind": kind} | theirs[kind]
        assert {field.name for field in dataclasses.fields(rule)} >= theirs[kind].keys()


def test_what_rules_need():
    assert curvature_of(natgrad.Ivon()) == ()
    assert curvature_of(natgrad.Ivon(estimator="hessian-vector")) == ("hessian_vector",)
    assert curvature_of(natgrad.Vogn()) == ("squared_gradients",)
    assert curvature_of(natgrad.AdamW()) == ()


def test_noise_is_normal_and_each_tensors_own():
    tree = {"a": np.zeros((200, 100), np.float32), "b": np.zeros((200, 100), np.float32)}
    first = natgrad.noise(tree, 3, seed=5)
    assert abs(first["a"].mean()) < 0.03 and abs(first["a"].std() - 1) < 0.03
    assert abs(np.corrcoef(first["a"].ravel(), first["b"].ravel())[0, 1]) < 0.03
    np.testing.assert_array_equal(first["a"], natgrad.noise(tree, 3, seed=5)["a"])
    for other in (natgrad.noise(tree, 4, seed=5), natgrad.noise(tree, 3, seed=6), natgrad.noise(tree, 3, seed=5, purpose="posterior")):
        assert not np.array_equal(first["a"], other["a"])
    with pytest.raises(natgrad.Error, match="grade='slow'|grade=\"slow\""):
        natgrad.noise(tree, 3, grade="slow")


def test_data():
    digits = natgrad.data("mnist-sample")
    assert digits.x_train.shape == (4000, 28, 28, 1) and digits.x_train.dtype == np.float32
    assert digits.x_train.max() == 1.0 and set(digits.y_test) == set(range(10))
    with pytest.raises(natgrad.Error, match="unknown variant"):
        natgrad.data("mnist")
    assert natgrad.fetch("text-sample").exists()
    with pytest.raises(natgrad.Error, match="missing.csv"):
        natgrad.data("csv", path="missing.csv")


def test_from_torch_says_what_to_install(monkeypatch):
    from natgrad._torch import _libraries

    for name, said in (("torch", "PyTorch"), ("torchax", "PyTorch|torchax")):
        _libraries.cache_clear()
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(natgrad.Error, match=rf"needs ({said}): pip install 'natgrad\[torch\]'"):
            natgrad.from_torch(None, None)
        monkeypatch.undo()
    _libraries.cache_clear()


def test_the_plugin_of_jax_is_found(tmp_path, monkeypatch):
    from natgrad._device import place, platform

    package = tmp_path / "jax_plugins" / "xla_cuda13"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "jax_plugins", raising=False)
    assert place("cuda") == "cuda"
    (package / "xla_cuda_plugin.so").touch()
    assert place("cuda") == place("cuda:0") == str(package / "xla_cuda_plugin.so")
    assert (place("cuda:1"), place("cpu")) == ("cuda:1", "cpu")
    assert [platform(device) for device in ("cuda:1", "cuda", "tpu", "cpu")] == ["cuda", "cuda", "tpu", "cpu"]
