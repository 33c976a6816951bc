"""Random networks with branches against JAX: outputs, gradients, and every product with a Jacobian."""

from functools import cache

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
    words = {"jax_enable_x64": True, "jax_disable_most_optimizations": True}  # each network is run once
    before = {word: jax.config.values[word] for word in words}
    for word, value in words.items():
        jax.config.update(word, value)
    yield
    for word, value in before.items():
        jax.config.update(word, value)


def in_jax(seed, parameters, X):
    cuts = np.cumsum(input_widths(seed))[:-1]
    return outputs_of(seed, OfArrays(parameters, jnp, ACTIVATIONS), jnp.split(X, cuts, axis=1))


def joined(seed, parameters, X):
    return jnp.concatenate(in_jax(seed, parameters, X), axis=1)


WEIGHTS = (1.0, 0.5, 2.0)


@cache
def theirs(seed):
    """Data for a network, and all that JAX makes of it, compiled as one."""
    net, rng = network(seed), np.random.default_rng(seed)
    rows = ROWS[seed % 3]
    X, v = rng.normal(size=(2, rows, net.inputs))
    u = rng.normal(size=(rows, net.outputs))
    y = tuple(rng.normal(size=(rows, width)) for width in net.graph.splits)

    def loss(parameters, X, y):
        outputs = in_jax(seed, parameters, X)
        return sum(w * jnp.mean((z - t) ** 2) for w, z, t in zip(WEIGHTS, outputs, y, strict=False))

    @jax.jit
    def all_of_it(parameters, directions, X, v, u, y):
        _, pull = jax.vjp(lambda p, x: joined(seed, p, x), parameters, X)
        to_parameters, to_input = pull(u)
        value, gradients = jax.value_and_grad(loss)(parameters, X, y)
        return {
            "outputs": in_jax(seed, parameters, X),
            "parameter_vjp": to_parameters,
            "vjp": to_input,
            "jvp": jax.jvp(lambda x: joined(seed, parameters, x), (X,), (v,))[1],
            "jacobian": jax.jacobian(lambda x: joined(seed, parameters, x[None])[0])(X[0]),
            "loss": value,
            "gradients": gradients,
            "hessian_vector": jax.jvp(lambda p: jax.grad(loss)(p, X, y), (parameters,), (directions,))[1],
        }

    parameters = dict(net.parameters.items())
    directions = {name: rng.normal(size=value.shape) for name, value in parameters.items()}
    found = jax.tree_util.tree_map(np.asarray, all_of_it(parameters, directions, X, v, u, y))
    return net, (X, v, u, y, directions), found


def close(ours, theirs, scale=0.0):
    scale = max(float(np.abs(theirs).max(initial=0.0)), scale, 1e-3)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max(initial=0.0) <= 1e-10 * scale


def all_close(ours, theirs):
    """Gradients by name, beside the largest of them."""
    largest = max(float(np.abs(g).max()) for g in theirs.values())
    assert set(ours) == set(theirs)
    for name, gradient in theirs.items():
        close(ours[name], gradient, largest)


every_network = pytest.mark.parametrize("seed", range(50))


@every_network
def test_outputs_of_a_random_network_are_jaxs(seed):
    net, (X, *_), expected = theirs(seed)
    ours = net.predict(X)
    for mine, other in zip(ours if isinstance(ours, tuple) else (ours,), expected["outputs"], strict=True):
        close(mine, other)


@every_network
def test_products_with_the_jacobian_are_jaxs(seed):
    net, (X, v, u, *_), expected = theirs(seed)
    close(net.vjp(X, u), expected["vjp"])
    close(net.jvp(X, v), expected["jvp"])
    all_close(net.parameter_vjp(X, u), expected["parameter_vjp"])


@pytest.mark.parametrize("mode", ["forward", "reverse", "auto"])
@every_network
def test_the_jacobian_is_jaxs(seed, mode):
    net, (X, *_), expected = theirs(seed)
    close(net.jacobian(X[0], mode), expected["jacobian"])


@every_network
def test_the_loss_and_its_gradients_are_jaxs(seed):
    net, (X, _, _, y, _), expected = theirs(seed)
    several = len(y) > 1
    loss = fb.JointLoss(["mse"] * len(y), WEIGHTS[: len(y)]) if several else "mse"
    value, gradients = net.loss_and_gradients(X, y if several else y[0], loss)
    assert abs(value - float(expected["loss"])) <= 1e-10 * abs(float(expected["loss"]))
    all_close(gradients, expected["gradients"])


@every_network
def test_the_product_with_the_hessian_is_jaxs(seed):
    net, (X, _, _, y, directions), expected = theirs(seed)
    several = len(y) > 1
    loss = fb.JointLoss(["mse"] * len(y), WEIGHTS[: len(y)]) if several else "mse"
    all_close(net.hessian_vector(X, y if several else y[0], directions, loss), expected["hessian_vector"])


def test_every_kind_is_in_several_of_them():
    nodes = [node for seed in range(50) for node in network(seed).graph.nodes]
    drawn = [node.layer.kind for node in nodes]
    wanted = {"linear", "add", "subtract", "multiply", "divide", "concat", "slice", "mean", "sum", "affine"}
    wanted |= {"reciprocal", "repeat", "layer_norm", "batch_norm", "dropout", "softmax", "prelu", "scale", "tanh"}
    assert {kind for kind in wanted if drawn.count(kind) < 5} == set()
    assert sum(node.shares for node in nodes) >= 5
