"""Losses against numbers: formulas, kinks, small errors and flat targets."""

import math

import numpy as np
import pytest

from fastbp import reference
from tests.reference.climb import close
from tests.reference.losses import CASES, K

NUMBERS = sorted({case.loss for case in CASES.values() if case.targets in ("numbers", "counts")} - {"gaussian_nll"})


def test_mse_is_the_mean_over_all_elements():
    z, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])
    loss, dz = reference.mse(z, y)
    assert loss == (1 + 4 + 4 + 16) / 4
    assert dz.tolist() == [[0.5, 1.0], [1.0, 2.0]]
    assert reference.mse_rows(z, y).tolist() == [2.5, 10.0]


def test_mse_takes_flat_targets_for_one_output():
    z, y = np.array([[1.0], [2.0], [4.0]]), np.array([0.0, 0.0, 1.0])
    loss, dz = reference.mse(z, y)
    assert math.isclose(loss, 14 / 3)
    assert dz.shape == (3, 1)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_loss_takes_flat_targets_for_one_output(rng, name):
    z, t = rng.standard_normal((4, 1)), rng.random(4)
    flat, whole = (reference.LOSSES[name](z, targets) for targets in (t, t[:, None]))
    assert flat[0] == whole[0]
    assert np.array_equal(flat[1], whole[1])
    assert flat[1].shape == (4, 1)


def test_gaussian_nll_takes_flat_targets_for_one_mean_and_one_variance(rng):
    z, t = rng.standard_normal((4, 2)), rng.random(4)
    flat, whole = (reference.gaussian_nll(z, targets) for targets in (t, t[:, None]))
    assert flat[0] == whole[0]
    assert np.array_equal(flat[1], whole[1])


@pytest.mark.parametrize("name", ["mae", "quantile", "log_cosh", "huber"])
def test_no_error_is_no_loss_and_no_slope(name):
    z = np.array([[0.5, -2.0, 1e4]])
    loss, dz = reference.LOSSES[name](z, z)
    assert loss == 0
    assert not dz.any()


def test_huber_is_torchs_at_its_seam():
    torch = pytest.importorskip("torch")
    z = np.array([[-2.0, 2.0, -1.999, 2.001, 0.0]])
    theirs = torch.from_numpy(z).requires_grad_()
    expected = torch.nn.functional.huber_loss(theirs, torch.zeros_like(theirs), delta=2.0)
    expected.backward()
    loss, dz = reference.huber(z, np.zeros((1, 5)), delta=2.0)
    close(loss, expected.item())
    close(dz, theirs.grad.numpy())


@pytest.mark.parametrize("q", [0.1, 0.5, 0.75])
def test_the_least_quantile_loss_is_at_the_quantile(rng, q):
    t = rng.standard_normal(1000)
    at = np.quantile(t, q)
    losses = [reference.quantile(np.full((1000, 1), at + shift), t, q=q)[0] for shift in (-0.1, 0.0, 0.1)]
    assert losses[1] < min(losses[0], losses[2])


@pytest.mark.parametrize("e", [1e-12, 1e-6, 1e-3, 0.5, 0.999999, 1.0, 3.0, 700.0, 1e4])
def test_log_cosh_keeps_every_digit_of_a_small_or_a_large_error(e):
    expected = e * e / 2 - e**4 / 12 + e**6 / 45 if e < 1e-2 else e + math.log1p(math.exp(-2 * e)) - math.log(2)
    loss, dz = reference.log_cosh(np.array([[e, -e]]), np.zeros((1, 2)))
    close(loss, expected, terms=0)
    close(dz, [[math.tanh(e) / 2, -math.tanh(e) / 2]], terms=0)


def test_gaussian_nll_is_the_density_but_for_its_constant(rng):
    z, t = rng.standard_normal((3, 2 * K)), rng.standard_normal((3, K))
    variance = np.exp(z[:, K:])
    density = np.exp(-np.square(t - z[:, :K]) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    rows = reference.gaussian_nll_rows(z, t)
    close(rows, -np.log(density).mean(axis=1) - 0.5 * math.log(2 * math.pi))


def test_a_certain_and_right_gaussian_has_a_finite_loss():
    loss, dz = reference.gaussian_nll(np.array([[1.0, -1e4]]), np.array([[1.0]]))
    assert loss == -5000
    assert dz.tolist() == [[0, 0.5]]
