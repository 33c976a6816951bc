"""When a run writes while it trains: checkpoints, epochs that have ended, and what a stop leaves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from fastbp.config.build import Plan
from fastbp.config.text import as_yaml
from fastbp.errors import FileError
from fastbp.runs.folder import RunFolder, environment
from fastbp.runs.stopping import TIME_IS_UP, Signals, Stopped
from fastbp.runs.subject import absolute

WRITING = 0.03  # of a run's time for checkpoints, at most: any older one leads to the same bits
FLUSH_SECONDS = 0.25  # seconds between writes of finished epochs
RETRY_SECONDS = 5.0  # seconds before a failed write is tried again


class Saving:
    """A run as far as it writes its folder while it trains.

    Attributes
    ----------
    begun : float
        When the run began, by `time.perf_counter`, as the times below.
    due, flush_at : float
        When the next checkpoint, and the next write of epochs, is due.
    lasting : bool
        Whether what it writes is to survive a power cut, and not only the end of the process.
    """

    plan: Plan
    folder: RunFolder
    progress: Any
    signals: Signals
    begun: float
    due: float
    flush_at: float
    lasting: bool = True

    @property
    def may_end(self) -> bool:
        """Whether the time limit may end it now."""
        return True

    def open_folder(self, resolved: dict[str, Any], rows: list[dict[str, Any]], threads: int) -> float:
        """Write what is known before training; returns the seconds that a lasting write takes."""
        folder = self.folder
        folder.remove(folder.result)  # of fewer epochs
        begun = time.perf_counter()
        folder.write(folder.config, as_yaml(absolute(resolved)), lasting=self.lasting)
        waited = time.perf_counter() - begun
        folder.remove(folder.begun)
        folder.write_history(rows)
        if not folder.environment.is_file():
            folder.write(folder.environment, json.dumps(environment(threads), indent=2) + "\n")
        return waited

    def set_due(self, seconds: float) -> None:
        """Set when the next checkpoint is due, as one took so many seconds."""
        self.due = time.perf_counter() + max(self.plan.config.run.checkpoint_seconds, seconds / WRITING)

    def look_up(self, save: Callable[[], None], resumable: bool = True) -> None:
        """Save if that is due, and stop if requested; what cannot be resumed is saved at a stop only."""
        now = time.perf_counter()
        try:
            self.check_stops(now)
        except Stopped as stop:
            stop.resumable = resumable
            save()
            raise
        if resumable and now >= self.due:
            self._try_to(save)
        if now >= self.flush_at and self.folder.unwritten:
            self._try_to(self.folder.flush)
            self.flush_at = time.perf_counter() + FLUSH_SECONDS

    def check_stops(self, now: float) -> None:
        """Raise if the time is up, or a signal has arrived."""
        limit = self.plan.time_limit
        if limit is not None and now - self.begun >= limit and self.may_end:
            raise Stopped(f"the time limit of {limit:g} seconds is reached", TIME_IS_UP)
        self.signals.check()

    def _try_to(self, write: Callable[[], None]) -> None:
        """Write, or report why that fails; the run continues."""
        try:
            write()
        except FileError as error:
            self.due = self.flush_at = time.perf_counter() + RETRY_SECONDS
            self.progress.say(f"{error}; training continues, and the write is tried again")
