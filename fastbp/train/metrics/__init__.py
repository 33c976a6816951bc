"""Metrics: how good predictions are, as functions of (y_true, y_pred), and by name for the raw outputs of a network.

The functions take scikit-learn's arguments and return its values. `METRICS` has those that training can report, and
`evaluate` turns outputs into what each of them needs:

    loss                    class             scores    probabilities    numbers
    cross_entropy           argmax z          z         softmax z
    binary_cross_entropy    z > 0             z         sigmoid z
    multi_margin            argmax z          z
    gaussian_nll                                                         first half of the columns, the means
    poisson                                                              exp z
    any other                                                            z

A single column of logits z is two columns 0, z: its softmax is the sigmoid, and its class is z > 0. With
binary_cross_entropy and several columns a row has several labels: accuracy and what probabilities are measured by are
then taken over all elements, f1, precision, recall, average_precision and roc_auc label by label.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fastbp.errors import ConfigError, ConfigTypeError, DataError, brief, not_one_of
from fastbp.numerics.likely import softmax
from fastbp.spec.catalogue import facts_of
from fastbp.spec.elsewhere import hint_of_name
from fastbp.spec.losses import Loss
from fastbp.train.metrics.calibration import brier, calibrated_log_loss, calibration, calibration_error
from fastbp.train.metrics.classification import accuracy, balanced_accuracy, confusion_matrix, f1, precision, recall
from fastbp.train.metrics.inputs import Array
from fastbp.train.metrics.raw import label_columns, labels_of, numbers_of, read_outputs, two_columns
from fastbp.train.metrics.regression import explained_variance, mae, mape, median_error, mse, r2, rmse
from fastbp.train.metrics.report import report
from fastbp.train.metrics.scores import average_precision, log_loss, roc_auc, top_k

__all__ = [
    "METRICS",
    "Metric",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "brier",
    "calibrated_log_loss",
    "calibration",
    "calibration_error",
    "confusion_matrix",
    "evaluate",
    "explained_variance",
    "f1",
    "fitting",
    "log_loss",
    "mae",
    "mape",
    "median_error",
    "metric_named",
    "mse",
    "precision",
    "r2",
    "recall",
    "report",
    "rmse",
    "roc_auc",
    "top_k",
]


@dataclass(frozen=True)
class Metric:
    """One metric that training can report.

    Attributes
    ----------
    name : str
    function : callable
        f(y_true, y_pred, sample_weight=None).
    kind : {"labels", "scores", "probabilities", "numbers"}
        What its `y_pred` is.
    higher_is_better : bool
    formula : str
    """

    name: str
    function: Callable[..., float]
    kind: str
    higher_is_better: bool
    formula: str


CALIBRATED = "calibrated_log_loss"  # of logits, where others take probabilities
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", accuracy, "labels", True, "Σ w [y = ŷ] / Σ w"),
        Metric("top_k", partial(top_k, k=5), "scores", True, "Σ w [rank(y) < k] / Σ w, k = 5"),
        Metric("balanced_accuracy", balanced_accuracy, "labels", True, "mean of TP / T over the classes in y"),
        Metric("f1_macro", partial(f1, average="macro"), "labels", True, "mean of 2 TP / (T + P) over classes"),
        Metric("f1_micro", partial(f1, average="micro"), "labels", True, "2 ΣTP / (ΣT + ΣP)"),
        Metric("f1_weighted", partial(f1, average="weighted"), "labels", True, "mean of 2 TP / (T + P) weighted by T"),
        Metric("precision", precision, "labels", True, "mean of TP / P over classes"),
        Metric("recall", recall, "labels", True, "mean of TP / T over classes"),
        Metric("log_loss", log_loss, "probabilities", False, "-Σ w log p(y) / Σ w"),
        Metric("roc_auc", roc_auc, "scores", True, "P(s⁺ > s⁻) + P(s⁺ = s⁻) / 2, mean over classes"),
        Metric("average_precision", average_precision, "scores", True, "Σ (R_i - R_{i-1}) P_i, mean over classes"),
        Metric("brier", brier, "probabilities", False, "Σ w Σ_k (p_k - [y = k])² / Σ w, half of it for two classes"),
        Metric(
            "calibration_error", calibration_error, "probabilities", False, "Σ_b |Σ w ([true] - p)| / Σ w, 10 bins b"
        ),
        Metric(CALIBRATED, calibrated_log_loss, "probabilities", False, "least -Σ w log softmax(z / T)_y / Σ w over T"),
        Metric("r2", r2, "numbers", True, "1 - E(y - ŷ)² / E(y - Ey)²"),
        Metric("mse", mse, "numbers", False, "E(y - ŷ)²"),
        Metric("rmse", rmse, "numbers", False, "√E(y - ŷ)²"),
        Metric("mae", mae, "numbers", False, "E|y - ŷ|"),
        Metric("mape", mape, "numbers", False, "E |y - ŷ| / max(|y|, ε)"),
        Metric("explained_variance", explained_variance, "numbers", True, "1 - Var(y - ŷ) / Var(y)"),
        Metric("median_error", median_error, "numbers", False, "median of |y - ŷ|"),
    )
}

_OF_ONE_SCORE = ("roc_auc", "average_precision")  # of two classes: that of the greater
_ONE_LABEL_ONLY = ("balanced_accuracy", "top_k")  # rows of several labels have no single class


def fitting(loss: str | Loss, several: bool = False) -> list[str]:
    """Names of the metrics that fit a loss; `several` where rows have several labels.

    Examples
    --------
    >>> fitting("mse")
    ['r2', 'mse', 'rmse', 'mae', 'mape', 'explained_variance', 'median_error']
    """
    facts = facts_of(loss)
    left_out = _ONE_LABEL_ONLY if several else ("top_k",) if "labels" in facts.tasks else ()
    return [name for name, metric in METRICS.items() if metric.kind in facts.metrics and name not in left_out]


def metric_named(name: Any, loss: str | Loss | None = None, several: bool = False) -> Metric:
    """The metric of that name, if it fits the loss; ``"top_3"`` is ``"top_k"`` with k = 3.

    Examples
    --------
    >>> metric_named("top_3").formula
    'Σ w [rank(y) < k] / Σ w, k = 3'
    >>> metric_named("accuracy", "mse")
    Traceback (most recent call last):
    fastbp.errors.ConfigError: `metric` must be one of `r2`, `mse`, `rmse`, `mae`, `mape`, `explained_variance`, \
