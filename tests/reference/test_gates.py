"""Gates against differences, torch, matrices and sums over indices."""

import numpy as np
import pytest

from fastbp import reference
from tests.reference.climb import Op, climb, close, follows_torch

SHAPES = [(0, 3), (1, 1), (1, 7), (7, 1), (6, 13)]  # rows, features
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)

PAIRS = {
    "add": Op(reference.add_forward, lambda dz, x, y: reference.add_vjp(dz), lambda tx, ty, *_: tx + ty),
    "subtract": Op(
        reference.subtract_forward,
        lambda dz, x, y: reference.subtract_vjp(dz),
        lambda tx, ty, *_: reference.subtract_jvp(tx, ty),
    ),
    "multiply": Op(reference.multiply_forward, reference.multiply_vjp, reference.multiply_jvp),
    "divide": Op(
        reference.divide_forward,
        lambda dz, x, y: reference.divide_vjp(dz, y, x / y),
        lambda tx, ty, x, y: reference.divide_jvp(tx, ty, y, x / y),
    ),
}
IN_TORCH = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
}
ALONE = {
    "affine": Op(
        lambda x: reference.affine_forward(x, -2.5, 0.75),
        lambda dy, x: (reference.affine_vjp(dy, -2.5),),
        lambda tx, x: reference.affine_jvp(tx, -2.5),
    ),
    "reciprocal": Op(
        lambda x: reference.reciprocal_forward(x, 3.0),
        lambda dy, x: (reference.reciprocal_vjp(dy, x, 3.0),),
        lambda tx, x: reference.reciprocal_jvp(tx, x, 3.0),
    ),
    "sum": Op(
        reference.sum_forward,
        lambda dy, x: (reference.sum_vjp(dy, x.shape[1]),),
        lambda tx, x: reference.sum_jvp(tx),
    ),
    "mean": Op(
        reference.mean_forward,
        lambda dy, x: (reference.mean_vjp(dy, x.shape[1]),),
        lambda tx, x: reference.mean_jvp(tx),
    ),
}
ALONE_IN_TORCH = {
    "affine": lambda x: -2.5 * x + 0.75,
    "reciprocal": lambda x: 3.0 / x,
    "sum": lambda x: x.sum(1, keepdim=True),
    "mean": lambda x: x.mean(1, keepdim=True),
}


def off_zero(rng, shape):
    """Numbers that may be divided by."""
    x = rng.standard_normal(shape)
    return np.where(x < 0, -1.0, 1.0) * (0.75 + np.abs(x))


@pytest.mark.parametrize("name", PAIRS)
@every_shape
def test_a_gate_of_two_signals_climbs(rng, name, shape):
    climb(PAIRS[name], (rng.standard_normal(shape), off_zero(rng, shape)), rng)


@pytest.mark.parametrize("name", PAIRS)
@every_shape
def test_a_gate_of_two_signals_follows_torch(rng, name, shape):
    follows_torch(PAIRS[name], (rng.standard_normal(shape), off_zero(rng, shape)), IN_TORCH[name], rng)


@pytest.mark.parametrize("name", ALONE)
@every_shape
def test_a_gate_of_one_signal_climbs(rng, name, shape):
    climb(ALONE[name], (off_zero(rng, shape),), rng)


@pytest.mark.parametrize("name", ALONE)
@every_shape
def test_a_gate_of_one_signal_follows_torch(rng, name, shape):
    follows_torch(ALONE[name], (off_zero(rng, shape),), ALONE_IN_TORCH[name], rng)


@pytest.mark.parametrize("rows", [0, 1, 6])
def test_joined_columns_climb(rng, rows):
    op = Op(
        lambda *xs: reference.concat_forward(xs),
        lambda dz, *xs: tuple(reference.concat_vjp(dz, [x.shape[1] for x in xs])),
        lambda t, u, v, *_: reference.concat_jvp([t, u, v]),
    )
    climb(op, tuple(rng.standard_normal((rows, width)) for width in (3, 1, 7)), rng)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 7), (6, 7), (2, 5)])
