"""A network written as a traced function: the same bits as the static graph, and no more memory than is alive."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import fastbp as fb
from fastbp.autodiff.program import Program
from tests.kernels.harness import same_bits

ACTIVATIONS = {"relu": (fb.ReLU, fb.relu), "tanh": (fb.Tanh, fb.tanh), "sigmoid": (fb.Sigmoid, fb.sigmoid)}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def both(name, dtype, sizes=(7, 33, 18, 5), bias=True):
    """A network, and the same as a traced function of X and its parameters."""
    layer, function = ACTIVATIONS[name]
    layers = [part for size in sizes[1:] for part in (fb.Linear(size, bias=bias), layer())][:-1]
    net = fb.Network(layers, inputs=sizes[0], seed=3, dtype=dtype)
    rng = np.random.default_rng(1)
    for key, value in net.parameters.items():
        net.parameters[key] = value + 0.1 * rng.normal(size=value.shape)

    def forward(X, *parameters):
        step = 2 if bias else 1
        for i in range(0, len(parameters), step):
            X = X @ parameters[i] + parameters[i + 1] if bias else X @ parameters[i]
            if i + step < len(parameters):
                X = function(X)
        return X

    parameters = [np.asarray(p) for p in net.parameters.values()]
    return net, fb.trace(forward, dtype=dtype), parameters


@pytest.mark.parametrize("rows", [1, 2, 65, 300])
@every_dtype
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_static_and_traced_graphs_give_the_same_bits(name, bias, dtype, rows):
    net, F, parameters = both(name, dtype, bias=bias)
    rng = np.random.default_rng(2)
    X, u, t = (rng.normal(size=(rows, n)).astype(dtype) for n in (7, 5, 7))
    assert same_bits(F(X, *parameters), net.predict(X))
    assert same_bits(F.vjp((X, *parameters), u)[0], net.vjp(X, u))
    assert same_bits(F.jvp((X, *parameters), (t, *(np.zeros_like(p) for p in parameters))), net.jvp(X, t))


@every_dtype
def test_the_gradients_of_weights_have_the_bits_of_the_weight_sweep(dtype):
    net, F, parameters = both("tanh", dtype)
    rng = np.random.default_rng(4)
    X, y = (rng.normal(size=(300, n)).astype(dtype) for n in (7, 5))
    _, gradients = net.loss_and_gradients(X, y, loss=fb.HalfMSE(reduction="sum"))
    for ours, theirs in zip(F.vjp((X, *parameters), net.predict(X) - y)[1:], gradients.values(), strict=True):
        assert same_bits(ours, theirs)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_one_row_as_a_vector_is_one_row(name):
    net, F, parameters = both(name, "float64")
    x = np.random.default_rng(5).normal(size=7)
    assert same_bits(F(x, *parameters), net.predict(x[None])[0])


# 003, the memory of a vjp: N = 4096 rows, p = m = 512, without a Jacobian of 4096 x 512 x 512 numbers

N, P, M = 4096, 512, 512
LIMIT = 64 * 2**20


def extra_bytes(run, arenas):
    """What a call allocates beside its arguments: buffers of plans, as arenas count them, and Python's arrays."""
    before = sum(arena.bytes for arena in arenas())
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak + sum(arena.bytes for arena in arenas()) - before


def arenas_of(F):
    return lambda: [program.arena for traces in F._traces.values() for program in traces.programs.values()]


@pytest.fixture(scope="module")
def wide():
    rng = np.random.default_rng(6)
    return [rng.normal(size=shape).astype(np.float32) for shape in ((N, P), (P, M), (M,), (N, M))]


def test_the_vjp_of_a_wide_layer_takes_less_than_64_mb(wide):
    X, W, b, u = wide
    F = fb.trace(lambda X, W, b: fb.tanh(X @ W + b), dtype="float32")
    assert extra_bytes(lambda: F.vjp((X, W, b), u), arenas_of(F)) < LIMIT
    dX, dW, db = F.vjp((X, W, b), u)
    z = np.tanh(X @ W + b)
    slope = u * (1.0 - z * z)
    np.testing.assert_allclose(dX, slope @ W.T, atol=2e-3)
    np.testing.assert_allclose(dW, X.T @ slope, atol=2e-2)
    np.testing.assert_allclose(db, slope.sum(0), atol=2e-2)


