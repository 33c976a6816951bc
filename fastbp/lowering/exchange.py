"""What a plan has to do with other ranks: processes that have other shards of the same batches.

The last thread of some phases calls back here, with what this rank's rows come to; it goes on with what all rows do.

    behind the rows, and a sweep that leaves sums of gradients    loss, magnitudes, gradients, rows of embeddings
    behind columns of batch norms                                 their sums, of which some become means

All ranks have the same parameters before a step and the same sums in it, so they go on alike: what follows, checks and
updates, is the same everywhere.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakMethod, proxy

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.memory import view
from fastbp.kernels.fields import LINE
from fastbp.kernels.records import END_BACKWARD, END_NOTHING, TASK_PHASE, Phase, RowList, TrainedTable


class Ranks(Protocol):
    """How ranks tell each other; every rank calls the same methods in the same order."""

    rank: int
    count: int

    def room(self, size: int, user: object) -> int:
        """The address of zeros in which sums are best added, as long as its user is there; 0: anywhere."""

    def add(self, sums: NDArray[Any]) -> None:
        """Put the sum over all ranks in place of this rank's: ((r0 + r1) + (r2 + r3)) + ..."""

    def largest(self, numbers: NDArray[np.int64]) -> None:
        """Put the largest number of all ranks in place of this rank's."""


class Alone:
    """A rank that is told the sums of all, which are its own."""

    rank, count = 0, 1

    def room(self, size: int, user: object) -> int:
        """Sums may be anywhere."""
        return 0

    def add(self, sums: NDArray[Any]) -> None:
        """Nothing to add."""

    def largest(self, numbers: NDArray[np.int64]) -> None:
        """They are the largest."""


class Exchange:
    """The ranks of one plan: a callback for compiled code, and what went wrong in it."""

    def __init__(self, plan: Any, ranks: Ranks) -> None:
        self.plan, self.ranks = proxy(plan), ranks  # in a circle a plan would keep its memory for a while
        self.failure: BaseException | None = None
        real = ctypes.c_float if plan.real == "float32" else ctypes.c_double
        words = [ctypes.c_int64] * 4
        called = WeakMethod(self._called)

        def behind(*given: Any) -> None:
            if here := called():
                here(*given)

        self._function = ctypes.CFUNCTYPE(None, *words, real)(behind)  # kept, since the plan has its address
        self._total = np.zeros(1)
        self._tables = [Rows(record) for record in plan.layers.records if isinstance(record, TrainedTable)]
        count = plan.head.magnitudes
        self._workers = [view(worker.magnitudes.ctypes.data, (count,), np.int64) for worker in plan.team]
        self._largest = np.zeros(count + sum(table.count for table in self._tables), np.int64)
        self._sums = [self._sums_of(phase) if phase.sums else None for phase in plan.phases.records]
        plan.head.team.exchange = ctypes.cast(self._function, ctypes.c_void_p).value

    def _sums_of(self, phase: Any) -> NDArray[Any]:
        kind = self.plan.parameters.dtype
        return view(phase.sums, (phase.sum_bytes // kind.itemsize,), kind)

    def _called(self, head: int, index: int, r0: int, r1: int, zero: float) -> None:
        """Behind phase `index`; exceptions cannot pass through compiled code, so one waits for the end of the run."""
        try:
            phase, sums = self.plan.phases.records[index], self._sums[index]
            assert sums is not None
            if phase.end == END_BACKWARD:
                self._join()
            self.ranks.add(sums)
            if phase.mean:
                sums *= sums.dtype.type(1.0 / self.plan.head.data.together)
        except BaseException as error:
            self.failure = error
            self.plan.head.team.failed = 1

    def _join(self) -> None:
        """The sum of all rows' losses; of each op the largest magnitude, and which rows of embeddings occurred."""
        step, largest = self.plan.head.step, self._largest
        self._total[0] = step.total
        self.ranks.add(self._total)
        step.total = self._total.item()
        count = len(self._workers[0])
        np.max(self._workers, axis=0, out=largest[:count])
        at = count
        for table in self._tables:
            largest[at : at + table.count] = table.occurred()
            at += table.count
        self.ranks.largest(largest)
        for worker in self._workers:
            worker[:] = largest[:count]
        at = count
        for table in self._tables:
            table.take(largest[at : at + table.count])
            at += table.count

    def check(self) -> None:
        """Raise what went wrong in the last run."""
        failure, self.failure = self.failure, None
        if failure is not None:
            self.plan.head.team.failed = 0
            raise failure


class Rows:
    """Which rows of a table occurred in a batch."""

    def __init__(self, layer: Any) -> None:
        self.count = layer.inputs
        self._list: Any = RowList(view(layer.batch_list, (RowList.size,), np.int64))
        self._stamps = view(self._list.stamps, (self.count,), np.int64)
        self._rows = view(self._list.rows, (self.count,), np.int64)

    def occurred(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self._stamps == self._list.serial
        return found

    def take(self, occurred: NDArray[np.int64]) -> None:
        """These rows occurred, here or on other ranks."""
        rows = np.flatnonzero(occurred)
        self._stamps[rows] = self._list.serial
        self._rows[: len(rows)] = rows
        self._list.count = len(rows)


def said_of(shards: int, ranks: Ranks | None) -> str:
    """Of a plan's title."""
    cut = f" in {shards} shards" if shards > 1 else ""
    return cut if ranks is None else f"{cut}, rank {ranks.rank} of {ranks.count}"


def add_exchange(plan: Any, ranks: Ranks, ops: Sequence[Any], phases: list[Phase]) -> None:
    """Add the phase that leaves a rank's sums of gradients for the others, and mark those of columns."""
    phases[-1].end = END_NOTHING
    mark_sums(ops, phases)
    size = plan.parameters.size
    partials = plan.head.update.partials = ranks.room(size, plan) or plan.arena.take(size)
    phases.append(Phase(kind=TASK_PHASE, end=END_BACKWARD, sums=partials, sum_bytes=size))


def mark_sums(ops: Sequence[Any], phases: Sequence[Any]) -> None:
    """Say of phases of columns, which sums all ranks add behind them."""
    at = 0
    for phase in phases:
        own = ops[at : at + phase.op_count * phase.groups]
        at += len(own)
        first = own[0]
        bytes_ = sum(op.panels for op in own) * LINE
        if first.name == "batch_norm_totals":
            phase.sums, phase.sum_bytes, phase.mean = first.mean, bytes_, 1
        elif first.name == "batch_norm_squares":
            phase.sums, phase.sum_bytes, phase.mean = first.variance, bytes_, 1
        elif first.name == "batch_norm_sums":  # where both sums stand side by side
            phase.sums, phase.sum_bytes = first.sum_d, 2 * bytes_
