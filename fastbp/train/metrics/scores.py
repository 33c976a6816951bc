"""Metrics of the scores or probabilities of classes. Arguments and values are scikit-learn's, without warnings.

The columns of scores belong to the classes of `y_true`, sorted; `labels` names them all where `y_true` may lack some.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, DataError, ShapeError, not_one_of, whole_number
from fastbp.numerics.exact import log
from fastbp.train.metrics.inputs import (
    Array,
    class_names,
    positions,
    read_labels,
    read_numbers,
    read_weights,
    require,
    require_shape,
)

LOOSEST = float(np.sqrt(np.finfo(np.float32).eps))  # tolerance of the sum of probabilities, in float32 too


def _need_two(t: Array) -> None:
    if (t == t[0]).all():
        raise DataError("y_true", "must have two or more classes", f"only `{t[0]}`")


def _columns(t: Array, names: Any, score_name: str, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], Array]:
    """The column of each row's class, and the classes of the columns; a single column is that of the second class."""
    width = shape[1] if len(shape) == 2 and shape[1] > 1 else 2
    if names is None:
        known = np.unique(t)
        if len(known) != width:
            raise ShapeError(
                score_name,
                f"must have shape `({len(t)}, {len(known)})`, a column for each class in `y_true`",
                f"`{shape}`",
                hint="name the classes of all columns with `labels`",
            )
        return positions(t, known), known
    known = class_names(names, t)
    if len(known) != width:
        raise ConfigError("labels", f"must name {width} classes, one a column", f"{len(known)}")
    if (known[1:] < known[:-1]).any():
        raise ConfigError("labels", "must be sorted", f"`{known.tolist()}`")
    codes = positions(t, known)
    require("y_true", t, codes >= 0, "be one of `labels`")
    return codes, known


def _require_sums(name: str, p: Array) -> None:
    sums = p.sum(axis=1)
    require(
        f"{name}.sum(axis=1)",
        sums,
        np.abs(sums - 1) <= max(LOOSEST, float(np.sqrt(np.finfo(p.dtype).eps))),
        "be 1, probabilities of all classes",
    )


def read_probabilities(y_true: Any, y_pred: Any, labels: Any) -> tuple[NDArray[np.int64], Array]:
    """The column of each row's class, and probabilities of all classes, (rows, classes)."""
    t, p = read_labels("y_true", y_true), read_numbers("y_pred", y_pred)
    if len(p) != len(t):
        raise ShapeError("y_pred", f"must have shape `({len(t)}, classes)` or `({len(t)},)`", f"`{p.shape}`")
    if p.dtype not in (np.float16, np.float32, np.float64):
        p = p.astype(np.float64)
    require("y_pred", p, (p >= 0) & (p <= 1), "be between 0 and 1")
    if labels is None:
        _need_two(t)
    codes, _ = _columns(t, labels, "y_pred", p.shape)
    if p.size == len(p):
        p = np.stack([1 - p.ravel(), p.ravel()], axis=1)
    _require_sums("y_pred", p)
    return codes, p


def top_k(y_true: Any, y_score: Any, *, k: int = 2, labels: Any = None, sample_weight: Any = None) -> float:
    """Share of rows whose class is among the k with the highest scores: Σ w [rank(y) < k] / Σ w.

    Of equal scores the last column counts as the highest.

    Parameters
    ----------
    y_true : labels, shape (rows,)
    y_score : array, shape (rows, classes)
    k : int, 1 to classes
    labels : labels, shape (classes,), optional
        The classes of the columns, sorted.
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> top_k([0, 1, 2], [[0.5, 0.3, 0.2], [0.6, 0.1, 0.3], [0.5, 0.1, 0.4]], k=2)
    0.6666666666666666
    """
    t, score = read_labels("y_true", y_true), read_numbers("y_score", y_score)
    if score.ndim != 2 or len(score) != len(t) or score.shape[1] < 2:
        raise ShapeError("y_score", f"must have shape `({len(t)}, classes)` with classes >= 2", f"`{score.shape}`")
    w = read_weights(sample_weight, len(t))
    codes, known = _columns(t, labels, "y_score", score.shape)
    k = whole_number("k", k)
    if not 1 <= k <= len(known):
        raise ConfigError("k", f"must be between 1 and {len(known)}, the number of classes", f"`{k}`")
    own = np.take_along_axis(score, codes[:, None], axis=1)
    later = np.arange(len(known)) > codes[:, None]
    rank = ((score > own) | ((score == own) & later)).sum(axis=1)
    return float(np.average(rank < k, weights=w))


