"""Parameters of one number a column: a learned scale s, the slope a of a prelu, how much a there is of an activation f,
the γ and β of norms.

    scale   forward  y = s ∘ x                     vjp  dx = dy ∘ s,                   ds = Σ_b dy ∘ x
            jvp      ty = s ∘ tx
    affine  forward  y = s ∘ x + β                 vjp  dx and ds as above,            dβ = Σ_b dy
    prelu   forward  y = x if x > 0 else a x       vjp  dx = dy ∘ (1 if x > 0 else a), da = Σ_b dy ∘ min(x, 0)
            jvp      ty = tx ∘ (1 if x > 0 else a)
    parametric  forward  y = x + a ∘ (f(x) - x)    vjp  dx = dy + a ∘ (dy ∘ f'(x) - dy), da = Σ_b dy ∘ (f(x) - x)
            jvp      ty = tx + a ∘ (tx ∘ f'(x) - tx)
    γ, β    forward  y = γ ∘ n + β                 vjp  dγ = Σ_b dy ∘ n,               dβ = Σ_b dy

y[b, n] depends on a parameter of its own column alone, so the vjp is a sum down a column, added in row order. Where one
number serves all columns the columns' sums are added too, panel by panel. The input is saved: both halves need it. Of a
parametric activation the kernels of f make f(x), dy ∘ f'(x) and tx ∘ f'(x), and f(x) - x is saved for `columns`.
"""

from __future__ import annotations

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.lines import add, add_product, keep_largest, magnitude_bits, note_line, times, total
from fastbp.kernels.memory import fill, get_real, keep_first, load, store, zero_bits
from fastbp.kernels.ops import GainedOp
from fastbp.kernels.records import Tile
from fastbp.kernels.shards import clear_lines, first_row, merged, shard_count
from fastbp.kernels.vector import LINE, V, vector_function
from fastbp.kernels.weights import found_bad, gradient_biases, hand_over
from fastbp.kernels.words import exists


@vector_function
def bent(dy: V, x: V, a: V) -> V:
    """dy where x is above zero, a dy elsewhere."""
    return x.gt(0.0).select(dy, dy * a)


@vector_function
def negative(x: V) -> V:
    """min(x, 0)."""
    return x.gt(0.0).select(0.0, x)


@vector_function
def blended(x: V, f: V, a: V) -> V:
    """x + a (f - x)."""
    return (f - x).fma(a, x)


@inlined
def gain_of(op, panel, z):
    """This panel's line of `gain`."""
    if op.shared != 0:
        return fill(get_real(op.gain, z))
    return load(op.gain + panel * LINE, z)


@kernel(GainedOp)
def scale(op, me, r0, r1, z):
    """C = A ∘ `gain`, and `shifts` added where there are such: forward, vjp and jvp are this one product."""
    # A: (rows, N) in   C: (rows, N) out, may be A
    seen = zero_bits(z)
    for panel in range(op.panels):
        source = op.a.start + panel * op.a.stride
        target = op.c.start + panel * op.c.stride
        gain = gain_of(op, panel, z)
        if op.shifts != 0:
            shift = load(op.shifts + panel * LINE, z)
            for o in range(r0 * LINE, r1 * LINE, LINE):
                y = add_product(shift, load(source + o, z), gain)
                seen = magnitude_bits(seen, y)
                store(target + o, y)
            continue
        for o in range(r0 * LINE, r1 * LINE, LINE):
            y = times(load(source + o, z), gain)
            seen = magnitude_bits(seen, y)
            store(target + o, y)
    keep_largest(op, me, seen)


@kernel(GainedOp)
def prelu(op, me, r0, r1, z):
    """C = A bent by `gain` where Y <= 0: forward with Y = A, vjp and jvp with the saved input for Y."""
    # A, Y: (rows, N) in   C: (rows, N) out, may be A
    seen = zero_bits(z)
    for panel in range(op.panels):
        source = op.a.start + panel * op.a.stride
        target = op.c.start + panel * op.c.stride
        saved = op.y.start + panel * op.y.stride
        gain = gain_of(op, panel, z)
        for o in range(r0 * LINE, r1 * LINE, LINE):
            y = bent(load(source + o, z), load(saved + o, z), gain)
            seen = magnitude_bits(seen, y)
            store(target + o, y)
    keep_largest(op, me, seen)


