"""The plan: a table of ops and phases over an arena of buffers, ready to run.

A network is data to compiled code: whoever lowers one (`model.lowering`) hands its records over as words, and the
plan puts them where the sweeps look for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.engine import threads as team
from fastbp.engine.compiler import kernel_address, sweep
from fastbp.engine.memory import Arena, view
from fastbp.engine.panels import Block
from fastbp.kernels import layout as at
from fastbp.kernels.vector import LINE

Record = np.ndarray[Any, np.dtype[np.int64]]


class Table:
    """Records of int64 words in memory that does not move."""

    def __init__(self, arena: Arena, records: int, words: int) -> None:
        self.address = arena.take(max(records, 1) * words * at.WORD)
        self.records: Record = view(self.address, (max(records, 1), words), np.int64)
        self.words = words
        self.count = records

    def address_of(self, index: int) -> int:
        return self.address + index * self.words * at.WORD


def double(value: float) -> int:
    """The bits of a float64 as a word."""
    return int(np.float64(value).view(np.int64))


Words = dict[int, int]


class Plan:
    """Records that compiled code can run, and the words Python sets between calls.

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
        self.head_address = self.arena.take(at.HEAD_WORDS * at.WORD)
        self.head: Record = view(self.head_address, (at.HEAD_WORDS,), np.int64)
        self.zero = parameters.dtype.type(0)
        self._version = -1

    def finish(
        self,
        ops: list[Words],
        layers: list[Words],
        phases: list[Words],
        transposes: list[Words],
        more: Sequence[tuple[Words, Words]] = (),
    ) -> None:
        """Write the table; PHASE_OPS of a row phase comes as the index of its first op.

        `more` are pairs of a layer's record and one of another use of its parameters, which stand behind `layers`.
        """
        first = {id(layer): index for index, layer in enumerate(layers)}
        last = dict(first)  # of the records that are linked to each
        layers = [*layers, *(words for _, words in more)]
        head = self.head
        itemsize = self.parameters.dtype.itemsize
        numbers = 1 + max(op[at.NUMBER] for op in ops)
        workers = Table(self.arena, self.workers, -(-(at.MAGNITUDES + numbers) // 8) * 8)
        # A worker's scratch holds a tile of weights with its biases, or two lines for every panel of a layer.
        widest = max((layer[at.LAYER_PANELS] for layer in layers), default=0)
        tile = max(at.TILE_INPUTS * at.TILE_PANELS + at.TILE_PANELS, 2 * widest) * LINE
        self.ops = Table(self.arena, len(ops), at.OP_WORDS)
        self.layers = Table(self.arena, len(layers), at.LAYER_WORDS)
        self.phases = Table(self.arena, len(phases), at.PHASE_WORDS)
        self.transposes = Table(self.arena, len(transposes), at.LAYER_WORDS)
        for i in range(self.workers):
            workers.records[i, at.HEAD] = self.head_address
            workers.records[i, at.SCRATCH] = self.arena.take(tile) if layers else 0
            workers.records[i, at.SHADOW] = self.arena.take(at.SHADOW_LINES * LINE) if layers else 0
        parts = (self.ops, ops), (self.layers, layers), (self.phases, phases), (self.transposes, transposes)
        for table, rows in parts:
            for i, words in enumerate(rows):
                for word, value in words.items():
                    table.records[i, word] = value
        for i, words in enumerate(phases):
            if words[at.PHASE_KIND] == at.ROW_PHASE:
                self.phases.records[i, at.PHASE_OPS] = self.ops.address_of(words[at.PHASE_OPS])
        for index, (layer, _) in enumerate(more, len(first)):
            self.layers.records[last[id(layer)], at.LAYER_MORE] = self.layers.address_of(index)
            last[id(layer)] = index
        limit = 1e37 if itemsize == 4 else 1e300
        head[at.THREADS] = head[at.REPEATS] = 1
        head[at.WORKERS], head[at.WORKER_BYTES] = workers.address, workers.words * at.WORD
        head[at.MAGNITUDE_COUNT] = numbers
        head[at.PHASES], head[at.PHASE_COUNT] = self.phases.address, len(phases)
        head[at.OPS], head[at.OP_COUNT] = self.ops.address, len(ops)
        head[at.LAYERS], head[at.LAYER_COUNT] = self.layers.address, len(layers)
        for word, kernel in ((at.BEGIN, "begin"), (at.BEGIN_BATCH, "begin_batch"), (at.WORK, "work")):
            head[word] = kernel_address(kernel, self.real)
        head[at.LIMIT] = double(limit)
        head[at.FINITE] = 0x7F800000 if itemsize == 4 else 0x7FF0000000000000
        head[at.PARAMETERS] = self.parameters.address

    def refresh(self, version: int) -> None:
        """Make the transposed weights anew if parameters were written since this plan last ran; their bounds too."""
        if version == self._version:
            return
        self.head[at.BOUNDS] = double(np.inf)
        invoke = sweep("invoke", self.real)
        transpose = kernel_address("transpose_weights", self.real)
        worker = int(self.head[at.WORKERS])
        for i, record in enumerate(self.transposes.records):
            invoke(transpose, self.transposes.address_of(i), worker, 0, int(record[at.LAYER_PANELS]), self.zero)
        self._version = version

    def keep_version(self, version: int) -> None:
        """Note that the transposed weights belong to this version of the parameters: this plan wrote both."""
        self._version = version

    def run(self, threads: int) -> None:
        """Run what the head asks for on this many threads, at most `workers`."""
        threads = min(threads, self.workers)
        self.head[at.THREADS] = threads
        team.run(self.head_address, self.zero, threads, self.real)
