"""Callbacks in the place of kernels: each lets the kernel do its work, beside the kernel's twin.

No exception can pass through compiled code. The first difference is kept, the rest of the call runs through unwatched,
and what was found is raised behind it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.engine.compiler import kernel_address
from fastbp.engine.memory import view
from fastbp.errors import PlanError
from fastbp.kernels.records import Worker
from fastbp.lowering.check.head import check_batch, check_head
from fastbp.lowering.check.rows import Rows, twin_of
from fastbp.lowering.check.tasks import ATTEMPT, KEEP, Tasks

Check = Callable[[Callable[[], None], int, int, int, int], None]


def _told(where: str, problem: BaseException) -> BaseException:
    """A twin's own problem as a PlanError: callers take a TypeError for arrays that have to be converted."""
    if isinstance(problem, PlanError | KeyboardInterrupt):
        return problem
    said = PlanError(f"{where}: {type(problem).__name__}: {problem}")
    said.__cause__ = problem
    return said


class Watcher:
    """Watches one plan, which runs on the calling thread alone."""

    def __init__(self, plan: Any, lowering: Any) -> None:
        self.plan = plan
        self.real = np.dtype(plan.real)
        self.rows = Rows(plan, lowering)
        self.tasks = Tasks(plan, lowering, self.rows)
        number = ctypes.c_float if self.real.itemsize == 4 else ctypes.c_double
        self.kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4, number)
        self.thunks: dict[int, Any] = {}  # by the address of the kernel
        self.own: set[int] = set()
        self.problem: BaseException | None = None
        self.batch: tuple[int, float, bool] | None = None  # rows, scale of the loss, whether it is a step's last
        self.block: tuple[int, int] | None = None
        self.begun: list[tuple[int, int]] = []  # of users' rows, the blocks of this run
        self.steps = 0
        self.rates: Any = ()  # of the steps of this run

    # Where callbacks stand.

    def attach(self) -> None:
        """Put callbacks where kernels stand; what a bind has replaced since the last run, too."""
        plan, update = self.plan, self.plan.head.update
        for number, op in enumerate(plan.ops.records):
            where = self.rows.said(self.rows.steps[number].number)
            op.kernel = self._watched(op.kernel, op.name, where, twin_of(op.name) is not None, self._op)
        for table in plan.tasks:
            for task in table.records:
                task.kernel = self._watched(task.kernel, task.name, "task", Tasks.has_twin(task.name), self._task)
        penalties = self._penalties()
        for layer in plan.layers.records:
            for learned in (layer.weight, layer.bias):
                if learned.penalty not in (0, *self.own):
                    learned.penalty = self._lines(learned.penalty, penalties[learned.penalty])
        kernel = getattr(getattr(plan, "update", None), "kernel", KEEP)
        update.optimizer = self._lines(update.optimizer, KEEP if update.staged else kernel)
        update.kernel = self._lines(update.kernel, kernel)
        update.attempt = self._lines(update.attempt, ATTEMPT)

    def _penalties(self) -> dict[int, str]:
        treatment = getattr(getattr(self.plan, "update", None), "treatment", None) or {}
        names = {way.penalty for way in treatment.values() if way is not None and way.penalty}
        return {kernel_address(name, self.plan.real): name for name in names}

    def _lines(self, address: int, name: str) -> int:
        """Of a kernel that gets a head and lines."""

        def check(run: Any, head: int, me: int, offset: int, lines: int) -> None:
            self.tasks.call_lines(run, name, head, me, offset, lines)

        return self._watched(address, name, "kernel", Tasks.has_twin(name), lambda _: check) if address else 0

    def _watched(self, address: int, name: str, where: str, known: bool, check: Callable[[str], Check]) -> int:
        """The address of the callback in the place of a kernel."""
        if address in self.own:
            return address
        said = where if f"`{name}`" in where else f"{where} `{name}`"
        if not known:
            raise PlanError(f"{said} of `{self.plan.title}` must have a twin in NumPy, got none")
        if address not in self.thunks:
            self.thunks[address] = self._thunk(address, said, check(name))
            self.own.add(self.address_of(address))
        return self.address_of(address)

    def address_of(self, kernel: int) -> int:
        return int(ctypes.cast(self.thunks[kernel], ctypes.c_void_p).value or 0)

    def _thunk(self, address: int, said: str, check: Check) -> Any:
        kernel, zero = self.kind(address), self.real.type(0).item()

        def called(record: int, me: int, r0: int, r1: int, z: float) -> None:
            ran = False

            def run() -> None:
                nonlocal ran
                ran = True
                kernel(record, me, r0, r1, zero)

            if self.problem is None:
                try:
                    with np.errstate(all="ignore"):
                        check(run, record, me, r0, r1)
                except BaseException as problem:
                    # A kernel's that was called within comes first.
                    self.problem = self.problem or _told(self._where(record, said), problem)
            if not ran:
                run()

        return self.kind(called)

    def _where(self, record: int, said: str) -> str:
        """Of a call: ops of one kernel share a callback, but not a number."""
        ops = self.plan.ops
        if record in range(ops.address, ops.address + ops.size * len(ops.records)):
            said = self.rows.said(self.rows.steps[self.rows.index_of(record)].number)
        return f"{said} of `{self.plan.title}`"

    # What callbacks do.

    def _op(self, name: str) -> Check:
        def check(run: Any, record: int, me: int, r0: int, r1: int) -> None:
            if self.rows.index_of(record) == 0:
                self._begin(r0, r1, Worker(view(me, (Worker.size,), np.int64)).shift)
            self.rows.call(run, record, me, r0, r1)

        return check

    def _task(self, name: str) -> Check:
        def check(run: Any, record: int, me: int, r0: int, r1: int) -> None:
            self.tasks.call_at(run, record, me)

        return check

    def _begin(self, r0: int, r1: int, shift: int) -> None:
        """The first op has begun: of a batch, or of a block of rows that goes through all ops by itself."""
        head = self.plan.head
        if not head.training:
            self.begun.append((r0 + shift, r1 + shift))
            apart = self.plan.phases.records[0].local  # whether blocks go through all phases one after another
            if apart or r0 == 0:
                self._close()
                self.block = (r0, r1) if apart else (0, head.data.rows)
                self.rows.begin()
        elif r0 == 0:
            self._close()
            check_batch(self.plan, shift, self.rates[self.steps], self.steps)
            self.batch = head.data.rows, head.step.scale, head.step.micro + 1 == head.step.group
            self.rows.begin()
            self.tasks.begin()

    def _close(self) -> None:
        """See that what has begun was done as a whole."""
        head = self.plan.head
        if self.block is not None:
            r0, r1 = self.block
            self.block = None
            self.rows.check_complete(r1 - r0, r0)
        if self.batch is None:
            return
        (rows, scale, last), self.batch = self.batch, None
        self.steps += last
        if head.step.status != 0:
            return
        self.rows.check_complete(rows)
        self.tasks.done.check(rows, last)
        of_rows = view(head.step.row_loss, (rows,), self.real).astype(np.float64)
        must, size = scale * float(of_rows.sum()), scale * float(np.abs(of_rows).sum())
        if np.isfinite(must) and not abs(head.step.loss - must) <= (rows + 4.0) * 2.0**-52 * size:
            raise PlanError(
                f"the loss of `{self.plan.title}` must be {must:.9g} behind its row phases, got {head.step.loss:.9g}"
            )

    # Runs.

    def around(self, name: str, entry: Callable[..., Any]) -> Callable[..., Any]:
        """An entry that runs the plan, and raises what was found behind it."""
        alone = name.startswith("step_batch")  # one step, whose arrays and rate it is given

        def watched(*given: Any) -> Any:
            head = self.plan.head
            check_head(self.plan, not alone)
            if head.training:
                self.rates = [given[3]] if alone else self.plan.rates[: max(head.step.left, 1)].copy()
            self.attach()
            self.rows.meet()
            self.tasks.begin()
            self.problem, self.batch, self.block, self.begun, self.steps = None, None, None, [], 0
            before = head.step.number
            out = entry(*given)
            if self.problem is None:
                try:
                    with np.errstate(all="ignore"):
                        self._conclude(before, out)
                except BaseException as problem:
                    self.problem = _told(f"`{self.plan.title}`", problem)
            if self.problem is not None:
                raise self.problem
            return out

        return watched

    def _conclude(self, before: int, status: int | None) -> None:
        """See that a run was whole; entries that look at what they are given first say so when they do nothing."""
        self._close()
        if not self.plan.head.training:
            self._check_blocks()
            return
        step, title = self.plan.head.step, f"the steps of `{self.plan.title}`"
        if status or step.status != 0:
            return
        if not self.steps:
            raise PlanError(f"{title} must begin with a batch, got none")
        if step.number != before + self.steps:
            raise PlanError(f"{title} must be counted, got {step.number - before} of {self.steps}")
        if step.left > 0 and step.ended < step.epochs:
            raise PlanError(f"{title} must go on until none is left, got {step.left} that are")

    def _check_blocks(self) -> None:
        """Refuse rows that were in no block, or in two."""
        at = 0
        for first, end in [*sorted(self.begun), (self.plan.head.data.rows, 0)]:
            if first != at:
                raise PlanError(f"row {min(first, at)} of `{self.plan.title}` must be in one block, got otherwise")
            at = end

    def transpose(self) -> None:
        """Transposed weights must be what `transpose_weights` makes of the weights."""
        in_line = self.tasks.in_line
        for layer in self.plan.transposes.records:
            blocks = -(-layer.inputs // in_line)
            self.tasks.check_transposed(
                f"kernel `transpose_weights` of `{self.plan.title}`", layer, (0, blocks), (0, layer.panels)
            )
