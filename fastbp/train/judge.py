"""How good averaged predictions are on rows whose targets are known: the loss of what they say, or a metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, DataError, ShapeError
from fastbp.model.network import Network
from fastbp.numerics.exact import log
from fastbp.numerics.likely import softmax
from fastbp.spec import arrays
from fastbp.spec.activations import Identity
from fastbp.spec.losses import Loss, near_one
from fastbp.train.averages import outputs_of, predicted, probable
from fastbp.train.held_out import Units
from fastbp.train.metrics import Metric, fitting, metric_named
from fastbp.train.metrics.inputs import read_numbers, read_weights
from fastbp.train.metrics.raw import labels_of

Array = NDArray[Any]
LOSS = "loss"
EPS = float(np.finfo(np.float64).eps)


def default_metric(loss: Loss) -> str:
    """What ensembles are chosen by unless something else is said."""
    return "log_loss" if "log_loss" in fitting(loss) else LOSS


class Judge:
    """Takes one measure of averaged predictions, again and again on the same rows.

    Parameters
    ----------
    loss : Loss
    outputs : sequence of int
        Columns of each output of the networks.
    dtype
        In which the loss is taken.
    y : array
        Targets for the loss.
    metric : str, optional
        "loss", or the name of a metric that fits it; by default "log_loss" where outputs stand for probabilities and
        else the loss.
    sample_weight : array, shape (rows,), optional
    units : Units, optional
        In which numbers are measured by metrics.
    """

    def __init__(
        self,
        loss: Loss,
        outputs: Sequence[int],
        dtype: Any,
        y: Any,
        metric: str | None = None,
        sample_weight: Any = None,
        units: Units | None = None,
    ) -> None:
        self.loss, self.outputs, self.units = loss, list(outputs), units
        self.name = metric_of(metric, loss, self.outputs)
        self.rows = _rows_of(y, len(self.outputs))
        self._kept: Array | None = None
        if self.name == LOSS:
            self._whole = _Whole(loss, self.outputs, dtype, y, self.rows, sample_weight)
            self.upwards = False
            return
        self.several = "labels" in loss.tasks and self.outputs[0] > 1
        self.metric: Metric = metric_named(self.name, loss, self.several)
        self.upwards = self.metric.higher_is_better
        y = np.asarray(y)
        weight = None if sample_weight is None else read_weights(sample_weight, len(y))
        ignored = getattr(loss, "ignore_index", None)
        if ignored is not None and y.ndim == 1 and (y == ignored).any():
            self._kept = np.flatnonzero(y != ignored)
            y, weight = y[self._kept], None if weight is None else weight[self._kept]
        self.y, self.weight = y, None if weight is None else near_one(weight, weight)
        if probable(loss) or self.metric.kind != "numbers":
            self.y = labels_of(y, np.zeros((len(y), self.outputs[0])), self.several)
        # The log loss asks for the probability of each row's own class only.
        self._own = self.name == "log_loss" and "classes" in loss.tasks

    def ready(self, means: Sequence[Array]) -> list[Array]:
        """The part of what was averaged that counts; means of it are that part of the means."""
        if len(means[0]) != self.rows:
            raise ShapeError("y", f"must have the {len(means[0])} rows of X", f"`{self.rows}`")
        if self.name == LOSS:
            return list(means)
        (mean,) = means
        mean = mean if self._kept is None else mean[self._kept]
        return [mean[np.arange(len(mean)), self.y] if self._own else mean]

    def of_ready(self, means: Sequence[Array]) -> float:
        """The measure of what is ready."""
        if self.name == LOSS:
            return self._whole.score(means)
        try:
            return self._metric(means[0])
        except DataError as error:
            raise error.at(where="y" if error.where == "y_true" else error.where) from None

    def score(self, means: Sequence[Array]) -> float:
        """The measure of what was averaged: an array, as of `averaged`, for each output of the networks."""
        return self.of_ready(self.ready(means))

    def worth(self, score: float) -> float:
        """A score such that more is better; a NaN is worth nothing."""
        return -np.inf if np.isnan(score) else score if self.upwards else -score

    def _metric(self, mean: Array) -> float:
        metric, weight = self.metric, self.weight
        if self._own:
            return float(np.average(-log(np.clip(mean, EPS, 1.0 - EPS)), weights=weight))
        if metric.kind == "numbers":
            return float(metric.function(*self._numbers(mean), sample_weight=weight))
        p = predicted(self.loss, mean)
        if self.several:
            return _of_labels(metric, p, self.y, weight)
        if p.shape[1] == 1:  # of one label
            p = np.hstack([1.0 - p, p]) if probable(self.loss) else np.hstack([np.zeros_like(p), p])
        if metric.kind == "labels":
            return float(metric.function(self.y, p.argmax(axis=1), sample_weight=weight))
        labels = np.arange(p.shape[1])
        if not probable(self.loss) and not metric.name.startswith("top_") and len(labels) > 2:
            p = softmax(p)  # which has the order of the scores in each row, and sums of 1
        if p.shape[1] == 2 and metric.kind == "scores" and not metric.name.startswith("top_"):
            named = {} if metric.name == "roc_auc" else {"labels": labels}
            return float(metric.function(self.y, p[:, 1] - p[:, 0], sample_weight=weight, **named))
        return float(metric.function(self.y, p, labels=labels, sample_weight=weight))

    def _numbers(self, mean: Array) -> tuple[Array, Array]:
        """Targets and predictions, in the units of the metrics."""
        numbers, y = predicted(self.loss, mean), self.y
        if self.units is not None:
            back = self.units.back(outputs_of(self.loss, mean, self.outputs[0]))
            numbers, y = self.loss.predicted(back), self.units.targets
        return read_numbers("y", y), numbers


def _rows_of(y: Any, outputs: int) -> int:
    """How many rows targets are of; those of several outputs are checked by their loss."""
    array = np.asarray(y[0] if outputs > 1 and isinstance(y, tuple | list) and len(y) else y)
    if array.ndim == 0:
        raise ShapeError("y", "must have targets for rows", f"shape `{array.shape}`")
    return len(array)


def metric_of(metric: str | None, loss: Loss, outputs: Sequence[int]) -> str:
    """The name of a measure that fits the loss and the outputs of networks."""
    if len(outputs) > 1:
        if metric is not None and metric != LOSS:
            raise ConfigError("metric", "must be `loss` for networks with several outputs", f"`{metric}`")
        return LOSS
    name = default_metric(loss) if metric is None else metric
    if name != LOSS:
        metric_named(name, loss, "labels" in loss.tasks and outputs[0] > 1)
    return name


def _of_labels(metric: Metric, p: Array, y: Array, weight: Array | None) -> float:
    """Of several labels a row."""
    each = None if weight is None else np.repeat(weight, p.shape[1])
    if metric.name == "accuracy":
        return float(metric.function(y.ravel(), p.ravel() > 0.5, sample_weight=each))
    if metric.kind == "probabilities":
        return float(
            metric.function(y.ravel(), np.stack([1.0 - p.ravel(), p.ravel()], 1), labels=[0, 1], sample_weight=each)
        )
    return float(metric.function(y, p if metric.kind == "scores" else p > 0.5, sample_weight=weight))


class _Whole:
    """The loss, as a network's that says what was averaged: one of no layers, for each output."""

    def __init__(self, loss: Loss, outputs: Sequence[int], dtype: Any, y: Any, rows: int, sample_weight: Any) -> None:
        self.parts = loss.parts
        widths: Any = outputs if len(outputs) > 1 else outputs[0]
        targets = loss.targets("y", y, rows, widths, dtype, sample_weight)
        self.targets = targets.parts or (targets,)
        self.nets = [Network([Identity()], inputs=count, dtype=dtype) for count in outputs]

    def score(self, means: Sequence[Array]) -> float:
        total = 0.0
        for (loss, weight), mean, net, targets in zip(self.parts, means, self.nets, self.targets, strict=True):
            x, top = arrays.training_rows("outputs", outputs_of(loss, mean, net.outputs), net.outputs, net.dtype)
            total += weight * net.evaluate_checked(loss, x, targets, top)
        return total
