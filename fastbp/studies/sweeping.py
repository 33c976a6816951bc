"""A sweep of a configuration: its study is begun or gone on with, by processes of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastbp.config.build import Plan, plan_of
from fastbp.config.check import show
from fastbp.config.search import Search, search_of
from fastbp.config.text import Text, as_yaml, dotted, read
from fastbp.errors import CheckpointError, ConfigError, visible
from fastbp.runs.stopping import Signals
from fastbp.studies.board import Board
from fastbp.studies.folder import Opened, StudyFolder
from fastbp.studies.optuna_parts import check_packages, optuna, pruner_of, quietly, sampler_of
from fastbp.studies.party import run_together
from fastbp.studies.worker import Runs, work_on
from fastbp.train.callbacks import Monitor
from fastbp.writing import write_together

FOLDER = "sweeps"  # of studies, by default
MAY_CHANGE = (("sweep", "trials"), ("sweep", "together"), ("trainer", "threads"), ("run",))


@dataclass
class Sweeping:
    """A sweep of a configuration in a folder."""

    text: Text
    search: Search
    folder: StudyFolder

    @classmethod
    def of(cls, text: Text, folder: str | None = None, strict: bool = False) -> Sweeping:
        """The sweep of a configuration; refuses what cannot be one, before anything is written."""
        plan = plan_of(text)
        plan.strict = strict
        search = search_of(plan)
        optuna()
        check_packages(search.sampler)
        return cls(text, search, StudyFolder(folder or Path(FOLDER) / plan.config.name))

    @property
    def measure(self) -> str:
        """What runs are compared by."""
        return measure_of(self.search.plan)

    def begin(self) -> Opened:
        """Open the study, which is made if it is not there; refuses one of another configuration."""
        with quietly():
            return Opened.begin(self.folder, self.upwards, self._write, self.compare)

    def _write(self) -> None:
        write_together({self.folder.config: as_yaml(self.text.data).encode()})

    @property
    def upwards(self) -> bool:
        """Whether more is better."""
        plan = self.search.plan
        try:
            return Monitor("trainer", self.measure, plan.config.trainer.mode).higher
        except ConfigError as error:
            must, place = "must be `loss`, `val_loss`, or `val_` and a metric", plan.text.place(("trainer", "monitor"))
            hint = error.hint and error.hint.replace("`", "`val_", 1)
            raise error.at(
                where="trainer.monitor", must=must, got=f"`{self.measure}`", hint=hint, place=place
            ) from None

    def compare(self) -> None:
        """Refuse to go on with other settings than the study began with."""
        if not self.folder.config.is_file():
            must = "must be the study of a configuration, but has no `sweep.yaml`"
            raise CheckpointError(self.folder.path, must)
        before = read(self.folder.config).data
        for path, old, new in _differences(before, self.text.data):
            what = f"{_shown(new)} as `{dotted(path)}`, which was {_shown(old)}"
            hint = "another `--storage` begins another study; `sweep.trials` may change"
            raise CheckpointError(self.folder.config, "must keep the study's settings", what, hint)

    def run(self, jobs: int, quiet: bool = False, limit: float | None = None) -> None:
        """Go on until every trial has ended, or for so many seconds."""
        opened = self.begin()
        board = Board(self.search.trials, self.measure, quiet=quiet)

        def look() -> int:
            return board.draw(opened.frozen(), opened.upwards)

        try:
            if look() < self.search.trials:
                task = Task(self.text, str(self.folder.path), self.search.plan.strict)
                run_together(task, jobs, self.search.threads, board.say, look, limit)
            else:
                opened.sweep(self.search.keeps)
            board.draw(opened.frozen(), opened.upwards, last=True)
        finally:
            board.end()


@dataclass
class Task:
    """What a process does; it is pickled."""

    text: Text
    folder: str
    strict: bool

    def __call__(self, signals: Signals, told: Callable[[], object] = lambda: None) -> None:
        plan = plan_of(self.text)
        plan.strict = self.strict
        search = search_of(plan, probe=False)
        with quietly():
            epochs = plan.config.trainer.epochs
            folder = StudyFolder(self.folder)
            same = Sweeping(self.text, search, folder).compare
            opened = Opened(folder, sampler_of(search), pruner_of(search.pruner, epochs), same)
            runs = Runs(search)
            runs.check_rows(opened)
            work_on(opened, runs, search.trials, runs.together, search.keeps, signals, told)


def measure_of(plan: Plan) -> str:
    """What runs of a configuration are compared by."""
    said = plan.config
    return said.trainer.monitor or ("val_loss" if _validates(said.data) else "loss")


def _validates(data: Any) -> bool:
    """Whether a run of these data has validation rows."""
    if data.source in (None, "files") and data.train is not None:
        return data.validation is not None or data.split.validation > 0
    return data.split.validation > 0 or data.split.folds is not None or data.split.column is not None


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"`{visible(json.dumps(value, ensure_ascii=False, default=str))}`"
    return show(value)


def _differences(old: Any, new: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any, Any]]:
    if path in MAY_CHANGE:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        return [one for key in {**old, **new} for one in _differences(old.get(key), new.get(key), (*path, key))]
    return [] if old == new else [(path, old, new)]
