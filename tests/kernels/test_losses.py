"""Losses: any number of classes, labels in every lane, rows through an index, logits of ±1e4, what is noted."""

import numpy as np
import pytest

from fastbp import reference
from tests.kernels import calls
from tests.kernels.every_kernel import normal
from tests.kernels.harness import DTYPES, SHAPES, SIZES, TOLERANCE, Machine, assert_close, same_bits

LOSSES = ("cross_entropy", "mse")
CLASSES = (*SIZES, 32, 65)

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_loss = pytest.mark.parametrize("kernel", LOSSES)
every_count = pytest.mark.parametrize("classes", CLASSES)


def problem(kernel, dtype, rows, width):
    """Outputs and targets."""
    z, t = normal(dtype, rows, width), normal(dtype, rows, width, 1)[:, :, 0]
    labels = np.random.default_rng(rows).integers(0, width, rows)
    return 3.0 * z, labels if kernel == "cross_entropy" else t


def row_terms(z):
    return 2.0 * np.abs(z).max(axis=1) + np.log(z.shape[1])


@pytest.mark.parametrize("shape", [s for s in SHAPES if s[0]], ids=lambda shape: f"{shape[0]}x{shape[1]}")
@every_loss
@every_dtype
def test_the_loss_of_each_row_is_the_twin(dtype, kernel, shape):
    z, t = problem(kernel, dtype, *shape)
    rows = calls.loss(Machine(dtype), kernel, z, t).rows
    twin = getattr(reference, f"{kernel}_rows")(z.astype(np.float64), t)
    assert_close(rows, twin, row_terms(z) if kernel == "cross_entropy" else twin, "sum", dtype)


@every_count
@every_dtype
def test_every_class_can_be_the_label(dtype, classes):
    z = np.tile(3.0 * normal(dtype, 1, classes), (classes, 1))
    out = calls.loss(Machine(dtype), "cross_entropy", z, np.arange(classes))
    _, dz = reference.cross_entropy(z.astype(np.float64), np.arange(classes))
    assert_close(
        out.rows, reference.cross_entropy_rows(z.astype(np.float64), np.arange(classes)), row_terms(z), "sum", dtype
    )
    assert_close(out.dz.read(), dz, 1.0 / classes, "sum", dtype)


@every_dtype
def test_one_class_costs_nothing_and_moves_nothing(dtype):
    z = np.array([[0.0], [1e4], [-1e4], [0.1]], dtype)
    out = calls.loss(Machine(dtype), "cross_entropy", z, np.zeros(4, np.int64))
    assert not out.rows.any()
    assert not out.dz.read().any()


@every_count
@every_dtype
def test_equal_logits_cost_the_logarithm_of_their_number(dtype, classes):
    for level in (0.0, 1e4, -1e4, 1e30):
        z = np.full((3, classes), level, dtype)
        out = calls.loss(Machine(dtype), "cross_entropy", z, np.full(3, classes - 1))
        assert_close(out.rows, np.full(3, np.log(classes)), np.log(classes) + 1e-30, "sum", dtype)


@every_count
@every_dtype
def test_logits_of_ten_thousand_give_the_twin(dtype, classes):
    z = 1e4 * np.sign(normal(dtype, 9, classes))
    labels = np.arange(9) % classes
    out = calls.loss(Machine(dtype), "cross_entropy", z, labels)
    assert_close(out.rows, reference.cross_entropy_rows(z.astype(np.float64), labels), row_terms(z), "sum", dtype)
    assert_close(out.dz.read(), reference.cross_entropy(z.astype(np.float64), labels)[1], 1.0 / 9, "sum", dtype)


@every_count
@every_dtype
def test_the_cotangents_of_a_row_sum_to_zero(dtype, classes):
    z, labels = problem("cross_entropy", dtype, 9, classes)
    dz = calls.loss(Machine(dtype), "cross_entropy", z, labels).dz.read().astype(np.float64)
    assert np.abs(dz.sum(axis=1)).max() <= TOLERANCE[dtype]["sum"] / 9


