"""Steps of JAX's functions, against rules written in NumPy."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import natgrad
from trajectory import distance, double_precision, single_precision, trained

ROWS = 12


def predict(params, x):
    hidden = jnp.tanh(x @ params["first"]["weight"] + params["first"]["bias"])
    return hidden @ params["second"]


def loss(params, batch):
    logs = jax.nn.log_softmax(predict(params, batch["x"]))
    return -jnp.mean(jnp.take_along_axis(logs, batch["y"][:, None], axis=1))


def model(dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    weights = {"first": {"weight": rng.normal(size=(5, 7)), "bias": np.zeros(7)}, "second": rng.normal(size=(7, 3))}
    return jax.tree.map(lambda array: array.astype(dtype), weights)


def batches(count, dtype=np.float32, seed=1):
    rng = np.random.default_rng(seed)
    return [{"x": rng.normal(size=(ROWS, 5)).astype(dtype), "y": rng.integers(0, 3, ROWS).astype(np.int32)} for _ in range(count)]


def attention(params, batch):
    """A layer of a transformer that predicts the next token."""
    x = params["tokens"][batch[:, :-1]] + params["positions"]
    queries, keys, values = jnp.split(x @ params["qkv"], 3, axis=-1)
    scores = jnp.where(jnp.tril(jnp.ones((7, 7), bool)), queries @ keys.swapaxes(1, 2) / np.sqrt(6), -jnp.inf)
    x = x + jax.nn.softmax(scores) @ values @ params["proj"]
    x = (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * params["gamma"]
    x = x + jax.nn.gelu(x @ params["up"]) @ params["down"]
    logs = jax.nn.log_softmax(x @ params["tokens"].T)
    return -jnp.mean(jnp.take_along_axis(logs, batch[:, 1:, None], axis=2))


def convolution(params, carried, batch):
    """A convolution with batch norm."""
    images, labels = batch
    x = jax.lax.conv_general_dilated(images, params["conv"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    new = {"mean": 0.9 * carried["mean"] + 0.1 * mean, "variance": 0.9 * carried["variance"] + 0.1 * variance}
    x = jax.nn.relu((x - mean) * jax.lax.rsqrt(variance + 1e-5) * params["gamma"] + params["beta"])
    logs = jax.nn.log_softmax(x.reshape(len(x), -1) @ params["out"])
    return -jnp.mean(jnp.take_along_axis(logs, labels[:, None], axis=1)), new


def network(name, dtype):
    """A loss, parameters, fifty batches and what is carried, if something is."""
    rng = np.random.default_rng(2)
    normal = lambda *shape: rng.normal(size=shape).astype(dtype)
    if name == "perceptron":
        return loss, model(dtype), batches(50, dtype), None
    if name == "transformer":
        params = {"tokens": normal(11, 6), "positions": normal(7, 6), "qkv": normal(6, 18) / 3, "proj": normal(6, 6) / 3}
        params |= {"gamma": np.ones(6, dtype), "up": normal(6, 12) / 3, "down": normal(12, 6) / 3}
        return attention, params, [rng.integers(0, 11, (4, 8)).astype(np.int32) for _ in range(50)], None
    params = {"conv": normal(3, 3, 2, 4) / 3, "gamma": np.ones(4, dtype), "beta": np.zeros(4, dtype), "out": normal(64, 3) / 8}
    data = [(normal(6, 8, 8, 2), rng.integers(0, 3, 6).astype(np.int32)) for _ in range(50)]
    return convolution, params, data, {"mean": np.zeros(4, dtype), "variance": np.ones(4, dtype)}


NETWORKS = ("perceptron", "transformer", "convolution")


RULE = natgrad.Ivon(lr=0.5, ess=1000, hess_init=0.2, beta2=0.99, weight_decay=1e-2)


@pytest.mark.parametrize("name", NETWORKS)
def test_fifty_steps_of_ivon_in_double_precision(name):
    with jax.enable_x64(True):
        double_precision(*network(name, np.float64), RULE)


@pytest.mark.parametrize("name", NETWORKS)
def test_fifty_steps_of_ivon_in_single_precision(name):
    single_precision(*network(name, np.float32), RULE)


def test_adamw_is_optax():
    optax = pytest.importorskip("optax")
    params, data = model(), batches(50)
    rule = natgrad.AdamW(lr=1e-2, weight_decay=0.1)
    _, mean = trained(natgrad.compile(loss, params, data[0], rule), params, data, seed=0)
    optimizer = optax.adamw(1e-2, weight_decay=0.1)
    wanted, state = params, optimizer.init(params)
    for batch in data:
        updates, state = optimizer.update(jax.grad(loss)(wanted, batch), state, wanted)
        wanted = optax.apply_updates(wanted, updates)
    assert distance(mean, wanted) < 1e-5


@pytest.mark.parametrize("rule", [natgrad.Vogn(ess=1000), natgrad.Von(ess=1000), natgrad.Blr(ess=1000), natgrad.Sgd(), natgrad.Vadam(ess=1000)])
def test_every_estimator_trains(rule):
    params, data = model(), batches(1) * 60
    losses, _ = trained(natgrad.compile(loss, params, data[0], rule), params, data, seed=0)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_accumulated_batches_are_whole_ones():
    params, data = model(), batches(5)
    rule = natgrad.AdamW(lr=1e-2)
    whole = trained(natgrad.compile(loss, params, data[0], rule), params, data, seed=0)
    parts = trained(natgrad.compile(loss, params, data[0], rule, accumulation=3), params, data, seed=0)
    np.testing.assert_allclose(whole[0], parts[0], rtol=1e-5)
    assert distance(parts[1], whole[1]) < 1e-4
    with pytest.raises(natgrad.Error, match="accumulation=5: it must divide the 12 rows"):
        natgrad.compile(loss, params, data[0], rule, accumulation=5)


@pytest.mark.parametrize("options", [{}, {"accumulation": 2}, {"diagnostics": True}])
def test_several_steps_in_a_call_are_those_one_after_another(options, tmp_path):
    params, data = model(), batches(6)
    stacks = [jax.tree.map(lambda *leaves: np.stack(leaves), *data[first : first + 3]) for first in (0, 3)]
    one = natgrad.compile(loss, params, data[0], RULE, **options)
    several = natgrad.compile(loss, params, data[0], RULE, per_call=3, **options)
    wanted_state, wanted = one.run(one.init(params), data, progress=False)
    state, metrics = several(several.init(params), stacks[0])
    assert state.step == 3 and len(metrics) == 3
    several.save(tmp_path, state)
    for first in (state, several.load(tmp_path)):
        last, more = several.run(first, stacks[1:], progress=False)
        assert last.step == 6
        found = [dict(told) for told in metrics] + more
        assert [told.keys() for told in found] == [told.keys() for told in wanted]
        np.testing.assert_allclose([told["loss"] for told in found], [told["loss"] for told in wanted], rtol=1e-5)
        assert distance(several.posterior(last).mean(), one.posterior(wanted_state).mean()) < 1e-5
    _, told = several.run(several.init(params), stacks, steps=5, progress=False)
    assert len(told) == 3
    with pytest.raises(natgrad.ModelError, match=r"batch\['x'\] is f32\[12, 5\], and must be f32\[3, 12, 5\]"):
        several(last, data[0])
    with pytest.raises(natgrad.Error, match="per_call=0: it must be at least 1"):
        natgrad.compile(loss, params, data[0], RULE, per_call=0)


def test_a_state_is_spent_once(tmp_path):
    params, data = model(), batches(2)
    step = natgrad.compile(loss, params, data[0], RULE)
    state = step.init(params)
    posterior = step.posterior(state)
    again, _ = step(state, data[0])
    assert not state.is_whole and again.is_whole and again.step == 1
    for use in (lambda: step(state, data[0]), posterior.mean, lambda: posterior.sample(0), lambda: step.save(tmp_path / "nowhere", state)):
        with pytest.raises(natgrad.Error, match="this state, after 0 steps, was given to a step already"):
            use()
    assert not (tmp_path / "nowhere").exists()


def test_wrong_batches_and_parameters_are_named():
    params, data = model(), batches(1)
    step = natgrad.compile(loss, params, data[0], RULE)
    state = step.init(params)
    x, y = data[0]["x"], data[0]["y"]
    for batch, message in [
        ({"x": x[:, :4], "y": y}, r"batch\['x'\] is f32\[12, 4\], and must be f32\[12, 5\]"),
        ({"x": x}, r"batch\['y'\] is missing"),
        ({"x": x, "y": y, "z": y}, r"batch\['z'\]"),
        ({"x": x.astype(np.int32), "y": y}, r"batch\['x'\] is i32\[12, 5\], and must be f32\[12, 5\]"),
        ({"x": x, "y": "labels"}, r"batch\['y'\]"),
    ]:
        with pytest.raises(natgrad.ModelError, match=message):
            step(state, batch)
    assert state.is_whole
    with pytest.raises(natgrad.ModelError, match=r"params\['second'\] is missing"):
        step.init({"first": params["first"]})
    with pytest.raises(natgrad.ModelError, match=r"params\['second'\].*not finite"):
        step.init(params | {"second": np.full((7, 3), np.nan, np.float32)})
    with pytest.raises(natgrad.Error, match="seed=-1"):
        step.init(params, seed=-1)
    with pytest.raises(natgrad.Error, match="the state is a dict"):
        step({}, data[0])


def test_wrong_rules_and_options_are_named():
    params, data = model(), batches(1)
    for options, message in [
        ({"rule": "ivon"}, "it must be a rule"),
        ({"rule": natgrad.Ivon()}, "Ivon needs ess"),
        ({"rule": natgrad.Ivon(ess=-1)}, "rule.ess"),
        ({"rule": RULE, "device": "gpu"}, "device=.gpu.*cpu, cuda"),
        ({"rule": RULE, "schedule": "cosine"}, "needs steps="),
        ({"rule": RULE, "schedule": "cosin", "steps": 10}, "schedule"),
        ({"rule": RULE, "samples": 0}, "step.samples"),
        ({"rule": RULE, "prior": 3}, "prior=3: it must be the folder of an earlier run"),
        ({"rule": RULE, "prior": {"strength": 1}}, "it must be the folder of an earlier run"),
        ({"rule": RULE, "prior": {"run": "none", "strength": -1}}, "prior.strength"),
        ({"rule": RULE, "prior": "none"}, "prior.run.*none, which cannot be the prior"),
        ({"rule": natgrad.AdamW(), "prior": "none"}, "adamw"),
    ]:
        with pytest.raises(natgrad.Error, match=message):
            natgrad.compile(loss, params, data[0], **options)


def test_batches_are_taken_from_jax_and_by_dlpack():
    class Lent:
        """An array that only DLPack can read."""

        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    params, data = model(), batches(1)
    step = natgrad.compile(loss, params, data[0], RULE)
    losses = []
    for convert in (np.asarray, jnp.asarray, Lent, np.asfortranarray):
        _, metrics = step(step.init(params), jax.tree.map(convert, data[0]))
        losses.append(metrics["loss"])
    assert len(set(losses)) == 1


def test_a_saved_state_goes_on(tmp_path):
    params, data = model(), batches(6)
    step = natgrad.compile(loss, params, data[0], RULE)
    state = step.init(params, seed=9)
    state, _ = step.run(state, data[:3], progress=False)
    step.save(tmp_path / "run", state)
    step.save(tmp_path / "run", state)
    wanted, _ = step.run(state, data[3:], progress=False)
    again = natgrad.compile(loss, params, data[0], RULE)
    loaded = again.load(tmp_path / "run")
    assert (loaded.step, loaded.seed) == (3, 9)
    found, _ = again.run(loaded, data[3:], progress=False)
    found, wanted = again.tensors(found), step.tensors(wanted)
    assert found.keys() == wanted.keys() and all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoint.safetensors", "model"]
    other = natgrad.compile(loss, params, data[0], dataclasses.replace(RULE, lr=0.1))
    with pytest.raises(natgrad.Error, match="rule.lr"):
        other.load(tmp_path / "run")
    with pytest.raises(natgrad.Error, match="functions in the model's folder"):
        natgrad.compile(lambda p, b: 2 * loss(p, b), params, data[0], RULE).load(tmp_path / "run")
    with pytest.raises(natgrad.Error, match="none"):
        step.load(tmp_path / "none")


def test_an_earlier_posterior_is_the_prior(tmp_path):
    params, data = model(), batches(30)
    first = natgrad.compile(loss, params, data[0], RULE)
    state, _ = first.run(first.init(params), data[:10], progress=False)
    first.save(tmp_path / "first", state)
    earlier, tensors = first.posterior(state).mean(), first.tensors(state)
    rule = dataclasses.replace(RULE, ess=500)

    def after(prior, rule=rule, start=earlier):
        step = natgrad.compile(loss, params, data[0], rule, prior=prior)
        state, _ = step.run(step.init(start, seed=4), data[10:], progress=False)
        return step, state

    moved = {}
    for strength in (0.01, 1000):
        step, state = after({"run": tmp_path / "first", "strength": strength})
        found = step.tensors(state)
        precision = RULE.ess * (tensors["hess/second"] + RULE.weight_decay)
        np.testing.assert_allclose(found["prior_weight_decay/second"], strength * precision / 500, rtol=1e-5)
        assert np.array_equal(found["prior_mean/second"], tensors["mean/second"])
        moved[strength] = np.abs(found["mean/second"] - tensors["mean/second"]).max()
        spread = np.std([sample["second"] for sample in step.posterior(state).samples(200)], axis=0)
        sigma = 1 / np.sqrt(500 * (found["hess/second"] + found["prior_weight_decay/second"]))
        np.testing.assert_allclose(spread, sigma, rtol=0.2)
    assert moved[1000] < moved[0.01] / 20

    # A folder alone is strength 1; a saved state goes on with its prior, and another prior is refused.
    step, state = after(tmp_path / "first")
    step.save(tmp_path / "second", state)
    wanted, _ = step.run(state, data[:5], progress=False)
    again = natgrad.compile(loss, params, data[0], rule, prior={"run": tmp_path / "first", "strength": 1})
    found, _ = again.run(again.load(tmp_path / "second"), data[:5], progress=False)
    found, wanted = again.tensors(found), step.tensors(wanted)
    assert found.keys() == wanted.keys() and all(np.array_equal(found[name], wanted[name]) for name in wanted)
    other = natgrad.compile(loss, params, data[0], rule, prior={"run": tmp_path / "first", "strength": 2})
    with pytest.raises(natgrad.Error, match="prior.strength"):
        other.load(tmp_path / "second")
    # It can be the prior of a third.
    natgrad.compile(loss, params, data[0], rule, prior=tmp_path / "second")


def test_a_model_with_carried_state_takes_a_prior(tmp_path):
    loss, params, data, carried = network("convolution", np.float32)
    step = natgrad.compile(loss, params, data[0], RULE, carried=carried)
    state, _ = step.run(step.init(params), data[:5], progress=False)
    step.save(tmp_path, state)
    earlier, averages = step.posterior(state).mean(), step.carried(state)
    prior = natgrad.compile(loss, params, data[0], RULE, carried=carried, prior=tmp_path)
    state, history = prior.run(prior.init(earlier, carried=averages), data[5:10], progress=False)
    names = {name for name in prior.tensors(state) if name.startswith("prior_mean/")}
    assert names and np.isfinite([told["loss"] for told in history]).all()
    assert not any("variance" in name for name in names)


def test_posterior_samples_and_predictions():
    params, data = model(), batches(30)
    step = natgrad.compile(loss, params, data[0], RULE, predict=predict, labels="y", task="classes")
    state, history = step.run(step.init(params), data, progress=False)
    assert len(history) == 30 and set(history[0]) >= {"loss"}
    posterior = step.posterior(state)
    mean = posterior.mean()
    samples = posterior.samples(200)
    spread = np.std([sample["second"] for sample in samples], axis=0)
    hess = step.tensors(state)["hess/second"]
    np.testing.assert_allclose(spread, 1 / np.sqrt(RULE.ess * (hess + RULE.weight_decay)), rtol=0.2)
    np.testing.assert_allclose(np.mean([sample["second"] for sample in samples], axis=0), mean["second"], atol=5 * spread.max() / np.sqrt(200))
    assert np.array_equal(posterior.sample(3)["second"], samples[3]["second"])
    x = data[0]["x"]
    at_mean = posterior.predict(predict, x, samples=0)
    np.testing.assert_allclose(at_mean.mean, jax.nn.softmax(predict(mean, x)), atol=1e-6)
    assert (at_mean.spread == 0).all() and np.allclose(at_mean.epistemic, 0, atol=1e-12)
    averaged = posterior.predict(predict, x, samples=200)
    wanted = np.stack([jax.nn.softmax(predict(sample, x)) for sample in samples])
    np.testing.assert_allclose(averaged.mean, wanted.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(averaged.spread, wanted.std(axis=0), atol=1e-5)
    assert averaged.classes.shape == (ROWS,) and (averaged.epistemic > 0).all()
    adamw = natgrad.compile(loss, params, data[0], natgrad.AdamW())
    with pytest.raises(natgrad.Error, match="adamw leaves no posterior"):
        adamw.posterior(adamw.init(params)).samples(1)


def test_carried_state_and_keys():
    def with_average(params, carried, batch, key):
        keep = jax.random.bernoulli(key, 0.5, batch["x"].shape)
        new = {"average": 0.9 * carried["average"] + 0.1 * batch["x"].mean(axis=0)}
        return loss(params, batch | {"x": batch["x"] * keep}), new

    params, data = model(), batches(20)
    carried = {"average": np.zeros(5, np.float32)}
    step = natgrad.compile(with_average, params, data[0], RULE, carried=carried, key=True)
    state, history = step.run(step.init(params), data, progress=False)
    wanted = np.zeros(5)
    for batch in data:
        wanted = 0.9 * wanted + 0.1 * batch["x"].mean(axis=0)
    np.testing.assert_allclose(step.carried(state)["average"], wanted, rtol=1e-4, atol=1e-6)
    _, again = step.run(step.init(params), data, progress=False)
    _, other = step.run(step.init(params, seed=1), data, progress=False)
    assert [h["loss"] for h in history] == [h["loss"] for h in again] != [h["loss"] for h in other]


def test_steps_from_several_threads():
    params, data = model(), batches(10)
    step = natgrad.compile(loss, params, data[0], RULE)
    _, wanted = step.run(step.init(params), data, progress=False)
    found = [None] * 4

    def go(index):
        found[index] = step.run(step.init(params), data, progress=False)[1]

    threads = [threading.Thread(target=go, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 4


INTERRUPTED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from test_step import *
params, data = model(), batches(1)
step = natgrad.compile(loss, params, data[0], RULE)
def endless():
    for number in range(10**9):
        if number == 20:
            os.kill(os.getpid(), signal.SIGINT)
        yield data[0]
state, history = step.run(step.init(params), endless())
print(state.step, len(history), state.is_whole, step(state, data[0])[0].step)
"""


