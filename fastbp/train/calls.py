"""Pacing of calls of compiled code: the number of steps, and their learning rates."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastbp.spec.losses import Loss
from fastbp.train.schedules import Constant, Schedule

CALL_SECONDS = 0.02  # seconds of a call, which delay Ctrl-C, progress and a look at the team
# Multiplications below which a step is fastest in one call on one thread: a parallel region and Python's part cost
# about 40 µs per call, which only `run` and `fit` spread over many steps.
ONE_CALL_WORK = 3_000_000
MOST_STEPS = 2**63 - 1  # the limit of a counter in compiled code
TRIAL_SECONDS, TURNS = 0.002, 3  # of a call while another number of threads is tried, and calls of each
HOPELESS = 1.7  # times the usual seconds of a step, after which a trial ends at once
LOOK_FIRST, LOOK_LAST = 0.01, 2.0  # seconds until the first trial, and the most between two short ones
SHARE = 20  # how much longer than a trial the time to the next one is, at least
SUSPICIOUS = 1.5  # a step that takes so many times the best: something has changed
WORTH_IT = 0.96  # of a step's time, for another number of threads
GROWTH = 4  # largest growth from one call to the next
LABELS = np.dtype(np.int64)
RATES_AHEAD = 256  # steps of a block of rates


class Pace:
    """The number of steps and threads of a call, learned from the time of earlier calls.

    No bit depends on either. A second thread may cost more than it brings: phases of a small network end before another
    core has fetched their cache lines, and where another process takes one of the cores, all threads wait for the one
    on it. So another number of threads is tried for a moment and kept if it is faster: soon after the start, when calls
    become much slower, and otherwise more and more rarely. A plan is cut for the most threads, whatever is chosen here.

    Parameters
    ----------
    sizes : tuple of int
        Numbers of threads to choose from, ascending.
    first : int
        The one to start with.
    """

    def __init__(self, sizes: tuple[int, ...] = (1,), first: int = 1) -> None:
        self.sizes, self.threads = sizes, first
        self._usual = first
        self._estimate = 0.0  # seconds per step with the usual threads, which changes by a limited factor
        self._best = float("inf")
        self._duel: list[int] = []  # numbers of threads of the calls to come, while another is tried
        self._took: dict[int, list[float]] = {}  # seconds per step of those that are done
        self._up = first == sizes[0]  # whether the next trial is of more threads
        self._wait = LOOK_FIRST
        self._used = {first}  # numbers of threads that have run: a pool is launched, caches are warm
        self._slow = 0  # calls in a row that were much slower than the best
        self._begun = time.monotonic()  # of the time before the first trial, or of a trial
        self._look = self._rested = float("inf")  # when the next trial is due, and when it would be no large part

    def steps(self) -> int:
        """Steps for the next call; at first one."""
        seconds = TRIAL_SECONDS if self._duel else CALL_SECONDS
        return max(1, int(seconds / self._estimate)) if self._estimate else 1

    def learn(self, steps: int, seconds: float) -> None:
        """Learn from a call's steps and seconds."""
        took = seconds / max(steps, 1)
        if self._duel:
            self._fight(took)
            return
        # The first call may be slow for other reasons, so estimates change by a limited factor.
        least = self._estimate / GROWTH
        known, self._estimate = 0.0 < least < took, max(took, least)
        if len(self.sizes) == 1 or not known:
            return
        now = time.monotonic()
        if self._best == float("inf"):  # a trial of single steps takes several
            self._rested = self._look = self._begun + max(LOOK_FIRST, SHARE * TURNS * took)
        self._slow = self._slow + 1 if took > SUSPICIOUS * self._best else 0
        if self._slow == 2:
            self._best, self._look, self._wait, self._up = took, max(now, self._rested), LOOK_FIRST, False
        self._best = min(self._best, took)
        if now >= self._look:
            at = self.sizes.index(self._usual)
            other = self.sizes[at + 1 if (self._up and at + 1 < len(self.sizes)) or at == 0 else at - 1]
            warm_up = [] if other in self._used else [other]
            self._duel, self._took = warm_up + [other, self._usual] * TURNS, {other: [], self._usual: []}
            self.threads, self._up, self._begun = other, not self._up, now

    def _fight(self, took: float) -> None:
        """Note a call of a trial; at its end keep the number of threads whose median call was faster."""
        number = self._duel.pop(0)
        if number not in self._used:
            self._used.add(number)
            self._begun = time.monotonic()
            return
        self._took[number].append(took)
        if number != self._usual and took > HOPELESS * self._estimate:
            self._duel = []
        if self._duel:
            self.threads = self._duel[0]
            return
        other = next(size for size in self._took if size != self._usual)
        # Not the best of each: a neighbour that is between two of its slices would make it.
        here, there = (sorted(self._took[size] or [0.0])[len(self._took[size]) // 2] for size in (self._usual, other))
        if there < WORTH_IT * here:
            self._usual, self._estimate, self._best, self._wait = other, there, there, LOOK_FIRST
        else:
            self._wait = min(2.0 * self._wait, LOOK_LAST)
        self.threads, self._slow, now = self._usual, 0, time.monotonic()
        self._rested = now + SHARE * (now - self._begun)
        self._look = max(now + self._wait, self._rested)


class Rates:
    """Learning rates of future steps, computed in blocks, and the factors of what else has a schedule, `others`."""

    def __init__(self, schedule: Schedule, others: Mapping[str, Schedule] | None = None) -> None:
        self.schedule = schedule
        self.others = {name: Rates(other) for name, other in (others or {}).items()}
        self.constant = schedule == Constant()
        self.total = 0  # steps at the end of the current fit or run, 0 if unknown
        self._ahead: tuple[int, int, Any] = (0, 0, ())  # first step, total, factors

    def of(self, lr: float, step: int, count: int) -> Any:
        """Rates of `count` steps from `step` on: an array, or one number for all."""
        if self.constant:
            return lr
        first, total, factors = self._ahead
        at = step - first
        if total != self.total or not 0 <= at <= len(factors) - count:
            factors = self.schedule.factors(step, max(count, RATES_AHEAD), self.total or None)
            self._ahead = step, self.total, factors
            at = 0
        return lr * factors[at : at + count]

    def put(self, plan: Any, lr: float, step: int, count: int) -> None:
        """Write the rates of `count` steps, and those factors, where a plan reads them."""
        plan.rates[:count] = self.of(lr, step, count)
        for name, other in self.others.items():
            other.total = self.total
            plan.factors[name][:count] = other.of(1.0, step, count)

    def one(self, lr: float, step: int) -> float:
        """The rate of one step; refuses schedules without a known end."""
        for other in self.others.values():
            other.total = self.total
            other.one(1.0, step)
        return lr if self.constant else float(self.of(lr, step, 1)[0])


def fits_one_call(X: Any, y: Any, batch: int, inputs: int, loss: Loss, outputs: int) -> bool:
    """Whether a step on these arrays can be checked and done in compiled code alone."""
    if type(X) is not np.ndarray or type(y) is not np.ndarray or loss.limited:
        return False
    size = X.shape
    if len(size) != 2 or size[1] != inputs or not 0 < size[0] <= batch:
        return False
    wanted = (size[0],) if loss.of_labels else (size[0], outputs)
    return bool(y.shape == wanted)
