"""The row phases of a plan, call by call: which op it is, whether its operands are there, and what it wrote.

What an op has to do is taken from the ops as they were lowered, before they were cut into phases and column groups, so
that a record which leads elsewhere is found. Every buffer has a copy that only changes where a call had to write, and
for each number the op that wrote it: an operand must be what the op before it in the order of the lowering put out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.memory import view
from fastbp.errors import PlanError
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import JoinOp, LossOp
from fastbp.kernels.records import ROW_PHASE, Worker
from fastbp.lowering.check import bins, waves  # noqa: F401  their twins are entered here
from fastbp.lowering.check.call import Call
from fastbp.lowering.check.losses import custom_loss, loss_of_numbers
from fastbp.lowering.check.norms import batch_norm_statistics  # noqa: F401  its twins are entered here
from fastbp.lowering.check.ops import TWINS, custom
from fastbp.lowering.check.values import Output, panels_at
from fastbp.spec.catalogue import LOSSES

Array = NDArray[Any]
NOBODY = -1


def twin_of(name: str) -> Any:
    """The twin of an op's kernel; None where there is none."""
    if name.startswith("branch_custom_"):
        return custom
    if name.startswith("custom_loss_"):
        return custom_loss
    return TWINS.get(name) or (loss_of_numbers if name in LOSSES and LOSSES[name].formula else None)


def _has_second(op: Any) -> bool:
    """Whether an op has a second result, which is called Y."""
    of_wave = op.name.startswith("wave_") and op.y.start
    return bool(op.name.endswith("norm_forward") or op.name.startswith("branch_custom_slope_") or of_wave)


class Kept:
    """A buffer beside its copy, and who wrote each of its numbers."""

    def __init__(self, buffer: Any, name: str, rows: int, dtype: Any) -> None:
        self.buffer, self.name = buffer, name
        size = buffer.panels * buffer.stride
        self.memory = view(buffer.address, (size,), np.uint8)
        self.copy = self.memory.copy()
        self.lanes = buffer.panels * LINE // dtype.itemsize
        self.writer = np.full((rows, self.lanes), NOBODY, np.int32)

    def take(self, output: Output, number: int) -> None:
        """Take over what a call has written."""
        offset = output.memory.ctypes.data - self.buffer.address
        rows, panels, in_line = output.memory.shape
        own = panels_at(self.copy.ctypes.data + offset, self.buffer.stride, panels, rows, output.memory.dtype)
        own[:, output.chosen()] = output.memory[:, output.chosen()]
        lane = offset // self.buffer.stride * in_line
        written = self.writer[output.row : output.row + rows, lane : lane + own[0].size]
        written[:, output.chosen().ravel()] = number

    def changed(self, dtype: Any) -> tuple[int, int] | None:
        """Row and column of the first number that is not what it was."""
        if np.array_equal(self.memory, self.copy):
            return None
        at = int(np.argmax(self.memory != self.copy))
        panel, offset = divmod(at, self.buffer.stride)
        in_line = LINE // dtype.itemsize
        return offset // LINE, panel * in_line + offset % LINE // dtype.itemsize


@dataclass(frozen=True)
class Step:
    """One record of the plan's table: which of the lowered ops it is, and its share of that one's panels."""

    number: int
    share: tuple[int, int]


