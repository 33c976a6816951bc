"""Taking steps: the plans of a trainer, single steps, and runs of many."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from fastbp.engine.forks import Lock
from fastbp.errors import ConfigError, brief
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.directions import work_of_turns
from fastbp.lowering.plans import team_sizes, work_of
from fastbp.lowering.segments import bind_feed
from fastbp.lowering.update import Update
from fastbp.lowering.user_rows import counts_for
from fastbp.model.by_rows import ROWS, complete
from fastbp.model.feed import Feed
from fastbp.model.network import Network
from fastbp.spec import arrays
from fastbp.spec.checks import signed, whole
from fastbp.spec.elsewhere import TRAINER_WORDS, KnownAttributes
from fastbp.spec.losses import Loss
from fastbp.train.calls import LABELS, MOST_STEPS, ONE_CALL_WORK, Pace, Rates, fits_one_call
from fastbp.train.history import History
from fastbp.train.optimizers import Optimizer
from fastbp.train.ranks import Ranks
from fastbp.train.snapshots import Snapshots
from fastbp.train.together import Together, together


class Stepping(KnownAttributes, Together, Snapshots):
    """A trainer as far as it takes steps."""

    _theirs = TRAINER_WORDS
    steps_done: int
    _net: Network
    _loss: Loss
    _given_loss: str | Loss
    _optimizer: Optimizer
    _update: Update
    _rates: Rates
    _pace: Pace
    _batch_size: int
    _shards: int
    _ranks: Ranks | None
    _threads: int
    _given: tuple[Any, ...]  # the threads first
    _seed: int
    _small: bool
    _converts: bool  # whether the arrays of the last small step were read otherwise than they are
    _position: Any  # where a fit is to be resumed
    _batch_plan: BatchPlan | None
    _step_plan: BatchPlan | None
    _lock: Lock

    @property
    def net(self) -> Network:
        """The network that is trained."""
        return self._net

    @property
    def loss(self) -> str | Loss:
        """The loss, as given."""
        return self._given_loss

    @property
    def batch_size(self) -> int:
        """Rows of a full batch."""
        return self._batch_size

    @property
    def threads(self) -> int:
        """The most threads that a step uses; others may be assigned, and no bit depends on it."""
        return self._threads

    @threads.setter
    def threads(self, threads: int | None) -> None:
        chosen = self._chosen(threads)
        with self._lock:
            self._given = threads, *self._given[1:]
            if chosen != self._threads:
                self._threads, self._step_plan = chosen, None

    @property
    def seed(self) -> int:
        """Seed of dropout and of the order of batches."""
        return self._seed

    def steps_of(self, rows: int) -> int:
        """The steps of an epoch over so many rows."""
        batch = min(self.batch_size, rows)
        batches = rows // batch if self._update.drop_last else -(-rows // batch)
        return -(-batches // self._update.accumulate)

    def _check_kind(self, optimizer: Any) -> None:
        """Refuse an optimiser of another kind."""
        old = self._optimizer
        same = type(optimizer) is type(old) and optimizer.kernel == old.kernel
        if not same or getattr(optimizer, "decay_all", False) != getattr(old, "decay_all", False):
            raise ConfigError("optimizer", f"must stay the same kind as `{old!r}`", f"`{brief(optimizer)}`")

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser; one of the same kind with other settings may be assigned, and moments are kept."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        self._check_kind(optimizer)
        with self._lock:
            self._optimizer = optimizer
            self._update = replace(self._update, settings=optimizer.numbers())
            for plan in (self._batch_plan, self._step_plan):
                if plan is not None:
                    plan.set_optimizer(self._update)

    def _plan(self, rows: int, counts: tuple[int, ...] = ()) -> BatchPlan:
        graph, blocks = self.net.graph, (self.net.parameters.block, self.net.states.block)
        words: Any = {"loss": self._loss, "update": self._update, "training": True, "counts": counts}
        several = self._ranks is not None and self._ranks.count > 1  # a plan of one exchanges nothing
        words |= {"shards": self._shards, "ranks": self._ranks if several else None}
        work = work_of(graph, rows) + work_of_turns(blocks[0], self._update)
        return BatchPlan(graph, *blocks, self._workers(work), batch=rows, **words)

    def _workers(self, work: int) -> int:
        """The most threads that a step of so much work is given: one that a single thread does is not cut for more."""
        return team_sizes(work, self.threads)[0][-1]

    def _new_plan(self, rows: int, counts: tuple[int, ...] = (), before: BatchPlan | None = None) -> BatchPlan:
        """Another plan of batches, which goes on where that before it is."""
        plan = self._plan(rows, counts)
        if before is not None:  # before it takes its place, as Ctrl-C may come between these lines
            plan.go_on(before.position())
        self._pace = Pace(*team_sizes(plan.work, self.threads))
        self._batch_plan = plan
        return plan

    def _call(self, plan: BatchPlan, count: int, epochs: int, threads: int) -> list[float]:
        """One call of compiled code, with its bookkeeping."""
        with self.net.lock:
            self._open(plan, count)
            try:
                return plan.steps(count, epochs, threads)
            finally:
                self._close(plan)

    def _open(self, plan: BatchPlan, count: int) -> None:
        """Before a call of `count` steps, with the network's lock."""
        if not 0 <= self.steps_done <= MOST_STEPS - count:
            raise ConfigError("steps_done", "must stay at least 0 and below 2**63", f"`{self.steps_done}`")
        plan.number[0] = self.steps_done
        self._rates.put(plan, self.optimizer.lr, self.steps_done, count)
        parameters = self.net.parameters
        plan.refresh(parameters.version)
        plan.head.data.seed = signed(self.seed)
        # First, so that after Ctrl-C between these lines every plan renews its transposed weights.
        parameters.version += 1
        self.net.lock.writes = True

    def _close(self, plan: BatchPlan) -> None:
        """Behind a call."""
        self.steps_done = plan.number.item()
        plan.keep_version(self.net.parameters.version)
        self.net.lock.writes = False

    def step(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """One optimiser step on a batch of any number of rows; returns the loss before the step."""
        with self._lock, together(self._ranks):
            return self._step(X, y, sample_weight)

    def _step(self, X: Any, y: Any, sample_weight: Any) -> float:
        plan, net = self._step_plan, self.net
        self._rates.total = 0
        lr = self._rates.one(self.optimizer.lr, self.steps_done)
        small = self._small and sample_weight is None and 0 <= self.steps_done < MOST_STEPS
        if plan is not None and small and fits_one_call(X, y, plan.batch, net.inputs, self._loss, net.outputs):
            kind, target = net.dtype, LABELS if self._loss.of_labels else net.dtype
            known = (X.dtype is kind or X.dtype == kind) and (y.dtype is target or y.dtype == target)
            before = self._converts or not known
            if not before and self._step_at_once(plan, X, y, lr):
                return plan.loss
            read = arrays.as_read(X, kind), arrays.as_read(y, target)
            self._converts = read[0] is not X or read[1] is not y
            same = read[0].dtype == kind and read[1].dtype == target
            if same and (before or self._converts) and self._step_at_once(plan, *read, lr):
                return plan.loss
        x, t, top = net.checked(X, y, self._loss, sample_weight)
        self._refuse_other_batch(x, t)
        complete(net, x)
        if plan is None or plan.batch < len(x):
            ahead = min(self.batch_size, 2 * len(x))  # room for growing batches
            plan = self._step_plan = self._plan(max(len(x), ahead))
            small = self.threads == 1 or plan.work < ONE_CALL_WORK
            alone = self._loss.simple and net.graph.members is None  # one loss with targets of its own
            self._small = small and alone and not (net.has_codes or self._rates.others or self._ranks)
        plan.bind(x, t, top)
        threads, begun = plan.late.team(team_sizes(plan.work, self.threads)[1]), time.perf_counter()
        self._call(plan, 1, 1, threads)
        if threads > 1 and self._ranks is None:  # which wait for each other, too
            plan.late.learn(len(x), threads, time.perf_counter() - begun)
        if self._ranks is not None:
            self._ranks.steps(0)  # which hears of Ctrl-C
        return plan.loss

    def _step_at_once(self, plan: BatchPlan, X: Any, y: Any, lr: float) -> bool:
        """A small step in one call, if the arrays need no conversion; returns whether it was done."""
        parameters, lock = self.net.parameters, self.net.lock
        with lock:
            plan.refresh(parameters.version)
            parameters.version += 1
            plan.number[0] = self.steps_done
            try:
                lock.writes = True
                return plan.step(X, y, lr, self.steps_done, signed(self.seed))
            finally:
                self._close(plan)

    def run(self, X: Any, y: Any, steps: int, sample_weight: Any = None) -> History:
        """Take `steps` steps over shuffled batches, in compiled code; the next `run` continues in the same epoch.

        Returns
        -------
        History
            Its `loss` has one mean for each epoch; the last may be of an epoch that is not complete.
        """
        count = whole("steps", steps, 0)
        with self._lock, together(self._ranks):
            history = History()
            self._position = None
            x, t, top = self.net.checked(X, y, self._loss, sample_weight)
            self._refuse_other_rows(x, t, steps=count)
            self._rates.total = self.steps_done + count
            plan = self._bound(x, t, top)
            start = plan.place
            begun = time.perf_counter()
            first = self.steps_done
            while self.steps_done - first < count:
                history.loss += self._chunk(plan, count - (self.steps_done - first), BatchPlan.CALL)
            if plan.head.step.epoch_rows:
                history.loss.append(plan.epoch_loss)
            history.seconds = time.perf_counter() - begun
            history.steps = count
            history.samples = plan.rows_since(start)
            return history

    def _bound(self, x: Any, t: Any, top: int, chosen: Any = None) -> BatchPlan:
        """The plan of batches, reading these arrays, or their chosen rows."""
        fed = isinstance(x, Feed)
        if not fed:
            complete(self.net, x, chosen)
        elif self.net.parameters.waiting:
            complete(self.net, x.drawn(ROWS))
        before, rows = self._batch_plan, min(self.batch_size, len(x if chosen is None else chosen))
        counts = counts_for(self.net.graph, x.like if fed else x)
        if before is None or before.batch < rows:
            plan = self._new_plan(rows, counts)
            plan.head.data.epoch = before.place[0] + 1 if before else 0
        elif (before.counts, before.workers) != (counts, self._workers(before.work)):
            # Perhaps the same rows, which were in full, or of a copy that has not run yet.
            plan = self._new_plan(before.batch, counts, before)
        else:
            plan = before
        if fed:
            bind_feed(plan, x, training=True)
        else:
            plan.bind(x, t, top, shuffled=True, chosen=chosen)
        return plan

    def _widened(self, threads: int) -> BatchPlan:
        """The plan of batches cut for more threads; it goes on where it is, on the same rows."""
        before = self._batch_plan
        assert before
        x, y, chosen = before.data
        self._threads = threads
        return self._bound(x, y, before.head.data.largest, chosen)

    def _chunk(self, plan: BatchPlan, steps: int, epochs: int) -> list[float]:
        """As many of `steps` as fit into one call."""
        count = min(steps, self._pace.steps(), BatchPlan.CALL)
        if plan.feed is not None:
            count = min(count, -(-plan.feed.ahead(plan) // plan.feed.unit))
        if self._ranks is not None:
            count = self._ranks.steps(count)
        before, begun = self.steps_done, time.perf_counter()
        ended = self._call(plan, count, epochs, self._pace.threads)
        self._pace.learn(self.steps_done - before, time.perf_counter() - begun)
        return ended
