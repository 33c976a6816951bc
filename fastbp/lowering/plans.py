"""The plans of a network, all made of the same ops:

    predict   gather, forward ops, scatter                                    one phase, a block of rows at a time
              the same, of few rows beside the weights                        a phase a layer, cut by columns
    members   the same, with what each member predicts                        one phase, a block of rows at a time
    vjp       predict's, then the cotangents' way back to the input           one phase, a block of rows at a time
    jvp       each forward op beside its tangent's                            one phase, a block of rows at a time
    rows      vjp of every unit vector: whole Jacobians, by rows              one phase, a block of rows at a time
    columns   jvp of every unit vector: whole Jacobians, by columns           one phase, a block of rows at a time
    gradient  vjp of one unit vector                                          one phase, a block of rows at a time
    evaluate  gather, forward, loss                                           one phase over a batch, again and again
    train     gather, forward, loss, cotangents back | check | weights        three phases over a batch, again and again
              ... | check | weights | norm | update                           where gradients are kept first
              ... | check | weights | norm | turns | check | update           where directions are made orthogonal

The last two are in `batch_plan.py`.
The number of threads changes no bit: blocks and tiles only distribute the work.
"""

from __future__ import annotations

import time
from math import prod
from typing import Any

import numpy as np

from fastbp.engine import threads as teams
from fastbp.engine.blocks import Block
from fastbp.engine.memory import Arena
from fastbp.engine.plan import Plan
from fastbp.kernels.records import END_NOTHING, ROW_PHASE, Phase
from fastbp.lowering import check
from fastbp.lowering.apart import apart
from fastbp.lowering.phases import MOST_PHASES, MOST_ROWS, few_rows, layered, moments_of, row_block
from fastbp.lowering.user_rows import read_rows, reads_codes
from fastbp.lowering.walk import Lowering
from fastbp.spec.graph import Graph

# Rows of a block of a row plan: activations stay in L2, and weights are reused 64 times.
ROW_BLOCK = 64
# Multiplications below which waking a second thread (1 to 2 µs a region) costs more than it saves.
SERIAL_WORK = 200_000
# Multiplications of a step for each thread that is worth a try at first; `train.calls` learns the rest.
THREAD_WORK = 500_000
# Multiplications of each thread that are worth a block of fewer rows, where all rows are fewer blocks than threads.
FINE_WORK = 2_000_000
# Multiplications of each thread, a phase, that are worth the barrier behind it.
COLUMN_WORK = 600_000
# Multiplications of each thread in a call, which delay Ctrl-C: 50 ms on a slow core.
CALL_WORK = 2_000_000_000


def work_of(graph: Graph, rows: int) -> int:
    """Multiplications of a forward pass over so many rows."""
    return rows * products_of(graph)


def products_of(graph: Graph) -> int:
    """Multiplications of a forward pass over one row, with all members."""
    found: dict[str, int] = {}
    for node in graph.nodes:
        for part, (_, shape, _, _) in node.layer.draws(node.inputs).items():
            if len(shape) > 1:
                found[node.parameter(part)] = prod(shape) * node.members
    return sum(found.values())


def team_sizes(work: int, most: int) -> tuple[tuple[int, ...], int]:
    """The sizes that a team of at most so many threads may have, and the one to begin with."""
    fixed = teams.fixed()
    if work < SERIAL_WORK:
        return (1,), 1
    if fixed:
        return (most,), most
    sizes = tuple(sorted({*(2**i for i in range(most.bit_length())), most}))
    return sizes, max(size for size in sizes if size == 1 or size * THREAD_WORK <= work)


def rows_lowered(
    graph: Graph, parameters: Block, states: Block, arena: Arena, kind: str, *, rows: int, counts: Any = ()
) -> tuple[Lowering, int]:
    """The ops of a row plan of this kind, whose buffers have no memory yet, and which of them reads other rows."""
    frozen = dict.fromkeys(parameters.slots)
    keeping = kind not in ("predict", "members")
    words: Any = {"keeping": keeping, "treatment": frozen, "counts": counts}
    lowering = Lowering(apart(graph, joined=kind != "members"), parameters, states, rows, arena, **words)
    second = 0
    if not keeping:
        lowering.scatter(lowering.forward(lowering.gather(len(counts) or graph.inputs))[-1].value.buffer)
    elif kind in ("jvp", "columns"):
        second = _lower_forwards(lowering, graph, whole=kind == "columns")
    else:
        second = _lower_backwards(lowering, graph, kind)
    return lowering, second


