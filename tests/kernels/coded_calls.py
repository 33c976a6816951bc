"""Calls of the kernels over rows with codes, on made-up rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.fields import LINE
from fastbp.kernels.records import Column, Learned, TrainedCodes
from fastbp.spec.coded import Coded, columns_of
from tests.kernels.calls import KEEP, Layer, Optimizer, point, rows_at
from tests.kernels.harness import SHAPES, Machine, Panels
from tests.kernels.sweep_calls import blocks, state_like, tile

Array = NDArray[Any]


def coded_of(x: Array, count: int = 5) -> Coded:
    """Rows of numbers with a code in front and one behind, zeros and the largest one among them."""
    codes = np.random.default_rng(len(x)).integers(0, count + 1, (len(x), 2)).astype(x.dtype)
    return Coded(np.hstack([codes[:, :1], x, codes[:, 1:]]), (count, *[0] * x.shape[1], count))


def columns(m: Machine, rows: Coded) -> dict[str, int]:
    """The fields of a record that say which columns are codes."""
    records = m.records(Column, len(rows.counts))
    for record, column in zip(records, columns_of(rows.counts), strict=True):
        record.source, record.target, record.rows = column.source, column.target, column.rows
    return {"tables": m.address_of(records[0]), "count": len(rows.counts)}


def gather(m: Machine, rows: Coded, index: Array | None, count: int, shift: int = 0) -> Panels:
    """C[r] = the row index[r + shift] in full, or r + shift without an index."""
    source, target = m.user("X", rows.narrow), m.panels("c", count, rows.shape[1])
    point(m, index, shift)
    m.writes(target, 0, count)
    at = rows_at(source.address, rows.narrow)
    words = {"width": rows.shape[1], "panels": target.count}
    m.run("gather_coded", 0, count, a=at, c=target, **words, **columns(m, rows))
    return target


def product(m: Machine, rows: Coded, W: Array, b: Array | None = None) -> Panels:
    """z = x W + b."""
    source, weight = m.given("a", rows.narrow, padding=np.nan), m.given("b", W)
    target = m.panels("c", len(rows), W.shape[1])
    bias = 0 if b is None else m.line_numbers("bias", b).address
    m.op("coded_product", source, target, 0, len(rows), b=weight, bias=bias, **columns(m, rows))
    return target


def weights(m: Machine, rows: Coded, d: Array, biased: bool, how: Optimizer) -> list[Array]:
    """Gradients of one layer, in tiles of as many lines as there are columns and of a few, and their update."""
    layer = Layer(rows.shape[1], d.shape[1], m.in_line, biased)
    W = np.resize(d[:1], (layer.inputs, layer.outputs))
    b = np.resize(d[:1], layer.outputs) if biased else None
    found = blocks(m, how, state_like(layer.flat(W, b), how), layer.written())
    m.head.step.group_part = 1.0
    record = m.record(
        TrainedCodes,
        x=m.given("x", rows.narrow, padding=np.nan),
        d=m.given("d", d),
        inputs=layer.inputs,
        panels=layer.panels,
        weight=Learned(stride=layer.lines * LINE, rate=1.0, decay=1.0),
        bias=Learned(offset=layer.panels * layer.lines * LINE if biased else -1, stride=LINE, rate=1.0, decay=1.0),
        **columns(m, rows),
    )
    m.worker.scratch = m.memory.lines(layer.panels * (layer.inputs + 1))
    for i0, i1 in ((0, min(7, layer.inputs)), (7, layer.inputs)):
        if i0 < i1:
            tile(m, "coded_weights", record, len(rows), i0=i0, i1=i1, p0=0, p1=layer.panels)
    return [buffer.numbers() for buffer in found]


def cases(dtype: str, normal: Any, optimizers: Sequence[Optimizer]) -> Iterator[tuple[str, Any, Any]]:
    """Calls of every kernel over rows with codes."""
    for number, (count, width) in enumerate(SHAPES):
        shape, x = (count, width), coded_of(normal(dtype, count, width))
        index = np.random.default_rng(count).permutation(count)
        for chosen in (None, index):
            yield "gather_coded", shape, lambda m, x=x, i=chosen: [gather(m, x, i, len(x)).lines()]
        W, d = normal(dtype, x.shape[1], width), normal(dtype, count, width, 1)[:, :, 0]
        b = normal(dtype, width) if number % 2 else None
        yield "coded_product", shape, lambda m, x=x, W=W, b=b: [product(m, x, W, b).lines()]
        how = KEEP if number % 3 == 0 else optimizers[number % len(optimizers)]
        if count:
            yield "coded_weights", shape, lambda m, a=(x, d, b is not None, how): weights(m, *a)
