"""Piecewise linear bins: every column passes on, and behind them stands how far a number has come through each bin.

A column x with edges b_0 < b_1 < ... has a bin j from b_j to b_(j+1), of width w_j; the first has no lower end and the
last no upper one (Gorishniy et al., 2022).

    forward   y = [x, e of every bin]    e_j = 0 for x < b_j (not of the first), 1 for x >= b_(j+1) (not of the last),
                                               (x - b_j) / w_j between
    vjp       dx = dy + Σ_j de_j e_j'    e_j' = 1 / w_j in the bin that x is in, from b_j on and below b_(j+1), else 0
    jvp       ty = [tx, tx e_j']

∂e_j/∂x is a number for each row and bin, so both products are with a diagonal; at an edge, where e is bent, e' is that
of the bin above. Of the bins of a column one is not 0, so the vjp's sum is exact in any order; where x is NaN, e and e'
of every bin are. There are no parameters.

A `Bins` record has what one column has in one panel; where a panel is several columns', each record writes its lanes.
"""

from __future__ import annotations

from fastbp.kernels.embedding import place
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.lines import keep_largest, magnitude_bits, total
from fastbp.kernels.memory import bytes_of, fill, get_real, keep_first, load, put_real, store, zero_bits
from fastbp.kernels.ops import BinsOp
from fastbp.kernels.vector import LINE, V, vector_function


@vector_function
def risen(before: V, x: V, first: V, width: V, low: V, high: V) -> V:
    """How far x has come through the bin of each lane; `before` in lanes without one."""
    e = x.lt(low).select(0.0, x.ge(high).select(1.0, (x - first) / width))
    return width.gt(0.0).select(e, before)


@vector_function
def rising(before: V, t: V, x: V, width: V, low: V, high: V) -> V:
    """t times the slope at x, NaN at NaN; `before` in lanes without a bin."""
    e = x.lt(low).select(0.0, x.ge(high).select(0.0, x.isnan().select(x, t / width)))
    return width.gt(0.0).select(e, before)


@inlined
def pass_on(op, r0, r1, z):
    """The columns of the narrow side, and zeros behind them; returns their magnitudes."""
    in_line = LINE // bytes_of(z)
    seen = zero_bits(z)
    for panel in range(op.panels):
        source = op.a.start + panel * op.a.stride
        target = op.c.start + panel * op.c.stride
        count = min(op.inputs - panel * in_line, in_line)
        if count <= 0:
            for o in range(r0 * LINE, r1 * LINE, LINE):
                store(target + o, fill(z))
            continue
        for o in range(r0 * LINE, r1 * LINE, LINE):
            line = keep_first(load(source + o, z), count, z)
            seen = magnitude_bits(seen, line)
            store(target + o, line)
    return seen


@kernel(BinsOp)
def piecewise_linear_forward(op, me, r0, r1, z):
    # A: x (rows, F) in   C: y (rows, N) out
    seen = pass_on(op, r0, r1, z)
    for number in range(op.count):
        bins = op.bins[number]
        first, width = load(bins.lines, z), load(bins.lines + LINE, z)
        low, high = load(bins.lines + 2 * LINE, z), load(bins.lines + 3 * LINE, z)
        source = place(op.a.start, op.a.stride, 0, bins.source, z)
        target = op.c.start + bins.panel * op.c.stride
        for o in range(r0 * LINE, r1 * LINE, LINE):
            y = risen(load(target + o, z), fill(get_real(source + o, z)), first, width, low, high)
            seen = magnitude_bits(seen, y)
            store(target + o, y)
    keep_largest(op, me, seen)


@kernel(BinsOp)
def piecewise_linear_vjp(op, me, r0, r1, z):
    # A: dy (rows, N), Y: x (rows, F) in   C: dx (rows, F) out
    seen = pass_on(op, r0, r1, z)
    for number in range(op.count):
        bins = op.bins[number]
        width = load(bins.lines + LINE, z)
        low, high = load(bins.lines + 2 * LINE, z), load(bins.lines + 3 * LINE, z)
        source = op.a.start + bins.panel * op.a.stride
        saved = place(op.y.start, op.y.stride, 0, bins.source, z)
        target = place(op.c.start, op.c.stride, 0, bins.source, z)
        for o in range(r0 * LINE, r1 * LINE, LINE):
            slopes = rising(fill(z), load(source + o, z), fill(get_real(saved + o, z)), width, low, high)
            put_real(target + o, get_real(target + o, z) + total(slopes))
    for panel in range(op.panels):
        target = op.c.start + panel * op.c.stride
        for o in range(r0 * LINE, r1 * LINE, LINE):
            seen = magnitude_bits(seen, load(target + o, z))
    keep_largest(op, me, seen)


@kernel(BinsOp)
def piecewise_linear_jvp(op, me, r0, r1, z):
    # A: tx, Y: x (rows, F) in   C: ty (rows, N) out
    seen = pass_on(op, r0, r1, z)
    for number in range(op.count):
        bins = op.bins[number]
        width = load(bins.lines + LINE, z)
        low, high = load(bins.lines + 2 * LINE, z), load(bins.lines + 3 * LINE, z)
        source = place(op.a.start, op.a.stride, 0, bins.source, z)
        saved = place(op.y.start, op.y.stride, 0, bins.source, z)
        target = op.c.start + bins.panel * op.c.stride
        for o in range(r0 * LINE, r1 * LINE, LINE):
            t, x = fill(get_real(source + o, z)), fill(get_real(saved + o, z))
            y = rising(load(target + o, z), t, x, width, low, high)
            seen = magnitude_bits(seen, y)
            store(target + o, y)
    keep_largest(op, me, seen)
