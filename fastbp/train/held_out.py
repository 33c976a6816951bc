"""Validation rows, and measures on them after each epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.engine.threads import chosen
from fastbp.errors import ConfigError, ConfigTypeError, DataError, brief
from fastbp.lowering.plans import team_sizes, work_of
from fastbp.model.feed import Feed, evaluated
from fastbp.model.network import EVALUATION_ROWS, Network
from fastbp.spec.losses import Loss
from fastbp.spec.windows import Windows, sample_of
from fastbp.train.calls import Pace
from fastbp.train.history import History
from fastbp.train.metrics import evaluate, metric_named


@dataclass(frozen=True)
class Units:
    """The units of metrics, where a network is trained on other numbers, such as scaled ones or logarithms.

    Attributes
    ----------
    back : callable
        From outputs of the network to the same in these units.
    targets : array, shape (rows, numbers)
        Of the validation rows, in these units.
    """

    back: Callable[[Any], Any]
    targets: Any


@dataclass(frozen=True)
class HeldOut:
    """Validation rows: `checked` for the loss, `y` and `weights` as given; metrics `names` are taken in `units`.

    Of rows that stay in files, metrics are of `some`, to which `y` and `weights` belong.
    """

    loss: Loss
    checked: Any
    y: Any
    weights: Any
    pace: Pace
    units: Units | None = None
    names: tuple[str, ...] = ()
    some: Any = None

    def measure(self, net: Network, history: History) -> None:
        """Append loss and metrics of `net` to the history."""
        begun = time.perf_counter()
        loss = self.loss_of(net)
        found = self.metrics(net, [name.removeprefix("val_") for name in history.metrics])
        history.val_loss.append(loss)  # when all are known
        for name, values in history.metrics.items():
            values.append(found[name.removeprefix("val_")])
        self.pace.learn(1, time.perf_counter() - begun)

    def loss_of(self, net: Network) -> float:
        """The loss of `net` over the rows."""
        x, t, top = self.checked
        if isinstance(x, Feed):
            return evaluated(net, self.loss, x, self.pace.threads)
        return net.evaluate_checked(self.loss, x, t, top, self.pace.threads)

    def outputs_of(self, net: Network) -> Any:
        """The outputs of `net` for the rows."""
        return net.predict(self.rows(), threads=self.pace.threads)

    def rows(self) -> Any:
        """The rows that metrics are taken on."""
        return self.checked[0] if self.some is None else self.some

    def metrics(self, net: Network, names: Sequence[str]) -> dict[str, float]:
        """Metrics of `net` by name."""
        return self.of_outputs(self.outputs_of(net), names) if names else {}

    def of_outputs(self, outputs: Any, names: Sequence[str]) -> dict[str, float]:
        """Metrics of a network that has these outputs for the rows."""
        y, weights = np.asarray(self.y), self.weights
        ignored = getattr(self.loss, "ignore_index", None)
        if ignored is not None and y.size == len(outputs):
            kept = y.reshape(-1) != ignored
            outputs, y = outputs[kept], y.reshape(-1)[kept]
            weights = None if weights is None else np.asarray(weights)[kept]
        if self.units is not None:
            outputs, y = self.units.back(outputs), self.units.targets
        return {name: evaluate(name, outputs, y, weights, loss=self.loss) for name in names}


def held_out_of(
    net: Network, loss: Loss, validation: Any, metrics: Any, units: Units | None = None, threads: int | None = None
) -> HeldOut | None:
    """Check the `validation` of `fit`; None without one."""
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise ConfigTypeError("metrics", "must be a list of names", f"`{brief(metrics)}`")
    if metrics and len(net.graph.heads) > 1:
        raise ConfigError("metrics", "must be empty for a network with several outputs")
    several = "labels" in loss.tasks and net.outputs > 1
    for name in metrics:
        metric_named(name, loss, several)
    if validation is None:
        if metrics:
            raise ConfigError("`metrics` are taken on validation rows, so `fit` must be given `validation`")
        return None
    if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
        what = type(validation).__name__
        got = f"`{what}` of {len(validation)}" if isinstance(validation, tuple | list) else f"`{what}`"
        raise ConfigTypeError(
            "validation", "must be (X, y), (X, y, sample_weight) or a part of the rows such as 0.2", got
        )
    X, y, *rest = validation
    weights = rest[0] if rest else None
    some = None
    try:
        if isinstance(X, Windows):
            checked: Any = Feed(net, loss, X, y, weights, EVALUATION_ROWS, None), None, 0
            some, y, weights = sample_of(X, y, weights)
        else:
            checked = net.checked(X, y, loss, weights)
        pace = Pace(*team_sizes(work_of(net.graph, min(len(checked[0]), EVALUATION_ROWS)), chosen(threads)))
        held_out = HeldOut(loss, checked, y, weights, pace, units, tuple(metrics), some)
        held_out.metrics(net, metrics)  # fail before training if a metric does not fit these rows
    except (DataError, ConfigError) as error:
        raise error.at(place="validation") from None
    return held_out


def as_before(history: History, held_out: HeldOut | None) -> None:
    """Refuse a fit that goes on if it would measure what its first epochs have not."""
    if held_out is None:
        return
    known = [name.removeprefix("val_") for name in history.metrics]
    new = [name for name in held_out.names if name not in known]
    if not history.loss:
        history.metrics.update({f"val_{name}": [] for name in new})
    elif new:
        listed = ", ".join(f"`{name}`" for name in known) or "none"
        raise ConfigError("metrics", f"must be among those of `history`, {listed}", f"`{new[0]}`")
    elif len(history.val_loss) < len(history.loss) - 1:
        raise ConfigError("`validation` must be left out, as `history` has epochs without a `val_loss`")
