"""What this machine can do: its peak, its caches, and what threads cost. All of it takes a tenth of a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fastbp.engine import threads as teams
from fastbp.engine.compiler import kernel_address, sweep
from fastbp.engine.memory import Arena
from fastbp.engine.plan import Table, add_team
from fastbp.kernels.fields import LINE
from fastbp.kernels.records import END_NOTHING, ROW_PHASE, Head, Phase
from fastbp.sweeps.probes import flops_of_a_turn

REAL, ZERO = "float32", np.float32(0)
SHORT, TRIES = 0.002, 6  # seconds of a measurement of the peak, and how many there are
HANDOVERS, PHASES, CALLS = 2000, 200, 50
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True)
class Profile:
    """Rates, times and sizes; None where this machine cannot say.

    Attributes
    ----------
    peak_gflops : float
        Billions of operations a second on one core, in fused multiply-adds of float32 in registers.
    threads : int
        How many threads the following numbers are of.
    peak_gflops_of_all : float
        The same on that many.
    launch_us : float
        Microseconds of a call on all threads that finds nothing to do.
    barrier_ns : float
        Nanoseconds from one phase of a plan to the next, on all threads.
    crossing_ns : float or None
        Nanoseconds until a line that one core has written is read by another; None on one processor.
    l1_bytes, l2_bytes, l3_bytes : int or None
        Sizes of the first core's data caches.
    """

    peak_gflops: float
    threads: int
    peak_gflops_of_all: float
    launch_us: float
    barrier_ns: float
    crossing_ns: float | None
    l1_bytes: int | None
    l2_bytes: int | None
    l3_bytes: int | None


def measure(threads: int) -> Profile:
    """Measure this machine with so many threads."""
    one = peak(1)
    caches = cache_sizes()
    return Profile(
        peak_gflops=one,
        threads=threads,
        peak_gflops_of_all=peak(threads) if threads > 1 else one,
        launch_us=1e6 * seconds_of_phases(1, threads),
        barrier_ns=1e9 * barrier(threads),
        crossing_ns=None if threads == 1 else crossing(),
        l1_bytes=caches.get(1),
        l2_bytes=caches.get(2),
        l3_bytes=caches.get(3),
    )


def peak(threads: int) -> float:
    """Billions of operations a second of so many threads, in fused multiply-adds; the best of several tries."""
    chains = sweep("fma_chains", REAL)
    arena = Arena()
    places = [arena.take(LINE) for _ in range(threads)]
    turns = 1000
    while seconds_of(partial(chains, turns, places[0], ZERO)) < SHORT:
        turns *= 2
    best = min(together([partial(chains, turns, place, ZERO) for place in places]) for _ in range(TRIES))
    return threads * turns * flops_of_a_turn(ZERO.itemsize) / best / 1e9


def together(works: list[Callable[[], object]]) -> float:
    """Do each in a thread of its own, beginning together; returns the seconds until the last has ended."""
    if len(works) == 1:
        return seconds_of(works[0])
    start = threading.Barrier(len(works))
    begun, ended = [0.0] * len(works), [0.0] * len(works)

    def run(number: int) -> None:
        start.wait()
        begun[number] = time.perf_counter()
        works[number]()
        ended[number] = time.perf_counter()

    running = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return max(ended) - min(begun)


def seconds_of(work: Callable[[], object]) -> float:
    """The seconds that one call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def crossing() -> float | None:
    """Nanoseconds until what one core wrote is seen by another; None if two threads never ran at the same time."""
    hand_over = sweep("hand_over", REAL)
    arena = Arena()
    best = float("inf")

    def hand(word: int, me: int, took: list[float]) -> None:
        begun = time.perf_counter()
        done = hand_over(word, me, HANDOVERS, ZERO)
        took[me] = time.perf_counter() - begun if done else float("inf")

    for _ in range(TRIES):
        word, took = arena.take(LINE), [0.0, 0.0]
        together([partial(hand, word, me, took) for me in (0, 1)])
        if max(took) < float("inf"):
            best = min(best, *took)  # the one that came last did not wait for the other
    return 1e9 * best / (2 * HANDOVERS) if best < float("inf") else None


def barrier(threads: int) -> float:
    """Seconds from one phase to the next."""
    return max(0.0, seconds_of_phases(PHASES, threads) - seconds_of_phases(1, threads)) / (PHASES - 1)


def seconds_of_phases(count: int, threads: int) -> float:
    """Seconds of a plan of phases that have a task for each thread and nothing in it: the best of some calls."""
    arena = Arena()
    empty = Phase(kind=ROW_PHASE, end=END_NOTHING, op_count=0, groups=1, block=1)
    phases = Table.of(arena, Phase, [empty] * count)
    table = Table(arena, Head, 1)
    head = table.records[0]
    head.phases, head.phase_count, head.data.rows = phases.address, count, threads
    add_team(arena, table, threads)
    head.team.threads = threads = teams.usable(threads)
    head.team.begin, head.team.work = (kernel_address(name, REAL) for name in ("begin", "work"))
    return min(seconds_of(lambda: teams.run(table.address, ZERO, threads, REAL)) for _ in range(CALLS))


def cache_sizes(folder: Path = CACHES) -> dict[int, int]:
    """Bytes of the data caches by level, as the system knows them; empty where it does not."""
    found = {}
    for index in sorted(folder.glob("index*")):
        try:
            kind, level, size = ((index / name).read_text().strip() for name in ("type", "level", "size"))
        except OSError:
            continue
        units = {"K": 1 << 10, "M": 1 << 20}
        if kind in ("Data", "Unified") and size[:-1].isdecimal() and level.isdecimal() and size[-1] in units:
            found[int(level)] = int(size[:-1]) * units[size[-1]]
    return found
