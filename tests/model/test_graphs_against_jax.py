"""Random networks with branches against JAX: outputs, gradients, and every product with a Jacobian."""

import numpy as np
import pytest

import fastbp as fb
from tests.model.random_graphs import OfArrays, input_widths, network, outputs_of

jax = pytest.importorskip("jax")
jnp = jax.numpy
ACTIVATIONS = {
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "relu": lambda x: jnp.where(x > 0.0, x, 0.0),
    "silu": jax.nn.silu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
}
ROWS = (1, 5, 33)


@pytest.fixture(autouse=True)
def doubles():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def in_jax(seed, parameters, X):
    cuts = np.cumsum(input_widths(seed))[:-1]
    return outputs_of(seed, OfArrays(parameters, jnp, ACTIVATIONS), jnp.split(X, cuts, axis=1))


def joined(seed, parameters, X):
    return jnp.concatenate(in_jax(seed, parameters, X), axis=1)


def close(ours, theirs, scale=0.0):
    theirs = np.asarray(theirs)
    scale = max(float(np.abs(theirs).max(initial=0.0)), scale, 1e-3)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max(initial=0.0) <= 1e-10 * scale


@pytest.mark.parametrize("seed", range(50))
def test_a_random_network_and_its_derivatives_are_jaxs(seed):
    net, rng = network(seed), np.random.default_rng(seed)
    rows = ROWS[seed % 3]
    X, v = rng.normal(size=(2, rows, net.inputs))
    u = rng.normal(size=(rows, net.outputs))
    parameters = {name: jnp.asarray(value) for name, value in net.parameters.items()}
    outputs = in_jax(seed, parameters, jnp.asarray(X))
    ours = net.predict(X)
    for mine, theirs in zip(ours if isinstance(ours, tuple) else (ours,), outputs, strict=True):
        close(mine, theirs)
    _, pull = jax.vjp(lambda p, x: joined(seed, p, x), parameters, jnp.asarray(X))
    to_parameters, to_input = pull(jnp.asarray(u))
    close(net.vjp(X, u), to_input)
    moved = jax.jvp(lambda x: joined(seed, parameters, x), (jnp.asarray(X),), (jnp.asarray(v),))[1]
    close(net.jvp(X, v), moved)
    found = net.parameter_vjp(X, u)
    largest = max(float(np.abs(g).max()) for g in to_parameters.values())
    for name, gradient in to_parameters.items():
        close(found[name], gradient, largest)
    one = jax.jacobian(lambda x: joined(seed, parameters, x[None])[0])(jnp.asarray(X[0]))
    for mode in ("forward", "reverse", "auto"):
        close(net.jacobian(X[0], mode), one)


@pytest.mark.parametrize("seed", range(50))
def test_the_loss_of_a_random_network_and_its_gradients_are_jaxs(seed):
    net, rng = network(seed), np.random.default_rng(seed)
    rows, splits = ROWS[seed % 3], net.graph.splits
    X = rng.normal(size=(rows, net.inputs))
    y = tuple(rng.normal(size=(rows, width)) for width in splits)
    weights = [1.0, 0.5, 2.0][: len(splits)]
    loss = fb.JointLoss(["mse"] * len(splits), weights) if len(splits) > 1 else "mse"

    def total(parameters):
        outputs = in_jax(seed, parameters, jnp.asarray(X))
        return sum(w * jnp.mean((z - t) ** 2) for w, z, t in zip(weights, outputs, y, strict=True))

    value, gradients = net.loss_and_gradients(X, y if len(splits) > 1 else y[0], loss)
    theirs, expected = jax.value_and_grad(total)({k: jnp.asarray(p) for k, p in net.parameters.items()})
    assert abs(value - float(theirs)) <= 1e-10 * abs(float(theirs))
    largest = max(float(np.abs(g).max()) for g in expected.values())
    for name, gradient in expected.items():
        close(gradients[name], gradient, largest)


def test_every_kind_is_in_several_of_them():
    nodes = [node for seed in range(50) for node in network(seed).graph.nodes]
    drawn = [node.layer.kind for node in nodes]
    wanted = {"linear", "add", "subtract", "multiply", "divide", "concat", "slice", "mean", "sum", "affine"}
    wanted |= {"reciprocal", "repeat", "layer_norm", "tanh", "sigmoid", "relu", "gelu"}
    assert {kind for kind in wanted if drawn.count(kind) < 5} == set()
    assert sum(node.shares for node in nodes) >= 5
