"""Forks and locks: a child has only the thread that forked, so what the others held it would wait for, for ever.

Locks of the whole process, such as the one that is held while machine code is made, are taken before a fork and given
back after it on both sides: a fork waits for some seconds until no thread is in the middle of that. What belongs to one
network or trainer is not waited for. The child gets a new lock for what another thread was only reading, and
`ForkError` for what it was writing.
"""

from __future__ import annotations

import _imp
import _thread
import contextlib
import importlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from fastbp.errors import ForkError

PATIENCE = 10.0  # seconds that a fork waits
_RLock: Any = type(threading.RLock())
_locks: WeakSet[Lock] = WeakSet()
_taken: list[Any] = []  # before a fork, by the thread that forks


class Lock(_RLock):  # type: ignore[misc]
    """What one thread at a time holds, again and again if it likes.

    Attributes
    ----------
    of : str
        What it belongs to, in a message.
    writes : bool
        Whether who holds it now is in the middle of something that a child could not use.
    readers : set
        Objects whose `_forget` the child calls where another thread was reading.
    """

    of: str
    writes: bool
    readers: WeakSet[Any]


class Refused(Lock):
    """The lock, in a child, of what a thread of its parent had half written."""

    def __enter__(self) -> None:
        raise ForkError(
            f"this process was forked while another thread of its parent worked on {self.of}, which may be half"
            " written here\nhint: fork before such threads start, or start workers with"
            ' multiprocessing.get_context("spawn") or "forkserver"'
        )


def lock(of: str, writes: bool = False) -> Lock:
    """A new lock; `writes` is for what nobody holds only to read."""
    new = Lock()
    new.of, new.writes, new.readers = of, writes, WeakSet()
    _locks.add(new)
    return new


CODE = lock("its machine code", writes=True)  # held while machine code is made, loaded or proven
# Held while a name of the package loads what it needs; nothing of it takes CODE.
IMPORTS = lock("what the package imports", writes=True)


def _others_import() -> bool:
    """Whether another thread is in the middle of importing a module, which the child could never import then."""
    locks = getattr(importlib._bootstrap, "_module_locks", {})
    for name, module in list(sys.modules.items()):
        if getattr(getattr(module, "__spec__", None), "_initializing", False):
            held = locks.get(name)
            owner = getattr(held() if held else None, "owner", None)
            if owner is not None and owner != threading.get_ident():
                return True
    return False


def _acquired(one: Any, until: float) -> bool:
    """Take a lock, looking again and again: who waits for one that a thread takes anew at once never wakes in time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        while not one.acquire(blocking=False):
            if time.monotonic() > until:
                return False
        return True
    finally:
        sys.setswitchinterval(interval)


def _before() -> None:
    """Wait for every lock of the process, in the order in which threads take them, and for imports."""
    compiler = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
    llvm = getattr(getattr(sys.modules.get("llvmlite.binding.ffi"), "lib", None), "_lock", None)
    wanted = [CODE, IMPORTS, getattr(compiler, "_lock", None), getattr(llvm, "_lock", None)]
    with _logging():
        try:
            _wait(wanted, time.monotonic() + PATIENCE)
        except BaseException as error:  # the fork goes on without waiting: with what is free now
            _wait(wanted, 0.0)
            if not isinstance(error, KeyboardInterrupt):
                raise  # which Python prints, as it does with all that a hook raises
            threading.Thread(target=_interrupt, args=(threading.get_ident(),), daemon=True).start()


def _interrupt(thread: int) -> None:
    """Raise Ctrl-C again once this thread has left the hooks of its fork."""
    while any(frame.f_code in _HOOKS for frame in _frames(sys._current_frames().get(thread))):
        time.sleep(0.001)
    _thread.interrupt_main()


def _frames(frame: Any) -> Iterator[Any]:
    while frame is not None:
        yield frame
        frame = frame.f_back


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """Let go of the lock that logging's own hook may have taken already: an import that is waited for may want it."""
    lock: Any = getattr(sys.modules.get("logging"), "_lock", None)
    held = 0
    while lock is not None and lock._is_owned():
        lock.release()
        held += 1
    try:
        yield
    finally:
        for _ in range(held):
            lock.acquire()


def _wait(wanted: list[Any], until: float) -> None:
    while True:
        for one in wanted:
            if one is not None and _acquired(one, until):
                _taken.append(one)
        _imp.acquire_lock()  # no import begins
        _taken.append(_Import)
        if not _others_import() or time.monotonic() >= until:
            return
        _after()  # for what is imported may want them
        time.sleep(0.001)


class _Import:
    """Python's own lock of imports, to be given back as the others are."""

    release = staticmethod(_imp.release_lock)


def _after() -> None:
    while _taken:
        _taken.pop().release()


def _in_child() -> None:
    _after()
    for one in list(_locks):
        if one.acquire(blocking=False):  # free, or held by the thread that forked, which goes on here
            one.release()
            continue
        one._at_fork_reinit()
        if one.writes:
            one.__class__ = Refused
        else:
            for reader in list(one.readers):
                reader._forget()


_HOOKS = {hook.__code__ for hook in (_before, _after)}

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
