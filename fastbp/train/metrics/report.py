"""A report of raw outputs: everything there is to say of them, as JSON data.

classes    every class; their means; the confusion matrix; the positive one of two classes; probabilities
labels     every label; their means; probabilities of all elements
numbers    every column
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.errors import ConfigError, DataError, brief, not_one_of
from fastbp.numerics.likely import softmax
from fastbp.spec.catalogue import facts_of
from fastbp.spec.losses import Loss
from fastbp.train.metrics.calibration import Calibration, brier, calibration
from fastbp.train.metrics.classification import accuracy
from fastbp.train.metrics.inputs import Array
from fastbp.train.metrics.raw import label_columns, labels_of, numbers_of, read_outputs, two_columns
from fastbp.train.metrics.regression import mae, median_error, r2, rmse
from fastbp.train.metrics.scores import average_precision, log_loss, roc_auc

LARGEST = 100  # classes of which a confusion matrix is written down
MISTAKES = 10  # pairs of classes that are named


def report(
    outputs: Any,
    y: Any,
    *,
    loss: str | Loss,
    names: Sequence[str] | None = None,
    positive: str | None = None,
    sample_weight: Any = None,
) -> dict[str, Any]:
    """Everything there is to say of the raw outputs of a network that is trained with `loss`.

    Parameters
    ----------
    outputs : array, shape (rows, K)
        Outputs of the last layer, before softmax or sigmoid.
    y : array
        Targets for `loss`, as of `evaluate`.
    loss : str or Loss
    names : list of str, optional
        Of classes, labels or columns of numbers; by default "0", "1", ...
    positive : str, optional
        The one of two classes whose precision, recall, F1, areas and calibration are reported; by default the second.
    sample_weight : array, shape (rows,), >= 0, optional
        `support` and all other numbers of rows are then weights, times a power of two where those are extreme.

    Returns
    -------
    dict
        Of numbers, texts and lists, with None where something is not defined for these rows.

    Examples
    --------
    >>> found = report([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]], [0, 1, 1], loss="cross_entropy", names=["no", "yes"])
    >>> found["confusion"]
    [[1, 0], [1, 1]]
    >>> found["binary"]["positive"], found["binary"]["recall"]
    ('yes', 0.5)
    """
    z, w, several = read_outputs(outputs, loss, sample_weight)
    kinds = facts_of(loss).metrics
    count = z.shape[1]
    if "numbers" in kinds:
        t, z = numbers_of(z, y, loss)
        return _of_numbers(t.reshape(z.shape), z, w, _named(names, z.shape[1]))
    labels = labels_of(y, z, several)
    if several:
        return _of_labels(z, labels, w, _named(names, count), "probabilities" in kinds)
    z = two_columns(z)
    return _of_classes(z, labels.astype(np.int64), w, _named(names, z.shape[1]), positive, "probabilities" in kinds)


def _named(names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return [str(i) for i in range(count)]
    if isinstance(names, str) or len(names) != count:
        raise ConfigError("names", f"must be {count} names, one for each output", f"`{brief(names)}`")
    return [str(name) for name in names]


def _of_numbers(t: Array, p: Array, w: Array | None, names: list[str]) -> dict[str, Any]:
    columns = []
    for i, name in enumerate(names):
        pair = t[:, i], p[:, i]
        row: dict[str, Any] = {"name": name, "rmse": rmse(*pair, sample_weight=w), "mae": mae(*pair, sample_weight=w)}
        row["median_error"] = median_error(*pair, sample_weight=w)
        row["r2"] = r2(*pair, sample_weight=w) if len(t) > 1 else None
        columns.append(row)
    return {"task": "numbers", "rows": len(t), "columns": columns}


def _scores(hits: Array, true: Array, called: Array) -> dict[str, Array]:
    """Precision, recall, F1 and support of each class."""
    some = [np.where(a > 0, a, 1.0) for a in (called, true, true + called)]
    return {"precision": hits / some[0], "recall": hits / some[1], "f1": 2 * hits / some[2], "support": true}


def _table(scores: dict[str, Array], names: list[str], whole: bool) -> dict[str, Any]:
    """A row for each class, and their mean and their mean weighted by support."""
    support = scores["support"]
    rows: list[dict[str, Any]] = []
    for i, name in enumerate(names):
        row = {key: float(values[i]) for key, values in scores.items()}
        rows.append({"name": name, **row, "support": _number(row["support"], whole)})
    seen = support if support.any() else None
    means: dict[str, dict[str, float]] = {
        "macro": {key: float(np.mean(scores[key])) for key in ("precision", "recall", "f1")},
        "weighted": {key: float(np.average(scores[key], weights=seen)) for key in ("precision", "recall", "f1")},
    }
    return {"each": rows, "averages": means}


def _number(value: float, whole: bool) -> float | int:
    return int(value) if whole else float(value)


def _of_classes(
    z: Array, t: Array, w: Array | None, names: list[str], positive: str | None, likely: bool
) -> dict[str, Any]:
    size, p = len(names), z.argmax(axis=1)
    if positive is not None and size != 2:
        raise ConfigError("positive", "must be given for two classes only", f"`{positive}` for {size}")
    if positive is not None and positive not in names:
        raise not_one_of("positive", positive, names)
    each = np.ones(len(t)) if w is None else w
    right = t == p
    hits, true, called = (
        np.bincount(t[right], each[right], size),
        np.bincount(t, each, size),
        np.bincount(p, each, size),
    )
    found: dict[str, Any] = {"task": "classes", "rows": len(t), "accuracy": accuracy(t, p, sample_weight=w)}
    found |= _table(_scores(hits, true, called), names, w is None)
    pairs, where = np.unique(t * size + p, return_inverse=True)
    weight = np.bincount(where, each)
    found["confusion"] = None
    if size <= LARGEST:
        cells = np.zeros(size * size)
        cells[pairs] = weight
        found["confusion"] = [[_number(v, w is None) for v in row] for row in cells.reshape(size, size).tolist()]
    wrong = pairs // size != pairs % size
    order = np.lexsort((pairs[wrong], -weight[wrong]))[:MISTAKES]
    found["mistakes"] = [
        {"class": names[at // size], "taken_for": names[at % size], "rows": _number(value, w is None)}
        for at, value in zip(pairs[wrong][order].tolist(), weight[wrong][order].tolist(), strict=True)
    ]
    chosen = None
    if size == 2:
        chosen = 1 if positive is None else names.index(positive)
        margin = z[:, chosen] - z[:, 1 - chosen]
        found["binary"] = {"positive": names[chosen], **_areas(t == chosen, margin, w)}
        found["binary"] |= {key: found["each"][chosen][key] for key in ("precision", "recall", "f1")}
    if likely:
        probabilities, labels = softmax(z), np.arange(size)
        if chosen == 0:
            t, probabilities = 1 - t, probabilities[:, ::-1]
        of = "the predicted class" if chosen is None else names[chosen]
        found |= _likely(t, probabilities, labels, w, of)
    return found


def _of_labels(z: Array, t: Array, w: Array | None, names: list[str], likely: bool) -> dict[str, Any]:
    each = np.ones((len(t), 1)) if w is None else w[:, None]
    p = z > 0
    counts = [(each * a).sum(axis=0) for a in (t * p, t, p)]
    found: dict[str, Any] = {"task": "labels", "rows": len(t)}
    flat = None if w is None else np.repeat(w, z.shape[1])
    found["accuracy"] = accuracy(t.ravel(), p.ravel().astype(t.dtype), sample_weight=flat)
    found |= _table(_scores(counts[0], counts[1], counts[2]), names, w is None)
    for i, row in enumerate(found["each"]):
        row |= _areas(t[:, i] == 1, z[:, i], w)
    if likely:
        found |= _likely(t.ravel(), softmax(label_columns(z)), np.arange(2), flat, "a label")
    return found


def _areas(positive: Array, score: Array, w: Array | None) -> dict[str, float | None]:
    """Areas under both curves; None where the rows have no positive, or only positives."""
    found: dict[str, float | None] = {"roc_auc": None, "average_precision": None}
    t = positive.astype(np.int64)
    with contextlib.suppress(DataError):
        found["average_precision"] = average_precision(t, score, labels=[0, 1], sample_weight=w)
        found["roc_auc"] = roc_auc(t, score, sample_weight=w)
    return found


def _likely(t: Array, p: Array, labels: Array, w: Array | None, of: str) -> dict[str, Any]:
    found = calibration(t, p, labels=labels, sample_weight=w)
    return {
        "log_loss": log_loss(t, p, labels=labels, sample_weight=w),
        "brier": brier(t, p, labels=labels, sample_weight=w),
        "calibration_error": found.error,
        "calibration": {"of": of, "bins": _bins(found, w is None)},
    }


def _bins(found: Calibration, whole: bool) -> list[dict[str, float]]:
    rows = zip(*(values.tolist() for values in found), strict=True)
    return [
        {"low": low, "high": high, "rows": _number(count, whole), "predicted": predicted, "actual": actual}
        for low, high, count, predicted, actual in rows
    ]
