"""Files that are there as a whole or not at all, for everything that fastbp writes.

A file is written under a name of its own beside its place, `.fastbp-xxxxxxxxxxxxxxxx.tmp`, and moved there in one step,
so that nobody, not even a crash, ever sees half of it. While it is written its name is locked: what a process that was
killed has left is not, and the next one that writes into the folder removes it.

A link stays a link, and a file that is replaced keeps its permissions. What is no file, such as a pipe or a device, is
written to as it is. Files that belong together, such as those of a run, take their places whatever stands there: what a
link leads to stays as it is. Errors are `FileError` and name the file, not the name of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fastbp.errors import FileError

TEMPORARY = re.compile(r"\.fastbp-[0-9a-f]{16}\.tmp")
FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
DAY = 86400.0  # after which a name is nobody's, where files cannot be locked


@contextlib.contextmanager
def whole(path: str | Path, lasting: bool = True, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file to write, which takes its place at the end; where anything goes wrong, what was there stays.

    One that is to be `lasting` outlives a power cut, too, for which the disk is waited for. Only an error of the file's
    own may be raised inside, as it is said to be one.
    """
    draft = _Draft(Path(path))
    with _moving([draft], lasting), naming(path):
        yield draft.opened(mode)


def write_together(files: dict[Path, bytes], lasting: bool = True) -> None:
    """Several files of one folder: none takes its place before all are written, with one wait for all."""
    drafts = [_Draft(path, follow=False) for path in files]
    with _moving(drafts, lasting):
        for draft, content in zip(drafts, files.values(), strict=True):
            with naming(draft.path):
                draft.opened().write(content)


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Errors of the system are about this file; some name none, and others a temporary one."""
    try:
        yield
    except (FileError, BrokenPipeError):  # the latter says that a reader has gone, which is no fault
        raise
    except OSError as error:
        raise FileError.of(error, path) from None


def sweep(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left in a folder."""
    with contextlib.suppress(OSError):
        for name in filter(TEMPORARY.fullmatch, os.listdir(folder)):
            with contextlib.suppress(OSError):
                _remove_abandoned(folder / name)


class _Draft:
    """A file until it takes its place."""

    def __init__(self, path: Path, follow: bool = True) -> None:
        self.path = path
        self.place = Path(os.path.realpath(path)) if follow and os.path.islink(path) else path
        self.special = follow and os.path.exists(self.place) and not os.path.isfile(self.place)
        self._name = self.place
        self._lock: int | None = None
        self.file: BinaryIO | None = None

    def opened(self, mode: int = 0o666) -> BinaryIO:
        """Begin: a file that was not there, with the permissions of the one it is to replace or that new files get."""
        if self.special:
            self.file = open(self.place, "wb")  # noqa: SIM115
            return self.file
        sweep(self.place.parent)
        while True:
            self._name = self.place.parent / f".fastbp-{os.urandom(8).hex()}.tmp"
            handle = os.open(self._name, FLAGS, mode)
            self.file = os.fdopen(handle, "wb")
            with contextlib.suppress(BlockingIOError):
                self._lock = _locked(handle)
                if os.path.exists(self._name):
                    break
            self.drop()  # another process sweeps it, or has done so, since it was not locked yet
        with contextlib.suppress(OSError):  # there is none to replace, or its mode is not for us to give
            os.chmod(self._name, stat.S_IMODE(self.place.stat().st_mode) & 0o777)
        return self.file

    def flush(self, lasting: bool) -> None:
        """Hand what was written to the system, and wait until it is on the disk."""
        if self.file is not None:
            with naming(self.path):
                self.file.flush()
                if lasting and not self.special:
                    os.fsync(self.file.fileno())

    def close(self) -> None:
        """Hear of the last errors; the lock stays until the file has moved."""
        if self.file is not None:
            with naming(self.path):
                self.file.close()

    def move(self) -> None:
        """Take the place."""
        if not self.special:
            with naming(self.path):
                os.replace(self._name, self.place)
            self._name = self.place

    def drop(self) -> None:
        """Leave nothing behind, whatever has happened."""
        if self._name != self.place:
            with contextlib.suppress(OSError):
                os.unlink(self._name)
        self._close()

    def _close(self) -> None:
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.file.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextlib.contextmanager
def _moving(drafts: list[_Draft], lasting: bool) -> Iterator[None]:
    """Drafts are written inside; none moves before all are written."""
    try:
        yield
        _flush(drafts, lasting)
        for draft in drafts:
            draft.close()
        for draft in drafts:
            draft.move()
        if lasting:
            for folder in {draft.place.parent for draft in drafts}:
                _sync_folder(folder)
    finally:
        for draft in drafts:
            draft.drop()


def _flush(drafts: list[_Draft], lasting: bool) -> None:
    """Wait for the disk, for several files at once."""
    if len(drafts) == 1 or not lasting:  # without threads, of which Python starts none while it ends
        for draft in drafts:
            draft.flush(lasting)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(drafts)) as pool:
        list(pool.map(_Draft.flush, drafts, [lasting] * len(drafts)))


def _sync_folder(folder: Path) -> None:
    """Let moves outlast a power cut, where folders can be synchronised."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _locked(handle: int) -> int | None:
    """Lock an open file; what holds the lock when the file is closed, where there are such locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.dup(handle)
    except BlockingIOError:
        raise
    except (ImportError, OSError):
        return None


def _remove_abandoned(path: Path) -> None:
    """Remove a file that nobody writes."""
    handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        if stat.S_ISREG(os.fstat(handle).st_mode) and _is_abandoned(handle):
            path.unlink()
    finally:
        os.close(handle)


def _is_abandoned(handle: int) -> bool:
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # there are no locks
        return time.time() - os.fstat(handle).st_mtime > DAY
