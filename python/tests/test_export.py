"""What is exported is what the function of JAX says, by name."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import natgrad

X = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
Y = np.arange(8, dtype=np.int32) % 4
PARAMS = {
    "b": np.linspace(-1, 1, 4, dtype=np.float32),
    "w": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "unused": np.ones((2, 2), np.float32),
}
GIVEN = {f"parameter/{name}": value for name, value in PARAMS.items()} | {"input/x": X, "input/y": Y}
BATCH = {"x": X, "y": Y}


def logits(params, x):
    return jnp.tanh(x @ params["w"] + params["b"])


def loss(params, batch):
    found = logits(params, batch["x"])
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(found), batch["y"][:, None], axis=1))


def test_loss_and_gradients_by_name(export):
    model = export(loss, PARAMS, BATCH, predict=logits, task="classes", labels="y")
    found = model.run("loss_and_gradient", GIVEN)
    value, gradients = jax.value_and_grad(loss)(PARAMS, BATCH)
    np.testing.assert_allclose(found["loss"], value, rtol=1e-6)
    assert set(found) == {"loss", "gradient/b", "gradient/w", "gradient/unused"}
    for name in PARAMS:
        np.testing.assert_allclose(found[f"gradient/{name}"], gradients[name], rtol=1e-5, atol=1e-7)
    assert not found["gradient/unused"].any()
    predicted = model.run("predict", GIVEN)
    np.testing.assert_allclose(predicted["prediction"], logits(PARAMS, X), rtol=1e-5)
    assert "input/y" not in model.names("predict")[0]
    assert model.json["prediction"] == {"shape": [8, 4], "type": "f32"}
    assert model.json["rows"] == 8 and model.json["labels"] == "y" and model.json["task"] == "classes"
    for name, value in PARAMS.items():
        np.testing.assert_array_equal(model.tensors[name], value)


def test_the_text_has_jax_names_and_no_path_of_this_machine(export):
    def scoped(params, batch):
        with jax.named_scope("outer"):
            return loss(params, batch)

    text = (export(scoped, PARAMS, BATCH).folder / "loss_and_gradient.mlir").read_text()
    assert "jit(loss_and_gradient)/jvp(outer)" in text and "transpose(jvp(outer))" in text
    assert 'loc("parameter/w")' in text
    assert "/tests/" not in text and "site-packages" not in text


def test_metrics(export):
    def with_metrics(params, batch):
        right = jnp.argmax(logits(params, batch["x"]), -1) == batch["y"]
        return loss(params, batch), {"correct": right.sum(), "more": {"share": right.mean(dtype=jnp.bfloat16)}}

    model = export(with_metrics, PARAMS, BATCH)
    found = model.run("loss_and_gradient", GIVEN)
    assert model.json["metrics"] == ["correct", "more.share"]
    assert found["metric/correct"].dtype == np.float32
    assert found["metric/correct"] == (np.argmax(logits(PARAMS, X), -1) == Y).sum()


def test_a_key(export):
    def noisy(params, batch, key):
        return loss(params, {**batch, "x": batch["x"] + jax.random.normal(key, batch["x"].shape)})

    model = export(noisy, PARAMS, BATCH, key=True, curvature=["squared_gradients"])
    assert model.json["seed"] == {"shape": [2], "type": "u32"}
    for seed in (3, 4):
        key = jax.random.key(seed)
        data = np.asarray(jax.random.key_data(key))
        found = model.run("loss_and_gradient", GIVEN | {"seed": data})
        np.testing.assert_allclose(found["loss"], noisy(PARAMS, BATCH, key), rtol=1e-5)
    # A row's own gradient is at a key of its own.
    found = model.run("squared_gradients", GIVEN | {"seed": data})
    squares = [
        jax.grad(noisy)(PARAMS, {"x": X[n : n + 1], "y": Y[n : n + 1]}, jax.random.fold_in(key, n))["w"] ** 2 for n in range(8)
    ]
    np.testing.assert_allclose(found["squared_gradient/w"], np.mean(squares, axis=0), rtol=1e-5, atol=1e-8)


def test_carried_state(export):
    def with_average(params, carried, batch):
        mean = 0.5 * carried["norm"][0] + 0.5 * batch["x"].mean(0)
        return loss(params, {**batch, "x": batch["x"] - mean}), ({"norm": (mean, carried["norm"][1])}, {"one": 1})

    carried = {"norm": (np.ones(3, np.float32), np.array(5, np.float32))}
    model = export(
        with_average, PARAMS, BATCH, carried=carried, predict=lambda p, c, x: logits(p, x - c["norm"][0]), labels="y", task="classes"
    )
    assert [entry["name"] for entry in model.json["carried"]] == ["norm.0", "norm.1"]
    given = GIVEN | {"carried/norm.0": carried["norm"][0], "carried/norm.1": carried["norm"][1]}
    found = model.run("loss_and_gradient", given)
    np.testing.assert_allclose(found["carried/norm.0"], 0.5 + 0.5 * X.mean(0), rtol=1e-5)
    assert found["carried/norm.1"] == 5 and found["metric/one"] == 1
    predicted = model.run("predict", given)["prediction"]
    np.testing.assert_allclose(predicted, logits(PARAMS, X - 1), rtol=1e-5)
    np.testing.assert_array_equal(model.tensors["carried/norm.0"], np.ones(3))


def test_carried_state_alone_may_end_in_a_dictionary(export):
    def step(params, carried, batch):
        return loss(params, batch), (carried[0] + 1, {"a": carried[1]["a"]})

    model = export(step, PARAMS, BATCH, carried=(np.zeros((), np.float32), {"a": np.ones(2, np.float32)}))
    assert [entry["name"] for entry in model.json["carried"]] == ["carried_0", "carried_1.a"]
    assert model.json["metrics"] == []


def test_squared_gradients_are_those_of_rows(export):
    model = export(loss, PARAMS, BATCH, curvature="squared_gradients")
    found = model.run("squared_gradients", GIVEN)
    rows = [jax.grad(loss)(PARAMS, {"x": X[n : n + 1], "y": Y[n : n + 1]}) for n in range(8)]
    for name in PARAMS:
        mean = np.mean([row[name] ** 2 for row in rows], axis=0)
        np.testing.assert_allclose(found[f"squared_gradient/{name}"], mean, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(found["gradient/w"], jax.grad(loss)(PARAMS, BATCH)["w"], rtol=1e-5, atol=1e-7)


def test_hessian_vector_products(export):
    model = export(loss, PARAMS, BATCH, curvature=("hessian_vector",))
    probes = {name: np.random.default_rng(1).standard_normal(value.shape).astype(np.float32) for name, value in PARAMS.items()}
    found = model.run("hessian_vector", GIVEN | {f"probe/{name}": probe for name, probe in probes.items()})
    hessian = jax.hessian(loss)(PARAMS, BATCH)
    for name in PARAMS:
        product = sum(jnp.tensordot(hessian[name][other], probes[other], probes[other].ndim) for other in PARAMS)
        np.testing.assert_allclose(found[f"hessian_vector/{name}"], product, rtol=1e-4, atol=1e-6)


def test_files_of_an_earlier_export_go(export):
    assert (export(loss, PARAMS, BATCH, curvature="hessian_vector", predict=logits, labels="y").folder / "predict.mlir").exists()
    folder = export(loss, PARAMS, BATCH).folder
    assert sorted(path.name for path in folder.iterdir()) == ["loss_and_gradient.mlir", "model.json", "parameters.safetensors"]


def test_inputs_that_are_not_of_rows(export):
    def weighted(params, batch):
        x, weights, scale = batch
        return scale * jnp.mean((x * weights @ params["w"]) ** 2)

    batch = (X, np.arange(3, dtype=np.float32), 2.0)
    with pytest.raises(natgrad.ModelError, match=r"batch\[1\], f32\[3\] has 3 rows, and batch\[0\], f32\[8, 3\] has 8: give rows="):
        export(weighted, PARAMS, batch)
    model = export(weighted, PARAMS, batch, rows=8, curvature="squared_gradients")
    given = GIVEN | {f"input/input_{n}": np.asarray(part, np.float32) for n, part in enumerate(batch)}
    found = model.run("squared_gradients", given)
    rows = [jax.grad(weighted)(PARAMS, (X[n : n + 1], *batch[1:]))["w"] ** 2 for n in range(8)]
    np.testing.assert_allclose(found["squared_gradient/w"], np.mean(rows, axis=0), rtol=1e-5)


# Names.


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Layer:
    weight: Any
    bias: Any


def names(tree, **options):
    from natgrad._trees import tree_of

    return tree_of(tree, "params", "parameter", **options)[0].names()


ONE = np.ones(1, np.float32)


def test_names_of_trees():
    assert names({"layers": [Layer(ONE, ONE), Layer(ONE, ONE)]}) == [
        "layers.0.weight",
        "layers.0.bias",
        "layers.1.weight",
        "layers.1.bias",
    ]
    assert names(ONE) == ["parameter"]
    assert names((ONE, (ONE, ONE))) == ["p0", "p1.0", "p1.1"]
    assert names((ONE, {"a": ONE}), sequence="input") == ["input_0", "input_1.a"]
    assert names({"a/b c": ONE, "é": ONE, "x.y": ONE}) == ["a_b_c", "x.y", "_"]
    assert names({3: ONE}) == ["p3"]
    assert names({"a": None, "b": ONE}) == ["b"]


def test_two_leaves_of_one_name():
    with pytest.raises(natgrad.ModelError, match=r"params\['a_b'\] and params\['a/b'\] both have the name 'a_b'"):
        names({"a/b": ONE, "a_b": ONE})


def test_names_of_flax():
    linen = pytest.importorskip("flax.linen")
    params = linen.Dense(2).init(jax.random.key(0), np.ones((1, 3), np.float32))["params"]
    assert names({"Dense_0": params}) == ["Dense_0.bias", "Dense_0.kernel"]

    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(3, 4, rngs=rngs)
            self.norm = nnx.BatchNorm(4, rngs=rngs)

    _, params, rest = nnx.split(Net(nnx.Rngs(0)), nnx.Param, ...)
    assert names(params) == ["first.bias", "first.kernel", "norm.bias", "norm.scale"]
    assert names(rest) == ["norm.mean", "norm.var"]


def test_names_of_equinox():
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.MLP(2, 2, 3, 1, key=jax.random.key(0))
    params, _ = eqx.partition(model, eqx.is_array)
    assert names(params) == ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]
    with pytest.raises(natgrad.ModelError, match=r"params\.activation is .*must be an array: .*equinox.partition"):
        names(model)


# Mistakes.


def refused(message, *arguments, **options):
    from natgrad._model import Model

    with pytest.raises(natgrad.ModelError, match=message):
        model = Model(*arguments, **options)
        model.text("loss_and_gradient")


def test_wrong_parameters():
    refused(r"params\['n'\] is i32\[2\], and has no gradient", loss, PARAMS | {"n": np.ones(2, np.int32)}, BATCH)
    refused(r"params\['n'\] has the type complex64 and the shape \[2\].*real and imaginary", loss, PARAMS | {"n": np.ones(2, np.complex64)}, BATCH)
    refused(r"params\['n'\] is i8\[2\], and has no gradient", loss, PARAMS | {"n": np.ones(2, np.int8)}, BATCH)
    refused(r"params\['n'\] has the type complex64", loss, PARAMS | {"n": np.ones(2, np.complex64)}, BATCH)
    refused(r"params\['n'\] is a builtins\.function|params\['n'\] is a function", loss, PARAMS | {"n": lambda: 0}, BATCH)
    refused(r"params\['n'\] is a str", loss, PARAMS | {"n": "text"}, BATCH)
    refused("params has no array", loss, {}, BATCH)
    refused(r"params\['n'\] has the type key.*key=True", loss, PARAMS | {"n": jax.random.key(0)}, BATCH)


def test_wrong_batches():
    refused(r"batch\['z'\] has the type complex64", loss, PARAMS, BATCH | {"z": np.ones((8, 2), np.complex64)})
    refused(r"batch\['z'\], f32\[7\] has 7 rows", loss, PARAMS, BATCH | {"z": np.ones(7, np.float32)})
    refused("batch has no array with rows", lambda p, b: p["w"].sum() * b, PARAMS, 1.0)
    refused("labels='z' is no array of the batch, whose names are x, y", loss, PARAMS, BATCH, labels="z")
    refused(r"batch\['x'\], f32\[8, 3\] has the labels, which are i32 or u32", loss, PARAMS, BATCH, labels="x", task="classes")
    refused("task='class'", loss, PARAMS, BATCH, task="class")
    refused("noise=0.5", loss, PARAMS, BATCH, task="classes", noise=0.5)


def test_wrong_losses():
    refused(r"the loss is float32\[8\], and must be one number", lambda p, b: (b["x"] @ p["w"]).sum(1), PARAMS, BATCH)
    refused("the loss is int32, and must be a float", lambda p, b: jnp.int32(1), PARAMS, BATCH)
    refused("the loss is a dict", lambda p, b: {"loss": 1.0}, PARAMS, BATCH)
    refused(r"\(loss, metrics\)", lambda p, b: (1.0, 2.0), PARAMS, BATCH)
    refused(r"metrics\['each'\] is float32\[8\]", lambda p, b: (loss(p, b), {"each": jnp.ones(8)}), PARAMS, BATCH)
    with_state = {"carried": {"mean": np.zeros(3, np.float32)}}
    refused(r"with carried=", lambda p, c, b: loss(p, b), PARAMS, BATCH, **with_state)
    refused(r"\['mean'\] is f32\[2\], and must be f32\[3\]", lambda p, c, b: (loss(p, b), {"mean": jnp.zeros(2)}), PARAMS, BATCH, **with_state)
    refused(r"\['mean'\] is missing \(f32\[3\]\); there is average", lambda p, c, b: (loss(p, b), {"average": jnp.zeros(3)}), PARAMS, BATCH, **with_state)


def test_wrong_predictions():
    options = {"labels": "y", "task": "classes"}
    refused(r"f32\[8\]; for task='classes' it gives logits of the shape \[rows, classes\]", loss, PARAMS, BATCH, predict=lambda p, x: x.sum(1), **options)
    refused(r"for a batch of 8 rows", loss, PARAMS, BATCH, predict=lambda p, x: x.T @ x, **options)
    refused(r"int32\[8, 4\], and must give floats", loss, PARAMS, BATCH, predict=lambda p, x: (x @ p["w"]).astype(int), **options)
    refused(r"predict gives .*must give one array", loss, PARAMS, BATCH, predict=lambda p, x: (x, x), **options)


def test_custom_calls():
    def printing(params, batch):
        jax.debug.print("{}", params["w"].sum())
        return loss(params, batch)

    refused(r"calls Python while it runs: take out jax\.debug\.print", printing, PARAMS, BATCH)

    def decomposed(params, batch):
        return jnp.linalg.cholesky(params["w"].T @ params["w"] + jnp.eye(4)).sum()

    refused(r"custom call to 'lapack_[a-z_]*'.*LAPACK", decomposed, PARAMS, BATCH)


def test_nothing_is_written_on_a_mistake(tmp_path):
    with pytest.raises(natgrad.ModelError, match="curvature='hessian'"):
        natgrad.export(loss, PARAMS, BATCH, tmp_path / "model", curvature="hessian")
    assert not (tmp_path / "model").exists()
