"""Waves against NumPy in twice the digits, with and without their slopes, and where they end."""

import numpy as np
import pytest

from fastbp import reference
from fastbp.kernels.trigonometry import CIRCLE32, CIRCLE64
from tests.kernels.branch_calls import WAVES, wave
from tests.kernels.every_kernel import normal
from tests.kernels.harness import DTYPES, SHAPES, Machine, same_bits

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_wave = pytest.mark.parametrize("kernel", WAVES)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@every_dtype
@every_wave
def test_waves_and_slopes_are_the_twins(kernel, dtype, shape):
    x, factor = 3.0 * normal(dtype, *shape), 2.0 * np.pi
    eps, a = float(np.finfo(dtype).eps), float(np.dtype(dtype).type(factor))
    found = wave(Machine(dtype), kernel, x, factor)
    expected = getattr(reference, f"{kernel}_forward")(x.astype(np.float64), a)
    off = eps * (3.0 + a * np.abs(x))  # of the wave itself, and of a x, which is rounded
    for got, must, scale in zip(found, expected, (1.0, a), strict=True):
        wide = got.reshape(got.shape[0], -1)[:, : shape[1]] if got.ndim == 3 else got[:, : shape[1]]
        assert (np.abs(wide - must) <= scale * off).all()


@every_dtype
@every_wave
def test_without_a_slope_the_wave_has_the_same_bits(kernel, dtype):
    x = normal(dtype, 33, 40)
    alone, both = (wave(Machine(dtype), kernel, x, 6.5, sloped)[0] for sloped in (False, True))
    assert same_bits(alone, both)


@every_dtype
@every_wave
def test_beyond_four_million_radians_and_at_nan_there_is_no_wave(kernel, dtype):
    most = (CIRCLE32 if dtype == "float32" else CIRCLE64).most
    row = np.array([[most, -most, 2 * most, -2 * most, np.inf, -np.inf, np.nan]], dtype)
    for got in wave(Machine(dtype), kernel, row, 1.0):
        numbers = got.ravel()[:7]
        assert np.isfinite(numbers[:2]).all()
        assert np.isnan(numbers[2:]).all()
