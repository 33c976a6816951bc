"""The plans of a network, all made of the same ops:

    predict   gather, forward ops, scatter                                    one phase, a block of rows at a time
    vjp       predict's, then the cotangents' way back to the input           one phase, a block of rows at a time
    jvp       each forward op beside its tangent's                            one phase, a block of rows at a time
    evaluate  gather, forward, loss                                           one phase over a batch, again and again
    train     gather, forward, loss, cotangents back | check | weights        three phases over a batch, again and again

Nothing here depends on the number of threads in a way that changes a bit: blocks and tiles only say who does what.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastbp.engine.compiler import kernel_address, sweep
from fastbp.engine.entries import DIVERGED, USED
from fastbp.engine.memory import view
from fastbp.engine.panels import Block
from fastbp.engine.plan import Plan, Table, Words, double
from fastbp.errors import DataError, DivergedError
from fastbp.kernels import layout as at
from fastbp.model.graph import Graph
from fastbp.model.lowering import Lowering, transposed_copies
from fastbp.model.phases import row_phases, weight_tiles

# Rows that go through a row plan together. Their activations stay in L2, and 64 rows use a weight often enough.
ROW_BLOCK = 64
# Multiplications below which waking a second thread (1 to 2 µs a region) costs more than it saves.
SERIAL_WORK = 200_000
# Multiplications of a call that Ctrl-C can wait for: 50 ms on one slow core.
CALL_WORK = 2_000_000_000


class RowPlan(Plan):
    """A plan whose rows are independent: predictions, vector-Jacobian and Jacobian-vector products.

    Parameters
    ----------
    kind : {"predict", "vjp", "jvp"}
    """

    def __init__(self, graph: Graph, parameters: Block, workers: int, kind: str) -> None:
        super().__init__(parameters, workers)
        copies = transposed_copies(graph, parameters, self.arena, to_input=True) if kind == "vjp" else {}
        lowering = Lowering(graph, parameters, copies, ROW_BLOCK * workers, self.arena)
        x = lowering.gather(graph.inputs)
        second = None
        if kind == "predict":
            values = lowering.forward(x)
            out = values[-1].buffer
        elif kind == "vjp":
            values = lowering.forward(x)
            second = len(lowering.ops)
            out = lowering.backward(values, x, lowering.gather(graph.outputs), to_input=True)
        else:
            second = len(lowering.ops)
            out = lowering.tangents(x, lowering.gather(graph.inputs))
        lowering.scatter(out)
        phase = {
            at.PHASE_KIND: at.ROW_PHASE,
            at.PHASE_OPS: 0,
            at.PHASE_OP_COUNT: len(lowering.ops),
            at.PHASE_GROUPS: 1,
            at.PHASE_BLOCK: ROW_BLOCK,
            at.PHASE_LOCAL: 1,
            at.PHASE_END: at.END_NOTHING,
        }
        self.finish(lowering.ops, lowering.layers, [phase])
        self._second = second
        self._threads = 0
        self.work = sum(shape[0] * shape[-1] for shape in graph.parameters().values() if len(shape) == 2)
        # What a row costs beside its products: a few operations a number on its way in, through and out.
        cost = self.work + 16 * (graph.inputs + sum(node.outputs for node in graph.nodes))
        self.most_rows = max(ROW_BLOCK, CALL_WORK // cost // ROW_BLOCK * ROW_BLOCK)
        self._predict = sweep("predict_rows", self.real)

    def __call__(self, x: Any, y: Any, threads: int, other: Any = None) -> None:
        """From rows `x` (and `other`, cotangents or tangents) to rows `y`; C-contiguous arrays of the plan's dtype."""
        rows = x.shape[0]
        if rows == 0:
            return
        if rows > self.most_rows:  # cut, so that Ctrl-C is answered between the pieces
            size = self.most_rows
            for r in range(0, rows, size):
                part = slice(r, r + size)
                self(x[part], y[part], threads, None if other is None else other[part])
            return
        if other is not None:
            self.ops.records[self._second, at.A] = other.ctypes.data
        if rows <= ROW_BLOCK or threads == 1 or rows * self.work < SERIAL_WORK:
            if self._threads != 1:
                self._threads = self.head[at.THREADS] = 1
            self._predict(self.head_address, x, y, self.zero)
            return
        self._threads = 0
        if not (x.flags.c_contiguous and x.flags.aligned and x.dtype == y.dtype == self.parameters.dtype):
            raise TypeError("rows must be in C order")  # as the compiled entry does
        if not (y.flags.c_contiguous and y.flags.aligned and y.flags.writeable):
            raise TypeError("results must be in C order")
        self.ops.records[0, at.A] = x.ctypes.data
        self.ops.records[int(self.head[at.OP_COUNT]) - 1, at.C] = y.ctypes.data
        self.head[at.ROWS] = rows
        self.run(min(threads, -(-rows // ROW_BLOCK)))


@dataclass(frozen=True)
class Update:
    """What is done with gradients: an optimiser's kernel and what it needs.

    `settings` are its numbers, `moments` the blocks it keeps, `gradients` where `keep_gradients` puts them.
    """

    kernel: str
    settings: tuple[float, ...] = ()
    moments: tuple[Block, ...] = ()
    gradients: Block | None = None


class BatchPlan(Plan):
    """Steps over batches of a data set: with an optimiser a row sweep and a weight sweep each, without one the loss
    alone.

    Parameters
    ----------
    batch : int
        Rows of a full batch.
    loss : str
        Name of the loss's kernel.
    update : Update, optional
        What is done with gradients; None only takes the loss.
    dropout : bool
        Whether dropout drops.
    """

    CALL = 8192  # the most steps, and the most passes, of one call

    def __init__(
        self,
        graph: Graph,
        parameters: Block,
        workers: int,
        *,
        batch: int,
        loss: str,
        update: Update | None,
        dropout: bool,
    ) -> None:
        super().__init__(parameters, workers)
        self.graph = graph
        self.batch = batch
        self.update = update
        copies = transposed_copies(graph, parameters, self.arena, to_input=False) if update else {}
        lowering = Lowering(graph, parameters, copies, batch, self.arena, dropping=dropout)
        x = lowering.gather(graph.inputs)
        values = lowering.forward(x)
        d = lowering.buffer(graph.outputs)
        row_bytes = (batch + 16) * parameters.dtype.itemsize
        scratch = self.arena.take(row_bytes)
        number = lowering.op(loss, values[-1].buffer, d, sums=scratch)
        loss_op = lowering.ops[number]
        training = update is not None and bool(parameters.slots)
        if training:
            lowering.backward(values, x, replace(d, wrote=number), to_input=False)
        ops, phases = row_phases(lowering.ops, batch, workers)
        for phase in phases[:-1]:
            phase[at.PHASE_END] = at.END_NOTHING
        phases[-1][at.PHASE_END] = at.END_BACKWARD if training else at.END_LOSS
        if training:
            weights = {at.PHASE_KIND: at.WEIGHT_PHASE, at.PHASE_OPS: kernel_address("weights", self.real)}
            phases += [weights | {at.PHASE_END: at.END_CHECK}, weights | {at.PHASE_END: at.END_STEP}]
        self.finish(ops, lowering.layers, phases)
        self._loss_op = next(i for i, op in enumerate(ops) if op is loss_op)
        head = self.head
        self._numbers = head.view(np.float64)
        head[at.TRAINING] = 1
        head[at.BATCH] = batch
        head[at.CLASSES] = graph.outputs
        head[at.LOSS_OP] = self.ops.address_of(self._loss_op)
        of_labels = loss == "cross_entropy"
        head[at.SCAN] = kernel_address("scan_reals", self.real)
        head[at.SCAN_TARGETS] = kernel_address("scan_labels" if of_labels else "scan_reals", self.real)
        self._step_entry = sweep("step_batch_labels" if of_labels else "step_batch", self.real)
        head[at.ROW_LOSS] = self.arena.take(row_bytes)
        self.rates = view(self.arena.take(self.CALL * 8), (self.CALL,), np.float64)
        self._passes = view(self.arena.take(self.CALL * 8), (self.CALL,), np.float64)
        head[at.RATES], head[at.PASSES] = self.rates.ctypes.data, self._passes.ctypes.data
        kernel = update.kernel if update else "keep_gradients"
        head[at.OPTIMIZER] = kernel_address(kernel, self.real)
        head[at.OPTIMIZER_PLAN] = kernel_address(f"{kernel}_factors", self.real)
        if update:
            self.set_optimizer(update)
            for word, block in zip((at.MOMENT_1, at.MOMENT_2), update.moments, strict=False):
                head[word] = block.address
            head[at.GRADIENTS] = update.gradients.address if update.gradients else 0
        self._tile(lowering.layers)
        self._order = np.zeros(0, np.uint32)
        self._data: Any = None
        shapes = graph.parameters().values()
        self.work = batch * sum(shape[0] * shape[1] for shape in shapes if len(shape) == 2)

    def set_optimizer(self, update: Update) -> None:
        """Take the settings of an optimiser; its kernel and moments stay."""
        for i, value in enumerate(update.settings):
            self.head[at.SETTINGS + i] = double(value)

    def _tile(self, layers: list[Words]) -> None:
        """Put the weight tiles into the table, those of each worker together."""
        shares = weight_tiles(layers, self.workers)
        tiles = [tile for share in shares for tile in share]
        table = Table(self.arena, len(tiles), at.TILE_WORDS)
        for record, (layer, *extent) in zip(table.records, tiles, strict=False):
            record[:5] = self.layers.address_of(layer), *extent
        self.head[at.TILES], self.head[at.TILE_COUNT] = table.address, len(tiles)
        splits = Table(self.arena, 1, self.workers + 1)
        splits.records[0] = np.cumsum([0, *(len(share) for share in shares)])
        self._splits = splits.address

    def bind(self, x: Any, y: Any, top: int, *, shuffled: bool = False) -> None:
        """Take batches from these arrays, as the kernels read them; `top` is the largest magnitude in x, as bits.

        Shuffled data of as many rows as before goes on where the last call stopped in its pass.
        """
        if len(x) >= 2**32:
            raise DataError(f"`X` must have fewer than 2**32 rows, got `{len(x)}`")
        head, loss = self.head, self.ops.records[self._loss_op]
        self._data = x, y  # kept alive while the plan knows their addresses
        self.ops.records[0, at.A] = x.ctypes.data
        loss[at.TARGETS] = y.ctypes.data
        # Not y.strides: one row of a wider table counts as contiguous whatever its stride says.
        loss[at.TARGETS_STRIDE] = y.itemsize * (y.shape[1] if y.ndim == 2 else 1)
        head[at.INPUT_MAX] = top
        if not (shuffled and len(x) == len(self._order)):
            self.new_pass()
            if shuffled:
                self._order = np.zeros(len(x), np.uint32)
        head[at.TOTAL] = len(x)
        head[at.SHUFFLE] = int(shuffled)
        head[at.ORDER] = self._order.ctypes.data if shuffled else 0

    def new_pass(self) -> None:
        """Leave a pass that was begun, so that the next batch is the first of another."""
        head = self.head
        if head[at.CURSOR]:
            head[at.EPOCH] += 1
        head[at.CURSOR] = head[at.PASS_ROWS] = head[at.PASS_LOSS] = 0

    def steps(self, count: int, passes: int, threads: int) -> list[float]:
        """Do up to `count` steps, ending after `passes` passes; return the mean losses of the passes that ended."""
        head = self.head
        head[at.STEPS_LEFT], head[at.PASS_LIMIT] = count, passes
        threads = min(threads, self.workers) if self.work >= SERIAL_WORK else 1
        weight_phases = self.phases.records[:, at.PHASE_KIND] == at.WEIGHT_PHASE
        self.phases.records[weight_phases, at.PHASE_SPLIT] = self._splits if threads == self.workers else 0
        self.run(threads)
        self._check()
        return [float(v) for v in self._passes[: int(head[at.PASS_AT])]]

    def step(self, x: Any, y: Any, rate: float, step: int, seed: int) -> bool:
        """One step on these rows, checked and done in one call of compiled code, on the calling thread.

        False where the arrays are not as the kernels read them or hold what they must not: nothing has been done then.
        """
        self._data = x, y
        try:
            status = self._step_entry(self.head_address, x, y, rate, step, seed, self.zero)
        except TypeError:
            return False
        if status == DIVERGED:
            self._check()
        return bool(status == USED)

    @property
    def place(self) -> tuple[int, int]:
        """Passes done and rows of the one that has begun."""
        return int(self.head[at.EPOCH]), int(self.head[at.CURSOR])

    def rows_since(self, place: tuple[int, int]) -> int:
        """Rows trained on since the plan was at that place."""
        passes, rows = self.place
        return (passes - place[0]) * int(self.head[at.TOTAL]) + rows - place[1]

    @property
    def loss(self) -> float:
        """Mean loss of the last batch, before its update."""
        return float(self._numbers[at.LOSS])

    @property
    def pass_loss(self) -> float:
        """Mean loss so far of the pass that has begun; NaN at its start."""
        rows = int(self.head[at.PASS_ROWS])
        total = float(self._numbers[at.PASS_LOSS])
        return total / rows if rows else float("nan")

    def _check(self) -> None:
        status = int(self.head[at.STATUS])
        if status:
            node = self.graph.nodes[status - 1]
            step = int(self.head[at.STEP])
            raise DivergedError(
                f"loss or gradients must be finite, got `{self.loss}` as loss at step `{step}`,"
                f" first in layer `{node.index}` ({node.layer}); the parameters are those before that step",
                step,
                str(node.index),
            )
