"""The temperature of logits, against a search on a grid and against SciPy."""

import numpy as np
import pytest

from fastbp.numerics.temperature import LEAST, MOST, loss_at, temperature

RNG = np.random.default_rng(0)


def rows(classes, sure, count=400):
    """Logits whose log loss is least at about this temperature."""
    z = RNG.normal(size=(count, classes)) * 2.0
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = np.array([RNG.choice(classes, p=row) for row in p])
    return sure * z, y


def loss(z, y, w, T):
    q = z / T - (z / T).max(axis=1, keepdims=True)
    each = np.log(np.exp(q).sum(axis=1)) - q[np.arange(len(y)), y]
    return np.average(each, weights=w)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sure", [0.2, 1.0, 3.0, 40.0])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_log_loss_is_least_there(classes, sure, weighted):
    z, y = rows(classes, sure)
    w = RNG.random(len(y)) * 1e-200 if weighted else None
    found = temperature(z, y, w)
    assert found == pytest.approx(sure, rel=0.3)
    here = loss(z, y, w, found)
    assert loss_at(z, y, w, found) == pytest.approx(here, rel=1e-12)
    for factor in (0.99, 1.01):
        assert loss(z, y, w, found * factor) > here
    optimize = pytest.importorskip("scipy.optimize")
    at_log = {"bounds": (-3, 5), "method": "bounded", "options": {"xatol": 1e-10}}
    theirs = optimize.minimize_scalar(lambda s: loss(z, y, w, np.exp(s)), **at_log)
    assert found == pytest.approx(float(np.exp(theirs.x)), rel=1e-5)


def test_the_slope_is_zero_to_the_last_bits():
    z, y = rows(3, 2.0)
    T = temperature(z, y)
    p = np.exp(z / T - (z / T).max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    slope = np.mean((p * z).sum(axis=1) - z[np.arange(len(y)), y])
    assert abs(slope) < 1e-13


def test_rows_that_are_all_right_or_say_nothing_stop_at_the_ends():
    z = np.array([[3.0, 0.0], [0.0, 1.0]])
    assert temperature(z, np.array([0, 1])) == LEAST
    assert temperature(z, np.array([1, 0])) == MOST
    assert temperature(np.zeros((4, 3)), np.array([0, 1, 2, 0])) == MOST


def test_huge_logits_and_shifts_of_rows_change_nothing():
    z, y = rows(3, 1.5)
    assert temperature(z + RNG.normal(size=(len(y), 1)) * 100, y) == pytest.approx(temperature(z, y), rel=1e-9)
    assert np.isfinite(temperature(1e6 * z, y))


def test_known_bits():
    """The same on every machine: written down once."""
    z = np.array([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-3.0, 4.0, 1.0], [1.0, 0.5, -0.5], [2.0, 2.5, 0.0]])
    found = temperature(z, np.array([0, 2, 1, 1, 0]), np.array([1.0, 2.0, 0.5, 1.5, 1.0]))
    assert found.hex() == KNOWN


KNOWN = "0x1.b84be3a1c2314p-1"
