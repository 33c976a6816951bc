"""Calls of a pack: plans of many networks in one parallel region, each run by one thread, or by a team.

A member of a pack says by and by what it wants to run next, a `Call`; between two of them it does its bookkeeping. In
a region each thread takes a call, runs it to its end and takes the next. No thread waits for another within a call;
threads wait at the end of a region, while the last call goes on. So calls are short, about as long as each other, and
as many as make a region worth its launch.

Where fewer calls are left than there are threads, the threads are shared out among them, and a call is run by a team as
a trainer's steps are; likewise one after another where steps of one thread would take longer than a call may.
"""

from __future__ import annotations

import inspect
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any

from fastbp.engine import threads as team
from fastbp.errors import DivergedError
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.plans import ROW_BLOCK, RowPlan, team_sizes
from fastbp.lowering.user_rows import read_rows
from fastbp.model.network import Network
from fastbp.spec.coded import Coded
from fastbp.train.calls import CALL_SECONDS, GROWTH, Pace
from fastbp.train.trainer import Trainer

SLICE_SECONDS = 0.001  # of a call, at least, if a member has so much to do: caches are warm after a tenth of it
# And for each byte of what it works on, which others have pushed out of the caches meanwhile: 50 times what it took to
# fetch it. 16 nets of 100-256x3-10 at batch 256 took 1191 µs a step in calls of a millisecond, 1019 in those of ten.
BYTE_SECONDS = 2.3e-9
REGION_CALLS = 128  # at most, or as many as threads: what Python does for so many takes far longer than a launch
FIRST_UNIT = 1e-9  # seconds of a multiplication before any has been measured: ten times what it takes
OP_WORK, NUMBER_WORK = 2000, 8  # multiplications that take as long as the call of an op, and as a parameter's update
WIDE_WORK = 1e9  # multiplications of a step that takes a thread as long as a call
PLAN_SECONDS = 0.05  # of work left, for which a plan for a team is worth making: some milliseconds of Python


class Call:
    """A run of a plan, which reads or writes a network.

    Attributes
    ----------
    steps : int
        Steps, or rows, that are wanted; it does so many, or as many as are taken at a time.
    left : int
        The same with those of later calls of this work, as far as it is known.
    cost : float
        Of a step, in multiplications.
    team : int
        Threads that run it.
    """

    def __init__(self, net: Network, plan: Any, steps: int, cost: float, left: int | None = None) -> None:
        self.net, self.plan, self.steps, self.cost = net, plan, steps, cost
        self.left = steps if left is None else left
        self.team = 1

    @property
    def least(self) -> float:
        """Seconds that it should take, if it has so much to do."""
        return SLICE_SECONDS

    def share(self, threads: int, *, alone: bool, worth: bool) -> None:
        """Take a team of at most so many threads.

        Parameters
        ----------
        alone : bool
            Whether nothing else will run beside it, so that what its steps take can be measured.
        worth : bool
            Whether so much is left that a new plan may be made for a larger team.
        """
        self.team = 1

    @property
    def pace(self) -> Pace | None:
        """What chooses steps and threads, where those are measured."""
        return None

    @property
    def done(self) -> int:
        """Steps that the pace counts."""
        return 0

    def open(self) -> None:
        """Get ready to run; the network's lock is held until the call is closed."""
        self.plan.take_team(self.team)

    def close(self) -> None:
        """Behind the run."""

    def error(self) -> DivergedError | None:
        """What ended the run too early."""
        return None


class Training(Call):
    """Steps of a trainer, whose plan becomes another where a team takes it that is larger than any before."""

    plan: BatchPlan

    def __init__(self, trainer: Trainer, plan: BatchPlan, steps: int, epochs: int, left: int | None = None) -> None:
        cost = 3 * plan.work + OP_WORK * plan.head.op_count + NUMBER_WORK * plan.head.update.count
        super().__init__(trainer.net, plan, min(steps, plan.CALL), cost, steps if left is None else left)
        self.trainer, self.epochs, self.alone = trainer, min(epochs, plan.CALL), False

    @property
    def least(self) -> float:
        state = self.plan.arena.bytes + self.plan.parameters.size * (1 + self.trainer.optimizer.moments)
        seconds = max(SLICE_SECONDS, BYTE_SECONDS * state)
        return seconds if seconds < CALL_SECONDS / 2 else CALL_SECONDS  # two of which would take longer than a region

    def share(self, threads: int, *, alone: bool, worth: bool) -> None:
        sizes, first = team_sizes(self.plan.work, threads)
        wanted = sizes[-1] if alone else first
        if worth and wanted > self.plan.workers and self.plan is self.trainer._batch_plan:
            self.plan = self.trainer._widened(wanted)
        self.alone = alone and self.plan.workers > 1 and self.plan is self.trainer._batch_plan
        self.team = self.trainer._pace.threads if self.alone else min(wanted, self.plan.workers)

    @property
    def pace(self) -> Pace | None:
        return self.trainer._pace if self.alone else None

    @property
    def done(self) -> int:
        return self.trainer.steps_done

    def open(self) -> None:
        super().open()
        self.plan.prepare(self.steps, self.epochs)
        self.trainer._open(self.plan, self.steps)

    def close(self) -> None:
        self.trainer._close(self.plan)

    def error(self) -> DivergedError | None:
        found: DivergedError | None = self.plan.error()
        return found