def test_the_vjp_of_a_wide_network_takes_less_than_64_mb(wide, monkeypatch):
    from fastbp.engine.memory import Arena

    X, _, _, u = wide
    net = fb.Network([fb.Linear(M), fb.Tanh()], inputs=P, dtype="float32")
    made = []
    first = Arena.__init__
    monkeypatch.setattr(Arena, "__init__", lambda self: (first(self), made.append(self))[0])
    assert extra_bytes(lambda: net.vjp(X, u), lambda: made) < LIMIT


def test_the_measure_sees_one_array_too_many(wide):
    X, W, _, _ = wide
    F = fb.trace(lambda X, W: X @ W, dtype="float32")
    assert extra_bytes(lambda: np.ones((N // 64, P, M), np.float32), arenas_of(F)) > LIMIT  # a 64th of the Jacobian
    kept = fb.trace(lambda X, W: tuple((X @ W) * float(i + 1) for i in range(8)), dtype="float32")
    assert extra_bytes(lambda: kept(X, W), arenas_of(kept)) > LIMIT


def test_buffers_that_no_one_reads_again_are_used_again():
    def deep(x, count):
        for _ in range(count):
            x = np.tanh(np.sum(np.exp(x), axis=1, keepdims=True) + x * 0.5)
        return x

    x = np.ones((300, 300))
    sizes = []
    for count in (3, 30):
        F = fb.trace(lambda x, count=count: deep(x, count))
        F(x)
        (arena,) = arenas_of(F)()
        sizes.append(arena.bytes)
    assert sizes[1] < sizes[0] + 30 * 300 * 70  # what holds one number a row is kept


@pytest.fixture
def steps(monkeypatch):
    """Kernels of each program made: those that run once, those that run in every call."""
    seen = []
    records = Program._records

    def watched(self, groups):
        seen.append([op.name for group in groups for op in group.ops])
        return records(self, groups)

    monkeypatch.setattr(Program, "_records", watched)
    return seen


def test_dead_gates_are_no_steps_and_equal_ones_are_one(steps):
    def f(x):
        np.exp(x)  # dead
        return np.sin(x) * np.cos(1.0) + np.sin(x)

    assert np.isclose(fb.trace(f)(0.3), np.sin(0.3) * (np.cos(1.0) + 1.0))
    assert steps == [[], ["gate_fill", "gate_sin", "gate_multiply", "gate_add", "gate_copy"]]


def test_constants_are_folded_and_what_is_not_exact_is_computed_once(steps):
    F = fb.trace(lambda x: 2.0**x)
    assert np.isclose(F.gradient(3.0)[0], 8.0 * np.log(2.0), rtol=1e-15)
    once, always = steps
    assert once == ["gate_log"]
    assert "gate_log" not in always
    assert "gate_where" not in always


def test_a_bias_is_where_its_product_begins(steps):
    rng = np.random.default_rng(7)
    X, W, b = rng.normal(size=(5, 4)), rng.normal(size=(4, 3)), rng.normal(size=3)
    fb.trace(lambda X, W, b: X @ W + b)(X, W, b)
    assert steps[1] == ["gather", "gather", "product", "scatter"]
    fb.trace(lambda X, W, b: (X @ W + b) * (X @ W))(X, W, b)  # the product is read twice
    assert steps[3] == ["gather", "gather", "product", "gate_add", "gate_multiply", "scatter"]
    for wrong in (b[:, None][:1], np.ones((5, 1))):  # a number or a column is no row
        found = fb.trace(lambda X, W, b: X @ W + b)(X, W, wrong)
        np.testing.assert_allclose(found, X @ W + wrong, rtol=1e-13)


COUNT = """
import numpy as np, fastbp as fb
from fastbp.engine.compiler import compilations
first = fb.trace(lambda x, y: np.exp(x) * y + np.sin(x) / y - x)
first.gradient(1.0, 2.0), first.vjp((1.0, 2.0), 1.0)
print(len(compilations()))
for n in (3.0, 5.0):
    other = fb.trace(lambda x, y: (np.sin(y) * np.exp(x * n) - y) / x + n)
    print(other(1.0, 2.0), other.gradient(1.0, 2.0), other.vjp((1.0, 2.0), 1.0))
print(len(compilations()))
"""


def test_a_new_function_of_known_gates_compiles_nothing(tmp_path):
    environment = {**os.environ, "FASTBP_QUIET": "1", "FASTBP_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, check=True)
    before, *_, after = done.stdout.splitlines()
    assert int(before) > 5
    assert after == before
