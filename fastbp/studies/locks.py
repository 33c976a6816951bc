"""Locks that processes share by a file, and that the system frees when their holder dies, however it dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from fastbp.errors import DependencyError, FileError
from fastbp.writing import naming


@contextlib.contextmanager
def locked(handle: int, path: Path) -> Iterator[None]:
    """Hold the lock of an open file, and wait for it."""
    _flock(handle, path, wait=True)
    try:
        yield
    finally:
        _unlock(handle)


@contextlib.contextmanager
def locked_at(path: Path) -> Iterator[None]:
    """Hold the lock of a file that stays."""
    with naming(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with locked(handle, path):
            yield
    finally:
        _close(handle)


class Held:
    """The lock of a file that its last holder removes."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path, self._handle = path, handle

    @classmethod
    def take(cls, path: Path) -> Held | None:
        """The lock, or None where another process has it."""
        while True:
            with naming(path):
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if not _flock(handle, path, wait=False):
                    _close(handle)
                    return None
                with naming(path):
                    if _is_at(handle, path):
                        return cls(path, handle)
            except BaseException:
                _close(handle)
                raise
            _close(handle)  # its holder has removed it, so another process may hold a new one

    def release(self, remove: bool = True) -> None:
        """Free it, and remove the file, while the lock is held: who has opened it meanwhile sees that it is gone."""
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink()
        _close(self._handle)


def is_free(path: Path) -> bool:
    """Whether no process holds the lock of this file; without a file none does."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return True
    try:
        return _flock(handle, path, wait=False)
    finally:
        _close(handle)


def _flock(handle: int, path: Path, wait: bool) -> bool:
    try:
        import fcntl
    except ImportError:
        raise DependencyError("a sweep needs locks of files, which Python has on Linux and macOS") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        must = f"`{path.parent}` must be where files can be locked, as otherwise two processes would take one trial"
        raise FileError(f"{must} ({error.strerror})", error.errno, error.strerror, str(path)) from None


def _unlock(handle: int) -> None:
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)


def _close(handle: int) -> None:
    """Close a file that has nothing in it, so that nothing is lost where that fails."""
    with contextlib.suppress(OSError):
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
