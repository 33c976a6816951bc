"""Matrices that step along orthogonal ones, Muon's: their memory, and the tasks of each phase of the iteration.

    momentum, begin, then TURNS times gram, factor, product, and end where a matrix is turned

All matrices go through a phase together. Tasks are cut by the shape of a matrix alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

from fastbp.engine.blocks import Block, Slot
from fastbp.engine.compiler import kernel_address
from fastbp.engine.memory import Arena
from fastbp.engine.plan import Table
from fastbp.kernels.fields import LINE
from fastbp.kernels.newton_schulz import BLOCK
from fastbp.kernels.ops import Direction, ProductOp, Turn
from fastbp.kernels.records import Matrix
from fastbp.lowering.update import Update

TURNS = 5
ROWS = 128  # of X in a task of the last product
PANELS = 8  # and columns, as lines


def stretch_of(shape: tuple[int, ...]) -> float:
    """The factor of steps of a matrix of inputs times outputs."""
    inputs, outputs = shape
    return sqrt(max(1.0, outputs / inputs))


def work_of_turns(parameters: Block, update: Update) -> int:
    """Multiplications of all turns: a third of them, as `work_of` counts those of a forward pass alone."""
    found = 0
    for name in update.turned:
        narrow, long = sorted(parameters.slots[name].shape)
        found += TURNS * (3 * narrow * narrow * long + narrow**3) // 2
    return found // 3


@dataclass
class Turned:
    """One matrix: its record, and where it is in the table."""

    slot: Slot
    record: Any
    address: int = 0

    @property
    def swapped(self) -> bool:
        """Whether X begins where `back` does: it ends where directions are, but where it is turned back behind that."""
        return TURNS % 2 == 0 and not self.record.turned


class Directions:
    """The matrices of a plan: parameters of these names, whose directions go to a block that is laid out like theirs.

    Attributes
    ----------
    phases : the tasks of each
    """

    def __init__(self, arena: Arena, parameters: Block, names: list[str], directions: Block) -> None:
        self.arena, self.real = arena, parameters.dtype.name
        self.in_line = LINE // parameters.dtype.itemsize
        slots = [parameters.slots[name] for name in names]
        self.matrices = [Turned(slot, self._record(slot, directions.address + slot.offset)) for slot in slots]
        self.table = Table.of(arena, Direction, [matrix.record for matrix in self.matrices])
        for i, matrix in enumerate(self.matrices):
            matrix.record, matrix.address = self.table.records[i], self.table.address_of(i)
        self.phases = [self._named(kernel, tasks) for kernel, tasks in self._phases()]

    def _named(self, kernel: str, tasks: list[Turn]) -> list[Turn]:
        for task in tasks:
            task.name, task.kernel = kernel, kernel_address(kernel, self.real)
        return tasks

    def _panels(self, numbers: int) -> int:
        return -(-numbers // self.in_line)

    def _matrix(self, rows: int, columns: int) -> Matrix:
        stride = self._panels(rows) * self.in_line * LINE
        return Matrix(start=self.arena.take(self._panels(columns) * stride), stride=stride)

    def _record(self, slot: Slot, direction: int) -> Direction:
        inputs, outputs = slot.shape
        turned = inputs < outputs
        rows, width = (outputs, inputs) if turned else (inputs, outputs)
        x, gram, factor = self._matrix(rows, width), self._matrix(width, width), self._matrix(width, width)
        y = self._matrix(rows, width) if turned else Matrix(start=direction, stride=slot.stride)
        panels = self._panels(width)
        return Direction(
            offset=slot.offset,
            stride=slot.stride,
            inputs=inputs,
            panels=slot.panels,
            turned=turned,
            rows=rows,
            width=width,
            gram=gram,
            forth=ProductOp(a=x, b=factor, c=y, width=width, panels=panels),
            back=ProductOp(a=y, b=factor, c=x, width=width, panels=panels),
            squares=self.arena.take(slot.panels * 8),
        )

    def _phases(self) -> list[tuple[str, list[Turn]]]:
        """The kernel of each phase and its tasks."""
        found = [("muon_momentum", self._by_panels()), ("muon_begin", self._by_panels())]
        for turn in range(TURNS):
            odd = turn % 2 == 1
            found += [("muon_gram", self._blocks(odd)), ("muon_factor", self._blocks(odd))]
            found.append(("muon_product", self._products(odd)))
        if any(matrix.record.turned for matrix in self.matrices):
            found.append(("muon_end", self._by_panels(TURNS % 2 == 1, only_turned=True)))
        return found

    def _turn(self, matrix: Turned, odd: bool, **extent: int) -> Turn:
        return Turn(matrix=matrix.address, swapped=matrix.swapped != odd, **extent)

    def _by_panels(self, odd: bool = False, only_turned: bool = False) -> list[Turn]:
        """A task for some panels of a matrix of parameters."""
        return [
            self._turn(matrix, odd, p0=p0, p1=min(p0 + PANELS, matrix.record.panels))
            for matrix in self.matrices
            for p0 in range(0, matrix.record.panels, PANELS)
            if matrix.record.turned or not only_turned
        ]

    def _blocks(self, odd: bool) -> list[Turn]:
        """A task for each block on or right of the diagonal."""
        return [
            self._turn(matrix, odd, r0=row, r1=row + 1, p0=column, p1=column + 1)
            for matrix in self.matrices
            for row in range(-(-matrix.record.width // BLOCK))
            for column in range(row, -(-matrix.record.width // BLOCK))
        ]

    def _products(self, odd: bool) -> list[Turn]:
        found = []
        for matrix in self.matrices:
            rows, panels = matrix.record.rows, matrix.record.forth.panels
            for r0 in range(0, rows, ROWS):
                for p0 in range(0, panels, PANELS):
                    extent = {"r0": r0, "r1": min(r0 + ROWS, rows), "p0": p0, "p1": min(p0 + PANELS, panels)}
                    found.append(self._turn(matrix, odd, **extent))
        return found


def directions_of(arena: Arena, parameters: Block, update: Update) -> Directions | None:
    """Those of an update, if there are any."""
    if update.directions is None or not update.turned:
        return None
    return Directions(arena, parameters, update.turned, update.directions)
