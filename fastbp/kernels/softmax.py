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
from fastbp.kernels.lines import add, add_product, larger, largest, line_of, subtract, times, total, valid_lanes
from fastbp.kernels.memory import as_real, bytes_of, fill, keep_first, load, store
from fastbp.kernels.ops import SoftmaxOp
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
    for panel in range(op.panels):
        line = load(op.a.start + panel * op.a.stride + r * LINE, z)
        count = valid_lanes(panel, op.width, LINE // bytes_of(z))
        top = larger(top, keep_first(line, count, as_real(MINUS_INFINITY, z)))
    return largest(top)


@kernel(SoftmaxOp)
def softmax_forward(op, me, r0, r1, z):
    # A: (rows, N) in   C: (rows, N) out, may be A
    c_stride = op.c.stride
    for r in range(r0, r1):
        top = top_of_row(op, r, z)
        summed = fill(z)
        for panel in range(op.panels):
            count = valid_lanes(panel, op.width, LINE // bytes_of(z))
            e = exp_after(load(op.a.start + panel * op.a.stride + r * LINE, z), top)
            e = keep_first(e, count, z)
            summed = add(summed, e)
            store(op.c.start + panel * c_stride + r * LINE, e)
        factor = as_real(1.0, z) / total(summed)
        for panel in range(op.panels):
            at = op.c.start + panel * c_stride + r * LINE
            store(at, times(load(at, z), factor))


@kernel(SoftmaxOp)
def softmax_vjp(op, me, r0, r1, z):
    # A: dy (rows, N) in   Y: y in   C: (rows, N) out, may be A
    for r in range(r0, r1):
        summed = fill(z)
        for panel in range(op.panels):
            dy = line_of(op, op.a.start, op.a.stride, r, panel, z)
            summed = add_product(summed, dy, load(op.y.start + panel * op.y.stride + r * LINE, z))
        s = total(summed)
        for panel in range(op.panels):
            count = valid_lanes(panel, op.width, LINE // bytes_of(z))
            dy = load(op.a.start + panel * op.a.stride + r * LINE, z)
            y = load(op.y.start + panel * op.y.stride + r * LINE, z)
            dx = keep_first(softmax_pulled(dy, y, s), count, z)
            store(op.c.start + panel * op.c.stride + r * LINE, dx)


@kernel(SoftmaxOp)
def log_softmax_forward(op, me, r0, r1, z):
    # A: (rows, N) in   C: (rows, N) out, may be A
    for r in range(r0, r1):
        top = top_of_row(op, r, z)
        summed = fill(z)
        for panel in range(op.panels):
            count = valid_lanes(panel, op.width, LINE // bytes_of(z))
            e = exp_after(load(op.a.start + panel * op.a.stride + r * LINE, z), top)
            summed = add(summed, keep_first(e, count, z))
        rest = log_of(fill(total(summed)))
        for panel in range(op.panels):
            count = valid_lanes(panel, op.width, LINE // bytes_of(z))
            y = below(load(op.a.start + panel * op.a.stride + r * LINE, z), top, rest)
            store(op.c.start + panel * op.c.stride + r * LINE, keep_first(y, count, z))


@kernel(SoftmaxOp)
def log_softmax_vjp(op, me, r0, r1, z):
    # A: dy (rows, N) in   Y: y in   C: (rows, N) out, may be A
    for r in range(r0, r1):
        summed = fill(z)
        for panel in range(op.panels):
            summed = add(summed, line_of(op, op.a.start, op.a.stride, r, panel, z))
        s = total(summed)
        for panel in range(op.panels):
            count = valid_lanes(panel, op.width, LINE // bytes_of(z))
            dy = load(op.a.start + panel * op.a.stride + r * LINE, z)
            y = load(op.y.start + panel * op.y.stride + r * LINE, z)
            dx = keep_first(log_softmax_pulled(dy, y, s), count, z)
            store(op.c.start + panel * op.c.stride + r * LINE, dx)


@kernel(SoftmaxOp)
def log_softmax_jvp(op, me, r0, r1, z):
    # A: tx (rows, N) in   Y: y in   C: (rows, N) out, may be A
    for r in range(r0, r1):
        summed = fill(z)
        for panel in range(op.panels):
            t = line_of(op, op.a.start, op.a.stride, r, panel, z)
            summed = add_exp_product(summed, load(op.y.start + panel * op.y.stride + r * LINE, z), t)
        s = total(summed)
        for panel in range(op.panels):
            count = valid_lanes(panel, op.width, LINE // bytes_of(z))
            t = subtract(load(op.a.start + panel * op.a.stride + r * LINE, z), s)
            store(op.c.start + panel * op.c.stride + r * LINE, keep_first(t, count, z))
