"""Dropout drops exactly what `reference.dropout_mask` says, for any seed, step, layer, row and column."""

import numpy as np
import pytest

from fastbp import reference
from tests.kernels import calls
from tests.kernels.harness import DTYPES, SHAPES, Machine, same_bits

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def kept(dtype, shape, p, seed=0, step=0, node=0, **words):
    """Which elements of a matrix of ones the kernel keeps."""
    m = Machine(dtype, seed=seed, step=step)
    y = calls.dropout(m, np.ones(shape, dtype), p, node, **words).read()
    assert set(np.unique(y)) <= {0.0, np.dtype(dtype).type(1.0 / (1.0 - p))}
    return y != 0.0


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@every_dtype
def test_the_mask_is_the_references(dtype, p, shape):
    np.testing.assert_array_equal(kept(dtype, shape, p, 1, 2, 3), reference.dropout_mask(*shape, p, 1, 2, 3))


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32, 2**63 - 1])
@pytest.mark.parametrize("step", [0, 1, 2**32 - 1, 2**32, 2**62])
@pytest.mark.parametrize("node", [0, 1, 200])
@every_dtype
def test_the_key_takes_every_bit_of_seed_step_and_layer(dtype, node, step, seed):
    expected = reference.dropout_mask(9, 33, 0.5, seed, step, node)
    np.testing.assert_array_equal(kept(dtype, (9, 33), 0.5, seed, step, node), expected)


@pytest.mark.parametrize("shift", [1, 64, 1000])
@every_dtype
def test_rows_are_counted_in_the_batch_and_not_in_the_buffer(dtype, shift):
    expected = reference.dropout_mask(9 + shift, 33, 0.5, 5, 6, 7)[shift:]
    np.testing.assert_array_equal(kept(dtype, (9, 33), 0.5, 5, 6, 7, shift=shift), expected)


@every_dtype
def test_columns_are_counted_in_the_layer_and_not_in_a_group_of_panels(dtype):
    whole = reference.dropout_mask(9, 3 * 16 + 5, 0.5, 5, 6, 7)
    in_line = Machine(dtype).in_line
    for first in (1, 2, 3):
        expected = whole[:, first * in_line :]
        np.testing.assert_array_equal(kept(dtype, expected.shape, 0.5, 5, 6, 7, first_panel=first), expected)


@every_dtype
def test_a_chance_of_zero_keeps_every_bit(dtype):
    x = np.array([[1.5, -0.0, np.inf, np.nan, np.finfo(dtype).max]], dtype)
    assert same_bits(calls.dropout(Machine(dtype), x, 0.0).read(), x)


@pytest.mark.parametrize("p", [2.0**-32, 1.0 - 2.0**-32, 1.0 / 3.0], ids=["least", "most", "third"])
@every_dtype
def test_the_extreme_chances_have_the_references_mask(dtype, p):
    np.testing.assert_array_equal(kept(dtype, (64, 257), p, 3), reference.dropout_mask(64, 257, p, 3, 0, 0))


@every_dtype
def test_a_draw_equal_to_the_chance_is_kept(dtype):
    # The draws of a row are known where p is swept, so find the one of element (3, 20) by bisection of the twin.
    least, most = 0, 2**32
    while most - least > 1:
        middle = (least + most) // 2
        drawn = reference.dropout_mask(4, 21, middle / 2**32, 0, 0, 0)[3, 20]
        least, most = (middle, most) if drawn else (least, middle)
    assert kept(dtype, (4, 21), least / 2**32)[3, 20]
    assert not kept(dtype, (4, 21), (least + 1) / 2**32)[3, 20]


@every_dtype
def test_what_is_dropped_is_zero_whatever_it_was(dtype):
    mask = reference.dropout_mask(9, 33, 0.5, 0, 0, 0)
    for value in (np.nan, np.inf, -1e4):
        y = calls.dropout(Machine(dtype), np.full((9, 33), value, dtype), 0.5).read()
        assert not y[~mask].any()
        np.testing.assert_array_equal(y[mask], np.dtype(dtype).type(2.0 * value))


@pytest.mark.parametrize("p", [0.1, 1.0 / 3.0, 0.7])
@every_dtype
def test_what_is_kept_is_scaled_with_one_rounding_of_the_scale(dtype, p):
    x = np.random.default_rng(0).normal(size=(9, 33)).astype(dtype)
    expected = reference.dropout_forward(x, reference.dropout_mask(9, 33, p, 0, 0, 0), p)
    np.testing.assert_array_equal(calls.dropout(Machine(dtype), x, p).read(), expected)


@every_dtype
def test_the_share_that_is_kept_is_one_minus_p(dtype):
    share = kept(dtype, (300, 300), 0.3, seed=9).mean()
    assert abs(share - 0.7) < 5.0 * np.sqrt(0.21 / 90_000)
