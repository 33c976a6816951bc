"""The functions of one vector, compiled and on the NumPy twin of the vectors, against decimals and float64.

`FASTBP_EXHAUSTIVE=1 pytest tests/kernels/test_functions.py -k every_float32` tries every float32 argument.
"""

import decimal
import math
import os
from fractions import Fraction
from functools import cache

import numba
import numpy as np
import pytest

from fastbp.kernels import functions
from fastbp.kernels.flags import OPTIONS
from fastbp.kernels.memory import load, store
from fastbp.kernels.vector import LINE, vector_function
from tests.numpy_lanes import Lanes, fused_multiply_add

NAMES = ["exp", "expm1", "log", "log1p", "softplus", "sigmoid", "tanh", "erf"]
DTYPES = ["float32", "float64"]
INF, NAN = math.inf, math.nan

# The largest errors allowed, in units of the last place; `functions` says which are the largest ever seen.
ULPS = {
    "float32": {
        "exp": 0.90,
        "expm1": 1.30,
        "log": 0.96,
        "log1p": 1.50,
        "softplus": 1.95,
        "sigmoid": 2.45,
        "tanh": 1.75,
        "erf": 1.15,
    },
    "float64": {
        "exp": 0.90,
        "expm1": 1.45,
        "log": 1.20,
        "log1p": 1.85,
        "softplus": 2.15,
        "sigmoid": 2.50,
        "tanh": 1.90,
        "erf": 1.30,
    },
}
RANGES = {
    "float32": {
        "exp": (-87.33, 88.72),
        "expm1": (-30, 88.72),
        "log": (2.0**-126, 3e38),
        "log1p": (-1 + 2.0**-24, 3e38),
        "softplus": (-87.33, 88),
        "sigmoid": (-87.33, 20),
        "tanh": (-10, 10),
        "erf": (-5, 5),
    },
    "float64": {
        "exp": (-708.3, 709.7),
        "expm1": (-50, 709.7),
        "log": (2.0**-1022, 1e308),
        "log1p": (-1 + 2.0**-53, 1e308),
        "softplus": (-708.3, 100),
        "sigmoid": (-708.3, 40),
        "tanh": (-20, 20),
        "erf": (-7, 7),
    },
}
SPECIAL = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (1e30, INF), (-1e30, 0.0)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1.0), (1e30, INF), (-1e30, -1.0), (-1e-30, -1e-30)],
    "log": [(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-INF, NAN), (-1.0, NAN), (-1e-30, NAN)],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, NAN), (-1.5, NAN), (-1.0, -INF), (-1e-30, -1e-30)],
    "softplus": [(INF, INF), (-INF, 0.0), (1e30, 1e30), (-1e30, 0.0), (45.0, 45.0)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (1e30, 1.0), (-1e30, 0.0), (45.0, 1.0)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (25.0, 1.0), (-1e30, -1.0), (1e-30, 1e-30)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (6.0, 1.0), (-6.0, -1.0), (-1e30, -1.0)],
}


def erf_in_float64(x):
    """math.erf, except where x is so small that two terms of the series do, or so large that the result is ±1."""
    y = np.where(np.abs(x) < 1e-3, (x - x**3 / 3) * (2 / math.sqrt(math.pi)), np.sign(x))
    between = (np.abs(x) >= 1e-3) & (np.abs(x) < 6)
    y[between] = [math.erf(v) for v in x[between].tolist()]
    return y


NUMPY = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "softplus": lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))),
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "tanh": np.tanh,
    "erf": erf_in_float64,
}


def on_lanes(name, x, flush=False):
    return getattr(functions, name)(Lanes(x, flush)).array


@cache
def loop(name):
    """A compiled loop over `count` lines: `source`, `target`, `count` and a zero of the dtype."""
    function = vector_function(getattr(functions, name))

    def over_lines(source, target, count, z):
        for o in range(0, count * LINE, LINE):
            store(target + o, function(load(source + o, z)))

    return numba.njit(**OPTIONS)(over_lines)


