"""The step as one writes it in JAX: plain functions over a tree of parameters, optax, one jitted step, donated state."""

import math
import os
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from workloads import ADAMW, IVON, Gpt, Mlp, ResNet, Setting, batch


def use_plugin(path):
    """Runs on a PJRT plugin (natgrad's own) instead of the XLA that jaxlib carries. Before the first computation."""
    from jax._src import xla_bridge

    xla_bridge.register_plugin("refcpu", library_path=os.path.expanduser(path), options={"cpu_device_count": 1}, priority=500)
    jax.config.update("jax_platforms", "refcpu")


def device(setting):
    """The device that JAX computes on, and why not if there is none."""
    if not jax.config.jax_platforms:
        jax.config.update("jax_platforms", setting.device)
    if setting.device == "cuda" and setting.precision != "bf16":
        exact = {"f32": "highest", "tf32": "tensorfloat32"}[setting.precision]
        jax.config.update("jax_default_matmul_precision", exact)
    try:
        return jax.devices()[0].device_kind, None
    except (RuntimeError, AssertionError) as error:
        return None, f"JAX has no {setting.device} here {error}".strip().splitlines()[0]


# Perceptron


def mlp_init(spec, random):
    layer = lambda i, o: {"w": random.normal(size=(i, o)) * math.sqrt(2 / i), "b": np.zeros(o)}
    return [layer(i, o) for i, o in zip(spec.sizes, spec.sizes[1:])]


def mlp(spec, params, x):
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


# ResNet


def conv_init(random, size, i, o):
    return random.normal(size=(size, size, i, o)) * math.sqrt(2 / (size * size * i))


def frn_init(width):
    return {"gamma": np.ones(width), "beta": np.zeros(width), "tau": np.zeros(width)}


def resnet_init(spec, random):
    params = {"stem": {"conv": conv_init(random, 3, 3, 16), "frn": frn_init(16)}, "blocks": []}
    before = 16
    for width in (16, 32, 64):
        for _ in range(spec.blocks):
            block = {
                "conv1": conv_init(random, 3, before, width), "frn1": frn_init(width),
                "conv2": conv_init(random, 3, width, width), "frn2": frn_init(width),
            }  # fmt: skip
            if before != width:
                block["short"] = conv_init(random, 1, before, width)
            params["blocks"].append(block)
            before = width
    params["out"] = {"w": random.normal(size=(64, spec.classes)) * math.sqrt(1 / 64), "b": np.zeros(spec.classes)}
    return params


def conv(x, w, stride=1):
    return jax.lax.conv_general_dilated(x, w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def frn(x, p):
    x = x * jax.lax.rsqrt(jnp.mean(x * x, axis=(1, 2), keepdims=True) + 1e-6)
    return jnp.maximum(x * p["gamma"] + p["beta"], p["tau"])


def resnet(spec, params, x):
    x = frn(conv(x, params["stem"]["conv"]), params["stem"]["frn"])
    for block in params["blocks"]:
        stride = 1 if x.shape[3] == block["conv1"].shape[3] else 2
        y = frn(conv(x, block["conv1"], stride), block["frn1"])
        y = conv(y, block["conv2"])
        short = conv(x, block["short"], stride) if "short" in block else x
        x = frn(y, block["frn2"]) + short
    x = jnp.mean(x, axis=(1, 2))
    return x @ params["out"]["w"] + params["out"]["b"]


# GPT


def gpt_init(spec, random):
    weight = lambda i, o, s=0.02: {"w": random.normal(size=(i, o)) * s, "b": np.zeros(o)}
    norm = lambda: {"gamma": np.ones(spec.width), "beta": np.zeros(spec.width)}
    small = 0.02 / math.sqrt(2 * spec.layers)
    w = spec.width
    params = {
        "tokens": random.normal(size=(spec.vocab, w)) * 0.02,
        "positions": random.normal(size=(spec.time, w)) * 0.02,
        "layers": [
            {"ln1": norm(), "qkv": weight(w, 3 * w), "proj": weight(w, w, small),
             "ln2": norm(), "up": weight(w, 4 * w), "down": weight(4 * w, w, small)}
            for _ in range(spec.layers)
        ],
        "norm": norm(),
    }  # fmt: skip
    if spec.untied:
        params["out"] = random.normal(size=(spec.vocab, w)) * 0.02
    return params


def layer_norm(x, p):
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(x - mean), axis=-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * p["gamma"] + p["beta"]


def linear(x, p):
    return x @ p["w"] + p["b"]


def fused_attention(spec, x, p):
    shape = (*x.shape[:2], spec.heads, spec.width // spec.heads)
    q, k, v = (part.reshape(shape) for part in jnp.split(linear(x, p["qkv"]), 3, axis=-1))
    return linear(jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape), p["proj"])


def attention(spec, x, p):
    shape = (*x.shape[:2], spec.heads, spec.width // spec.heads)
    q, k, v = (part.reshape(shape) for part in jnp.split(linear(x, p["qkv"]), 3, axis=-1))
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(shape[-1])
    causal = jnp.tril(jnp.ones((spec.time, spec.time), bool))
    weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), axis=-1)
    return linear(jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(x.shape), p["proj"])


