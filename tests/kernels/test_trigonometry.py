"""sin, cos, arctan and power, compiled and on the NumPy twin of the vectors, against mpmath and float64."""

import math

import mpmath
import numpy as np
import pytest

from fastbp.kernels import power, trigonometry
from tests.kernels import gate_calls
from tests.kernels.harness import Machine
from tests.numpy_lanes import Lanes

INF, NAN = math.inf, math.nan
DTYPES = ["float32", "float64"]
# The largest errors allowed, in units of the last place.
ULPS = {
    "float32": {"sin": 2.2, "cos": 2.2, "power": 46.0, "arctan": 2.2},
    "float64": {"sin": 1.6, "cos": 1.6, "power": 330.0, "arctan": 2.1},
}
MOST = {"float32": 2.0**22, "float64": 2.0**50}
FORMULAS = {"sin": trigonometry.sin, "cos": trigonometry.cos, "arctan": trigonometry.arctan, "power": power.power}

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_function = pytest.mark.parametrize("name", ["sin", "cos"])


def on_lanes(name, *xs):
    return FORMULAS[name](*(Lanes(x) for x in xs)).array


def compiled(name, *xs):
    return gate_calls.elementwise(Machine(xs[0].dtype.name), name, [x[None] for x in xs]).read()[0]


BACKENDS = {"numpy": on_lanes, "compiled": compiled}
every_backend = pytest.mark.parametrize("run", BACKENDS.values(), ids=BACKENDS)


def exact(function, *xs):
    """The exact values as high + low."""
    with mpmath.workprec(300):
        values = [function(*map(mpmath.mpf, v)) for v in zip(*(x.tolist() for x in xs), strict=True)]
        high = [float(v) for v in values]
        low = [float(v - mpmath.mpf(h)) for v, h in zip(values, high, strict=True)]
    return np.array(high), np.array(low)


def ulp_errors(y, high, low):
    exponent = np.frexp(high)[1] - 1
    return np.abs((y.astype(np.float64) - high) - low) / np.ldexp(1.0, exponent - np.finfo(y.dtype).nmant)


def angles(dtype):
    """Evenly spread, spread over the exponents, and around the multiples of π/2."""
    rng = np.random.default_rng(1)
    n = 50_000 if dtype == "float32" else 2_000
    most = np.log2(MOST[dtype])
    turns = np.round(2.0 ** rng.uniform(0, most - 1, n))
    near = (turns * (np.pi / 2)).astype(dtype)
    ends = np.array([-INF, INF], dtype)
    evenly, over = rng.uniform(-100, 100, n), 2.0 ** rng.uniform(-30, most, n) * rng.choice([-1.0, 1.0], n)
    x = np.concatenate([evenly, over, near, np.nextafter(near, ends[0]), np.nextafter(near, ends[1])]).astype(dtype)
    return x[np.abs(x) <= MOST[dtype]]


@every_backend
@every_dtype
@every_function
def test_error_stays_within_its_bound(name, dtype, run):
    x = angles(dtype)
    high, low = (getattr(np, name)(x.astype(float)), 0.0) if dtype == "float32" else exact(getattr(mpmath, name), x)
    errors = ulp_errors(run(name, x), high, low)
    assert errors.max() <= ULPS[dtype][name], f"{name}({x[errors.argmax()]!r})"


@every_backend
@every_dtype
def test_special_angles(dtype, run):
    beyond = np.nextafter(np.array(MOST[dtype], dtype), np.array(INF, dtype))
    x = np.array([0.0, -0.0, INF, -INF, NAN, beyond, -beyond, 1e-30], dtype)
    np.testing.assert_array_equal(run("sin", x), np.array([0.0, -0.0, NAN, NAN, NAN, NAN, NAN, 1e-30], dtype))
    np.testing.assert_array_equal(np.signbit(run("sin", x[:2])), [False, True])
    np.testing.assert_array_equal(run("cos", x), [1.0, 1.0, NAN, NAN, NAN, NAN, NAN, 1.0])


@every_backend
@every_dtype
def test_sine_is_odd_and_cosine_even(dtype, run):
    x = np.abs(angles(dtype))
    np.testing.assert_array_equal(run("sin", -x), -run("sin", x))
    np.testing.assert_array_equal(run("cos", -x), run("cos", x))
    assert max(np.abs(run("sin", x)).max(), np.abs(run("cos", x)).max()) <= 1.0