def compiled(name, x):
    in_line = LINE // x.itemsize
    lines = -(-x.size // in_line)
    padded, y = np.zeros((2, lines * in_line), x.dtype)
    padded[: x.size] = x
    loop(name)(padded.ctypes.data, y.ctypes.data, lines, x.dtype.type(0))
    return y[: x.size].copy()


BACKENDS = {"numpy": on_lanes, "compiled": compiled}

every_function = pytest.mark.parametrize("name", NAMES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_backend = pytest.mark.parametrize("run", BACKENDS.values(), ids=BACKENDS)


def tiny(dtype):
    return np.finfo(dtype).tiny


def bits(x):
    return x.view(f"u{x.itemsize}")


SQRT_PI = decimal.Decimal("1.7724538509055160272981674833411451827975494561224")


def log1p_in_decimal(d):
    return d - d**2 / 2 + d**3 / 3 if abs(d) < decimal.Decimal("1e-12") else (1 + d).ln()


def erf_in_decimal(d):
    """2 / √π e^(-d²) (d + 2 d³ / 3 + 4 d⁵ / 15 + ...), whose terms have one sign."""
    term = total = d
    n = 1
    while abs(term) > abs(total) * decimal.Decimal("1e-45"):
        n += 2
        term *= 2 * d * d / n
        total += term
    return 2 / SQRT_PI * (-d * d).exp() * total


def in_decimal(name, x):
    """The exact value to 30 digits and more; by a series where a difference would cancel."""
    d = decimal.Decimal(x)
    match name:
        case "exp":
            return d.exp()
        case "expm1":
            return d + d**2 / 2 + d**3 / 6 if abs(d) < decimal.Decimal("1e-12") else d.exp() - 1
        case "log":
            return d.ln()
        case "log1p":
            return log1p_in_decimal(d)
        case "softplus":
            return max(d, 0) + log1p_in_decimal((-abs(d)).exp())
        case "sigmoid":
            return d.exp() / (1 + d.exp())
        case "tanh":
            return d - d**3 / 3 if abs(d) < decimal.Decimal("1e-8") else 1 - 2 / ((2 * d).exp() + 1)
        case "erf":
            return erf_in_decimal(d)


def exact(name, x):
    """The exact values as high + low: from float64 for float32 arguments, from decimals for float64 ones."""
    if x.dtype == np.float32:
        return NUMPY[name](x.astype(np.float64)), np.zeros(x.shape)
    with decimal.localcontext(prec=50):
        values = [in_decimal(name, v) for v in x.tolist()]
        high = [float(v) for v in values]
        low = [float(v - decimal.Decimal(h)) for v, h in zip(values, high, strict=True)]
    return np.array(high), np.array(low)


def ulp_errors(y, high, low):
    """|y - (high + low)| in units of the last place of y's dtype at high."""
    exponent = np.frexp(high)[1] - 1
    return np.abs((y.astype(np.float64) - high) - low) / np.ldexp(1.0, exponent - np.finfo(y.dtype).nmant)


def samples(name, dtype):
    """Evenly spread, spread over the exponents, and around the steps of the range reduction."""
    rng = np.random.default_rng(1)
    n, least = (200_000, -100) if dtype == "float32" else (2_000, -300)
    low, high = RANGES[dtype][name]
    if name == "log":
        evenly = rng.uniform(0.4, 2.5, n)
        over_exponents = 2.0 ** rng.uniform(np.log2(low), np.log2(high), n)
        steps = np.sqrt(0.5) * 2.0 ** np.arange(-8, 9)
    else:
        evenly = rng.uniform(low, min(high, 1000), n)
        over_exponents = 2.0 ** rng.uniform(least, np.log2(high), n) * rng.choice([-1.0, 1.0], n)
        steps = np.arange(-60, 61) * (np.log(2.0) / 8)
    if name == "log1p":
        evenly = rng.uniform(-1, 2, n)
        steps = np.sqrt(0.5) * 2.0 ** np.arange(-8, 9) - 1
    if name == "erf":
        steps = np.array([-0.875, 0.875])
    near_steps = np.concatenate([steps * (1 + k * np.finfo(dtype).eps) for k in range(-2, 3)])
    x = np.concatenate([evenly, over_exponents, near_steps])
    return x[(x >= low) & (x <= high)].astype(dtype)


@every_backend
@every_dtype
@every_function
def test_error_stays_within_its_bound(name, dtype, run):
    x = samples(name, dtype)
    errors = ulp_errors(run(name, x), *exact(name, x))
    worst = int(np.argmax(errors))
    assert errors[worst] <= ULPS[dtype][name], f"{name}({x[worst]!r})"


@every_dtype
def test_error_measure_sees_a_unit(dtype):
    value = np.array([1.5, 0.3, 1.0], dtype)
    above = np.nextafter(value, np.array(9, dtype))
    np.testing.assert_array_equal(ulp_errors(above, value.astype(np.float64), np.zeros(3)), [1.0, 1.0, 1.0])


@every_backend
@every_dtype
@every_function
def test_special_values_are_exact(name, dtype, run):
    x, expected = np.array(SPECIAL[name], dtype).T.copy()
    y = run(name, x)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y[expected == 0]), np.signbit(expected[expected == 0]))


