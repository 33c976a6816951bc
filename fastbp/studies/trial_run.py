"""The run of a trial: a run as `fastbp train` does it, which reports its epochs, and may be ended by the pruner."""

from __future__ import annotations

import json
import math
from functools import cache, lru_cache
from pathlib import Path
from textwrap import indent
from typing import Any

from fastbp.config.build import LBFGSSettings, Plan
from fastbp.config.text import as_yaml
from fastbp.data.prepare import Part
from fastbp.errors import CheckpointError, ConfigError
from fastbp.runs.folder import RunFolder, environment
from fastbp.runs.profile import peak
from fastbp.runs.scores import score
from fastbp.runs.stopping import Signals
from fastbp.runs.subject import Subject, absolute
from fastbp.runs.training import Training
from fastbp.train.history import History
from fastbp.train.progress import Progress
from fastbp.writing import write_together

PRUNED = "the pruner ended it"
_peak = cache(peak)
_environment = cache(environment)


class Shared(Signals):
    """Signals that somebody else listens to."""

    def __init__(self, of: Signals) -> None:
        super().__init__()
        self.of = of

    def __enter__(self) -> Signals:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def check(self) -> None:
        self.of.check()


@lru_cache(1000)
def _written(said: str) -> str:
    """A key of a configuration as YAML."""
    return as_yaml(json.loads(said))


def _yaml(data: dict[str, Any]) -> str:
    """A configuration as YAML, of which each key is written once, as most are the same in all trials."""
    found = []
    for key, value in data.items():
        if isinstance(value, dict) and value:
            inner = "".join(_written(json.dumps({name: one})) for name, one in value.items())
            found.append(f"{key}:\n{indent(inner, '  ')}")
        else:
            found.append(_written(json.dumps({key: value})))
    return "".join(found)


class Traceless(RunFolder):
    """A folder without files of epochs."""

    def append(self, row: dict[str, Any]) -> None:
        return None

    def write_history(self, rows: list[dict[str, Any]]) -> None:
        return None


class TrialRun(Training):
    """A run that reports.

    Parameters
    ----------
    plan : Plan
    path : Path
        Of its folder.
    trial
        Of Optuna.
    before
        What Optuna knew of the trial, if it was taken over.
    subject : Subject
    signals : Signals
    keep : bool
        Whether its folder is a whole run.
    """

    draws = False
    lasting = False  # a killed process leaves what is written, and syncing takes longer than many a trial

    def __init__(
        self, plan: Plan, path: Path, trial: Any, before: Any, subject: Subject, signals: Signals, keep: bool
    ) -> None:
        self.trial, self.keep = trial, keep
        self.reported = 0 if before is None or before.last_step is None else int(before.last_step)
        self.pruned = self.packed = False
        folder = RunFolder(path) if keep else Traceless(path)
        if keep:
            folder.path.mkdir(parents=True, exist_ok=True)
        going_on = before is not None and not isinstance(plan.optimizer, LBFGSSettings)
        quiet, shared = Progress(quiet=True), Shared(signals)
        try:
            super().__init__(plan, folder, quiet, shared, going_on, subject)
        except (CheckpointError, ConfigError):
            if not (going_on and folder.checkpoint.is_file()):
                raise
            folder.remove(folder.checkpoint)  # damaged, or of another version: it begins again
            super().__init__(plan, folder, quiet, shared, False, subject)

    # Epochs

    def epoch(self, trainer: Any, history: History) -> None:
        self.report(trainer, history)
        super().epoch(trainer, history)

    def report(self, trainer: Any, history: History) -> None:
        """Tell Optuna of the epochs that it does not know, and ask whether to go on."""
        epochs = len(history.loss)
        for at in range(self.reported, epochs):
            self.trial.report(history[self.monitor.name][at], at + 1)
        if epochs >= self.reported and not history.stopped and epochs < self.plan.config.trainer.epochs:
            self.pruned = bool(self.trial.should_prune())
            if self.pruned:
                history.stopped = PRUNED
        self.reported = max(self.reported, epochs)

    def _look_up(self, history: History) -> None:
        if not self.packed:
            super()._look_up(history)

    # Files

    def open_folder(self, resolved: dict[str, Any], rows: list[dict[str, Any]], threads: int) -> float:
        if not self.keep:
            return 0.0
        folder = self.folder
        folder.remove(folder.result)
        files = {folder.config: _yaml(absolute(resolved))}
        if not folder.environment.is_file():
            files[folder.environment] = json.dumps(_environment(threads), indent=2) + "\n"
        write_together({path: text.encode() for path, text in files.items()}, lasting=False)
        if rows or folder.metrics.is_file():
            folder.write_history(rows)
        return 0.0

    def save(self, history: History, done: bool = False) -> None:
        if done and self.pruned:
            self.save_networks()
        elif self.keep:
            super().save(history, done)
        elif not done:
            self.folder.path.mkdir(parents=True, exist_ok=True)
            super().save(history)

    def save_networks(self, more: dict[Path, bytes] | None = None) -> None:
        if self.keep:
            super().save_networks(more)
        elif more:
            write_together(more, lasting=False)

    # The end

    def baseline(self, part: Part) -> dict[str, float]:
        said = f"{self.subject.loss!r} {self.subject.metrics} {self.net.outputs}"
        known: dict[str, dict[str, float]] = vars(part).setdefault("baselines", {})  # the rows are those of all trials
        if said not in known:
            known[said] = super().baseline(part)
        return known[said]

    def peak(self) -> float:
        return float(_peak(getattr(self.trainer, "threads", 1)))

    def finished(self, history: History) -> dict[str, Any]:
        ended = {"best_epoch": self.best["epoch"], "epochs": len(history.loss), "seconds": history.seconds}
        if self.pruned:
            return {"metrics": {}, **ended}
        if self.keep:
            return super().finished(history)
        net, subject = self.best_network(), self.subject
        named = subject.loss, subject.metrics, subject.recipe
        return {"metrics": {name: score(net, part, *named) for name, part in subject.parts.items()}, **ended}

    def value(self, result: dict[str, Any]) -> float | None:
        """What the study is told: the monitored measure of the best epoch's network, as the result has it."""
        name = self.monitor.name
        part = result["metrics"].get("validation" if name.startswith("val_") else "train", {})
        found = part.get(name.removeprefix("val_"), self.best["value"])
        return found if found is not None and math.isfinite(found) else None
