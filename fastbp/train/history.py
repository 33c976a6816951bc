"""The history of a run: one number for each epoch and measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastbp.pictures.curves import Beside, curves
from fastbp.pictures.page import clean
from fastbp.pictures.picture import Picture


@dataclass
class History:
    """Losses and metrics of a run, epoch by epoch.

    By name it has lists, ``history["val_loss"]`` or ``history.val_accuracy``, and ``dict(history)`` all of them. As a
    sequence it has a dict for each epoch, so ``pandas.DataFrame(history)`` is a table with a row for each.

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

    def keys(self) -> list[str]:
        """What there is a list of."""
        return [*self.names, *(["lr"] if self.lr else [])]

    def __len__(self) -> int:
        return len(self.loss)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The epochs, counted from 1, with their numbers; None where one was not measured any more."""
        columns = {name: self[name] for name in self.keys()}
        for at in range(len(self.loss)):
            numbers = {name: values[at] if at < len(values) else None for name, values in columns.items()}
            yield {"epoch": at + 1, **numbers}

    def __getattr__(self, name: str) -> list[float]:
        metrics: dict[str, list[float]] = vars(self).get("metrics", {})  # not there yet while it is unpickled
        if name in metrics:
            return metrics[name]
        raise AttributeError(f"a history has {_listed(metrics)}, got `{name}`", name=name, obj=self)

    def __getitem__(self, name: str) -> list[float]:
        if name in ("loss", "val_loss", "lr"):
            values: list[float] = getattr(self, name)
            return values
        if name not in self.metrics:
            raise KeyError(f"a history has {_listed(self.metrics)}, got `{name}`")
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

    def plot(self) -> Picture:
        """The curves of losses and metrics, with the best epoch.

        Returns
        -------
        Picture
            Notebooks show it, ``history.plot().save("curves.svg")`` writes it.
        """
        return Picture(curves(list(self), Beside(best=self.best_epoch)))

    def _repr_html_(self) -> str:
        return f"<div><code>{clean(repr(self))}</code><br/>\n{self.plot()}</div>"

    def __repr__(self) -> str:
        last = f", loss={self.loss[-1]:.6g}" if self.loss else ""
        if self.val_loss:
            last += f", val_loss={self.val_loss[-1]:.6g}"
        last += "".join(f", {name}={values[-1]:.6g}" for name, values in self.metrics.items() if values)
        return f"History(epochs={len(self.loss)}, steps={self.steps}{last}, seconds={self.seconds:.3g})"


def _listed(metrics: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in ("loss", "val_loss", "lr", *metrics))
