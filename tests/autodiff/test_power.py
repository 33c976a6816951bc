"""Powers as in C99: every exponent, both signs, zeros, infinities and NaN; and their derivatives."""

import numpy as np
import pytest

import fastbp as fb

INF = np.inf
TENTHS = np.arange(1, 40) / 10.0
EXPONENTS = np.concatenate([TENTHS, -TENTHS, [0.0, -0.0, 5.0, -5.0, 2.5, -2.5, 0.75, 1.25, INF, -INF, np.nan]])
BASES = np.array([0.0, 0.3, 0.5, 1.0, 1.7, 2.0, 8.0, INF, np.nan])
BASES = np.concatenate([BASES, -BASES])


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-14), ("float32", 1e-6)])
def test_a_power_is_numpys_for_every_sign_and_exponent(dtype, close):
    x, y = (a.ravel().astype(dtype) for a in np.meshgrid(BASES, EXPONENTS))
    with np.errstate(all="ignore"):
        expected = x**y
    found = fb.trace(np.power, dtype)(x, y)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[known]), np.signbit(expected[known]))
    np.testing.assert_allclose(found, expected, rtol=close)


@pytest.mark.parametrize("exponent", [0.7, 1.3, -0.7, 65.5])
def test_a_constant_exponent_that_is_not_whole_has_no_power_of_a_negative_number(exponent):
    F = fb.trace(lambda x: x**exponent)
    assert np.isnan(F(-2.0))
    assert np.isnan(F.gradient(-2.0)[0])


def test_a_whole_exponent_of_a_negative_number_has_a_derivative_in_the_number_alone():
    F = fb.trace(np.power)
    dx, dy = F.gradient(-2.0, 3.0)
    assert np.isclose(dx, 12.0, rtol=1e-15)
    assert np.isnan(dy)
    assert F.gradient(0.0, 3.0) == F.gradient(-0.0, 3.0) == (0.0, 0.0)
