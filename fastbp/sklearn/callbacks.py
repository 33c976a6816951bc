"""What an estimator does between epochs: it prints a line, and calls the callbacks of scikit-learn.

In scikit-learn 1.9 a fit is a task whose subtasks are its epochs. A callback that asks for the fitted estimator gets a
copy that is made when it asks, and one that does not costs nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastbp.train.callbacks import Callback

if TYPE_CHECKING:
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


__all__ = ["CallbackSupportMixin", "Lines", "Tasks", "with_callbacks"]

LINES = 20  # printed in a fit, about


class Lines(Callback):
    """Prints some epochs, the first and the last among them."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.every = max(1, epochs // LINES)

    def begin(self, trainer: Trainer, history: History) -> None:
        self._said = 0

    def epoch(self, trainer: Trainer, history: History) -> None:
        at = len(history.loss)
        if at == 1 or at % self.every == 0:
            self._print(history)

    def end(self, trainer: Trainer, history: History) -> None:
        if len(history.loss) > self._said:
            self._print(history)
        if history.stopped:
            print(f"stopped: {history.stopped}")

    def _print(self, history: History) -> None:
        at = self._said = len(history.loss)
        values = "  ".join(f"{name} {history[name][-1]:.4g}" for name in history.names)
        print(f"epoch {at}/{self.epochs}  {values}", flush=True)


class Tasks(Callback):
    """Tells the callbacks of scikit-learn of each epoch, and stops if one of them says so."""

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        self.estimator, self.given = estimator, {"X": X, "y": y}
        if sample_weight is not None:
            self.given["metadata"] = {"sample_weight": sample_weight}
        self.context: Any = None
        if hasattr(estimator, "_skl_callbacks"):
            self.context = estimator._init_callback_context(max_subtasks=estimator.epochs)

    def call(self, context: Any, moment: str, trainer: Trainer | None = None) -> bool:
        """Call the hooks of a task: "begin", or "end" with the estimator as it is now."""

        def fitted() -> dict[str, Any]:
            assert trainer is not None
            return {"network_": copy.copy(trainer.evaluated)}

        hook = getattr(context, f"call_on_fit_task_{moment}")
        now = {} if trainer is None else {"reconstruction_attributes": fitted}
        return hook(estimator=self.estimator, **self.given, **now) is True

    def begin(self, trainer: Trainer, history: History) -> None:
        if self.context is not None:
            self.call(self.context, "begin")
            self._next(history)

    def _next(self, history: History) -> None:
        self._epoch: Any = self.context.subcontext(task_name="epoch")
        self.call(self._epoch, "begin")

    def epoch(self, trainer: Trainer, history: History) -> None:
        if self.context is None:
            return
        if self.call(self._epoch, "end", trainer):
            history.stopped = history.stopped or "a callback stopped it"
        if not history.stopped and len(history.loss) < self.estimator.epochs:
            self._next(history)

    def finish(self, trainer: Trainer) -> None:
        """The end of the fit, when the estimator is what it will be."""
        if self.context is not None:
            self.call(self.context, "end", trainer)