def _lower_forwards(lowering: Lowering, graph: Graph, *, whole: bool) -> int:
    """The products of the Jacobians with tangents, given or all unit vectors."""
    if whole:
        x = lowering.gather(graph.inputs, graph.inputs)
        lowering.scatter(lowering.tangents(x, lowering.unit_rows(graph.inputs)), graph.inputs)
        return 0
    x = lowering.gather(graph.inputs)
    second = len(lowering.ops)
    lowering.scatter(lowering.tangents(x, lowering.gather(graph.inputs)))
    return second


def _lower_backwards(lowering: Lowering, graph: Graph, kind: str) -> int:
    """The products with cotangents: given, all unit vectors, or one."""
    lowering.transpose(to_input=True)
    x = lowering.gather(graph.inputs, graph.outputs) if kind == "rows" else lowering.gather(graph.inputs)
    uses = lowering.forward(x)
    second = len(lowering.ops)
    d = lowering.gather(graph.outputs) if kind == "vjp" else lowering.unit_rows(graph.outputs)
    found = lowering.backward(uses, {uses[-1].node.index: d}, to_input=True)
    assert found
    lowering.scatter(found)
    return second


class RowPlan(Plan):
    """A plan whose rows are independent: predictions, vector-Jacobian and Jacobian-vector products.

    Parameters
    ----------
    kind : {"predict", "members", "vjp", "jvp", "rows", "columns", "gradient"}
        "members" is what each predicts, side by side. The last three are whole Jacobians, by rows or by columns, and
        one of their rows.
    counts : tuple of int
        Of the rows with codes that "predict" takes, if it is for such: see `Coded`.
    """

    def __init__(
        self, graph: Graph, parameters: Block, states: Block, workers: int, kind: str, counts: Any = ()
    ) -> None:
        super().__init__(parameters, workers)
        self.counts = counts
        self.usual = workers  # threads where none are asked for; a plan that some call made wider is for more
        lowering, self._second = rows_lowered(
            graph, parameters, states, self.arena, kind, rows=ROW_BLOCK * workers, counts=counts
        )
        phase = Phase(kind=ROW_PHASE, end=END_NOTHING, op_count=len(lowering.ops), groups=1, block=ROW_BLOCK, local=1)
        lowering.put(moments_of([phase]))
        self.names, self.blocks = lowering.names, (parameters, states)
        self.title = f"{kind}, rows in blocks of {ROW_BLOCK}"
        self.finish(lowering.ops, [], [phase], lowering.transposes)
        self.repeats = {"rows": graph.outputs, "columns": graph.inputs}.get(kind, 1)
        self.head.data.repeats = self.repeats
        self._other = self.ops.address_of(self._second)
        self._threads = 0
        self.work = products_of(graph)
        # The cost of a row besides its products: a few operations per number.
        self.work *= self.repeats
        numbers = graph.inputs + sum(node.outputs * node.members for node in graph.nodes)
        cost = self.work + 16 * self.repeats * numbers
        self.most_rows = max(ROW_BLOCK, CALL_WORK // cost // ROW_BLOCK * ROW_BLOCK)
        self._few = self._least = 0.0  # rows that are too many for columns, and multiplications that are a thread's
        if kind == "predict" and not counts and workers > 1:
            # Where nothing is cut by columns no barrier parts the rows' readers from the writers of results.
            phases = layered(lowering.ops, MOST_ROWS, workers)[1]
            barriers = len(phases)
            if barriers < MOST_PHASES // 4 and any(phase.groups > 1 for phase in phases):
                self._few = min(MOST_ROWS + 1, few_rows(lowering.ops))
                self._least = barriers * COLUMN_WORK
        self._columns: ColumnPlan | None = None
        self._made_of = graph, parameters, states
        self.watcher = check.watcher_of(self, lowering)
        self._predict = self.entry("predict_rows")
        self._product = self.entry("product_rows") if kind in ("vjp", "jvp") else self._predict

    def _by_columns(self, x: Any) -> ColumnPlan:
        """The plan for few rows, each layer cut by columns; it is to read these."""
        if self._columns is None:
            self._columns = ColumnPlan(*self._made_of, self.workers)
        read_rows(self._columns, x)
        return self._columns

    def choose(self, column: int) -> None:
        """Choose the output for the kind "gradient"."""
        self.ops.records[self._second].column = column

    def __call__(self, x: Any, y: Any, threads: int, other: Any = None) -> None:
        """From rows `x` (and `other`, cotangents or tangents) to `y`; C-contiguous arrays of the plan's dtype.

        For whole Jacobians, y has all of their rows consecutively.
        """
        rows = x.shape[0]
        if rows == 0:
            return
        repeats = self.repeats
        if rows > self.most_rows * threads:  # in pieces, so that Ctrl-C is handled between them
            size, per_row = self.most_rows * threads, len(y) // rows
            for r in range(0, rows, size):
                part, out = slice(r, r + size), slice(r * per_row, (r + size) * per_row)
                self(x[part], y[out], threads, None if other is None else other[part])
            return
        narrow = read_rows(self, x, self.counts) if type(x) is not np.ndarray or reads_codes(self) else x
        block, by_columns = ROW_BLOCK, False
        threads = self.late.team(threads) if threads > 1 and rows * self.work >= SERIAL_WORK else 1
        if threads > 1:
            worth = int(rows * self.work // max(self._least, 1)) if rows < self._few else 1
            by_columns = worth > 1
            block = self._block(rows, threads)
            threads = min(threads, worth if by_columns else -(-rows * repeats // block))
        if threads == 1:
            if self._threads != 1:
                self._threads = self.head.team.threads = 1
                self.phases.records[0].block = ROW_BLOCK
            if other is None:
                self._predict(self.head_address, narrow, y, self.zero)
            else:
                self._product(self.head_address, self._other, narrow, other, y, self.zero)
            return
        self._threads = 0
        for array in (narrow, y) if other is None else (narrow, y, other):
            if not (array.flags.c_contiguous and array.flags.aligned and array.dtype == self.parameters.dtype):
                raise TypeError("rows must be in C order")  # as the compiled entries do
        if not y.flags.writeable:
            raise TypeError("results must be writeable")
        if other is not None:
            self.ops.records[self._second].a.start = other.ctypes.data
        plan: RowPlan | ColumnPlan = self._by_columns(x) if by_columns else self
        self.phases.records[0].block = block
        plan.point(narrow, y)
        begun = time.perf_counter()
        plan.run(threads)
        self.late.learn(rows * self.work, threads, time.perf_counter() - begun)

    def _block(self, rows: int, threads: int) -> int:
        """Rows of a task: fewer where all are too few blocks for the threads, and each of these has enough to do."""
        if threads == 1 or rows * self.work < threads * FINE_WORK:
            return ROW_BLOCK
        return min(ROW_BLOCK, row_block(rows * self.repeats, threads))

    def at_once(self, rows: int, threads: int) -> bool:
        """Whether so many rows are all read before any result is written."""
        return rows * self.repeats <= self._block(rows, threads)

    def point(self, x: Any, y: Any) -> None:
        """Let the next run go from these rows to those; C-contiguous arrays of the plan's dtype."""
        self.ops.records[0].a.start = x.ctypes.data
        self.ops.records[-1].c.start = y.ctypes.data
        self.head.data.rows = len(x) * self.repeats


class ColumnPlan(Plan):
    """Predictions of few rows, by a network whose weights outweigh their activations.

    Blocks of rows would each read all weights. Here each thread reads its own columns of them, call after call, which
    so may stay in its cache; every number is computed by the same chain of operations.
    """

    def __init__(self, graph: Graph, parameters: Block, states: Block, workers: int) -> None:
        super().__init__(parameters, workers)
        lowering, _ = rows_lowered(graph, parameters, states, self.arena, "predict", rows=MOST_ROWS)
        cut, phases = layered(lowering.ops, MOST_ROWS, workers)
        lowering.put(moments_of(phases), cut)
        self.names, self.blocks = lowering.names, (parameters, states)
        self.title = "predict, few rows by columns"
        self.finish(cut, [], phases, lowering.transposes)
        self.watcher = check.watcher_of(self, lowering)

    def point(self, x: Any, y: Any) -> None:
        """Let the next run go from these rows to those; C-contiguous arrays of the plan's dtype."""
        self.ops.records[0].a.start = x.ctypes.data
        self.ops.records[-1].c.start = y.ctypes.data
        self.head.data.rows = len(x)


def loss_records(plan: Any) -> list[Any]:
    """The ops of a plan that take the loss."""
    return [plan.ops.records[op] for op in plan._loss_ops]
