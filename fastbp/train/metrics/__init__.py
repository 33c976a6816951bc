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
binary_cross_entropy and several columns a row has several labels: accuracy and log_loss are then taken over all
elements, f1, precision, recall and roc_auc label by label.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fastbp.errors import ConfigError, ConfigTypeError, DataError, ShapeError, brief, not_one_of
from fastbp.spec.arrays import as_array
from fastbp.spec.catalogue import facts_of
from fastbp.spec.elsewhere import hint_of_name
from fastbp.spec.losses import Loss, near_one
from fastbp.train.metrics import inputs
from fastbp.train.metrics.classification import accuracy, balanced_accuracy, confusion_matrix, f1, precision, recall
from fastbp.train.metrics.inputs import Array
from fastbp.train.metrics.regression import explained_variance, mae, mape, mse, r2, rmse
from fastbp.train.metrics.scores import log_loss, roc_auc, top_k

__all__ = [
    "METRICS",
    "Metric",
    "accuracy",
    "balanced_accuracy",
    "confusion_matrix",
    "evaluate",
    "explained_variance",
    "f1",
    "fitting",
    "log_loss",
    "mae",
    "mape",
    "metric_named",
    "mse",
    "precision",
    "r2",
    "recall",
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
        Metric("r2", r2, "numbers", True, "1 - E(y - ŷ)² / E(y - Ey)²"),
        Metric("mse", mse, "numbers", False, "E(y - ŷ)²"),
        Metric("rmse", rmse, "numbers", False, "√E(y - ŷ)²"),
        Metric("mae", mae, "numbers", False, "E|y - ŷ|"),
        Metric("mape", mape, "numbers", False, "E |y - ŷ| / max(|y|, ε)"),
        Metric("explained_variance", explained_variance, "numbers", True, "1 - Var(y - ŷ) / Var(y)"),
    )
}

_ONE_LABEL_ONLY = ("balanced_accuracy", "top_k")  # rows of several labels have no single class


def fitting(loss: str | Loss, several: bool = False) -> list[str]:
    """Names of the metrics that fit a loss; `several` where rows have several labels.

    Examples
    --------
    >>> fitting("mse")
    ['r2', 'mse', 'rmse', 'mae', 'mape', 'explained_variance']
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
    fastbp.errors.ConfigError: `metric` must be one of `r2`, `mse`, `rmse`, `mae`, `mape`, `explained_variance` \
with loss `mse`, got `accuracy`
    """
    if not isinstance(name, str):
        raise ConfigTypeError(f"`metric` must be the name of a metric, got `{brief(name)}`")
    numbered = re.fullmatch(r"top_([1-9][0-9]*)", name)
    if name not in METRICS and numbered is None:
        if said := hint_of_name(name, METRICS):
            raise ConfigError(f"`metric` must be one of {', '.join(f'`{n}`' for n in METRICS)}, got `{name}`\n{said}")
        raise not_one_of("metric", name, METRICS)
    row = "top_k" if numbered else name
    if loss is not None and row not in fitting(loss, several):
        names = ", ".join(f"`{fit}`" for fit in fitting(loss, several))
        rows = " and several labels a row" if several and row in fitting(loss) else ""
        said = loss if isinstance(loss, str) else loss.named
        raise ConfigError(f"`metric` must be one of {names} with loss `{said}`{rows}, got `{name}`")
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
    z = inputs.read_numbers("outputs", outputs).astype(np.float64)
    if z.ndim == 1:
        z = z[:, None]
    several = "labels" in facts_of(loss).tasks and z.shape[1] > 1
    metric = metric_named(name, loss, several)
    w = inputs.read_weights(sample_weight, len(z))
    w = None if w is None else near_one(w, w)
    try:
        if metric.kind == "numbers":
            return metric.function(*_numbers(z, y, loss), sample_weight=w)
        t = _labels(y, z, several)
        return _of_labels(metric, z, t, w) if several else _of_classes(metric, z, t, w)
    except DataError as error:
        raise type(error)(str(error).replace("`y_true`", "`y`")) from None


def _numbers(z: Array, y: Any, loss: str | Loss) -> tuple[Array, Array]:
    """Targets and predictions."""
    facts = facts_of(loss)
    if z.shape[1] % facts.outputs_per_target:
        count = facts.outputs_per_target
        wanted = "an even number of columns, the first half of them means" if count == 2 else f"{count} for each target"
        raise ShapeError(f"`outputs` must have {wanted}, got `{z.shape}`")
    found = facts.predicted(z)
    if found is not z and found.shape == z.shape:
        inputs.require("outputs", z, np.isfinite(found), "have a finite exponential")
    z = found
    t = inputs.read_numbers("y", y)
    if t.shape != z.shape and not (z.shape[1] == 1 and t.shape == (len(z),)):
        raise ShapeError(f"`y` must have shape `{z.shape}`, got `{t.shape}`")
    return t, z


def _labels(y: Any, z: Array, several: bool) -> Array:
    """Zeros and ones, one for each output, or a class for each row."""
    t = inputs.read_labels("y", as_array("y", y), several)
    inputs.require_shape("y", t, z.shape if several else z.shape[:1])
    if not several:
        top = max(z.shape[1], 2) - 1
        inputs.require("y", t, (t >= 0) & (t <= top), f"be between 0 and {top}, the network's classes")
    return t


def _of_classes(metric: Metric, z: Array, t: Array, w: Array | None) -> float:
    if z.shape[1] == 1:
        z = np.concatenate([np.zeros_like(z), z], axis=1)
    if metric.kind == "labels":
        return metric.function(t, z.argmax(axis=1), sample_weight=w)
    if metric.name == "roc_auc" and z.shape[1] == 2:
        return metric.function(t, z[:, 1] - z[:, 0], sample_weight=w)  # the sigmoid would round large ones to 1
    if metric.name in ("roc_auc", "log_loss"):
        z = _softmax(z)
    return metric.function(t, z, labels=np.arange(z.shape[1]), sample_weight=w)


def _of_labels(metric: Metric, z: Array, t: Array, w: Array | None) -> float:
    each = None if w is None else np.repeat(w, z.shape[1])
    if metric.name == "accuracy":
        return metric.function(t.ravel(), z.ravel() > 0, sample_weight=each)
    if metric.name == "log_loss":
        flat = np.stack([np.zeros(z.size), z.ravel()], axis=1)
        return metric.function(t.ravel(), _softmax(flat), labels=[0, 1], sample_weight=each)
    return metric.function(t, z if metric.name == "roc_auc" else z > 0, sample_weight=w)


def _softmax(z: Array) -> Array:
    """Of each row, shifted by its largest element so that nothing overflows."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))
