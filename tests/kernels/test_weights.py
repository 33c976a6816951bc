"""The weight sweep: dW and db at every tail, in any tiles, with the update applied and the transposed copy renewed."""

import numpy as np
import pytest

from fastbp import reference
from fastbp.kernels.records import TILE_INPUTS, TILE_PANELS
from fastbp.kernels.tile import DEPTH
from tests.kernels import calls
from tests.kernels.every_kernel import OPTIMIZERS, normal
from tests.kernels.harness import DEPTHS, DTYPES, SIZES, Machine, assert_close, same_bits

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_size = pytest.mark.parametrize("inputs", SIZES)
every_update = pytest.mark.parametrize("how", OPTIMIZERS[1:], ids=str)
with_and_without_bias = pytest.mark.parametrize("biased", [True, False], ids=["bias", "no-bias"])


def operands(dtype, rows, inputs, outputs, biased=True):
    """x, dz, W and b."""
    shapes = (rows, inputs), (rows, outputs, 1), (inputs, outputs), (outputs,)
    x, dz, W, b = (normal(dtype, *shape) for shape in shapes)
    return x, dz.reshape(rows, outputs), W, b if biased else None


def tiles_of(inputs, outputs, in_line, high, wide):
    """Every tile (i0, i1, p0, p1) of a layer, at most `high` inputs and `wide` panels."""
    panels = -(-outputs // in_line)
    return [
        (i0, min(i0 + high, inputs), p0, min(p0 + wide, panels))
        for p0 in range(0, panels, wide)
        for i0 in range(0, inputs, high)
    ]


def check_gradients(dtype, rows, inputs, outputs, biased):
    x, dz, W, b = operands(dtype, rows, inputs, outputs, biased)
    m = Machine(dtype)
    dW, db = calls.sweep_weights(m, x, dz, W, b).written["gradients"]
    x, dz, W = (a.astype(np.float64) for a in (x, dz, W))
    _, twin_dW, twin_db = reference.linear_vjp(dz, x, W)
    _, terms_dW, terms_db = reference.linear_vjp(np.abs(dz), np.abs(x), W)
    assert_close(dW[:, :outputs], twin_dW, terms_dW, "sum", dtype)
    assert not dW[:, outputs:].any()
    if biased:
        assert_close(db[:outputs], twin_db, terms_db, "sum", dtype)
        assert not db[outputs:].any()
    assert (m.unwritten(), m.overrun()) == ([], [])


@every_size
@with_and_without_bias
@every_dtype
def test_gradients_of_every_tail_are_the_twin(dtype, biased, inputs):
    for rows, outputs in zip(SIZES, SIZES[4:] + SIZES[:4], strict=True):
        check_gradients(dtype, rows, inputs, outputs, biased)


@pytest.mark.parametrize("rows", DEPTHS)
@with_and_without_bias
@every_dtype
def test_gradients_of_every_number_of_rows_are_the_twin(dtype, biased, rows):
    for inputs, outputs in ((1, 1), (13, 41), (16, 16)):
        check_gradients(dtype, rows, inputs, outputs, biased)


@every_dtype
def test_gradients_of_a_whole_tile_are_the_twin(dtype):
    check_gradients(dtype, 700, TILE_INPUTS, TILE_PANELS * (64 // np.dtype(dtype).itemsize), True)


def test_the_numbers_of_rows_are_either_side_of_the_depth():
    assert {DEPTH - 1, DEPTH, DEPTH + 1} <= set(DEPTHS)
    assert any(rows > 2 * DEPTH for rows in DEPTHS)


@every_update
@pytest.mark.parametrize(("high", "wide"), [(16, 1), (16, 3), (32, 2), (48, 8)])
@every_dtype
def test_any_tiles_give_the_same_bits(dtype, high, wide, how):
    x, dz, W, b = operands(dtype, 261, 77, 69)
    state = [(np.abs(W), np.abs(b))] * how.moments
    m = Machine(dtype)
    cut = calls.sweep_weights(m, x, dz, W, b, how, state, tiles_of(77, 69, m.in_line, high, wide))
    whole = calls.sweep_weights(Machine(dtype), x, dz, W, b, how, state)
    for name, arrays in whole.written.items():
        assert all(same_bits(*pair) for pair in zip(arrays, cut.written[name], strict=True)), name
    assert same_bits(whole.transposed.lines(), cut.transposed.lines())
    assert (m.unwritten(), m.overrun()) == ([], [])


@every_update
@every_size
@every_dtype
def test_the_update_is_the_optimizers_own_with_these_gradients(dtype, inputs, how):
    for outputs in (1, 7, 17):
        x, dz, W, b = operands(dtype, 6, inputs, outputs)
        state = [(np.abs(W), np.abs(b))] * how.moments
        dW, db = calls.sweep_weights(Machine(dtype), x, dz, W, b).written["gradients"]
        swept = calls.sweep_weights(Machine(dtype), x, dz, W, b, how, state, lr=0.01, step=2)
        for gradient, values, part in ((dW[:, :outputs], W, 0), (db[:outputs], b, 1)):
            flat = [values.ravel(), *(pair[part].ravel() for pair in state)]
            expected = calls.update(Machine(dtype), how, flat, gradient.ravel(), lr=0.01, step=2)
            for name, wanted in zip(calls.STATE, expected, strict=False):
                new = swept.written[name][part][..., :outputs]
                assert same_bits(new.ravel(), wanted[: values.size])
                assert not swept.written[name][part][..., outputs:].any()


@every_update
@every_size
@every_dtype
def test_the_transposed_copy_is_that_of_the_new_weights(dtype, inputs, how):
    for outputs in SIZES:
        x, dz, W, b = operands(dtype, 3, inputs, outputs)
        state = [(np.abs(W), np.abs(b))] * how.moments
        swept = calls.sweep_weights(Machine(dtype), x, dz, W, b, how, state)
        new = swept.written["parameters"][0]
        assert not same_bits(new[:, :outputs].copy(), W)
        assert same_bits(swept.transposed.read(), np.ascontiguousarray(new.T))
        assert not swept.transposed.padding().any()


@every_size
@every_dtype
def test_a_whole_layer_is_transposed(dtype, inputs):
    for outputs in SIZES:
        W = normal(dtype, inputs, outputs)
        transposed = calls.transpose(Machine(dtype), W)
        assert same_bits(transposed.read()[:outputs], np.ascontiguousarray(W.T))
        assert not transposed.read()[outputs:].any()
        assert not transposed.padding().any()


@every_dtype
def test_bits_travel_through_the_transposition_unchanged(dtype):
    W = np.array([[np.nan, np.inf, -0.0], [np.finfo(dtype).smallest_subnormal, -np.inf, np.finfo(dtype).max]], dtype)
    assert same_bits(calls.transpose(Machine(dtype), W).read()[:3], np.ascontiguousarray(W.T))


@every_dtype
def test_looking_for_what_is_not_finite_changes_nothing(dtype):
    x, dz, W, b = operands(dtype, 9, 17, 17)
    m = Machine(dtype)
    calls.sweep_weights(m, x, dz, W, b, OPTIMIZERS[1], checking=True)
    assert m.overrun() == []
    assert m.worker.bad_layer == 0


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
@pytest.mark.parametrize("where", [(0, 0), (8, 0), (4, 16)], ids=str)
@with_and_without_bias
@every_dtype
def test_a_gradient_that_is_not_finite_is_found_and_not_applied(dtype, biased, where, value):
    x, dz, W, b = operands(dtype, 9, 17, 17, biased)
    for bad in ("x", "dz"):
        inputs = {"x": x.copy(), "dz": dz.copy()}
        inputs[bad][where] = value
        m = Machine(dtype)
        calls.sweep_weights(m, inputs["x"], inputs["dz"], W, b, OPTIMIZERS[1], checking=True)
        assert m.overrun() == []
        assert m.worker.bad_layer == 1  # 1 + the index of the layer


@every_dtype
def test_a_bias_gradient_alone_that_overflows_is_found(dtype):
    x, dz, W, b = operands(dtype, 9, 3, 3)
    dz[:, 1] = np.finfo(dtype).max / 2.0
    m = Machine(dtype)
    calls.sweep_weights(m, np.zeros_like(x), dz, W, b, OPTIMIZERS[1], checking=True)
    assert m.worker.bad_layer == 1


@every_dtype
def test_the_first_layer_found_is_kept(dtype):
    x, dz, W, b = operands(dtype, 9, 3, 3)
    dz[2, 2] = np.nan
    for before, after in ((0, 1), (1, 1), (5, 1)):
        m = Machine(dtype)
        m.worker.bad_layer = before
        calls.sweep_weights(m, x, dz, W, b, OPTIMIZERS[1], checking=True)
        assert m.worker.bad_layer == after


@every_dtype
def test_large_numbers_give_finite_gradients(dtype):
    x, dz, W, b = operands(dtype, 9, 17, 17)
    check = calls.sweep_weights(Machine(dtype), 1e4 * np.sign(x), -1e4 * np.sign(dz), W, b).written["gradients"]
    assert_close(check[0][:, :17], 1e4 * np.sign(x).T @ (-1e4 * np.sign(dz)), 9e8, "sum", dtype)
    assert_close(check[1][:17], -1e4 * np.sign(dz).sum(axis=0), 9e4, "sum", dtype)
