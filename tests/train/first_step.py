"""What each op of a first step puts out, so that where a digest of training is another the first op that is has a name.

`python -m tests.train.first_step` writes `first_step.json`, which belongs to the digests that were written down.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import fastbp as fb
from fastbp.engine.compiler import kernel_address, sweep
from fastbp.engine.memory import view
from fastbp.engine.plan import Table
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import GateTask, OpGroup
from fastbp.kernels.records import ROW_PHASE
from fastbp.lowering.batch_plan import BatchPlan

FILE = Path(__file__).with_suffix(".json")


def short(content: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(content).tobytes()).hexdigest()[:8]


def walked(plan: BatchPlan) -> dict[str, str]:
    """Take the plan's next batch through its row phases, op by op: a digest of what each has written."""
    found: dict[str, str] = {}
    head, worker = plan.head, plan.head.team.workers
    head.team.threads = 1
    sweep("invoke", plan.real)(kernel_address("begin", plan.real), plan.head_address, worker, 0, 0, plan.zero)
    # Alone in a group, an op runs as in training: subnormals are flushed.
    rows, at_op, alone = head.data.rows, 0, Table(plan.arena, OpGroup, 1)
    groups = GateTask(kernel=kernel_address("gate_groups", plan.real), groups=alone.address, count=1)
    task, run = Table.of(plan.arena, GateTask, [groups]), sweep("run_task", plan.real)
    for number, phase in enumerate(plan.phases.records):
        for at in range(at_op, at_op + phase.op_count * phase.groups if phase.kind == ROW_PHASE else at_op):
            op: Any = plan.ops.records[at]
            alone.records[0].take(OpGroup(ops=plan.ops.address_of(at), count=1, end=rows, block=rows))
            run(task.address, worker, plan.zero)
            panels = [view(op.c.start + p * op.c.stride, (rows * LINE,), np.uint8) for p in range(op.panels)]
            found[f"phase {number}, op {at} {op.name} -> {plan.names.get(op.c.start, 'C')}"] = short(panels)
            at_op = at + 1
    return found


def digests(trainer: fb.Trainer, X: Any, y: Any) -> dict[str, str]:
    """By op in the order of the plan, and then by what the step leaves behind."""
    found: dict[str, str] = {}
    steps = BatchPlan.steps

    def stepped(plan: BatchPlan, *words: Any) -> Any:
        if plan is trainer._batch_plan:  # not of what proves kernels before their first use
            found.update(walked(plan))
        return steps(plan, *words)

    with patch.object(BatchPlan, "steps", stepped):
        history = trainer.run(X, y, steps=1)
    found["the loss"] = short(np.array(history.loss))
    return found | {f"the update of {name}": short(value) for name, value in trainer.net.parameters.items()}


def first_different(found: dict[str, str], known: dict[str, str]) -> str:
    if list(found) != list(known):
        place = next((a for a, b in zip(found, known, strict=False) if a != b), "the last op")
        return f"first different: the plan itself, from {place} on"
    wrong = [name for name, digest in found.items() if digest != known[name]]
    return f"first different: {wrong[0]}" if wrong else "first different: nothing in the first step"


def explained(case: str, *of: Any) -> str:
    """Where the first step of a case, a trainer with its data, leaves what was written down."""
    return first_different(digests(*of), json.loads(FILE.read_text())[case])


def cases() -> dict[str, Any]:
    from tests.train import bits, every_machine

    return bits.cases() | every_machine.cases()


if __name__ == "__main__":
    FILE.write_text(json.dumps({name: digests(*of) for name, of in cases().items()}, indent=1) + "\n")
