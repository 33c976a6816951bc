"""A network that a run trains: what watches it, and its best epoch."""

from __future__ import annotations

from typing import Any

from fastbp.config.build import LBFGSSettings, Plan
from fastbp.errors import ConfigError
from fastbp.model.network import Network
from fastbp.runs.checkpoint import Checkpoint
from fastbp.train.callbacks import Callback, EarlyStopping, Monitor, ReduceLROnPlateau
from fastbp.train.history import History


class Watched(Callback):
    """Keeps the best epoch of a fit, and where it goes on.

    Attributes
    ----------
    monitor : Monitor
        Of the run's measure.
    others : dict of str to Callback
        What else watches it, by its key of `trainer`.
    before : Checkpoint or None
        Where the fit goes on.
    best : dict
        The best value, and its epoch, 0 before the first.
    best_arrays : dict of str to array
        Parameters and states of that epoch.
    """

    def __init__(self, plan: Plan, monitor: str) -> None:
        self.monitor = Monitor("trainer", monitor, plan.config.trainer.mode, ties=plan.config.trainer.ties)
        self.others = watchers(plan, monitor)
        self.before: Checkpoint | None = None
        self.best: dict[str, Any] = {"value": None, "epoch": 0}
        self.best_arrays: dict[str, Any] = {}

    def begin(self, trainer: Any, history: History) -> None:
        self.monitor.begin(trainer, history)
        if self.before is not None:
            for name, other in self.others.items():
                if name in self.before.callbacks:  # patience may have changed
                    other.load_state(self.before.callbacks[name])
            self.monitor.best = self.best["value"]

    def judge(self, trainer: Any, history: History) -> bool:
        """Keep the network if its last epoch is the best; returns whether it is."""
        improved = self.monitor.improved(history)
        if improved or not self.best_arrays:
            evaluated = trainer.evaluated
            self.best = {"value": self.monitor.best, "epoch": len(history.loss)}
            self.best_arrays = {"flat": evaluated.flat, "states": evaluated.states.flat()}
        return improved

    def go_on_from(self, found: Checkpoint) -> None:
        """Stand where a checkpoint has the fit."""
        arrays = {name.removeprefix("best/"): a for name, a in found.arrays.items() if name.startswith("best/")}
        self.before, self.best, self.best_arrays = found, found.best, arrays

    def kept(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays and states of callbacks for a checkpoint."""
        arrays = {f"best/{name}": array for name, array in self.best_arrays.items()}
        return arrays, {name: other.state() for name, other in self.others.items()}

    def best_of(self, net: Network) -> Network:
        """A network like this one, of the best epoch; before the first as this one is."""
        found = Network._from_graph(net.graph, net.seed, net.dtype)
        found.about = net.about
        arrays = self.best_arrays or {"flat": net.flat, "states": net.states.flat()}
        found.flat = arrays["flat"]
        if len(arrays["states"]):
            found.states.set_flat(arrays["states"])
        return found


def watchers(plan: Plan, monitor: str) -> dict[str, Callback]:
    """What else watches the monitor, by its key of `trainer`."""
    said = plan.config.trainer
    found: dict[str, Callback] = {}
    if said.early_stopping is not None:
        early = said.early_stopping
        found["early_stopping"] = EarlyStopping(early.patience, early.min_delta, monitor, False, said.mode, said.ties)
    if said.reduce_lr is not None:
        if isinstance(plan.optimizer, LBFGSSettings):
            raise ConfigError("`trainer.reduce_lr` needs a learning rate, and `lbfgs` has none")
        r = said.reduce_lr
        found["reduce_lr"] = ReduceLROnPlateau(
            r.factor, r.patience, r.min_lr, r.cooldown, r.min_delta, monitor, said.mode
        )
    return found
