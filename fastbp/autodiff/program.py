"""A program: the steps of a lowered graph as records in memory, and how values get in and out."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.autodiff.graph import Graph, rows_and_width
from fastbp.autodiff.groups import Group, grouped, place, scheduled
from fastbp.autodiff.lower import Lowering, Space, Step
from fastbp.engine.compiler import kernel_address, sweep
from fastbp.engine.forks import lock
from fastbp.engine.memory import Arena, view
from fastbp.engine.plan import Table
from fastbp.kernels import layout as at
from fastbp.kernels.vector import LINE

# Of a product, and of every other kernel: where the record has the address of each operand, how far its next panel is
# and its next row, and how far back its rows begin.
PRODUCT = (at.A, at.A_STRIDE, None, None), (at.B, at.B_STRIDE, None, None), (at.BIAS, None, None, None)
OTHER = (
    (at.A, at.A_STRIDE, at.A_ROW, at.A_BACK),
    (at.B, at.B_STRIDE, at.B_ROW, at.B_BACK),
    (at.Y, at.Y_STRIDE, at.Y_ROW, at.Y_BACK),
)


class Program:
    """Some nodes of a graph as a function of others; one thread at a time.

    Parameters
    ----------
    graph : Graph
    inputs, outputs : list of int
        Nodes.
    """

    def __init__(self, graph: Graph, inputs: list[int], outputs: list[int]) -> None:
        dtype = graph.dtype
        self.real = dtype.name
        self.arena = Arena()
        lowered = Lowering(graph, inputs, outputs, LINE // dtype.itemsize)
        self._lock = lock("this traced function")
        self._run = sweep("run_groups", self.real)
        self._zero = dtype.type(0)
        self._me = self._worker()
        fill = [Step("gate_fill", lowered.arguments, (), len(lowered.numbers), user=-1)] if lowered.numbers else []
        always = fill + scheduled([step for step in lowered.steps if not step.once])
        first, then = grouped([step for step in lowered.steps if step.once]), grouped(always)
        pinned = lowered.arguments, lowered.results, *(s for s, _ in lowered.constants)
        place([*first, *then], (*pinned, *(s for _, s in lowered.vector_inputs)), self.arena)
        once = self._records(first)
        self._groups = self._records(then)
        self._connect(graph, inputs, outputs, lowered, always)
        with np.errstate(all="ignore"):
            for space, value in lowered.constants:
                self._write(space, value)
        self._run(*once, self._me, self._zero)

    # Memory.

    def _worker(self) -> int:
        head = self.arena.take((at.INDEX + 1) * at.WORD)
        me = self.arena.take((at.MAGNITUDES + 8) * at.WORD)
        view(me, (at.HEAD + 1,), np.int64)[at.HEAD] = head
        return me

    def _write(self, space: Space, value: NDArray[Any]) -> None:
        """Write a constant: a number into every lane."""
        rows, width = rows_and_width(value.shape)
        in_line = LINE // value.itemsize
        padded = np.zeros((rows, space.panels * in_line), value.dtype)
        padded[:, : width if value.shape else in_line] = value
        for panel in range(space.panels):
            lines = view(space.address + panel * space.stride, (rows, in_line), value.dtype)
            lines[...] = padded[:, panel * in_line : (panel + 1) * in_line]

    # Records.

    def _records(self, groups: list[Group]) -> tuple[int, int]:
        """Write groups and their steps; the address of the first group, and how many there are."""
        ops = Table(self.arena, sum(len(group.steps) for group in groups), at.OP_WORDS)
        table = Table(self.arena, len(groups), at.GROUP_WORDS)
        count = 0
        for record, group in zip(table.records, groups, strict=False):
            record[at.GROUP_OPS], record[at.GROUP_COUNT] = ops.address_of(count), len(group.steps)
            record[at.GROUP_ROWS], record[at.GROUP_BLOCK] = group.rows, group.block
            for step in group.steps:
                self._record(ops.records[count], step, group)
                step.number = count
                count += 1
        self._ops = ops
        return table.address, len(groups)

    def _record(self, record: NDArray[np.int64], step: Step, group: Group) -> None:
        record[at.KERNEL] = kernel_address(step.kernel, self.real)
        for word, value in step.words.items():
            record[getattr(at, word.upper())] = value
        for operand, words in zip(step.views, PRODUCT if step.kernel == "product" else OTHER, strict=False):
            address, stride, back = group.place(operand.space)
            found = address, stride if operand.stride else 0, operand.row, back
            for word_of, number in zip(words, found, strict=True):
                if word_of is not None:
                    record[word_of] = number
        if step.views:
            record[at.WIDTH] = step.views[0].space.width
        if step.target is not None:
            record[at.C], record[at.C_STRIDE], record[at.C_BACK] = group.place(step.target)
            record[at.PANELS] = 1 if group.flat else step.target.panels

    # Values in and out.

    def _connect(
        self, graph: Graph, inputs: list[int], outputs: list[int], lowered: Lowering, steps: list[Step]
    ) -> None:
        dtype = graph.dtype
        self._shapes = [graph.shape(n) for n in outputs]
        records = self._ops.records
        self._matrices_in: list[tuple[NDArray[np.int64], int]] = []
        self._matrices_out: list[tuple[NDArray[np.int64], int]] = []
        for step in steps:
            if step.user is None:
                continue
            record = records[step.number]
            if step.kernel == "gather":
                width = record[at.WIDTH] = graph.shape(inputs[step.user])[1]
                record[at.A_STRIDE] = width * dtype.itemsize
                self._matrices_in.append((record[at.A : at.A + 1], step.user))
            elif step.kernel == "scatter":
                record[at.C_STRIDE] = record[at.WIDTH] * dtype.itemsize
                self._matrices_out.append((record[at.C : at.C + 1], step.user))
            else:
                record[at.A] = self._stage = self.arena.take(len(lowered.numbers) * at.WORD)
        self._vectors_in = [(self._vector(s, s.width, dtype), i) for i, s in lowered.vector_inputs]
        self._vectors_out = [(self._vector(s, s.width, dtype), i) for i, s in lowered.vector_outputs.items()]
        numbers = [i for i, n in enumerate(inputs) if graph.shape(n) == ()]
        self._numbers_in = numbers
        self._only_numbers = len(numbers) == len(inputs)
        if numbers:
            self._pack = struct.Struct(f"{len(numbers)}d").pack_into
            self._staged = (ctypes.c_char * (8 * len(numbers))).from_address(self._stage)
        self._numbers_out = lowered.number_outputs
        count = len(self._numbers_out)
        letter, gap = ("f", 60) if dtype.itemsize == 4 else ("d", 56)
        self._unpack = struct.Struct("=" + f"{letter}{gap}x" * count).unpack_from
        self._result = (ctypes.c_char * (LINE * max(count, 1))).from_address(lowered.results.address)
        self._only_numbers_out = count == len(outputs)

    def _vector(self, space: Space, width: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        return view(space.address, (width,), dtype)

    def __call__(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Floats for numbers, and for other values arrays in C order of the graph's dtype; the same come out."""
        with self._lock:
            if self._only_numbers:
                if values:
                    self._pack(self._staged, 0, *values)
            else:
                self._bring(values)
            if self._only_numbers_out:
                self._run(*self._groups, self._me, self._zero)
                return self._unpack(self._result)
            out: list[Any] = [None] * len(self._shapes)
            for word, i in self._matrices_out:
                out[i] = np.empty(self._shapes[i], self._zero.dtype)
                word[0] = out[i].ctypes.data
            self._run(*self._groups, self._me, self._zero)
            for source, i in self._vectors_out:
                out[i] = source.reshape(self._shapes[i]).copy()
            for i, number in zip(self._numbers_out, self._unpack(self._result), strict=True):
                out[i] = number
            return tuple(out)

    def _bring(self, values: Sequence[Any]) -> None:
        if self._numbers_in:
            self._pack(self._staged, 0, *(values[i] for i in self._numbers_in))
        for target, i in self._vectors_in:
            target[...] = values[i].reshape(-1)
        for word, i in self._matrices_in:
            word[0] = values[i].ctypes.data
