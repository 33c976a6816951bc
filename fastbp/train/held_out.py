"""Rows that are not trained on, and what is measured on them after each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastbp.errors import ConfigError, ConfigTypeError, DataError
from fastbp.model.losses import Loss
from fastbp.model.network import Network
from fastbp.train.history import History
from fastbp.train.metrics import evaluate, metric_named


@dataclass(frozen=True)
class HeldOut:
    """Validation rows: `checked` as the loss takes them, `y` and `weights` as they came."""

    loss: Loss
    checked: Any
    y: Any
    weights: Any

    def measure(self, net: Network, history: History) -> None:
        """Add loss and metrics of `net` to the history."""
        history.val_loss.append(net.evaluate_checked(self.loss, *self.checked))
        if history.metrics:
            outputs = net.predict(self.checked[0])
            for name, values in history.metrics.items():
                values.append(evaluate(name.removeprefix("val_"), outputs, self.y, self.weights, loss=self.loss.kind))


def held_out_of(net: Network, loss: Loss, validation: Any, metrics: Any) -> HeldOut | None:
    """Check what `fit` was told to validate on; None where it was not."""
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise ConfigTypeError(f"`metrics` must be a list of names, got `{metrics!r}`")
    several = loss.kind == "binary_cross_entropy" and net.outputs > 1
    for name in metrics:
        metric_named(name, loss.kind, several)
    if validation is None:
        if metrics:
            raise ConfigError("`metrics` are taken on validation rows, so `fit` must be given `validation`")
        return None
    if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
        what = type(validation).__name__
        got = f"`{what}` of {len(validation)}" if isinstance(validation, tuple | list) else f"`{what}`"
        raise ConfigTypeError(f"`validation` must be (X, y) or (X, y, sample_weight), got {got}")
    X, y, *rest = validation
    weights = rest[0] if rest else None
    try:
        return HeldOut(loss, net.checked(X, y, loss, weights), y, weights)
    except DataError as error:
        raise type(error)(f"validation: {error}") from None
