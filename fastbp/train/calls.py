"""What one call of compiled code is given: how many steps, and the learning rate of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.spec.losses import Loss
from fastbp.train.schedules import Constant, Schedule

CALL_SECONDS = 0.05  # how long compiled code runs before Python may answer Ctrl-C and draw
# Multiplications below which one step is fastest in one call on one thread: starting a region and what Python does
# around it cost about 40 µs a call, which only `run` and `fit` spread over many steps.
ONE_CALL_WORK = 3_000_000
MOST_STEPS = 2**63 - 1  # that compiled code can count
GROWTH = 4  # how much longer a call may be than the one before, while their time is being learned
RATES_AHEAD = 256  # steps for which a schedule is asked at once


class Pace:
    """How many steps fit into one call, learned from how long the calls before took."""

    def __init__(self) -> None:
        self._seconds_per_step = 0.0

    def steps(self) -> int:
        """Steps for the next call; one, as long as nothing is known."""
        return max(1, int(CALL_SECONDS / self._seconds_per_step)) if self._seconds_per_step else 1

    def learn(self, steps: int, seconds: float) -> None:
        """Steps that took so long."""
        # The first call may be slow for reasons of its own: never believe more than a few times the last estimate.
        limit = self._seconds_per_step / GROWTH
        self._seconds_per_step = max(seconds / max(steps, 1), limit)


class Rates:
    """Learning rates of the steps to come, asked for in blocks."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.constant = schedule == Constant()
        self.total = 0  # steps at the end of the fit or run that is under way, 0 where that is not known
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
        """The rate of one step; refuses a schedule that does not know its end."""
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
