"""The number of threads, and running a plan on them.

Compiled code runs in one parallel region per call. To make that safe there is a lock where Numba's thread pool is not
re-entrant (`workqueue`), and by default never more threads than processors. A process that was forked after the pool
had started has no threads but its own, so all work is done on that one there, to the same bits.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.engine.forks import CODE
from fastbp.errors import ConfigError, ConfigTypeError, brief, whole_number
from fastbp.kernels.records import MAX_THREADS

PATIENCE = 4000  # looks of a thread of OpenMP for the next region, about 50 µs
START = 50e-6  # seconds until all threads of a region are awake
SLICE = 500e-6  # seconds: a thread that is later waits for its turn on a core
LATE = 1.5  # times the usual seconds of a call
RESTS = 20  # how much longer than it waited a team then rests
LONGEST = 1.0  # seconds of a rest, at most
AGEING = 1.02  # of the least seconds, a call: the clock of a core changes, and so does what else runs

_state = {"launched": False, "regions": False, "layer": False, "forked": False}
_entry = threading.RLock()
_own = threading.local()


def _after_fork() -> None:
    if _state["regions"]:
        _state["forked"] = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def is_forked() -> bool:
    """Whether the thread pool did not survive a fork."""
    return _state["forked"]


def usable(threads: int) -> int:
    """So many threads, or one where the thread pool did not survive a fork."""
    return 1 if is_forked() else threads


def quota(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> float:
    """The processor quota of this process's control group; infinity if there is none."""
    limit = float("inf")
    try:
        entries = [line.split(":", 2) for line in Path(own).read_text().splitlines()]
    except OSError:
        return limit
    for _, controllers, path in entries:
        if controllers == "":
            tops, ratio = [Path(root)], _ratio
        elif "cpu" in controllers.split(","):
            tops, ratio = [Path(root) / "cpu", Path(root) / controllers], _old_ratio
        else:
            continue
        for top in tops:
            place = top / path.strip("/")
            for folder in (place, *place.parents):  # parents' limits apply, too
                limit = min(limit, ratio(folder))
                if folder == top:
                    break
    return limit


def _ratio(folder: Path) -> float:
    try:
        allowed, period = (folder / "cpu.max").read_text().split()
        return float("inf") if allowed == "max" else int(allowed) / int(period)
    except (OSError, ValueError):
        return float("inf")


def _old_ratio(folder: Path) -> float:
    try:
        allowed = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return allowed / period if allowed > 0 else float("inf")
    except (OSError, ValueError):
        return float("inf")


def processors() -> int:
    """Processors this process may use: its affinity, limited by the control group's quota."""
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = quota()
    return max(1, min(mask, int(limit)) if limit != float("inf") else mask)


def _whole(where: str, value: Any) -> int:
    number = whole_number(where, value)
    if not 1 <= number <= MAX_THREADS:
        raise ConfigError(where, f"must be between 1 and {MAX_THREADS}", f"`{brief(number)}`")
    return number


@cache
def default_threads() -> int:
    """`FASTBP_NUM_THREADS`, by default as many threads as processors."""
    text = os.environ.get("FASTBP_NUM_THREADS", "").strip()
    if not text:
        return min(processors(), MAX_THREADS)
    if not text.lstrip("+-").isdecimal():
        raise ConfigTypeError("FASTBP_NUM_THREADS", "must be a whole number", f"`{text}`")
    return _whole("FASTBP_NUM_THREADS", int(text[:100]))  # Python refuses thousands of digits


class Lateness:
    """Whether single calls are better run by one thread for a while: a team waits for the one that has no core.

    Beside another process that wants the cores too, a region may take a slice of the scheduler, some milliseconds,
    where the calling thread alone would take a tenth of one. A team that was late rests for so long that waiting again
    costs a twentieth of the time, but never long: a process may have been stopped. Calls of many steps have more to go
    by: see `train.calls.Pace`.

    Calls are compared with those of as large a team that had the same work up to a factor of two: a row alone is rarely
    done in a hundredth of what a hundred rows take.
    """

    def __init__(self) -> None:
        self.usual: dict[tuple[int, int], tuple[int, float]] = {}  # by team and size of the work: work, least seconds
        self.until = 0.0

    def team(self, threads: int) -> int:
        """The number of threads for the next call, of so many at most."""
        return 1 if self.until and time.perf_counter() < self.until else threads

    def learn(self, work: int, threads: int, seconds: float) -> None:
        """Learn from the seconds that a team of so many threads took for so much work."""
        key = threads, work.bit_length()
        known, least = self.usual.get(key, (work, float("inf")))
        most = least * max(1.0, work / max(known, 1))  # less work may take as long
        late = seconds - most - START
        if late > SLICE and seconds > LATE * (most + START) and not fixed():
            self.until = time.perf_counter() + min(RESTS * late, LONGEST)
        self.usual[key] = (work, seconds) if seconds < AGEING * most else (known, AGEING * least)


