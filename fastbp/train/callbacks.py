"""What runs between epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastbp.errors import ConfigError, ConfigTypeError, not_one_of
from fastbp.model.layers import flag, real, whole

if TYPE_CHECKING:
    from fastbp.train.history import History
    from fastbp.train.trainer import Trainer


class Callback:
    """Something to do when a fit begins, after each epoch, and when it ends; each does nothing unless overridden.

    A plain function `f(trainer, history)` may stand for a callback that acts after each epoch. To end the fit, set
    `history.stopped` to the reason.
    """

    def begin(self, trainer: Trainer, history: History) -> None:
        """Before the first epoch."""

    def epoch(self, trainer: Trainer, history: History) -> None:
        """After an epoch and its validation."""

    def end(self, trainer: Trainer, history: History) -> None:
        """After the last epoch, however it came about."""


class Function(Callback):
    """A function as a callback."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def epoch(self, trainer: Trainer, history: History) -> None:
        self.function(trainer, history)


class EarlyStopping(Callback):
    """End the fit when what it watches has not improved for some epochs, and go back to the best parameters.

    Parameters
    ----------
    patience : int, >= 0
        The fit ends after so many epochs without improvement; 0 ends it as 1 does.
    min_delta : float, >= 0
        How much lower counts as improvement.
    monitor : {"val_loss", "loss"}
    restore_best : bool
        Whether the parameters of the best epoch are put back when the fit ends, also when it ends otherwise.
    """

    def __init__(
        self, patience: int = 5, min_delta: float = 0.0, monitor: str = "val_loss", restore_best: bool = True
    ) -> None:
        self.patience = whole("EarlyStopping.patience", patience, 0)
        self.min_delta = real("EarlyStopping.min_delta", min_delta)
        if self.min_delta < 0.0:
            raise ConfigError(f"`EarlyStopping.min_delta` must be at least 0, got `{self.min_delta}`")
        if not isinstance(monitor, str) or monitor not in ("val_loss", "loss"):
            raise not_one_of("EarlyStopping.monitor", monitor, ("val_loss", "loss"))
        self.monitor = monitor
        self.restore_best = flag("EarlyStopping.restore_best", restore_best)

    def begin(self, trainer: Trainer, history: History) -> None:
        if self.monitor == "val_loss" and not trainer.validating:
            raise ConfigError(
                "`EarlyStopping.monitor` is `val_loss`, so `fit` must be given `validation`\n"
                'hint: EarlyStopping(monitor="loss") watches the training loss'
            )
        self.best = float("inf")
        self.best_epoch = -1
        self._kept: Any = None

    def epoch(self, trainer: Trainer, history: History) -> None:
        value = history[self.monitor][-1]
        at = len(history.loss) - 1
        if value < self.best - self.min_delta:
            self.best, self.best_epoch = value, at
            if self.restore_best:
                self._kept = trainer.snapshot(self._kept)
        elif at - self.best_epoch > self.patience - (self.patience > 0):
            history.stopped = f"`{self.monitor}` did not improve for {at - self.best_epoch} epochs"

    def end(self, trainer: Trainer, history: History) -> None:
        if self._kept is not None:
            trainer.restore(self._kept)


def callback(value: Any) -> Callback:
    """A callback as it is, a function made into one."""
    if isinstance(value, Callback):
        return value
    if callable(value) and not isinstance(value, type):
        return Function(value)
    raise ConfigTypeError(f"`callbacks` must hold callbacks or functions f(trainer, history), got `{value!r}`")