@pytest.mark.parametrize("rows", [0, 1, 6])
def test_columns_cut_out_climb(rng, rows, start, stop):
    op = Op(
        lambda x: reference.slice_forward(x, start, stop),
        lambda dy, x: (reference.slice_vjp(dy, 7, start, stop),),
        lambda tx, x: reference.slice_jvp(tx, start, stop),
    )
    climb(op, (rng.standard_normal((rows, 7)),), rng)


@pytest.mark.parametrize("width", [1, 2, 13])
@pytest.mark.parametrize("rows", [0, 1, 6])
def test_a_number_repeated_climbs(rng, rows, width):
    op = Op(
        lambda x: reference.repeat_forward(x, width),
        lambda dy, x: (reference.repeat_vjp(dy),),
        lambda tx, x: reference.repeat_jvp(tx, width),
    )
    climb(op, (rng.standard_normal((rows, 1)),), rng)


def matrix(forward, width):
    """The A of y = x Aᵀ, from what the unit rows become."""
    return forward(np.eye(width)).T


LINEAR = {
    "slice": (lambda x: reference.slice_forward(x, 2, 4), lambda dy: reference.slice_vjp(dy, 5, 2, 4)),
    "sum": (reference.sum_forward, lambda dy: reference.sum_vjp(dy, 5)),
    "mean": (reference.mean_forward, lambda dy: reference.mean_vjp(dy, 5)),
}


@pytest.mark.parametrize("name", LINEAR)
def test_a_map_of_columns_and_its_vjp_are_a_matrix_and_its_transpose(rng, name):
    forward, vjp = LINEAR[name]
    A = matrix(forward, 5)
    x, dy = rng.standard_normal((4, 5)), rng.standard_normal((4, len(A)))
    close(forward(x), x @ A.T)
    close(vjp(dy), dy @ A)


def test_joining_what_was_cut_gives_it_back(rng):
    x = rng.standard_normal((3, 9))
    parts = [reference.slice_forward(x, *limits) for limits in ((0, 2), (2, 3), (3, 9))]
    assert np.array_equal(reference.concat_forward(parts), x)
    assert np.array_equal(np.hstack(reference.concat_vjp(x, (2, 1, 6))), x)


def test_a_mean_is_a_sum_over_its_numbers(rng):
    x = rng.standard_normal((3, 8))
    close(reference.mean_forward(x), reference.sum_forward(x) / 8)
    close(reference.mean_vjp(x[:, :1], 8), reference.sum_vjp(x[:, :1], 8) / 8)


def test_a_quotient_is_a_product_with_the_reciprocal(rng):
    x, y = rng.standard_normal((4, 3)), off_zero(rng, (4, 3))
    close(reference.divide_forward(x, y), reference.multiply_forward(x, reference.reciprocal_forward(y, 1.0)))


@pytest.mark.parametrize("name", ["add", "subtract"])
def test_cotangents_of_sums_are_arrays_of_their_own(rng, name):
    dz = rng.standard_normal((2, 3))
    dx, dy = getattr(reference, f"{name}_vjp")(dz)
    assert not any(np.shares_memory(a, b) for a, b in ((dx, dy), (dx, dz), (dy, dz)))


@pytest.mark.parametrize("name", [*PAIRS, *ALONE])
def test_gates_keep_the_dtype_and_let_nan_travel(rng, name):
    op = {**PAIRS, **ALONE}[name]
    wrt = tuple(off_zero(rng, (4, 3)).astype("f") for _ in range(2 if name in PAIRS else 1))
    wrt[0][0, 0] = np.nan
    y = op.forward(*wrt)
    assert np.isnan(y[0, 0])
    assert np.isfinite(y[1:]).all()
    assert {a.dtype for a in (y, *op.vjp(y, *wrt), op.jvp(*wrt, *wrt))} == {np.dtype("float32")}
