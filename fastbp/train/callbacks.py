"""Callbacks: run after epochs, and after the calls of compiled code within one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from fastbp.errors import ConfigError, ConfigTypeError, brief, not_one_of
from fastbp.spec.checks import flag, from_zero, positive, real, takes, whole

if TYPE_CHECKING:
    from fastbp.train.history import History
    from fastbp.train.trainer import Trainer


class Callback:
    """Hooks of a fit: at its start, within and after each epoch, and at its end; they do nothing unless overridden.

    A plain function `f(trainer, history)` may stand for a callback that acts after each epoch. To end the fit, set
    `history.stopped` to the reason.
    """

    on_first: bool = False  # whether of several ranks the first alone has it, as it writes files

    def begin(self, trainer: Trainer, history: History) -> None:
        """Before the first epoch; `history.metrics` has the names that will be measured."""

    def chunk(self, trainer: Trainer, history: History) -> None:
        """After each call of compiled code within an epoch but the last, about 50 times a second."""

    def epoch(self, trainer: Trainer, history: History) -> None:
        """After an epoch and its validation."""

    def end(self, trainer: Trainer, history: History) -> None:
        """At the end of the fit, for whatever reason."""

    def state(self) -> dict[str, Any]:
        """Its state between epochs, as JSON data, so that a fit can be resumed in another process."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the result of `state`."""


