"""Between the user's rows and panels: gather the batch, scatter the output.

    gather    panel[b, :] = X[index[b], :]       the vjp of a choice of rows is not needed: X is no parameter
    scatter   Y[b, :] = panel[b, :]

The rows of a batch are read where they lie, in shuffled order, so no copy of the data set is made.
"""

from __future__ import annotations

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.layout import A_STRIDE, C_STRIDE, HEAD, INDEX, SHIFT, WIDTH, A, C
from fastbp.kernels.memory import bytes_of, get, get_index, load, load_first, store, store_first
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
