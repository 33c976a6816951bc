"""What users call: values, gradients, products, Jacobians, Hessians, of numbers and arrays of any kind."""

import copy
import pickle
import threading

import numpy as np
import pytest

import fastbp as fb

RNG = np.random.default_rng(0)


def f(x, y):
    return (x + fb.sigmoid(y)) / (fb.sigmoid(x) + (x + y) ** 2)


def test_numbers_come_back_as_floats_and_arrays_as_fresh_arrays():
    F = fb.trace(lambda x: x * 2.0)
    assert type(F(3)) is float
    assert type(F(np.float32(3.0))) is float
    assert type(F(np.array(3.0))) is float
    x = np.arange(3.0)
    first, second = F(x), F(x)
    assert first is not second
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(F(np.ones((2, 2))), F(np.ones((2, 2))))


@pytest.mark.parametrize(
    "given",
    [
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        np.array([1, 2, 3]),
        np.array([1.0, 9, 2, 9, 3])[::2],
        np.arange(1.0, 4.0).astype(">f8"),
    ],
    ids=["list", "tuple", "integers", "strided", "big-endian"],
)
def test_arguments_are_whatever_numpy_can_read(given):
    assert fb.trace(lambda x: np.sum(x * x))(given) == 14.0


def test_fortran_order_and_read_only_matrices_are_read():
    X = np.asfortranarray(RNG.normal(size=(5, 4)))
    X.flags.writeable = False
    np.testing.assert_array_equal(fb.trace(lambda X: X + 0.5)(X), X + 0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_is_in_the_dtype_of_the_trace(dtype):
    F = fb.trace(lambda X, s: np.tanh(X) * s, dtype=dtype)
    X = RNG.normal(size=(3, 5))
    assert F(X, 2.0).dtype == F.jvp((X, 2.0), (X, 1.0)).dtype == F.vjp((X, 2.0), X)[0].dtype == dtype
    assert F.jacobian(X, 2.0)[0].dtype == dtype
    assert fb.trace(lambda x: x, dtype=dtype)(0.1) == float(np.dtype(dtype).type(0.1))


def test_value_and_gradient_are_both():
    F = fb.trace(f)
    value, gradient = F.value_and_gradient(3.0, -4.0)
    assert (value, gradient) == (F(3.0, -4.0), F.gradient(3.0, -4.0))


def test_an_argument_that_does_not_count_has_gradient_zero():
    F = fb.trace(lambda x, y: x * 2.0)
    assert F.gradient(1.0, 5.0) == (2.0, 0.0)
    np.testing.assert_array_equal(F.vjp((1.0, np.ones((2, 3))), 1.0)[1], np.zeros((2, 3)))
    assert fb.trace(lambda x: 3.0).gradient(1.0) == (0.0,)
    np.testing.assert_array_equal(fb.trace(lambda x: np.ones((2, 2)))(1.0), np.ones((2, 2)))


def test_several_results_have_their_products_and_jacobians():
    F = fb.trace(lambda x, W: (np.sum(x * x), W @ x, x))
    x, W = RNG.normal(size=3), RNG.normal(size=(2, 3))
    value, product, same = F(x, W)
    assert np.isclose(value, x @ x)
    np.testing.assert_allclose(product, W @ x, rtol=1e-14)
    np.testing.assert_array_equal(same, x)
    u = (0.5, RNG.normal(size=2), RNG.normal(size=3))
    dx, dW = F.vjp((x, W), u)
    np.testing.assert_allclose(dx, 2.0 * x * 0.5 + W.T @ u[1] + u[2], rtol=1e-13)
    np.testing.assert_allclose(dW, np.outer(u[1], x), rtol=1e-13)
    t = RNG.normal(size=3), RNG.normal(size=(2, 3))
    moved = F.jvp((x, W), t)
    np.testing.assert_allclose(moved[0], 2.0 * x @ t[0], rtol=1e-13)
    np.testing.assert_allclose(moved[1], W @ t[0] + t[1] @ x, rtol=1e-13)
    for mode in ("forward", "reverse"):
        rows = F.jacobian(x, W, mode=mode)
        np.testing.assert_allclose(rows[0][0], 2.0 * x, rtol=1e-13)
        np.testing.assert_allclose(rows[1][0], W, rtol=1e-13)
        np.testing.assert_array_equal(rows[2][0], np.eye(3))
        assert rows[1][1].shape == (2, 2, 3)


def test_a_result_that_is_returned_twice_gets_both_cotangents():
    F = fb.trace(lambda x: (x * 3.0, x * 3.0, x))
    assert F(2.0) == (6.0, 6.0, 2.0)
    assert F.vjp((2.0,), (1.0, 10.0, 100.0)) == (133.0,)


def test_jacobians_of_numbers_are_floats():
    F = fb.trace(f)
    assert F.jacobian(3.0, -4.0) == F.gradient(3.0, -4.0) == F.jacobian(3.0, -4.0, mode="forward")


def test_jacobians_have_the_shape_of_the_result_and_then_the_argument():
    F = fb.trace(lambda X, s: X @ X.T * s)
    X = RNG.normal(size=(2, 3))
    dX, ds = F.jacobian(X, 2.0)
    assert (dX.shape, ds.shape) == ((2, 2, 2, 3), (2, 2))
    np.testing.assert_allclose(ds, X @ X.T, rtol=1e-14)
    np.testing.assert_allclose(F.jacobian(X, 2.0, mode="forward")[0], dX, rtol=1e-13, atol=1e-15)


def test_hessians_are_symmetric_and_have_the_hessian_vector_products():
    F = fb.trace(lambda W, x: np.sum(np.tanh(W @ x) ** 2))
    W, x = RNG.normal(size=(2, 3)), RNG.normal(size=3)
    (ww, wx), (xw, xx) = F.hessian(W, x)
    assert (ww.shape, wx.shape, xw.shape, xx.shape) == ((2, 3, 2, 3), (2, 3, 3), (3, 2, 3), (3, 3))
    np.testing.assert_allclose(ww.reshape(6, 6), ww.reshape(6, 6).T, atol=1e-13)
    np.testing.assert_allclose(wx.reshape(6, 3), xw.reshape(3, 6).T, atol=1e-13)
    v = RNG.normal(size=(2, 3)), RNG.normal(size=3)
    hw, hx = F.hessian_vector((W, x), v)
    np.testing.assert_allclose(hw, np.tensordot(ww, v[0], 2) + wx @ v[1], atol=1e-12)
    np.testing.assert_allclose(hx, np.tensordot(xw, v[0], 2) + xx @ v[1], atol=1e-12)
    assert fb.trace(lambda x: x**3).hessian(2.0) == 12.0


def test_a_traced_function_inside_another_is_its_gates():
    inner = fb.trace(f)
    outer = fb.trace(lambda x: inner(x, -4.0) * 2.0)
    assert np.isclose(outer.gradient(3.0)[0], 2.0 * inner.gradient(3.0, -4.0)[0], rtol=1e-14)


def test_trace_is_a_decorator_and_takes_numpys_functions():
    @fb.trace
    def square(x):
        return x * x

    assert square(3.0) == 9.0
    assert fb.trace(np.multiply).gradient(3.0, 4.0) == (4.0, 3.0)
    assert repr(square) == "Traced(square, dtype='float64')"


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), np.dtype(">f4"), "float32"])
def test_a_dtype_may_be_numpys(dtype):
    assert repr(fb.trace(np.sin, dtype=dtype)) == "Traced(sin, dtype='float32')"


