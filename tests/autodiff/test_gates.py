"""Every gate on a ladder: its value is NumPy's, its vjp central differences, its jvp and vjp are adjoint."""

import itertools

import numpy as np
import pytest

import fastbp as fb
from fastbp.autodiff.structure import GATES
from tests.autodiff.ladder import LADDER, arguments

SHAPES = [(w,) for w in (1, 2, 15, 16, 17, 33)] + [(r, w) for r in (1, 3, 8) for w in (1, 15, 16, 17, 33)]
TOLERANCE = {"float32": 3e-6, "float64": 2e-14}

every_gate = pytest.mark.parametrize("name", LADDER)
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s)))


def shapes(name):
    return [s for s in SHAPES if len(s) == 2 or not LADDER[name].matrices]


def uses(F, args, name):
    """Whether the gate is in what was traced, or in its derivative."""
    F.vjp(args, np.ones(np.shape(F(*args))))
    (traces,) = F._traces.values()
    return name in {node.gate for node in traces.graph.nodes}


@every_dtype
@every_gate
def test_its_value_is_numpys(name, dtype):
    for shape in shapes(name):
        args = [a.astype(dtype) for a in arguments(name, shape)]
        before = [a.copy() for a in args]
        found = fb.trace(LADDER[name].function, dtype=dtype)(*args)
        expected = np.asarray(LADDER[name].function(*(a.astype(np.float64) for a in args)), np.float64)
        assert isinstance(found, float) if expected.shape == () else found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * 10)
        for a, b in zip(args, before, strict=True):
            np.testing.assert_array_equal(a, b)


@every_gate
def test_it_is_what_is_tried(name):
    args = arguments(name, (3, 5))
    assert uses(fb.trace(LADDER[name].function), args, name)


@every_gate
def test_its_vjp_is_central_differences(name):
    rng = np.random.default_rng(1)
    for shape in shapes(name):
        args = arguments(name, shape)
        F = fb.trace(LADDER[name].function)
        u = rng.normal(size=np.shape(F(*args)))
        pulled = F.vjp(args, u)
        assert [p.shape for p in pulled] == [a.shape for a in args]
        if not LADDER[name].smooth:
            assert all(not p.any() for p in pulled)
            continue
        for which, part in enumerate(pulled):
            t = rng.normal(size=shape)
            ahead, behind = list(args), list(args)
            ahead[which], behind[which] = args[which] + 1e-6 * t, args[which] - 1e-6 * t
            difference = (np.sum(u * F(*ahead)) - np.sum(u * F(*behind))) / 2e-6
            scale = np.abs(part * t).sum() + 1.0
            assert abs(np.sum(part * t) - difference) < 1e-6 * scale


@every_dtype
@every_gate
def test_its_jvp_and_vjp_are_adjoint(name, dtype):
    rng = np.random.default_rng(2)
    for shape in shapes(name):
        args = [a.astype(dtype) for a in arguments(name, shape)]
        F = fb.trace(LADDER[name].function, dtype=dtype)
        tangents = [rng.normal(size=shape).astype(dtype) for _ in args]
        moved = F.jvp(args, tangents)
        u = rng.normal(size=np.shape(moved)).astype(dtype)
        left = u * moved
        right = [p * t for p, t in zip(F.vjp(args, u), tangents, strict=True)]
        scale = np.abs(left).sum() + sum(np.abs(r).sum() for r in right) + 1.0
        assert abs(left.sum(dtype=float) - sum(r.sum(dtype=float) for r in right)) < TOLERANCE[dtype] * scale


@every_gate
def test_it_is_the_same_of_numbers_as_of_arrays(name):
    if not GATES[name].elementwise:
        args = arguments(name, (4, 3))
        first, second = (fb.trace(LADDER[name].function) for _ in range(2))
        np.testing.assert_array_equal(first(*args), second(*args))
        return
    F = fb.trace(LADDER[name].function)
    args = arguments(name, (17,))
    one_by_one = [F(*(float(a[i]) for a in args)) for i in range(17)]
    np.testing.assert_array_equal(F(*args), one_by_one)
    assert all(isinstance(v, float) for v in one_by_one)


EXTREMES = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e4, -1e4, 1e300, -1e300, 0.5, -0.5, 1.0, -1.0])
# What is undefined beyond the range over which our functions are accurate.
FAR = {"sin": 1e300, "cos": 1e300}


@pytest.mark.parametrize("name", [n for n in LADDER if GATES[n].elementwise])
def test_extremes_are_numpys(name):
    count = len(LADDER[name].inputs)
    args = [a.ravel() for a in np.meshgrid(*[EXTREMES] * count)]
    args = [np.where(np.abs(a) >= FAR.get(name, np.inf), 1.0, a) for a in args]
    with np.errstate(all="ignore"):
        expected = GATES[name].value(*args, note=None)
    if name == "power":
        np.testing.assert_array_equal(fb.trace(np.power)(*args)[np.isnan(expected)], np.nan)
    found = fb.trace(lambda *a: LADDER[name].function(*a) if name != "where" else np.where(*a))(*args)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("name", [n for n in LADDER if GATES[n].elementwise and n not in ("where", "power")])