def log_loss(y_true: Any, y_pred: Any, *, labels: Any = None, sample_weight: Any = None) -> float:
    """Mean cross-entropy of the rows' classes: -Σ w log p(y) / Σ w.

    Probabilities are clipped to [ε, 1 - ε], ε that of their dtype.

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
    >>> round(log_loss([0, 1, 1], [0.5, 0.5, 1.0]), 6)
    0.462098
    """
    codes, p = read_probabilities(y_true, y_pred, labels)
    w = read_weights(sample_weight, len(p))
    eps = np.finfo(p.dtype).eps
    own = np.take_along_axis(np.clip(p, eps, 1 - eps), codes[:, None], axis=1)[:, 0]
    return float(np.average(-log(own), weights=w))


def _area(positive: Array, score: Array, w: Array | None) -> float:
    """Area under the curve of the true over the false positive rate; NaN where either class has no weight.

    The curve has a point after each distinct score, from the highest down; straight lines join them.
    """
    each = np.ones(len(score)) if w is None else w
    keep = each > 0
    order = np.argsort(-score[keep].astype(np.float64), kind="stable")
    falling = score[keep][order]
    last = np.append(falling[1:] != falling[:-1], True)  # of each run of equal scores
    true = np.append(0.0, np.cumsum((each * positive)[keep][order])[last])
    false = np.append(0.0, np.cumsum((each * ~positive)[keep][order])[last])
    if true[-1] == 0 or false[-1] == 0:
        return float("nan")
    area = (np.diff(false / false[-1]) * (true[1:] + true[:-1]) / (2 * true[-1])).sum()
    return float(area)


def _step_area(positive: Array, score: Array, w: Array | None) -> float:
    """Area under the steps of the precision over the recall, from the highest score down; NaN without a positive."""
    each = np.ones(len(score)) if w is None else w
    keep = each > 0
    order = np.argsort(-score[keep].astype(np.float64), kind="stable")
    falling = score[keep][order]
    last = np.append(falling[1:] != falling[:-1], True)  # of each run of equal scores
    true = np.cumsum((each * positive)[keep][order])[last]
    called = np.cumsum(each[keep][order])[last]
    if true[-1] == 0:
        return float("nan")
    return float((np.diff(true, prepend=0.0) * (true / called)).sum() / true[-1])


def _areas(
    area_of: Callable[[Array, Array, Array | None], float],
    positive: Array,
    score: Array,
    average: str,
    w: Array | None,
    kind: str,
    names: Array,
) -> float:
    """Average of an area over the columns, each a binary problem."""
    each = np.ones(len(positive)) if w is None else w
    share = (each[:, None] * positive).sum(axis=0)
    if average == "micro":
        area = area_of(positive.ravel(), score.ravel(), np.repeat(each, len(names)))
        if np.isnan(area):
            raise DataError("y_true", "must have zeros and ones", f"only {'ones' if share.any() else 'zeros'}")
        return area
    asked = np.arange(len(names))
    if average == "weighted" and share.any():
        asked = np.flatnonzero(share)  # the others have no weight in the average
    areas = []
    for column in asked:
        area = area_of(positive[:, column], score[:, column], w)
        if np.isnan(area):
            got = "with" if share[column] else "without"
            name = f"{kind} `{names[column]}`"
            raise DataError("y_true", f"must have rows with and without {name}", f"only rows {got} it")
        areas.append(area)
    return float(np.average(areas, weights=share[asked] if average == "weighted" else None))


