"""The twins of a piecewise linear layer's kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import reference
from fastbp.engine.memory import view
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import Bins
from fastbp.lowering.check.call import Call
from fastbp.lowering.check.ops import twin
from fastbp.lowering.check.values import Output, natural, panels_at

Array = NDArray[Any]


def edges_of(call: Call) -> dict[int, Array]:
    """The edges of the bins of each column."""
    found: dict[int, list[float]] = {}
    for i in range(call.op.count):
        bins = Bins(view(call.op.bins + i * Bins.size * 8, (Bins.size,), np.int64))
        first, width, _, high = natural(panels_at(bins.lines, LINE, 1, 4, call.dtype))
        edges = found.setdefault(bins.source, [float(first[width > 0.0][0])])
        edges += np.where(np.isnan(high), first + width, high)[width > 0.0].tolist()
    return {column: np.array(edges) for column, edges in found.items()}


def _exact(must: Array, inputs: int) -> Array:
    """Where nothing is rounded: in the columns that pass on, and where numbers are infinite."""
    return (np.arange(must.shape[1]) < inputs) | np.isinf(must)


@twin("piecewise_linear_forward")
def piecewise_linear_forward(call: Call) -> list[Output]:
    x, edges = call.read(call.op.a, call.op.inputs), edges_of(call)
    must = reference.piecewise_linear_forward(x, edges)
    bound = np.where(_exact(must, x.shape[1]), 0.0, 2.0 * call.eps * np.abs(must))
    return [call.whole(must, bound, must.shape[1])]


@twin("piecewise_linear_vjp")
def piecewise_linear_vjp(call: Call) -> list[Output]:
    x, dy, edges = call.read(call.op.y, call.op.inputs), call.read(call.op.a, call.op.width), edges_of(call)
    must, size = (reference.piecewise_linear_vjp(d, x, edges) for d in (dy, np.abs(dy)))
    exact = [c not in edges for c in range(x.shape[1])]
    return [call.whole(must, np.where(exact, 0.0, 2.0 * call.eps * size), x.shape[1])]


@twin("piecewise_linear_jvp")
def piecewise_linear_jvp(call: Call) -> list[Output]:
    x, tx, edges = call.read(call.op.y, call.op.inputs), call.read(call.op.a, call.op.inputs), edges_of(call)
    must = reference.piecewise_linear_jvp(tx, x, edges)
    bound = np.where(_exact(must, x.shape[1]), 0.0, 2.0 * call.eps * np.abs(must))
    return [call.whole(must, bound, must.shape[1])]
