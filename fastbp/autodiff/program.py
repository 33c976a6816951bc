"""A program: the steps of a lowered graph as records in memory, and how values get in and out.

Spaces get addresses step by step; one that no later step reads is used again, so a program takes as much memory as is
alive at once. Gates that work number by number and follow each other go over blocks of rows together that stay in L1.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.autodiff.graph import Graph, rows_and_width
from fastbp.autodiff.lower import Line, Lowering, Space, Step
from fastbp.engine.compiler import kernel_address, sweep
from fastbp.engine.memory import Arena, view
from fastbp.engine.plan import Table
from fastbp.kernels import layout as at
from fastbp.kernels.vector import LINE

L1_LINES = 384  # of a block of rows, over all spaces of a group: 24 KiB
PRODUCT_ROWS = 64  # rows of a product that stay in L2
OPERANDS = (
    ("product", ((at.A, at.A_STRIDE, None), (at.B, at.B_STRIDE, None), (at.BIAS, None, None))),
    ("", ((at.A, at.A_STRIDE, at.A_ROW), (at.B, at.B_STRIDE, at.B_ROW), (at.Y, at.Y_STRIDE, at.Y_ROW))),
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
        self._lock = threading.Lock()
        self._run = sweep("run_groups", self.real)
        self._zero = dtype.type(0)
        self._me = self._worker()
        self._place(lowered)
        once = self._records([step for step in lowered.steps if step.once])
        fill = Step("gate_fill", lowered.arguments, (), len(lowered.numbers), user=-1)
        steps = ([fill] if lowered.numbers else []) + [step for step in lowered.steps if not step.once]
        self._groups = self._records(steps)
        self._connect(graph, inputs, outputs, lowered, steps)
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

    def _place(self, lowered: Lowering) -> None:
        """Give every space an address, and one that is read no more to the next of its size."""
        free: defaultdict[int, list[int]] = defaultdict(list)
        placed: list[Line] = []

        def put(space: Space) -> None:
            if isinstance(space, Line):
                placed.append(space)
            elif not space.address:
                found = free[space.lines]
                take = not space.pinned and found
                space.address = found.pop() if take else self.arena.take(space.lines * LINE)

        last: dict[int, Step] = {}
        for step in lowered.steps:
            for operand in step.views:
                last[id(operand.space)] = step
        for space in (lowered.arguments, lowered.results, *(s for s, _ in lowered.constants)):
            put(space)
        for _, space in lowered.vector_inputs:
            put(space)
        for step in lowered.steps:
            if step.target is not None and not step.elementwise:
                put(step.target)
            for space in {id(v.space): v.space for v in step.views}.values():
                put(space)
                if last[id(space)] is step and not space.pinned and not step.once:
                    free[space.lines].append(space.address)
            if step.target is not None:
                put(step.target)
                if id(step.target) not in last and not step.target.pinned:
                    free[step.target.lines].append(step.target.address)
        for line in placed:
            line.address = line.whole.address + line.at * LINE

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

    def _records(self, steps: list[Step]) -> tuple[int, int]:
        """Write steps and the groups that they run in; the address of the first group, and how many there are."""
        groups = list(grouped(steps))
        ops = Table(self.arena, len(steps), at.OP_WORDS)
        table = Table(self.arena, len(groups), at.GROUP_WORDS)
        number = 0
        for record, group in zip(table.records, groups, strict=False):
            flat = all(v.flat for step in group for v in step.views) and group[0].elementwise
            record[at.GROUP_OPS], record[at.GROUP_COUNT] = ops.address_of(number), len(group)
            record[at.GROUP_ROWS], record[at.GROUP_BLOCK] = _rows_and_block(group, flat)
            for step in group:
                self._record(ops.records[number], step, flat)
                if step.user is not None:
                    step.words["record"] = number
                number += 1
        self._ops = ops
        return table.address, len(groups)

    def _record(self, record: NDArray[np.int64], step: Step, flat: bool) -> None:
        record[at.KERNEL] = kernel_address(step.kernel, self.real)
        for word, value in step.words.items():
            record[getattr(at, word.upper())] = value
        places = next(words for kernel, words in OPERANDS if kernel in (step.kernel, ""))
        for operand, (address, stride, row) in zip(step.views, places, strict=False):
            record[address] = operand.space.address
            for place, distance in ((stride, operand.stride), (row, operand.row)):
                if place is not None:
                    record[place] = distance
        if step.views:
            record[at.WIDTH] = step.views[0].space.width
        if step.target is not None:
            record[at.C], record[at.C_STRIDE] = step.target.address, step.target.stride
            record[at.PANELS] = 1 if flat else step.target.panels

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
            record = records[step.words.pop("record")]
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


def grouped(steps: list[Step]) -> Iterator[list[Step]]:
    """Steps that go over blocks of rows together: neighbours that work number by number on matrices of one size."""
    group: list[Step] = []
    for step in steps:
        if group and not (_size(step) == _size(group[0]) is not None):
            yield group
            group = []
        group.append(step)
    if group:
        yield group


def _size(step: Step) -> tuple[int, int] | None:
    assert step.target is not None or not step.elementwise
    return (step.target.rows, step.target.panels) if step.elementwise and step.target is not None else None


def _rows_and_block(group: list[Step], flat: bool) -> tuple[int, int]:
    first = group[0]
    if not first.elementwise:
        return first.rows, PRODUCT_ROWS if first.kernel == "product" else first.rows
    assert first.target is not None
    spaces = {id(v.space) for step in group for v in step.views} | {id(step.target) for step in group}
    if flat:
        return first.target.lines, max(8, L1_LINES // len(spaces))
    return first.target.rows, max(1, L1_LINES // len(spaces) // first.target.panels)
