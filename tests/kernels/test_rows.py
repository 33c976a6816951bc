"""Gather and scatter between users' rows and panels, and the scans of users' arrays: bits travel unchanged."""

import numpy as np
import pytest

from tests.kernels import calls
from tests.kernels.every_kernel import normal
from tests.kernels.harness import DTYPES, SHAPES, SIZES, Machine, bits, same_bits

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
shifted = pytest.mark.parametrize("shift", [0, 3])


def special(dtype):
    """Numbers whose bits arithmetic would not keep."""
    info = np.finfo(dtype)
    nan = np.array([0x7FC12345 if dtype == "float32" else 0x7FF8123456789ABC], bits(np.zeros(1, dtype)).dtype).view(
        dtype
    )[0]
    return np.array([[nan, -np.inf, -0.0, info.smallest_subnormal, info.max]], dtype)


@shifted
@every_shape
@every_dtype
def test_rows_are_gathered_in_order_without_an_index(dtype, shape, shift):
    rows, width = shape
    X = normal(dtype, rows + shift, width)
    out = calls.gather(Machine(dtype), X, None, rows, shift)
    assert same_bits(out.read(), X[shift:])
    assert not out.padding().any()


@shifted
@every_shape
@every_dtype
def test_rows_are_gathered_through_an_index(dtype, shape, shift):
    rows, width = shape
    X = normal(dtype, rows + 7, width)
    index = np.random.default_rng(rows).integers(0, rows + 7, rows + shift)
    out = calls.gather(Machine(dtype), X, index, rows, shift)
    assert same_bits(out.read(), X[index[shift:]])


@every_dtype
def test_an_index_may_repeat_and_name_the_last_row(dtype):
    X = normal(dtype, 70_000, 2)
    index = np.array([69_999, 0, 65_536, 65_536, 69_999])
    assert same_bits(calls.gather(Machine(dtype), X, index, 5).read(), X[index])


@shifted
@every_shape
@every_dtype
def test_rows_are_scattered_behind_those_of_other_blocks(dtype, shape, shift):
    x = normal(dtype, *shape)
    m = Machine(dtype)
    Y = calls.scatter(m, x, shift)
    assert same_bits(Y[shift:], x)
    assert (bits(Y[:shift]) == ~bits(Y).dtype.type(0)).all()
    assert m.overrun() == []


@every_dtype
def test_every_bit_pattern_is_carried_there_and_back(dtype):
    X = special(dtype)
    assert same_bits(calls.gather(Machine(dtype), X, None, 1).read(), X)
    assert same_bits(calls.scatter(Machine(dtype), X), X)


@pytest.mark.parametrize("size", [0, *SIZES, 63, 64, 65, 1001])
@every_dtype
def test_the_scan_finds_the_largest_magnitude_wherever_it_stands(dtype, size):
    array = normal(dtype, size)
    assert calls.scan_reals(Machine(dtype), array) == np.abs(array).max(initial=0.0)
    for place in range(0, size, max(1, size // 70)):
        for value in (-100.0, np.inf, -np.inf):
            array = normal(dtype, size)
            array[place] = value
            assert calls.scan_reals(Machine(dtype), array) == abs(value)


@pytest.mark.parametrize("size", SIZES)
@every_dtype
def test_the_scan_puts_nan_of_either_sign_above_infinity(dtype, size):
    for place in range(size):
        for nan in (np.nan, -np.nan):
            array = np.full(size, np.inf, dtype)
            array[place] = nan
            assert np.isnan(calls.scan_reals(Machine(dtype), array))


@every_dtype
def test_the_scan_sees_subnormals(dtype):
    least = np.finfo(dtype).smallest_subnormal
    assert calls.scan_reals(Machine(dtype), np.array([0.0, -least], dtype)) == least


@pytest.mark.parametrize("count", [0, *SIZES])
@every_dtype
def test_labels_in_range_pass(dtype, count):
    labels = np.random.default_rng(count).integers(0, 5, count)
    assert calls.scan_labels(Machine(dtype), labels, 5) == -1


@pytest.mark.parametrize("bad", [-1, 5, 2**40, -(2**63)])
@every_dtype
def test_the_first_label_out_of_range_is_found(dtype, bad):
    for place in range(17):
        labels = np.arange(17) % 5
        labels[[place, 16]] = bad
        assert calls.scan_labels(Machine(dtype), labels, 5) == place