def gpt(spec, params, tokens, attention=attention):
    x = jnp.take(params["tokens"], tokens, axis=0) + params["positions"]
    for p in params["layers"]:
        x = x + attention(spec, layer_norm(x, p["ln1"]), p)
        x = x + linear(jax.nn.gelu(linear(layer_norm(x, p["ln2"]), p["up"]), approximate=False), p["down"])
    return layer_norm(x, params["norm"]) @ params["out" if spec.untied else "tokens"].T


MODELS = {Mlp: (mlp_init, mlp), ResNet: (resnet_init, resnet), Gpt: (gpt_init, gpt)}


# IVON, as its algorithm is printed: sample, gradient, update (Shen et al. 2024, Alg. 1; ivon-opt 0.1.3's conventions).
# The package registry has no IVON for JAX; this is what one writes with jax.random and jax.tree.


def ivon_init(params):
    return {"g": jax.tree.map(jnp.zeros_like, params), "h": jax.tree.map(lambda p: jnp.full_like(p, IVON["hess_init"]), params),
            "t": jnp.zeros((), jnp.int32)}  # fmt: skip


def ivon_step(loss, params, state, key):
    ess, delta, b1, b2 = IVON["ess"], IVON["weight_decay"], IVON["beta1"], IVON["beta2"]
    leaves, tree = jax.tree.flatten(params)
    keys = jax.tree.unflatten(tree, list(jax.random.split(key, len(leaves))))
    noise = jax.tree.map(
        lambda m, h, k: jax.random.normal(k, m.shape) / jnp.sqrt(ess * (h + delta)), params, state["h"], keys
    )
    value, grad = jax.value_and_grad(loss)(jax.tree.map(jnp.add, params, noise))
    t = state["t"] + 1
    g = jax.tree.map(lambda g, new: b1 * g + (1 - b1) * new, state["g"], grad)

    def hess(h, new, offset):
        hat = new * offset * ess * (h + delta)
        return b2 * h + (1 - b2) * hat + (1 - b2) ** 2 * (h - hat) ** 2 / (2 * (h + delta))

    h = jax.tree.map(hess, state["h"], grad, noise)
    lr = IVON["lr"] * (IVON["hess_init"] + delta)
    params = jax.tree.map(lambda m, g, h: m - lr * (g / (1 - b1**t) + delta * m) / (h + delta), params, g, h)
    return params, {"g": g, "h": h, "t": t}, value


def loss_of(spec, dtype=jnp.float32, fused=False):
    """The loss of a batch; the model computes in `dtype`, and what is carried is in single precision.

    `fused` takes JAX's own attention instead of the one that is written out."""
    _, apply = MODELS[type(spec)]
    if fused and isinstance(spec, Gpt):
        apply = partial(gpt, attention=fused_attention)
    of_type = lambda value: value.astype(dtype) if jnp.issubdtype(value.dtype, jnp.floating) else value

    def loss(params, x, y):
        if dtype != jnp.float32:
            params, x = jax.tree.map(of_type, (params, x))
        logits = apply(spec, params, x).astype(jnp.float32)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))

    return loss


class Step:
    """One workload with one rule: `run` makes steps and waits for the last; gives its loss."""

    def __init__(self, spec, rule, setting=Setting(), options=None):
        reason = device(setting)[1]
        if reason:
            raise ValueError(f"no {setting.device} for JAX: {reason}")
        init, _ = MODELS[type(spec)]
        params = init(spec, np.random.default_rng(1))
        self.params = jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), params)
        self.data = tuple(jax.device_put(array) for array in batch(spec))
        loss = loss_of(spec, jnp.bfloat16 if setting.precision == "bf16" else jnp.float32, setting.attention)
        if rule == "adamw":
            a = ADAMW
            optimizer = optax.adamw(a["lr"], a["beta1"], a["beta2"], a["eps"], weight_decay=a["weight_decay"])
            self.state = optimizer.init(self.params)

            def step(params, state, x, y):
                value, grad = jax.value_and_grad(loss)(params, x, y)
                updates, state = optimizer.update(grad, state, params)
                return optax.apply_updates(params, updates), state, value

        elif rule == "ivon":
            self.state = (ivon_init(self.params), jax.random.key_data(jax.random.key(0)))

            def step(params, state, x, y):
                state, key = state
                key, now = jax.random.split(jax.random.wrap_key_data(key))
                params, state, value = ivon_step(lambda p: loss(p, x, y), params, state, now)
                return params, (state, jax.random.key_data(key)), value

        else:
            raise ValueError(f"no rule {rule}: adamw, ivon")
        lowered = jax.jit(step, donate_argnums=(0, 1)).lower(self.params, self.state, *self.data)
        self.step = lowered.compile(compiler_options=options)

    def parameters(self):
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))

    def run(self, steps):
        for _ in range(steps):
            self.params, self.state, loss = self.step(self.params, self.state, *self.data)
        return float(jax.block_until_ready((loss, self.params))[0])