@every_dtype
@every_function
def test_compiled_functions_have_the_bits_of_the_twin(name, dtype):
    x = np.concatenate([samples(name, dtype), np.array([x for x, _ in SPECIAL[name]], dtype)])
    y, twin = compiled(name, x), on_lanes(name, x)
    assert (np.isnan(y) == np.isnan(twin)).all()
    np.testing.assert_array_equal(bits(y[~np.isnan(y)]), bits(twin[~np.isnan(y)]))


@every_backend
@every_dtype
@every_function
def test_nan_travels_whatever_its_payload(name, dtype, run):
    payloads = np.random.default_rng(2).integers(1, 2**22, 1000, dtype=np.uint64)
    if dtype == "float32":
        nans = (0x7FC00000 | payloads).astype(np.uint32).view(dtype)
    else:
        nans = (0x7FF8000000000000 | payloads).view(dtype)
    assert np.isnan(run(name, np.concatenate([nans, -nans]))).all()


@every_backend
@every_dtype
def test_exp_has_the_full_range(dtype, run):
    f = functions.FLOAT32 if dtype == "float32" else functions.FLOAT64
    ends = np.array([f.exp_least, f.exp_most], dtype)
    inside, outside = run("exp", ends), run("exp", np.nextafter(ends, np.array([-INF, INF], dtype)))
    assert inside[0] >= tiny(dtype)
    assert inside[1] < INF
    np.testing.assert_array_equal(outside, [0.0, INF])
    np.testing.assert_array_equal(run("sigmoid", ends[:1]), inside[:1])
    np.testing.assert_array_equal(run("softplus", ends[:1]), inside[:1])
    np.testing.assert_array_equal(run("expm1", ends), [-1.0, inside[1]])
    np.testing.assert_array_equal(run("expm1", np.nextafter(ends, np.array([-INF, INF], dtype))), [-1.0, INF])


@every_backend
@every_dtype
@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_saturating_functions_are_odd_and_at_most_one(name, dtype, run):
    x = np.abs(samples(name, dtype))
    y = run(name, x)
    assert y.max() == 1.0
    np.testing.assert_array_equal(bits(run(name, -x)), bits(-y))


@every_backend
@every_dtype
@pytest.mark.parametrize(("name", "most"), [("tanh", 1.0), ("expm1", 0.4), ("log1p", 0.4)])
def test_result_is_the_argument_where_that_is_small(name, most, dtype, run):
    x = np.geomspace(tiny(dtype), most * np.finfo(dtype).eps, 1000).astype(dtype)
    np.testing.assert_array_equal(run(name, x), x)
    np.testing.assert_array_equal(run(name, -x), -x)


@every_backend
@every_dtype
def test_log1p_undoes_expm1(dtype, run):
    x = np.linspace(-0.6, 80, 10_000, dtype=dtype)
    np.testing.assert_allclose(run("log1p", run("expm1", x)), x, rtol=8 * np.finfo(dtype).eps)


@every_backend
@every_dtype
def test_softplus_is_its_reflection_and_its_argument(dtype, run):
    x = np.linspace(0, 80, 10_000, dtype=dtype)
    np.testing.assert_allclose(run("softplus", -x) + x, run("softplus", x), rtol=2 * np.finfo(dtype).eps)


