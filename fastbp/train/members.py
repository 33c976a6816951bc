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
from fastbp.model.network import Network
from fastbp.train.callbacks import Callback, running
from fastbp.train.checkpoints import state_blocks
from fastbp.train.history import History
from fastbp.train.pack_calls import PAUSE, Predictions, Training, Work
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
            yield Training(trainer, plan, count - history.steps, BatchPlan.CALL)
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
    ) -> Work:
        """As `Trainer.fit` does; `pauses` says whether it pauses between its epochs."""
        trainer, rows = self.trainer, len(data[0] if self.rows is None else self.rows)
        history = self.history = History(first_step=trainer.steps_done)
        trainer.validating = held_out is not None
        batches = -(-rows // min(trainer.batch_size, rows))
        steps = -(-batches // trainer._update.accumulate)
        trainer._rates.total = trainer.steps_done + count * steps
        alone = bool(hooks) or held_out is not None or pauses or not trainer._rates.constant  # whether epochs are calls
        begun = time.perf_counter()
        with running(hooks, trainer, history):
            plan = trainer._bound(*data, chosen=self.rows)
            plan.new_epoch()
            while len(history.loss) < count and not history.stopped:
                losses: list[float] = []
                while not losses and not history.stopped:
                    left = 1 if alone else count - len(history.loss)
                    yield Training(trainer, plan, left * steps, left)
                    losses = plan.ended()
                    for hook in hooks if not losses else ():
                        hook.chunk(trainer, history)
                history.samples += len(losses) * rows or plan.head.step.epoch_rows
                losses = losses or [plan.epoch_loss]
                history.loss += losses
                history.lr += [float(plan.rates[plan.head.step.rate_at - 1])] * len(losses)
                history.steps = trainer.steps_done - history.first_step
                if held_out is not None:
                    yield from self._validated(*held_out)
                history.seconds = time.perf_counter() - begun
                for hook in hooks:
                    hook.epoch(trainer, history)
                if pauses and len(history.loss) < count and not history.stopped:
                    yield PAUSE
        history.seconds = time.perf_counter() - begun

    def _validated(self, data: Checked, chosen: Rows | None) -> Work:
        """Append the loss on validation rows to the history."""
        call = Validation(self.trainer.evaluated, self.seats, data, chosen)
        ended: list[float] = []
        while not ended:
            call.steps = BatchPlan.CALL
            yield call
            ended = call.plan.ended()
        self.seats.give(call.plan)
        self.history.val_loss.append(ended[0])

    def predict(self, x: Any, y: Any) -> Work:
        """Write the outputs for the rows of x to y."""
        net = self.trainer.evaluated
        plan = self._prediction
        if plan is None:
            blocks = net.parameters.block, net.states.block
            plan = self._prediction = RowPlan(net.graph, *blocks, 1, "predict")
        done = 0
        while done < len(x):
            call = Predictions(net, plan, x[done:], y[done:])
            yield call
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
