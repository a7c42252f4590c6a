"""PyTorch's modules as functions of JAX, by torchax."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ._errors import Error, ModelError
from ._rules import Rule
from ._step import Step, compile
from ._trees import check_same, tree_of

if TYPE_CHECKING:
    import torch

#: What a module counts its batches with. natgrad carries floats only.
_COUNTER = "num_batches_tracked"


class _NeedsKey(ModelError):
    """The loss draws random numbers, and there is no key."""


class TorchModel:
    """A module of PyTorch's with a loss, as functions of JAX. `natgrad.from_torch` makes it."""

    def __init__(self, module: torch.nn.Module, loss: Callable[..., Any], predict: Callable[..., Any] | None) -> None:
        torch, _ = _libraries()
        if not isinstance(module, torch.nn.Module):
            raise ModelError(f"module is a {type(module).__qualname__}, and must be a torch.nn.Module")
        self._module, self._loss, self._predict = module, loss, predict
        _check_modules(module, torch)
        #: The parameters by their names in the module; those with `requires_grad=False` are carried.
        self.params: dict[str, np.ndarray] = {}
        carried: dict[str, np.ndarray] = {}
        self._constants: dict[str, np.ndarray] = {}
        for name, parameter in module.named_parameters():
            (self.params if parameter.requires_grad else carried)[name] = _to_numpy(parameter)
        for name, buffer in module.named_buffers():
            if name.split(".")[-1] == _COUNTER:
                carried[name] = _to_numpy(buffer).astype(np.float32)
            else:
                (carried if buffer.is_floating_point() else self._constants)[name] = _to_numpy(buffer)
        #: What is not trained, such as the averages of batch norm; None if there is nothing.
        self.carried: dict[str, np.ndarray] | None = carried or None
        self._modes = {part: part.training for part in module.modules()}
        self._trees = (tree_of(self.params, "params", "parameter")[0], tree_of(carried, "carried", "carried", "carried")[0])
        #: The loss: `loss(params, batch)`, or `loss(params, carried, batch)` where there is something carried. Its last argument may be a key.
        self.loss = self._loss_function()
        #: What the module gives in evaluation mode: `predict(params, inputs)`, or `predict(params, carried, inputs)`.
        self.predict = self._predict_function()

    def compile(self, batch: Any, rule: Rule, *, task: str | None = None, key: bool | None = None, **options: Any) -> Step:
        """Compiles the loss and a rule into one program a step, as `natgrad.compile` does with its options.

        A module that draws random numbers (dropout) gets a key. With `task`, the step has predictions too.
        """
        options = {"name": type(self._module).__name__} | options
        if task is not None:
            options = {"predict": self.predict} | options
        compiled = functools.partial(compile, self.loss, self.params, batch, rule, task=task, carried=self.carried, **options)
        if key is not None:
            return compiled(key=key)
        try:
            return compiled(key=False)
        except _NeedsKey:
            return compiled(key=True)

    def state_dict(self, params: Any, carried: Any = None) -> dict[str, torch.Tensor]:
        """What the module's `load_state_dict` takes, of parameters such as `step.posterior(state).mean()`, and of `step.carried(state)`."""
        torch, _ = _libraries()
        if self.carried is not None and carried is None:
            raise ModelError(f"{type(self._module).__qualname__} has {', '.join(self.carried)} carried: give step.carried(state) too")
        values = dict(self._constants)
        for tree, root, given in zip(self._trees, ("params", "carried"), (params, carried or {}), strict=True):
            values |= tree.unflatten(check_same(tree, given, root, root.removesuffix("s")))
        # A tensor that the module has under two names is in the values under the first.
        named = [*self._module.named_parameters(remove_duplicate=False), *self._module.named_buffers(remove_duplicate=False)]
        first: dict[int, str] = {}
        names = {name: first.setdefault(id(tensor), name) for name, tensor in named}
        found = {}
        for name, tensor in self._module.state_dict().items():
            if name not in names:
                raise ModelError(f"the module's state_dict has {name!r}, which is no parameter and no buffer")
            array = np.array(values[names[name]])
            array = array.astype(np.float32) if str(array.dtype) == "bfloat16" else array
            found[name] = torch.from_numpy(array).to(tensor.dtype)
        return found

    def __repr__(self) -> str:
        elements = sum(value.size for value in self.params.values())
        return f"TorchModel({type(self._module).__name__}, {elements:,} parameters in {len(self.params)} tensors, {len(self.carried or ())} carried)"

    # The functions of JAX.

    def _loss_function(self) -> Callable[..., Any]:
        has_carried = self.carried is not None

        def loss(params: Any, *rest: Any) -> Any:
            carried = rest[0] if has_carried else {}
            batch, *key = rest[1:] if has_carried else rest
            found, new = self._run(self._loss, self._modes, params, carried, batch, key[0] if key else None)
            if not has_carried:
                return found
            number, metrics = found if isinstance(found, tuple) and len(found) == 2 else (found, {})
            return number, (new, metrics)

        loss.__name__ = type(self._module).__name__
        return loss

    def _predict_function(self) -> Callable[..., Any]:
        def call(module: Any, inputs: Any) -> Any:
            if isinstance(inputs, Mapping):
                return module(**inputs)
            return module(*inputs) if isinstance(inputs, (tuple, list)) else module(inputs)

        modes = dict.fromkeys(self._modes, False)
        given = self._predict or call

        def predict(params: Any, *rest: Any) -> Any:
            carried, inputs = rest if self.carried is not None else ({}, rest[0])
            return self._run(given, modes, params, carried, inputs, None)[0]

        return predict

    def _run(self, function: Callable[..., Any], modes: dict[Any, bool], params: Any, carried: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        """What a function of the module and a batch gives, and what is carried after it."""
        torch, torchax = _libraries()
        env = torchax.default_env()
        start = jax.random.key(0) if key is None else key
        constants = {name: jax.numpy.asarray(value) for name, value in self._constants.items()}
        arrays = env.j2t_iso(jax.tree_util.tree_map(jax.numpy.asarray, {**constants, **params, **carried}))
        whole = _whole_class()(self._module, function)
        named = {f"module.{name}": value for name, value in arrays.items()}
        batch = env.j2t_iso(jax.tree_util.tree_map(jax.numpy.asarray, batch))
        before = {part: part.training for part in modes}
        try:
            for part, training in modes.items():
                part.training = training
            with contextlib.ExitStack() as stack:
                stack.enter_context(env.override_property(prng=start))
                stack.enter_context(env)
                stack.enter_context(torch.device("jax"))
                stack.enter_context(_mode_class()(env))
                stack.enter_context(torch.no_grad())
                found, buffers = torch.func.functional_call(whole, named, (batch,))
                drew = env.param.prng is not start
        except torchax.tensor.OperatorNotFound as error:
            raise ModelError(f"{type(self._module).__qualname__} uses an operator that torchax does not have: {error}") from error
        except jax.errors.ConcretizationTypeError as error:
            advice = "a compiled step has no values to look at, as `if`, float() and .item() do: use torch.where and the like"
            raise ModelError(f"{type(self._module).__qualname__} or its loss looks at the value of a tensor; {advice}") from error
        finally:
            for part, training in before.items():
                part.training = training
        if drew and key is None:
            raise _NeedsKey(f"{_drawing(self._module, modes)} draws random numbers: compile with key=True")
        for name, value in constants.items():
            if env.t2j_iso(buffers[name]) is not value:
                raise ModelError(f"the buffer {name}, {value.dtype}{list(value.shape)}, changes in training: natgrad carries floats only")
        new = {name: env.t2j_iso(buffers.get(name, arrays[name])) for name in carried}
        for name, value in new.items():
            # Buffers keep their types, as in PyTorch's own operations in place.
            new[name] = value.astype(carried[name].dtype)
        return env.t2j_iso(found), new


def from_torch(module: torch.nn.Module, loss: Callable[..., Any], *, predict: Callable[..., Any] | None = None) -> TorchModel:
    """A module of PyTorch's and its loss, for `natgrad.compile`. It needs torch and torchax: `pip install 'natgrad[torch]'`.

    `loss(module, batch)` calls the module as usual, and gives a number, or `(number, metrics)` with a dictionary of numbers:

        def loss(module, batch):
            images, labels = batch
            return torch.nn.functional.cross_entropy(module(images), labels)

        model = natgrad.from_torch(module, loss)
        step = model.compile(batch, rule=natgrad.Ivon(lr=0.1, ess=50_000))
        state = step.init(model.params)
        ...
        module.load_state_dict(model.state_dict(step.posterior(state).mean(), step.carried(state)))

    Each part of the module trains in the mode that it is in now (`train()` or `eval()`); predictions are in evaluation mode. The module itself
    never changes. `predict(module, inputs)` says how predictions are made, if not by `module(inputs)`.
    """
    return TorchModel(module, loss, predict)


def _check_modules(module: Any, torch: ModuleType) -> None:
    """Refuses what would train otherwise than in PyTorch."""
    for name, part in module.named_modules():
        where = f"{name or 'the module'}, a {type(part).__name__},"
        if isinstance(part, torch.nn.modules.batchnorm._NormBase) and part.track_running_stats:
            if part.momentum is None:
                raise ModelError(f"{where} has momentum=None, the average of all batches: give it a momentum, such as 0.1")
            if isinstance(part, torch.nn.modules.instancenorm._InstanceNorm):
                raise ModelError(f"{where} has running averages, which torchax does not update: use track_running_stats=False")
        if isinstance(part, torch.nn.parameter.UninitializedTensorMixin) or any(
            isinstance(parameter, torch.nn.parameter.UninitializedTensorMixin) for parameter in part.parameters(recurse=False)
        ):
            raise ModelError(f"{where} has parameters without a shape: call the module once with a batch")


def _drawing(module: Any, modes: dict[Any, bool]) -> str:
    """The parts of a module that draw random numbers, for messages."""
    found = [f"{name} ({type(part).__name__})" for name, part in module.named_modules() if "Dropout" in type(part).__name__ and modes[part]]
    return ", ".join(found) or type(module).__qualname__


def _to_numpy(tensor: Any) -> np.ndarray:
    """A copy of a tensor."""
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":
        return np.array(tensor.float().numpy(), dtype=jax.numpy.bfloat16)
    array: np.ndarray = np.array(tensor.numpy())
    return array


@functools.cache
def _whole_class() -> Any:
    """A module around a module, so that a function of it is called with other parameters."""
    import torch

    class Whole(torch.nn.Module):
        def __init__(self, module: Any, function: Callable[..., Any]) -> None:
            super().__init__()
            self.module, self.function = module, function

        def forward(self, batch: Any) -> Any:
            # Buffers that are replaced in place of changed are read before the module has its own again.
            found = self.function(self.module, batch)
            return found, dict(self.module.named_buffers())

    return Whole


@functools.cache
def _mode_class() -> Any:
    """What stands between PyTorch's functions and torchax."""
    import torch
    import torchax

    class Mode(torch.overrides.TorchFunctionMode):
        def __init__(self, env: Any) -> None:
            super().__init__()
            self.env = env

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            args, kwargs = torch.utils._pytree.tree_map_only(torch.Tensor, self.ours, (args, kwargs or {}))
            return (_batch_norm if func is torch.nn.functional.batch_norm else func)(*args, **kwargs)

        def ours(self, tensor: Any) -> Any:
            """A tensor of PyTorch's own, such as weights of classes that a loss holds, as a constant."""
            if isinstance(tensor, (torchax.tensor.Tensor, torchax.view.View)):
                return tensor
            with torch._C.DisableTorchFunction():
                array = _to_numpy(tensor)
            return self.env.j2t_iso(jax.numpy.asarray(array))

    return Mode


def _batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5
) -> Any:
    """`torch.nn.functional.batch_norm`. torchax's own does not update the running averages."""
    others = [0, *range(2, input.ndim)]
    shape = [1, -1] + [1] * (input.ndim - 2)
    mean, var = running_mean, running_var
    if training or mean is None:
        count = input.numel() // input.shape[1]
        if count < 2:
            raise ModelError(f"batch norm needs more than one value per channel, and got {list(input.shape)}")
        mean, var = input.mean(others), input.var(others, correction=0)
        if running_mean is not None:
            running_mean.copy_(running_mean + momentum * (mean - running_mean))
            running_var.copy_(running_var + momentum * (var * (count / (count - 1)) - running_var))
    found = (input - mean.reshape(shape)) * (var.reshape(shape) + eps).rsqrt()
    if weight is not None:
        found = found * weight.reshape(shape)
    return found if bias is None else found + bias.reshape(shape)


