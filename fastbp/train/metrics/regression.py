"""Metrics of predicted numbers. Arguments and values are scikit-learn's, in float64 whatever comes in.

`y_true` and `y_pred` have shape (rows,) or (rows, outputs); of several outputs the scores are averaged. `sample_weight`
has shape (rows,), numbers >= 0. E is the mean over rows with those weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.errors import ShapeError
from fastbp.train.metrics.inputs import Array, read_numbers, read_weights


def _pair(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Array, Array, Array | None]:
    """Both as (rows, outputs)."""
    t, p = read_numbers("y_true", y_true), read_numbers("y_pred", y_pred)
    columns = t.reshape(len(t), -1).astype(np.float64), p.reshape(len(p), -1).astype(np.float64)
    if columns[0].shape != columns[1].shape:
        raise ShapeError("y_pred", f"must have shape `{t.shape}`", f"`{p.shape}`")
    return *columns, read_weights(sample_weight, len(t))


def _explained(left: Array, total: Array) -> float:
    """Mean of 1 - left / total over outputs; 1 where nothing is left, 0 where something is left of nothing."""
    lost = np.divide(left, total, out=(left != 0).astype(np.float64), where=total != 0)
    return float((1 - lost).mean())


def r2(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Coefficient of determination: 1 - E(y - ŷ)² / E(y - Ey)².

    Of a constant `y_true` it is 1 where predictions are exact and 0 where they are not.

    Parameters
    ----------
    y_true, y_pred : array, shape (rows,) or (rows, outputs), rows >= 2
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> r2([1, 2, 3, 4], [1, 2, 3, 5])
    0.8
    """
    t, p, w = _pair(y_true, y_pred, sample_weight)
    if len(t) < 2:
        raise ShapeError("y_true", "must have at least 2 rows for `r2`", "1")
    each = 1.0 if w is None else w[:, None]
    around = t - np.average(t, axis=0, weights=w)
    return _explained((each * (t - p) ** 2).sum(axis=0), (each * around**2).sum(axis=0))


def explained_variance(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Share of the variance that is predicted: 1 - Var(y - ŷ) / Var(y), so that a constant error costs nothing.

    Of a constant `y_true` it is 1 where the error is constant too and 0 where it is not.

    Parameters
    ----------
    y_true, y_pred : array, shape (rows,) or (rows, outputs)
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> explained_variance([1, 2, 3, 4], [2, 3, 4, 5])
    1.0
    """
    t, p, w = _pair(y_true, y_pred, sample_weight)
    error = t - p
    left, total = (np.average((a - np.average(a, axis=0, weights=w)) ** 2, axis=0, weights=w) for a in (error, t))
    return _explained(left, total)


def mse(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Mean squared error: E(y - ŷ)².

    Parameters
    ----------
    y_true, y_pred : array, shape (rows,) or (rows, outputs)
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> mse([1, 2, 3, 4], [1, 2, 3, 6])
    1.0
    """
    t, p, w = _pair(y_true, y_pred, sample_weight)
    return float(np.average((t - p) ** 2, axis=0, weights=w).mean())


def rmse(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Root of the mean squared error: √E(y - ŷ)², of each output before they are averaged.

    Parameters
    ----------
    y_true, y_pred : array, shape (rows,) or (rows, outputs)
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> rmse([1, 2, 3, 4], [1, 2, 3, 8])
    2.0
    """
    t, p, w = _pair(y_true, y_pred, sample_weight)
    return float(np.sqrt(np.average((t - p) ** 2, axis=0, weights=w)).mean())


def mae(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Mean absolute error: E|y - ŷ|.

    Parameters
    ----------
    y_true, y_pred : array, shape (rows,) or (rows, outputs)
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> mae([1, 2, 3, 4], [1, 2, 3, 6])
    0.5
    """
    t, p, w = _pair(y_true, y_pred, sample_weight)
    return float(np.average(np.abs(t - p), axis=0, weights=w).mean())


def mape(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Mean absolute error relative to the target: E |y - ŷ| / max(|y|, ε), a share and not a percentage.

    ε is that of float64: an error at a target of 0 makes it very large.

    Parameters
    ----------
    y_true, y_pred : array, shape (rows,) or (rows, outputs)
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> mape([1, 2, 4, 4], [1, 2, 4, 6])
    0.125
    """
    t, p, w = _pair(y_true, y_pred, sample_weight)
    share = np.abs(t - p) / np.maximum(np.abs(t), np.finfo(np.float64).eps)
    return float(np.average(share, axis=0, weights=w).mean())


def median_error(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Median absolute error: the |y - ŷ| that half of the weight is below, of each output before they are averaged.

    Where exactly half of the weight is at or below one error, it is the mean of that and the next.

    Parameters
    ----------
    y_true, y_pred : array, shape (rows,) or (rows, outputs)
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> median_error([1, 2, 3, 4], [1, 2.5, 3, 60])
    0.25
    """
    t, p, w = _pair(y_true, y_pred, sample_weight)
    error = np.abs(t - p)
    if w is None:
        return float(np.median(error, axis=0).mean())
    error, w = error[w > 0], w[w > 0]
    order = np.argsort(error, axis=0, kind="stable")
    rising = np.take_along_axis(error, order, axis=0)
    below = np.cumsum(w[order], axis=0)
    half = below[-1] / 2
    first = np.minimum((below < half).sum(axis=0), len(error) - 1)
    after = np.minimum((below <= half).sum(axis=0), len(error) - 1)
    columns = np.arange(error.shape[1])
    return float(((rising[first, columns] + rising[after, columns]) / 2).mean())
