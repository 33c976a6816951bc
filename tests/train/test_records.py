"""Every op and task of every plan and program is a record of the class that its kernel takes."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import isclass
from typing import Any, NamedTuple

import pytest

import fastbp as fb
from fastbp.autodiff import program
from fastbp.autodiff.program import Program
from fastbp.engine import compiler
from fastbp.engine.plan import Plan
from fastbp.kernels.flags import TAKES
from fastbp.kernels.ops import GateTask, Op
from fastbp.kernels.records import Task, Tile, Trained, TrainedCodes, TrainedNorm, TrainedTable
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.train import self_test

REAL = "float32"
# What tiles do, and the layers that they do it to; those of all other kernels are plain.
LAYERS = {
    "batch_norm_columns": TrainedNorm,
    "coded_weights": TrainedCodes,
    "embedding_rows": TrainedTable,
    "embedding_taken": TrainedTable,
    "embedding_update": TrainedTable,
}


class Found(NamedTuple):
    """The class of a record, its kernel and, of a tile, the class of the layer that it is for."""

    case: str
    kernel: str
    kind: type
    layer: type | None = None


def tasks_of(case: str, plan: BatchPlan, names: dict[int, str]) -> Iterator[Found]:
    layers = {plan.layers.address_of(i): type(layer) for i, layer in enumerate(plan.layers.records)}
    for table in plan.tasks:
        for task in table.records:
            layer = layers[task.layer] if isinstance(task, Tile) else None
            yield Found(case, names[task.kernel], type(task), layer)


def of_numbers(real: str) -> float:
    return float(fb.trace(lambda x, y: x * y, dtype=real)(0.5, 0.25))


@pytest.fixture(scope="module")
def found() -> list[Found]:
    """All that the cases of the self-test make, which call every kernel of layers, losses, optimisers and gates."""
    out: list[Found] = []
    made: list[Any] = []  # plans and programs, whose records lie in their memory, and tasks of programs
    finish, records, task_of = Plan.finish, Program._records, program.task_of
    compiler._kernels()  # else `TAKES` has those alone of modules that somebody has imported

    def finished(self: Plan, *args: Any) -> None:
        finish(self, *args)
        made.append((self, self.ops.records))

    def recorded(self: Program, groups: Any) -> Any:
        found = records(self, groups)
        made.append((self, self._ops.records))
        return found

    def tasked(*args: Any) -> GateTask:
        task = task_of(*args)
        made.append((task, []))
        return task

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plan, "finish", finished)
        patch.setattr(Program, "_records", recorded)
        patch.setattr(program, "task_of", tasked)
        for case, run in [*self_test.cases().items(), ("numbers", of_numbers)]:
            run(REAL)
            names = {address: one for (one, *_), address in compiler._LOADED.items() if one in TAKES}
            for owner, ops in made:
                assert [names[op.kernel] for op in ops] == [op.name for op in ops]
                out += [Found(case, op.name, type(op)) for op in ops]
                out += tasks_of(case, owner, names) if isinstance(owner, BatchPlan) else []
                out += [Found(case, names[owner.kernel], type(owner))] if isinstance(owner, Task) else []
            made.clear()
    return out


def test_every_op_and_task_is_of_the_class_that_its_kernel_takes(found):
    wrong = {(one.kernel, one.kind.__name__, one.case) for one in found if one.kind is not TAKES[one.kernel][0]}
    assert wrong == set()


def test_every_tile_has_a_layer_of_the_class_that_its_kernel_reads(found):
    for one in found:
        if one.kernel == "update":  # which has nothing to do with what makes layers different
            assert one.layer is not TrainedTable
        elif one.layer:
            assert one.layer is LAYERS.get(one.kernel, Trained), one
    assert set(LAYERS) <= {one.kernel for one in found}


def test_every_kernel_of_an_op_or_a_task_was_among_them(found):
    """But for one that no plan has, and those of formulas in other tests."""
    own = {name for name, (first, _) in TAKES.items() if isclass(first) and issubclass(first, Op | Task)}
    seen = {one.kernel for one in found}
    assert {name for name in own - seen if "custom_" not in name} == {"multiply_vjp"}
