"""`fb.sweep`: the best settings of a configuration, or of any function of a trial."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fastbp.config.merging import merge
from fastbp.config.naming import named
from fastbp.config.searchers import PRUNERS, SAMPLERS, TRIALS, Grid
from fastbp.config.text import Text, read
from fastbp.errors import CheckpointError, ConfigError, ConfigTypeError, brief, not_one_of
from fastbp.runs.stopping import Signals, Stopped
from fastbp.spec.checks import flag, seed_of, whole
from fastbp.spec.elsewhere import SWEEP_WORDS, hint, known_words
from fastbp.studies.board import Board
from fastbp.studies.folder import Claimed, Opened, StudyFolder, folder_of
from fastbp.studies.optuna_parts import ByNumber, check_packages, optuna, pruner_of, quietly
from fastbp.studies.party import fitting, run_together
from fastbp.studies.shown import Study, study_at
from fastbp.studies.sweeping import Sweeping, Task
from fastbp.studies.worker import work_on

MODES = ("min", "max")
INTERRUPTED = 128 + signal.SIGINT


@partial(known_words, hints=partial(hint, words=SWEEP_WORDS))
def sweep(
    objective: Any,
    space: Mapping[str, Any] | None = None,
    *,
    trials: int | None = None,
    jobs: int = 1,
    storage: Any = None,
    sampler: Any = None,
    pruner: Any = None,
    seed: int | None = None,
    together: int | None = None,
    keep: str | None = None,
    mode: str = "min",
    verbose: bool = False,
) -> Study:
    """Search for the best settings, with Optuna.

    Parameters
    ----------
    objective : callable, dict, str or Path
        A function of a trial, which asks that for settings, ``trial.suggest_float("lr", 1e-4, 1e-1, log=True)``, and
        returns a number. Or a configuration, or its file, as `fastbp train` takes it.
    space : dict, optional
        Of a configuration: its keys with what they are chosen from, such as
        ``{"trainer.optimizer.lr": {"log": [1e-4, 1e-1]}}``; by default what its section `sweep` says.
    trials : int, optional
        Trials of the study in all, with those that it has already; by default 100.
    jobs : int
        Processes. A function is pickled for more than one, so it must stand at the top of a module.
    storage : path, optional
        Folder of the study, with which another call goes on; by default ``sweeps/`` and the configuration's name, and
        for functions a temporary one.
    sampler, pruner : str or dict, optional
        A name, or a dict with "name" and settings; by default "tpe" and "median".
    seed : int, optional
        Of the sampler.
    together, keep : as in a file
        Of a configuration: how many trials are trained as one pack, and whether whole runs are kept.
    mode : {"min", "max"}
        Of a function: whether less or more is better.
    verbose : bool
        Whether to show on stderr how it goes.

    Returns
    -------
    Study
        With `best_settings`, `best_value`, all trials ranked, and the study of Optuna as `optuna`.

    Examples
    --------
    >>> import fastbp as fb
    >>> study = fb.sweep(lambda trial: (trial.suggest_float("x", -1, 1) - 0.5) ** 2, trials=30)
    >>> len(study.rows), abs(study.best_settings["x"] - 0.5) < 0.1
    (30, True)
    """
    optuna()
    jobs, verbose = whole("jobs", jobs, 1), flag("verbose", verbose)
    storage = None if storage is None else folder_of("storage", storage)
    said: dict[str, Any] = {"trials": trials, "sampler": sampler, "pruner": pruner, "seed": seed}
    if callable(objective):
        for name, given in (("space", space), ("together", together), ("keep", keep)):
            if given is not None:
                raise ConfigError(name, "must be left out where the objective is a function", f"`{brief(given)}`")
        return _of_function(objective, said, jobs, storage, mode, verbose)
    if mode != "min":
        must = "must be left out where the objective is a configuration, whose `trainer.monitor` says it"
        raise ConfigError("mode", must, f"`{brief(mode, str)}`")
    _check_space(space)
    said |= {"together": together, "keep": keep, "space": space}
    text = _text(objective, {key: value for key, value in said.items() if value is not None})
    return _of_configuration(text, jobs, storage, verbose)


def _check_space(space: Any) -> None:
    if space is not None and not isinstance(space, Mapping):
        must = "must be a dict from keys of the configuration to what they are chosen from"
        raise ConfigTypeError("space", must, f"`{brief(space)}`")


def _text(objective: Any, said: dict[str, Any]) -> Text:
    """A configuration with what the call says of its sweep."""
    if isinstance(objective, str | os.PathLike):
        text = read(objective)  # type: ignore[arg-type]
    elif isinstance(objective, Mapping):
        text = Text(_as_in_files(objective))
    else:
        must = "must be a function of a trial, a configuration as a dict, or its file"
        raise ConfigTypeError("objective", must, f"`{brief(objective)}`")
    return merge(text, Text({"sweep": _as_in_files(said)})) if said else text


def _as_in_files(value: Any) -> Any:
    """What a file would say: lists for tuples and arrays, numbers of Python for those of NumPy, texts for paths."""
    if isinstance(value, Mapping):
        return {key: _as_in_files(one) for key, one in value.items()}
    if isinstance(value, list | tuple | range):
        return [_as_in_files(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _of_configuration(text: Text, jobs: int, storage: str | None, verbose: bool) -> Study:
    sweeping = Sweeping.of(text, storage)
    search, board = sweeping.search, Board(sweeping.search.trials, sweeping.measure, quiet=not verbose)
    task = Task(text, str(sweeping.folder.path), False)
    _run(sweeping.begin(), task, board, fitting(jobs, search.threads, search.trials), search.threads)
    return study_at(str(sweeping.folder.path))


def _run(opened: Opened, task: Any, board: Board, jobs: int, threads: int) -> None:
    """Run a task here, or in several processes."""

    def look() -> int:
        return board.draw(opened.frozen(), opened.upwards)

    try:
        if jobs > 1:
            run_together(task, jobs, threads, board.say, look)
        else:
            task(Signals(), look)
        board.draw(opened.frozen(), opened.upwards, last=True)
    except Stopped as stop:
        raise (KeyboardInterrupt(str(stop)) if stop.code == INTERRUPTED else SystemExit(stop.code)) from None
    finally:
        board.end()


@dataclass
class Function:
    """A function of a trial as what processes do; it is pickled for more than one."""

    it: Callable[[Any], Any]
    folder: str
    trials: int
    sampler: Any
    pruner: Any
    seed: int
    keep: bool = True

    def __call__(self, signals: Signals, told: Callable[[], object] = lambda: None) -> None:
        with quietly():
            chosen = ByNumber(self.sampler, self.seed), pruner_of(self.pruner, None)
            opened = Opened(StudyFolder(self.folder), *chosen)
            work_on(opened, self._work, self.trials, lambda left: 1, True, signals, told)

    def _work(self, opened: Opened, claimed: Sequence[Claimed], signals: Signals) -> None:
        for one in claimed:
            trial = one.trial
            trial.folder = opened.folder.run(one.number)
            _be_as_before(trial, opened)
            if one.before is not None:
                _remember(trial, set(one.before.intermediate_values))
            try:
                value = _number(self.it(trial))
            except optuna().TrialPruned:
                opened.end(one, dict(trial.params), None, {})
                continue
            except Exception as error:
                opened.fail(one, f"{type(error).__name__}: {error}", dict(trial.params))
                raise
            if value != value:
                opened.fail(one, "its value is not a number", dict(trial.params))
            else:
                opened.end(one, dict(trial.params), value, {})


def _number(value: Any) -> float:
    """What a function returned."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigTypeError("objective", "must return a number", f"`{brief(value)}`") from None


