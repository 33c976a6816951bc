"""A run by several ranks: all train, the first writes and says what there is to say.

Whatever depends on the time or on signals, all ranks agree on; the rest is the same on all of them by itself.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fastbp.config.build import trainer_of
from fastbp.data.streamed import streams
from fastbp.model.network import Network
from fastbp.runs.folder import ROWS, RunFolder
from fastbp.runs.passes import Passes
from fastbp.runs.shared import Shared
from fastbp.runs.stopping import TIME_IS_UP, Signals, Stopped
from fastbp.runs.subject import Subject, subject_of
from fastbp.runs.training import Training
from fastbp.train.history import History
from fastbp.train.ranks import Ranks

ECHO = 3.0  # seconds in which a signal that comes again is the same: a launcher passes on what a terminal sent to all


class RankedTraining(Training):
    """The part of one rank in a run."""

    def __init__(self, ranks: Ranks, *arguments: Any, **words: Any) -> None:
        self.ranks = ranks
        ranks.wish = ranks.granted = 0
        super().__init__(*arguments, **words)

    def read(self) -> tuple[Subject, Network]:
        if streams(self.plan.config.data) is not None:
            return self._streamed()
        found = Shared(self.plan, self.folder.path, self.ranks)
        return found.subject, found.net

    def _streamed(self) -> tuple[Subject, Network]:
        """Rows that do not fit into memory: the first rank brings them into files, which all then read."""
        told, read = Passes(self.progress, self.signals, self.plan, self.begun), []

        def first() -> str:
            read.append(subject_of(self.plan, told=told))
            return ""

        self.ranks.first(first)
        subject = read[0] if read else subject_of(self.plan, told=told)
        return subject, subject.network()

    def trainer_for(self, loss: Any) -> Any:
        return trainer_of(self.plan, self.net, loss, self.ranks)

    def check_stops(self, now: float) -> None:
        """Wish to stop as a run of one process would, and do so once all have agreed, which all hear at one step."""
        try:
            super().check_stops(now)
        except Stopped as stop:
            self.ranks.wish = stop.code
        code = self.ranks.granted
        if code == TIME_IS_UP:
            raise Stopped(f"the time limit of {self.plan.time_limit or 0:g} seconds is reached", code)
        if code:
            raise Stopped(f"stopped by {name_of(code)}", code)

    def save(self, history: History, done: bool = False) -> None:
        if self.ranks.rank == 0:
            super().save(history, done)
        else:
            self.set_due(0.0)

    def save_networks(self, more: dict[Path, bytes] | None = None) -> None:
        if self.ranks.rank == 0:
            super().save_networks(more)

    def finished(self, history: History) -> dict[str, Any]:
        result: dict[str, Any] = {}

        def finish() -> str:
            result.update(super(RankedTraining, self).finished(history))
            return ""

        self.ranks.first(finish)
        return result


def folder_of(ranks: Ranks, own: Callable[[], RunFolder]) -> RunFolder:
    """The folder of a run, which the first rank finds or makes."""
    found: list[RunFolder] = []

    def first() -> str:
        found.append(own())
        return str(found[0].path)

    path = ranks.first(first)
    if not found:
        return OthersFolder(path, ranks)
    made = FirstFolder(path, ranks)
    made.made = found[0].made
    return made


class FirstFolder(RunFolder):
    """The folder as the first rank has it; others hear whether it could be had."""

    def __init__(self, path: str, ranks: Ranks) -> None:
        super().__init__(path)
        self._ranks = ranks

    @contextmanager
    def held(self, new: bool = False) -> Iterator[None]:
        with ExitStack() as stack:

            def hold() -> str:
                stack.enter_context(super(FirstFolder, self).held(new))
                return ""

            self._ranks.first(hold)
            stack.callback(shutil.rmtree, self.path / ROWS, ignore_errors=True)
            self._ranks.hint = f"go on with `fastbp train --resume {self.path}`"
            yield


class OthersFolder(FirstFolder):
    """The folder as the ranks after the first have it: they read."""

    @contextmanager
    def held(self, new: bool = False) -> Iterator[None]:
        self._ranks.first(str)
        self._ranks.hint = f"go on with `fastbp train --resume {self.path}`"
        yield

    def write(self, path: Path, text: str, lasting: bool = False) -> None:
        """Nothing."""

    def remove(self, path: Path) -> None:
        """Nothing."""

    def write_history(self, rows: list[dict[str, Any]]) -> None:
        """Nothing."""

    def append(self, row: dict[str, Any]) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def discard(self) -> None:
        """Nothing."""


class RankSignals(Signals):
    """Signals that reach a rank twice: from the terminal, and from what has started it."""

    def __init__(self) -> None:
        super().__init__()
        self._first = 0.0

    def _note(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if self.received is None:
            self.received, self._first = number, now
        elif now - self._first > ECHO:
            super()._note(number, frame)  # the next one ends the process


def name_of(code: int) -> str:
    """The signal of an exit code."""
    import signal

    return signal.Signals(code - 128).name
