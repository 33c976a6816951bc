"""Calls of a pack: plans of many networks in one parallel region, each run by one thread.

A member of a pack says by and by what it wants to run next, a `Call`; between two of them it does its bookkeeping. In
a region each thread takes a call, runs it to its end and takes the next. No thread waits for another within a call;
threads wait at the end of a region, while the last call goes on. So calls are short, about as long as each other, and
as many as make a region worth its launch.
"""

from __future__ import annotations

import inspect
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from typing import Any

from fastbp.engine import threads as team
from fastbp.errors import DivergedError
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.plans import ROW_BLOCK, RowPlan
from fastbp.model.network import Network
from fastbp.train.calls import CALL_SECONDS, GROWTH
from fastbp.train.trainer import Trainer

SLICE_SECONDS = 0.001  # of a call, at least, if a member has so much to do: caches are warm after a tenth of it
REGION_CALLS = 128  # at most, or as many as threads: what Python does for so many takes far longer than a launch
FIRST_UNIT = 1e-9  # seconds of a multiplication before any has been measured: ten times what it takes
OP_WORK, NUMBER_WORK = 2000, 8  # multiplications that take as long as the call of an op, and as a parameter's update


class Call:
    """A run of a plan on one thread, which reads or writes a network.

    Attributes
    ----------
    steps : int
        Steps, or rows, that are wanted; it does so many, or as many as are taken at a time.
    cost : float
        Of a step, in multiplications.
    """

    def __init__(self, net: Network, plan: Any, steps: int, cost: float) -> None:
        self.net, self.plan, self.steps, self.cost = net, plan, steps, cost

    def open(self) -> None:
        """Get ready to run; the network's lock is held until the call is closed."""

    def close(self) -> None:
        """Behind the run."""

    def error(self) -> DivergedError | None:
        """What ended the run too early."""
        return None


class Training(Call):
    """Steps of a trainer."""

    def __init__(self, trainer: Trainer, plan: BatchPlan, steps: int, epochs: int) -> None:
        cost = 3 * plan.work + OP_WORK * plan.head.op_count + NUMBER_WORK * plan.head.update.count
        super().__init__(trainer.net, plan, min(steps, plan.CALL), cost)
        self.trainer, self.epochs = trainer, min(epochs, plan.CALL)

    def open(self) -> None:
        self.plan.prepare(self.steps, self.epochs)
        self.trainer._open(self.plan, self.steps)

    def close(self) -> None:
        self.trainer._close(self.plan)

    def error(self) -> DivergedError | None:
        found: DivergedError | None = self.plan.error()
        return found


class Predictions(Call):
    """Outputs of a network, from rows x to y."""

    def __init__(self, net: Network, plan: RowPlan, x: Any, y: Any) -> None:
        super().__init__(net, plan, len(x), plan.work + OP_WORK * plan.head.op_count / ROW_BLOCK)
        self.x, self.y = x, y

    def open(self) -> None:
        self.plan.point(self.x[: self.steps], self.y[: self.steps])


PAUSE = None  # what a work yields that lets others come to the same place
Work = Generator[Any, None, None]


def to_its_pause(work: Work) -> Work:
    """The calls of a work until it pauses or ends."""
    error: DivergedError | None = None
    while True:
        try:
            call = next(work) if error is None else work.throw(error)
        except StopIteration:
            return
        if call is PAUSE:
            return
        try:
            yield call
            error = None
        except DivergedError as found:
            error = found


def has_ended(work: Work) -> bool:
    """Whether a work wants nothing more."""
    return inspect.getgeneratorstate(work) == inspect.GEN_CLOSED


class Turns:
    """Which members are next, and how many steps they do: learned from the time of earlier regions.

    Parameters
    ----------
    threads : int
        The most calls that run at once.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.unit = FIRST_UNIT

    def take(self, waiting: deque[tuple[Work, Call]]) -> list[tuple[Work, Call]]:
        """The next ones, with as many steps as are to be done."""
        count = min(len(waiting), max(REGION_CALLS, self.threads))
        if count > self.threads:
            count -= count % self.threads  # so that none runs while the others have nothing to do
        region = self.threads * CALL_SECONDS / self.unit
        share = max(region / max(count, self.threads), SLICE_SECONDS / self.unit)
        taken: list[tuple[Work, Call]] = []
        work = 0.0
        while len(taken) < count and (work < region or len(taken) % self.threads):
            one, call = waiting.popleft()
            call.steps = max(1, min(call.steps, int(share / call.cost)))
            work += call.cost * call.steps
            taken.append((one, call))
        return taken

    def learn(self, work: float, seconds: float) -> None:
        """Learn from a region that did so much and took so many seconds of processors.

        Not of a clock: where other processes take their turns, a region waits for its last thread, and a next one that
        does less would wait as long.
        """
        self.unit = max(seconds / max(work, 1.0), self.unit / GROWTH)

    def run(self, works: Sequence[Work]) -> None:
        """Run everything that these want to run, to the end.

        A work whose step would have made a number that is not finite gets the error.
        """
        waiting: deque[tuple[Work, Call]] = deque()
        try:
            for one in works:  # what is wrong is said before anything runs
                _go_on(one, None, waiting)
            while waiting:
                taken = self.take(waiting)
                calls = [call for _, call in taken]
                begun = time.process_time()
                self._region(calls)
                self.learn(sum(call.cost * call.steps for call in calls), time.process_time() - begun)
                for one, call in taken:
                    _go_on(one, call.error(), waiting)
        finally:
            for one in works:
                one.close()

    def _region(self, calls: list[Call]) -> None:
        held: list[Call] = []
        opened: list[Call] = []
        try:
            for call in sorted(calls, key=_order):  # as two packs that share networks would else wait for each other
                call.net.lock.acquire()
                held.append(call)
                call.open()
                opened.append(call)
            if any(call.plan.watcher is not None for call in calls):
                for call in calls:
                    call.plan.run(1)
            else:
                first = calls[0].plan
                team.run_many([call.plan.head_address for call in calls], first.zero, self.threads, first.real)
        finally:
            for call in opened:
                call.close()
            for call in held:
                call.net.lock.release()


def _order(call: Call) -> int:
    return id(call.net.lock)


def _go_on(work: Work, error: DivergedError | None, waiting: deque[tuple[Work, Call]]) -> None:
    """Let a work say what it wants next, if it has not ended."""
    with suppress(StopIteration):
        waiting.append((work, next(work) if error is None else work.throw(error)))
