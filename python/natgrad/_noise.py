"""natgrad's noise, for checks beside it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from . import _natgrad
from ._trees import tree_of


def noise(
    params: Any,
    step: int,
    *,
    seed: int = 0,
    purpose: Literal["training", "posterior"] = "training",
    draw: int = 0,
    grade: Literal["fast", "exact", "philox"] = "fast",
) -> Any:
    """The standard normals that natgrad draws for a tree of parameters, in double precision, as a tree like it.

    `step` counts the steps of `purpose="training"` and the samples of `purpose="posterior"`. `draw` is the number of the sample within a
    step, where `samples` or `accumulation` is above 1. docs/noise.md says how the numbers are made.
    """
    tree, _ = tree_of(params, "params", "parameter")
    numbers = []
    for tensor, leaf in enumerate(tree.leaves):
        elements = int(np.prod(leaf.shape, dtype=np.int64))
        drawn = _natgrad.noise(elements, seed=seed, purpose=purpose, count=step, draw=draw, tensor=tensor, grade=grade)
        numbers.append(drawn.reshape(leaf.shape))
    return tree.unflatten(numbers)