def test_nan_travels(name):
    args = [np.full(3, np.nan) for _ in LADDER[name].inputs]
    found = fb.trace(LADDER[name].function)(*args)
    comparison = not LADDER[name].smooth
    np.testing.assert_array_equal(found, float(name == "not_equal") if comparison else np.nan)


@pytest.mark.parametrize(("function", "share"), [(np.maximum, 0.5), (np.minimum, 0.5)])
def test_where_both_are_equal_each_gets_half(function, share):
    F = fb.trace(function)
    assert F.vjp((2.0, 2.0), 1.0) == (share, share)
    assert F.jvp((2.0, 2.0), (1.0, 0.0)) == share


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 64, -1, -2, -5, 0.5, -0.5])
def test_a_constant_exponent_makes_products(n):
    F = fb.trace(lambda x: x**n)
    assert np.isclose(F(1.1), 1.1**n, rtol=1e-14)
    assert np.isclose(F.gradient(1.1)[0], n * 1.1 ** (n - 1), rtol=1e-13)
    assert "power" not in {node.gate for node in F._traces[((),)].graph.nodes}


def test_other_exponents_are_powers():
    for n in (65.0, 1.5, -2.25):
        F = fb.trace(lambda x, n=n: x**n)
        assert np.isclose(F(1.1), 1.1**n, rtol=1e-13)
        assert np.isclose(F.gradient(1.1)[0], n * 1.1 ** (n - 1), rtol=1e-12)


def test_a_power_of_zero_has_its_derivatives():
    F = fb.trace(np.power)
    assert F.gradient(0.0, 3.0) == (0.0, 0.0)
    assert F.gradient(0.0, 1.0) == (1.0, 0.0)
    assert F.gradient(2.0, 0.0) == (0.0, np.log(2.0))


@pytest.mark.parametrize(("dtype", "tiny", "huge"), [("float32", 1e-30, 1e30), ("float64", 1e-200, 1e200)])
def test_a_hypotenuse_and_its_derivatives_neither_overflow_nor_underflow(dtype, tiny, huge):
    F = fb.trace(np.hypot, dtype)
    for size in (tiny, 1.0, huge):
        np.testing.assert_allclose(F(3.0 * size, -4.0 * size), 5.0 * size, rtol=1e-6)
        np.testing.assert_allclose(F.gradient(3.0 * size, -4.0 * size), [0.6, -0.8], rtol=1e-6)
    assert F.gradient(0.0, 0.0) == (0.0, 0.0)
    assert F(-np.inf, np.nan) == F(np.nan, np.inf) == np.inf
    assert np.isnan([F(np.nan, 0.0), F(0.0, np.nan)]).all()


def test_a_hypotenuse_has_its_second_derivatives_where_both_are_equal():
    found = np.array(fb.trace(np.hypot).hessian(3.0, 3.0))
    np.testing.assert_allclose(found, np.array([[1.0, -1.0], [-1.0, 1.0]]) / 72.0**0.5, rtol=1e-14)


@pytest.mark.parametrize("reduce", [np.max, np.min])
@pytest.mark.parametrize("equal", [1, 2, 3, 4, 5])
def test_equal_extremes_share_the_derivative_evenly_wherever_they_stand(reduce, equal):
    F = fb.trace(lambda x: reduce(x) ** 2)
    extreme = 7.0 if reduce is np.max else -7.0
    for places in itertools.combinations(range(5), equal):
        x = np.zeros(5)
        x[list(places)] = extreme
        share = np.isin(np.arange(5), places) / equal
        assert F(x) == 49.0
        np.testing.assert_allclose(F.gradient(x)[0], 2.0 * extreme * share, rtol=1e-15)
        np.testing.assert_allclose(F.hessian(x), 2.0 * np.outer(share, share), rtol=1e-15)
        np.testing.assert_allclose(F.jvp((x,), (np.arange(5.0),)), 2.0 * extreme * share @ np.arange(5.0), rtol=1e-14)


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_extremes_along_an_axis_share_along_it(axis, keepdims):
    X = np.array([[3.0, 1.0, 3.0], [3.0, 1.0, 2.0]])
    F = fb.trace(lambda X: np.max(X, axis=axis, keepdims=keepdims) * 1.0)
    np.testing.assert_array_equal(F(X), np.max(X, axis=axis, keepdims=keepdims))
    mask = (np.max(X, axis=axis, keepdims=True) == X) * 1.0
    expected = mask / mask.sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(F.vjp((X,), np.ones(np.shape(F(X))))[0], expected, rtol=1e-15)
    assert np.isnan(F(np.where(X > 2.5, np.nan, X))).any()
