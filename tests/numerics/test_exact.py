"""Functions from IEEE arithmetic alone: near enough to the truth, and the same bits as ever."""

import ast
import inspect
import math

import numpy as np
import pytest

from fastbp.numerics import exact

EPS = 1e-16


def spread(low, high, count=2000):
    return np.random.default_rng([abs(int(low * 8)), abs(int(high * 8))]).uniform(low, high, count)


NEAR_1 = np.concatenate([1 + 10.0 ** spread(-15, -1), 1 - 10.0 ** spread(-15, -1)])
POSITIVE = np.concatenate([spread(0, 1), spread(0.5, 2), NEAR_1, 10.0 ** spread(-300, 300), [5e-324, 1e-310, 1.7e308]])
MULTIPRECISION = {
    "exp": (lambda mp, x: mp.exp(x), np.concatenate([spread(-1, 1), spread(-708, 709), np.arange(-9.0, 9)])),
    "log1p": (
        lambda mp, x: mp.log1p(x),
        np.concatenate([spread(-1, 3), 10.0 ** spread(-300, 300), -(10.0 ** spread(-300, 0)), [0.0, 0.4]]),
    ),
    "exp2": (lambda mp, x: mp.mpf(2) ** x, np.concatenate([spread(-1, 1), spread(-1020, 1020), np.arange(-9.0, 9)])),
    "log": (lambda mp, x: mp.log(x), POSITIVE),
    "log2": (lambda mp, x: mp.log(x) / mp.log(2), POSITIVE),
    "cos_turns": (lambda mp, x: mp.cospi(2 * x), np.concatenate([spread(-1, 1), spread(-1e6, 1e6)])),
    "sin_turns": (lambda mp, x: mp.sinpi(2 * x), np.concatenate([spread(-1, 1), spread(-1e6, 1e6)])),
}


@pytest.mark.parametrize("name", MULTIPRECISION)
def test_values_are_those_of_arithmetic_in_many_digits(name):
    mp = pytest.importorskip("mpmath").mp
    truth, points = MULTIPRECISION[name]
    with mp.workprec(200):
        for x, y in zip(points.tolist(), getattr(exact, name)(points).tolist(), strict=True):
            expected = truth(mp, mp.mpf(x))
            scale = 1 if name.endswith("turns") else abs(expected)
            assert abs(mp.mpf(y) - expected) <= 3 * EPS * scale, x


POWERS = {
    "whole": (spread(0, 3), np.arange(2000) % 41 - 20.0, 2),
    "long": (spread(0.97, 1.03), spread(-20000, 20000).round(), 2),
    "longest": (1 + spread(-1e-7, 1e-7), spread(-2e9, 2e9).round(), 2),
    "real": (spread(0, 5), spread(-5, 5), 3),
    "far": (spread(0.9, 1.1), spread(-7000, 7000), 10),
    "beyond": (1 + 1e-12 * spread(-1, 1), spread(-1e14, 1e14), 10),
}


@pytest.mark.parametrize("kind", POWERS)
def test_powers_are_those_of_arithmetic_in_many_digits(kind):
    mp = pytest.importorskip("mpmath").mp
    base, exponent, units = POWERS[kind]
    with mp.workprec(200):
        for b, e, y in zip(base.tolist(), exponent.tolist(), exact.power(base, exponent).tolist(), strict=True):
            expected = mp.mpf(b) ** mp.mpf(e)
            if mp.mpf(2) ** -1021 < expected < mp.mpf(2) ** 1023:
                assert abs(mp.mpf(y) - expected) <= units * EPS * expected, (b, e)


def test_values_are_those_of_the_mathematics_library():
    x = POSITIVE[POSITIVE > 1e-300]
    np.testing.assert_allclose(exact.log(x), [math.log(v) for v in x], rtol=4e-16, atol=0)
    np.testing.assert_allclose(exact.log2(x), [math.log2(v) for v in x], rtol=6e-16, atol=0)
    y = spread(-1000, 1000)
    np.testing.assert_allclose(exact.exp2(y), [math.pow(2.0, v) for v in y], rtol=4e-16, atol=0)
    np.testing.assert_allclose(exact.power(0.9, y), [math.pow(0.9, v) for v in y], rtol=6e-16, atol=0)


def test_powers_of_two_are_exact():
    n = np.arange(-1074.0, 1024.0)
    two = np.ldexp(1.0, n.astype(int))
    np.testing.assert_array_equal(exact.exp2(n), two)
    np.testing.assert_array_equal(exact.log2(two), n)
    np.testing.assert_array_equal(exact.power(2.0, n), two)


def test_quarters_of_a_turn_are_exact_and_no_zero_is_negative():
    c, s = exact.turns(np.arange(-6, 7) / 4)
    np.testing.assert_array_equal(c, [-1, 0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0, -1])
    np.testing.assert_array_equal(s, [0, -1, 0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0])
    assert not (np.signbit(c) & (c == 0)).any()
    assert not (np.signbit(s) & (s == 0)).any()


