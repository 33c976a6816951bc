"""Between the user's rows and panels: gather the batch, scatter the output.

    gather    panel[b, :] = X[index[b], :]       the vjp of a choice of rows is not needed: X is no parameter
              likewise where codes in X stand for columns of zeros and a one
    scatter   Y[b, :] = panel[b, :]

A whole Jacobian is one walk over rows that come N times each, beside the N unit vectors: as cotangents they bring its
rows, as tangents its columns.

The rows of a batch are read where they lie, in shuffled order, so no copy of the data set is made.
"""

from __future__ import annotations

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.memory import (
    as_real,
    bytes_of,
    fill,
    get_index,
    get_real,
    load,
    load_first,
    put_real,
    store,
    store_first,
)
from fastbp.kernels.ops import RowsOp
from fastbp.kernels.vector import LINE


@inlined
def row_of(head, me, r):
    """The row of the user's arrays that row r of the buffers holds."""
    index = head.data.index
    row = r + me.shift
    return get_index(index, row) if index != 0 else row


@kernel(RowsOp)
def gather(op, me, r0, r1, z):
    """C[r] = A[row of r] for rows r0 to r1; A is row-major, its stride the bytes of a row."""
    head = me.head
    width = op.width
    in_line = LINE // bytes_of(z)
    full = width // in_line
    rest = width - full * in_line
    stride = op.c.stride
    for r in range(r0, r1):
        source = op.a.start + row_of(head, me, r) * op.a.stride
        target = op.c.start + r * LINE
        for _ in range(full):
            store(target, load(source, z))
            source += LINE
            target += stride
        if rest > 0:
            store(target, load_first(source, rest, z))


@kernel(RowsOp)
def gather_coded(op, me, r0, r1, z):
    """As `gather`, but each of `count` columns of A is a number, or a code that stands for zeros and a one."""
    head = me.head
    item = bytes_of(z)
    in_line = LINE // item
    stride = op.c.stride
    for r in range(r0, r1):
        source = op.a.start + row_of(head, me, r) * op.a.stride
        target = op.c.start + r * LINE
        for panel in range(op.panels):
            store(target + panel * stride, fill(z))
        for number in range(op.count):
            column = op.tables[number]
            x = get_real(source + column.source * item, z)
            to = column.target
            if column.rows != 0:
                if not (x >= 1.0 and x <= column.rows):
                    continue
                to += int(x) - 1
                x = as_real(1.0, z)
            put_real(target + to // in_line * stride + to % in_line * item, x)


@kernel(RowsOp)
def scatter(op, me, r0, r1, z):
    """C[row of r] = A[r] for rows r0 to r1; C is row-major, its stride the bytes of a row."""
    width = op.width
    in_line = LINE // bytes_of(z)
    full = width // in_line
    rest = width - full * in_line
    stride = op.a.stride
    for r in range(r0, r1):
        source = op.a.start + r * LINE
        target = op.c.start + (r + me.shift) * op.c.stride
        for _ in range(full):
            store(target, load(source, z))
            source += stride
            target += LINE
        if rest > 0:
            store_first(target, rest, load(source, z))


@kernel(RowsOp)
def gather_repeated(op, me, r0, r1, z):
    """As `gather`, but each of the user's rows comes `count` times."""
    width = op.width
    in_line = LINE // bytes_of(z)
    for r in range(r0, r1):
        source = op.a.start + (r + me.shift) // op.count * op.a.stride
        target = op.c.start + r * LINE
        for first in range(0, width, in_line):
            store(target, load_first(source, min(in_line, width - first), z))
            source += LINE
            target += op.c.stride


@kernel(RowsOp)
def unit_rows(op, me, r0, r1, z):
    """C[r] is 1 in one column and 0 elsewhere: in `column`, or if that is -1, in r modulo `count`."""
    item = bytes_of(z)
    in_line = LINE // item
    for r in range(r0, r1):
        for panel in range(op.panels):
            store(op.c.start + panel * op.c.stride + r * LINE, fill(z))
        column = op.column
        if column < 0:
            column = (r + me.shift) % op.count
        at = op.c.start + column // in_line * op.c.stride + r * LINE + column % in_line * item
        put_real(at, as_real(1.0, z))


@kernel(RowsOp)
def scatter_columns(op, me, r0, r1, z):
    """As `scatter`, but row b N + n becomes column n of matrix b, with N = `count`."""
    # A: (rows, M) in   C: (·, M, N) out
    item = bytes_of(z)
    in_line = LINE // item
    width = op.width
    columns = op.count
    for r in range(r0, r1):
        row = r + me.shift
        target = op.c.start + (row // columns * columns * width + row % columns) * item
        for m in range(width):
            source = op.a.start + m // in_line * op.a.stride + r * LINE + m % in_line * item
            put_real(target + m * columns * item, get_real(source, z))