@every_dtype
def test_a_squared_error_of_zero_is_zero_and_a_huge_one_infinite(dtype):
    z = np.array([[1.5, -2.5], [1.5, 1e30], [np.sqrt(np.finfo(dtype).max) * 4, 0.0]], dtype)
    t = np.array([[1.5, -2.5], [1.5, 1e30], [0.0, 0.0]], dtype)
    out = calls.loss(Machine(dtype), "mse", z, t)
    np.testing.assert_array_equal(out.rows, [0.0, 0.0, np.inf])
    assert np.isfinite(out.dz.read()).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@every_loss
@every_dtype
def test_what_is_not_finite_stays_in_its_row_and_is_noted(dtype, kernel, value):
    z, t = problem(kernel, dtype, 9, 17)
    clean = calls.loss(Machine(dtype), kernel, z, t)
    z[4] = value
    m = Machine(dtype)
    out = calls.loss(m, kernel, z, t)
    others = np.arange(9) != 4
    assert not np.isfinite(out.rows[4])
    assert same_bits(out.rows[others], clean.rows[others])
    assert same_bits(out.dz.read()[others], clean.dz.read()[others])
    assert not np.isfinite(m.magnitude())


@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize("shape", [s for s in SHAPES if s[0]], ids=lambda shape: f"{shape[0]}x{shape[1]}")
@every_loss
@every_dtype
def test_targets_are_read_through_the_index(dtype, kernel, shape, shift):
    rows, width = shape
    z, _ = problem(kernel, dtype, rows, width)
    _, t = problem(kernel, dtype, rows + 7, width)
    index = np.random.default_rng(rows).integers(0, rows + 7, rows + shift)
    out = calls.loss(Machine(dtype), kernel, z, t, index, shift=shift)
    plain = calls.loss(Machine(dtype), kernel, z, t[index[shift:]])
    assert same_bits(out.rows, plain.rows)
    assert same_bits(out.dz.lines(), plain.dz.lines())


@pytest.mark.parametrize("shift", [1, 3])
@every_loss
@every_dtype
def test_targets_are_read_at_their_shift_without_an_index(dtype, kernel, shift):
    z, _ = problem(kernel, dtype, 9, 17)
    _, t = problem(kernel, dtype, 9 + shift, 17)
    out, plain = calls.loss(Machine(dtype), kernel, z, t, shift=shift), calls.loss(Machine(dtype), kernel, z, t[shift:])
    assert same_bits(out.rows, plain.rows)
    assert same_bits(out.dz.lines(), plain.dz.lines())


@every_loss
@every_dtype
def test_cotangents_are_scaled_by_the_rows_of_the_batch_and_losses_are_not(dtype, kernel):
    z, t = problem(kernel, dtype, 9, 17)
    one, many = (calls.loss(Machine(dtype), kernel, z, t, batch=batch) for batch in (1, 64))
    assert same_bits(one.rows, many.rows)
    assert_close(64.0 * many.dz.read().astype(np.float64), one.dz.read(), np.abs(one.dz.read()) + 1e-30, "value", dtype)


@every_dtype
def test_the_magnitude_noted_by_mse_is_the_largest_written(dtype):
    for rows, width in ((1, 1), (9, 5), (5, 33)):
        m = Machine(dtype)
        out = calls.loss(m, "mse", *problem("mse", dtype, rows, width))
        assert m.magnitude() == np.abs(out.dz.read()).max()


@every_dtype
def test_the_magnitude_noted_by_cross_entropy_bounds_what_it_wrote(dtype):
    for classes in CLASSES:
        # Where all classes are equally likely, |p - 1| at the label is the largest by far.
        for z in (np.zeros((9, classes), dtype), normal(dtype, 9, classes)):
            m = Machine(dtype)
            out = calls.loss(m, "cross_entropy", z, np.full(9, classes // 2))
            assert np.abs(out.dz.read()).max() <= m.magnitude() <= 2.0 / 9, f"{classes} classes"
