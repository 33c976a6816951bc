"""A process that works on a study: it takes trials, trains them, and tells how they ended, until none is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from fastbp.config.search import Search
from fastbp.config.searchers import Never
from fastbp.errors import CheckpointError, ConfigError, DataError, DivergedError, FastbpError
from fastbp.runs.stopping import Signals
from fastbp.studies.folder import MOST_DEATHS, Claimed, Opened, StudyFolder, deaths_of
from fastbp.studies.optuna_parts import Answers
from fastbp.studies.rows import Rows
from fastbp.studies.together import Together
from fastbp.studies.trial_run import TrialRun

WAIT = 0.25  # seconds between looks for trials that others hold
PACK = 4  # trials that are trained at once, where they may be
SHARE = 8  # of what is left at most this part: near the end every process has something to do
ROWS = "rows"  # what a study knows of them, where all trials have the same
MOST_FAILURES = 3  # trials that fail before any has a result: then it is the sweep that is wrong


def work_on(
    opened: Opened,
    work: Callable[[Opened, Sequence[Claimed], Signals], None],
    total: int,
    together: Callable[[int], int],
    keep: bool,
    signals: Signals,
    told: Callable[[], object] = lambda: None,
) -> None:
    """Take trials until none is left.

    Parameters
    ----------
    work : callable
        Does some trials, and tells how they ended.
    total : int
        Trials of the study.
    together : callable
        From the trials that are left to how many are taken at once.
    keep : bool
        Whether the folders of runs stay.
    told : callable
        Called behind each.
    """
    while True:
        signals.check()
        left = total - len(opened.frozen())
        claimed = opened.claim(total, together(left))
        if claimed is None:
            break
        if not claimed:
            time.sleep(WAIT)
            continue
        try:
            ready = [one for one in claimed if not given_up(opened, one)]
            if ready:
                work(opened, ready, signals)
        finally:
            opened.leave(claimed)
        told()
    opened.sweep(keep)


def given_up(opened: Opened, claimed: Claimed) -> bool:
    """Whether so many processes died with a trial that it is told to have failed."""
    if claimed.before is None or deaths_of(claimed.before)[0] < MOST_DEATHS:
        return False
    opened.fail(claimed, f"{MOST_DEATHS} processes that worked on it died")
    return True


class Runs:
    """Trials that are runs of a configuration.

    Parameters
    ----------
    search : Search
    """

    def __init__(self, search: Search) -> None:
        self.search, self.keep, self.rows = search, search.keeps, Rows()
        self.fresh = True  # whether no trial has been told here

    def check_rows(self, opened: Opened) -> None:
        """Refuse rows of all trials that are wrong, or others than those that the study began with."""
        if not all(key.path[0] in ("network", "trainer") for key in self.search.space.keys):
            return
        found = self.rows.subject(self.search.plan).fingerprint
        known = opened.study.user_attrs.get(ROWS)
        if known is None or not opened.frozen():
            opened.study.set_user_attr(ROWS, found)
        elif known != found:
            raise CheckpointError(
                opened.folder.path, "must go on with the rows that it began with, but these are others"
            )

    def together(self, left: int) -> int:
        """How many are trained at once, of so many that are left."""
        said = self.search.plan.config.sweep
        assert said is not None
        most = said.together if said.together is not None else (PACK if self.search.packable else 1)
        return max(1, min(most, left // SHARE))

    def __call__(self, opened: Opened, claimed: Sequence[Claimed], signals: Signals) -> None:
        runs: list[tuple[Claimed, dict[str, Any], TrialRun]] = []
        for one in claimed:
            drawn = self.search.space.drawn(Answers(one.trial))
            try:
                runs.append((one, drawn, self._run(opened.folder, one, drawn, signals)))
            except (ConfigError, DataError) as error:
                self._failed(opened, one, drawn, error)
        if len(runs) > 1:
            in_step = not isinstance(self.search.pruner, Never)
            each = Together([run for _, _, run in runs], self.search.threads, signals, in_step).train()
        else:
            each = [alone(run) for _, _, run in runs]
        for (one, drawn, run), result in zip(runs, each, strict=True):
            if isinstance(result, FastbpError):
                self._failed(opened, one, drawn, result)
            else:
                self._told(opened, one, drawn, run, result)

    def _run(self, folder: StudyFolder, one: Claimed, drawn: dict[str, Any], signals: Signals) -> TrialRun:
        plan = self.search.space.plan(drawn)
        plan.config.trainer.threads, plan.strict = self.search.threads, self.search.plan.strict
        plan.config.name = f"{plan.config.name}-{one.number:05d}"[:64]
        subject = self.rows.subject(plan)
        return TrialRun(plan, folder.run(one.number), one.trial, one.before, subject, signals, self.keep)

    def _told(self, opened: Opened, one: Claimed, drawn: dict[str, Any], run: TrialRun, result: dict[str, Any]) -> None:
        value = None if run.pruned else run.value(result)
        kept = {key: result[key] for key in ("metrics", "best_epoch", "epochs", "seconds")}
        if value is None and not run.pruned:
            opened.fail(one, f"its `{run.monitor.name}` is not finite", drawn)
        else:
            opened.end(one, drawn, value, kept)
        self._clear(opened, one)
        self.fresh = False

    def _clear(self, opened: Opened, one: Claimed) -> None:
        if not self.keep:
            opened.folder.clear(one.number)

    def _failed(self, opened: Opened, one: Claimed, drawn: dict[str, Any], error: FastbpError) -> None:
        opened.fail(one, str(error).split("\n")[0], drawn)
        self._clear(opened, one)
        if not self.fresh or isinstance(error, DivergedError):
            return
        states = [frozen.state.name for frozen in opened.frozen()]
        if states.count("FAIL") >= MOST_FAILURES and not {"COMPLETE", "PRUNED"} & set(states):
            raise error


def alone(run: TrialRun) -> dict[str, Any] | FastbpError:
    """Train a run to its end; returns its result, or why it has none."""
    try:
        return run.go()
    except (DivergedError, ConfigError, DataError) as error:
        return error