@every_backend
@every_dtype
def test_error_of_arctangents_stays_within_its_bound(dtype, run):
    rng = np.random.default_rng(4)
    n = 50_000 if dtype == "float32" else 3_000
    ends = [m * (1.0 + k * 1e-7) for m in (np.sqrt(2.0) - 1.0, 1.0, np.sqrt(2.0) + 1.0) for k in range(-20, 21)]
    x = np.concatenate([2.0 ** rng.uniform(-60, 60, n), rng.uniform(0.0, 4.0, n), ends]).astype(dtype)
    high, low = (np.arctan(x.astype(float)), 0.0) if dtype == "float32" else exact(mpmath.atan, x)
    errors = ulp_errors(run("arctan", x), high, low)
    assert errors.max() <= ULPS[dtype]["arctan"], f"arctan({x[errors.argmax()]!r})"
    np.testing.assert_array_equal(run("arctan", -x), -run("arctan", x))


@every_backend
@every_dtype
def test_special_arctangents(dtype, run):
    x = np.array([0.0, -0.0, 1.0, INF, -INF, NAN, 1e-30, 1e30], dtype)
    found = run("arctan", x)
    np.testing.assert_allclose(found, np.arctan(x), rtol=1e-7 if dtype == "float32" else 1e-15)
    np.testing.assert_array_equal(np.signbit(found[:2]), [False, True])


def pairs(dtype):
    """Over all exponents, and bases near 1, with results over the whole range of normal numbers."""
    rng = np.random.default_rng(3)
    f, n = np.finfo(dtype), 50_000 if dtype == "float32" else 2_000
    least, largest = np.log2(f.tiny) + 1, np.log2(f.max) - 1
    x = 2.0 ** np.concatenate([rng.uniform(least, largest, n), rng.uniform(-0.5, 0.5, 2 * n)])
    x = x.astype(dtype)
    y = (rng.uniform(np.log(f.tiny) * 0.99, np.log(f.max) * 0.99, 3 * n) / np.log(x.astype(float))).astype(dtype)
    good = np.isfinite(y) & (x != 1) & (np.abs(y) > f.tiny)
    return x[good], y[good]


@every_backend
@every_dtype
def test_error_of_powers_stays_within_its_bound(dtype, run):
    x, y = pairs(dtype)
    high, low = (x.astype(float) ** y.astype(float), 0.0) if dtype == "float32" else exact(mpmath.power, x, y)
    errors = ulp_errors(run("power", x, y), high, low)
    worst = errors.argmax()
    assert errors[worst] <= ULPS[dtype]["power"], f"{x[worst]!r} ** {y[worst]!r}"
    assert errors[np.abs(y) < 8].max() <= 2.0


@every_backend
@every_dtype
def test_special_powers_are_those_of_the_standard(dtype, run):
    values = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1e30, -1e30, 7.0]
    x, y = (a.ravel() for a in np.meshgrid(np.array(values, dtype), np.array(values, dtype)))
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    found = run("power", x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[known]), np.signbit(expected[known]))


@every_dtype
@pytest.mark.parametrize("name", FORMULAS)
def test_compiled_functions_have_the_bits_of_the_twin(name, dtype):
    args = pairs(dtype) if name == "power" else (angles(dtype),)
    np.testing.assert_array_equal(
        compiled(name, *args).view(f"u{args[0].itemsize}"), on_lanes(name, *args).view(f"u{args[0].itemsize}")
    )


@pytest.mark.parametrize("circle", [trigonometry.CIRCLE32, trigonometry.CIRCLE64], ids=DTYPES)
def test_constants_are_numbers_of_their_dtype(circle):
    dtype = np.dtype("float32" if circle is trigonometry.CIRCLE32 else "float64")
    constants = np.array([*circle.P, *circle.S, *circle.C, *(c for c in circle if isinstance(c, float))])
    np.testing.assert_array_equal(constants.astype(dtype).astype(np.float64), constants)
    with mpmath.workprec(300):
        left = abs(mpmath.pi / 2 - sum(mpmath.mpf(p) for p in circle.P))
        assert left < mpmath.mpf(2) ** (-3 * np.finfo(dtype).nmant)
