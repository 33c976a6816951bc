"""The ladder that every differentiable op of the registry climbs, kernels against twins and against themselves."""

import numpy as np
import pytest

from fastbp.lowering.registry import OPS
from tests.kernels.climbs import CLIMBS
from tests.kernels.harness import DTYPES, SHAPES, TOLERANCE, assert_close

DIFFERENTIABLE = [name for name, op in OPS.items() if op.family in CLIMBS]
PUSHED = [name for name in DIFFERENTIABLE if OPS[name].family != "loss"]

INFINITE = ("poisson", "gaussian_nll")  # exp(1e4) is infinite, and so is the loss

every_op = pytest.mark.parametrize("name", DIFFERENTIABLE)
every_pushed_op = pytest.mark.parametrize("name", PUSHED)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")

STEP = 1e-5


def climb(name, dtype, shape):
    return CLIMBS[OPS[name].family](name, dtype, *shape)


def inner(a, b):
    """<a, b> over all arrays, and the sum of the magnitudes of its terms."""
    pairs = [(x.astype(np.float64), y.astype(np.float64)) for x, y in zip(a, b, strict=True)]
    return sum((x * y).sum() for x, y in pairs), sum(np.abs(x * y).sum() for x, y in pairs)


@every_shape
@every_dtype
@every_op
def test_forward_is_the_twin(name, dtype, shape):
    op = climb(name, dtype, shape)
    assert_close(op.forward(), op.twin_forward(), op.terms(), op.kind, dtype)


@every_shape
@every_dtype
@every_op
def test_vjp_is_the_twin(name, dtype, shape):
    op = climb(name, dtype, shape)
    dy = op.cotangent()
    for pulled, twin, terms in zip(op.vjp(dy), op.twin_vjp(dy), op.pulled_terms(dy), strict=True):
        assert_close(pulled, twin, terms, op.kind, dtype)


@every_shape
@every_dtype
@every_pushed_op
def test_jvp_is_the_twin(name, dtype, shape):
    op = climb(name, dtype, shape)
    t = op.direction()
    assert_close(op.jvp(t), op.twin_jvp(t), op.pushed_terms(t), op.kind, dtype)


@every_shape
@every_op
def test_vjp_matches_central_differences(name, shape):
    op = climb(name, "float64", shape)
    t, dy = op.direction(), op.cotangent()
    ahead, behind = (op.forward(*(a + sign * STEP * b for a, b in zip(op.wrt, t, strict=True))) for sign in (1, -1))
    difference, terms = inner([dy], [(ahead - behind) / (2.0 * STEP)])
    pulled, pulled_terms = inner(op.vjp(dy), t)
    assert abs(pulled - difference) <= TOLERANCE["float64"]["differences"] * (terms + pulled_terms)


@every_shape
@every_dtype
@every_pushed_op
def test_vjp_and_jvp_are_adjoint(name, dtype, shape):
    op = climb(name, dtype, shape)
    t, dy = op.direction(), op.cotangent()
    pushed, terms = inner([dy], [op.jvp(t)])
    pulled, pulled_terms = inner(op.vjp(dy), t)
    assert abs(pushed - pulled) <= TOLERANCE[dtype]["adjoint"] * (terms + pulled_terms)


@every_dtype
@every_op
def test_a_nan_travels_forward_in_its_row_only(name, dtype):
    op = climb(name, dtype, (9, 17))
    if OPS[name].family == "noise":
        op.p = 0.0  # what is dropped is 0, whatever it was
    x = op.wrt[0].copy()
    x[4, 11] = np.nan
    y = op.forward(x, *op.wrt[1:])
    if y.size == 1:
        assert np.isnan(op.call(x).rows).tolist() == [row == 4 for row in range(9)]
    else:
        assert np.isnan(y).any(axis=1).tolist() == [row == 4 for row in range(9)]


@every_dtype
@every_op
def test_a_nan_cotangent_travels_back(name, dtype):
    op = climb(name, dtype, (9, 17))
    dy = np.full_like(op.cotangent(), np.nan)
    first = op.vjp(dy)[0]
    alive = np.ones(first.shape, bool) if OPS[name].family == "linear" else op.vjp(np.ones_like(dy))[0] != 0
    assert alive.any()
    assert np.isnan(first[alive]).all()


@pytest.mark.parametrize("magnitude", [1e4, -1e4])
@every_dtype
@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if name not in INFINITE])
def test_large_numbers_stay_finite(name, dtype, magnitude):
    op = climb(name, dtype, (9, 17))
    op.wrt = tuple(np.full_like(a, magnitude) for a in op.wrt)
    op.wrt[0][::2] *= -1
    dy = op.cotangent()
    assert_close(op.forward(), op.twin_forward(), np.abs(op.terms()), op.kind, dtype)
    for pulled, twin, terms in zip(op.vjp(dy), op.twin_vjp(dy), op.pulled_terms(dy), strict=True):
        assert np.isfinite(pulled).all()
        assert_close(pulled, twin, terms, op.kind, dtype)
