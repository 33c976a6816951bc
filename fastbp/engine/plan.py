"""The plan: a table of ops and phases over an arena of buffers, ready to run.

To compiled code a network is data: lowering (`lowering.walk`) makes its records, and the plan puts them into tables for
the sweeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.engine import threads as teams
from fastbp.engine.blocks import Block
from fastbp.engine.compiler import kernel_address, sweep
from fastbp.engine.memory import Arena, view
from fastbp.errors import ConfigTypeError
from fastbp.kernels.fields import LINE, LINE_WORDS, WORD, Record
from fastbp.kernels.ops import Op
from fastbp.kernels.records import ROW_PHASE, SHADOW_BYTES, TILE_INPUTS, TILE_PANELS, Head, Phase, Trained, Worker


class Table:
    """A table of records in memory that does not move; `records` are views of it."""

    def __init__(self, arena: Arena, kind: type[Record], count: int) -> None:
        self.size = kind.size * WORD
        self.address = arena.take(max(count, 1) * self.size)
        self.words = view(self.address, (max(count, 1), kind.size), np.int64)
        self.records: list[Any] = [kind(self.words[i]) for i in range(count)]

    @classmethod
    def of(cls, arena: Arena, kind: type[Record], records: Sequence[Record]) -> Table:
        """A table of copies of these records."""
        out = cls(arena, kind, len(records))
        for i, record in enumerate(records):
            out.words[i] = record.words
            out.records[i] = record.at(out.words[i])
        return out

    def address_of(self, index: int) -> int:
        return self.address + index * self.size


def add_team(arena: Arena, table: Table, workers: int, magnitudes: int = 0) -> list[Any]:
    """Add to the head in a table a block and a ticket for each worker; returns the blocks, with so many magnitudes."""
    size = -(-max(Worker.magnitudes.offset + magnitudes, Worker.size) // LINE_WORDS) * LINE
    first = arena.take(workers * size)
    team = table.records[0].team
    team.threads, team.workers, team.worker_bytes = 1, first, size
    team.tickets = arena.take(workers * LINE)
    blocks: list[Any] = [Worker(view(first + i * size, (Worker.size,), np.int64)) for i in range(workers)]
    for worker in blocks:
        worker.head = table.address
    return blocks


def connect(head: Any, real: str) -> None:
    """Give a head the kernels that its threads run."""
    team = head.team
    team.begin, team.begin_batch, team.work = (kernel_address(name, real) for name in ("begin", "begin_batch", "work"))


class Plan:
    """Records that compiled code can run, and the fields that Python sets between calls.

    Parameters
    ----------
    parameters : Block
        What the ops read and the weight sweep writes.
    workers : int
        The most threads that may run it.
    """

    def __init__(self, parameters: Block, workers: int) -> None:
        self.parameters = parameters
        self.real = parameters.dtype.name
        self.workers = workers
        self.arena = Arena()
        self._table = Table(self.arena, Head, 1)
        self.head_address = self._table.address
        self.head: Any = self._table.records[0]
        self.zero = parameters.dtype.type(0)
        self._version = -1
        # For `show`: title, blocks of parameters and states, names of other addresses.
        self.title = ""
        self.blocks: tuple[Block, ...] = (parameters,)
        self.names: dict[int, str] = {}
        self.tasks: list[Table] = []
        self.late = teams.Lateness()
        self.watcher: Any = None  # lets every op run beside its twin: see `lowering.check`

    def __reduce__(self) -> Any:
        raise ConfigTypeError("a plan cannot be pickled or copied, since it holds addresses in this process's memory")

    def __str__(self) -> str:
        from fastbp.engine.show import Printer

        return Printer(self).text()

    def show(self) -> None:
        """Print the plan: phases, ops, buffers, tasks, and how each phase ends."""
        print(self)

    def finish(
        self,
        ops: Sequence[Op],
        layers: Sequence[Trained],
        phases: Sequence[Phase],
        transposes: Sequence[Trained],
        more: Sequence[tuple[Trained, Trained]] = (),
    ) -> None:
        """Write the tables; the ops of row phases are in the order of the phases.

        `more` are pairs of a layer's record and that of another use of its parameters, stored after `layers`.
        """
        numbers = 1 + max(op.number for op in ops)
        self.ops = Table.of(self.arena, Op, ops)
        self.layers = Table.of(self.arena, Trained, [*layers, *(other for _, other in more)])
        self.phases = Table.of(self.arena, Phase, phases)
        self.transposes = Table.of(self.arena, Trained, transposes)
        at_op = 0
        for phase in self.phases.records:
            if phase.kind == ROW_PHASE:
                phase.ops = self.ops.address_of(at_op)
                at_op += phase.op_count * phase.groups
        last = {id(layer): index for index, layer in enumerate(layers)}  # of the records linked to each
        for index, (layer, _) in enumerate(more, len(layers)):
            self.layers.records[last[id(layer)]].more = self.layers.address_of(index)
            last[id(layer)] = index
        self._add_workers(numbers, any(op.whole_columns for op in ops))
        head = self.head
        head.magnitudes, head.data.repeats = numbers, 1
        head.phases, head.phase_count = self.phases.address, len(phases)
        head.ops, head.op_count = self.ops.address, len(ops)
        head.layers, head.layer_count = self.layers.address, len(layers) + len(more)
        connect(head, self.real)
        single = self.parameters.dtype.itemsize == 4
        head.step.limit = 1e37 if single else 1e300
        head.step.finite = 0x7F800000 if single else 0x7FF0000000000000
        head.update.blocks.parameters = self.parameters.address

    def entry(self, name: str) -> Any:
        """A compiled entry that runs this plan."""
        found = sweep(name, self.real)
        return found if self.watcher is None else self.watcher.around(name, found)

    def _add_workers(self, numbers: int, sums: bool) -> None:
        """Add a team, with memory for what its layers need, and ops that sum columns."""
        layers = self.layers.records
        # A worker's scratch holds a tile of weights with its biases, or two lines for every panel of a layer.
        widest = max((layer.panels for layer in layers), default=0)
        tile = max(TILE_INPUTS * TILE_PANELS + TILE_PANELS, 2 * widest) * LINE
        self.team = add_team(self.arena, self._table, self.workers, numbers)
        for worker in self.team:
            worker.level = tile  # for one shard's sums, and for those of others that wait for the rest
            worker.scratch = self.arena.take(tile * max(1, self.head.data.own).bit_length()) if layers or sums else 0
            worker.shadow = self.arena.take(SHADOW_BYTES) if layers else 0

    def refresh(self, version: int) -> None:
        """Renew transposed weights and bounds if parameters were written since this plan last ran."""
        if version == self._version:
            return
        self.head.update.now.parameters = np.inf
        invoke = sweep("invoke", self.real)
        transpose = kernel_address("transpose_weights", self.real)
        worker = self.head.team.workers
        for i, layer in enumerate(self.transposes.records):
            invoke(transpose, self.transposes.address_of(i), worker, 0, layer.panels, self.zero)
        if self.watcher is not None:
            self.watcher.transpose()
        self._version = version

    def keep_version(self, version: int) -> None:
        """Note that transposed weights are of this version of the parameters, as this plan wrote both."""
        self._version = version

    def take_team(self, threads: int) -> int:
        """Let the next run be on this many threads, at most `workers`; returns how many."""
        threads = teams.usable(min(threads, self.workers)) if self.watcher is None else 1
        self.head.team.threads = threads
        return threads

    def run(self, threads: int) -> None:
        """Run the plan on this many threads, at most `workers`."""
        threads = self.take_team(threads)
        if self.watcher is not None:
            self.entry("run_serial")(self.head_address, self.zero)
            return
        teams.run(self.head_address, self.zero, threads, self.real)
