"""What `calls` is, for the ops of layers whose numbers hang together, and of losses of smoothed labels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import fastbp as fb
from fastbp.kernels.ops import Bins
from fastbp.kernels.records import Column
from tests.kernels import calls
from tests.kernels.harness import SHAPES, Array, Buffer, Machine

EPS = 1e-5
CODES = 5, 2  # rows of the tables of an embedding
WIDTHS = 3, 17  # and their widths
# The kernels of this file that leave zeros where a panel is padded, even where what they read is padded with NaN.
ROW_BY_ROW = (
    *("layer_norm_forward", "layer_norm_vjp", "layer_norm_jvp", "rms_norm_forward", "rms_norm_vjp", "rms_norm_jvp"),
    *("softmax_forward", "softmax_vjp", "log_softmax_forward", "log_softmax_vjp", "log_softmax_jvp"),
    *("embedding_forward", "embedding_vjp", "embedding_jvp"),
    *("piecewise_linear_forward", "piecewise_linear_vjp", "piecewise_linear_jvp"),
)
# Those that leave them where there were zeros.
COLUMN_BY_COLUMN = (
    *("scale", "prelu", "parametric", "batch_norm_forward", "batch_norm_vjp", "batch_norm_slope"),
    *("cross_entropy_smoothed", "cross_entropy_probabilities"),
)


def lines_out(m: Machine, name: str, count: int) -> Buffer:
    """Poisoned lines that a call must fill."""
    return m.whole(name, m.memory.lines(count), count * m.in_line, output=True)


def gained(
    m: Machine,
    kernel: str,
    x: Array,
    gain: Array,
    y: Array | None = None,
    shared: bool = False,
    shifts: Array | None = None,
) -> list[Array]:
    """C = A with a number for each column, or one for all, and another that is added."""
    source, target = m.given("a", x), m.panels("c", *x.shape)
    values: dict[str, Any] = {} if y is None else {"y": m.given("y", y)}
    if shifts is not None:
        values["shifts"] = m.line_numbers("shifts", shifts).address
    gains = m.line_numbers("gain", gain[:1] if shared else gain).address
    m.op(kernel, source, target, 0, len(x), gain=gains, shared=shared, **values)
    return [target.lines()]


def norm(m: Machine, kernel: str, x: Array, y: Array, gain: Array | None, shifts: Array | None) -> list[Array]:
    """Layer norm or RMS norm: what it puts out, and of the way forward what is saved."""
    rows, width = x.shape
    source, target = m.given("a", x, padding=np.nan), m.panels("c", rows, width)
    given = {"gain": gain, "shifts": shifts if kernel.endswith("_forward") else None}
    lines = {name: m.line_numbers(name, a).address for name, a in given.items() if a is not None}
    if kernel.endswith("_forward"):
        saved, sums = m.panels("y", rows, width), lines_out(m, "sums", -(-rows // m.in_line))
        m.writes(saved, 0, rows)
        sums.must[rows:] = sums.may[rows:] = False
    else:
        saved, sums = m.given("y", y), m.line_numbers("sums", 1.0 + np.abs(y[:, 0]))
    m.op(kernel, source, target, 0, rows, y=saved, sums=sums.address, eps=EPS, **lines)
    return [target.lines(), saved.lines(), sums.numbers()]


SUMS = {
    "batch_norm_statistics": ("mean", "variance"),
    "batch_norm_totals": ("mean",),
    "batch_norm_squares": ("variance",),
    "batch_norm_sums": ("sum_d", "sum_dx"),
}


def column_sums(m: Machine, kernel: str, x: Array, y: Array) -> list[Array]:
    """Mean and variance of columns, what ranks make of them, or the sums that their vjp needs."""
    source, saved = m.given("a", x), m.given("y", y)
    outs = [lines_out(m, name, source.count) for name in SUMS[kernel]]
    places = {out.name: out.address for out in outs}
    if kernel == "batch_norm_squares":
        places["mean"] = m.line_numbers("mean", y[0]).address
    m.run(kernel, 0, len(x), a=source, c=source, y=saved, width=source.width, panels=source.count, **places)
    return [out.numbers() for out in outs]


def batch_norm(m: Machine, kernel: str, x: Array, y: Array, lines: dict[str, Array]) -> list[Array]:
    """By statistics that are there: forward, its vjp, or its slope."""
    rows, width = x.shape
    source, target = m.given("a", x), m.panels("c", rows, width)
    saved = m.panels("y", rows, width) if kernel == "batch_norm_forward" else m.given("y", y)
    if kernel == "batch_norm_forward":
        m.writes(saved, 0, rows)
    m.head.data.rows = rows
    places = {name: m.line_numbers(name, a).address for name, a in lines.items()}
    m.op(kernel, source, target, 0, rows, y=saved, eps=EPS, **places)
    return [target.lines(), saved.lines()]


def softmax(m: Machine, kernel: str, x: Array, y: Array) -> list[Array]:
    source, target = m.given("a", x, padding=np.nan), m.panels("c", *x.shape)
    values = {} if kernel.endswith("_forward") else {"y": m.given("y", y)}
    m.op(kernel, source, target, 0, len(x), **values)
    return [target.lines()]


def embedding(m: Machine, kernel: str, x: Array, d: Array, tables: list[Array]) -> list[Array]:
    """Codes in the last columns of x, as many as there are tables; d is as wide as what they become."""
    passed, features = x.shape[1] - len(tables), x.shape[1]
    columns = m.records(Column, features)
    to = passed
    for i, column in enumerate(columns):
        column.source, column.target = i, i
        if i >= passed:
            table = tables[i - passed]
            column.table, column.target = m.given("table", table), to
            column.rows, column.width = table.shape
            to += table.shape[1]
    source = m.given("a", d if kernel == "embedding_vjp" else x, padding=np.nan)
    target = m.panels("c", len(x), features if kernel == "embedding_vjp" else to)
    m.op(kernel, source, target, 0, len(x), tables=m.address_of(columns[0]), count=features)
    return [target.lines()]


def piecewise_linear(m: Machine, kernel: str, x: Array, d: Array, edges: dict[int, Array]) -> list[Array]:
    """Bins of some columns; d is as wide as the columns with their bins."""
    features = x.shape[1]
    found, to = [], features
    for column, b in edges.items():
        lanes = np.arange(to, to + len(b) - 1)
        for panel in np.unique(lanes // m.in_line).tolist():
            here = lanes // m.in_line == panel
            lines = np.zeros((4, m.in_line), x.dtype)
            low, high = np.array([-np.inf, *b[1:-1]]), np.array([*b[1:-1], np.nan])
            lines[:, lanes[here] % m.in_line] = np.stack([b[:-1], np.diff(b), low, high])[:, here]
            found.append((column, panel, m.line_numbers("lines", lines).address))
        to += len(b) - 1
    records = m.records(Bins, len(found))
    for record, values in zip(records, found, strict=True):
        record.source, record.panel, record.lines = values
    source = m.given("a", d if kernel.endswith("_vjp") else x, padding=np.nan)
    target = m.panels("c", len(x), features if kernel.endswith("_vjp") else to)
    saved = {} if kernel.endswith("_forward") else {"y": m.given("y", x)}
    bins = {"inputs": features, "bins": m.address_of(records[0]), "count": len(found)}
    m.op(kernel, source, target, 0, len(x), **bins, **saved)
    return [target.lines()]


def codes_of(x: Array, count: int) -> Array:
    """x with codes in its last columns, of which one is none."""
    out = np.hstack([x, np.zeros((len(x), count), x.dtype)])
    for i in range(count):
        out[:, x.shape[1] + i] = np.arange(len(x)) % CODES[i]
    if len(x) > 2:
        out[1, -1] = CODES[count - 1]
    return out


def loss(m: Machine, kernel: str, x: Array, wanted: Array, index: Array) -> list[Array]:
    smooth = fb.CrossEntropy(label_smoothing=0.1, class_weights={0: 2.0})
    found = calls.loss(m, kernel, x, wanted, index, spec=smooth)
    return [found.rows, found.dz.lines()]


def cases(dtype: str, normal: Any) -> Iterator[tuple[str, tuple[int, ...], Any]]:
    """(kernel, shape, run) for each of these kernels; `normal` makes the numbers."""
    for number, shape in enumerate(SHAPES):
        rows, width = shape
        x, y = normal(dtype, *shape), normal(dtype, *shape, 1)[:, :, 0]
        gain, shifts = normal(dtype, 2, width)
        for shared in (False, True):
            yield "scale", shape, partial(gained, kernel="scale", x=x, gain=gain, shared=shared)
            yield "scale", shape, partial(gained, kernel="scale", x=x, gain=gain, shared=shared, shifts=shifts)
            yield "prelu", shape, partial(gained, kernel="prelu", x=x, gain=gain, y=y, shared=shared)
        yield "parametric", shape, partial(gained, kernel="parametric", x=x, gain=gain, y=y)
        affine = {"gain": gain if number % 3 else None, "shifts": shifts if number % 2 else None}
        for kernel in (k for k in ROW_BY_ROW if "_norm_" in k):
            yield kernel, shape, partial(norm, kernel=kernel, x=x, y=y, **affine)
        for kernel in (k for k in ROW_BY_ROW if "softmax" in k):
            yield kernel, shape, partial(softmax, kernel=kernel, x=x, y=y)
        lines = {"mean": shifts, "variance": gain * gain} | {name: a for name, a in affine.items() if a is not None}
        sums = {"sum_d": gain, "sum_dx": shifts}
        yield "batch_norm_vjp", shape, partial(batch_norm, kernel="batch_norm_vjp", x=x, y=y, lines=lines | sums)
        for kernel in ("batch_norm_forward", "batch_norm_slope"):
            yield kernel, shape, partial(batch_norm, kernel=kernel, x=x, y=y, lines=lines)
        for kernel in SUMS if rows else ():
            yield kernel, shape, partial(column_sums, kernel=kernel, x=x, y=y)
        count = 1 + number % 2
        tables = [normal(dtype, *of) for of in zip(CODES, WIDTHS, strict=True)][:count]
        coded, d = codes_of(x, count), normal(dtype, rows, width + sum(WIDTHS[:count]))
        for kernel in (k for k in ROW_BY_ROW if "embedding" in k):
            yield kernel, shape, partial(embedding, kernel=kernel, x=coded, d=d, tables=tables)
        edges = {width - 1: np.array([-0.5, 0.25, 1.0], dtype), 0: np.arange(-10, 11, dtype=dtype) / 8}
        d = normal(dtype, rows, width + sum(len(b) - 1 for b in edges.values()))
        for kernel in (k for k in ROW_BY_ROW if "piecewise" in k):
            yield kernel, shape, partial(piecewise_linear, kernel=kernel, x=x, d=d, edges=edges)
        index, labels = (
            np.random.default_rng(rows).permutation(rows),
            np.random.default_rng(shape).integers(0, width, rows),
        )
        for kernel, wanted in (("cross_entropy_smoothed", labels), ("cross_entropy_probabilities", np.abs(y))):
            yield kernel, shape, partial(loss, kernel=kernel, x=x, wanted=wanted, index=index)
