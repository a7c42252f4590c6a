"""What the posterior is for: samples, and predictions averaged over samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import numpy.typing as npt

from ._errors import Error

if TYPE_CHECKING:
    from ._natgrad import State
    from ._step import Step


@dataclass(frozen=True)
class Prediction:
    """What a model predicts, averaged over samples."""

    #: The probabilities of classes or tokens, or numbers: averaged over the samples.
    mean: npt.NDArray[np.float64]
    #: Their standard deviation over the samples; zeros at the mean.
    spread: npt.NDArray[np.float64]
    #: Where there are probabilities: the entropy of the averaged ones, in nats, which says what is open.
    entropy: npt.NDArray[np.float64] | None = field(default=None)
    #: The part of the entropy that the weights leave open, the mutual information; the rest is what the data leave open.
    epistemic: npt.NDArray[np.float64] | None = field(default=None)

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """The most probable class of each row."""
        if self.entropy is None:
            raise Error("numbers have no classes: compile with task='classes'")
        found: npt.NDArray[np.int64] = np.argmax(self.mean, axis=-1)
        return found


class Posterior:
    """The posterior of a state. It is of the state, so it ends when a step takes the state."""

    def __init__(self, step: Step, state: State) -> None:
        self._step, self._state = step, state
        self._jitted: dict[Any, Any] = {}

    def mean(self) -> Any:
        """The mean, as a tree like the parameters."""
        return self._at(None, 0)[0]

    def sample(self, number: int, seed: int = 0) -> Any:
        """The parameters at one sample, by its number from 0."""
        return self._at(number, seed)[0]

    def samples(self, count: int, seed: int = 0) -> list[Any]:
        """The parameters at so many samples, those with the numbers from 0."""
        return [self.sample(number, seed) for number in range(count)]

    def predict(self, predict: Callable[..., Any], inputs: Any, samples: int | None = None, seed: int = 0) -> Prediction:
        """Predictions averaged over samples, 64 if not said; those at the mean with `samples=0`, and where the rule leaves no posterior.

        `predict(params, inputs)` gives an array; `predict(params, carried, inputs)` where the model has carried state. By the `task` that the
        step was compiled with, it gives logits (`"classes"`, `"tokens"`), whose probabilities are averaged, or else numbers.
        """
        if samples is None:
            samples = 64 if self._step.rule.has_posterior else 0
        if samples < 0:
            raise Error(f"samples={samples}: it must be 0 or more")
        has_carried = self._step._model.has_carried
        jitted = self._jitted.setdefault(predict, jax.jit(predict))
        # Tensors of other libraries' are arrays here, as they are in a batch.
        inputs = jax.tree_util.tree_map(lambda leaf: leaf if isinstance(leaf, jax.Array) else np.asarray(leaf), inputs)
        is_logits = self._step.task in ("classes", "tokens")
        total: Any = 0.0
        squares: Any = 0.0
        entropies: Any = 0.0
        for number in range(samples) if samples else (None,):
            parameters, carried = self._at(number, seed)
            found = np.asarray(jitted(parameters, carried, inputs) if has_carried else jitted(parameters, inputs))
            if found.dtype.kind != "f" and str(found.dtype) != "bfloat16":
                raise Error(f"predict gives {found.dtype}{list(found.shape)}, and must give one array of floats")
            values = found.astype(np.float64)
            if is_logits:
                logs = _log_softmax(values)
                values = np.exp(logs)
                entropies = entropies - (values * logs).sum(axis=-1)
            total, squares = total + values, squares + values * values
        count = max(samples, 1)
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean * mean, 0.0))
        if not is_logits:
            return Prediction(mean, spread)
        entropy = -(mean * np.log(np.maximum(mean, np.finfo(np.float64).tiny))).sum(axis=-1)
        return Prediction(mean, spread, entropy, np.maximum(entropy - entropies / count, 0.0))

    def _at(self, number: int | None, seed: int) -> tuple[Any, Any]:
        """Parameters and carried state, at the mean or at a sample."""
        step = self._step._step
        parts = step.mean(self._state) if number is None else step.draw(self._state, seed, number)
        return self._step._trees(parts)


def _log_softmax(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shifted = values - values.max(axis=-1, keepdims=True)
    logs: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs
