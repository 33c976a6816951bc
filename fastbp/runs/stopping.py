"""Ways in which a run ends early, with a checkpoint."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

HANG_UP = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()  # the terminal was closed
TIME_IS_UP = 75  # exit code: stopped, and can be resumed


class Stopped(Exception):
    """The run stops, with a checkpoint.

    Parameters
    ----------
    reason : str
    code : int
        Exit code.
    """

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code
        self.resumable = True


class Signals:
    """Turns the first SIGINT or SIGTERM into a flag, checked between chunks; the second ends the process."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, *HANG_UP):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        for each in self._before:
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)

    def check(self) -> None:
        """Raise if a signal has arrived."""
        if self.received is not None:
            name = signal.Signals(self.received).name
            raise Stopped(f"stopped by {name}", 128 + self.received)