`median_error` with loss `mse`, got `accuracy`
    """
    if not isinstance(name, str):
        raise ConfigTypeError("metric", "must be the name of a metric", f"`{brief(name)}`")
    numbered = re.fullmatch(r"top_([1-9][0-9]*)", name)
    if name not in METRICS and numbered is None:
        if said := hint_of_name(name, METRICS):
            raise ConfigError("metric", f"must be one of {', '.join(f'`{n}`' for n in METRICS)}", f"`{name}`", said)
        raise not_one_of("metric", name, METRICS)
    row = "top_k" if numbered else name
    if loss is not None and row not in fitting(loss, several):
        names = ", ".join(f"`{fit}`" for fit in fitting(loss, several))
        rows = " and several labels a row" if several and row in fitting(loss) else ""
        said = loss if isinstance(loss, str) else loss.named
        raise ConfigError("metric", f"must be one of {names} with loss `{said}`{rows}", f"`{name}`")
    if numbered is None:
        return METRICS[name]
    k = int(numbered[1])
    formula = METRICS["top_k"].formula.replace("k = 5", f"k = {k}")
    return replace(METRICS["top_k"], name=name, function=partial(top_k, k=k), formula=formula)


def evaluate(name: str, outputs: Any, y: Any, sample_weight: Any = None, *, loss: str | Loss) -> float:
    """Value of a metric for the raw outputs of a network that is trained with `loss`.

    Parameters
    ----------
    name : str
        One of `METRICS`, or such as ``"top_3"``.
    outputs : array, shape (rows, K)
        Outputs of the last layer: logits, before softmax or sigmoid.
    y : array
        Targets for `loss`: classes 0 to K - 1, shape (rows,); zeros and ones; or numbers.
    sample_weight : array, shape (rows,), >= 0, optional
    loss : str or Loss
        Defines what outputs mean: see the table of this module.

    Examples
    --------
    >>> logits = [[2.0, 1.0, 0.0], [0.0, 3.0, 0.0], [1.0, 0.0, 0.0]]
    >>> evaluate("accuracy", logits, [0, 1, 2], loss="cross_entropy")
    0.6666666666666666
    >>> evaluate("rmse", [[0.0], [0.0]], [1.0, 1.0], loss="poisson")
    0.0
    """
    metric_named(name, loss)
    z, w, several = read_outputs(outputs, loss, sample_weight)
    metric = metric_named(name, loss, several)
    try:
        if metric.kind == "numbers":
            return metric.function(*numbers_of(z, y, loss), sample_weight=w)
        t = labels_of(y, z, several)
        return _of_labels(metric, z, t, w) if several else _of_classes(metric, z, t, w)
    except DataError as error:
        raise error.at(where="y" if error.where == "y_true" else error.where) from None


def _of_classes(metric: Metric, z: Array, t: Array, w: Array | None) -> float:
    z = two_columns(z)
    if metric.kind == "labels":
        return metric.function(t, z.argmax(axis=1), sample_weight=w)
    labels = np.arange(z.shape[1])
    if metric.name in _OF_ONE_SCORE and z.shape[1] == 2:
        named = {} if metric.name == "roc_auc" else {"labels": labels}
        return metric.function(t, z[:, 1] - z[:, 0], sample_weight=w, **named)  # a sigmoid would round large ones to 1
    if metric.name not in ("top_k", CALIBRATED):
        z = softmax(z)
    return metric.function(t, z, labels=labels, sample_weight=w)


def _of_labels(metric: Metric, z: Array, t: Array, w: Array | None) -> float:
    each = None if w is None else np.repeat(w, z.shape[1])
    if metric.name == "accuracy":
        return metric.function(t.ravel(), z.ravel() > 0, sample_weight=each)
    if metric.kind == "probabilities":
        own = label_columns(z)
        p = own if metric.name == CALIBRATED else softmax(own)
        return metric.function(t.ravel(), p, labels=[0, 1], sample_weight=each)
    return metric.function(t, z if metric.kind == "scores" else z > 0, sample_weight=w)
