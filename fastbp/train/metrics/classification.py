"""Metrics of predicted classes. Arguments and values are scikit-learn's, and there are no warnings.

Labels are whole numbers or strings, one a row. `accuracy`, `precision`, `recall` and `f1` also take several labels a
row: zeros and ones, shape (rows, labels). `sample_weight` has shape (rows,), numbers >= 0.

With w the weights, the weighted counts of class c are

    TP = Σ w [y = c = ŷ]        T = Σ w [y = c]        P = Σ w [ŷ = c]

over the classes in either `y_true` or `y_pred`. What would be divided by zero is 0. An `average` of their scores is

    macro       the mean
    weighted    the mean weighted by T
    micro       the score of ΣTP, ΣT, ΣP
    binary      the score of `pos_label` alone, where there are two classes
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, not_one_of
from fastbp.train.metrics.inputs import (
    Array,
    class_names,
    positions,
    read_labels,
    read_weights,
    require_alike,
    require_shape,
)

_Counts = tuple[Array, Array, Array]


def _pair(y_true: Any, y_pred: Any, sample_weight: Any, several: bool) -> tuple[Array, Array, Array | None]:
    t, p = read_labels("y_true", y_true, several), read_labels("y_pred", y_pred, several)
    require_shape("y_pred", p, t.shape)
    require_alike("y_pred", p, "y_true", t)
    return t, p, read_weights(sample_weight, len(t))


def _ratio(top: Array, bottom: Array) -> NDArray[np.float64]:
    """Their quotient, 0 where the bottom is."""
    return np.divide(top, bottom, out=np.zeros(np.shape(top)), where=bottom != 0)


def _counts_by_class(t: Array, p: Array, w: Array | None) -> tuple[Array, _Counts]:
    """The classes, and TP, T and P of each."""
    classes, codes = np.unique(np.concatenate([t, p]), return_inverse=True)
    a, b, hit = codes[: len(t)], codes[len(t) :], t == p
    size = len(classes)
    hits = np.bincount(a[hit], None if w is None else w[hit], size)
    return classes, (hits, np.bincount(a, w, size), np.bincount(b, w, size))


def accuracy(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Share of rows predicted right: Σ w [y = ŷ] / Σ w.

    A row of several labels is right where all of them are.

    Parameters
    ----------
    y_true, y_pred : labels, shape (rows,) or (rows, labels)
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> accuracy([0, 1, 2, 2], [0, 1, 1, 2])
    0.75
    """
    t, p, w = _pair(y_true, y_pred, sample_weight, several=True)
    right = t == p
    return float(np.average(right if right.ndim == 1 else right.all(axis=1), weights=w))


