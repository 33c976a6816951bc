"""Softmax and its logarithm: every number of a row depends on all of them.

    softmax       y = exp(x - top) / Σ exp(x - top)          top = max x, so no exponential is above 1
                  vjp  dx = y ∘ (dy - Σ dy ∘ y)              the Jacobian diag(y) - y yᵀ is symmetric:
                  jvp  ty = y ∘ (tx - Σ tx ∘ y)              one kernel does both
    log_softmax   y = x - top - log Σ exp(x - top)
                  vjp  dx = dy - exp(y) Σ dy                 the Jacobian is 1 - 1 exp(y)ᵀ
                  jvp  ty = tx - Σ exp(y) ∘ tx

Saved is y. Sums go over the panels in order and then through one tree.
"""

from __future__ import annotations

from fastbp.kernels import functions
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.layout import A_STRIDE, C_STRIDE, PANELS, WIDTH, Y_STRIDE, A, C, Y
from fastbp.kernels.lines import add, add_product, larger, largest, line_of, subtract, times, total, valid_lanes
from fastbp.kernels.memory import as_real, bytes_of, fill, get, keep_first, load, store
from fastbp.kernels.vector import LINE, V, vector_function

MINUS_INFINITY = float("-inf")


@vector_function
def exp_after(z: V, top: V) -> V:
    return functions.exp(z - top)


@vector_function(scalar=True)
def log_of(x: V) -> V:
    return functions.log(x)


@vector_function
def below(x: V, top: V, rest: V) -> V:
    return x - top - rest


@vector_function
def softmax_pulled(dy: V, y: V, s: V) -> V:
    return y * (dy - s)


@vector_function
def log_softmax_pulled(dy: V, y: V, s: V) -> V:
    return (-functions.exp(y)).fma(s, dy)


@vector_function
def add_exp_product(total: V, y: V, t: V) -> V:
    return functions.exp(y).fma(t, total)


@inlined
def top_of_row(op, r, z):
    """The largest number of a row of A; NaN where there is one."""
    top = fill(as_real(MINUS_INFINITY, z))
    for panel in range(get(op, PANELS)):
        line = load(get(op, A) + panel * get(op, A_STRIDE) + r * LINE, z)
        count = valid_lanes(panel, get(op, WIDTH), LINE // bytes_of(z))
        top = larger(top, keep_first(line, count, as_real(MINUS_INFINITY, z)))
    return largest(top)


@kernel
def softmax_forward(op, me, r0, r1, z):
    # A: (rows, N) in   C: (rows, N) out, may be A
    c_stride = get(op, C_STRIDE)
    for r in range(r0, r1):
        top = top_of_row(op, r, z)
        summed = fill(z)
        for panel in range(get(op, PANELS)):
            count = valid_lanes(panel, get(op, WIDTH), LINE // bytes_of(z))
            e = exp_after(load(get(op, A) + panel * get(op, A_STRIDE) + r * LINE, z), top)
            e = keep_first(e, count, z)
            summed = add(summed, e)
            store(get(op, C) + panel * c_stride + r * LINE, e)
        factor = as_real(1.0, z) / total(summed)
        for panel in range(get(op, PANELS)):
            at = get(op, C) + panel * c_stride + r * LINE
            store(at, times(load(at, z), factor))


@kernel
def softmax_vjp(op, me, r0, r1, z):
    # A: dy (rows, N) in   Y: y in   C: (rows, N) out, may be A
    for r in range(r0, r1):
        summed = fill(z)
        for panel in range(get(op, PANELS)):
            dy = line_of(op, get(op, A), get(op, A_STRIDE), r, panel, z)
            summed = add_product(summed, dy, load(get(op, Y) + panel * get(op, Y_STRIDE) + r * LINE, z))
        s = total(summed)
        for panel in range(get(op, PANELS)):
            count = valid_lanes(panel, get(op, WIDTH), LINE // bytes_of(z))
            dy = load(get(op, A) + panel * get(op, A_STRIDE) + r * LINE, z)
            y = load(get(op, Y) + panel * get(op, Y_STRIDE) + r * LINE, z)
            dx = keep_first(softmax_pulled(dy, y, s), count, z)
            store(get(op, C) + panel * get(op, C_STRIDE) + r * LINE, dx)


@kernel
def log_softmax_forward(op, me, r0, r1, z):
    # A: (rows, N) in   C: (rows, N) out, may be A
    for r in range(r0, r1):
        top = top_of_row(op, r, z)
        summed = fill(z)
        for panel in range(get(op, PANELS)):
            count = valid_lanes(panel, get(op, WIDTH), LINE // bytes_of(z))
            e = exp_after(load(get(op, A) + panel * get(op, A_STRIDE) + r * LINE, z), top)
            summed = add(summed, keep_first(e, count, z))
        rest = log_of(fill(total(summed)))
        for panel in range(get(op, PANELS)):
            count = valid_lanes(panel, get(op, WIDTH), LINE // bytes_of(z))
            y = below(load(get(op, A) + panel * get(op, A_STRIDE) + r * LINE, z), top, rest)
            store(get(op, C) + panel * get(op, C_STRIDE) + r * LINE, keep_first(y, count, z))


@kernel
def log_softmax_vjp(op, me, r0, r1, z):
    # A: dy (rows, N) in   Y: y in   C: (rows, N) out, may be A
    for r in range(r0, r1):
        summed = fill(z)
        for panel in range(get(op, PANELS)):
            summed = add(summed, line_of(op, get(op, A), get(op, A_STRIDE), r, panel, z))
        s = total(summed)
        for panel in range(get(op, PANELS)):
            count = valid_lanes(panel, get(op, WIDTH), LINE // bytes_of(z))
            dy = load(get(op, A) + panel * get(op, A_STRIDE) + r * LINE, z)
            y = load(get(op, Y) + panel * get(op, Y_STRIDE) + r * LINE, z)
            dx = keep_first(log_softmax_pulled(dy, y, s), count, z)
            store(get(op, C) + panel * get(op, C_STRIDE) + r * LINE, dx)


@kernel
def log_softmax_jvp(op, me, r0, r1, z):
    # A: tx (rows, N) in   Y: y in   C: (rows, N) out, may be A
    for r in range(r0, r1):
        summed = fill(z)
        for panel in range(get(op, PANELS)):
            t = line_of(op, get(op, A), get(op, A_STRIDE), r, panel, z)
            summed = add_exp_product(summed, load(get(op, Y) + panel * get(op, Y_STRIDE) + r * LINE, z), t)
        s = total(summed)
        for panel in range(get(op, PANELS)):
            count = valid_lanes(panel, get(op, WIDTH), LINE // bytes_of(z))
            t = subtract(load(get(op, A) + panel * get(op, A_STRIDE) + r * LINE, z), s)
            store(get(op, C) + panel * get(op, C_STRIDE) + r * LINE, keep_first(t, count, z))
