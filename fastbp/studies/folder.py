"""The folder of a study.

journal.log             what Optuna knows: a line for each operation; its JournalStorage reads it
sweep.yaml              the configuration that the study began with
trials/00012            the run of a trial, as `fastbp train` writes it, while it trains and with `keep: run` later
trials/00012.json       its result
trials/00012.lock       held by the process that works on it
claim.lock              held for the moment in which a process takes trials
importance.svg          what settings were worth, by `fastbp sweep show`

A trial belongs to whom holds its lock. Whoever is killed holds none any more, and the next process that looks for work
takes the trial over and resumes its run: between each two of asking, training, writing the result, and telling Optuna a
process may die, and the trial is told once, by who has its lock.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastbp.errors import CheckpointError, ConfigError, visible
from fastbp.spec.checks import path_of
from fastbp.studies.journal import Journal
from fastbp.studies.locks import Held, is_free, locked_at
from fastbp.studies.optuna_parts import optuna
from fastbp.writing import naming, write_together

NAME = "sweep"  # of the study in its journal
MOST_DEATHS = 10  # processes that may die with a trial before it has come an epoch further
TOLD = "told"  # what is known of a trial that has ended
DEATHS = "deaths"  # what a trial knows of them: how many there were, and the epochs by then


@dataclass
class Claimed:
    """A trial that this process works on."""

    trial: Any
    lock: Held
    before: Any  # what Optuna knew of it, where it was taken over

    @property
    def number(self) -> int:
        """Counted from 0."""
        return int(self.trial.number)


STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "running"}


def _finite(value: Any) -> Any:
    """The same, in which numbers that are not finite are None, as JSON has none."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def deaths_of(frozen: Any) -> tuple[int, int]:
    """How many processes died with a trial, and the epochs that it had come to by then."""
    count, epochs = frozen.user_attrs.get(DEATHS, (0, 0))
    return int(count), int(epochs)


def folder_of(where: str, value: Any) -> str:
    """Check what is to be the folder of a study."""
    path = os.fspath(path_of(where, value))
    if "://" in str(value):
        raise ConfigError(
            where, "must be a folder, in which studies are kept here, not a database", f"`{visible(str(value))}`"
        )
    return path


class StudyFolder:
    """Paths of a study, and its trials."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.journal = self.path / "journal.log"
        self.config = self.path / "sweep.yaml"
        self.trials = self.path / "trials"
        self.claims = self.path / "claim.lock"
        self.importance = self.path / "importance.svg"

    def run(self, number: int) -> Path:
        """The folder of a trial's run."""
        return self.trials / f"{number:05d}"

    def result(self, number: int) -> Path:
        """The file of a trial's result."""
        return self.trials / f"{number:05d}.json"

    def lock(self, number: int) -> Path:
        """The lock of a trial."""
        return self.trials / f"{number:05d}.lock"

    def make(self) -> None:
        """Make what is not there."""
        try:
            self.trials.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(self.path, "must be a folder, or where one can be made", str(error.strerror)) from None

    def write_result(self, number: int, result: dict[str, Any]) -> None:
        """Write the result of a trial."""
        write_together({self.result(number): (json.dumps(_finite(result)) + "\n").encode()}, lasting=False)

    def clear(self, number: int) -> None:
        """Remove the run of a trial."""
        with naming(self.run(number)), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.run(number))


