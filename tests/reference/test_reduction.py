"""Every loss, in every reduction and under every weighting, against torch, differences and itself."""

import math

import numpy as np
import pytest

from fastbp import reference
from tests.reference.climb import DIFFERENCES, close
from tests.reference.losses import CASES, importance, outputs, targets, torch_rows

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_reduction = pytest.mark.parametrize("reduction", ["mean", "sum"])
OMEGA = np.array([1.0, 0.0, 2.5, 0.25, 3.0, 1.0, 0.0])


def test_every_loss_has_a_case_and_rows():
    assert {case.loss for case in CASES.values()} == set(reference.LOSSES)
    for name, loss in reference.LOSSES.items():
        assert loss is getattr(reference, name)
        assert callable(getattr(reference, f"{name}_rows"))


@every_case
def test_rows_follow_torch(rng, case):
    torch = pytest.importorskip("torch")
    z, y = outputs(case, rng), targets(case, rng)
    rows = getattr(reference, f"{case.loss}_rows")(z, y, **case.settings)
    assert rows.shape == (7,)
    close(rows, torch_rows(case)(torch.from_numpy(z), torch.from_numpy(y)).numpy())


@every_case
@every_reduction
@pytest.mark.parametrize("weight", [None, OMEGA], ids=["plain", "weighted"])
def test_a_loss_and_its_derivative_follow_torch(rng, case, reduction, weight):
    torch = pytest.importorskip("torch")
    z, y = outputs(case, rng), targets(case, rng)
    loss, dz = reference.LOSSES[case.loss](z, y, weight, reduction, **case.settings)
    omega = np.ones(7) if weight is None else weight
    mass = omega @ importance(case, y) if reduction == "mean" else 1.0
    theirs = torch.from_numpy(z).requires_grad_()
    expected = (torch.from_numpy(omega) * torch_rows(case)(theirs, torch.from_numpy(y))).sum() / mass
    expected.backward()
    assert isinstance(loss, float)
    close(loss, expected.item())
    close(dz, theirs.grad.numpy())


@every_case
@every_reduction
def test_dz_of_a_loss_matches_central_differences_on_every_output(rng, case, reduction):
    function = reference.LOSSES[case.loss]
    z, y = outputs(case, rng), targets(case, rng)
    before = z.copy(), y.copy(), OMEGA.copy()
    _, dz = function(z, y, OMEGA, reduction, **case.settings)
    assert dz.shape == z.shape
    for at in np.ndindex(*z.shape):
        e = np.zeros(z.shape)
        e[at] = 1e-5
        above, below = (function(z + h, y, OMEGA, reduction, **case.settings)[0] for h in (e, -e))
        assert abs(dz[at] - (above - below) / 2e-5) < DIFFERENCES * (1 + 20 * (reduction == "sum"))
    assert all(np.array_equal(a, b) for a, b in zip((z, y, OMEGA), before, strict=True))


@every_case
@every_reduction
def test_a_weight_counts_how_often_a_row_is_there(rng, case, reduction):
    function = reference.LOSSES[case.loss]
    z, y, times = outputs(case, rng), targets(case, rng), np.array([2, 0, 1, 3, 1, 0, 1])
    loss, dz = function(z, y, times, reduction, **case.settings)
    again, each = function(z.repeat(times, axis=0), y.repeat(times, axis=0), None, reduction, **case.settings)
    close(loss, again)
    expected = np.zeros(z.shape)
    np.add.at(expected, np.arange(7).repeat(times), each)
    close(dz, expected)


@every_case
@every_reduction
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_weight_at_all_is_no_loss(rng, case, reduction, dtype):
    for rows, weight in [(0, None), (0, np.ones(0)), (7, np.zeros(7))]:
        z, y = outputs(case, rng, rows).astype(dtype), targets(case, rng, rows)
        loss, dz = reference.LOSSES[case.loss](z, y, weight, reduction, **case.settings)
        assert loss == 0.0
        assert dz.shape == z.shape
        assert dz.dtype == dtype
        assert not dz.any()


@every_case
def test_rows_that_are_all_ignored_are_no_loss(rng, case):
    if "ignore_index" in case.settings:
        y = np.full(7, case.settings["ignore_index"])
        loss, dz = reference.cross_entropy(outputs(case, rng), y, **case.settings)
        assert loss == 0.0
        assert not dz.any()


@every_case
def test_a_loss_keeps_the_dtype_whatever_its_settings_have(rng, case):
    z, y = outputs(case, rng).astype("f"), targets(case, rng)
    exact, expected = reference.LOSSES[case.loss](z.astype(float), y, OMEGA, **case.settings)
    loss, dz = reference.LOSSES[case.loss](z, y, OMEGA, **case.settings)
    assert dz.dtype == getattr(reference, f"{case.loss}_rows")(z, y, **case.settings).dtype == np.float32
    assert math.isclose(loss, exact, rel_tol=1e-5)
    assert np.allclose(dz, expected, rtol=1e-5, atol=1e-6)


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loss_is_finite_at_extremes(rng, case, dtype):
    """But where exp(z) or exp(-s) itself is not; what is infinite is so without a warning, and is not NaN."""
    z = outputs(case, rng, 3).astype(dtype)
    z[:] = np.where(rng.random(z.shape) < 0.5, -1e4, 1e4)
    z[2] = -1e4
    infinite = case.loss in ("poisson", "gaussian_nll")
    for reduction in ("mean", "sum"):
        loss, dz = reference.LOSSES[case.loss](z, targets(case, rng, 3), None, reduction, **case.settings)
        assert loss == np.inf if infinite else np.isfinite(loss)
        assert not np.isnan(dz).any() if infinite else np.isfinite(dz).all()


@every_case
def test_a_nan_travels_through_a_loss(rng, case):
    z, y = outputs(case, rng), targets(case, rng)
    z[2, 1] = np.nan
    y[2] = 1
    loss, dz = reference.LOSSES[case.loss](z, y, **case.settings)
    assert math.isnan(loss)
    assert np.isnan(dz[2]).any() or case.loss == "multi_margin"  # whose slope is a comparison, as relu's is
    assert np.isfinite(dz[[0, 1, 3, 4, 5, 6]]).all()


def test_another_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction") as info:
        reference.mse(np.zeros((1, 1)), np.zeros(1), reduction="median")
    assert str(info.value) == "`reduction` must be one of `mean`, `sum`, got `median`"