@every_dtype
@every_function
def test_flushing_subnormals_changes_only_subnormals(name, dtype):
    special = np.array([x for x, _ in SPECIAL[name]], dtype)
    subnormals = np.array([0.75, -0.75, 0.001], dtype) * tiny(dtype)
    smallest = np.array([1.0, 1.5, 2.0, 3.5, 4.0, 5.5, 100.0], dtype) * tiny(dtype)
    underflowing = np.array([-87.5, -88.5, -708.5, -710.0], dtype)
    x = np.concatenate([samples(name, dtype), special, subnormals, smallest, -smallest, underflowing])
    y, flushed = on_lanes(name, x), on_lanes(name, x, flush=True)
    subnormal = np.abs(y) < tiny(dtype)
    np.testing.assert_array_equal(flushed[~subnormal], y[~subnormal])
    np.testing.assert_array_equal(np.abs(flushed[subnormal]), 0.0)


@every_backend
@every_dtype
def test_subnormals_have_the_logarithm_of_zero(dtype, run):
    x = np.array([tiny(dtype) / 2, -tiny(dtype) / 2], dtype)
    np.testing.assert_array_equal(run("log", x), [-INF, -INF])


@pytest.mark.parametrize("format", [functions.FLOAT32, functions.FLOAT64], ids=DTYPES)
def test_constants_are_numbers_of_their_dtype(format):
    dtype = np.dtype("float32" if format.digits == 23 else "float64")
    polynomials = [*format.E, *format.T, *format.L, *format.S, *format.C]
    constants = np.array([c for c in format if isinstance(c, float)] + polynomials)
    np.testing.assert_array_equal(constants.astype(dtype).astype(np.float64), constants)
    assert np.array(math.sqrt(0.5), dtype).view(f"u{dtype.itemsize}") == format.sqrt_half


@every_dtype
def test_emulated_fma_rounds_once(dtype):
    rng = np.random.default_rng(3)
    a, b = rng.uniform(0.5, 2, (2, 3000)).astype(dtype)
    cancelling = -(a * b) * (1 + rng.integers(-1, 2, 3000) * np.finfo(dtype).eps).astype(dtype)
    spread = rng.normal(size=3000) * 2.0 ** rng.integers(-30, 30, 3000)
    c = np.where(rng.random(3000) < 0.5, cancelling, spread).astype(dtype)
    d = fused_multiply_add(a, b, c)
    for ai, bi, ci, di in zip(a.tolist(), b.tolist(), c.tolist(), d, strict=True):
        value = Fraction(ai) * Fraction(bi) + Fraction(ci)
        error = abs(Fraction(float(di)) - value)
        for neighbour in (np.nextafter(di, np.array(-INF, dtype)), np.nextafter(di, np.array(INF, dtype))):
            assert error <= abs(Fraction(float(neighbour)) - value)


@pytest.mark.skipif(os.environ.get("FASTBP_EXHAUSTIVE") != "1", reason="FASTBP_EXHAUSTIVE=1 tries every float32")
@every_function
def test_error_stays_within_its_bound_at_every_float32(name):
    largest, chunk = np.finfo(np.float32).max, 1 << 15  # whose arrays stay in the cache
    for start in range(0, 1 << 32, chunk):
        x = (np.arange(chunk, dtype=np.uint32) + np.uint32(start)).view(np.float32)
        y = compiled(name, x)
        with np.errstate(all="ignore"):
            high = NUMPY[name](x.astype(np.float64))
        size = np.abs(high)
        counts = (np.abs(x) >= tiny("float32")) | (x == 0) | np.isnan(x)  # other arguments may count as zero
        nan, infinite, small = counts & np.isnan(high), counts & (size > largest), counts & (size < tiny("float32"))
        assert np.isnan(y[nan]).all()
        np.testing.assert_array_equal(y[infinite], np.copysign(INF, high[infinite]))
        assert (np.abs(y[small]) <= tiny("float32")).all()
        normal = counts & (size >= tiny("float32")) & (size <= largest)
        errors = ulp_errors(y[normal], high[normal], 0.0)
        assert errors.max(initial=0.0) <= ULPS["float32"][name], f"{name}({x[normal][errors.argmax()]!r})"
