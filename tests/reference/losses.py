"""Losses with settings and targets that reach every branch, and what torch says of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastbp import reference

K = 5
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.0, 3.0])  # of classes


class Case(NamedTuple):
    """A loss by its name in the table, its settings, and the kind of its targets."""

    loss: str
    targets: str
    settings: dict[str, Any]


CASES = {
    "cross_entropy": Case("cross_entropy", "labels", {}),
    "smoothed": Case("cross_entropy", "labels", {"label_smoothing": 0.2}),
    "class_weights": Case("cross_entropy", "labels", {"class_weights": WEIGHTS}),
    "ignore": Case("cross_entropy", "labels", {"ignore_index": 3}),
    "ignore_outside": Case("cross_entropy", "labels or -100", {"ignore_index": -100}),
    "smoothed_weights_ignore": Case(
        "cross_entropy", "labels", {"label_smoothing": 0.3, "class_weights": WEIGHTS, "ignore_index": 0}
    ),
    "probabilities": Case("cross_entropy", "probabilities", {}),
    "probabilities_smoothed_weights": Case(
        "cross_entropy", "probabilities", {"label_smoothing": 0.1, "class_weights": WEIGHTS}
    ),
    "binary_cross_entropy": Case("binary_cross_entropy", "bits", {}),
    "pos_weight": Case("binary_cross_entropy", "bits", {"pos_weight": 3.0}),
    "pos_weights": Case("binary_cross_entropy", "bits", {"pos_weight": WEIGHTS + 0.5}),
    "multi_margin": Case("multi_margin", "labels", {}),
    "multi_margin_squared": Case("multi_margin", "labels", {"p": 2, "margin": 0.5}),
    "mse": Case("mse", "numbers", {}),
    "half_mse": Case("half_mse", "numbers", {}),
    "mae": Case("mae", "numbers", {}),
    "huber": Case("huber", "numbers", {}),
    "huber_narrow": Case("huber", "numbers", {"delta": 0.3}),
    "quantile": Case("quantile", "numbers", {}),
    "quantiles": Case("quantile", "numbers", {"q": np.array([0.1, 0.25, 0.5, 0.9, 0.99])}),
    "log_cosh": Case("log_cosh", "numbers", {}),
    "poisson": Case("poisson", "counts", {}),
    "gaussian_nll": Case("gaussian_nll", "numbers", {}),
}
CASES |= {name: Case(name, "numbers", {}) for name in reference.LOSSES if name not in CASES}


def outputs(case: Case, rng: np.random.Generator, rows: int = 7) -> np.ndarray:
    return 1.5 * rng.standard_normal((rows, 2 * K if case.loss == "gaussian_nll" else K))


def targets(case: Case, rng: np.random.Generator, rows: int = 7) -> np.ndarray:
    labels = rng.integers(0, K, rows)
    if case.targets == "labels":
        return labels
    if case.targets == "labels or -100":
        return np.where(np.arange(rows) % 3 == 1, -100, labels)
    if case.targets == "probabilities":
        return rng.dirichlet(np.ones(K), rows)
    if case.targets == "bits":
        return np.where(rng.random((rows, K)) < 0.5, rng.integers(0, 2, (rows, K)), rng.random((rows, K)))
    return rng.poisson(2.0, (rows, K)).astype(float) if case.targets == "counts" else rng.standard_normal((rows, K))


def importance(case: Case, y: np.ndarray) -> np.ndarray:
    """What each row counts for in a mean."""
    if case.targets == "probabilities" or case.loss != "cross_entropy":
        return np.ones(len(y))
    weights = case.settings.get("class_weights", np.ones(K))
    ignored = case.settings.get("ignore_index")
    return np.array([0.0 if label == ignored else weights[label] for label in y.tolist()])


def torch_cross_entropy(z, y, reduction, label_smoothing=0.0, class_weights=None, ignore_index=-100):
    import torch

    weight = None if class_weights is None else torch.from_numpy(class_weights)
    return torch.nn.functional.cross_entropy(
        z, y, weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


def torch_rows(case: Case) -> Callable[..., Any]:
    """The losses of rows as torch has them; where it has none, the formula in its operations."""
    import torch

    F = torch.nn.functional
    tensor = lambda a: torch.as_tensor(a, dtype=torch.float64)  # noqa: E731

    def quantile(z, t, q=0.5):
        return torch.maximum(tensor(q) * (t - z), (tensor(q) - 1) * (t - z)).mean(1)

    def binary(z, t, pos_weight=None):
        weight = None if pos_weight is None else tensor(pos_weight)
        return F.binary_cross_entropy_with_logits(z, t, pos_weight=weight, reduction="none").mean(1)

    def gaussian(z, t):
        return F.gaussian_nll_loss(z[:, :K], t, z[:, K:].exp(), full=False, eps=1e-300, reduction="none").mean(1)

    rows = {
        "cross_entropy": lambda z, y, **settings: torch_cross_entropy(z, y, "none", **settings),
        "binary_cross_entropy": binary,
        "multi_margin": lambda z, y, **settings: F.multi_margin_loss(z, y, reduction="none", **settings),
        "mse": lambda z, t: F.mse_loss(z, t, reduction="none").mean(1),
        "half_mse": lambda z, t: 0.5 * F.mse_loss(z, t, reduction="none").sum(1),
        "mae": lambda z, t: F.l1_loss(z, t, reduction="none").mean(1),
        "huber": lambda z, t, delta=1.0: F.huber_loss(z, t, reduction="none", delta=delta).mean(1),
        "quantile": quantile,
        "log_cosh": lambda z, t: torch.log(torch.cosh(z - t)).mean(1),
        "poisson": lambda z, t: F.poisson_nll_loss(z, t, log_input=True, full=False, reduction="none").mean(1),
        "gaussian_nll": gaussian,
    }
    if case.loss not in rows:
        pytest.skip(f"torch has no {case.loss}")
    return lambda z, y: rows[case.loss](z, y, **case.settings)