class Predictions(Call):
    """Outputs of a network, from rows x to y."""

    plan: RowPlan

    def __init__(self, net: Network, plan: RowPlan, x: Any, y: Any) -> None:
        super().__init__(net, plan, len(x), plan.work + OP_WORK * plan.head.op_count / ROW_BLOCK)
        self.x, self.y = x, y

    def share(self, threads: int, *, alone: bool, worth: bool) -> None:
        wanted = team_sizes(self.plan.work * len(self.x), threads)[1]
        if worth and wanted > self.plan.workers:
            self.plan = prediction_plan(self.net, wanted, self.plan.counts)
        self.team = min(wanted, self.plan.workers)

    def open(self) -> None:
        super().open()
        self.now = self.x[: self.steps]  # kept, as rows with codes have a table that the plan reads
        narrow = read_rows(self.plan, self.now, self.plan.counts) if isinstance(self.now, Coded) else self.now
        self.plan.point(narrow, self.y[: self.steps])


def prediction_plan(net: Network, workers: int, counts: Any = ()) -> RowPlan:
    """A plan for the outputs of a network."""
    return RowPlan(net.graph, net.parameters.block, net.states.block, workers, "predict", counts)


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
        self.few = False  # whether there were fewer works than threads from the first
        self._taken: dict[Work, int] = {}  # how many calls of each were run by one thread

    def take(self, waiting: deque[tuple[Work, Call]]) -> list[tuple[Work, Call]]:
        """The next ones, with as many steps as are to be done, and their teams."""
        first = waiting[0][1]
        if self.threads > 1 and (len(waiting) < self.threads or first.cost > WIDE_WORK):
            return self._teams([waiting.popleft() for _ in range(1 if first.cost > WIDE_WORK else len(waiting))])
        count = min(len(waiting), max(REGION_CALLS, self.threads))
        even = count % self.threads == 0
        if count > self.threads:
            count -= count % self.threads  # so that none runs while the others have nothing to do
        region = self.threads * CALL_SECONDS / self.unit
        share = region / max(count, self.threads)
        taken: list[tuple[Work, Call]] = []
        work = 0.0
        while len(taken) < count and (work < region or len(taken) % self.threads):
            if waiting[0][1].cost > WIDE_WORK and self.threads > 1:
                break
            one, call = waiting.popleft()
            most = max(1, int(max(share, call.least / self.unit) / call.cost))
            if not even:  # as many calls in all as there are threads, or twice as many, and so on: all end together
                calls = -(-call.left // most)
                calls += -(calls + self._taken.get(one, 0)) % self.threads
                most = -(-call.left // calls)
                self._taken[one] = self._taken.get(one, 0) + 1
            call.team, call.steps = 1, min(call.steps, most)
            work += call.cost * call.steps
            taken.append((one, call))
        return taken

    def _teams(self, taken: list[tuple[Work, Call]]) -> list[tuple[Work, Call]]:
        """Share the threads out among fewer calls; the first get those that are left over."""
        each, more = divmod(self.threads, len(taken))
        for i, (_, call) in enumerate(taken):
            worth = self.few or call.left * call.cost * self.unit > PLAN_SECONDS
            call.share(each + (i < more), alone=len(taken) == 1, worth=worth)
            if call.pace is not None:
                call.steps = min(call.steps, call.pace.steps())
            else:
                call.steps = max(1, min(call.steps, int(call.team * CALL_SECONDS / self.unit / call.cost)))
        return taken

    def learn(self, work: float, seconds: float) -> None:
        """Learn from a region that did so much and took so many seconds of processors.

        Not of a clock: where other processes take their turns, a region waits for its last thread, and a next one that
        does less would wait as long.
        """
        self.unit = max(seconds / max(work, 1.0), self.unit / GROWTH)

    def run(self, works: Sequence[Work], between: Callable[[], None] | None = None) -> None:
        """Run everything that these want to run, to the end; `between` is called behind each region.

        A work whose step would have made a number that is not finite gets the error.
        """
        waiting: deque[tuple[Work, Call]] = deque()
        self.few, self._taken = len(works) < self.threads, {}
        try:
            for one in works:  # what is wrong is said before anything runs
                _go_on(one, None, waiting)
            while waiting:
                taken = self.take(waiting)
                self._timed([call for _, call in taken])
                for one, call in taken:
                    _go_on(one, call.error(), waiting)
                if between is not None:
                    between()
        finally:
            self._taken = {}
            for one in works:
                one.close()

    def _timed(self, calls: list[Call]) -> None:
        """Run these, and learn from the time they took: a team's threads wait, so theirs is that of a clock."""
        threads, pace, done = sum(call.team for call in calls), calls[0].pace, calls[0].done
        clock = time.process_time if threads == len(calls) and pace is None else time.perf_counter
        begun = clock()
        self._region(calls)
        seconds = clock() - begun
        if pace is not None:
            pace.learn(calls[0].done - done, seconds)
        else:
            seconds *= threads if threads > len(calls) else 1
            self.learn(sum(call.cost * call.steps for call in calls), seconds)

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
                    call.plan.run(call.team)
            else:
                first = calls[0].plan
                heads, teams = [call.plan.head_address for call in calls], [team.usable(call.team) for call in calls]
                team.run_many(heads, teams, first.zero, self.threads, first.real)
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
