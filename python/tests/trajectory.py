"""IVON written in NumPy, and natgrad's steps held to it."""

from __future__ import annotations

import jax
import numpy as np

import natgrad


def ivon_in_numpy(loss, params, batches, carried, rule, seed):
    """IVON (Shen et al. 2024, algorithm 1), in the type of the parameters; gives the losses and the mean."""
    gradient = jax.jit(jax.value_and_grad(loss, has_aux=carried is not None))
    mean, treedef = jax.tree_util.tree_flatten(params)
    momentum = [np.zeros_like(m) for m in mean]
    hess = [np.full_like(m, rule.hess_init) for m in mean]
    lr, ess, delta = rule.lr * (rule.hess_init + rule.weight_decay), rule.ess, rule.weight_decay
    losses = []
    for step, batch in enumerate(batches):
        noise = jax.tree_util.tree_leaves(natgrad.noise(params, step, seed=seed))
        offset = [(n / np.sqrt(ess * (h + delta))).astype(h.dtype) for n, h in zip(noise, hess, strict=True)]
        theta = treedef.unflatten([m + o for m, o in zip(mean, offset, strict=True)])
        if carried is None:
            value, gradients = gradient(theta, batch)
        else:
            (value, carried), gradients = gradient(theta, carried, batch)
        losses.append(float(value))
        for index, g in enumerate(map(np.asarray, jax.tree_util.tree_leaves(gradients))):
            h = hess[index]
            h_hat = g * offset[index] * ess * (h + delta)
            momentum[index] = rule.beta1 * momentum[index] + (1 - rule.beta1) * g
            hess[index] = rule.beta2 * h + (1 - rule.beta2) * h_hat + 0.5 * (1 - rule.beta2) ** 2 * (h - h_hat) ** 2 / (h + delta)
            debiased = momentum[index] / (1 - rule.beta1 ** (step + 1))
            mean[index] = mean[index] - lr * (debiased + delta * mean[index]) / (hess[index] + delta)
    return losses, treedef.unflatten(mean)


def trained(step, params, batches, seed):
    state = step.init(params, seed=seed)
    losses = []
    for batch in batches:
        state, metrics = step(state, batch)
        losses.append(metrics["loss"])
    return losses, step.posterior(state).mean()


def distance(found, wanted):
    """The largest difference, of each tensor's largest element."""
    of = lambda a, b: np.max(np.abs(np.asarray(a, np.float64) - b)) / np.max(np.abs(b))
    return max(map(of, jax.tree_util.tree_leaves(found), jax.tree_util.tree_leaves(wanted)))


def double_precision(loss, params, batches, carried, rule, seed=4):
    """natgrad's losses and mean are NumPy's. JAX must have 64-bit types."""
    step = natgrad.compile(loss, params, batches[0], rule, carried=carried)
    found, mean = trained(step, params, batches, seed)
    losses, wanted = ivon_in_numpy(loss, params, batches, carried, rule, seed)
    np.testing.assert_allclose(found, losses, rtol=1e-8)
    assert distance(mean, wanted) < 1e-8
    assert all(leaf.dtype == np.float64 for leaf in jax.tree_util.tree_leaves(mean))


def single_precision(loss, params, batches, carried, rule, seed=4):
    """They differ by less than three times what a change of the start by one unit in the last place makes."""
    step = natgrad.compile(loss, params, batches[0], rule, carried=carried)
    found, mean = trained(step, params, batches, seed)
    losses, wanted = ivon_in_numpy(loss, params, batches, carried, rule, seed)
    spreads = []
    for towards in (-np.inf, np.inf):
        nudged = jax.tree.map(lambda array: np.nextafter(array, np.float32(towards)), params)
        near_losses, near = ivon_in_numpy(loss, nudged, batches, carried, rule, seed)
        spreads.append((distance(near, wanted), np.max(np.abs(np.subtract(near_losses, losses)))))
    of_mean, of_losses = np.max(spreads, axis=0)
    assert distance(mean, wanted) < 3 * of_mean
    assert np.max(np.abs(np.subtract(found, losses))) < 3 * of_losses