class Opened:
    """A study that is open: its storage, and taking trials.

    Parameters
    ----------
    folder : StudyFolder
    sampler, pruner : as Optuna takes them, optional
        Without them nothing is asked.
    first : callable, optional
        Called before any trial is taken: another sweep may have begun here since this one did, as there was no trial.
    """

    def __init__(
        self, folder: StudyFolder, sampler: Any = None, pruner: Any = None, first: Callable[[], None] | None = None
    ) -> None:
        self.folder, self._sampler, self._pruner, self._first = folder, sampler, pruner, first
        self.lines = Journal(folder.journal)
        self.storage = optuna().storages.JournalStorage(self.lines)
        self.study = self._loaded()
        self._mine: set[int] = set()

    @classmethod
    def begin(cls, folder: StudyFolder, upwards: bool, first: Callable[[], None], again: Callable[[], None]) -> Opened:
        """Open the study, which is made if it is not there: `first` is called if it has no trial yet, else `again`."""
        folder.make()
        direction = optuna().study.StudyDirection.MAXIMIZE if upwards else optuna().study.StudyDirection.MINIMIZE
        with locked_at(folder.claims):
            storage = optuna().storages.JournalStorage(Journal(folder.journal))
            known = [one for one in storage.get_all_studies() if one.study_name == NAME]
            if known and storage.get_n_trials(known[0]._study_id):
                again()
            else:
                for one in known if known and known[0].direction != direction else ():
                    storage.delete_study(one._study_id)
                first()
                if not known or known[0].direction != direction:
                    storage.create_new_study([direction], NAME)
        return cls(folder)

    def _loaded(self) -> Any:
        words = {"sampler": self._sampler, "pruner": self._pruner}
        try:
            return optuna().load_study(study_name=NAME, storage=self.storage, **words)
        except KeyError:
            raise CheckpointError(self.folder.path, "must be the folder of a sweep") from None

    @property
    def upwards(self) -> bool:
        """Whether more is better."""
        return bool(self.study.direction == optuna().study.StudyDirection.MAXIMIZE)

    def frozen(self) -> list[Any]:
        """All trials, by their numbers, as they stand."""
        return list(self.study.get_trials(deepcopy=False))

    def claim(self, total: int, most: int) -> list[Claimed] | None:
        """Take up to so many trials: of processes that died, or else new ones of `total`.

        Returns none while other processes have all that are left, and None when there are none left.
        """
        state = optuna().trial.TrialState
        with locked_at(self.folder.claims):
            if self._first:
                self._first()
                self._first = None
            self.lines.reopen()
            trials = self.frozen()
            left = [one for one in trials if one.state == state.RUNNING]
            found = list(self._taken_over(left, most))
            if not found:
                new = min(most, total - len(trials))
                found = [self._new() for _ in range(new)]
        self._mine |= {one.number for one in found}
        return None if not found and not left else found

    def _taken_over(self, left: list[Any], most: int) -> Iterator[Claimed]:
        for one in left:
            if not most or one.number in self._mine:
                continue
            lock = Held.take(self.folder.lock(one.number))
            if lock is None:
                continue
            now = self.storage.get_trial(one._trial_id)
            if now.state.is_finished():  # told since the list was made
                lock.release()
                continue
            self._count(now, 1)
            most -= 1
            self.study = self._loaded()  # without what it has cached of trials
            yield Claimed(optuna().trial.Trial(self.study, one._trial_id), lock, self.storage.get_trial(one._trial_id))

    def _new(self) -> Claimed:
        trial = self.study.ask()
        lock = Held.take(self.folder.lock(trial.number))
        assert lock is not None  # nobody else takes trials now
        return Claimed(trial, lock, None)

    def end(self, claimed: Claimed, drawn: dict[str, Any], value: float | None, told: dict[str, Any]) -> None:
        """Say that a trial has ended with a value, or without one that it was pruned."""
        self._tell(claimed, {"settings": drawn, **told}, value, "PRUNED" if value is None else "COMPLETE")

    def fail(self, claimed: Claimed, why: str, drawn: dict[str, Any] | None = None) -> None:
        """Say that a trial has none, and why."""
        self._tell(claimed, {"settings": drawn or {}, "why": why}, None, "FAIL")

    def _tell(self, claimed: Claimed, told: dict[str, Any], value: float | None, state: str) -> None:
        """Write the result, tell Optuna, and free the trial; whoever dies between is followed by who does it again."""
        number, state_of = claimed.number, optuna().trial.TrialState
        self.folder.write_result(number, {"trial": number, "state": STATES[state], "value": value, **told})
        self.storage.set_trial_user_attr(claimed.trial._trial_id, TOLD, told)
        self.study.tell(claimed.trial, value, state_of[state])
        self._mine.discard(number)
        claimed.lock.release()

    def _count(self, frozen: Any, more: int) -> None:
        """Count the processes that died with a trial since it came an epoch further."""
        count, epochs = deaths_of(frozen)
        step = frozen.last_step or 0
        said = [(count if step <= epochs else 0) + more, step]
        self.storage.set_trial_user_attr(frozen._trial_id, DEATHS, said)

    def leave(self, claimed: Iterable[Claimed]) -> None:
        """Free those that are not told, so that another process takes them over."""
        for one in claimed:
            if one.number in self._mine:
                self._count(self.storage.get_trial(one.trial._trial_id), -1)  # the next to take it counts a death
                self._mine.discard(one.number)
                one.lock.release(remove=False)

    def sweep(self, keep_runs: bool) -> None:
        """Remove what processes left that were killed behind the end of a trial."""
        for one in self.frozen():
            if not one.state.is_finished():
                continue
            path = self.folder.lock(one.number)
            if path.exists() and is_free(path):
                path.unlink(missing_ok=True)
            if not keep_runs and self.folder.run(one.number).is_dir():
                self.folder.clear(one.number)
