"""What an estimator does between epochs: it prints a line, and calls the callbacks of scikit-learn.

In scikit-learn 1.9 a fit is a task whose subtasks are its epochs. A callback that asks for the fitted estimator gets a
copy that is made when it asks, and one that does not costs nothing. Several networks have epochs of their own, so there
a fit is a task without subtasks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastbp.errors import ConfigError
from fastbp.train.callbacks import Callback, Function

if TYPE_CHECKING:
    from fastbp.train.held_out import HeldOut
    from fastbp.train.history import History
    from fastbp.train.trainer import Trainer

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands where scikit-learn has no callbacks."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """The method itself."""
        return method


__all__ = ["CallbackSupportMixin", "Lines", "Scores", "Tasks", "Watched", "with_callbacks"]

LINES = 20  # printed in a fit, about
PREDICTING = ("network_", "ensemble_")  # what an estimator predicts with


class Lines(Callback):
    """Prints some epochs, the first and the last among them; of one of several networks, which is named, the last."""

    def __init__(self, epochs: int, name: str = "") -> None:
        self.epochs, self.name = epochs, name
        self.every = max(1, epochs // LINES)

    def begin(self, trainer: Trainer, history: History) -> None:
        self._said = 0

    def epoch(self, trainer: Trainer, history: History) -> None:
        at = len(history.loss)
        if not self.name and (at == 1 or at % self.every == 0):
            self._print(history)

    def end(self, trainer: Trainer, history: History) -> None:
        if len(history.loss) > self._said:
            self._print(history)
        if history.stopped and not self.name:
            print(f"stopped: {history.stopped}")

    def _print(self, history: History) -> None:
        at = self._said = len(history.loss)
        values = "  ".join(f"{name} {history[name][-1]:.4g}" for name in history.names)
        print(f"{self.name}{'  ' * bool(self.name)}epoch {at}/{self.epochs}  {values}", flush=True)


class Scores(Callback):
    """Takes metrics of one of several networks on the rows that decide when it stops."""

    def __init__(self, held_out: HeldOut, metrics: Sequence[str]) -> None:
        self.held_out, self.metrics = held_out, metrics

    def begin(self, trainer: Trainer, history: History) -> None:
        history.metrics.update((f"val_{name}", []) for name in self.metrics)

    def epoch(self, trainer: Trainer, history: History) -> None:
        for name, value in self.held_out.metrics(trainer.evaluated, self.metrics).items():
            history.metrics[f"val_{name}"].append(value)


class Watched(Callback):
    """A user's callback at one of several networks: a copy of it, or the same function.

    Members of a pack take their steps in one region, so a trainer may take none besides.
    """

    def __init__(self, own: Callback) -> None:
        self.own = own if isinstance(own, Function) else copy.deepcopy(own)

    def _call(self, moment: str, trainer: Trainer, history: History) -> None:
        before = trainer.steps_done
        getattr(self.own, moment)(trainer, history)
        if trainer.steps_done != before:
            raise ConfigError("`callbacks` must not train the trainer that they get where there are several networks")

    def begin(self, trainer: Trainer, history: History) -> None:
        self._call("begin", trainer, history)

    def chunk(self, trainer: Trainer, history: History) -> None:
        self._call("chunk", trainer, history)

    def epoch(self, trainer: Trainer, history: History) -> None:
        self._call("epoch", trainer, history)

    def end(self, trainer: Trainer, history: History) -> None:
        self.own.end(trainer, history)


class Tasks(Callback):
    """Tells the callbacks of scikit-learn of each epoch, and stops if one of them says so."""

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any, alone: bool) -> None:
        self.estimator, self.given = estimator, {"X": X, "y": y}
        if sample_weight is not None:
            self.given["metadata"] = {"sample_weight": sample_weight}
        self.context: Any = None
        if hasattr(estimator, "_skl_callbacks"):
            self.context = estimator._init_callback_context(max_subtasks=estimator.epochs if alone else 0)

    def call(self, context: Any, moment: str) -> bool:
        """Call the hooks of a task: "begin", or "end" with the estimator as it is now."""
        now = {"reconstruction_attributes": self._fitted} if moment == "end" else {}
        return getattr(context, f"call_on_fit_task_{moment}")(estimator=self.estimator, **self.given, **now) is True

    def _fitted(self) -> dict[str, Any]:
        """What the estimator predicts with, as it is now."""
        return {name: copy.copy(own) for name, own in vars(self.estimator).items() if name in PREDICTING}

    def start(self) -> None:
        """The beginning of the fit."""
        if self.context is not None:
            self.call(self.context, "begin")

    def begin(self, trainer: Trainer, history: History) -> None:
        if self.context is not None:
            self._next(history)

    def _next(self, history: History) -> None:
        self._epoch: Any = self.context.subcontext(task_name="epoch")
        self.call(self._epoch, "begin")

    def epoch(self, trainer: Trainer, history: History) -> None:
        if self.context is None:
            return
        if self.call(self._epoch, "end"):
            history.stopped = history.stopped or "a callback stopped it"
        if not history.stopped and len(history.loss) < self.estimator.epochs:
            self._next(history)

    def finish(self) -> None:
        """The end of the fit, when the estimator is what it will be."""
        if self.context is not None:
            self.call(self.context, "end")
