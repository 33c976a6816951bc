"""Forks and locks: a child has only the thread that forked, so it would wait for ever for locks held by others.

Locks of the whole process, such as the compiler's, are acquired before a fork, for some seconds at most, and released
after it on both sides. Locks of one network or trainer are not waited for: the child gets a new lock for what another
thread was only reading, and `ForkError` for what it was writing.
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

PATIENCE = 10.0  # seconds that a fork waits at most
_RLock: Any = type(threading.RLock())
_locks: WeakSet[Lock] = WeakSet()
_taken: list[Any] = []  # by the forking thread, before the fork


class Lock(_RLock):  # type: ignore[misc]
    """A re-entrant lock that survives forks.

    Attributes
    ----------
    of : str
        What it protects, for messages.
    writes : bool
        Whether the holder is writing, so that a child could not use the data.
    readers : set
        Objects whose `_forget` the child calls if another thread was reading.
    """

    of: str
    writes: bool
    readers: WeakSet[Any]


class Refused(Lock):
    """The lock, in a child, of data that the parent may have half written."""

    def __enter__(self) -> None:
        raise ForkError(
            f"this process was forked while another thread of its parent worked on {self.of},"
            " which may be half written here",
            hint="fork before such threads start, or start workers with"
            ' multiprocessing.get_context("spawn") or "forkserver"',
        )


def lock(of: str, writes: bool = False) -> Lock:
    """A new lock; `writes` means that every holder writes."""
    new = Lock()
    new.of, new.writes, new.readers = of, writes, WeakSet()
    _locks.add(new)
    return new


CODE = lock("its machine code", writes=True)  # held while machine code is compiled, loaded or proven
# Held while a name of the package is loaded lazily; never acquired before CODE.
IMPORTS = lock("what the package imports", writes=True)


def _others_import() -> bool:
    """Whether another thread is importing a module, which the child could then never import."""
    locks = getattr(importlib._bootstrap, "_module_locks", {})
    for name, module in list(sys.modules.items()):
        if getattr(getattr(module, "__spec__", None), "_initializing", False):
            held = locks.get(name)
            owner = getattr(held() if held else None, "owner", None)
            if owner is not None and owner != threading.get_ident():
                return True
    return False


def _acquired(one: Any, until: float) -> bool:
    """Acquire a lock by polling: a waiter starves if another thread re-acquires it at once."""
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
    """Acquire every lock of the process, in lock order, and wait for imports."""
    compiler = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
    llvm = getattr(getattr(sys.modules.get("llvmlite.binding.ffi"), "lib", None), "_lock", None)
    wanted = [CODE, IMPORTS, getattr(compiler, "_lock", None), getattr(llvm, "_lock", None)]
    with _logging():
        try:
            _wait(wanted, time.monotonic() + PATIENCE)
        except BaseException as error:  # fork without waiting, with the locks that are free now
            _wait(wanted, 0.0)
            if not isinstance(error, KeyboardInterrupt):
                raise  # Python prints what a hook raises
            threading.Thread(target=_interrupt, args=(threading.get_ident(),), daemon=True).start()


def _interrupt(thread: int) -> None:
    """Raise KeyboardInterrupt again after the fork hooks."""
    while any(frame.f_code in _HOOKS for frame in _frames(sys._current_frames().get(thread))):
        time.sleep(0.001)
    _thread.interrupt_main()


def _frames(frame: Any) -> Iterator[Any]:
    while frame is not None:
        yield frame
        frame = frame.f_back


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """Release the lock that logging's fork hook may hold: a pending import may need it."""
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
        _after()  # imports may need them
        time.sleep(0.001)


class _Import:
    """Python's import lock, with the interface of the others."""

    release = staticmethod(_imp.release_lock)


def _after() -> None:
    while _taken:
        _taken.pop().release()


def _in_child() -> None:
    _after()
    for one in list(_locks):
        if one.acquire(blocking=False):  # free, or held by the forking thread, which continues here
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
