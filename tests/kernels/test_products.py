"""The product: every tail of rows, panels and terms, every epilogue, with and without a bias."""

import numpy as np
import pytest

from fastbp.kernels.ops import EPILOGUE_NONE, EPILOGUE_RELU, EPILOGUE_RELU_VJP
from fastbp.kernels.records import Worker
from fastbp.kernels.tile import DEPTH, TILE_M, TILE_N
from tests.kernels import calls
from tests.kernels.every_kernel import normal
from tests.kernels.harness import DEPTHS, DTYPES, SIZES, Machine, assert_close, same_bits

EPILOGUES = {"none": EPILOGUE_NONE, "relu": EPILOGUE_RELU, "relu_vjp": EPILOGUE_RELU_VJP}
# Outputs that make one panel and two, of either dtype, then tiles of panels with one left over.
OUTPUTS = (1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 49, 65)

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_epilogue = pytest.mark.parametrize("epilogue", EPILOGUES)
with_and_without_bias = pytest.mark.parametrize("biased", [True, False], ids=["bias", "no-bias"])


def operands(dtype, rows, inputs, outputs):
    shapes = (rows, inputs), (inputs, outputs), (outputs,), (rows, outputs, 1)
    x, W, b, y = (normal(dtype, *shape) for shape in shapes)
    return x, W, b, y.reshape(rows, outputs)


def twin(x, W, b=None, y=None, epilogue="none"):
    """The result in float64, and the sums of the magnitudes of its terms."""
    x, W = x.astype(np.float64), W.astype(np.float64)
    b = np.zeros(W.shape[1]) if b is None else b.astype(np.float64)
    z, terms = x @ W + b, np.abs(x) @ np.abs(W) + np.abs(b)
    if epilogue == "relu":
        z = np.maximum(z, 0.0)
    if epilogue == "relu_vjp":
        z = np.where(y > 0, z, 0.0)
    return z, terms


def check(dtype, rows, inputs, outputs, epilogue, biased):
    x, W, b, y = operands(dtype, rows, inputs, outputs)
    b, y = b if biased else None, y if epilogue == "relu_vjp" else None
    m = Machine(dtype)
    c = calls.product(m, x, W, b, y, EPILOGUES[epilogue])
    assert_close(c.read(), *twin(x, W, b, y, epilogue), "sum", dtype)
    assert not c.padding().any()
    assert (m.unwritten(), m.overrun()) == ([], [])


@pytest.mark.parametrize("rows", [0, *SIZES])
@with_and_without_bias
@every_epilogue
@every_dtype
def test_every_tail_of_rows_and_panels_is_the_twin(dtype, epilogue, biased, rows):
    for outputs in OUTPUTS:
        check(dtype, rows, 5, outputs, epilogue, biased)


@pytest.mark.parametrize("inputs", DEPTHS)
@with_and_without_bias
@every_epilogue
@every_dtype
def test_every_number_of_terms_is_the_twin(dtype, epilogue, biased, inputs):
    for rows in (1, 7, 23):
        check(dtype, rows, inputs, 41, epilogue, biased)


@every_dtype
def test_a_large_product_is_the_twin(dtype):
    check(dtype, 131, 1031, 517, "relu", True)


@pytest.mark.parametrize("inputs", [5, 300])
@every_dtype
def test_any_rows_in_the_middle_are_the_twin(dtype, inputs):
    x, W, b, _ = operands(dtype, 19, inputs, 81)
    expected, terms = twin(x, W, b)
    for first in (0, 3, 8):
        for end in range(first, 20):
            m = Machine(dtype)
            rows = slice(first, end)
            c = calls.product(m, x, W, b, r0=first, r1=end).read()
            assert_close(c[rows], expected[rows], terms[rows], "sum", dtype)
            assert m.overrun() == []


def test_the_sizes_are_either_side_of_every_tile_and_of_the_depth():
    assert {TILE_M - 1, TILE_M, TILE_M + 1, 17} <= set(SIZES)  # 17 is two tiles and more
    assert {DEPTH - 1, DEPTH, DEPTH + 1} <= set(DEPTHS)
    assert {TILE_N * lanes for lanes in (8, 16)} <= set(OUTPUTS)


