"""Trials that are trained as one pack, each with a folder, checkpoints and reports of its own.

Each has the bits that it has alone, so its checkpoint is that of a run of its own: a trial of a pack that was killed is
resumed alone, or in another pack. Where there is a pruner, all wait for each other behind each epoch, so that what it
is told does not depend on which was faster.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from fastbp.errors import ConfigError, DataError, DivergedError, FastbpError, FileError
from fastbp.runs.entrants import held_out_on
from fastbp.runs.folder import epoch_row
from fastbp.runs.stopping import Signals, Stopped
from fastbp.studies.trial_run import TrialRun
from fastbp.train.history import History
from fastbp.train.members import Member
from fastbp.train.pack_calls import Turns, Work, has_ended, to_its_pause
from fastbp.train.seats import Seats


class Together:
    """Runs that train at once.

    Parameters
    ----------
    runs : sequence of TrialRun
    threads : int
    signals : Signals
    in_step : bool
        Whether all wait for each other behind each epoch.
    """

    def __init__(self, runs: Sequence[TrialRun], threads: int, signals: Signals, in_step: bool) -> None:
        self.runs, self.threads, self.signals, self.in_step = runs, threads, signals, in_step
        self.members = [Member(run.trainer, None) for run in runs]
        seats = Seats(runs[0].subject.loss)
        for member in self.members:
            member.seats = seats

    def train(self) -> list[dict[str, Any] | FastbpError]:
        """Train all to their ends; returns the result of each, or why it has none."""
        going: dict[int, Work] = {}
        found: dict[int, History] = {}
        failed: dict[int, FastbpError] = {}
        for i, run in enumerate(self.runs):
            run.packed = True
            try:
                if run._is_complete():
                    found[i] = run._restored()
                else:
                    going[i] = self._work(i, run)
            except (ConfigError, DataError) as error:
                failed[i] = error
        turns = Turns(self.threads)
        try:
            while going:
                works = list(going.values())
                turns.run([to_its_pause(work) for work in works] if self.in_step else works, self._between(going))
                for i in [i for i, work in going.items() if has_ended(work)]:
                    del going[i]
                    found[i] = self.members[i].history
                    if not self.members[i].diverged:
                        self.runs[i].save(found[i], done=True)
        finally:
            for work in going.values():
                work.close()
        return [failed[i] if i in failed else self._concluded(i, found[i]) for i in range(len(self.runs))]

    def _work(self, i: int, run: TrialRun) -> Work:
        history = None
        if run.before is not None:
            history = run._restored()
            if not run._stays_stopped(history):
                history.stopped = ""
        rows = [epoch_row(history, at) for at in range(len(history.loss))] if history else []
        run.waited = run.open_folder(run.subject.resolved, rows, self.threads)
        train, net = run.subject.parts["train"], run.net
        data = net.checked(train.X, train.y, run.subject.loss, run.subject.training_weight)
        measured = held_out_on(net, run.subject)
        held_out = None if measured is None else (measured.checked, None)
        hooks = [*run.others.values(), run]
        words: dict[str, Any] = {"measured": measured, "history": history, "pauses": self.in_step}
        member = self.members[i]
        return member.guarded(member.fit(data, run.plan.config.trainer.epochs, held_out, hooks, **words))

    def _between(self, going: dict[int, Work]) -> Any:
        """What is done behind each region: save what is due, and stop if requested."""

        def between() -> None:
            now = time.perf_counter()
            try:
                self.signals.check()
            except Stopped:
                for i in going:
                    self._save(i)
                raise
            for i in going:
                if now >= self.runs[i].due:
                    self._save(i)

        return between

    def _save(self, i: int) -> None:
        """Save a run, if it stands where one that trains alone may be saved."""
        run, history = self.runs[i], self.members[i].history
        measured = run.trainer.validating
        if measured and len(history.val_loss) < len(history.loss):
            return  # behind an epoch that is not validated yet
        if run.trainer._batch_plan is None:
            return  # not a step yet
        with contextlib.suppress(FileError):
            run.save(history)

    def _concluded(self, i: int, history: History) -> dict[str, Any] | FastbpError:
        if self.members[i].diverged:
            return DivergedError(history.stopped, history.steps, "")
        try:
            return self.runs[i].finished(history)
        except (ConfigError, DataError) as error:
            return error
