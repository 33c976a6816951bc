"""What outputs stand for and what several networks say together, in gates: `fastbp.train.averages`, for elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.autodiff.functions import sigmoid
from fastbp.export.model import Model
from fastbp.spec.class_losses import log_sum_exp
from fastbp.spec.losses import Loss
from fastbp.train.averages import probable
from fastbp.train.ensemble_models import Scale

# Predicted numbers of outputs, by the kind of loss: of any other they are the outputs.
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "poisson": lambda z: np.exp(z),
    "gaussian_nll": lambda z: z[:, : z.shape[1] // 2],
}
# Their standard deviations, where outputs have them.
DEVIATIONS: dict[str, Callable[[Any], Any]] = {"gaussian_nll": lambda z: np.exp(0.5 * z[:, z.shape[1] // 2 :])}


@dataclass
class Said:
    """What one head says of a row.

    Attributes
    ----------
    means : Tracer
        Probabilities, of two classes two, or numbers as the networks have them.
    deviations : Tracer or None
        Predicted standard deviations of numbers.
    """

    means: Any
    deviations: Any = None


def said(loss: Loss, z: Any) -> Said:
    """What the outputs of one network stand for."""
    if not probable(loss):
        deviations = DEVIATIONS.get(loss.kind)
        return Said(NUMBERS.get(loss.kind, lambda z: z)(z), None if deviations is None else deviations(z))
    if "labels" in loss.tasks:
        return Said(sigmoid(z))
    return Said(np.concatenate([sigmoid(-z), sigmoid(z)], axis=1) if z.shape[1] == 1 else softmax(z))


def together(model: Model, each: list[list[Any]]) -> list[Said]:
    """What all members say: `each` has the outputs of each of them, one for each head."""
    assert model.loss is not None
    found = []
    for head, (loss, _) in enumerate(model.loss.parts):
        parts = []
        for member, outputs in zip(model.members, each, strict=True):
            z = outputs[head] if member.scale is None else _to_first(member.scale, outputs[head])
            parts.append((member.weight, said(loss, z)))
        found.append(_mean(loss, parts, model.temperature))
    return found


def _mean(loss: Loss, parts: list[tuple[float, Said]], temperature: float) -> Said:
    mean = _total([weight * one.means for weight, one in parts])
    if temperature != 1.0:
        mean = said(loss, logits(loss, mean) / temperature).means
    if parts[0][1].deviations is None or len(parts) == 1:
        return Said(mean, parts[0][1].deviations)
    squares = _total([weight * (one.means**2 + one.deviations**2) for weight, one in parts])
    return Said(mean, np.sqrt(np.maximum(squares - mean**2, _least(mean))))


def _total(parts: list[Any]) -> Any:
    found = parts[0]
    for part in parts[1:]:
        found = found + part
    return found


def softmax(z: Any) -> Any:
    """Probabilities of classes."""
    return np.exp(z - log_sum_exp(z))


def _least(x: Any) -> float:
    """The least number with all its digits."""
    return float(np.finfo(x.dtype).tiny)


def logits(loss: Loss, p: Any) -> Any:
    """Outputs that say these probabilities."""
    z = np.log(np.maximum(p, _least(p)))
    return z - np.log(np.maximum(1.0 - p, _least(p))) if "labels" in loss.tasks else z


def _to_first(scale: Scale, z: Any) -> Any:
    """Outputs on the scale of the first member; behind the numbers there may be log variances."""
    width = len(scale.center)
    numbers = z[:, :width] * (scale.spread / scale.first_spread)
    numbers = numbers + (scale.center - scale.first_center) / scale.first_spread
    if z.shape[1] == width:
        return numbers
    return np.concatenate([numbers, z[:, width:] + 2.0 * np.log(scale.spread / scale.first_spread)], axis=1)
