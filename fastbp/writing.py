"""Atomic writing of files, used for everything that fastbp writes.

A file is written under a temporary name in its folder, `.fastbp-xxxxxxxxxxxxxxxx.tmp`, and renamed, so that not even a
crash leaves half of it. The temporary file is locked while it is written; the next writer in the folder removes
unlocked ones, left by killed processes.

Links are followed, and a replaced file keeps its permissions. Pipes and devices are written directly. Files written
together, such as those of a run, replace links instead of following them. Errors are `FileError` and name the file, not
its temporary name.
"""

from __future__ import annotations

import contextlib
import errno
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
DAY = 86400.0  # age of an abandoned file, where files cannot be locked


@contextlib.contextmanager
def whole(path: str | Path, lasting: bool = True, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces the old one at the end; on errors the old one stays.

    A `lasting` file is synchronised to disk, to survive a power cut. An OSError raised inside is reported as one of the
    file.
    """
    draft = _Draft(Path(path))
    with _moving([draft], lasting), naming(path):
        yield draft.opened(mode)


def write_together(files: dict[Path, bytes], lasting: bool = True) -> None:
    """Write several files of one folder: none is renamed before all are written and synchronised."""
    drafts = [_Draft(path, follow=False) for path in files]
    with _moving(drafts, lasting):
        for draft, content in zip(drafts, files.values(), strict=True):
            with naming(draft.path):
                draft.opened().write(content)


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Turn errors of the system into errors about this file."""
    try:
        yield
    except (FileError, BrokenPipeError):  # a closed pipe is no error of the file
        raise
    except OSError as error:
        raise FileError.of(error, path) from None


def sweep(folder: Path) -> None:
    """Remove temporary files of killed processes from a folder."""
    with contextlib.suppress(OSError):
        for name in filter(TEMPORARY.fullmatch, os.listdir(folder)):
            with contextlib.suppress(OSError):
                _remove_abandoned(folder / name)


class _Draft:
    """A temporary file until it is renamed."""

    def __init__(self, path: Path, follow: bool = True) -> None:
        self.path = path
        self.place = Path(os.path.realpath(path)) if follow and os.path.islink(path) else path
        self.special = follow and os.path.exists(self.place) and not os.path.isfile(self.place)
        self._name = self.place
        self._lock: int | None = None
        self.file: BinaryIO | None = None

    def opened(self, mode: int = 0o666) -> BinaryIO:
        """Create it, with the permissions of the file to replace or of new files."""
        if self.special:
            self.file = open(self.place, "wb")  # noqa: SIM115
            return self.file
        if os.path.isdir(self.place):  # found before others of its kind are renamed
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        sweep(self.place.parent)
        while True:
            self._name = self.place.parent / f".fastbp-{os.urandom(8).hex()}.tmp"
            handle = os.open(self._name, FLAGS, mode)
            self.file = os.fdopen(handle, "wb")
            with contextlib.suppress(BlockingIOError):
                self._lock = _locked(handle)
                if os.path.exists(self._name):
                    break
            self.drop()  # another process has swept it before it was locked
        with contextlib.suppress(OSError):  # no file to replace, or its mode cannot be set
            os.chmod(self._name, stat.S_IMODE(self.place.stat().st_mode) & 0o777)
        return self.file

    def flush(self, lasting: bool) -> None:
        """Flush, and synchronise to disk."""
        if self.file is not None:
            with naming(self.path):
                self.file.flush()
                if lasting and not self.special:
                    os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close for the last errors; the lock is held until the rename."""
        if self.file is not None:
            with naming(self.path):
                self.file.close()

    def move(self) -> None:
        """Rename it to its final name."""
        if not self.special:
            with naming(self.path):
                os.replace(self._name, self.place)
            self._name = self.place

    def drop(self) -> None:
        """Remove it, whatever has happened."""
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
    """Write drafts inside; they are renamed once all are written."""
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
    """Synchronise several files at once."""
    if len(drafts) == 1 or not lasting:  # without threads, as Python starts none at exit
        for draft in drafts:
            draft.flush(lasting)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(drafts)) as pool:
        list(pool.map(_Draft.flush, drafts, [lasting] * len(drafts)))


def _sync_folder(folder: Path) -> None:
    """Synchronise a folder, where possible, so that renames survive a power cut."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _locked(handle: int) -> int | None:
    """Lock an open file; returns a descriptor that keeps the lock after the file is closed, if supported."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.dup(handle)
    except BlockingIOError:
        raise
    except (ImportError, OSError):
        return None


def _remove_abandoned(path: Path) -> None:
    """Remove a file that no process writes."""
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
    except (ImportError, OSError):  # locks are not supported
        return time.time() - os.fstat(handle).st_mtime > DAY
