"""The plans of a network, all made of the same ops:

    predict   gather, forward ops, scatter                                    one phase, a block of rows at a time
    vjp       predict's, then the cotangents' way back to the input           one phase, a block of rows at a time
    jvp       each forward op beside its tangent's                            one phase, a block of rows at a time
    evaluate  gather, forward, loss                                           one phase over a batch, again and again
    train     gather, forward, loss, cotangents back | check | weights        three phases over a batch, again and again
              ... | check | weights | norm | update                           where gradients have to wait

The last two are in `batch_plan.py`.
Nothing here depends on the number of threads in a way that changes a bit: blocks and tiles only say who does what.
"""

from __future__ import annotations

from typing import Any

from fastbp.engine.compiler import sweep
from fastbp.engine.panels import Block
from fastbp.engine.plan import Plan
from fastbp.kernels import layout as at
from fastbp.model.graph import Graph
from fastbp.model.lowering import Lowering

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

    def __init__(self, graph: Graph, parameters: Block, states: Block, workers: int, kind: str) -> None:
        super().__init__(parameters, workers)
        rows = ROW_BLOCK * workers
        lowering = Lowering(graph, parameters, states, rows, self.arena, keeping=kind != "predict")
        if kind == "vjp":
            lowering.transpose(to_input=True)
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
        self.finish(lowering.ops, lowering.layers, [phase], lowering.transposes)
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
