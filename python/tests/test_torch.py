"""Modules of PyTorch's train as PyTorch says."""

from __future__ import annotations

import copy
import importlib.util

import numpy as np
import pytest

import natgrad

torch = pytest.importorskip("torch")
if importlib.util.find_spec("torchax") is None:
    pytest.skip("torchax is not installed", allow_module_level=True)

F = torch.nn.functional


class ConvNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(4)
        self.second = torch.nn.Conv2d(4, 6, 3, stride=2)
        self.again = torch.nn.BatchNorm2d(6, momentum=0.3, eps=1e-3)
        self.out = torch.nn.Linear(6, 3)

    def forward(self, images):
        found = F.max_pool2d(F.relu(self.norm(self.first(images))), 2)
        return self.out(F.relu(self.again(self.second(found))).mean((2, 3)))


def mlp(*between):
    return torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), *between, torch.nn.Linear(8, 3))


def images(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 2, 8, 8, generator=generator) * 2 + 1, torch.randint(0, 3, (6,), generator=generator)


def rows(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 5, generator=generator), torch.randint(0, 3, (6,), generator=generator)


def cross_entropy(module, batch):
    x, y = batch
    return F.cross_entropy(module(x), y)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("module, data", [(ConvNet, images), (mlp, rows)])
def test_steps_of_sgd_are_those_of_pytorch(module, data):
    ours = module()
    theirs = copy.deepcopy(ours)
    model = natgrad.from_torch(ours, cross_entropy)
    assert model.params.keys() == dict(ours.named_parameters()).keys()
    step = model.compile(data(), rule=natgrad.Sgd(lr=0.1, momentum=0.0))
    state = step.init(model.params)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for seed in range(3):
        state, metrics = step(state, data(seed))
        optimizer.zero_grad()
        loss = cross_entropy(theirs, data(seed))
        loss.backward()
        optimizer.step()
        assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-5)
    found = model.state_dict(step.posterior(state).mean(), step.carried(state) if model.carried else None)
    assert list(found) == list(theirs.state_dict())
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)
    assert ours.training and all((a == b).all() for a, b in zip(ours.state_dict().values(), model.state_dict(model.params, model.carried).values()))
    ours.load_state_dict(found)
    x = data(7)[0]
    ours.eval()
    theirs.eval()
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)


def test_predictions_are_in_evaluation_mode():
    module = ConvNet()
    model = natgrad.from_torch(module, cross_entropy)
    x, y = images()
    step = model.compile((x, y), rule=natgrad.Ivon(lr=0.1, ess=100), task="classes", labels=1)
    state = step.init(model.params)
    for seed in range(3):
        state, _ = step(state, images(seed))
    posterior = step.posterior(state)
    found = posterior.predict(model.predict, x, samples=0)
    module.load_state_dict(model.state_dict(posterior.mean(), step.carried(state)))
    module.eval()
    np.testing.assert_allclose(found.mean, module(x).softmax(1).detach().numpy(), rtol=1e-4, atol=1e-5)
    module.load_state_dict(model.state_dict(posterior.sample(3), step.carried(state)))
    assert posterior.predict(model.predict, x, samples=4).spread.max() > 0
    assert model.predict(model.params, model.carried, np.asarray(x)).shape == (6, 3)


def test_natgrad_compile_takes_the_parts():
    model = natgrad.from_torch(ConvNet(), cross_entropy)
    step = natgrad.compile(model.loss, model.params, images(), rule=natgrad.AdamW(), carried=model.carried)
    state, history = step.run(step.init(model.params), [list(images())] * 2, progress=False)
    assert len(history) == 2 and "ConvNet" in repr(step)


def test_dropout_draws_from_the_seed():
    model = natgrad.from_torch(mlp(torch.nn.Dropout(0.5)), cross_entropy)
    step = model.compile(rows(), rule=natgrad.Sgd(lr=0.0))

    def losses(seed):
        _, history = step.run(step.init(model.params, seed=seed), [rows()] * 8, progress=False)
        return [told["loss"] for told in history]

    assert losses(1) == losses(1) != losses(2)
    assert len(set(losses(1))) == 8
    with pytest.raises(natgrad.ModelError, match=r"2 \(Dropout\) draws random numbers: compile with key=True"):
        natgrad.compile(model.loss, model.params, rows(), rule=natgrad.Sgd())
    module = mlp(torch.nn.Dropout(0.5)).eval()
    assert len(set(losses_of(natgrad.from_torch(module, cross_entropy)))) == 1


def losses_of(model):
    step = model.compile(rows(), rule=natgrad.Sgd(lr=0.0))
    return [told["loss"] for told in step.run(step.init(model.params), [rows()] * 3, progress=False)[1]]


def test_dropout_keeps_the_mean():
    module = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Dropout(0.25))
    torch.nn.init.ones_(module[0].weight)
    torch.nn.init.zeros_(module[0].bias)
    model = natgrad.from_torch(module, lambda module, x: module(x).mean())
    x = torch.ones(20_000, 1)
    step = model.compile(x, rule=natgrad.Sgd(lr=0.0))
    state, metrics = step(step.init(model.params), x)
    assert metrics["loss"] == pytest.approx(1.0, abs=0.02)