@functools.cache
def _libraries() -> tuple[ModuleType, ModuleType]:
    """torch and torchax."""
    advice = "natgrad.from_torch needs {}: pip install 'natgrad[torch]'"
    try:
        import torch
    except ImportError as error:
        raise Error(advice.format("PyTorch")) from error
    try:
        with _stand_ins(torch):
            import torchax

            torchax.default_env()
    except ImportError as error:
        raise Error(advice.format("torchax")) from error
    except Exception as error:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchax"]:
            del sys.modules[name]
        raise Error(f"torchax does not work with PyTorch {torch.__version__}: {error}") from error
    return torch, torchax


@contextlib.contextmanager
def _stand_ins(torch: ModuleType) -> Iterator[None]:
    """Names of operators that PyTorch no longer has, while torchax looks them up.

    torchax 0.0.13 names operators that PyTorch 2.14 took away, such as `aten.cholesky`, in its tables. Nothing calls them.
    """

    class Gone:
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return Gone()

    def with_stand_ins(get: Callable[[Any, str], Any], is_aten: Callable[[Any], bool]) -> Callable[[Any, str], Any]:
        def found(self: Any, name: str) -> Any:
            try:
                return get(self, name)
            except AttributeError:
                if name.startswith("__") or not is_aten(self):
                    raise
                return Gone()

        return found

    spaces, packets = torch._ops._OpNamespace, torch._ops.OpOverloadPacket
    before = spaces.__getattr__, packets.__getattr__
    spaces.__getattr__ = with_stand_ins(before[0], lambda space: space.name == "aten")
    packets.__getattr__ = with_stand_ins(before[1], lambda packet: packet._qualified_op_name.startswith("aten::"))
    try:
        yield
    finally:
        spaces.__getattr__, packets.__getattr__ = before
