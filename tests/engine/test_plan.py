"""Tables of a plan: records stand where they are looked for, workers have their own, uses of parameters are linked."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine.memory import Arena, view
from fastbp.engine.plan import Plan, Table
from fastbp.kernels.fields import LINE, WORD
from fastbp.kernels.ops import DropoutOp, ElementwiseOp, Op
from fastbp.kernels.records import ROW_PHASE, SHADOW_BYTES, TASK_PHASE, Phase, Trained, TrainedNorm, Worker


def op(number: int) -> ElementwiseOp:
    return ElementwiseOp(number=number, panels=number + 1)


@pytest.fixture
def plan():
    """Three workers; two ops in two groups, tasks, one op; three layers, the second used three times."""
    net = fb.Network([fb.Linear(5)], inputs=3)
    made = Plan(net._parameters.block, 3)
    phases = [
        Phase(kind=ROW_PHASE, op_count=2, groups=2),
        Phase(kind=TASK_PHASE),
        Phase(kind=ROW_PHASE, op_count=1, groups=1),
    ]
    layers = [Trained(node=0, panels=2), TrainedNorm(node=1, panels=700), Trained(node=2, panels=1)]
    more = [(layers[1], Trained(node=5)), (layers[1], Trained(node=6))]
    made.finish([op(n) for n in (0, 1, 0, 1, 2)], layers, phases, [], more)
    return made


def test_a_table_holds_its_records_side_by_side():
    first = DropoutOp(chance=7, panels=2)
    first.name = "dropout"
    arena = Arena()  # kept, because the records lie in it
    table = Table.of(arena, Op, [first, op(4)])
    assert [type(record) for record in table.records] == [DropoutOp, ElementwiseOp]
    assert table.records[0].name == "dropout"
    words = view(table.address_of(1), (Op.size,), np.int64)
    assert (words == op(4).words).all()
    table.records[1].panels = 9
    assert ElementwiseOp(words).panels == 9
    assert table.address_of(1) - table.address == table.size == Op.size * WORD


def test_the_ops_of_row_phases_stand_one_phase_behind_the_other(plan):
    first, tasks, last = plan.phases.records
    assert (first.ops, tasks.ops, last.ops) == (plan.ops.address, 0, plan.ops.address_of(4))


def test_uses_of_the_same_parameters_are_linked_in_order(plan):
    one, shared, other, fifth, sixth = plan.layers.records
    assert [one.more, shared.more, other.more] == [0, plan.layers.address_of(3), 0]
    assert [fifth.more, sixth.more] == [plan.layers.address_of(4), 0]
    assert [record.node for record in plan.layers.records] == [0, 1, 2, 5, 6]


def test_the_head_knows_the_tables(plan):
    head = plan.head
    assert (head.phases, head.phase_count) == (plan.phases.address, 3)
    assert (head.ops, head.op_count) == (plan.ops.address, 5)
    assert (head.layers, head.layer_count, head.magnitudes) == (plan.layers.address, 5, 3)


def test_every_worker_has_memory_of_its_own(plan):
    team, taken = plan.head.team, []
    for t in range(3):
        at = team.workers + t * team.worker_bytes
        worker = Worker(view(at, (Worker.size,), np.int64))
        assert worker.head == plan.head_address
        taken += [(at, (Worker.magnitudes.offset + plan.head.magnitudes) * WORD), (worker.shadow, SHADOW_BYTES)]
        taken += [(worker.scratch, 2 * 700 * LINE), (team.tickets + t * LINE, LINE)]
    taken.sort()
    for (first, size), (second, _) in pairwise(taken):
        assert first + size <= second