class Spring:
    def __init__(self, stiffness):
        self.stiffness = stiffness

    @fb.trace
    def energy(self, x):
        return 0.5 * self.stiffness * x * x


def test_a_method_is_traced_for_each_instance():
    soft, hard = Spring(1.0), Spring(10.0)
    assert (soft.energy(2.0), hard.energy(2.0), soft.energy(4.0)) == (2.0, 20.0, 8.0)
    assert hard.energy.gradient(2.0) == (20.0,)
    assert hard.energy is hard.energy
    assert copy.deepcopy(hard).energy(2.0) == 20.0


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda F: pickle.loads(pickle.dumps(F))])
def test_a_used_function_can_be_copied(copied):
    F = fb.trace(np.tanh, dtype="float32")
    before = F.gradient(0.5)
    other = copied(F)
    assert other.gradient(0.5) == F.gradient(0.5) == before
    assert other.dtype == np.float32


def test_a_function_is_run_once_for_each_set_of_shapes():
    runs = []
    F = fb.trace(lambda x: (runs.append(1), np.sum(x))[1])
    for _ in range(3):
        F(1.0)
        F(np.ones(3))
        F.gradient(np.ones(3))
    assert len(runs) == 2


def test_many_threads_share_a_function():
    F = fb.trace(lambda X, s: np.sum(np.tanh(X @ X.T) * s))
    X = RNG.normal(size=(40, 40))
    expected = [F.gradient(X, float(s))[1] for s in range(4)]
    wrong = []

    def work(s):
        wrong.extend(1 for _ in range(50) if F.gradient(X, float(s))[1] != expected[s])

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_subnormals_of_the_caller_are_left_alone():
    F = fb.trace(lambda x: x * 0.5)
    F(1.0)
    tiny = np.finfo(np.float64).tiny
    assert np.array([tiny]) / 2.0 > 0.0


