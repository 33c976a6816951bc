"""How good averaged predictions are on rows whose targets are known: the loss of what they say, or a metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
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
from fastbp.train.averages import LEAST, averaged, outputs_of, predicted, probable
from fastbp.train.held_out import Units
from fastbp.train.metrics import CALIBRATED, Metric, fitting, metric_named
from fastbp.train.metrics.inputs import read_numbers, read_weights
from fastbp.train.metrics.raw import labels_of

Array = NDArray[Any]
LOSS = "loss"
EPS = float(np.finfo(np.float64).eps)
FACTORS = 16  # of a product that is at least EPS**16, which is above the smallest normal number
AT_ONCE = 1 << 20  # numbers


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
        self._own = False
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
        self._own = self.name == "log_loss"  # it asks for the probability of what is true only

    def ready(self, means: Sequence[Array]) -> list[Array]:
        """The part of what was averaged that counts; means of it are that part of the means."""
        if len(means[0]) != self.rows:
            raise ShapeError("y", f"must have the {len(means[0])} rows of X", f"`{self.rows}`")
        if self.name == LOSS:
            return list(means)
        (mean,) = means
        mean = mean if self._kept is None else mean[self._kept]
        if not self._own:
            return [mean]
        if "classes" in self.loss.tasks:
            return [mean[np.arange(len(mean)), self.y]]
        return [np.where(self.y.reshape(mean.shape) == 1, mean, 1.0 - mean).ravel()]

    def each(self, ready: Iterable[Sequence[Array]]) -> list[float]:
        """The measure of each that is ready."""
        if not self._own:
            return [self._of_ready(means) for means in ready]
        some = iter(ready)
        found: list[float] = []
        while block := list(islice(some, max(1, AT_ONCE // max(self.rows, 1)))):
            found += self._log_losses(np.stack([means[0] for means in block])).tolist()
        return found

    def _of_ready(self, means: Sequence[Array]) -> float:
        if self.name == LOSS:
            return self._whole.score(means)
        try:
            return self._metric(means[0])
        except DataError as error:
            raise error.at(where="y" if error.where == "y_true" else error.where) from None

    def _log_losses(self, own: Array) -> Array:
        """The log losses of probabilities of what is true, (candidates, elements).

        Without weights the logarithm is taken of products of 16: of elements at m, 2 m and so on, m a sixteenth of all.
        """
        own = np.clip(own, EPS, 1.0 - EPS)
        if self.weight is not None:
            each = np.repeat(self.weight, own.shape[1] // len(self.weight))
            return np.asarray(np.average(-log(own), axis=1, weights=each))
        count = own.shape[1]
        products = np.ones((len(own), -(-count // FACTORS)))
        for first in range(0, count, products.shape[1]):
            some = own[:, first : first + products.shape[1]]
            products[:, : some.shape[1]] *= some
        return np.asarray(-log(products).sum(axis=1) / count)

    def score(self, means: Sequence[Array]) -> float:
        """The measure of what was averaged: an array, as of `averaged`, for each output of the networks."""
        return self.each([self.ready(means)])[0]

    def tried(self) -> Judge:
        """Itself, once it has measured outputs of 0: what a metric refuses of these targets is refused now."""
        if self.name != LOSS:
            self.score([averaged(self.loss, np.zeros((self.rows, self.outputs[0])))])
        return self

    def worth(self, score: float) -> float:
        """A score such that more is better; a NaN is worth nothing."""
        return -np.inf if np.isnan(score) else score if self.upwards else -score

    def _metric(self, mean: Array) -> float:
        metric, weight = self.metric, self.weight
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
        if metric.name == CALIBRATED:
            p = log(np.maximum(p, LEAST))
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
    if not len(array):
        raise ShapeError("y", "must not be empty", f"shape `{array.shape}`")
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
        both = np.stack([1.0 - p.ravel(), p.ravel()], 1)
        both = log(np.maximum(both, LEAST)) if metric.name == CALIBRATED else both
        return float(metric.function(y.ravel(), both, labels=[0, 1], sample_weight=each))
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