class Tied(torch.nn.Module):
    """A table of embeddings that is the last layer too, a mask, and tensors that are made in the call."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(7, 4)
        self.attention = torch.nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = torch.nn.LayerNorm(4)
        self.out = torch.nn.Linear(4, 7, bias=False)
        self.out.weight = self.table.weight
        self.register_buffer("mask", torch.triu(torch.ones(5, 5, dtype=torch.bool), 1))
        self.norm.bias.requires_grad = False

    def forward(self, tokens):
        positions = torch.arange(tokens.shape[1]) * torch.tensor(0.1)
        found = self.table(tokens) + positions[:, None]
        attended, _ = self.attention(found, found, found, attn_mask=self.mask, need_weights=False)
        return self.out(self.norm(found + attended))


def test_tied_weights_masks_and_frozen_parameters():
    weights = torch.linspace(0.5, 2, 7)

    def loss(module, tokens):
        logits = module(tokens[:, :-1])
        found = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), weight=weights)
        return found, {"correct": (logits.argmax(-1) == tokens[:, 1:]).float().mean()}

    ours = Tied()
    theirs = copy.deepcopy(ours)
    tokens = torch.randint(0, 7, (3, 6))
    model = natgrad.from_torch(ours, loss)
    assert "out.weight" not in model.params and list(model.carried) == ["norm.bias"]
    step = model.compile(tokens, rule=natgrad.Sgd(lr=0.1, momentum=0.0))
    state, metrics = step(step.init(model.params), tokens)
    optimizer = torch.optim.SGD([parameter for parameter in theirs.parameters() if parameter.requires_grad], lr=0.1)
    number, told = loss(theirs, tokens)
    number.backward()
    optimizer.step()
    assert metrics["loss"] == pytest.approx(number.item(), rel=1e-5)
    _, (_, ours_told) = model.loss(model.params, model.carried, np.asarray(tokens))
    assert float(ours_told["correct"]) == pytest.approx(told["correct"].item())
    found = model.state_dict(step.posterior(state).mean(), step.carried(state))
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6)
        assert found[name].dtype == tensor.dtype
    ours.load_state_dict(found)


def test_what_is_wrong_is_said_by_name():
    module = ConvNet()
    model = natgrad.from_torch(module, cross_entropy)
    step = model.compile(images(), rule=natgrad.Sgd())
    less = {name: value for name, value in model.params.items() if name != "first.weight"}
    with pytest.raises(natgrad.ModelError, match=r"params\['first.weight'\] is missing"):
        step.init(less)
    with pytest.raises(natgrad.ModelError, match=r"params\['first.weight'\] is missing"):
        model.state_dict(less, model.carried)
    with pytest.raises(natgrad.ModelError, match=r"params\['out.bias'\] is f32\[2\], and must be f32\[3\]"):
        model.state_dict(model.params | {"out.bias": np.zeros(2, np.float32)}, model.carried)
    with pytest.raises(natgrad.ModelError, match=r"norm.running_mean.* carried: give step.carried\(state\)"):
        model.state_dict(model.params)
    with pytest.raises(natgrad.ModelError, match=r"batch\[0\] is f32\[6, 2, 9, 9\], and must be"):
        step(step.init(model.params), (torch.zeros(6, 2, 9, 9), torch.zeros(6, dtype=torch.int64)))
    with pytest.raises(natgrad.ModelError, match="Sequential or its loss looks at the value of a tensor"):
        natgrad.from_torch(mlp(), lambda module, x: module(x).sum() * (x.sum().item() + 1)).compile(rows()[0], rule=natgrad.Sgd())
    with pytest.raises(natgrad.ModelError, match="module is a function"):
        natgrad.from_torch(cross_entropy, cross_entropy)
    with pytest.raises(natgrad.ModelError, match="again, a BatchNorm2d, has momentum=None"):
        module.again.momentum = None
        natgrad.from_torch(module, cross_entropy)
    with pytest.raises(natgrad.ModelError, match="InstanceNorm2d, has running averages"):
        natgrad.from_torch(torch.nn.InstanceNorm2d(3, track_running_stats=True), cross_entropy)
    with pytest.raises(natgrad.ModelError, match="the module, a LazyLinear, has parameters without a shape"):
        natgrad.from_torch(torch.nn.LazyLinear(3), cross_entropy)


def test_whole_numbers_that_change_are_refused():
    class Counts(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(3))
            self.register_buffer("calls", torch.tensor(0))

        def forward(self, x):
            self.calls += 1
            return x * self.weight

    model = natgrad.from_torch(Counts(), lambda module, x: module(x).square().mean())
    with pytest.raises(natgrad.ModelError, match="the buffer calls, int32.* changes in training"):
        model.compile(torch.ones(4, 3), rule=natgrad.Sgd())
