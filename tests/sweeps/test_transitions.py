"""How each phase ends: from a head of five phases, which one the sweeps went on with and what they counted.

Each phase has one task, which writes its number where it is seen; so the phases that ran are known by theirs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastbp.engine.compiler import kernel_address
from fastbp.kernels.optimizers import RULES
from fastbp.kernels.records import (
    END_BACKWARD,
    END_CHECK,
    END_DIRECTIONS,
    END_GRADIENTS,
    END_LOSS,
    END_NORM,
    END_NOTHING,
    END_STEP,
    LOOKING,
    TASK_PHASE,
    TRYING,
    Phase,
    Piece,
    Trained,
)
from tests.kernels.harness import Machine

LIMIT = 1e37
PHASES = 5
ROWS, BATCH = 20, 8  # batches of 8, 8 and 4


class Small:
    """A head of five phases, of which the first ends as it is told and the others do nothing but follow."""

    def __init__(self, end: int, at: int = 0) -> None:
        self.m = m = Machine("float32")
        self.norms = m.user_output("norms", PHASES, np.float64)
        self.tasks, phases = m.records(Piece, PHASES), m.records(Phase, PHASES)
        for number, (task, phase) in enumerate(zip(self.tasks, phases, strict=True)):
            task.kernel, task.number = kernel_address("norm", m.real), number
            phase.kind, phase.tasks, phase.task_count = TASK_PHASE, m.address_of(task), 1
        phases[at].end = end
        self.head, step, update = m.head, m.head.step, m.head.update
        self.head.phases, self.head.phase_count = m.address_of(phases[0]), PHASES
        self.head.team.tickets, self.head.training = m.memory.lines(1), 1
        self.head.team.begin_batch = kernel_address("begin_batch", m.real)
        self.head.data.batch, self.head.data.total = BATCH, ROWS
        step.row_loss = m.line_numbers("row loss", np.ones(ROWS)).address
        step.rates, step.losses = (m.whole(n, m.memory.lines(2), 16, np.float64).address for n in ("rates", "losses"))
        step.left, step.epochs, step.accumulate, step.limit = 1, 9, 1, LIMIT
        update.prepare, update.norms = kernel_address(RULES["adam"].prepare, m.real), self.norms.address
        self.layer = m.record(Trained, node=3, d_op=0, x_op=-1, x_scale=1.0)
        self.head.layers, self.head.layer_count = m.address_of(self.layer), 1
        self.head.data.scan = kernel_address("scan_reals", m.real)

    def run(self) -> list[int]:
        """The phases that ran."""
        self.m.call("begin", self.head, 0, 0)
        self.m.call("work", self.head, 0, 0, 0)
        return [number for number, found in enumerate(self.norms.numbers()) if not np.isnan(found)]

    def with_all_before(self, end: int) -> Small:
        """With what makes this end the last one before the update: a norm, directions."""
        self.head.update.norm_count = int(end == END_NORM)
        self.head.update.directions = self.norms.address if end == END_DIRECTIONS else 0
        return self

    def unknown_update(self) -> None:
        """Of which no bound is known, so that it has to be tried."""
        self.head.update.bound = kernel_address("no_bounds", self.m.real)


def counted(head: Any) -> tuple[int, int, int]:
    return head.step.number, head.data.cursor, head.step.micro


EVERY = list(range(PHASES))


def test_nothing_leads_to_the_next_phase():
    small = Small(END_NOTHING)
    assert small.run() == EVERY
    assert counted(small.head) == (0, 0, 0)


@pytest.mark.parametrize("end", [END_LOSS, END_STEP])
def test_the_end_of_a_step_leads_to_the_first_phase_or_is_the_end(end):
    small = Small(end)
    assert small.run() == [0]
    assert counted(small.head) == (1, BATCH, 0)
    assert small.head.step.left == 0
    small = Small(end, at=1)
    small.head.step.left = 4
    assert small.run() == [0, 1]
    assert counted(small.head) == (4, BATCH, 0)  # batches of 8, 8, 4, and 8 of the next pass
    assert (small.head.data.epoch, small.head.step.ended) == (1, 1)


def test_only_the_end_that_takes_the_loss_takes_it():
    for end, loss in ((END_LOSS, 1.0), (END_STEP, 0.0)):
        small = Small(end)
        small.run()
        assert small.head.step.loss == loss


def test_a_pass_that_is_the_last_is_the_end():
    small = Small(END_STEP)
    small.head.step.left, small.head.step.epochs = 100, 1
    small.run()
    assert small.head.step.number == 3


def test_backward_leads_past_the_check_where_all_is_certain_to_be_finite():
    small = Small(END_BACKWARD)
    assert small.run() == [0, 2, 3, 4]
    assert small.head.step.checking == 0
    assert small.head.step.loss == 1.0


@pytest.mark.parametrize(("staged", "checking"), [(0, TRYING), (1, LOOKING)])
def test_backward_leads_to_the_check_where_a_gradient_may_be_too_large(staged, checking):
    small = Small(END_BACKWARD)
    small.layer.x_offset, small.head.update.staged = LIMIT, staged
    small.layer.d_op, small.head.magnitudes = 1, 1  # a magnitude that no batch clears
    small.m.worker.magnitudes[1] = int(np.float32(1.0).view(np.uint32))
    assert small.run() == EVERY
    assert small.head.step.checking == checking


@pytest.mark.parametrize(("staged", "ran"), [(0, EVERY), (1, [0, 2, 3, 4])])
def test_backward_leads_to_the_check_where_an_update_at_once_may_be_too_large(staged, ran):
    small = Small(END_BACKWARD)
    small.unknown_update()
    small.head.update.staged = staged
    assert small.run() == ran


def test_a_check_that_finds_nothing_leads_to_the_next_phase():
    small = Small(END_CHECK, at=1)
    assert small.run() == EVERY
    assert small.head.step.status == 0
    assert small.head.step.checking == 0


@pytest.mark.parametrize(("field", "value", "status"), [("bad_layer", 4, 4), ("bad_place", 9, -9)])
def test_a_check_that_finds_something_is_the_end_and_puts_back(field, value, status):
    small = Small(END_CHECK, at=1)
    head, m = small.head, small.m
    m.call("begin", head, 0, 0)  # which clears what workers have found
    setattr(m.worker, field, value)
    head.data.cursor = 5
    m.call("work", head, 0, 0, 0)
    assert np.isnan(small.norms.numbers()[2:]).all()
    assert head.step.status == status
    assert counted(head) == (0, 0, 0)


def test_gradients_of_some_batches_of_a_step_lead_to_the_first_phase():
    small = Small(END_GRADIENTS, at=1)
    small.head.step.accumulate = 3
    small.head.update.norm_count = 1
    assert small.run() == EVERY
    assert counted(small.head) == (0, 2 * BATCH, 2)


@pytest.mark.parametrize("end", [END_GRADIENTS, END_NORM, END_DIRECTIONS])
def test_when_all_gradients_are_there_the_update_is_tried_only_where_it_must_be(end):
    small = Small(end).with_all_before(end)
    assert small.run() == [0, 2, 3, 4]
    assert small.head.step.checking == 0
    small = Small(end).with_all_before(end)
    small.unknown_update()
    assert small.run() == EVERY
    assert small.head.step.checking == TRYING


def test_gradients_lead_to_their_norm_where_that_is_limited():
    small = Small(END_GRADIENTS)
    small.head.update.norm_count = 1
    assert small.run() == EVERY
    assert small.head.step.checking == 0


@pytest.mark.parametrize(("limit", "factor"), [(1.0, 0.2), (10.0, 1.0)])
def test_the_norm_says_what_gradients_are_multiplied_with(limit, factor):
    small = Small(END_NORM)
    small.head.update.norm_count, small.head.update.clip_norm = 1, limit
    small.head.update.gradients = small.m.line_numbers("gradients", np.array([3.0, 4.0])).address
    small.tasks[0].lines = 1
    small.run()
    assert small.head.update.clip_scale == pytest.approx(factor, rel=1e-6)