class Function(Callback):
    """A function as a callback."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def epoch(self, trainer: Trainer, history: History) -> None:
        self.function(trainer, history)


TIES = ("first", "last")


class Monitor:
    """Watches one list of the history and tells whether its last number is the best so far.

    `mode` is "min", "max" or "auto", which depends on the metric; `ties` says which of equal numbers is the best.
    """

    def __init__(self, where: str, name: Any, mode: Any, min_delta: Any = 0.0, ties: Any = "first") -> None:
        if not isinstance(name, str):
            raise ConfigTypeError(f"{where}.monitor", "must be a name such as `val_loss`", f"`{brief(name)}`")
        if not isinstance(mode, str) or mode not in ("auto", "min", "max"):
            raise not_one_of(f"{where}.mode", mode, ("auto", "min", "max"))
        if ties not in TIES:
            raise not_one_of(f"{where}.ties", ties, TIES)
        self.where = where
        self.ties = ties
        self.name = name
        self.mode = mode
        self.min_delta = from_zero(f"{where}.min_delta", min_delta)
        self.best: float | None = None
        self._sign = 1.0

    def begin(self, trainer: Trainer, history: History) -> None:
        """Reset the best; refuse a name that will not be measured."""
        known = ["loss", *(["val_loss"] if trainer.validating else []), *history.metrics]
        if self.name == "val_loss" and not trainer.validating:
            raise ConfigError(
                f"{self.where}.monitor",
                "is `val_loss`, so `fit` must be given `validation`",
                hint=f'{self.where}(monitor="loss") watches the training loss',
            )
        if self.name not in known:
            raise not_one_of(f"{self.where}.monitor", self.name, known)
        self.best = None
        self._sign = -1.0 if self.higher else 1.0

    @property
    def upwards(self) -> bool:
        """Whether more is better; known once a fit has begun."""
        return self._sign < 0.0

    @property
    def higher(self) -> bool:
        """The same, by its name and mode."""
        if self.mode != "auto":
            return bool(self.mode == "max")
        if self.name in ("loss", "val_loss"):
            return False
        from fastbp.train.metrics import metric_named

        return metric_named(self.name.removeprefix("val_")).higher_is_better

    def improved(self, history: History) -> bool:
        """Whether the last number is better than the best by more than `min_delta`; NaN never is."""
        value = history[self.name][-1]
        limit = float("inf") if self.best is None else self._sign * self.best - self.min_delta
        better = self._sign * value < limit or (self.ties == "last" and self._sign * value == limit)
        if better:
            self.best = value
        return better


class EarlyStopping(Callback):
    """End the fit when what it watches has not improved for some epochs, and go back to the best parameters.

    Parameters
    ----------
    patience : int, >= 0
        The fit ends after so many epochs without improvement; 0 ends it as 1 does.
    min_delta : float, >= 0
        How much better counts as improvement.
    monitor : str
        "val_loss", "loss", or a metric of the fit such as "val_accuracy".
    restore_best : bool
        Whether the parameters of the best epoch are put back when the fit ends, also when it ends otherwise.
    mode : {"auto", "min", "max"}
        Which way is better.
    ties : {"first", "last"}
        Which of equally good epochs is the best: with "last" an equal number is an improvement, too.
    """

    def __init__(
        self,
        patience: int = 5,
        min_delta: float = 0.0,
        monitor: str = "val_loss",
        restore_best: bool = True,
        mode: str = "auto",
        ties: str = "first",
    ) -> None:
        self.patience = whole("EarlyStopping.patience", patience, 0)
        self.restore_best = flag("EarlyStopping.restore_best", restore_best)
        self._monitor = Monitor("EarlyStopping", monitor, mode, min_delta, ties)
        self.best_epoch = 0  # counted from 1

    @property
    def best(self) -> float | None:
        """What was watched, at its best."""
        return self._monitor.best

    def begin(self, trainer: Trainer, history: History) -> None:
        self._monitor.begin(trainer, history)
        self.best_epoch = 0
        self._kept: Any = None

    def epoch(self, trainer: Trainer, history: History) -> None:
        at = len(history.loss)
        if self._monitor.improved(history):
            self.best_epoch = at
            if self.restore_best:
                self._kept = trainer.snapshot(self._kept)
        elif at - self.best_epoch > self.patience - (self.patience > 0):
            history.stopped = f"`{self._monitor.name}` did not improve for {at - self.best_epoch} epochs"

    def end(self, trainer: Trainer, history: History) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            trainer.restore(kept)

    def state(self) -> dict[str, Any]:
        return {"best": self._monitor.best, "best_epoch": self.best_epoch}

    def load_state(self, state: dict[str, Any]) -> None:
        self._monitor.best, self.best_epoch = state["best"], state["best_epoch"]


class ReduceLROnPlateau(Callback):
    """Multiply the learning rate with a factor when what it watches has not improved for some epochs.

    The optimiser keeps the smaller rate after the fit. A schedule's factor, if there is one, comes on top.

    Parameters
    ----------
    factor : float, 0 < factor < 1
    patience : int, >= 0
        Epochs without improvement that are waited for; 0 waits as long as 1 does.
    min_lr : float, >= 0
        The rate is not made smaller than this.
    cooldown : int, >= 0
        Epochs after a reduction that are not counted.
    min_delta : float, >= 0
        How much better counts as improvement.
    monitor, mode : as for EarlyStopping
    """

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 10,
        min_lr: float = 0.0,
        cooldown: int = 0,
        min_delta: float = 1e-4,
        monitor: str = "val_loss",
        mode: str = "auto",
    ) -> None:
        self.factor = real("ReduceLROnPlateau.factor", factor)
        if not 0.0 < self.factor < 1.0:
            raise ConfigError("ReduceLROnPlateau.factor", "must be above 0 and below 1", f"`{self.factor}`")
        self.patience = whole("ReduceLROnPlateau.patience", patience, 0)
        self.min_lr = from_zero("ReduceLROnPlateau.min_lr", min_lr)
        self.cooldown = whole("ReduceLROnPlateau.cooldown", cooldown, 0)
        self._monitor = Monitor("ReduceLROnPlateau", monitor, mode, min_delta)

    def begin(self, trainer: Trainer, history: History) -> None:
        if not hasattr(trainer, "optimizer"):
            raise ConfigError(f"`ReduceLROnPlateau` needs a learning rate, which `{type(trainer).__name__}` has not")
        self._monitor.begin(trainer, history)
        self._waited = self._cooling = 0

    def epoch(self, trainer: Trainer, history: History) -> None:
        if self._monitor.improved(history):
            self._waited = 0
        elif self._cooling == 0:
            self._waited += 1
        if self._cooling:
            self._cooling -= 1
        if self._waited >= max(self.patience, 1):
            lr = trainer.optimizer.lr
            lower = max(lr * self.factor, self.min_lr)
            if lower < lr:
                trainer.optimizer = trainer.optimizer.slowed(lower)
            self._cooling, self._waited = self.cooldown, 0

    def state(self) -> dict[str, Any]:
        return {"best": self._monitor.best, "waited": self._waited, "cooling": self._cooling}

    def load_state(self, state: dict[str, Any]) -> None:
        self._monitor.best, self._waited, self._cooling = state["best"], state["waited"], state["cooling"]


class TimeBudget(Callback):
    """End the fit when its time is over, in the middle of an epoch if need be.

    What was trained of that epoch is validated and reported as an epoch of its own.

    Parameters
    ----------
    seconds : float, > 0
        From the beginning of the fit; a fit goes over it by one call of compiled code, 20 ms or a step if that takes
        longer, and what validation takes.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = positive("TimeBudget.seconds", seconds)
        self.spent = False  # whether it ended the last fit

    def begin(self, trainer: Trainer, history: History) -> None:
        self._deadline, self.spent = time.perf_counter() + self.seconds, False

    def chunk(self, trainer: Trainer, history: History) -> None:
        self.epoch(trainer, history)

    def epoch(self, trainer: Trainer, history: History) -> None:
        if time.perf_counter() >= self._deadline and not history.stopped:
            history.stopped = f"the time budget of {self.seconds:g} seconds is spent"
            self.spent = True


class running:
    """Every callback begins, in order, and those that have begun end, whatever happens inside and in the others.

    No generator, out of which a StopIteration could not come.
    """

    def __init__(self, hooks: Sequence[Callback], trainer: Any, history: History) -> None:
        self._hooks, self._given = hooks, (trainer, history)
        self._begun: list[Callback] = []

    def __enter__(self) -> None:
        try:
            for hook in self._hooks:
                hook.begin(*self._given)  # may raise, before anything has changed
                self._begun.append(hook)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for hook in reversed(self._begun):
                stack.callback(hook.end, *self._given)


def callback(value: Any) -> Callback:
    """A callback unchanged, or a function as one."""
    if isinstance(value, Callback):
        return value
    if callable(value) and not isinstance(value, type) and takes(value, 2):
        return Function(value)
    raise ConfigTypeError("callbacks", "must hold callbacks or functions f(trainer, history)", f"`{brief(value)}`")