class Rows:
    """What is known of the row phases of one plan."""

    def __init__(self, plan: Any, lowering: Any) -> None:
        self.plan, self.ops, self.names, self.transposes = plan, lowering.ops, lowering.names, lowering.transposes
        self.dtype = plan.parameters.dtype
        self.in_line = LINE // self.dtype.itemsize
        rows = lowering.rows
        self.kept = {b.address: Kept(b, self.names[b.address].split()[0], rows, self.dtype) for b in lowering.buffers}
        self.reads = self._expected()
        self.steps = self._steps()
        self.done = [np.zeros((rows, op.panels), bool) for op in self.ops]
        losses = [k for k, op in enumerate(self.ops) if isinstance(op, LossOp)]
        parts = [part for part, _ in plan.loss_parts] if losses else []
        self.losses = dict(zip(losses, parts, strict=True))

    def said(self, number: int) -> str:
        return f"op {self.ops[number].number} `{self.name(number)}`"

    def name(self, number: int) -> str:
        """Of its kernel; that of a loss hangs on the targets."""
        index = next(i for i, step in enumerate(self.steps) if step.number == number)
        return str(self.plan.ops.records[index].name)

    # What is known before anything runs.

    def _writes(self, op: Any) -> list[tuple[int, Array]]:
        """Buffers that an op writes, and which lanes."""
        if op.whole_columns or isinstance(op, JoinOp) or self._within(op.c.start) is None:
            return []
        first, end = 0, op.panels * self.in_line
        if op.name == "branch_copy":
            first, last = op.to, op.to + op.count
            end = -(-last // self.in_line) * self.in_line if op.closes else last
        found = [op.c.start, op.y.start] if _has_second(op) and op.y.start != op.c.start else [op.c.start]
        out = []
        for address, at in filter(None, map(self._within, found)):
            lanes = np.arange(self.kept[address].lanes)  # of places that may be wider
            out.append((address, (first + at <= lanes) & (lanes < end + at)))
        return out

    def _within(self, address: int) -> tuple[int, int] | None:
        """The buffer that an address is in, and which lane of it that is; an operand may be a part of one."""
        if address in self.kept:
            return address, 0
        for start, kept in self.kept.items():
            if start <= address < start + kept.memory.size:
                panel, rest = divmod(address - start, kept.buffer.stride)
                return start, panel * self.in_line + rest // self.dtype.itemsize
        return None

    def _operands(self, op: Any) -> dict[str, tuple[int, int]]:
        """Buffers that an op reads, and from which lane on."""
        if isinstance(op, JoinOp) or op.name in ("unit_rows", "branch_clear"):
            return {}
        second = "y" in op.fields and not _has_second(op)
        found = {name: self._within(getattr(op, name).start) for name in ("a", *(["y"] if second else []))}
        return {name: place for name, place in found.items() if place is not None}

    def _expected(self) -> list[dict[str, Array]]:
        """For each op, by operand: who wrote each of its columns before it."""
        writer = {address: np.full(kept.lanes, NOBODY, np.int32) for address, kept in self.kept.items()}
        found = []
        for number, op in enumerate(self.ops):
            found.append({name: writer[address].copy() for name, (address, _) in self._operands(op).items()})
            for address, lanes in self._writes(op):
                writer[address][lanes] = number
        self.last = writer
        return found

    def _steps(self) -> list[Step]:
        """Each record's op and share, by the phases."""
        records, first = self.plan.ops.records, 0
        found: list[Step] = []
        for phase in self.plan.phases.records:
            if phase.kind != ROW_PHASE:
                continue
            begin = len(found)
            for group in range(phase.groups):
                for i in range(phase.op_count):
                    op = self.ops[first + i]
                    at = begin + group * phase.op_count + i
                    last = group + 1 == phase.groups
                    end = op.panels if last else records[at + phase.op_count].first_panel
                    found.append(Step(first + i, (records[at].first_panel, end)))
            first += phase.op_count
        return found

    # Calls.

    def index_of(self, address: int) -> int:
        return int((address - self.plan.ops.address) // self.plan.ops.size)

    def meet(self) -> None:
        """Take buffers as they are: a run begins."""
        for kept in self.kept.values():
            kept.copy[:] = kept.memory
        self.begin()

    def begin(self) -> None:
        """Forget who wrote what, and what is done: a batch, or a block of rows that goes through by itself, begins."""
        for kept in self.kept.values():
            kept.writer[:] = NOBODY
        for done in self.done:
            done[:] = False

    def call(self, run: Any, address: int, me: int, r0: int, r1: int) -> None:
        """One call of an op's kernel, beside its twin."""
        index = self.index_of(address)
        step, given = self.steps[index], self.plan.ops.records[index]
        number, op = step.number, self.ops[step.number]
        self._check_operands(number, step.share, r0, r1)
        worker = Worker(view(me, (Worker.size,), np.int64))
        call = Call(self.plan, self._named(op, given), given, step.share, worker, r0, r1, self.names, self.transposes)
        call.loss = self.losses.get(number)
        outputs = twin_of(given.name)(call)
        operands = [address for address, _ in self._operands(op).values()]
        for output in outputs:
            if not output.reads and self._home(output) not in operands:
                output.poison()
        run()
        for output in outputs:
            if (found := output.difference()) is not None:
                (row, column), must, got = found
                raise PlanError(
                    f"{self._where(number)}: {output.name} must be {must:.9g} at row {row}, column {column},"
                    f" got {got:.9g}"
                )
        for output in outputs:
            if (home := self._home(output)) is not None:
                self.kept[home].take(output, number)
        self.done[number][r0:r1, slice(*step.share)] = True
        self.check_untouched(self._where(number))

    @staticmethod
    def _named(op: Any, given: Any) -> Any:
        op.name = given.name
        return op

    def _where(self, number: int) -> str:
        return f"{self.said(number)} of `{self.plan.title}`"

    def _home(self, output: Output) -> int | None:
        """The buffer that an output lies in."""
        at = output.memory.ctypes.data
        return next(
            (a for a, kept in self.kept.items() if a <= at < a + kept.memory.size and output.memory.ndim == 3), None
        )

    def _check_operands(self, number: int, share: tuple[int, int], r0: int, r1: int) -> None:
        op = self.ops[number]
        for matrix, (address, at) in self._operands(op).items():
            kept, expected = self.kept[address], self.reads[number][matrix]
            width = op.width if matrix == "a" else op.panels * self.in_line
            part = share if op.fields[matrix].per_panel else (0, kept.buffer.panels)
            lanes = slice(at + part[0] * self.in_line, at + min(part[1] * self.in_line, width))
            if op.name == "branch_copy":
                lanes = slice(at + op.first, at + op.first + op.count)
            self._check_writers(self._where(number), kept, expected, r0, r1, lanes)

    def _check_writers(self, where: str, kept: Kept, expected: Array, r0: int, r1: int, lanes: slice) -> None:
        """Refuse numbers that another op has written than should have."""
        found = kept.writer[r0:r1, lanes]
        bad = found != expected[lanes]
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            wrote, should = int(found[row, column]), int(expected[lanes][column])
            other = "nothing of this batch" if wrote == NOBODY else f"what {self.said(wrote)} wrote"
            source = "as it was" if should == NOBODY else f"what {self.said(should)} wrote"
            raise PlanError(
                f"{where}: buffer {kept.name} must be {source} at row {row + r0}, column {column + (lanes.start or 0)},"
                f" got {other}"
            )

    def check_final(self, where: str, matrix: Any, rows: int) -> None:
        """Refuse a buffer that a task reads, or a part of, and that is not as the row phases leave it."""
        if (place := self._within(matrix.start)) is not None:
            kept = self.kept[place[0]]
            self._check_writers(where, kept, self.last[place[0]], 0, rows, slice(0, kept.buffer.width))

    def check_untouched(self, where: str) -> None:
        """Refuse what was written where nobody had to write."""
        for kept in self.kept.values():
            if (at := kept.changed(self.dtype)) is not None:
                raise PlanError(f"{where}: buffer {kept.name} must stay as it was at row {at[0]}, column {at[1]}")

    def check_complete(self, rows: int, first: int = 0) -> None:
        """Refuse a batch or block of rows that did not go through every op."""
        for number, done in enumerate(self.done):
            missing = ~done[first : first + rows]
            if missing.any():
                row, panel = (int(i) for i in np.argwhere(missing)[0])
                raise PlanError(
                    f"{self._where(number)}: row {row + first}, column {panel * self.in_line} must be done in every"
                    " batch, got none"
                )
