"""Pacing of calls of compiled code: the number of steps, and their learning rates."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.spec.losses import Loss
from fastbp.train.schedules import Constant, Schedule

CALL_SECONDS = 0.05  # seconds of a call, which delay Ctrl-C and progress
# Multiplications below which a step is fastest in one call on one thread: a parallel region and Python's part cost
# about 40 µs per call, which only `run` and `fit` spread over many steps.
ONE_CALL_WORK = 3_000_000
MOST_STEPS = 2**63 - 1  # the limit of a counter in compiled code
GROWTH = 4  # largest growth from one call to the next
RATES_AHEAD = 256  # steps of a block of rates


class Pace:
    """The number of steps in a call, learned from the time of earlier calls."""

    def __init__(self) -> None:
        self._seconds_per_step = 0.0

    def steps(self) -> int:
        """Steps for the next call; at first one."""
        return max(1, int(CALL_SECONDS / self._seconds_per_step)) if self._seconds_per_step else 1

    def learn(self, steps: int, seconds: float) -> None:
        """Learn from a call's steps and seconds."""
        # The first call may be slow for other reasons, so estimates grow by a limited factor.
        limit = self._seconds_per_step / GROWTH
        self._seconds_per_step = max(seconds / max(steps, 1), limit)


class Rates:
    """Learning rates of future steps, computed in blocks."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
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

    def one(self, lr: float, step: int) -> float:
        """The rate of one step; refuses a schedule without a known end."""
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
