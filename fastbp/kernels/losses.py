"""Losses, each fused with its gradient: one pass over a row takes the loss and leaves dz for the backward pass.

    cross_entropy   L_b = log Σ_k exp(z_k) - z_y          dz = (p - y) / B,  p = softmax(z), y the one-hot label
    mse             L_b = Σ_n (z_n - t_n)² / N            dz = 2 (z - t) / (B N)

∂L/∂z_k = exp(z_k) / Σ exp - [k = y] is the whole Jacobian row of softmax followed by -log; the exponentials are taken
after the row's maximum m is subtracted, so they are in [0, 1], and the loss is log Σ exp(z - m) + m - z_y. The
step's loss is the mean over the batch; B is the number of rows of this batch, so a short one is scaled by its own.
"""

from __future__ import annotations

from fastbp.kernels import functions
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.layout import (
    A_STRIDE,
    C_STRIDE,
    HEAD,
    INVERSE_ROWS,
    LARGEST_LINE,
    PANELS,
    ROW_LOSS,
    SUMS,
    TARGETS,
    TARGETS_STRIDE,
    WIDTH,
    WORD,
    A,
    C,
)
from fastbp.kernels.memory import (
    as_real,
    bytes_of,
    fill,
    get,
    get_double,
    get_real,
    keep_first,
    load,
    load_bits,
    load_first,
    put_real,
    store,
)
from fastbp.kernels.products import note_magnitude
from fastbp.kernels.rows import row_of
from fastbp.kernels.vector import LINE, V, vector_function
from fastbp.kernels.weights import magnitude_bits

MINUS_INFINITY = float("-inf")
NOT_A_NUMBER = float("nan")


@vector_function
def larger(a: V, b: V) -> V:
    """Lane by lane the larger; a NaN in either stays."""
    return a.isnan().select(a, a.ge(b).select(a, b))


@vector_function(scalar=True)
def largest(a: V) -> V:
    return a.reduce(lambda x, y: x.isnan().select(x, x.ge(y).select(x, y)))


@vector_function(scalar=True)
def total(a: V) -> V:
    return a.reduce(lambda x, y: x + y)


@vector_function
def exp_after(z: V, top: V) -> V:
    return functions.exp(z - top)


@vector_function
def add(a: V, b: V) -> V:
    return a + b


@vector_function
def times(a: V, b: V) -> V:
    return a * b


@vector_function
def log_plus(total: V, rest: V) -> V:
    return functions.log(total) + rest


@vector_function(count=2)
def squared_error(z: V, t: V, scale: V) -> tuple[V, V]:
    """The squared difference and its scaled derivative."""
    d = z - t
    return d * d, d * scale


@inlined
def valid_lanes(panel, width, in_line):
    """How many lanes of this panel hold numbers."""
    return min(in_line, width - panel * in_line)


@kernel
def cross_entropy(op, me, r0, r1, z):
    """Softmax, -log and p - y for rows r0 to r1, a multiple of P rows apart from the batch's end."""
    # A: (rows, K) in   C: (rows, K) out   TARGETS: one int64 a row in   ROW_LOSS: (rows,) out
    head = get(me, HEAD)
    classes = get(op, WIDTH)
    panels = get(op, PANELS)
    item = bytes_of(z)
    in_line = LINE // item
    scale = as_real(get_double(head, INVERSE_ROWS), z)
    row_loss = get(head, ROW_LOSS)
    sums = get(op, SUMS)
    biggest = me + LARGEST_LINE * WORD
    for r in range(r0, r1):
        source = get(op, A) + r * LINE
        target = get(op, C) + r * LINE
        top = fill(as_real(MINUS_INFINITY, z))
        for panel in range(panels):
            line = load(source + panel * get(op, A_STRIDE), z)
            count = valid_lanes(panel, classes, in_line)
            top = larger(top, keep_first(line, count, as_real(MINUS_INFINITY, z)))
        m = largest(top)
        summed = fill(z)
        for panel in range(panels):
            line = load(source + panel * get(op, A_STRIDE), z)
            count = valid_lanes(panel, classes, in_line)
            e = keep_first(exp_after(line, m), count, z)
            summed = add(summed, e)
            store(target + panel * get(op, C_STRIDE), e)
        s = total(summed)
        factor = scale / s
        for panel in range(panels):
            at = target + panel * get(op, C_STRIDE)
            p = times(load(at, z), factor)
            store(biggest, magnitude_bits(load_bits(biggest, z), p))
            store(at, p)
        label = get(get(op, TARGETS), row_of(head, me, r))
        if label < 0 or label >= classes:  # checked before, but the array is the user's
            put_real(row_loss + r * item, as_real(NOT_A_NUMBER, z))
            put_real(sums + r * item, s)
            continue
        within = label // in_line, label % in_line * item
        hit = target + within[0] * get(op, C_STRIDE) + within[1]
        put_real(hit, get_real(hit, z) - scale)
        chosen = get_real(source + within[0] * get(op, A_STRIDE) + within[1], z)
        put_real(row_loss + r * item, m - chosen)
        put_real(sums + r * item, s)
    store(biggest, magnitude_bits(load_bits(biggest, z), fill(scale)))  # what p - y can be at the label
    for r in range(r0, r1, in_line):
        at = row_loss + r * item
        store(at, log_plus(load(sums + r * item, z), load(at, z)))
    note_magnitude(op, me, z)


@kernel
def mse(op, me, r0, r1, z):
    """Squared error for rows r0 to r1, averaged over columns."""
    # A: (rows, N) in   C: (rows, N) out   TARGETS: (·, N) row-major in   ROW_LOSS: (rows,) out
    head = get(me, HEAD)
    width = get(op, WIDTH)
    item = bytes_of(z)
    in_line = LINE // item
    inverse = 1.0 / width
    scale = as_real(2.0 * inverse * get_double(head, INVERSE_ROWS), z)
    row_loss = get(head, ROW_LOSS)
    biggest = me + LARGEST_LINE * WORD
    for r in range(r0, r1):
        targets = get(op, TARGETS) + row_of(head, me, r) * get(op, TARGETS_STRIDE)
        summed = fill(z)
        for panel in range(get(op, PANELS)):
            line = load(get(op, A) + panel * get(op, A_STRIDE) + r * LINE, z)
            count = valid_lanes(panel, width, in_line)
            t = load_first(targets + panel * LINE, count, z)
            squares, d = squared_error(keep_first(line, count, z), t, scale)
            summed = add(summed, squares)
            store(biggest, magnitude_bits(load_bits(biggest, z), d))
            store(get(op, C) + panel * get(op, C_STRIDE) + r * LINE, d)
        put_real(row_loss + r * item, total(summed) * as_real(inverse, z))
    note_magnitude(op, me, z)
