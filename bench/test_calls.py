"""Calls that a solver or a loop makes one by one, Python around them included: pytest bench --benchmark-enable"""

import numpy as np
import pytest

import fastbp as fb

SIZES = [17, 64, 64, 6]
X = np.random.default_rng(0).standard_normal(SIZES[0]).astype(np.float32)


@pytest.fixture(scope="module")
def net():
    return fb.mlp(SIZES, activation="tanh", seed=0)


def test_predict_of_one_row(benchmark, net):
    row = X[None]
    out = np.empty((1, 6), np.float32)
    assert np.array_equal(benchmark(net.predict, row, out=out), net.predict(row))


def test_jacobian_at_one_row(benchmark, net):
    out = np.empty((6, 17), np.float32)
    found = benchmark(net.jacobian, X, out=out)
    assert np.allclose(found @ X, net.jvp(X, X), rtol=1e-4, atol=1e-6)


def test_vjp_at_one_row(benchmark, net):
    row, u, out = X[None], np.ones((1, 6), np.float32), np.empty((1, 17), np.float32)
    assert np.allclose(benchmark(net.vjp, row, u, out=out), net.jacobian(row).sum(axis=1), rtol=1e-4, atol=1e-6)


def test_gradient_of_a_traced_function(benchmark):
    F = fb.trace(lambda x, y: (x + fb.sigmoid(y)) / (fb.sigmoid(x) + (x + y) ** 2))
    assert np.allclose(benchmark(F.gradient, 3.0, -4.0), (2.0595697955721652, 1.5922327514838093))


BUILT_IN = {"silu": "silu", "x * sigmoid(x)": "silu", "mish": "mish", "x * tanh(softplus(x))": "mish"}


@pytest.mark.parametrize("activation", BUILT_IN)
@pytest.mark.parametrize("sizes", [SIZES, [100, 256, 256, 10]], ids=["small", "wide"])
def test_steps_with_a_formula_beside_the_built_in(benchmark, sizes, activation):
    """100 steps of a batch of 64 on one thread."""
    rng = np.random.default_rng(0)
    rows, y = rng.standard_normal((640, sizes[0]), np.float32), rng.integers(0, sizes[-1], 640)
    net, same = (fb.mlp(sizes, activation=name) for name in (activation, BUILT_IN[activation]))
    assert np.allclose(net.predict(rows), same.predict(rows), rtol=1e-4, atol=1e-5)
    benchmark(fb.Trainer(net, batch_size=64, threads=1).run, rows, y, steps=100)
