"""Norms over the features of one row.

    layer_norm    n = (x - mean x) r,  r = 1 / √(var x + ε)     y = γ ∘ n + β
                  vjp  dx = r (u - mean u - n mean(u ∘ n)),     u = dy ∘ γ
                  jvp  ty = γ ∘ r (tx - mean tx - n mean(tx ∘ n))
    rms_norm      n = x r,  r = 1 / √(mean x² + ε)              y = γ ∘ n
                  vjp  dx = r (u - n mean(u ∘ n))
                  jvp  ty = γ ∘ r (tx - n mean(tx ∘ n))

Moving x by dx moves its mean by mean dx and r by -r n mean(n ∘ dx), whence the Jacobian r (1 - 11ᵀ/N - n nᵀ/N): it is
symmetric, so vjp and jvp differ only in the side on which γ stands. Saved are n and r; γ and β get their gradients from
`columns.py`. Sums go over the panels in order and then through one tree.
"""

from __future__ import annotations

from math import sqrt

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.lines import (
    add,
    add_product,
    keep_largest,
    line_of,
    magnitude_bits,
    subtract,
    times,
    total,
    valid_lanes,
)
from fastbp.kernels.memory import as_real, bytes_of, fill, get_real, keep_first, load, put_real, store, zero_bits
from fastbp.kernels.ops import NormOp
from fastbp.kernels.vector import LINE, V, vector_function


@vector_function
def centred(x: V, mean: V, r: V) -> V:
    return (x - mean) * r


@vector_function
def gained(n: V, gain: V, shift: V) -> V:
    return n.fma(gain, shift)


@vector_function
def projected(u: V, n: V, mean: V, part: V, r: V) -> V:
    """r (u - mean - n part)."""
    return ((-n).fma(part, u - mean)) * r


@inlined
def sum_of_row(op, base, stride, r, z):
    summed = fill(z)
    for panel in range(op.panels):
        summed = add(summed, line_of(op, base, stride, r, panel, z))
    return total(summed)


@inlined
def affine(op, panel, n, z):
    """γ ∘ n + β, as far as there are such."""
    gain, shifts = op.gain, op.shifts
    if gain != 0:
        if shifts != 0:
            return gained(n, load(gain + panel * LINE, z), load(shifts + panel * LINE, z))
        return times(n, load(gain + panel * LINE, z))
    if shifts != 0:
        return add(n, load(shifts + panel * LINE, z))
    return n


@inlined
def norm_rows(centre, op, me, r0, r1, z):
    """C = γ ∘ n + β and Y = n; 1 / σ of each row goes to `sums`."""
    # A: (rows, N) in   C: (rows, N) out, may be A   Y: (rows, N) out, may be C where there are no γ and β
    item = bytes_of(z)
    in_line = LINE // item
    width = op.width
    inverse = as_real(1.0 / width, z)
    a_stride, y_stride, c_stride = op.a.stride, op.y.stride, op.c.stride
    seen = zero_bits(z)
    for r in range(r0, r1):
        mean = z
        if centre:
            mean = sum_of_row(op, op.a.start, a_stride, r, z) * inverse
        squares = fill(z)
        for panel in range(op.panels):
            count = valid_lanes(panel, width, in_line)
            d = keep_first(subtract(load(op.a.start + panel * a_stride + r * LINE, z), mean), count, z)
            squares = add_product(squares, d, d)
        variance = float(total(squares)) / width + op.eps
        inverse_sigma = as_real(1.0 / sqrt(variance), z)
        put_real(op.sums + r * item, inverse_sigma)
        for panel in range(op.panels):
            count = valid_lanes(panel, width, in_line)
            n = centred(load(op.a.start + panel * a_stride + r * LINE, z), mean, inverse_sigma)
            n = keep_first(n, count, z)
            seen = magnitude_bits(seen, n)  # the gradient of γ is bounded by it
            store(op.y.start + panel * y_stride + r * LINE, n)
            y = affine(op, panel, n, z)
            seen = magnitude_bits(seen, y)
            store(op.c.start + panel * c_stride + r * LINE, y)
    keep_largest(op, me, seen)


@inlined
def pull_rows(centre, before, op, me, r0, r1, z):
    """C = r (u - mean u - n mean(u ∘ n)); u is A ∘ γ with `before`, else the result is multiplied with γ."""
    # A: (rows, N) in   Y: n in   `sums`: r in   C: (rows, N) out, may be A
    item = bytes_of(z)
    width = op.width
    inverse = as_real(1.0 / width, z)
    gain = op.gain
    a_stride, y_stride, c_stride = op.a.stride, op.y.stride, op.c.stride
    seen = zero_bits(z)
    for r in range(r0, r1):
        sums, products = fill(z), fill(z)
        for panel in range(op.panels):
            u = line_of(op, op.a.start, a_stride, r, panel, z)
            if before and gain != 0:
                u = times(u, load(gain + panel * LINE, z))
            n = load(op.y.start + panel * y_stride + r * LINE, z)
            sums = add(sums, u)
            products = add_product(products, u, n)
        mean = z
        if centre:
            mean = total(sums) * inverse
        part = total(products) * inverse
        inverse_sigma = get_real(op.sums + r * item, z)
        for panel in range(op.panels):
            u = line_of(op, op.a.start, a_stride, r, panel, z)
            if before and gain != 0:
                u = times(u, load(gain + panel * LINE, z))
            n = load(op.y.start + panel * y_stride + r * LINE, z)
            out = projected(u, n, mean, part, inverse_sigma)
            if not before and gain != 0:
                out = times(out, load(gain + panel * LINE, z))
            out = keep_first(out, valid_lanes(panel, width, LINE // item), z)
            seen = magnitude_bits(seen, out)
            store(op.c.start + panel * c_stride + r * LINE, out)
    keep_largest(op, me, seen)


@kernel(NormOp)
def layer_norm_forward(op, me, r0, r1, z):
    norm_rows(True, op, me, r0, r1, z)


@kernel(NormOp)
def layer_norm_vjp(op, me, r0, r1, z):
    pull_rows(True, True, op, me, r0, r1, z)


@kernel(NormOp)
def layer_norm_jvp(op, me, r0, r1, z):
    pull_rows(True, False, op, me, r0, r1, z)


@kernel(NormOp)
def rms_norm_forward(op, me, r0, r1, z):
    norm_rows(False, op, me, r0, r1, z)


@kernel(NormOp)
def rms_norm_vjp(op, me, r0, r1, z):
    pull_rows(False, True, op, me, r0, r1, z)


@kernel(NormOp)
def rms_norm_jvp(op, me, r0, r1, z):
    pull_rows(False, False, op, me, r0, r1, z)
