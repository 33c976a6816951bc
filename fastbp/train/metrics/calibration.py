"""Metrics of probabilities as probabilities: whether what is said to be 70 % likely is so in 70 % of the rows.

What is looked at is one probability a row and whether it came true:

    two classes          the probability of the greater class      y is that class
    more classes         the largest probability of a row          y is the class that has it

Bins are equal parts of [0, 1], each with its upper edge; with w the weights of the rows of bin b,

    predicted_b = Σ w p / Σ w      actual_b = Σ w [true] / Σ w      error = Σ_b (Σ w)_b |actual_b - predicted_b| / Σ w
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, ShapeError, whole_number
from fastbp.numerics.temperature import loss_at, temperature
from fastbp.train.metrics.inputs import Array, read_labels, read_numbers, read_weights
from fastbp.train.metrics.scores import _columns, _need_two, read_probabilities

BINS = 10


def calibrated_log_loss(y_true: Any, y_score: Any, *, labels: Any = None, sample_weight: Any = None) -> float:
    """The log loss that is left where logits are divided by the temperature with which it is least on these rows.

    It is what a network does not know, without what it is only too sure or not sure enough of (Berta et al., 2025).

    Parameters
    ----------
    y_true : labels, shape (rows,)
    y_score : array, shape (rows, classes)
        Logits; of two classes those of the greater against the other will do, shape (rows,).
    labels : labels, shape (classes,), optional
        The classes of the columns, sorted.
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> sure, unsure = [-20.0, 20.0, 20.0, 20.0], [-2.0, 2.0, 2.0, 2.0]
    >>> [round(calibrated_log_loss([0, 1, 0, 1], z), 6) for z in (sure, unsure)]
    [0.562335, 0.562335]
    """
    t, score = read_labels("y_true", y_true), read_numbers("y_score", y_score).astype(np.float64)
    if len(score) != len(t):
        raise ShapeError("y_score", f"must have shape `({len(t)}, classes)` or `({len(t)},)`", f"`{score.shape}`")
    w = read_weights(sample_weight, len(t))
    if labels is None:
        _need_two(t)
    codes, _ = _columns(t, labels, "y_score", score.shape)
    if score.size == len(score):
        score = np.stack([np.zeros(len(score)), score.ravel()], axis=1)
    return loss_at(score, codes, w, temperature(score, codes, w))


class Calibration(NamedTuple):
    """The bins of a calibration that have rows.

    Attributes
    ----------
    low, high : array
        Edges of each bin; a probability at an edge is in the bin below.
    rows : array
        Weight of the rows in it.
    predicted, actual : array
        Mean of their probabilities, and the share in which they came true.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    rows: NDArray[np.float64]
    predicted: NDArray[np.float64]
    actual: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error."""
        return float(np.average(np.abs(self.actual - self.predicted), weights=self.rows))


def brier(y_true: Any, y_pred: Any, *, labels: Any = None, sample_weight: Any = None) -> float:
    """Mean squared error of probabilities: Σ w (p - [y])² / Σ w of two classes, Σ w Σ_k (p_k - [y = k])² / Σ w of more.

    Parameters
    ----------
    y_true : labels, shape (rows,)
    y_pred : array, shape (rows, classes), 0 to 1
        Probabilities that sum to 1 in each row; of two classes those of the greater will do, shape (rows,).
    labels : labels, shape (classes,), optional
        The classes of the columns, sorted.
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> brier([0, 1, 1, 0], [0.5, 1.0, 0.5, 0.0])
    0.125
    >>> brier([0, 1, 2], [[1, 0, 0], [0, 1, 0], [0, 1, 0]])
    0.6666666666666666
    """
    codes, p = read_probabilities(y_true, y_pred, labels)
    p = p.astype(np.float64)
    w = read_weights(sample_weight, len(p))
    if p.shape[1] == 2:
        return float(np.average((p[:, 1] - codes) ** 2, weights=w))
    return float(np.average(((p - (codes[:, None] == np.arange(p.shape[1]))) ** 2).sum(axis=1), weights=w))


def calibration(
    y_true: Any, y_pred: Any, *, bins: int = BINS, labels: Any = None, sample_weight: Any = None
) -> Calibration:
    """How often probabilities came true, by how large they were.

    Parameters
    ----------
    y_true, y_pred, labels, sample_weight
        As of `brier`.
    bins : int, >= 1

    Examples
    --------
    >>> found = calibration([0, 1, 0, 1], [0.1, 0.3, 0.6, 0.8], bins=2)
    >>> found.predicted.tolist(), found.actual.tolist()
    ([0.2, 0.7], [0.5, 0.5])
    >>> round(found.error, 12)
    0.25
    """
    count = whole_number("bins", bins)
    if count < 1:
        raise ConfigError("bins", "must be at least 1", f"`{count}`")
    codes, p = read_probabilities(y_true, y_pred, labels)
    p = p.astype(np.float64)
    w = read_weights(sample_weight, len(p))
    each = np.ones(len(p)) if w is None else w
    two = p.shape[1] == 2
    said: Array = p[:, 1] if two else p.max(axis=1)
    true = codes == (1 if two else p.argmax(axis=1))
    edges = np.linspace(0.0, 1.0, count + 1)
    bin_of = np.searchsorted(edges[1:-1], said)
    rows: NDArray[np.float64] = np.bincount(bin_of, each, count).astype(np.float64)
    there = rows > 0
    sums = (np.bincount(bin_of, each * values, count)[there] for values in (said, true))
    predicted, actual = (found / rows[there] for found in sums)
    return Calibration(edges[:-1][there], edges[1:][there], rows[there], predicted, actual)


def calibration_error(
    y_true: Any, y_pred: Any, *, bins: int = BINS, labels: Any = None, sample_weight: Any = None
) -> float:
    """Expected calibration error: Σ_b share of bin b · |actual - predicted| (Guo et al., 2017).

    Parameters
    ----------
    y_true, y_pred, bins, labels, sample_weight
        As of `calibration`.

    Examples
    --------
    >>> round(calibration_error([0, 1, 0, 1], [0.1, 0.3, 0.6, 0.8], bins=2), 12)
    0.25
    """
    return calibration(y_true, y_pred, bins=bins, labels=labels, sample_weight=sample_weight).error
