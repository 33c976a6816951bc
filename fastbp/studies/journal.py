"""The journal of a study: a backend of Optuna's JournalStorage that a killed process can neither block nor damage.

Optuna's own backend locks by a file that only its holder removes: where the holder was killed, everyone waits for 30
seconds. And where it was killed within a line, the next line is joined to that half one, and no process can read the
journal any more. Here the lock is one of the system, on the journal itself, which ends with its holder; and who has the
lock cuts half a line off before writing. The lines are those of Optuna: `JournalFileBackend` reads them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastbp.errors import CheckpointError
from fastbp.studies.locks import locked
from fastbp.writing import naming

END = b"\n"
ONLY_READ = (errno.EACCES, errno.EPERM, errno.EROFS)
BLOCK = 1 << 16  # bytes that are read at once to find the end of a line
SYNCED = 1.0  # seconds between syncs: what a power cut takes is done again


class Journal:
    """Lines of JSON in a file.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = -1
        self._at = (0, 0)  # lines that were read, and where the next one begins
        self._synced = 0.0
        self.reopen()

    def reopen(self) -> None:
        """Open the file again, which on a shared folder has what other machines wrote."""
        with naming(self.path):
            self.close()
            try:
                self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            except OSError as error:
                if error.errno not in ONLY_READ:
                    raise
                self._handle = os.open(self.path, os.O_RDONLY)  # of another user, who lets others look at it

    def close(self) -> None:
        """Close it."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def __del__(self) -> None:
        with contextlib.suppress(OSError):  # what was written is written
            self.close()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The whole lines from this one on."""
        with naming(self.path):
            if log_number_from != self._at[0]:
                self._at = self._place(log_number_from)
            number, start = self._at
            content = self._content(start)
        whole = content[: content.rfind(END) + 1]
        lines = whole.split(END)[:-1]
        found = [self._parsed(line, number + i) for i, line in enumerate(lines)]
        self._at = number + len(found), start + len(whole)
        return iter(found)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines: all of them, or none."""
        content = b"".join(json.dumps(log, separators=(",", ":")).encode() + END for log in logs)
        with naming(self.path), locked(self._handle, self.path):
            self._write(content)

    def _write(self, content: bytes) -> None:
        handle = self._handle
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != END:
            size = _last_end(handle, size)
            os.ftruncate(handle, size)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(handle, left) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, size)
            raise
        if (now := time.monotonic()) - self._synced >= SYNCED:
            os.fsync(handle)
            self._synced = now

    def _content(self, start: int) -> bytes:
        """What the file has from a place on."""
        found = []
        while block := os.pread(self._handle, BLOCK, start):
            found.append(block)
            start += len(block)
        return b"".join(found)

    def _place(self, number: int) -> tuple[int, int]:
        """A line's number, and where it begins."""
        content, start = self._content(0), 0
        for _ in range(number):
            start = content.index(END, start) + 1
        return number, start

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            raise CheckpointError(self.path, f"must be lines of JSON, but line {number + 1} is not") from None
        return found


def _last_end(handle: int, size: int) -> int:
    """Where the last whole line ends."""
    while size:
        start = max(0, size - BLOCK)
        found = os.pread(handle, size - start, start).rfind(END)
        if found >= 0:
            return start + found + 1
        size = start
    return 0
