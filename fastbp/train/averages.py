"""What several networks say together: means of what their outputs stand for, and the outputs that would say the same.

    loss                    averaged are             outputs of one that says the same
    cross_entropy           softmax z                log p
    binary_cross_entropy    σ z                      log p - log (1 - p)
    gaussian_nll            m and m² + exp s         m and log (E(m² + exp s) - m²)
    poisson                 exp z                    log of it
    any other               z                        z

With weights w the mean after each member is μ ← μ + (x - μ) w / Σ w, in float64 and in the order of the members, so it
has the same bits wherever their outputs have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.numerics.exact import log
from fastbp.numerics.likely import sigmoid, softmax
from fastbp.spec.losses import Loss
from fastbp.train.metrics.raw import two_columns

Array = NDArray[Any]
LEAST = float(np.finfo(np.float64).tiny)  # of a probability or variance, so that its logarithm is finite


def probable(loss: Loss) -> bool:
    """Whether outputs stand for probabilities."""
    return "probabilities" in loss.metrics


def averaged(loss: Loss, z: Array) -> Array:
    """What is averaged: (rows, K) in and out, but for two classes of one output, and two columns of each deviation."""
    z = z.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # outputs that are not finite say nothing, which is no number
        if probable(loss):
            return sigmoid(z) if "labels" in loss.tasks else softmax(two_columns(z))
        numbers, deviations = loss.predicted(z), loss.deviations(z)
        return numbers if deviations is None else np.hstack([numbers, numbers**2 + deviations**2])


def predicted(loss: Loss, mean: Array) -> Array:
    """The predictions among what was averaged: probabilities or numbers."""
    return mean[:, : mean.shape[1] // loss.outputs_per_target]


def tempered(loss: Loss, mean: Array, temperature: float) -> Array:
    """Probabilities whose logits are those of these, divided by a temperature."""
    return mean if temperature == 1.0 else averaged(loss, outputs_of(loss, mean, mean.shape[1]) / temperature)


def outputs_of(loss: Loss, mean: Array, outputs: int) -> Array:
    """So many outputs of one network that says what these means say, as float64."""
    if probable(loss):
        z = log(np.maximum(mean, LEAST))
        if "labels" in loss.tasks:
            return np.asarray(z - log(np.maximum(1.0 - mean, LEAST)))
        return np.asarray(z if outputs > 1 else z[:, 1:] - z[:, :1])
    numbers = predicted(loss, mean)
    if loss.outputs_per_target == 1:
        return np.asarray(loss.outputs_for(numbers))
    variance = np.maximum(mean[:, numbers.shape[1] :] - numbers**2, LEAST)
    return np.hstack([numbers, log(variance)])


class Average:
    """The weighted mean over members, and the standard deviation of their predictions.

    Parameters
    ----------
    loss : Loss
        That of this output of the networks.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self.total = 0.0
        self.mean: Array = np.zeros((1, 1))
        self._squares: Array = np.zeros((1, 1))

    def add(self, z: Array, weight: float = 1.0) -> None:
        """Add the outputs of the next member."""
        if weight == 0.0:
            return
        self.total += weight
        found = averaged(self.loss, z)
        with np.errstate(over="ignore", invalid="ignore"):
            away = found - self.mean
            self.mean = self.mean + away * weight / self.total
            self._squares = self._squares + predicted(self.loss, weight * (away * (found - self.mean)))

    def temper(self, temperature: float) -> None:
        """Divide the logits of the mean by a temperature; the spread stays that of the members."""
        self.mean = tempered(self.loss, self.mean, temperature)

    @property
    def predictions(self) -> Array:
        """Means of probabilities or numbers."""
        return predicted(self.loss, self.mean)

    @property
    def spread(self) -> Array:
        """Their standard deviation."""
        return np.sqrt(self._squares / self.total)


def moments(loss: Loss, outputs: Iterable[Array], dtype: Any) -> tuple[Array, Array]:
    """Mean and standard deviation over members of what their outputs, (rows, K), stand for."""
    average = Average(loss)
    for z in outputs:
        average.add(z)
    return average.predictions.astype(dtype), average.spread.astype(dtype)
