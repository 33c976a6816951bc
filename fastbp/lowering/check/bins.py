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


def bins_of(call: Call) -> dict[int, tuple[Array, Array]]:
    """The edges of the bins of each column, and where those stand on the wide side."""
    found: dict[int, tuple[list[float], list[int]]] = {}
    for i in range(call.op.count):
        bins = Bins(view(call.op.bins + i * Bins.size * 8, (Bins.size,), np.int64))
        first, width, _, high = natural(panels_at(bins.lines, LINE, 1, 4, call.dtype))
        there = width > 0.0
        edges, lanes = found.setdefault(bins.source, ([float(first[there][0])], []))
        edges += np.where(np.isnan(high), first + width, high)[there].tolist()
        lanes += (bins.panel * call.in_line + np.flatnonzero(there)).tolist()
    return {column: (np.array(edges), np.array(lanes)) for column, (edges, lanes) in found.items()}


def _narrow(call: Call, matrix: Any) -> Array:
    """The narrow side, all of its columns that pass on or have bins."""
    return call.read(matrix, max(call.op.inputs, *(column + 1 for column in bins_of(call))))


def _wide(call: Call, kernel: Any, *narrow: Array) -> list[Output]:
    """What stands on the wide side: columns that pass on, the bins of columns, zeros elsewhere."""
    must = np.zeros((call.rows, call.op.panels * call.in_line))
    bound = must.copy()
    must[:, : call.op.inputs] = narrow[0][:, : call.op.inputs]
    for column, (edges, lanes) in bins_of(call).items():
        of = kernel(*(x[:, [column]] for x in narrow), {0: edges})[:, 1:]
        must[:, lanes] = of
        # nothing is rounded where numbers are infinite
        bound[:, lanes] = np.where(np.isinf(of), 0.0, 2.0 * call.eps * np.abs(of))
    return [call.out(must, bound)]


@twin("piecewise_linear_forward")
def piecewise_linear_forward(call: Call) -> list[Output]:
    return _wide(call, reference.piecewise_linear_forward, _narrow(call, call.op.a))


@twin("piecewise_linear_jvp")
def piecewise_linear_jvp(call: Call) -> list[Output]:
    return _wide(call, reference.piecewise_linear_jvp, _narrow(call, call.op.a), _narrow(call, call.op.y))


@twin("piecewise_linear_vjp")
def piecewise_linear_vjp(call: Call) -> list[Output]:
    x, dy = _narrow(call, call.op.y), call.read(call.op.a, call.op.width)
    must = np.zeros((call.rows, call.op.panels * call.in_line))
    bound = must.copy()
    must[:, : call.op.inputs] = dy[:, : call.op.inputs]
    for column, (edges, lanes) in bins_of(call).items():
        inside = np.concatenate([must[:, [column]], dy[:, lanes]], axis=1)
        of, size = (reference.piecewise_linear_vjp(d, x[:, [column]], {0: edges}) for d in (inside, np.abs(inside)))
        must[:, column], bound[:, column] = of[:, 0], 2.0 * call.eps * size[:, 0]
    return [call.out(must, bound)]
