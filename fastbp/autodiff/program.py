"""A program: the ops of a lowered graph as records in memory, called with values."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.autodiff.graph import Graph, rows_and_width
from fastbp.autodiff.groups import Group, grouped, place, scheduled
from fastbp.autodiff.lower import Lowering
from fastbp.autodiff.shares import Shares, cut_work, task_of, team_size
from fastbp.engine import threads as teams
from fastbp.engine.compiler import sweep
from fastbp.engine.forks import lock
from fastbp.engine.memory import Arena, view
from fastbp.engine.plan import Table, add_team
from fastbp.kernels.fields import LINE, WORD
from fastbp.kernels.ops import GateTask, Op
from fastbp.kernels.records import Head


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
        lowered = Lowering(graph, inputs, outputs, self.arena)
        self._lock = lock("this traced function")
        self._run = sweep("run_task", self.real)
        self._zero = dtype.type(0)
        self._head = Table(self.arena, Head, 1)  # by which rows are read in order
        add_team(self.arena, self._head, 1)
        self._me = self._head.records[0].team.workers
        first, then = grouped(lowered.once), grouped(scheduled(lowered.ops))
        place([*first, *then], lowered)
        once = self._records(first)
        self._task = self._records(then)
        self._work = cut_work(then, lowered.in_line)
        self._groups = then if self._work else []
        self._shares: Shares | None = None
        records = dict(zip((id(op) for group in then for op in group.ops), self._ops.records, strict=True))
        self._matrices_in = [(records[id(op)].a.words, i) for op, i in lowered.matrices_in]
        self._matrices_out = [(records[id(op)].c.words, i) for op, i in lowered.matrices_out]
        self._connect(graph, inputs, outputs, lowered)
        with np.errstate(all="ignore"):
            for buffer, value in lowered.constants:
                self._write(lowered.at(buffer), buffer.stride, value)
        self._run(once, self._me, self._zero)

    # Memory.

    def _write(self, address: int, stride: int, value: NDArray[Any]) -> None:
        """Write a constant; a number into every lane."""
        rows, width = rows_and_width(value.shape)
        in_line = LINE // value.itemsize
        for first in range(0, width, in_line):
            part = value.reshape(rows, width)[:, first : first + in_line]
            lines = view(address + first // in_line * stride, (rows, in_line), value.dtype)
            lines[:, : part.shape[1] if value.shape else in_line] = part

    # Records.

    def _records(self, groups: list[Group]) -> int:
        """Write groups and their ops; returns the address of the task that runs them."""
        self._ops = Table.of(self.arena, Op, [op for group in groups for op in group.ops])
        first = 0
        for group in groups:
            group.address = self._ops.address_of(first)
            first += len(group.ops)
        task = task_of([group.record(group.address) for group in groups], self.arena, self.real)
        return Table.of(self.arena, GateTask, [task]).address

    # Values in and out.

    def _connect(self, graph: Graph, inputs: list[int], outputs: list[int], lowered: Lowering) -> None:
        dtype = graph.dtype
        self._shapes = [graph.shape(n) for n in outputs]
        self._vectors_in, self._vectors_out = (
            [(view(lowered.at(buffer), (buffer.width,), dtype), i) for buffer, i in found]
            for found in (lowered.vectors_in, lowered.vectors_out)
        )
        numbers = [i for i, n in enumerate(inputs) if graph.shape(n) == ()]
        self._numbers_in = numbers
        self._only_numbers = len(numbers) == len(inputs)
        if numbers:
            stage = self.arena.take(len(numbers) * WORD)
            self._ops.records[0].a.start = stage  # of the op that fills them in
            self._pack = struct.Struct(f"{len(numbers)}d").pack_into
            self._staged = (ctypes.c_char * (8 * len(numbers))).from_address(stage)
        self._numbers_out = lowered.number_outputs
        count = len(self._numbers_out)
        letter, gap = ("f", 60) if dtype.itemsize == 4 else ("d", 56)
        self._unpack = struct.Struct("=" + f"{letter}{gap}x" * count).unpack_from
        self._result = (ctypes.c_char * (LINE * max(count, 1))).from_address(lowered.at(lowered.results))
        self._only_numbers_out = count == len(outputs)

    def _go(self) -> None:
        """Run the program, on several threads where that is worth it."""
        threads = team_size(self._work)
        if threads == 1:
            self._run(self._task, self._me, self._zero)
            return
        if self._shares is None:
            self._shares = Shares(self._groups, self._head, self.arena, self._zero, teams.chosen(None))
        self._shares.run(threads)

    def __call__(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Takes and returns floats for numbers, and C-contiguous arrays of the graph's dtype."""
        with self._lock:
            if self._only_numbers:
                if values:
                    self._pack(self._staged, 0, *values)
            else:
                self._bring(values)
            if self._only_numbers_out:
                self._go()
                return self._unpack(self._result)
            out: list[Any] = [None] * len(self._shapes)
            for word, i in self._matrices_out:
                out[i] = np.empty(self._shapes[i], self._zero.dtype)
                word[0] = out[i].ctypes.data
            self._go()
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
