"""What the tasks of the weight sweep have to hand over: the gradients of a tile's parameters, in lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import reference
from fastbp.engine.memory import view
from fastbp.kernels.fields import LINE
from fastbp.lowering.check.values import counts_at, natural, panels_at, summing
from fastbp.spec.coded import Coded

Array = NDArray[Any]


@dataclass
class Gradient:
    """Lines of the gradient of one parameter: where they begin in a block, what they must be, and where they are
    reduced.
    """

    learned: Any
    offset: int
    must: Array
    bound: Array
    scratch: int


def codes_of(layer: Any, rows: int, dtype: Any) -> tuple[Array, Array]:
    """The row of its table that each row of the batch reads, and which rows of the batch read one."""
    panel, lane = divmod(layer.column, LINE // dtype.itemsize)
    codes = natural(panels_at(layer.x.start + panel * layer.x.stride, layer.x.stride, 1, rows, dtype))[:, lane]
    known = (codes >= 0) & (codes < layer.inputs)
    return np.where(known, codes, 0).astype(np.int64), known


class Tile:
    """A tile of parameters, with the records of its layer as they were lowered."""

    def __init__(self, plan: Any, task: Any, uses: list[Any], me: Any, rows: int) -> None:
        self.plan, self.task, self.uses, self.me, self.rows = plan, task, uses, me, rows
        self.layer = uses[0]
        self.dtype = plan.parameters.dtype
        self.in_line = LINE // self.dtype.itemsize
        self.eps = float(np.finfo(self.dtype).eps)
        self.p0, self.p1, self.i0, self.i1 = task.p0, task.p1, task.i0, task.i1

    def gradients(self) -> list[Gradient]:
        """What is handed over, in order."""
        return {
            "weights": self._weights,
            "coded_weights": self._weights,
            "columns": self._columns,
            "prelu_columns": self._columns,
            "batch_norm_columns": self._batch_norm,
            "embedding_rows": self._table,
            "update": self._kept,
            "embedding_update": self._kept_rows,
        }[self.task.name]()

    def _read(self, matrix: Any, p0: int, p1: int) -> Array:
        start = matrix.start + p0 * matrix.stride
        return natural(panels_at(start, matrix.stride, p1 - p0, self.rows, self.dtype))

    def _terms(self) -> float:
        return (summing(self.rows * len(self.uses)) + 4.0) * self.eps

    def _valid(self, learned: Any, lines: Array, p0: int) -> Array:
        """Zeros for what pads a parameter, given (lines, lanes) of its panels from p0 on."""
        slot = self.plan.parameters.slots[self.plan.parameters.name_at(learned.offset)]
        lanes = np.arange(p0 * self.in_line, p0 * self.in_line + lines.shape[1])
        return np.where(lanes % (slot.panels * self.in_line) < slot.width, lines, 0.0)

    def _biases(self, scratch: int) -> list[Gradient]:
        learned = self.layer.bias
        if learned.offset < 0 or self.i0:
            return []
        found = [self._read(use.d, self.p0, self.p1) for use in self.uses]
        must, size = sum(d.sum(0) for d in found), sum(np.abs(d).sum(0) for d in found)
        return [self._lines(learned, np.asarray(must), self._terms() * np.asarray(size), scratch)]

    def _lines(self, learned: Any, must: Array, bound: Array, scratch: int) -> Gradient:
        """The gradient of a line a panel."""
        lines, off = (self._valid(learned, x[None], self.p0).reshape(-1, self.in_line) for x in (must, bound))
        return Gradient(learned, learned.offset + self.p0 * LINE, lines, off, scratch)

    def _weights(self) -> list[Gradient]:
        learned, lines = self.layer.weight, self.i1 - self.i0
        first, last = self.i0 // self.in_line, -(-self.i1 // self.in_line)
        at = slice(self.i0 - first * self.in_line, self.i1 - first * self.in_line)
        must = size = np.zeros((lines, (self.p1 - self.p0) * self.in_line))
        for use in self.uses:
            d = self._read(use.d, self.p0, self.p1)
            x = self._read(use.x, first, last)[:, at] if self.task.name == "weights" else self._of_codes(use)
            must = must + reference.linear_vjp(d, x, np.zeros((1, d.shape[1])))[1]
            size = size + np.abs(x).T @ np.abs(d)
        must, bound = (self._valid(learned, x, self.p0) for x in (must, self._terms() * size))
        found = []
        for panel in range(self.p0, self.p1):
            offset = learned.offset + panel * learned.stride + self.i0 * LINE
            part = slice((panel - self.p0) * self.in_line, (panel - self.p0 + 1) * self.in_line)
            scratch = self.me.scratch + (panel - self.p0) * lines * LINE
            found.append(Gradient(learned, offset, must[:, part], bound[:, part], scratch))
        return found + self._biases(self.me.scratch + (self.p1 - self.p0) * lines * LINE)

    def _of_codes(self, use: Any) -> Array:
        """The columns of the tile of rows with codes."""
        narrow = self._read(use.x, 0, -(-use.count // self.in_line))[:, : use.count]
        return np.asarray(Coded(narrow, counts_at(use)))[:, self.i0 : self.i1]

    def _columns(self) -> list[Gradient]:
        learned, found = self.layer.weight, []
        if learned.offset >= 0:
            must = size = np.zeros((self.p1 - self.p0) * self.in_line)
            for use in self.uses:
                x, d = self._read(use.x, self.p0, self.p1), self._read(use.d, self.p0, self.p1)
                term = d * (np.minimum(x, 0.0) if self.task.name == "prelu_columns" else x)
                must, size = must + term.sum(0), size + np.abs(term).sum(0)
            bound = self._terms() * size
            if self.layer.shared:
                bound = np.array([bound.sum() + (summing(len(size)) + 4.0) * self.eps * size.sum()])
                must, bound = (np.pad(x[:1], (0, self.in_line - 1)) for x in (np.array([must.sum()]), bound))
            found.append(self._lines(learned, must, bound, self.me.scratch))
        return found + self._biases(self.me.scratch + (self.p1 - self.p0) * LINE)

    def _batch_norm(self) -> list[Gradient]:
        """Sums that are there already."""
        found, scratch = [], self.me.scratch
        for learned, sums in ((self.layer.weight, self.layer.sum_dx), (self.layer.bias, self.layer.sum_d)):
            if learned.offset >= 0:
                lines = view(sums + self.p0 * LINE, ((self.p1 - self.p0) * self.in_line,), self.dtype)
                must = lines.astype(np.float64)
                found.append(self._lines(learned, must, np.zeros(must.shape), scratch))
            scratch += (self.p1 - self.p0) * LINE
        return found

    def _table(self) -> list[Gradient]:
        layer, learned = self.layer, self.layer.weight
        codes, known = codes_of(layer, self.rows, self.dtype)
        first, last = layer.first, layer.first + layer.width
        p0, p1 = first // self.in_line, -(-last // self.in_line)
        d = self._read(layer.d, p0, p1)[:, first - p0 * self.in_line : last - p0 * self.in_line]
        must = np.zeros((layer.inputs, layer.panels * self.in_line))
        size = must.copy()
        np.add.at(must[:, : layer.width], codes[known], d[known])
        np.add.at(size[:, : layer.width], codes[known], np.abs(d[known]))
        rows = list(dict.fromkeys(codes[known].tolist()))
        return [
            self._row(learned, row, panel, must, self._terms() * size, layer.sums)
            for row in rows
            for panel in range(layer.panels)
        ]

    def _row(self, learned: Any, row: int, panel: int, must: Array, bound: Array, sums: int) -> Gradient:
        """One line of one row of a table."""
        o = panel * learned.stride + row * LINE
        part = slice(panel * self.in_line, (panel + 1) * self.in_line)
        return Gradient(learned, learned.offset + o, must[row : row + 1, part], bound[row : row + 1, part], sums + o)

    def _waiting(self, learned: Any, offset: int, lines: int) -> Gradient:
        """Gradients that have waited, with what keeps their norm within its limit."""
        update = self.plan.head.update
        found = view(update.gradients + offset, (lines, self.in_line), self.dtype).astype(np.float64)
        must = found * update.clip_power * update.clip_scale
        return Gradient(learned, offset, must, 2.0 * self.eps * np.abs(must), self.me.scratch)

    def _kept(self) -> list[Gradient]:
        layer, found = self.layer, []
        p1 = self.p0 + 1 if layer.shared else self.p1
        if layer.weight.offset >= 0:
            offset, lines = layer.weight.offset + self.i0 * LINE, self.i1 - self.i0
            found = [
                self._waiting(layer.weight, offset + panel * layer.weight.stride, lines) for panel in range(self.p0, p1)
            ]
        if not self.i0 and layer.bias.offset >= 0:
            found.append(self._waiting(layer.bias, layer.bias.offset + self.p0 * LINE, p1 - self.p0))
        return found

    def _kept_rows(self) -> list[Gradient]:
        learned, seen = self.layer.weight, self.plan.watcher.tasks.seen.get(self.layer.sums, [])
        return [
            self._waiting(learned, learned.offset + panel * learned.stride + row * LINE, 1)
            for row in seen
            for panel in range(self.layer.panels)
        ]