X = RNG.normal(size=(4, 6))
x = RNG.normal(size=6)
MASK = X > 0.1
MADE = {
    "square": lambda X: np.square(X),
    "reciprocal": lambda X: np.reciprocal(X),
    "clip": lambda X: np.clip(X, -0.5, 0.5),
    "clip below": lambda X: np.clip(X, 0.1, None),
    "tan": np.tan,
    "log2": lambda X: np.log2(X * X),
    "log10": lambda X: np.log10(X * X),
    "exp2": np.exp2,
    "logaddexp": lambda X: np.logaddexp(X, 2.0),
    "hypot": lambda X: np.hypot(X, 1.0),
    "outer": lambda X: np.outer(X[0], X[1]),
    "mean": lambda X: np.mean(X, axis=0) + X.mean(),
    "mean keepdims": lambda X: X - np.mean(X, axis=1, keepdims=True),
    "stack": lambda X: np.stack([X[0], X[1] * 2.0]),
    "stack behind": lambda X: np.stack([X[0], X[1] * 2.0], axis=-1),
    "stack numbers": lambda X: np.stack([X[0, 0], X[1, 1], 3.0]),
    "concatenate": lambda X: np.concatenate([X, X[:2] * 2.0]),
    "concatenate columns": lambda X: np.concatenate([X, np.ones((4, 1)), X[:, :2]], axis=1),
    "hstack": lambda X: np.hstack([X[0], X[1]]),
    "vstack": lambda X: np.vstack([X, X[0]]),
    "one row": lambda X: X[2],
    "one number": lambda X: X[-1, -2],
    "rows": lambda X: X[1:3],
    "column": lambda X: X[:, 0],
    "steps": lambda X: X[::-2, 1::3],
    "ellipsis": lambda X: X[..., 1] * X[...][:, 2],
    "newaxis": lambda X: X[0][:, None] * X[1][None, :],
    "diagonal of products": lambda X: (X.T @ X)[0] + X.T[:, 1].dot(X[1]),
    "squeeze": lambda X: np.squeeze(X[:1]),
    "ravel": lambda X: np.ravel(X)[3:9] + X.flatten()[:6],
    "broadcast_to": lambda X: np.broadcast_to(X[0], (3, 6)) * np.ones_like(X[:3]),
    "row and column": lambda X: X[:1] + X[:, :1],
    "numbers spread": lambda X: np.zeros_like(X) + X[0, 0] + np.reshape(X[1, 1], (1, 1)),
    "column of one": lambda X: X * np.reshape(X[0, :4], (4, 1)),
    "softmax": lambda X: np.exp(X) / np.exp(X).sum(axis=1, keepdims=True),
    "size and shape": lambda X: X * X.size + np.shape(X)[0] * np.ndim(X) + len(X),
    "where numbers": lambda X: np.where(X > 0.0, 1.0, X),
    "vectors": lambda X: np.dot(X[0], X[1]) * (X[0] @ X[1]) + np.vdot(X, X),
    "vector and matrix": lambda X: X[0][:4] @ X,
    "matrix and vector": lambda X: X @ X[1],
    "swapped": lambda X: 2.0 - (1.0 / (3.0 ** (X * 1.0))) + np.ones(6) @ X.T @ np.ones((4, 1)),
    "vstack arrays first": lambda X: np.vstack([np.ones(6), X[0], np.zeros((1, 6)), X]),
    "hstack arrays first": lambda X: np.hstack([np.ones(2), X[0]]),
    "hstack numbers": lambda X: np.hstack([X[0, 0], 3.0, X[1, 1]]),
    "hstack matrices": lambda X: np.hstack([np.ones((4, 2)), X]),
    "column_stack": lambda X: np.column_stack([np.ones(4), X[:, 0], X]),
    "sinh and cosh": lambda X: np.sinh(X) * np.cosh(X * 0.5),
    "std": lambda X: np.std(X, axis=0) + X.std() + X.std(axis=0, ddof=1),
    "var": lambda X: np.var(X, axis=1, keepdims=True) * X.var() + np.var(X, 1, ddof=1, keepdims=True),
    "norm": lambda X: np.linalg.norm(X, axis=1) + np.linalg.norm(X) + np.linalg.norm(X[0]),
    "norms": lambda X: np.linalg.norm(X, 1, axis=0) * np.linalg.norm(X[0], np.inf) + np.linalg.norm(X, "fro"),
    "inner": lambda X: np.inner(X, X) * np.inner(X[0], X[1]) * np.inner(2.0, X[0, 0]),
    "trace and diag": lambda X: np.trace(X) * np.diag(X) + np.diag(X[0])[0, 0] + np.diag(X.T @ X).sum() + X.trace(),
    "flip": lambda X: np.flip(X) * np.flip(X, 0) + np.fliplr(X) * np.flipud(X) + np.flip(X, axis=(0, 1)),
    "roll": lambda X: np.roll(X, 2) + np.roll(X, -1, axis=1) + np.roll(X, 4, axis=0),
    "diff": lambda X: np.diff(X, axis=0)[:2, 1:] * np.diff(X)[:2] + np.diff(X, 2, 0)[:, 1:],
    "clip method": lambda X: X.clip(-0.5, 0.5) + X.clip(max=0.25),
    "logic": lambda X: np.where((X > 0) & (X < 1) | ~(X > -1), X, X * 2.0),
    "logic functions": lambda X: np.where(
        np.logical_or(np.logical_and(X > 0, X < 1), np.logical_not(X > -1)) ^ (X > 5), X, X * 2.0
    ),
    "transpose axes": lambda X: np.transpose(X, (1, 0)) @ X.transpose(0, 1) + np.transpose(X, (0, -1)).T @ X,
    "transposed methods": lambda X: X.transpose((1, 0))[0] * X.transpose(1, 0)[1] * np.matrix_transpose(X)[2],
    "squeeze axis": lambda X: np.squeeze(X[:1], axis=0) * X[:1].squeeze(0),
    "expand_dims axes": lambda X: np.expand_dims(X[0, 0], (0, 1)) * X,
    "full_like": lambda X: np.full_like(X, 2.0) * X + np.isnan(X),
    "iteration": lambda X: sum(row * i for i, row in enumerate(X)),
    "unpacking": lambda X: (lambda a, b, *c: a * b + c[1])(*X),
    "list of rows": lambda X: X[[0, 2, 3, -3]] * 2.0,
    "list of columns": lambda X: X[1:, [5, 0, 0, 2, 4]] + X[0, [1, 2, 3, 3, 0]],
    "list and row": lambda X: X[[3, 1], 2],
    "mask of rows": lambda X: X[np.array([True, False, True, True])],
    "mask of numbers": lambda X: X[MASK],
    "pairs": lambda X: X[np.arange(4), [3, 0, 5, 3]] * X[[1, 1, 0, 2], [0, 0, 4, 5]],
    "absolute": lambda X: abs(X) + np.fabs(-X) + +X,
}


@pytest.mark.parametrize("name", MADE)
def test_numpys_functions_and_indices_are_numpys(name):
    F = fb.trace(MADE[name])
    expected = MADE[name](X)
    found = F(X)
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    u, t = RNG.normal(size=np.shape(found)), RNG.normal(size=X.shape)
    (pulled,) = F.vjp((X,), u)
    difference = np.sum(u * (MADE[name](X + 1e-6 * t) - MADE[name](X - 1e-6 * t))) / 2e-6
    assert abs(np.sum(pulled * t) - difference) < 1e-5 * (1.0 + np.abs(pulled * t).sum())
    assert abs(np.sum(pulled * t) - np.sum(u * F.jvp((X,), (t,)))) < 1e-12 * (1.0 + np.abs(pulled * t).sum())
