"""A member of a pack: a network with its trainer, and what it wants to run as calls, one after another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.blocks import Block
from fastbp.errors import ConfigError, DivergedError
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.plans import RowPlan
from fastbp.lowering.user_rows import counts_for
from fastbp.model.network import Network
from fastbp.train.callbacks import Callback, running
from fastbp.train.checkpoints import state_blocks
from fastbp.train.held_out import HeldOut
from fastbp.train.history import History
from fastbp.train.pack_calls import PAUSE, Predictions, Training, Work, prediction_plan
from fastbp.train.seats import Seats, Validation
from fastbp.train.trainer import Trainer

Rows = NDArray[np.uint32]
Checked = tuple[Any, Any, int]  # rows, targets, bits of the largest magnitude


class Member:
    """One network of a pack.

    Parameters
    ----------
    trainer : Trainer
        On one thread.
    rows : array of uint32, optional
        The rows that it is trained on, by default all.
    """

    def __init__(self, trainer: Trainer, rows: Rows | None) -> None:
        self.trainer, self.rows = trainer, rows
        self.history = History()
        self.diverged = False  # whether it did not stay finite in the last call
        self.seats = Seats(trainer._loss)  # of its own, until a pack gives it those of all members
        self._prediction: RowPlan | None = None

    @property
    def net(self) -> Network:
        """The network that is trained."""
        return self.trainer.net

    def guarded(self, work: Work) -> Work:
        """The same work, which ends where the member would not stay finite."""
        self.diverged = False
        try:
            yield from work
        except DivergedError as error:
            self.diverged = True
            self.history.stopped = str(error)

    def run(self, data: Checked, count: int) -> Work:
        """As `Trainer.run` does."""
        trainer = self.trainer
        history = self.history = History(first_step=trainer.steps_done)
        trainer._rates.total = trainer.steps_done + count
        plan = trainer._bound(*data, chosen=self.rows)
        start, begun = plan.place, time.perf_counter()
        while history.steps < count:
            call = Training(trainer, plan, count - history.steps, BatchPlan.CALL)
            yield call
            plan = call.plan
            history.loss += plan.ended()
            history.steps = trainer.steps_done - history.first_step
        if plan.head.step.epoch_rows:
            history.loss.append(plan.epoch_loss)
        history.seconds = time.perf_counter() - begun
        history.samples = plan.rows_since(start)

    def step(self, data: Checked) -> Work:
        """As `Trainer.step` does."""
        trainer, rows = self.trainer, len(data[0])
        history = self.history = History(first_step=trainer.steps_done)
        trainer._rates.total = 0
        trainer._rates.one(trainer.optimizer.lr, trainer.steps_done)  # refuses a schedule that needs to know its end
        plan = trainer._step_plan
        if plan is None or plan.batch < rows:
            ahead = min(trainer.batch_size, 2 * rows)  # room for growing batches
            plan = trainer._step_plan = trainer._plan(max(rows, ahead))
            trainer._small = False  # whether it may be used without these checks is not known
        plan.bind(*data)
        yield Training(trainer, plan, 1, 1)
        history.loss, history.steps, history.samples = [plan.loss], 1, rows

    def fit(
        self,
        data: Checked,
        count: int,
        held_out: tuple[Checked, Rows | None] | None,
        hooks: Sequence[Callback],
        pauses: bool = False,
        measured: HeldOut | None = None,
        history: History | None = None,
    ) -> Work:
        """As `Trainer.fit` does, with metrics of `measured`; where a `history` is given, the fit goes on from it.

        `pauses` says whether it pauses between its epochs.
        """
        trainer, rows = self.trainer, len(data[0] if self.rows is None else self.rows)
        going_on = history is not None
        if history is None:
            names = measured.names if measured is not None else ()
            history = History(metrics={f"val_{name}": [] for name in names}, first_step=trainer.steps_done)
        self.history = history
        trainer.validating = held_out is not None
        batches = -(-rows // min(trainer.batch_size, rows))
        steps = -(-batches // trainer._update.accumulate)
        trainer._rates.total = history.first_step + count * steps
        alone = bool(hooks) or held_out is not None or pauses or not trainer._rates.constant  # whether epochs are calls
        first = len(history.loss if held_out is None else history.val_loss)
        begun = time.perf_counter() - history.seconds
        with running(hooks, trainer, history):
            plan = trainer._bound(*data, chosen=self.rows)
            if going_on and trainer._position is not None:
                plan.set_position(trainer._position, rows)
            else:
                plan.new_epoch()
            trainer._position = None
            while True:
                if held_out is not None and len(history.val_loss) < len(history.loss):
                    yield from self._validated(*held_out, measured)
                    self._ended(hooks, begun)
                if len(history.loss) >= count or history.stopped:
                    break
                if pauses and len(history.loss) > first:
                    yield PAUSE
                losses: list[float] = []
                while not losses and not history.stopped:
                    epochs = count - len(history.loss)
                    left = 1 if alone else epochs
                    call = Training(trainer, plan, left * steps, left, epochs * steps)
                    yield call
                    plan = call.plan
                    losses = plan.ended()
                    for hook in hooks if not losses else ():
                        hook.chunk(trainer, history)
                history.samples += len(losses) * rows or plan.head.step.epoch_rows
                losses = losses or [plan.epoch_loss]
                history.loss += losses
                history.lr += [float(plan.rates[plan.head.step.rate_at - 1])] * len(losses)
                history.steps = trainer.steps_done - history.first_step
                if held_out is None:
                    self._ended(hooks, begun)
        history.seconds = time.perf_counter() - begun

    def _ended(self, hooks: Sequence[Callback], begun: float) -> None:
        """Behind an epoch and its validation."""
        self.history.seconds = time.perf_counter() - begun
        for hook in hooks:
            hook.epoch(self.trainer, self.history)

    def _validated(self, data: Checked, chosen: Rows | None, measured: HeldOut | None) -> Work:
        """Append loss and metrics on validation rows to the history, all of them or, if it is left before, none."""
        call = Validation(self.trainer.evaluated, self.seats, data, chosen)
        ended: list[float] = []
        while not ended:
            call.steps = min(call.left, BatchPlan.CALL)
            yield call
            call.left -= call.steps
            ended = call.plan.ended()
        self.seats.give(call.plan)
        found: dict[str, float] = {}
        if measured is not None and measured.names:
            x = measured.checked[0]
            outputs = np.empty((len(x), self.net.outputs), self.net.dtype)
            yield from self.predict(x, outputs)
            found = measured.of_outputs(outputs, measured.names)
        self.history.val_loss.append(ended[0])
        for name, value in found.items():
            self.history.metrics[f"val_{name}"].append(value)

    def predict(self, x: Any, y: Any) -> Work:
        """Write the outputs for the rows of x to y."""
        net = self.trainer.evaluated
        plan, counts = self._prediction, counts_for(net.graph, x)
        if plan is None or plan.counts != counts:
            plan = self._prediction = prediction_plan(net, 1, counts)
        done = 0
        while done < len(x):
            call = Predictions(net, plan, x[done:], y[done:])
            yield call
            plan = self._prediction = call.plan
            done += call.steps


def copied(source: Member, target: Member) -> None:
    """Write what one member has learned into another."""
    blocks, others = state_blocks(source.trainer), state_blocks(target.trainer)
    kernels = [one.trainer.optimizer.kernel for one in (source, target)]
    shapes = [{kind: _shapes(block) for kind, block in found.items()} for found in (blocks, others)]
    if kernels[0] != kernels[1] or shapes[0] != shapes[1]:
        raise ConfigError("target", "must be a member with the parameters, moments and averages of the source")
    first, second = sorted((source.net.lock, target.net.lock), key=id)
    with first, second, target.net.parameters.changing():
        for kind, block in blocks.items():
            others[kind].copy_from(block)
        target.trainer.steps_done = source.trainer.steps_done
        for plan in (target.trainer._batch_plan, target.trainer._step_plan):
            if plan is not None:
                plan.set_optimizer(target.trainer._update)  # what it carries from step to step is of other moments


def _shapes(block: Block) -> dict[str, tuple[int, ...]]:
    return {name: slot.shape for name, slot in block.slots.items()}