@kernel(GainedOp)
def parametric(op, me, r0, r1, z):
    """C = A + `gain` ∘ (Y - A): forward with Y = f(A), vjp and jvp with Y = A ∘ f'(x)."""
    # A, Y: (rows, N) in   C: (rows, N) out, may be A or Y
    seen = zero_bits(z)
    for panel in range(op.panels):
        source = op.a.start + panel * op.a.stride
        target = op.c.start + panel * op.c.stride
        other = op.y.start + panel * op.y.stride
        gain = gain_of(op, panel, z)
        for o in range(r0 * LINE, r1 * LINE, LINE):
            y = blended(load(source + o, z), load(other + o, z), gain)
            seen = magnitude_bits(seen, y)
            store(target + o, y)
    keep_largest(op, me, seen)


@inlined
def one_number(out, panels, z):
    """Bring the sums of all columns at `out` together in the first number of the first line."""
    summed = fill(z)
    for panel in range(panels):
        summed = add(summed, load(out + panel * LINE, z))
    store(out, keep_first(fill(total(summed)), 1, z))


@inlined
def deliver(layer, head, me, p0, p1, gains, biases, z):
    """Hand over the finished lines of panels p0 to p1, unless they are only looked at."""
    largest = me.largest
    if found_bad(layer, head, me, largest, z):
        return
    if layer.weight.offset >= 0:
        count = 1 if layer.shared != 0 else p1 - p0
        hand_over(head, me, layer.weight, gains, layer.weight.offset + p0 * LINE, count, z)
    if layer.bias.offset >= 0:
        hand_over(head, me, layer.bias, biases, layer.bias.offset + p0 * LINE, p1 - p0, z)


@inlined
def sum_columns(task, me, rows, bent, z):
    """Σ_b d ∘ x, or where it is `bent` Σ_b d ∘ min(x, 0), and Σ_b d where there are biases, for some panels."""
    # X, D of the layer: (B, N) in
    head = me.head
    layer = task.layer
    p0 = task.p0
    p1 = task.p1
    largest = me.largest
    scratch = me.scratch
    weighed, biased = layer.weight.offset >= 0, layer.bias.offset >= 0
    lines = (p1 - p0) * (1 + biased)
    level = 0
    for shard in range(shard_count(head)):
        first, end = first_row(head, shard, rows), first_row(head, shard + 1, rows)
        gains = scratch + level * me.level
        clear_lines(gains, lines, z)
        if weighed:
            for panel in range(p0, p1):
                summed = fill(z)
                record = layer
                while exists(record):
                    x = record.x.start + panel * record.x.stride
                    d = record.d.start + panel * record.d.stride
                    for o in range(first * LINE, end * LINE, LINE):
                        factor = load(x + o, z)
                        if bent:
                            factor = negative(factor)
                        summed = add_product(summed, load(d + o, z), factor)
                    record = record.more
                store(gains + (panel - p0) * LINE, summed)
                note_line(largest, summed, z)
            if layer.shared != 0:
                one_number(gains, p1 - p0, z)
                note_line(largest, load(gains, z), z)
        if biased:
            gradient_biases(layer, p0, p1, first, end, gains + (p1 - p0) * LINE, largest, z)
        level = merged(scratch, me.level, level, shard, lines, largest, z)
    deliver(layer, head, me, p0, p1, scratch, scratch + (p1 - p0) * LINE, z)


@kernel(Tile)
def columns(task, me, r0, r1, z):
    """Σ_b d ∘ x, and Σ_b d where there are biases, for some panels; then the update."""
    sum_columns(task, me, r1, False, z)


@kernel(Tile)
def prelu_columns(task, me, r0, r1, z):
    """Σ_b d ∘ min(x, 0) for some panels; then the update."""
    sum_columns(task, me, r1, True, z)
