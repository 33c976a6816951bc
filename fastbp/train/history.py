"""The history of a run: one number for each epoch and measure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class History:
    """Losses and metrics of a run, epoch by epoch.

    Attributes
    ----------
    loss : list of float
        Training loss of each epoch; of `run`, the last entry may be of an epoch that is not complete.
    val_loss : list of float
        Loss on the validation rows after each epoch; empty without validation.
    lr : list of float
        Learning rate of the last step of each epoch.
    metrics : dict of list
        Metrics on the validation rows after each epoch, by names such as "val_accuracy".
    steps : int
        Optimiser steps done.
    seconds : float
        Time they took, validation and callbacks included.
    samples : int
        Rows trained on.
    best_epoch : int or None
        The epoch with the lowest `val_loss`, or `loss` without validation, counted from 1.
    first_step : int
        Optimiser steps that the trainer had done before.
    stopped : str
        Why the run ended early; empty if it did not.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    samples: int = 0
    first_step: int = 0
    stopped: str = ""

    @property
    def names(self) -> list[str]:
        """Names of the measures."""
        return ["loss", *(["val_loss"] if self.val_loss else []), *self.metrics]

    def __getitem__(self, name: str) -> list[float]:
        if name in ("loss", "val_loss", "lr"):
            values: list[float] = getattr(self, name)
            return values
        if name not in self.metrics:
            known = ", ".join(f"`{n}`" for n in ("loss", "val_loss", "lr", *self.metrics))
            raise KeyError(f"a history has {known}, got `{name}`")
        return self.metrics[name]

    @property
    def best_epoch(self) -> int | None:
        values = self.val_loss or self.loss
        known = [(value, epoch) for epoch, value in enumerate(values, 1) if value == value]  # NaN is never the best
        return min(known)[1] if known else None

    @property
    def samples_per_second(self) -> float:
        """Rows trained on per second."""
        return self.samples / self.seconds if self.seconds else 0.0

    def __repr__(self) -> str:
        last = f", loss={self.loss[-1]:.6g}" if self.loss else ""
        if self.val_loss:
            last += f", val_loss={self.val_loss[-1]:.6g}"
        last += "".join(f", {name}={values[-1]:.6g}" for name, values in self.metrics.items() if values)
        return f"History(epochs={len(self.loss)}, steps={self.steps}{last}, seconds={self.seconds:.3g})"
