"""A convolutional network of Flax's with batch norm on 4,000 digits, with AdamW and with IVON.

    pip install natgrad flax
    python flax_convnet.py
"""

import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import natgrad

EPOCHS, ROWS = 8, 50


class ConvNet(nn.Module):
    @nn.compact
    def __call__(self, images, train):
        x = images
        for features in (16, 32, 64):
            x = nn.Conv(features, (3, 3), strides=2, use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return nn.Dense(10)(x.reshape(len(x), -1))


class Linear(nn.Module):
    @nn.compact
    def __call__(self, images, train):
        return nn.Dense(10)(images.reshape(len(images), -1))


def functions(module):
    """The loss, and what predicts."""

    def loss(params, batch_stats, batch):
        variables = {"params": params, "batch_stats": batch_stats}
        logits, new = module.apply(variables, batch["x"], train=True, mutable=["batch_stats"])
        logs = jax.nn.log_softmax(logits)
        number = -jnp.mean(jnp.take_along_axis(logs, batch["y"][:, None], axis=1))
        return number, new.get("batch_stats", {})

    def predict(params, batch_stats, images):
        return module.apply({"params": params, "batch_stats": batch_stats}, images, train=False)

    return loss, predict


def batches(data, seed):
    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        order = rng.permutation(len(data.x_train))
        for rows in order[: len(order) // ROWS * ROWS].reshape(-1, ROWS):
            yield {"x": data.x_train[rows], "y": data.y_train[rows]}


def main():
    data = natgrad.data("mnist-sample")
    steps = EPOCHS * (len(data.x_train) // ROWS)
    # Chosen on 800 of the training rows.
    adamw = natgrad.AdamW(lr=1e-2, weight_decay=1e-2)
    ivon = natgrad.Ivon(lr=1.0, ess=len(data.x_train), hess_init=10.0, beta2=0.995, weight_decay=1e-3)
    runs = {
        "linear, AdamW": (Linear(), adamw, [0]),
        "convolutions, AdamW": (ConvNet(), adamw, [0]),
        "convolutions, IVON": (ConvNet(), ivon, [0, 16]),
    }
    table = []
    for name, (module, rule, counts) in runs.items():
        loss, predict = functions(module)
        variables = module.init(jax.random.key(0), data.x_train[:1], train=False)
        step = natgrad.compile(
            loss,
            variables["params"],
            {"x": data.x_train[:ROWS], "y": data.y_train[:ROWS]},
            rule=rule,
            carried=variables.get("batch_stats", {}),
            predict=predict,
            task="classes",
            labels="y",
            schedule="cosine",
            steps=steps,
            name=type(module).__name__,
        )
        start = time.time()
        state, history = step.run(step.init(variables["params"]), batches(data, seed=0), steps=steps)
        print(f"{step}: {steps} steps in {time.time() - start:.1f} s, the last loss is {history[-1]['loss']:.4f}")
        for samples in counts:
            found = step.posterior(state).predict(predict, data.x_test, samples=samples)
            nll = -np.log(found.mean[np.arange(len(data.y_test)), data.y_test]).mean()
            where = f", {samples} samples" if samples else ", at the mean" if len(counts) > 1 else ""
            table.append((name + where, (found.classes == data.y_test).mean(), nll))

    print(f"\n{'on ' + str(len(data.y_test)) + ' other digits':34}{'accuracy':>10}{'NLL':>10}")
    for name, accuracy, nll in table:
        print(f"{name:34}{accuracy:10.1%}{nll:10.4f}")


if __name__ == "__main__":
    main()