def balanced_accuracy(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Mean recall of the classes that are in `y_true`: mean of TP / T.

    Parameters
    ----------
    y_true, y_pred : labels, shape (rows,)
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """
    _, (hits, true, _) = _counts_by_class(*_pair(y_true, y_pred, sample_weight, several=False))
    return float(np.mean(hits[true > 0] / true[true > 0]))


def confusion_matrix(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    sample_weight: Any = None,
    normalize: str | None = None,
) -> Array:
    """Weight of the rows of class i that were predicted as class j: C[i, j] = Σ w [y = i, ŷ = j].

    Parameters
    ----------
    y_true, y_pred : labels, shape (rows,)
    labels : labels, shape (K,), optional
        The classes, in the order of rows and columns; rows of other classes are left out. By default all, sorted.
    sample_weight : array, shape (rows,), >= 0, optional
    normalize : {"true", "pred", "all"}, optional
        Divide by the sum of each row, of each column, or of all.

    Returns
    -------
    array, shape (K, K)
        Integers, unless weights are not or it is normalised.

    Examples
    --------
    >>> confusion_matrix([0, 1, 2, 2], [0, 1, 1, 2])
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 1, 1]])
    """
    t, p, w = _pair(y_true, y_pred, sample_weight, several=False)
    axes: dict[str, dict[str, Any]] = {"true": {"axis": 1}, "pred": {"axis": 0}, "all": {}}
    if normalize is not None and normalize not in axes:
        raise not_one_of("normalize", normalize, axes)
    names = np.unique(np.concatenate([t, p])) if labels is None else class_names(labels, t)
    i, j, size = positions(t, names), positions(p, names), len(names)
    if (i < 0).all():
        raise ConfigError("labels", "must have a class that is in `y_true`", f"`{names.tolist()}`")
    known = (i >= 0) & (j >= 0)
    cells = np.bincount((i * size + j)[known], None if w is None else w[known], size * size).reshape(size, size)
    if normalize is not None:
        return _ratio(cells, np.broadcast_to(cells.sum(keepdims=True, **axes[normalize]), cells.shape))
    whole = w is None or np.asarray(sample_weight).dtype.kind in "iub"
    return cells.astype(np.int64 if whole else np.float64)


def _counts(y_true: Any, y_pred: Any, average: str, pos_label: Any, sample_weight: Any) -> _Counts:
    """TP, T and P of what is averaged."""
    averages = ["macro", "micro", "weighted", "binary"]
    if average not in averages:
        raise not_one_of("average", average, averages)
    t, p, w = _pair(y_true, y_pred, sample_weight, several=True)
    if t.ndim == 2:
        each = np.ones((len(t), 1)) if w is None else w[:, None]
        classes = np.arange(t.shape[1])
        hits, true, predicted = ((each * a).sum(axis=0) for a in (t * p, t, p))
    else:
        classes, (hits, true, predicted) = _counts_by_class(t, p, w)
    if average == "micro":
        return hits.sum(keepdims=True), true.sum(keepdims=True), predicted.sum(keepdims=True)
    if average != "binary":
        return hits, true, predicted
    if t.ndim == 2 or len(classes) > 2:
        rows = "several labels a row" if t.ndim == 2 else "more than two classes"
        raise ConfigError("average", f"must be one of `macro`, `micro`, `weighted` for {rows}", "`binary`")
    names = classes.tolist()
    if pos_label in names:
        chosen = slice(names.index(pos_label), names.index(pos_label) + 1)
        return hits[chosen], true[chosen], predicted[chosen]
    if len(names) == 2 or isinstance(names[0], str) != isinstance(pos_label, str):
        raise ConfigError("pos_label", f"must be one of {', '.join(f'`{n}`' for n in names)}", f"`{pos_label}`")
    return np.zeros(1), np.zeros(1), np.zeros(1)  # all rows are of the other class


def _averaged(scores: Array, average: str, true: Array) -> float:
    return float(np.average(scores, weights=true if average == "weighted" and true.any() else None))


def precision(
    y_true: Any,
    y_pred: Any,
    *,
    average: str = "macro",
    pos_label: Any = 1,
    sample_weight: Any = None,
) -> float:
    """Share of the predictions of a class that are right: TP / P, averaged over classes.

    Parameters
    ----------
    y_true, y_pred : labels, shape (rows,) or (rows, labels)
    average : {"macro", "micro", "weighted", "binary"}
    pos_label : label
        The class that ``"binary"`` means.
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> precision([0, 1, 1, 0], [0, 1, 1, 1], average="weighted")
    0.8333333333333333
    """
    hits, true, predicted = _counts(y_true, y_pred, average, pos_label, sample_weight)
    return _averaged(_ratio(hits, predicted), average, true)


def recall(
    y_true: Any,
    y_pred: Any,
    *,
    average: str = "macro",
    pos_label: Any = 1,
    sample_weight: Any = None,
) -> float:
    """Share of the rows of a class that are found: TP / T, averaged over classes.

    Parameters
    ----------
    y_true, y_pred : labels, shape (rows,) or (rows, labels)
    average : {"macro", "micro", "weighted", "binary"}
    pos_label : label
        The class that ``"binary"`` means.
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> recall(["yes", "no", "yes"], ["yes", "no", "no"], average="binary", pos_label="yes")
    0.5
    """
    hits, true, _ = _counts(y_true, y_pred, average, pos_label, sample_weight)
    return _averaged(_ratio(hits, true), average, true)


def f1(
    y_true: Any,
    y_pred: Any,
    *,
    average: str = "macro",
    pos_label: Any = 1,
    sample_weight: Any = None,
) -> float:
    """Harmonic mean of precision and recall: 2 TP / (T + P), averaged over classes.

    Parameters
    ----------
    y_true, y_pred : labels, shape (rows,) or (rows, labels)
    average : {"macro", "micro", "weighted", "binary"}
    pos_label : label
        The class that ``"binary"`` means.
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> f1([0, 1, 1, 0], [0, 1, 1, 1], average="binary")
    0.8
    >>> f1([[1, 0], [1, 1]], [[1, 0], [0, 1]])
    0.8333333333333333
    """
    hits, true, predicted = _counts(y_true, y_pred, average, pos_label, sample_weight)
    return _averaged(_ratio(2 * hits, true + predicted), average, true)
