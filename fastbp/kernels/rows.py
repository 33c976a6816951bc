"""Between the user's rows and panels: gather the batch, scatter the output.

    gather    panel[b, :] = X[index[b], :]       the vjp of a choice of rows is not needed: X is no parameter
    scatter   Y[b, :] = panel[b, :]

A whole Jacobian is one walk over rows that come N times each, beside the N unit vectors: as cotangents they bring its
rows, as tangents its columns.

The rows of a batch are read where they lie, in shuffled order, so no copy of the data set is made.
"""

from __future__ import annotations

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.layout import A_STRIDE, C_STRIDE, COPY_COUNT, COPY_FROM, HEAD, INDEX, PANELS, SHIFT, WIDTH, A, C
from fastbp.kernels.memory import (
    as_real,
    bytes_of,
    fill,
    get,
    get_index,
    get_real,
    load,
    load_first,
    put_real,
    store,
    store_first,
)
from fastbp.kernels.vector import LINE


@inlined
def row_of(head, me, r):
    """The row of the user's arrays that row r of the buffers holds."""
    index = get(head, INDEX)
    row = r + get(me, SHIFT)
    return get_index(index, row) if index != 0 else row


@kernel
def gather(op, me, r0, r1, z):
    """C[r] = A[row of r] for rows r0 to r1; A is row-major, its stride the bytes of a row."""
    head = get(me, HEAD)
    width = get(op, WIDTH)
    in_line = LINE // bytes_of(z)
    full = width // in_line
    rest = width - full * in_line
    stride = get(op, C_STRIDE)
    for r in range(r0, r1):
        source = get(op, A) + row_of(head, me, r) * get(op, A_STRIDE)
        target = get(op, C) + r * LINE
        for _ in range(full):
            store(target, load(source, z))
            source += LINE
            target += stride
        if rest > 0:
            store(target, load_first(source, rest, z))


@kernel
def scatter(op, me, r0, r1, z):
    """C[row of r] = A[r] for rows r0 to r1; C is row-major, its stride the bytes of a row."""
    width = get(op, WIDTH)
    in_line = LINE // bytes_of(z)
    full = width // in_line
    rest = width - full * in_line
    stride = get(op, A_STRIDE)
    for r in range(r0, r1):
        source = get(op, A) + r * LINE
        target = get(op, C) + (r + get(me, SHIFT)) * get(op, C_STRIDE)
        for _ in range(full):
            store(target, load(source, z))
            source += stride
            target += LINE
        if rest > 0:
            store_first(target, rest, load(source, z))


@kernel
def gather_repeated(op, me, r0, r1, z):
    """As `gather`, but each of the user's rows comes COPY_COUNT times."""
    width = get(op, WIDTH)
    in_line = LINE // bytes_of(z)
    for r in range(r0, r1):
        source = get(op, A) + (r + get(me, SHIFT)) // get(op, COPY_COUNT) * get(op, A_STRIDE)
        target = get(op, C) + r * LINE
        for first in range(0, width, in_line):
            store(target, load_first(source, min(in_line, width - first), z))
            source += LINE
            target += get(op, C_STRIDE)


@kernel
def unit_rows(op, me, r0, r1, z):
    """C[r] is 1 in one column and 0 elsewhere: in column COPY_FROM, or if that is -1, in r modulo COPY_COUNT."""
    item = bytes_of(z)
    in_line = LINE // item
    for r in range(r0, r1):
        for panel in range(get(op, PANELS)):
            store(get(op, C) + panel * get(op, C_STRIDE) + r * LINE, fill(z))
        column = get(op, COPY_FROM)
        if column < 0:
            column = (r + get(me, SHIFT)) % get(op, COPY_COUNT)
        at = get(op, C) + column // in_line * get(op, C_STRIDE) + r * LINE + column % in_line * item
        put_real(at, as_real(1.0, z))


@kernel
def scatter_columns(op, me, r0, r1, z):
    """As `scatter`, but row b N + n becomes column n of matrix b, with N = COPY_COUNT."""
    # A: (rows, M) in   C: (·, M, N) out
    item = bytes_of(z)
    in_line = LINE // item
    width = get(op, WIDTH)
    columns = get(op, COPY_COUNT)
    for r in range(r0, r1):
        row = r + get(me, SHIFT)
        target = get(op, C) + (row // columns * columns * width + row % columns) * item
        for m in range(width):
            source = get(op, A) + m // in_line * get(op, A_STRIDE) + r * LINE + m % in_line * item
            put_real(target + m * columns * item, get_real(source, z))
