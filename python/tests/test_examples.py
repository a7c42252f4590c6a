"""The functions of the examples, with IVON, are held to IVON in NumPy for fifty steps."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

import natgrad
from trajectory import double_precision, single_precision

# Of a few hundred thousand inputs of ReLU none is so near zero that rounding changes its sign, at which a gradient jumps by percents.
STEPS, ROWS, SIZE = 50, 4, 12


def example(name, *needs):
    """The module of an example, where what it imports is installed."""
    for package in needs:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    path = Path(__file__).parents[1] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cast(tree, dtype):
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype), tree)


def jax_transformer(dtype):
    module = example("jax_transformer")
    rng = np.random.default_rng(0)
    text = rng.integers(0, 20, 1000).astype(np.int32)
    starts = rng.integers(0, len(text) - module.LENGTH - 1, (STEPS, ROWS))
    batches = [module.windows(text, rows) for rows in starts]
    return module.loss_of(module.predict), cast(module.init(rng, 20), dtype), batches, None


def flax_convnet(dtype):
    module = example("flax_convnet", "flax")
    rng = np.random.default_rng(0)
    images = rng.normal(size=(STEPS, ROWS, SIZE, SIZE, 1)).astype(dtype)
    labels = rng.integers(0, 10, (STEPS, ROWS)).astype(np.int32)
    network = module.ConvNet()
    variables = cast(network.init(jax.random.key(0), images[0], train=False), dtype)
    batches = [{"x": x, "y": y} for x, y in zip(images, labels, strict=True)]
    return module.functions(network)[0], variables["params"], batches, variables["batch_stats"]


def torch_resnet(dtype):
    module = example("torch_resnet", "torch", "torchax")
    import torch

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = natgrad.from_torch(module.ResNet(widths=(4, 8)), module.loss)
    images = rng.normal(size=(STEPS, ROWS, 1, SIZE, SIZE)).astype(dtype)
    labels = rng.integers(0, 10, (STEPS, ROWS)).astype(np.int32)

    def loss(params, carried, batch):
        value, (new, _) = model.loss(params, carried, batch)
        return value, new

    return loss, cast(model.params, dtype), list(zip(images, labels, strict=True)), cast(model.carried, dtype)


EXAMPLES = (jax_transformer, flax_convnet, torch_resnet)
RULE = natgrad.Ivon(lr=0.1, ess=4000, hess_init=1.0, beta2=0.995, weight_decay=1e-3)


@pytest.mark.parametrize("functions", EXAMPLES)
def test_fifty_steps_in_double_precision(functions):
    with jax.enable_x64(True):
        double_precision(*functions(np.float64), RULE)


@pytest.mark.parametrize("functions", EXAMPLES)
def test_fifty_steps_in_single_precision(functions):
    single_precision(*functions(np.float32), RULE)
