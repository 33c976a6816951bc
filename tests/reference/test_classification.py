"""Cross-entropy and its kin: formulas, torch's normaliser, extremes."""

import math
from itertools import product

import numpy as np
import pytest

from fastbp import reference
from tests.reference.climb import close
from tests.reference.losses import WEIGHTS, K, torch_cross_entropy


def test_the_derivative_of_cross_entropy_is_p_minus_y(rng):
    z, labels = rng.standard_normal((4, 5)), np.array([0, 4, 2, 2])
    loss, dz = reference.cross_entropy(z, labels)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    assert np.allclose(dz, (p - np.eye(5)[labels]) / 4, rtol=1e-12, atol=1e-15)
    assert math.isclose(loss, -np.mean(np.log(p[np.arange(4), labels])), rel_tol=1e-12)
    assert np.allclose(reference.cross_entropy_rows(z, labels), -np.log(p[np.arange(4), labels]), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_survives_extreme_logits_and_keeps_the_dtype(dtype):
    z = np.array([[1e4, -1e4, 0.0], [0.0, -1e4, 1e4]], dtype)
    loss, dz = reference.cross_entropy(z, np.array([0, 0]))
    assert loss == 5000.0
    assert dz.dtype == dtype
    assert dz.tolist() == [[0, 0, 0], [-0.5, 0, 0.5]]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    ("smoothing", "weights", "ignored"),
    list(product([0.0, 0.1, 1.0], [None, WEIGHTS], [None, 0, 4])),
    ids=lambda v: "weights" if isinstance(v, np.ndarray) else str(v),
)
def test_cross_entropy_of_labels_has_torchs_normaliser(rng, smoothing, weights, ignored, reduction):
    torch = pytest.importorskip("torch")
    z, y = rng.standard_normal((9, K)), np.arange(9) % K
    settings = {"label_smoothing": smoothing, "class_weights": weights}
    loss, dz = reference.cross_entropy(z, y, None, reduction, ignore_index=ignored, **settings)
    theirs = torch.from_numpy(z).requires_grad_()
    ignore = {} if ignored is None else {"ignore_index": ignored}
    expected = torch_cross_entropy(theirs, torch.from_numpy(y), reduction, **settings, **ignore)
    expected.backward()
    close(loss, expected.item())
    close(dz, theirs.grad.numpy())


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weights"])
def test_cross_entropy_of_probabilities_has_torchs_normaliser(rng, smoothing, weights, reduction):
    torch = pytest.importorskip("torch")
    z, y = rng.standard_normal((9, K)), 2 * rng.random((9, K))  # which need not sum to 1
    settings = {"label_smoothing": smoothing, "class_weights": weights}
    loss, dz = reference.cross_entropy(z, y, None, reduction, **settings)
    theirs = torch.from_numpy(z).requires_grad_()
    expected = torch_cross_entropy(theirs, torch.from_numpy(y), reduction, **settings)
    expected.backward()
    close(loss, expected.item())
    close(dz, theirs.grad.numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_label_is_its_one_hot_row(rng, dtype):
    z, y = rng.standard_normal((9, K)).astype(dtype), np.arange(9) % K
    plain = reference.cross_entropy(z, y)
    for settings in ({"ignore_index": -100}, {"class_weights": np.ones(K)}):
        loss, dz = reference.cross_entropy(z, y, **settings)
        assert math.isclose(loss, plain[0], rel_tol=1e-6 if dtype == "float32" else 1e-14)
        assert np.array_equal(dz, plain[1])
    loss, dz = reference.cross_entropy(z, np.eye(K)[y])
    assert np.array_equal(dz, plain[1])


def test_a_class_that_cannot_be_costs_nothing_where_it_is_not_wanted():
    z = np.array([[0.0, 0.0, -np.inf]])
    for y in (np.array([0]), np.array([[1.0, 0.0, 0.0]])):
        loss, dz = reference.cross_entropy(z, y)
        close(loss, math.log(2))
        assert dz.tolist() == [[-0.5, 0.5, 0.0]]


@pytest.mark.parametrize("z", [-700.0, -30.0, -1e-3, 0.0, 1e-3, 30.0, 700.0])
@pytest.mark.parametrize("t", [0.0, 1.0])
def test_binary_cross_entropy_keeps_every_digit_of_a_confident_answer(z, t):
    sign = z if t == 0 else -z
    expected = max(sign, 0.0) + math.log1p(math.exp(-abs(sign)))
    loss, dz = reference.binary_cross_entropy(np.array([[z]]), np.array([[t]]))
    close(loss, expected, terms=0)
    close(dz, [[(1 if t == 0 else -1) / (1 + math.exp(-sign))]], terms=0)


def test_binary_cross_entropy_takes_flat_targets_for_one_output(rng):
    z, t = rng.standard_normal((4, 1)), np.array([0.0, 1.0, 0.25, 1.0])
    flat, whole = (reference.binary_cross_entropy(z, targets) for targets in (t, t[:, None]))
    assert flat[0] == whole[0]
    assert np.array_equal(flat[1], whole[1])
    assert flat[1].shape == (4, 1)


def test_a_margin_that_is_just_kept_has_no_slope():
    torch = pytest.importorskip("torch")
    z, y = np.array([[2.0, 1.0, 1.5], [0.0, 3.0, 1.0]]), np.array([0, 1])
    for p in (1, 2):
        loss, dz = reference.multi_margin(z, y, p=p)
        theirs = torch.from_numpy(z).requires_grad_()
        expected = torch.nn.functional.multi_margin_loss(theirs, torch.from_numpy(y), p=p)
        expected.backward()
        close(loss, expected.item())
        close(dz, theirs.grad.numpy())
        assert dz[0, 1] == 0