def _be_as_before(trial: Any, opened: Opened) -> None:
    """Refuse a setting of another kind than the study has by its name: it is that of another function."""
    suggest = trial._suggest

    def same(name: str, asked: Any) -> Any:
        known = next((one.distributions[name] for one in opened.frozen() if name in one.distributions), asked)
        if (before := _kind(known)) != (kind := _kind(asked)):
            hint = "in all trials a setting is of one kind; another `storage` begins another study"
            raise ConfigError(name, f"must be {before}, as other trials of the study have it", kind, hint)
        return suggest(name, asked)

    trial._suggest = same


def _kind(asked: Any) -> str:
    """What a setting is chosen from; Optuna lets the ends of ranges differ between trials."""
    if choices := getattr(asked, "choices", ()):
        return "one of " + ", ".join(f"`{brief(one)}`" for one in choices)
    whole_or_not = "a whole number" if isinstance(asked, optuna().distributions.IntDistribution) else "a number"
    return f"{whole_or_not} by its logarithm" if asked.log else whole_or_not


def _remember(trial: Any, steps: set[int]) -> None:
    """Do not report again what the process reported that died with a trial."""
    report = trial.report

    def new(value: float, step: int) -> None:
        if step not in steps:
            report(value, step)

    trial.report = new


def _of_function(
    function: Any, said: dict[str, Any], jobs: int, storage: str | None, mode: str, verbose: bool
) -> Study:
    if mode not in MODES:
        raise not_one_of("mode", mode, MODES)
    trials = TRIALS if said["trials"] is None else whole("trials", said["trials"], 1)
    sampler = named(Text(), ("sampler",), said["sampler"] or "tpe", SAMPLERS)
    pruner = named(Text(), ("pruner",), said["pruner"] or "median", PRUNERS)
    if isinstance(sampler, Grid):
        raise ConfigError("sampler", "must not be `grid` with a function, whose settings are not known beforehand")
    check_packages(sampler)
    seed = 0 if said["seed"] is None else seed_of(said["seed"])
    folder = tempfile.mkdtemp(prefix="fastbp-sweep-") if storage is None else storage
    try:
        task = Function(function, folder, trials, sampler, pruner, seed)
        if jobs > 1:
            _check_pickled(task)
        if StudyFolder(folder).config.is_file():
            raise CheckpointError(folder, "must be the study of a function, but is that of a configuration")
        with quietly():
            opened = Opened.begin(StudyFolder(folder), mode == "max", _nothing, _nothing)
        if opened.upwards != (mode == "max"):
            raise ConfigError(
                "mode", f"must be `{'max' if opened.upwards else 'min'}`, as the study has it", f"`{mode}`"
            )
        _run(opened, task, Board(trials, "value", quiet=not verbose), fitting(jobs, 1, trials), 1)
        found = study_at(folder)
    except BaseException:
        if storage is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if storage is None:
        weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
    return found


def _nothing() -> None:
    """What is written of a function, and compared with it."""


def _check_pickled(task: Function) -> None:
    must = "must be a function at the top of a module with `jobs` above 1, as other processes import it"
    try:
        pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError):
        raise ConfigError("objective", must, f"`{brief(task.it)}`") from None
    if getattr(task.it, "__module__", "") == "__main__" and not hasattr(sys.modules["__main__"], "__file__"):
        hint = "write a function of a notebook to a .py file, and import it from there"
        raise ConfigError("objective", must, f"`{brief(task.it)}`", hint)
