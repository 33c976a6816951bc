"""Every gate in a network against its twin: forward, vjp and jvp, at every tail of rows and columns."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.lowering import plans
from tests.model.gate_cases import GATE_CASES

CASES = [(name, number) for name, cases in GATE_CASES.items() for number in range(len(cases))]
ROWS, WIDTHS = (1, 3, 64, 65), (1, 7, 15, 16, 17, 33)
every_case = pytest.mark.parametrize(("name", "number"), CASES)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
every_shape = pytest.mark.parametrize("shape", [(r, w) for r in ROWS for w in WIDTHS], ids=lambda s: f"{s[0]}x{s[1]}")
# Of the largest number; a sum of many numbers and its twin's add in other orders.
TOLERANCE = {"float32": 5e-6, "float64": 1e-14}
STEP, DIFFERENCES = 1e-5, 1e-8


class Stand:
    """A network of one gate, rows, cotangents and tangents."""

    def __init__(self, name, number, shape, dtype):
        self.case = GATE_CASES[name][number]
        self.widths = self.case.widths(shape[1])
        rng = np.random.default_rng([*shape, number])
        signals = [fb.Input(width) for width in self.widths]
        self.net = fb.Network(inputs=signals, outputs=self.case.of(*signals), dtype=dtype)
        X = rng.normal(size=(shape[0], sum(self.widths)))
        self.X = (np.where(X < 0.0, -0.75, 0.75) + X).astype(dtype)  # away from 0, which one of them divides by
        self.v = rng.normal(size=self.X.shape).astype(dtype)
        self.u = rng.normal(size=(shape[0], self.net.outputs)).astype(dtype)

    def apart(self, X):
        """The signals of rows, in float64."""
        return tuple(np.split(X.astype(np.float64), np.cumsum(self.widths)[:-1], axis=1))


def close(actual, expected, dtype):
    assert actual.shape == expected.shape
    assert actual.dtype == dtype
    assert np.abs(actual - expected).max(initial=0.0) <= TOLERANCE[dtype] * np.abs(expected).max(initial=1.0)


@every_shape
@every_dtype
@every_case
def test_forward_is_the_twin(name, number, dtype, shape):
    s = Stand(name, number, shape, dtype)
    close(s.net.predict(s.X), s.case.forward(*s.apart(s.X)), dtype)


@every_shape
@every_dtype
@every_case
def test_vjp_is_the_twin(name, number, dtype, shape):
    s = Stand(name, number, shape, dtype)
    expected = s.case.vjp(s.u.astype(np.float64), *s.apart(s.X))
    close(s.net.vjp(s.X, s.u), np.concatenate(expected, axis=1), dtype)


@every_shape
@every_dtype
@every_case
def test_jvp_is_the_twin(name, number, dtype, shape):
    s = Stand(name, number, shape, dtype)
    close(s.net.jvp(s.X, s.v), s.case.jvp(s.apart(s.v), s.apart(s.X)), dtype)


@every_shape
@every_case
def test_vjp_matches_central_differences(name, number, shape):
    s = Stand(name, number, shape, "float64")
    ahead, behind = (s.net.predict(s.X + sign * STEP * s.v) for sign in (1.0, -1.0))
    slope = (s.u * (ahead - behind)).sum() / (2.0 * STEP)
    pulled = s.net.vjp(s.X, s.u) * s.v
    assert abs(pulled.sum() - slope) <= DIFFERENCES * max(1.0, np.abs(pulled).sum())


@every_shape
@every_dtype
@every_case
def test_vjp_and_jvp_are_adjoint(name, number, dtype, shape):
    s = Stand(name, number, shape, dtype)
    pushed = (s.u * s.net.jvp(s.X, s.v)).astype(np.float64)
    pulled = (s.net.vjp(s.X, s.u) * s.v).astype(np.float64)
    size = np.abs(pushed).sum() + np.abs(pulled).sum()
    assert abs(pushed.sum() - pulled.sum()) <= TOLERANCE[dtype] * max(1.0, size)


@every_shape
@every_case
def test_jacobians_by_rows_and_by_columns_are_the_products(name, number, shape):
    s = Stand(name, number, (min(shape[0], 3), shape[1]), "float64")
    for mode in ("forward", "reverse"):
        J = s.net.jacobian(s.X, mode)
        close(np.einsum("roi,ri->ro", J, s.v), s.net.jvp(s.X, s.v), "float64")
        close(np.einsum("roi,ro->ri", J, s.u), s.net.vjp(s.X, s.u), "float64")


@every_dtype
@every_case
def test_inputs_keep_their_bytes(name, number, dtype):
    s = Stand(name, number, (65, 17), dtype)
    before = [a.tobytes() for a in (s.X, s.u, s.v)]
    s.net.predict(s.X)
    s.net.vjp(s.X, s.u)
    s.net.jvp(s.X, s.v)
    s.net.jacobian(s.X)
    assert [a.tobytes() for a in (s.X, s.u, s.v)] == before


@every_dtype
@every_case
def test_threads_change_no_bit(name, number, dtype, monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", -1)
    s = Stand(name, number, (200, 33), dtype)
    assert len({s.net.predict(s.X, threads=threads).tobytes() for threads in (1, 2, 3)}) == 1


@every_dtype
@every_case
def test_a_nan_stays_in_its_row(name, number, dtype):
    s = Stand(name, number, (65, 17), dtype)
    s.X[40] = np.nan
    found = np.isnan(s.net.predict(s.X))
    assert found[40].all()
    assert not np.delete(found, 40, axis=0).any()


@every_dtype
@every_case
def test_a_nan_cotangent_stays_in_its_row(name, number, dtype):
    s = Stand(name, number, (65, 17), dtype)
    s.u[40] = np.nan
    found = np.isnan(s.net.vjp(s.X, s.u))
    assert found[40].any()
    assert not np.delete(found, 40, axis=0).any()


# Gates that are read by gates: a signal that goes into several gets the sum of their cotangents.

TWICE = {
    "x + x": (lambda x: x + x, lambda x: 2.0 * x, lambda x: 2.0 + 0.0 * x),
    "x - x": (lambda x: x - x, lambda x: 0.0 * x, lambda x: 0.0 * x),
    "x * x": (lambda x: x * x, lambda x: x * x, lambda x: 2.0 * x),
    "x / x": (lambda x: x / x, lambda x: x / x, lambda x: 0.0 * x),
    "x ** 5": (lambda x: x**5, lambda x: x**5, lambda x: 5.0 * x**4),
    "x + x + x": (lambda x: fb.Add()(x, x, x), lambda x: 3.0 * x, lambda x: 3.0 + 0.0 * x),
    "1 - (x - x * x)": (lambda x: 1.0 - (x - x * x), lambda x: 1.0 - (x - x * x), lambda x: 2.0 * x - 1.0),
    "1 / x + x / 2": (lambda x: 1.0 / x + x / 2.0, lambda x: 1.0 / x + x / 2.0, lambda x: 0.5 - 1.0 / (x * x)),
    "(x + 1)(x + 2)": (lambda x: (x + 1.0) * (x + 2.0), lambda x: (x + 1.0) * (x + 2.0), lambda x: 2.0 * x + 3.0),
    "-x": (lambda x: -x, lambda x: -x, lambda x: 0.0 * x - 1.0),
    "x(x x)": (lambda x: (lambda y: x * y + y)(x * x), lambda x: x**3 + x**2, lambda x: 3.0 * x**2 + 2.0 * x),
}
# What may stand between a signal and the gates that read it, without being anything.
BEFORE = {
    "input": lambda x: x,
    "identity": lambda x: fb.Identity()(x),
    "dropout": lambda x: fb.Dropout(0.5)(fb.Identity()(x)),
    "gate": lambda x: x * 1.0,
}


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("formula", TWICE)
def test_a_signal_that_is_read_several_times_gets_the_sum(formula, before):
    build, value, slope = TWICE[formula]
    x = fb.Input(17)
    net = fb.Network(inputs=x, outputs=build(BEFORE[before](x)), dtype="float64")
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 2.0, size=(65, 17))
    u = rng.normal(size=X.shape)
    close(net.predict(X), value(X), "float64")
    np.testing.assert_allclose(net.vjp(X, u), u * slope(X), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(net.jvp(X, u), u * slope(X), rtol=1e-13, atol=1e-13)


@every_dtype
def test_a_signal_that_is_joined_with_itself_gets_both_parts(dtype):
    x = fb.Input(7)
    net = fb.Network(inputs=x, outputs=fb.concat([x, x, x[:, 2:5]]), dtype=dtype)
    X, u = np.random.default_rng(0).normal(size=(2, 5, 17)).astype(dtype)
    expected = u[:, :7] + u[:, 7:14]
    expected[:, 2:5] += u[:, 14:]
    np.testing.assert_allclose(net.vjp(X[:, :7], u), expected, rtol=1e-6)


@pytest.mark.parametrize("numbers", [(2.0, 3.0), (np.float32(2.0), np.int64(3)), (2, 3)], ids=repr)
def test_numbers_beside_a_signal_may_be_of_any_kind(numbers):
    a, b = numbers
    x = fb.Input(3)
    net = fb.Network(inputs=x, outputs=(a * x + b) / a - b, dtype="float64")
    X = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_allclose(net.predict(X), (2.0 * X + 3.0) / 2.0 - 3.0, rtol=1e-14)


@pytest.mark.parametrize("operation", ["__add__", "__sub__", "__mul__", "__truediv__"])
def test_a_signal_of_width_1_is_given_to_every_feature(operation):
    x = fb.Input(5)
    one = x[:, 1:2]
    net = fb.Network(inputs=x, outputs=[getattr(x, operation)(one), getattr(one, operation)(x)], dtype="float64")
    X = np.random.default_rng(0).uniform(1.0, 2.0, size=(4, 5))
    ours = net.predict(X)
    np.testing.assert_allclose(ours[0], getattr(X, operation)(X[:, 1:2]), rtol=1e-14)
    np.testing.assert_allclose(ours[1], getattr(X[:, 1:2], operation)(X), rtol=1e-14)
