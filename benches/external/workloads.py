"""The workloads of configs/bench, under the same names: sizes, and random data of the right shapes."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mlp:
    """A perceptron with rectifiers; `sizes` are the widths from the features to the classes."""

    sizes: tuple = (784, 1024, 1024, 10)
    batch: int = 256


@dataclass(frozen=True)
class ResNet:
    """ResNet-(6 blocks + 2) on 32x32 images: filter response normalization in the place of batch normalization."""

    blocks: int = 3
    batch: int = 128
    classes: int = 10


@dataclass(frozen=True)
class Gpt:
    """GPT-2: pre-norm, biases, exact GELU, learned positions, output weights tied to the embedding unless `untied`."""

    layers: int = 6
    heads: int = 6
    width: int = 384
    batch: int = 4
    time: int = 256
    vocab: int = 96
    untied: bool = False


@dataclass(frozen=True)
class Setting:
    """Where a step runs, and how exactly: products of f32 in single precision or TensorFloat-32, or a model in bf16.

    `compiled` is PyTorch's `torch.compile`, `attention` JAX's `jax.nn.dot_product_attention`.
    """

    device: str = "cpu"
    precision: str = "f32"
    compiled: bool = False
    attention: bool = False


WORKLOADS = {
    "mlp": Mlp(),
    "resnet20": ResNet(),
    "gpt-6x384": Gpt(),
    "gpt2-small": Gpt(layers=12, heads=12, width=768, batch=1, time=256, vocab=50257),
    "gpt2-small-8x1024": Gpt(layers=12, heads=12, width=768, batch=8, time=1024, vocab=50257),
}

# The same programs, small: what benches/gpu/run rehearses with.
TINY = {
    "mlp": Mlp(sizes=(784, 16, 10), batch=8),
    "resnet20": ResNet(blocks=1, batch=2),
    "gpt-6x384": Gpt(layers=1, heads=2, width=16, batch=1, time=16),
    "gpt2-small": Gpt(layers=1, heads=2, width=16, batch=1, time=16),
    "gpt2-small-8x1024": Gpt(layers=1, heads=2, width=16, batch=2, time=32),
}


def batch(spec):
    """Inputs and labels as numpy arrays. Images are [batch, height, width, channel]."""
    random = np.random.default_rng(0)
    if isinstance(spec, Mlp):
        inputs = random.normal(size=(spec.batch, spec.sizes[0])).astype(np.float32)
        return inputs, random.integers(0, spec.sizes[-1], spec.batch).astype(np.int32)
    if isinstance(spec, ResNet):
        inputs = random.normal(size=(spec.batch, 32, 32, 3)).astype(np.float32)
        return inputs, random.integers(0, spec.classes, spec.batch).astype(np.int32)
    tokens = random.integers(0, spec.vocab, (spec.batch, spec.time + 1)).astype(np.int32)
    return tokens[:, :-1], tokens[:, 1:]


# What both frameworks are given: the values of AdamW's defaults in PyTorch, and IVON's for a data set of 50,000.
ADAMW = dict(lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2)
IVON = dict(lr=0.1, ess=5e4, hess_init=0.5, beta1=0.9, beta2=0.99999, weight_decay=2e-4)
