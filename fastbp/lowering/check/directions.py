"""Twins of the turns by which directions become orthogonal: each task by itself, from what it reads.

So a bound is that of one product or of one formula, whatever five turns make of a rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.memory import view
from fastbp.kernels.fields import LINE
from fastbp.kernels.newton_schulz import BLOCK, TINY, A, B, C
from fastbp.kernels.ops import Direction
from fastbp.kernels.optimizers.muon import MuonSettings
from fastbp.lowering.check.values import Output, natural, panels_at, summing

Array = NDArray[Any]


class Matrices:
    """What one task reads and writes, in float64."""

    def __init__(self, plan: Any, task: Any) -> None:
        self.plan, self.task = plan, task
        self.dtype = plan.parameters.dtype
        self.eps = float(np.finfo(self.dtype).eps)
        self.in_line = LINE // int(self.dtype.itemsize)
        self.record: Any = Direction(view(task.matrix, (Direction.size,), np.int64))
        self.op = self.record.back if task.swapped else self.record.forth
        self.update = plan.head.update

    def panels(self, columns: int) -> int:
        return -(-columns // self.in_line)

    def of(self, matrix: Any, rows: int, panels: int) -> Array:
        """The rows of a panel matrix where they lie."""
        return panels_at(matrix.start, matrix.stride, panels, rows, self.dtype)

    def of_block(self, address: int) -> Array:
        """The panels of this task of something that is laid out as the parameters."""
        first = int(address) + self.record.offset + self.task.p0 * self.record.stride
        return panels_at(first, self.record.stride, self.task.p1 - self.task.p0, self.record.inputs, self.dtype)

    def x(self) -> Array:
        return natural(self.of(self.op.a, self.record.rows, self.panels(self.record.width)))

    def symmetric(self, name: str, matrix: Any, must: Array, bound: Array) -> list[Output]:
        """A block of a symmetric matrix, and the one on the other side."""
        task, width = self.task, self.record.width
        r0, r1, c0, c1 = (min(at * BLOCK, width) for at in (task.r0, task.r1, task.p0, task.p1))
        found = []
        for (i0, i1), (j0, j1) in [((r0, r1), (c0, c1)), ((c0, c1), (r0, r1))][: 2 if task.r0 != task.p0 else 1]:
            first, last = j0 // self.in_line, self.panels(j1)
            memory = self.of(matrix, i1, last)[i0:, first:]
            part = slice(i0, i1), slice(j0, last * self.in_line)
            found.append(Output(name, memory, must[part], bound[part], i0, j0))
        return found


def momentum(m: Matrices) -> list[Output]:
    """The step's gradient, clipped as the update does, and twice towards it."""
    update = m.update
    g, old = (natural(m.of_block(address)) for address in (update.gradients, update.blocks.moment_1))
    g = g * update.clip_power * update.clip_scale
    limit = float(m.dtype.type(update.clip_value))
    g = np.clip(g, -limit, limit) if limit else g
    part = 1.0 - MuonSettings(update.settings.view(np.int64)).momentum
    must = old + (1.0 - (1.0 - part) ** 2) * (g - old)
    return [Output("the direction", m.of_block(update.directions), must, 8.0 * m.eps * (np.abs(g) + np.abs(old)))]


def begin(m: Matrices) -> list[Output]:
    """The direction over its norm, of all of its panels."""
    record, task, p = m.record, m.task, m.in_line
    first = int(m.update.directions) + record.offset
    whole = natural(panels_at(first, record.stride, record.panels, record.inputs, m.dtype))
    largest = max(float(np.abs(whole).max()), float(np.finfo(np.float64).tiny))
    size = 1.0 if largest < 1e100 else largest
    must = whole[:, task.p0 * p : task.p1 * p] / size / (np.linalg.norm(whole / size) + TINY / size)
    flushed = whole.size**0.5 * float(np.finfo(m.dtype).tiny) ** 0.5 / TINY
    bound = (summing(whole.size) * m.eps + flushed) * np.abs(must)
    if not record.turned:
        memory = m.of(m.op.a, record.inputs, task.p1)[:, task.p0 :]
        return [Output("X", memory, must, bound, 0, task.p0 * p)]
    memory = m.of(m.op.a, task.p1 * p, m.panels(record.inputs))[task.p0 * p :]
    lanes = memory.shape[1] * p
    turned, bounds = (np.pad(a.T, ((0, 0), (0, lanes - record.inputs))) for a in (must, bound))
    return [Output("X", memory, turned, bounds, task.p0 * p)]


def gram(m: Matrices) -> list[Output]:
    x = m.x()
    bound = summing(len(x)) * m.eps * (np.abs(x).T @ np.abs(x))
    return m.symmetric("Xᵀ X", m.record.gram, x.T @ x, bound)


def factor(m: Matrices) -> list[Output]:
    width = m.record.width
    s = natural(m.of(m.record.gram, width, m.panels(width)))
    square, sizes = s.T @ s, np.abs(s).T @ np.abs(s)
    ones = np.eye(width, s.shape[1])
    must = A * ones + B * s + C * square[:width]
    bound = m.eps * (summing(width) * C * sizes[:width] + 4.0 * (A * ones + abs(B) * np.abs(s)))
    return m.symmetric("a I + b S + c S²", m.op.b, must, bound)


def product(m: Matrices) -> list[Output]:
    task, width = m.task, m.record.width
    x = m.x()[task.r0 : task.r1, :width]
    f = natural(m.of(m.op.b, width, m.panels(width)))[:, task.p0 * m.in_line : task.p1 * m.in_line]
    memory = m.of(m.op.c, task.r1, task.p1)[task.r0 :, task.p0 :]
    bound = summing(width) * m.eps * (np.abs(x) @ np.abs(f))
    return [Output("the next X", memory, x @ f, bound, task.r0, task.p0 * m.in_line)]


def end(m: Matrices) -> list[Output]:
    task, record = m.task, m.record
    must = m.x()[task.p0 * m.in_line : task.p1 * m.in_line, : record.inputs].T
    must = np.pad(must, ((0, 0), (0, (task.p1 - task.p0) * m.in_line - must.shape[1])))
    return [
        Output("the direction", m.of_block(m.update.directions), must, np.zeros(must.shape), 0, task.p0 * m.in_line)
    ]


TURNS: dict[str, Callable[[Matrices], list[Output]]] = {
    "muon_momentum": momentum,
    "muon_begin": begin,
    "muon_gram": gram,
    "muon_factor": factor,
    "muon_product": product,
    "muon_end": end,
}


def turn(task: Any, plan: Any) -> list[Output]:
    """What a task of a turn has to write."""
    return TURNS[task.name](Matrices(plan, task))


def squares(task: Any, plan: Any) -> tuple[Array, Array]:
    """Sums of squares of the panels of a task, as they are and as they must be."""
    m = Matrices(plan, task)
    u = m.of_block(m.update.directions).astype(np.float64)
    must = np.square(u).sum(axis=(0, 2))
    large = must > float(np.finfo(m.dtype).max)
    if m.dtype.itemsize == 8:
        must = np.where(large, -np.square(u * 2.0**-600).sum(axis=(0, 2)), must)
    got = view(m.record.squares, (m.record.panels,), np.float64)[task.p0 : task.p1]
    return got, must
