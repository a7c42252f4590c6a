"""The step of the same JAX functions through `natgrad.compile`."""

import jax
import numpy as np

import natgrad
from with_jax import MODELS, loss_of
from workloads import ADAMW, IVON, batch


def rule_of(name):
    if name == "adamw":
        return natgrad.AdamW(**ADAMW)
    if name == "ivon":
        return natgrad.Ivon(**IVON)
    raise ValueError(f"no rule {name}: adamw, ivon")


class Step:
    """One workload with one rule: `run` makes steps and waits for the last; gives its loss."""

    def __init__(self, spec, rule, _setting):
        init, _ = MODELS[type(spec)]
        params = jax.tree.map(np.float32, init(spec, np.random.default_rng(1)))
        self.batch = batch(spec)
        loss = loss_of(spec)
        self.step = natgrad.compile(lambda params, batch: loss(params, *batch), params, self.batch, rule_of(rule), name="loss")
        self.state = self.step.init(params)
        self.count = sum(leaf.size for leaf in jax.tree.leaves(params))

    def parameters(self):
        return self.count

    def run(self, steps):
        for _ in range(steps):
            self.state, metrics = self.step(self.state, self.batch)
        return metrics["loss"]

