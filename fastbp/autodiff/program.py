"""A program: the steps of a lowered graph as records in memory, called with values."""

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
from fastbp.kernels.fields import LINE, WORD
from fastbp.kernels.ops import GateOp, Op, ProductOp, RowsOp, TakeOp
from fastbp.kernels.records import Head, Matrix, Operand, OpGroup, Worker

RECORDS: dict[str, type[Op]] = {
    "product": ProductOp,
    "gather": RowsOp,
    "scatter": RowsOp,
    "gate_take": TakeOp,
    "gate_place": TakeOp,
}  # all other kernels take a GateOp


class Program:
    """Nodes of a graph as a function of other nodes; not thread-safe.

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
        """A worker for gates and products; its head reads rows in order."""
        workers = Table(self.arena, Worker, 1)
        workers.records[0].head = Table(self.arena, Head, 1).address
        return workers.address

    def _write(self, space: Space, value: NDArray[Any]) -> None:
        """Write a constant; a number into every lane."""
        rows, width = rows_and_width(value.shape)
        in_line = LINE // value.itemsize
        padded = np.zeros((rows, space.panels * in_line), value.dtype)
        padded[:, : width if value.shape else in_line] = value
        for panel in range(space.panels):
            lines = view(space.address + panel * space.stride, (rows, in_line), value.dtype)
            lines[...] = padded[:, panel * in_line : (panel + 1) * in_line]

    # Records.

    def _records(self, groups: list[Group]) -> tuple[int, int]:
        """Write groups and their steps; returns address and number of the groups."""
        steps = [(step, group) for group in groups for step in group.steps]
        self._ops = Table.of(self.arena, Op, [self._record(step, group) for step, group in steps])
        for number, (step, _) in enumerate(steps):
            step.number = number
        records = []
        for group in groups:
            ops = self._ops.address_of(group.steps[0].number)
            records.append(OpGroup(ops=ops, count=len(group.steps), rows=group.rows, block=group.block))
        return Table.of(self.arena, OpGroup, records).address, len(groups)

    def _record(self, step: Step, group: Group) -> Any:
        kind = RECORDS.get(step.kernel, GateOp)
        record: Any = kind(name=step.kernel, kernel=kernel_address(step.kernel, self.real), **step.words)
        for name, operand in zip(("a", "b", "bias" if kind is ProductOp else "y"), step.views, strict=False):
            address, stride, back = group.place(operand.space)
            stride = stride if operand.stride else 0
            if name == "bias":
                record.bias = address
            elif issubclass(kind, GateOp):
                setattr(record, name, Operand(start=address, stride=stride, row=operand.row, back=back))
            else:
                setattr(record, name, Matrix(start=address, stride=stride))
        if step.views:
            record.width = step.views[0].space.width
        if step.target is not None:
            address, stride, back = group.place(step.target)
            record.panels = 1 if group.flat else step.target.panels
            c = Matrix(start=address, stride=stride)
            record.c = Operand(start=address, stride=stride, back=back) if issubclass(kind, GateOp) else c
        return record

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
                record.width = graph.shape(inputs[step.user])[1]
                record.a.stride = record.width * dtype.itemsize
                self._matrices_in.append((record.a.words, step.user))
            elif step.kernel == "scatter":
                record.c.stride = record.width * dtype.itemsize
                self._matrices_out.append((record.c.words, step.user))
            else:
                record.a.start = self._stage = self.arena.take(len(lowered.numbers) * WORD)
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
        """Takes and returns floats for numbers, and C-contiguous arrays of the graph's dtype."""
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
