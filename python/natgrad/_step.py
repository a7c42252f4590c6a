"""A model and a rule as one compiled step."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from . import _natgrad
from ._device import place, platform
from ._errors import Error, ModelError
from ._model import Model
from ._posterior import Posterior
from ._progress import Loop
from ._report import Report
from ._rules import Rule, curvature_of
from ._trees import Leaf, Tree, check_same, dtype, tree_of

State = _natgrad.State

#: The length of a schedule that never ends.
_ENDLESS = 2**31 - 1

#: What natgrad's state and inputs are made of.
_TYPES: dict[str, np.dtype[Any]] = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64), "u32": np.dtype(np.uint32)}

#: What PyTorch and NumPy give by themselves, and what JAX makes of it.
_NARROWED = {(np.dtype(wide), np.dtype(narrow)) for wide, narrow in (("int64", "int32"), ("uint64", "uint32"), ("float64", "float32"))}


class Metrics(Mapping[str, float]):
    """What a step tells, by name: `metrics["loss"]`. Looking at a number waits for the step."""

    def __init__(self, told: _natgrad.Metrics, names: Sequence[str], step: int = 0) -> None:
        self._told, self._names, self._step = told, names, step
        self._numbers: dict[str, float] | None = None

    def _read(self) -> dict[str, float]:
        if self._numbers is None:
            told = dict(self._told.read()[self._step])
            self._numbers = {name: told[name] for name in self._names}
        return self._numbers

    def __getitem__(self, name: str) -> float:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return "Metrics(" + ", ".join(f"{name}={value:.6g}" for name, value in self._read().items()) + ")"


class Step:
    """A compiled step: `state, metrics = step(state, batch)`. `natgrad.compile` makes it."""

    def __init__(self, model: Model, rule: Rule, config: dict[str, Any], device: str, accumulation: int, per_call: int | None) -> None:
        self._model, self._rule, self._per_call = model, rule, per_call
        self._folder = tempfile.TemporaryDirectory(prefix="natgrad-")
        model.write(self._folder.name, curvature_of(rule), values=False)
        config = config | {"model": {"kind": "stablehlo", "path": self._folder.name}, "rule": rule.to_json(), "batch": model.rows}
        tensors = [*model.parameters.leaves, *model.carried.leaves]
        self._state_type = "f64" if any(leaf.type == "f64" for leaf in tensors) else "f32"
        # The number of labels is the effective sample size, which the rule has.
        self._step = _natgrad.Step(json.dumps(config), self._state_type, device, max(1, round(getattr(rule, "ess", None) or 1)))
        if unmerged := self._step.unmerged():
            warnings.warn(
                f"XLA cannot merge the loops of this model and the optimizer (it ended a process that tried), so {', '.join(unmerged)} may take longer",
                stacklevel=3,
            )
        # What natgrad would count, were the loss to tell it.
        unknown = {"correct", "squared_error"} - set(model.metrics or ())
        self._told = [name for name in self._step.told() if name not in unknown]
        self._types = [_TYPES[type_] for _, type_, _ in self._step.inputs()]
        self._expected = _stacked(model.batch, model.is_row_wise, accumulation, per_call)
        # natgrad takes arrays of rows first, then the others, and the labels last.
        names = model.batch.names()
        self._order = sorted(range(len(names)), key=lambda index: (names[index] == model.labels, not model.is_row_wise[names[index]]))
        self._given = [(leaf.shape, dtype(leaf.type)) for leaf in self._expected.leaves]

    # A loop's part.

    def init(self, params: Any, seed: int = 0, *, carried: Any = None) -> State:
        """The state at step 0. `seed` is that of all noise; `carried` is the state that is not trained, if the model has some."""
        model = self._model
        values = check_same(model.parameters, params, "params", "parameter")
        if model.has_carried:
            values += model.carried_values if carried is None else check_same(model.carried, carried, "carried", "carried", "carried")
        elif carried is not None:
            raise ModelError("carried is given, but the model was compiled without")
        leaves = [*model.parameters.leaves, *model.carried.leaves]
        for leaf, value in zip(leaves, values, strict=True):
            if isinstance(value, jax.ShapeDtypeStruct):
                raise ModelError(f"{leaf} has a shape and no values")
        means = [np.asarray(value, dtype=_TYPES[self._state_type]) for value in values]
        for leaf, mean in zip(leaves, means, strict=True):
            if not np.isfinite(mean).all():
                raise ModelError(f"{leaf} has a value that is not finite")
        return self._step.init([_bytes(mean) for mean in means], _seed(seed))

    def __call__(self, state: State, batch: Any) -> tuple[State, Any]:
        """One step. It returns when the step is under way: looking at the metrics waits for it.

        With `per_call`, it is so many steps on as many batches, stacked along a first axis, and the metrics are a list: those of each step.

        The step takes over the memory of `state`, so only the state that it gives can be used after.
        """
        state, told = self._step.step(_checked(state), self._arrays(batch))
        if self._per_call is None:
            return state, Metrics(told, self._told)
        return state, [Metrics(told, self._told, step) for step in range(self._per_call)]

    def run(self, state: State, batches: Iterable[Any], *, steps: int | None = None, progress: bool = True) -> tuple[State, list[dict[str, float]]]:
        """A step for each batch, at most `steps`, with a progress bar; and what each step told. With `per_call`, a call of that many
        steps for each stack of batches, as long as `steps` allows a whole call.

        Ctrl-C ends the loop after the step that is under way: the state that is given is whole. A second one interrupts.
        """
        history: list[Metrics] = []
        of_call = self._per_call or 1
        total = steps if steps is not None else len(batches) * of_call if isinstance(batches, Sized) else None
        with Loop(total, progress) as loop:
            for batch in batches:
                if loop.stopped or (steps is not None and len(history) + of_call > steps):
                    break
                state, metrics = self(state, batch)
                # The call before has ended by then, and the device does not wait.
                before = history[-1] if history else None
                history += [metrics] if self._per_call is None else metrics
                loop.told(before, of_call)
        return state, [dict(metrics) for metrics in history]

    def _arrays(self, batch: Any) -> list[Any]:
        """The bytes of a batch, in natgrad's order and types."""
        leaves, treedef = jax.tree_util.tree_flatten(batch)
        if treedef != self._expected.treedef:
            leaves = check_same(self._expected, batch, "batch", "input", "input")
        found = []
        for leaf, (shape, type_) in zip(leaves, self._given, strict=True):
            if not isinstance(leaf, (np.ndarray, jax.Array)) and hasattr(leaf, "__dlpack__"):
                leaf = np.from_dlpack(leaf)
            array = np.asarray(leaf)
            if array.shape == shape and array.dtype != type_ and (array.dtype, type_) in _NARROWED:
                # As JAX does without 64-bit types.
                array = _held(array, type_).astype(type_)
            if array.shape != shape or array.dtype != type_:
                # It says what is wrong, or converts as JAX does.
                found = [np.asarray(value) for value in check_same(self._expected, batch, "batch", "input", "input")]
                break
            found.append(array)
        return [_bytes(found[index], type_) for index, type_ in zip(self._order, self._types, strict=True)]

    # What is made of a state.

    def posterior(self, state: State) -> Posterior:
        """The posterior of a state, while no step takes the state."""
        return Posterior(self, _checked(state))

    def carried(self, state: State) -> Any:
        """The state that is not trained, such as the averages of batch norm."""
        return self._trees(self._step.mean(_checked(state)))[1]

    def tensors(self, state: State) -> dict[str, np.ndarray]:
        """All that is carried from step to step by name, such as `mean/...` and `hess/...`."""
        return {name: _array(data, dtype(type_), shape) for (name, type_, shape), data in self._step.tensors(_checked(state))}

    def _trees(self, parts: Sequence[np.ndarray]) -> tuple[Any, Any]:
        """Parameters and carried state of tensors in the type of the state."""
        model = self._model
        leaves = [*model.parameters.leaves, *model.carried.leaves]
        arrays = [
            _array(part, _TYPES[self._state_type], leaf.shape).astype(dtype(leaf.type), copy=False)
            for leaf, part in zip(leaves, parts, strict=True)
        ]
        count = len(model.parameters.leaves)
        return model.parameters.unflatten(arrays[:count]), model.carried.unflatten(arrays[count:])

    # Files and reports.

    def save(self, path: str | os.PathLike[str], state: State) -> Path:
        """Writes a state with its model into a folder. `load` goes on from it, bit for bit; `natgrad predict` uses it where the
        model has `predict` and `task`."""
        # Before anything is written.
        _checked(state).check()
        folder = Path(path).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        model = folder / "model"
        beside = Path(tempfile.mkdtemp(prefix=".model-", dir=folder))
        shutil.copytree(self._folder.name, beside, dirs_exist_ok=True)
        if model.exists():
            shutil.rmtree(model)
        beside.chmod(0o755)
        beside.rename(model)
        return Path(self._step.save(state, folder, model))

    def load(self, path: str | os.PathLike[str]) -> State:
        """The state in a folder that `save` wrote, by such a step."""
        return self._step.load(Path(path))

    def report(self) -> Report:
        """What XLA made of the step, as `natgrad inspect` prints it: promises, kernels, memory, least times. It takes seconds, in which the
        device is measured. A notebook shows a page."""
        return Report(*self._step.report())

    def program(self, what: Literal["ir", "stablehlo", "hlo"] = "stablehlo") -> str:
        """The step's program: in natgrad's own language, as XLA is given it, or as XLA made of it."""
        return self._step.program(what)

    @property
    def rule(self) -> Rule:
        """The rule."""
        return self._rule

    @property
    def task(self) -> str | None:
        """What the model predicts, if that was said."""
        return self._model.task

    def __repr__(self) -> str:
        model = self._model
        elements = sum(int(np.prod(leaf.shape, dtype=np.int64)) for leaf in model.parameters.leaves)
        seconds, cached, programs = self._step.compiled()
        return f"Step({model.name}, {elements:,} parameters, {self._rule!r}; {programs} programs in {seconds:.1f} s, {cached} of them cached)"