def test_control_c_ends_a_loop_with_a_whole_state():
    tests = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run([sys.executable, "-c", INTERRUPTED.format(tests=tests)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    steps, told, whole, next_ = done.stdout.split()
    assert (steps, whole) == (told, "True") and int(next_) == int(steps) + 1


def test_inputs_of_every_type():
    kinds = [np.float32, np.float16, jnp.bfloat16, np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32, np.bool_, np.int64, np.uint64, np.float64]

    def weighted(params, batch):
        return jnp.sum(params * jnp.stack([jnp.mean(array.astype(jnp.float32)) for array in batch.values()]))

    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        batch = {}
        for number, kind in enumerate(kinds):
            low = 0 if np.dtype(kind).kind in "ub" else -3
            batch[f"array{number:02}"] = rng.integers(low, 2 if kind == np.bool_ else 100, ROWS).astype(kind)
        params = np.arange(1, len(kinds) + 1, dtype=np.float32)
        step = natgrad.compile(weighted, params, batch, natgrad.Sgd())
        _, metrics = step(step.init(params), batch)
        wanted = sum(p * np.mean(array.astype(np.float64)) for p, array in zip(params, batch.values(), strict=True))
        np.testing.assert_allclose(metrics["loss"], wanted, rtol=1e-6)
        batch["array10"] = np.full(ROWS, 2**40)
        with pytest.raises(natgrad.ModelError, match="int64 has 1099511627776, and must be from"):
            step(step.init(params), batch)


def test_inputs_without_rows_and_metrics():
    def scaled(params, batch):
        value = loss(params, batch) * batch["scale"] + jnp.sum(batch["bias"] ** 2)
        return value, {"accuracy": jnp.mean(predict(params, batch["x"]).argmax(axis=1) == batch["y"]), "loss": value + 1}

    params, data = model(), batches(2)
    batch = data[0] | {"scale": np.float32(2), "bias": np.ones(3, np.float32)}
    rule = natgrad.AdamW()
    for options in ({}, {"accumulation": 2}):
        step = natgrad.compile(scaled, params, batch, rule, rows=ROWS, **options)
        _, metrics = step(step.init(params), batch)
        wanted, told = scaled(params, batch)
        assert set(metrics) == {"loss", "accuracy", "metric/loss", "learning_rate_used"}
        np.testing.assert_allclose([metrics["loss"], metrics["accuracy"]], [wanted, told["accuracy"]], rtol=1e-5)
        np.testing.assert_allclose(metrics["metric/loss"], wanted + 1, rtol=1e-5)


def test_reports():
    params, data = model(), batches(1)
    step = natgrad.compile(loss, params, data[0], RULE)
    report = step.report()
    assert "loss_and_gradient" in str(report) and report.data["about"]["rule"] == "ivon"
    assert "<html" in report.html and "srcdoc" in report._repr_html_()
    assert "stablehlo." in step.program() and "ENTRY" in step.program("hlo") and "func" in step.program("ir")


def test_a_program_that_xla_does_not_survive_with_merged_loops():
    def twice(params, batch):
        first, second = (jax.nn.log_softmax(batch["x"] @ params["w"] + params["b"]) for _ in range(2))
        of_label = [-jnp.take_along_axis(logs, batch["y"][:, None], 1).mean() for logs in (first, second)]
        return of_label[0] + 0.9 * of_label[1] - 0.1 * second.mean(1).mean()

    rng = np.random.default_rng(0)
    params = {"w": np.ones((5, 3), np.float32), "b": np.zeros(3, np.float32)}
    batch = {"x": rng.normal(size=(6, 5)).astype(np.float32), "y": np.arange(6, dtype=np.int32) % 3}
    with pytest.warns(UserWarning, match="XLA cannot merge the loops"):
        step = natgrad.compile(twice, params, batch, natgrad.AdamW())
    _, metrics = step(step.init(params), batch)
    np.testing.assert_allclose(metrics["loss"], twice(params, batch), rtol=1e-6)


def test_arrays_of_64_bits_are_narrowed():
    params, data = model(), batches(1)
    step = natgrad.compile(loss, params, data[0], RULE)
    wide = {"x": data[0]["x"].astype(np.float64), "y": data[0]["y"].astype(np.int64)}
    (_, found), (_, wanted) = (step(step.init(params), batch) for batch in (wide, data[0]))
    assert found["loss"] == wanted["loss"]
    with pytest.raises(natgrad.ModelError, match=r"int64 has 429496729\d, and must be from -2147483648 to 2147483647"):
        step(step.init(params), wide | {"y": wide["y"] + 2**32})


def test_rules_without_a_posterior_predict_at_the_mean():
    params, data = model(), batches(1)
    step = natgrad.compile(loss, params, data[0], natgrad.AdamW())
    found = step.posterior(step.init(params)).predict(predict, data[0]["x"])
    np.testing.assert_allclose(found.mean, predict(params, data[0]["x"]), rtol=1e-5)
    with pytest.raises(natgrad.ModelError, match=r"carried\['n'\] is i32\[\]: carried state is of floats"):
        natgrad.compile(lambda p, c, b: (loss(p, b), c), params, data[0], natgrad.AdamW(), carried={"n": np.int32(0)})
