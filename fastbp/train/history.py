"""What a run leaves behind: one number a pass over the data for each thing that was measured."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class History:
    """Losses of a run, pass by pass.

    Attributes
    ----------
    loss : list of float
        Mean training loss of each pass over the data; of `run`, the last entry may be of a pass that is not complete.
    val_loss : list of float
        Loss on the validation rows after each epoch; empty without validation.
    steps : int
        Optimiser steps done.
    seconds : float
        Time they took, validation and callbacks included.
    samples : int
        Rows trained on.
    best_epoch : int or None
        Index of the epoch with the lowest `val_loss`, or `loss` without validation.
    stopped : str
        Why the run ended before its last epoch; empty if it did not.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    samples: int = 0
    stopped: str = ""

    def __getitem__(self, name: str) -> list[float]:
        if name not in ("loss", "val_loss"):
            raise KeyError(f"a history has `loss` and `val_loss`, got `{name}`")
        values: list[float] = getattr(self, name)
        return values

    @property
    def best_epoch(self) -> int | None:
        values = self.val_loss or self.loss
        known = [epoch for epoch, value in enumerate(values) if value == value]  # NaN is never the best
        return min(known, key=values.__getitem__) if known else None

    @property
    def samples_per_second(self) -> float:
        """Rows trained on per second."""
        return self.samples / self.seconds if self.seconds else 0.0

    def __repr__(self) -> str:
        last = f", loss={self.loss[-1]:.6g}" if self.loss else ""
        if self.val_loss:
            last += f", val_loss={self.val_loss[-1]:.6g}"
        return f"History(passes={len(self.loss)}, steps={self.steps}{last}, seconds={self.seconds:.3g})"
