"""Kernels between branches, of whole Jacobians and of several losses, against NumPy's own bits."""

import numpy as np
import pytest

from tests.kernels import branch_calls, calls
from tests.kernels.every_kernel import normal
from tests.kernels.harness import DTYPES, SHAPES, Machine, bits, same_bits

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
shifted = pytest.mark.parametrize("shift", [0, 3])

OF_ONE = {
    "branch_times": lambda x, a: x * a,
    "branch_over": lambda x, a: a / x,
    "branch_over_slope": lambda x, a: -(a / x / x),
}


def two(dtype, shape):
    return normal(dtype, *shape), normal(dtype, *shape, 1)[:, :, 0] + np.dtype(dtype).type(0.1)


def test_every_kernel_has_its_formula():
    assert {*OF_ONE, "branch_affine"} == set(branch_calls.ALONE)


@every_shape
@every_dtype
@pytest.mark.parametrize("kernel", branch_calls.PAIRS)
def test_of_two_operands_every_bit_is_numpys(kernel, dtype, shape):
    x, y = two(dtype, shape)
    assert same_bits(calls.elementwise(Machine(dtype), kernel, x, y).read(), branch_calls.PAIRS[kernel](x, y))


@every_shape
@every_dtype
@pytest.mark.parametrize("kernel", branch_calls.PAIRS)
def test_a_result_may_overwrite_the_second_operand(kernel, dtype, shape):
    x, y = two(dtype, shape)
    m = Machine(dtype)
    source, target = m.given("a", x), m.given("y", y)
    m.op(kernel, source, target, 0, len(x), y=target)
    assert same_bits(target.read(), branch_calls.PAIRS[kernel](x, y))


@every_shape
@every_dtype
@pytest.mark.parametrize("kernel", branch_calls.PAIRS)
def test_both_operands_may_be_the_same(kernel, dtype, shape):
    x, _ = two(dtype, shape)
    m = Machine(dtype)
    source, target = m.given("a", x), m.panels("c", *shape)
    m.op(kernel, source, target, 0, len(x), y=source)
    assert same_bits(target.read(), branch_calls.PAIRS[kernel](x, x))


@every_dtype
def test_sums_of_exponentials_are_finite_wherever_their_logarithm_is(dtype):
    x = np.array([[-3e4, -5.0, 0.25, 800.0, 3e4, -1e30]], dtype)
    y = np.array([[-3e4, 2.0, 0.125, -800.0, 29999.0, 1e30]], dtype)
    found = calls.elementwise(Machine(dtype), "branch_log_add_exp", x, y).read()
    np.testing.assert_allclose(found, np.logaddexp(x, y), rtol=4 * np.finfo(dtype).eps)
    slopes = calls.elementwise(Machine(dtype), "branch_exp_difference", x, found).read()
    np.testing.assert_allclose(slopes, np.exp(x - found), rtol=1e-3 if dtype == "float32" else 1e-9)


@every_shape
@every_dtype
@pytest.mark.parametrize("kernel", OF_ONE)
def test_of_one_operand_every_bit_is_numpys(kernel, dtype, shape):
    x, _ = two(dtype, shape)
    found = calls.elementwise(Machine(dtype), kernel, x, setting_1=0.3)
    assert same_bits(found.read(), OF_ONE[kernel](x, np.dtype(dtype).type(0.3)))


@every_shape
@every_dtype
def test_affine_rounds_once(dtype, shape):
    x, _ = two(dtype, shape)
    found = calls.elementwise(Machine(dtype), "branch_affine", x, setting_1=0.5, setting_2=0.25)
    assert same_bits(found.read(), x * np.dtype(dtype).type(0.5) + np.dtype(dtype).type(0.25))  # the product is exact