def compile(
    loss: Callable[..., Any],
    params: Any,
    batch: Any,
    rule: Rule,
    *,
    device: str = "cpu",
    predict: Callable[..., Any] | None = None,
    task: str | None = None,
    labels: str | int | None = None,
    noise: float | None = None,
    carried: Any = None,
    key: bool = False,
    rows: int | None = None,
    samples: int = 1,
    accumulation: int = 1,
    per_call: int | None = None,
    clip_norm: float | None = None,
    schedule: str | dict[str, Any] = "constant",
    steps: int | None = None,
    groups: Sequence[dict[str, Any]] = (),
    prior: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    diagnostics: bool = False,
    name: str | None = None,
) -> Step:
    """Compiles a loss of JAX's and a rule into one program a step.

    `loss(params, batch)` gives a number, or `(number, metrics)`; `natgrad.export` says what else it may be, and what `predict`, `task`,
    `labels`, `noise`, `carried`, `key`, `rows` and `name` mean. Of `params` and `batch` only names, shapes and types count.

    `samples` are those of the posterior that each gradient is averaged over; `accumulation` cuts each batch into so many, one after another;
    `per_call` runs so many steps in one call of the device, on batches that are stacked along a first axis: `batch` here is one of them.
    `clip_norm` limits the norm of the gradient. `schedule` is that of the learning rate over `steps`: `"constant"`, `"linear"`, `"cosine"`, or as
    in a configuration: `{"kind": "cosine", "warmup": 0.1}`. `groups` and `diagnostics` are those of a configuration too (docs/train.md).

    `prior` is the posterior that an earlier run left, in the place of `weight_decay`: the folder that `save` wrote, or
    `{"run": folder, "strength": 1}`. The mean begins where `init` is told to; `posterior.mean()` of the earlier step is the prior's.
    """
    if not isinstance(rule, Rule):
        raise Error(f"rule={rule!r}: it must be a rule, such as natgrad.Ivon(ess=50_000)")
    if hasattr(rule, "ess") and rule.ess is None:
        raise Error(f"{type(rule).__name__} needs ess, the effective sample size: the number of training rows, as in {type(rule).__name__}(ess=50_000)")
    if accumulation < 1:
        raise Error(f"accumulation={accumulation}: it must be at least 1")
    if per_call is not None and per_call < 1:
        raise Error(f"per_call={per_call}: it must be at least 1")
    if schedule != "constant" and steps is None:
        raise Error(f"schedule={schedule!r} needs steps=, those of the whole run")
    model = Model(
        loss,
        params,
        _cut(batch, rows, accumulation),
        predict=predict,
        task=task,
        labels=labels,
        noise=noise,
        carried=carried,
        key=key,
        rows=None if rows is None else rows // accumulation,
        name=name,
        platform=platform(device),
    )
    plan: dict[str, Any] = {"samples": samples, "accumulation": accumulation, "diagnostics": diagnostics, "per_call": per_call or 1}
    if clip_norm is not None:
        plan["clip_norm"] = clip_norm
    config = {
        "step": plan,
        "schedule": {"kind": schedule} if isinstance(schedule, str) else schedule,
        "length": {"steps": _ENDLESS if steps is None else steps},
        "groups": list(groups),
        "data": {"kind": "arrays"},
    }
    if prior is not None:
        config["prior"] = _prior(prior)
    return Step(model, rule, config, place(device), accumulation, per_call)