def roc_auc(
    y_true: Any,
    y_score: Any,
    *,
    average: str = "macro",
    multi_class: str = "ovr",
    labels: Any = None,
    sample_weight: Any = None,
) -> float:
    """Area under the ROC curve: the chance P(s⁺ > s⁻) + P(s⁺ = s⁻) / 2 that a positive row outscores a negative one.

    Parameters
    ----------
    y_true : labels, shape (rows,) or (rows, labels)
    y_score : array
        Of two classes any scores of the greater one, shape (rows,); of more classes probabilities that sum to 1 in
        each row, shape (rows, classes); of several labels a row any scores, shape (rows, labels).
    average : {"macro", "micro", "weighted"}
        Mean over classes or labels, mean weighted by their rows, or the area of all their scores as one list.
    multi_class : {"ovr", "ovo"}
        More than two classes are compared each with all others, or in pairs, without weights (Hand & Till, 2001).
    labels : labels, shape (classes,), optional
        The classes of the columns, sorted.
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    averages = ["macro", "micro", "weighted"]
    if average not in averages:
        raise not_one_of("average", average, averages)
    if multi_class not in ("ovr", "ovo"):
        raise not_one_of("multi_class", multi_class, ["ovr", "ovo"])
    t, score = read_labels("y_true", y_true, several=True), read_numbers("y_score", y_score)
    w = read_weights(sample_weight, len(t))
    if t.ndim == 2:
        require_shape("y_score", score, t.shape)
        return _areas(_area, t == 1, score, average, w, "label", np.arange(t.shape[1]))
    _need_two(t)
    known = np.unique(t)
    if score.ndim == 2 and score.shape[1] > 2:
        require_shape("y_score", score, (len(t), score.shape[1]))
        score = score.astype(np.float64)
        codes, known = _columns(t, labels, "y_score", score.shape)
        _require_sums("y_score", score)
        if multi_class == "ovo":
            return _over_pairs(codes, score, average, w)
        return _areas(_area, codes[:, None] == np.arange(len(known)), score, average, w, "class", known)
    if len(known) > 2:
        require_shape("y_score", score, (len(t), len(known)))
    if score.shape not in ((len(t),), (len(t), 1)):
        raise ShapeError("y_score", f"must have shape `({len(t)},)` for two classes", f"`{score.shape}`")
    return _areas(_area, (t == known[1])[:, None], score.reshape(-1, 1), "macro", w, "class", known[1:])


def _over_pairs(codes: Array, score: Array, average: str, w: Array | None) -> float:
    if w is not None:
        raise ConfigError("sample_weight", "must be `None` with `multi_class` `ovo`", "weights")
    if average == "micro":
        raise ConfigError("average", "must be one of `macro`, `weighted` with `multi_class` `ovo`", "`micro`")
    areas, shares = [], []
    for a, b in combinations(np.unique(codes), 2):
        of_pair = (codes == a) | (codes == b)
        is_a = codes[of_pair] == a
        areas.append((_area(is_a, score[of_pair, a], None) + _area(~is_a, score[of_pair, b], None)) / 2)
        shares.append(of_pair.mean())
    return float(np.average(areas, weights=shares if average == "weighted" else None))


def average_precision(
    y_true: Any,
    y_score: Any,
    *,
    average: str = "macro",
    labels: Any = None,
    sample_weight: Any = None,
) -> float:
    """Precision averaged over recall: Σ (R_i - R_{i-1}) P_i over the distinct scores, from the highest down.

    Parameters
    ----------
    y_true : labels, shape (rows,) or (rows, labels)
    y_score : array
        Of two classes any scores of the greater one, shape (rows,); of more classes any scores of each, shape
        (rows, classes); of several labels a row any scores, shape (rows, labels).
    average : {"macro", "micro", "weighted"}
        Mean over classes or labels, mean weighted by their rows, or that of all their scores as one list.
    labels : labels, shape (classes,), optional
        The classes of the columns, sorted.
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 6)
    0.833333
    """
    averages = ["macro", "micro", "weighted"]
    if average not in averages:
        raise not_one_of("average", average, averages)
    t, score = read_labels("y_true", y_true, several=True), read_numbers("y_score", y_score)
    w = read_weights(sample_weight, len(t))
    if t.ndim == 2:
        require_shape("y_score", score, t.shape)
        return _areas(_step_area, t == 1, score, average, w, "label", np.arange(t.shape[1]))
    if score.shape not in ((len(t),), (len(t), 1)):
        require_shape("y_score", score, (len(t), score.shape[-1]))
        codes, known = _columns(t, labels, "y_score", score.shape)
        return _areas(_step_area, codes[:, None] == np.arange(len(known)), score, average, w, "class", known)
    if labels is None:
        _need_two(t)
    codes, known = _columns(t, labels, "y_score", score.shape)
    return _areas(_step_area, (codes == 1)[:, None], score.reshape(-1, 1), "macro", w, "class", known[1:])
