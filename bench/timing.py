"""How time is taken: what a worker measures inside, and how two workers take turns.

A turn of training starts again from the initial weights; each warms up and is then timed for about PORTION seconds.
Turns alternate, ours then the rival's, so that a machine that slows down slows both; each neighbouring pair gives one
ratio. Between turns everything sleeps for PAUSE seconds, because the threads of a pool go on spinning after their last
work: up to 20 ms were measured under OpenMP, 0.1 ms in XLA (for OpenBLAS see `remote.py`).
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

PORTION = 0.3
PAUSE = 0.05


@dataclass(frozen=True)
class Pace:
    """How many steps fill a portion, and the seconds each took."""

    steps: int
    seconds: float


@dataclass(frozen=True)
class Turn:
    """One timed turn: seconds per step or call, the loss of the last step, and how many threads that one took."""

    seconds: float
    loss: float | None = None
    team: int = 1


@dataclass
class Duel:
    """The turns of ours and of one rival, in pairs, as microseconds per step."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """The rival's time over ours, pair by pair."""
        return [their / our for our, their in zip(self.ours, self.theirs, strict=True)]


@dataclass(frozen=True)
class Spread:
    """The median and the extremes of some numbers."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, numbers: list[float]) -> Spread:
        return cls(statistics.median(numbers), min(numbers), max(numbers))


def timed(run: Callable[[int], None], steps: int) -> float:
    """Return the seconds that `run(steps)` took."""
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start


def pace(run: Callable[[int], None], portion: float = PORTION) -> Pace:
    """Find how many steps fill a portion; each length runs once untimed first, so that it is compiled."""
    steps = 1
    while True:
        run(steps)
        seconds = timed(run, steps)
        if seconds >= portion / 2:
            return Pace(steps, seconds / steps)
        steps = math.ceil(steps * min(100.0, portion / max(seconds, 1e-9)))


def turn(run: Callable[[int], None], steps: int) -> float:
    """Warm up for a tenth of the steps, then return the seconds that each of `steps` took."""
    run(max(1, steps // 10))
    return timed(run, steps) / steps


def duel(ours: Callable[[], float], theirs: Callable[[], float], rounds: int, pause: float = PAUSE) -> Duel:
    """Let two contenders, each a function that returns its seconds per step, take turns."""
    result = Duel()
    for _ in range(rounds):
        for side, times in [(ours, result.ours), (theirs, result.theirs)]:
            time.sleep(pause)
            times.append(1e6 * side())
    return result


def contest(sides: dict[int, Callable[[], float]], rounds: int, pause: float = PAUSE) -> dict[int, list[float]]:
    """Let several contenders, each a function that returns its seconds per step, take turns; microseconds of each.

    Another one begins each round, since a turn is not without effect on the next: caches, clocks, a neighbour's slices.
    """
    took: dict[int, list[float]] = {name: [] for name in sides}
    order = list(sides)
    for _ in range(rounds):
        for name in order:
            time.sleep(pause)
            took[name].append(1e6 * sides[name]())
        order = [*order[1:], order[0]]
    return took


def thread_counts(most: int) -> list[int]:
    """Return the counts a rival is tried with, and fastbp chooses from: the powers of two below `most`, and `most`.

    >>> thread_counts(6)
    [1, 2, 4, 6]
    """
    return [2**k for k in range(most.bit_length()) if 2**k < most] + [most]