@every_dtype
@pytest.mark.parametrize("kernel", [*branch_calls.PAIRS, *OF_ONE, "branch_affine"])
def test_what_pads_the_last_panel_is_zero(kernel, dtype):
    """There 0 / 0 would be NaN, and a shift would be a number."""
    x, y = two(dtype, (9, 5))
    told = {"setting_1": 2.0, "setting_2": 1.0}
    padding = calls.elementwise(Machine(dtype), kernel, x, y, **told).padding()
    assert padding.size > 0
    assert not padding.any()


@every_dtype
@pytest.mark.parametrize("kernel", [*branch_calls.PAIRS, *OF_ONE, "branch_affine"])
def test_a_panel_knows_its_place_in_the_layer(kernel, dtype):
    """The second panel of two, alone: what it pads follows from the width of the whole."""
    m = Machine(dtype)
    x, y = two(dtype, (4, m.in_line + 3))
    told = {"setting_1": 2.0, "setting_2": 1.0}
    whole = calls.elementwise(Machine(dtype), kernel, x, y, **told).lines()[:, m.in_line :]
    source, saved, target = m.given("a", x[:, m.in_line :]), m.given("y", y[:, m.in_line :]), m.panels("c", 4, 3)
    m.writes(target, 0, 4)
    place = {"panels": 1, "width": x.shape[1], "first_panel": 1}
    m.run(kernel, 0, 4, a=source, y=saved, c=target, **place, **told)
    assert same_bits(target.lines(), whole)


@every_shape
@every_dtype
def test_the_largest_magnitude_is_noted(dtype, shape):
    x, y = two(dtype, shape)
    for kernel in branch_calls.PAIRS:
        m = Machine(dtype)
        out = calls.elementwise(m, kernel, x, y).read()
        assert m.magnitude() == np.abs(out).max(initial=0.0)


@every_dtype
def test_a_magnitude_that_was_noted_is_kept_where_it_is_larger(dtype):
    m = Machine(dtype)
    for x in (5.0, 2.0):
        branch_calls.copy(m, np.full((3, 4), x, dtype), 0, 0, 4, 4)
    assert m.magnitude() == 5.0


@pytest.mark.parametrize("first", [0, 1, 7, 15, 16, 17, 30])
@pytest.mark.parametrize("to", [0, 1, 8, 15, 16, 31])
@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 33])
@every_dtype
def test_columns_are_copied_from_anywhere_to_anywhere(dtype, count, to, first):
    x, m = normal(dtype, 5, first + count + 3), Machine(dtype)
    out = branch_calls.copy(m, x, first, to, count, to + count + 2)
    assert same_bits(out.read()[:, to : to + count], x[:, first : first + count])
    assert (m.unwritten(), m.overrun()) == ([], [])


@pytest.mark.parametrize("to", [0, 1, 15, 16])
@pytest.mark.parametrize("count", [1, 7, 8, 15, 16, 17, 33])
@every_dtype
def test_a_copy_that_closes_pads_with_zeros(dtype, count, to):
    x, m = normal(dtype, 5, count + 3), Machine(dtype)
    out = branch_calls.copy(m, x, 2, to, count, to + count, r0=1, r1=4, closes=True)
    assert same_bits(out.read()[1:4, to:], x[1:4, 2 : 2 + count])
    assert not out.padding()[1:4].any()
    assert (m.unwritten(), m.overrun()) == ([], [])


@every_shape
@every_dtype
def test_rows_are_summed_without_what_pads_them(dtype, shape):
    x = normal(dtype, *shape)
    out = branch_calls.row_sum(Machine(dtype), x, 0.5)
    slack = (1e-6 if dtype == "float32" else 1e-15) * np.abs(x).sum(axis=1, initial=1.0)
    assert (np.abs(out.read()[:, 0] - 0.5 * x.astype("f8").sum(axis=1)) <= slack).all()
    assert not out.padding().any()


@every_shape
@every_dtype
def test_a_number_is_repeated_and_what_pads_is_zero(dtype, shape):
    rows, width = shape
    x = normal(dtype, rows, 1)
    out = branch_calls.repeat(Machine(dtype), x, width, 0.3)
    assert same_bits(out.read(), np.repeat(x * np.dtype(dtype).type(0.3), width, axis=1))
    assert not out.padding().any()