@every_dtype
def test_each_sum_is_one_chain_of_fused_steps_in_the_order_of_its_terms(dtype):
    x, W, b, _ = operands(dtype, 3, 300, 5)
    z = np.tile(b, (3, 1))
    for k in range(300):
        # In long double a product of float32 or float64 is exact or nearly so; the sum is rounded to the dtype once.
        z = (z + x[:, k, None].astype(np.longdouble) * W[k]).astype(dtype)
    chain = calls.product(Machine(dtype), x, W, b).read()
    if dtype == "float32":
        assert same_bits(chain, z)
    else:
        assert_close(chain, z, np.abs(x) @ np.abs(W), "sum", dtype)


@every_dtype
def test_relu_is_zero_up_to_zero_and_lets_nan_travel(dtype):
    W = np.array([[1.0, -1.0, 0.0, np.nan, -0.0, np.inf, -np.inf]], dtype)
    c = calls.product(Machine(dtype), np.ones((1, 1), dtype), W, epilogue=EPILOGUE_RELU)
    np.testing.assert_array_equal(c.read(), [[1.0, 0.0, 0.0, np.nan, 0.0, np.inf, 0.0]])
    assert not np.signbit(c.read()[0, [1, 2, 4, 6]]).any()


@every_dtype
def test_relus_mask_is_open_above_zero_only(dtype):
    tiny = np.finfo(dtype).tiny
    y = np.array([[1.0, 0.0, -0.0, -1.0, tiny, np.inf, np.nan]], dtype)
    x, W = np.ones((1, 1), dtype), np.full((1, 7), -3.0, dtype)
    c = calls.product(Machine(dtype), x, W, y=y, epilogue=EPILOGUE_RELU_VJP).read()
    np.testing.assert_array_equal(c, [[-3.0, 0.0, 0.0, 0.0, -3.0, -3.0, 0.0]])


@every_dtype
def test_a_nan_weight_touches_its_column_only(dtype):
    x, W, b, _ = operands(dtype, 9, 5, 33)
    W[2, 17] = np.nan
    c = calls.product(Machine(dtype), x, W, b).read()
    assert np.isnan(c).any(axis=0).tolist() == [column == 17 for column in range(33)]


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 9, 15])
@with_and_without_bias
@every_dtype
def test_the_noted_magnitude_is_the_largest_written(dtype, biased, rows):
    for outputs in OUTPUTS:
        x, W, b, _ = operands(dtype, rows, 7, outputs)
        m = Machine(dtype)
        c = calls.product(m, x, W, b if biased else None).read()
        assert m.magnitude() == np.abs(c).max()


@pytest.mark.parametrize("inputs", DEPTHS)
@every_epilogue
@every_dtype
def test_the_noted_magnitude_bounds_what_an_epilogue_leaves(dtype, epilogue, inputs):
    x, W, b, y = operands(dtype, 9, inputs, 33)
    m = Machine(dtype)
    c = calls.product(m, x, W, b, y, EPILOGUES[epilogue]).read()
    assert np.abs(c).max() <= m.magnitude() <= 2.0 * twin(x, W, b)[1].max()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@every_epilogue
@every_dtype
def test_the_noted_magnitude_says_what_is_not_finite(dtype, epilogue, value):
    x, W, _, y = operands(dtype, 9, 5, 33)
    W[:, 32] = 0.0
    W[4, 32] = 1.0
    x[8, 4] = value
    m = Machine(dtype)
    calls.product(m, x, W, y=np.abs(y), epilogue=EPILOGUES[epilogue])
    assert not np.isfinite(m.magnitude())


@every_dtype
def test_the_noted_magnitude_grows_until_it_is_cleared(dtype):
    x, W = np.ones((2, 1), dtype), np.ones((1, 3), dtype)
    m = Machine(dtype)
    seen = []
    for scale in (2.0, 5.0, 1.0):
        calls.product(m, scale * x, W)
        seen.append(m.magnitude())
    assert seen == [2.0, 5.0, 5.0]
    assert not m.worker.words[Worker.largest.offset : Worker.work.offset].any()