@cache
def fixed() -> bool:
    """Whether `FASTBP_TEAM` says that plans take all threads they may have, not the number that is fastest."""
    text = os.environ.get("FASTBP_TEAM", "").strip()
    if text not in ("", "auto", "all"):
        raise ConfigError("FASTBP_TEAM", "must be `auto` or `all`", f"`{text}`")
    return text == "all"


@contextmanager
def alone() -> Iterator[None]:
    """Run everything this thread starts meanwhile on it alone, whatever the environment says."""
    before, _own.alone = _is_alone(), True
    try:
        yield
    finally:
        _own.alone = before


def _is_alone() -> bool:
    return bool(getattr(_own, "alone", False))


def chosen(threads: int | None) -> int:
    """The requested number of threads, or the default."""
    if threads is None:
        return 1 if _is_alone() else default_threads()
    return _whole("threads", threads)


@cache
def _layer_lock() -> Any:
    """The lock for a parallel region: Numba's workqueue aborts when two threads enter it."""
    numba: Any = import_module("numba")
    return _entry if numba.threading_layer() == "workqueue" else nullcontext()


def run(head: int, zero: Any, threads: int, real: str) -> None:
    """Run the plan at `head` on the number of threads in its head, which are `usable`."""
    from fastbp.engine.compiler import sweep

    if threads == 1:
        sweep("run_serial", real)(head, zero)
        return
    _region("run_parallel", real, threads, head, zero)


def run_many(heads: Sequence[int], teams: Sequence[int], zero: Any, threads: int, real: str) -> None:
    """Run the plans at these addresses, each on as many threads as its head and `teams` say, at most so many in all.

    The threads of each team are `usable`.
    """
    from fastbp.engine.compiler import sweep

    if len(heads) == 1:
        run(heads[0], zero, teams[0], real)
        return
    threads = usable(min(threads, sum(teams)))
    if threads < 2:
        for head in heads:
            sweep("run_serial", real)(head, zero)
        return
    places = np.array([(head, t) for head, team in zip(heads, teams, strict=True) for t in range(team)], np.int64)
    ticket = np.zeros(1, np.int64)
    _region("run_many", real, threads, places.ctypes.data, len(places), ticket.ctypes.data, threads, zero)


@contextmanager
def _patient() -> Iterator[None]:
    """Have the threads of OpenMP sleep soon after a region, unless the user says how they wait.

    One that sleeps takes some 25 µs to wake, which a loop of short calls would pay again and again, so they look for
    work as long as those do that wait within a region. By default they would do so some 300,000 times, and where other
    processes want these cores too, have used up their turn when there is work: each region then waits for the next,
    some milliseconds.
    """
    if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ or "KMP_BLOCKTIME" in os.environ:
        yield
        return
    os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"] = "passive", str(PATIENCE)
    try:
        yield
    finally:
        os.environ.pop("OMP_WAIT_POLICY", None)
        os.environ.pop("GOMP_SPINCOUNT", None)


def _region(name: str, real: str, threads: int, *arguments: Any) -> None:
    """Call an entry that is a parallel region of so many threads."""
    from fastbp.engine.compiler import sweep

    numba: Any = import_module("numba")
    if not _state["launched"]:
        with CODE, _patient():  # no fork while threads are being launched
            _state["regions"] = True
            sweep(name, real)
            numba.get_num_threads()  # launches them
            _state["launched"] = True
    entry = sweep(name, real)
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        if not _state["layer"]:
            with _entry:
                entry(*arguments)  # the first region chooses the layer
                _state["layer"] = True
        else:
            with _layer_lock():
                entry(*arguments)
    finally:
        numba.set_num_threads(before)