@shifted
@every_shape
@every_dtype
@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_row_is_gathered_several_times(dtype, shape, shift, count):
    rows, width = shape
    X = normal(dtype, rows + 3, width)
    out = branch_calls.gather_repeated(Machine(dtype), X, count, rows, shift)
    assert same_bits(out.read(), X[(np.arange(rows) + shift) // count])
    assert not out.padding().any()


@shifted
@every_shape
@every_dtype
def test_unit_rows_count_their_columns(dtype, shape, shift):
    rows, width = shape
    out = branch_calls.unit_rows(Machine(dtype), rows, width, shift=shift)
    assert same_bits(out.read(), np.eye(width, dtype=dtype)[(np.arange(rows) + shift) % width])
    assert not out.padding().any()


@every_shape
@every_dtype
def test_unit_rows_of_one_column_are_all_alike(dtype, shape):
    rows, width = shape
    for column in {0, width // 2, width - 1}:
        out = branch_calls.unit_rows(Machine(dtype), rows, width, column)
        assert same_bits(out.read(), np.eye(width, dtype=dtype)[np.full(rows, column)])


@shifted
@every_shape
@every_dtype
@pytest.mark.parametrize("columns", [1, 2, 7])
def test_rows_become_columns_of_matrices(dtype, shape, shift, columns):
    x, m = normal(dtype, *shape), Machine(dtype)
    Y = branch_calls.scatter_columns(m, x, columns, shift)
    rows = Y.transpose(0, 2, 1).reshape(-1, shape[1])[shift : shift + len(x)]
    assert same_bits(np.ascontiguousarray(rows), x)
    assert (m.unwritten(), m.overrun()) == ([], [])


@every_dtype
@pytest.mark.parametrize("rows", [0, 1, 7, 16, 33])
def test_losses_join_one_after_the_other(dtype, rows):
    losses = normal(dtype, 3, rows)
    weights = [np.dtype(dtype).type(w) for w in (0.5, 2.0, 0.25)]
    sums, expected = np.full(rows, np.nan, dtype), np.zeros(rows, dtype)
    for index, (loss, weight) in enumerate(zip(losses, weights, strict=True)):
        last = index == 2
        sums, row_loss = branch_calls.join_losses(Machine(dtype), loss, sums, weight, index, last)
        expected = expected + weight * loss  # of powers of two, so that a sum that rounds once is the same
        assert same_bits(sums, expected)
        assert same_bits(row_loss, expected if last else loss)


@every_shape
@every_dtype
def test_the_slope_of_a_dot_is_what_it_is_told(dtype, shape):
    z, t = two(dtype, shape)
    found = calls.loss(Machine(dtype), "dot", z, t, batch=1)
    assert same_bits(found.dz.read(), t)
    terms = z.astype("f8") * t
    slack = (1e-6 if dtype == "float32" else 1e-15) * np.abs(terms).sum(axis=1, initial=1.0)
    assert (np.abs(found.rows - terms.sum(axis=1)) <= slack).all()


@every_dtype
def test_a_copy_keeps_every_bit_pattern(dtype):
    kind = bits(np.zeros(1, dtype)).dtype
    nan = np.array([0x7FC12345 if dtype == "float32" else 0x7FF8123456789ABC], kind).view(dtype)[0]
    x = np.array([[nan, -np.inf, -0.0, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max]], dtype)
    out = branch_calls.copy(Machine(dtype), x, 0, 3, 5, 8)
    assert same_bits(out.read()[:, 3:], x)


def test_a_row_too_many_is_seen():
    m = Machine("float32")
    m.more_behind = 1
    branch_calls.clear(m, 5, 9)
    assert (m.unwritten(), m.overrun()) == ([], ["c"])