def _prior(prior: str | os.PathLike[str] | Mapping[str, Any]) -> dict[str, Any]:
    """The prior of a configuration."""
    if isinstance(prior, (str, os.PathLike)):
        prior = {"run": prior}
    if not isinstance(prior, Mapping) or not isinstance(prior.get("run"), (str, os.PathLike)):
        raise Error(f'prior={prior!r}: it must be the folder of an earlier run, or {{"run": folder, "strength": 1}}')
    # A step that loads what this one saved may be in another folder.
    return {**prior, "run": str(Path(prior["run"]).absolute())}


def _cut(batch: Any, rows: int | None, accumulation: int) -> Any:
    """The shapes of a micro-batch of a batch."""
    if accumulation == 1:
        return batch
    tree, values = tree_of(batch, "batch", "input", "input")
    with_rows = [leaf.shape[0] for leaf in tree.leaves if leaf.shape]
    rows = with_rows[0] if rows is None and with_rows else rows
    if not rows or rows % accumulation:
        raise Error(f"accumulation={accumulation}: it must divide the {rows} rows of the batch")
    cut = []
    for leaf, value in zip(tree.leaves, values, strict=True):
        is_cut = bool(leaf.shape) and leaf.shape[0] == rows
        cut.append(jax.ShapeDtypeStruct((rows // accumulation, *leaf.shape[1:]), dtype(leaf.type)) if is_cut else value)
    return tree.unflatten(cut)


def _stacked(tree: Tree, is_row_wise: dict[str, bool], accumulation: int, per_call: int | None) -> Tree:
    """What a call takes: the rows of all micro-batches, of each step."""

    def whole(leaf: Leaf) -> Leaf:
        if not is_row_wise[leaf.name]:
            return leaf
        calls = () if per_call is None else (per_call,)
        return Leaf(leaf.name, leaf.path, (*calls, leaf.shape[0] * accumulation, *leaf.shape[1:]), leaf.type)

    return Tree(tuple(whole(leaf) for leaf in tree.leaves), tree.treedef)


def _bytes(array: np.ndarray, type_: np.dtype | None = None) -> np.ndarray:
    """The bytes of an array in a type of natgrad's, row-major."""
    if type_ is not None and array.dtype != type_:
        kind, size = array.dtype.kind, array.dtype.itemsize
        if kind in "iu" and size > type_.itemsize:
            # natgrad gives 32 bits: a negative number by its two's complement.
            _held(array, np.dtype(f"{kind}{type_.itemsize}"))
        array = array.view(type_) if kind == "i" and size == type_.itemsize else array.astype(type_)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _held(array: np.ndarray, type_: np.dtype) -> np.ndarray:
    """An array whose whole numbers a narrower type of the kind can hold."""
    if type_.kind in "iu" and array.size:
        range_, low, high = np.iinfo(type_), array.min(), array.max()
        if low < range_.min or high > range_.max:
            raise ModelError(f"an array of {array.dtype} has {low if low < range_.min else high}, and must be from {range_.min} to {range_.max}")
    return array


def _array(data: np.ndarray, type_: np.dtype, shape: Sequence[int]) -> np.ndarray:
    return data.view(type_).reshape(shape)


def _seed(seed: int) -> int:
    if not isinstance(seed, (int, np.integer)) or not 0 <= int(seed) < 2**64:
        raise Error(f"seed={seed!r}: it must be a whole number from 0 to 2^64 - 1")
    return int(seed)


def _checked(state: Any) -> State:
    if not isinstance(state, State):
        raise Error(f"the state is a {type(state).__qualname__}, and must be what init, load or a step gave")
    return state