def test_a_turn_more_changes_nothing():
    x = np.arange(4096) / 4096
    for first, second in zip(exact.turns(x), exact.turns(x + 3), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("base", [0.1, 0.999, 1 / 3, 7.0])
def test_the_first_powers_are_exact(base):
    assert exact.power(base, [0.0, 1.0, 2.0, -1.0]).tolist() == [1.0, base, base * base, 1.0 / base]


def test_whole_powers_are_as_many_products():
    products = np.cumprod(np.full(200, 0.97))
    np.testing.assert_allclose(exact.power(0.97, np.arange(1, 201)), products, rtol=3e-14, atol=0)


def test_what_is_too_large_or_too_small_is_infinite_or_zero():
    assert exact.exp2([1024.0, 1e300, -1080.0, -1e300]).tolist() == [math.inf, math.inf, 0.0, 0.0]
    assert exact.exp([710.0, 1e300, -746.0, -1e300, -np.inf]).tolist() == [math.inf, math.inf, 0.0, 0.0, 0.0]
    assert math.isnan(exact.exp(math.nan))
    assert exact.power([1e300, 1e-300, 2.0], [2.0, 2.0, 1e9]).tolist() == [math.inf, 0.0, math.inf]
    assert exact.power([1e300, 1e-300, 1.0], [2.5, 2.5, 1e300]).tolist() == [math.inf, 0.0, 1.0]


def test_zero_to_a_power_is_zero():
    assert exact.power(0.0, [0.5, 1.0, 2.0]).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["exp", "exp2", "log", "log1p", "log2", "cos_turns", "sin_turns"])
def test_an_element_does_not_depend_on_its_neighbours(name):
    f, x = getattr(exact, name), spread(0, 2)
    whole = f(x)
    assert whole[7::3].tobytes() == f(x[7::3]).tobytes()
    assert whole[11] == f(x[11])


def test_a_power_does_not_depend_on_its_neighbours():
    base, exponent = spread(0, 2), np.where(np.arange(2000) % 2, spread(-9, 9), spread(-9, 9).round())
    whole = exact.power(base, exponent)
    alone = [float(exact.power(b, e)) for b, e in zip(base, exponent, strict=True)]
    assert whole.tolist() == alone


GOLDEN = {
    "exp": (
        [0.1, -3.7, 100.25, -708.5],
        "0x1.1aec7b35a00d4p+0 0x1.9511fc6871044p-6 0x1.8c39b9134bac4p+144 0x0.e6cf6d08897acp-1022",
    ),
    "log1p": (
        [0.1, 1e-9, 0.7, 3e5],
        "0x1.8663f793c46c7p-4 0x1.12e0be801f1d9p-30 0x1.0fae81914a991p-1 0x1.9391be9d15c09p+3",
    ),
    "exp2": (
        [0.1, -3.7, 100.25, -1022.5],
        "0x1.125fbee250664p+0 0x1.3b2c47bff8328p-4 0x1.306fe0a31b715p+100 0x0.b504f333f9de6p-1022",
    ),
    "log": (
        [0.1, 0.7, 3.0, 1e-310],
        "-0x1.26bb1bbb55515p+1 -0x1.6d3c324e13f50p-2 0x1.193ea7aad030ap+0 -0x1.64e69394d9508p+9",
    ),
    "log2": (
        [0.1, 0.7, 3.0, 1e-310],
        "-0x1.a934f0979a371p+1 -0x1.0776228967d14p-1 0x1.95c01a39fbd69p+0 -0x1.01730dabca5f6p+10",
    ),
    "cos_turns": (
        [0.1, 1 / 3, -0.7, 12345.678],
        "0x1.9e3779b97f4a8p-1 -0x1.ffffffffffffdp-2 -0x1.3c6ef372fe954p-2 -0x1.bf9b468956944p-2",
    ),
    "sin_turns": (
        [0.1, 1 / 3, -0.7, 12345.678],
        "0x1.2cf2304755a5ep-1 0x1.bb67ae8584cabp-1 0x1.e6f0e134454ffp-1 -0x1.cc7ed85aa7580p-1",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_bits_are_those_of_every_machine(name):
    points, expected = GOLDEN[name]
    assert " ".join(v.hex() for v in getattr(exact, name)(points).tolist()) == expected


def test_bits_of_powers_are_those_of_every_machine():
    values = exact.power([0.1, 0.999, 0.3, 0.95], [7.0, 123456.0, 0.9, -2.5]).tolist()
    expected = "0x1.ad7f29abcaf4bp-24 0x1.be31a294758a6p-179 0x1.5a8131b97fd82p-2 0x1.230683211e694p+0"
    assert " ".join(v.hex() for v in values) == expected


# The rule

NUMPY = {
    *("abs", "asarray", "broadcast_arrays", "errstate", "float64", "floor", "frexp", "full_like", "int64", "ldexp"),
    *("maximum", "minimum", "ones_like", "rint", "where", "zeros_like"),
}


def used_of_numpy(text):
    found = {n.attr for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "np"}
    return found - NUMPY


def test_nothing_of_numpy_is_used_that_has_bits_of_its_own():
    assert used_of_numpy(inspect.getsource(exact)) == set()
    assert not hasattr(exact, "math")


def test_the_check_sees_what_has_bits_of_its_own():
    assert used_of_numpy("y = np.exp(np.abs(x)) + np.sum(x)") == {"exp", "sum"}
