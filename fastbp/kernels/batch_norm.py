"""Batch norm: every column is brought to mean 0 and variance 1, over the rows of the batch (Ioffe and Szegedy, 2015).

    forward   m = Σ_b x / B,  v = Σ_b (x - m)² / B,  r = 1 / √(v + ε),  n = (x - m) r,  y = γ ∘ n + β
    vjp       dβ = Σ_b dy,  dγ = Σ_b dy ∘ n,  dx = γ r (dy - (dβ + n dγ) / B)
    running   mean ← mean + μ (m - mean),  variance ← variance + μ (v B / (B - 1) - variance)

The rows of the batch hang together, so the row sweep is cut: a phase of columns takes m and v, the rows go on to the
loss and back, a phase of columns takes dβ and dγ, and the rows go on. Moving x moves m by mean dx and r by
-r mean(n ∘ dx), whence dx. Outside training m and v are the running ones, which do not depend on x: dx = γ r dy, and
ty = γ r tx. The running ones learn in the weight sweep, so a batch that is not used teaches them nothing; what they
would be is looked at with the gradients, since m - mean may overflow where n does not.
"""

from __future__ import annotations

from fastbp.kernels.columns import deliver
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.lines import add, add_product, keep_largest, magnitude_bits, note_line, subtract, times
from fastbp.kernels.memory import as_real, fill, load, store, zero_bits
from fastbp.kernels.norms import affine
from fastbp.kernels.ops import BatchNormOp, BatchNormSumsOp
from fastbp.kernels.records import Tile, TrainedNorm
from fastbp.kernels.shards import first_row, merged, whole_batch
from fastbp.kernels.vector import LINE, V, vector_function
from fastbp.kernels.words import at

batch_norm_layer = at(TrainedNorm)


@vector_function
def inverse_root(variance: V, eps: V) -> V:
    return 1.0 / (variance + eps).sqrt()


@vector_function
def normalised(x: V, mean: V, r: V) -> V:
    return (x - mean) * r


@vector_function
def pulled(dy: V, n: V, sum_d: V, sum_dx: V, part: V, slope: V) -> V:
    return slope * n.fma(sum_dx, sum_d).fma(-part, dy)


@vector_function
def learned(old: V, new: V, factor: V, part: V) -> V:
    """old + part (factor new - old)."""
    return new.fma(factor, -old).fma(part, old)


@inlined
def sum_down(x, first, end, z):
    """The sum of some rows of one panel."""
    summed = fill(z)
    for o in range(first * LINE, end * LINE, LINE):
        summed = add(summed, load(x + o, z))
    return summed


@inlined
def squares_down(x, mean, first, end, z):
    """The sum of their squared distances from the means."""
    squares = fill(z)
    for o in range(first * LINE, end * LINE, LINE):
        d = subtract(load(x + o, z), mean)
        squares = add_product(squares, d, d)
    return squares


@inlined
def total_of(x, me, r0, r1, z):
    """The sum of one panel's rows, shard by shard."""
    head = me.head
    if head.data.own <= 1:
        return sum_down(x, r0, r1, z)
    level = 0
    for shard in range(head.data.own):
        first, end = first_row(head, shard, r1), first_row(head, shard + 1, r1)
        store(me.scratch + level * me.level, sum_down(x, first, end, z))
        level = merged(me.scratch, me.level, level, shard, 1, me.work, z)
    return load(me.scratch, z)


@inlined
def squares_of(x, mean, me, r0, r1, z):
    """The sum of squared distances of one panel's rows from their means, shard by shard."""
    head = me.head
    if head.data.own <= 1:
        return squares_down(x, mean, r0, r1, z)
    level = 0
    for shard in range(head.data.own):
        first, end = first_row(head, shard, r1), first_row(head, shard + 1, r1)
        store(me.scratch + level * me.level, squares_down(x, mean, first, end, z))
        level = merged(me.scratch, me.level, level, shard, 1, me.work, z)
    return load(me.scratch, z)


@kernel(BatchNormSumsOp)
def batch_norm_statistics(op, me, r0, r1, z):
    """`mean` and `variance` of every column of A over rows r0 = 0 to r1 = B."""
    # A: (B, N) in   `mean`, `variance`: a line a panel out
    part = as_real(1.0 / (r1 - r0), z)
    for panel in range(op.panels):
        x = op.a.start + panel * op.a.stride
        mean = times(total_of(x, me, r0, r1, z), part)
        store(op.mean + panel * LINE, mean)
        store(op.variance + panel * LINE, times(squares_of(x, mean, me, r0, r1, z), part))


@kernel(BatchNormSumsOp)
def batch_norm_totals(op, me, r0, r1, z):
    """The sum of every column of A over this rank's rows, where all ranks make of them the mean."""
    # A: (B, N) in   `mean`: a line a panel out
    for panel in range(op.panels):
        store(op.mean + panel * LINE, total_of(op.a.start + panel * op.a.stride, me, r0, r1, z))


@kernel(BatchNormSumsOp)
def batch_norm_squares(op, me, r0, r1, z):
    """Of every column of A the sum of squared distances from `mean`, where all ranks make of them the variance."""
    # A: (B, N) in   `mean`: a line a panel in   `variance`: a line a panel out
    for panel in range(op.panels):
        mean = load(op.mean + panel * LINE, z)
        store(op.variance + panel * LINE, squares_of(op.a.start + panel * op.a.stride, mean, me, r0, r1, z))


@inlined
def slope_of(op, panel, z):
    """r of one panel's columns."""
    return inverse_root(load(op.variance + panel * LINE, z), as_real(op.eps, z))


@kernel(BatchNormOp)
def batch_norm_forward(op, me, r0, r1, z):
    """C = γ ∘ n + β and Y = n, by `mean` and `variance`."""
    # A: (rows, N) in   C, Y: (rows, N) out; Y may be C where there are no γ and β
    seen = zero_bits(z)
    for panel in range(op.panels):
        a = op.a.start + panel * op.a.stride
        c = op.c.start + panel * op.c.stride
        saved = op.y.start + panel * op.y.stride
        mean = load(op.mean + panel * LINE, z)
        r = slope_of(op, panel, z)
        seen = magnitude_bits(seen, mean)  # which running statistics learn, however small n is
        seen = magnitude_bits(seen, load(op.variance + panel * LINE, z))
        for o in range(r0 * LINE, r1 * LINE, LINE):
            n = normalised(load(a + o, z), mean, r)
            seen = magnitude_bits(seen, n)  # the gradient of γ is bounded by it
            store(saved + o, n)
            y = affine(op, panel, n, z)
            seen = magnitude_bits(seen, y)
            store(c + o, y)
    keep_largest(op, me, seen)


@inlined
def cotangents_down(op, panel, first, end, target, z):
    """Σ dy of some rows of one panel, and behind it Σ dy ∘ n."""
    a = op.a.start + panel * op.a.stride
    saved = op.y.start + panel * op.y.stride
    sums, products = fill(z), fill(z)
    for o in range(first * LINE, end * LINE, LINE):
        dy = load(a + o, z)
        sums = add(sums, dy)
        products = add_product(products, dy, load(saved + o, z))
    store(target, sums)
    store(target + LINE, products)


@kernel(BatchNormSumsOp)
def batch_norm_sums(op, me, r0, r1, z):
    """`sum_d` = Σ dy and `sum_dx` = Σ dy ∘ n over rows r0 = 0 to r1 = B."""
    # A: dy (B, N) in   Y: n in   `sum_d`, `sum_dx`: a line a panel out
    head = me.head
    for panel in range(op.panels):
        found = me.work
        if head.data.own <= 1:
            cotangents_down(op, panel, r0, r1, found, z)
        else:
            found = me.scratch
            level = 0
            for shard in range(head.data.own):
                first, end = first_row(head, shard, r1), first_row(head, shard + 1, r1)
                cotangents_down(op, panel, first, end, found + level * me.level, z)
                level = merged(found, me.level, level, shard, 2, me.work, z)
        store(op.sum_d + panel * LINE, load(found, z))
        store(op.sum_dx + panel * LINE, load(found + LINE, z))


@kernel(BatchNormOp)
def batch_norm_vjp(op, me, r0, r1, z):
    """C = γ r (A - (`sum_d` + n `sum_dx`) / B)."""
    # A: dy (rows, N) in   Y: n in   C: (rows, N) out
    seen = zero_bits(z)
    part = as_real(1.0 / whole_batch(me.head, me.head.data.rows), z)
    for panel in range(op.panels):
        a = op.a.start + panel * op.a.stride
        c = op.c.start + panel * op.c.stride
        slope = slope_of(op, panel, z)
        if op.gain != 0:
            slope = times(slope, load(op.gain + panel * LINE, z))
        saved = op.y.start + panel * op.y.stride
        sums = load(op.sum_d + panel * LINE, z)
        products = load(op.sum_dx + panel * LINE, z)
        for o in range(r0 * LINE, r1 * LINE, LINE):
            dx = pulled(load(a + o, z), load(saved + o, z), sums, products, part, slope)
            seen = magnitude_bits(seen, dx)
            store(c + o, dx)
    keep_largest(op, me, seen)


@kernel(BatchNormOp)
def batch_norm_slope(op, me, r0, r1, z):
    """C = γ r A: vjp and jvp where `mean` and `variance` do not depend on the rows."""
    # A: (rows, N) in   C: (rows, N) out, may be A
    seen = zero_bits(z)
    for panel in range(op.panels):
        a = op.a.start + panel * op.a.stride
        c = op.c.start + panel * op.c.stride
        slope = slope_of(op, panel, z)
        if op.gain != 0:
            slope = times(slope, load(op.gain + panel * LINE, z))
        for o in range(r0 * LINE, r1 * LINE, LINE):
            y = times(load(a + o, z), slope)
            seen = magnitude_bits(seen, y)
            store(c + o, y)
    keep_largest(op, me, seen)


@inlined
def next_mean(layer, panel, z):
    """A panel's running mean after this batch."""
    part, o = as_real(layer.momentum, z), panel * LINE
    old, new = load(layer.running_mean + o, z), load(layer.mean + o, z)
    return learned(old, new, as_real(1.0, z), part)


@inlined
def next_variance(layer, panel, rows, z):
    """A panel's running variance after this batch of two rows or more."""
    part, o = as_real(layer.momentum, z), panel * LINE
    old, new = load(layer.running_variance + o, z), load(layer.variance + o, z)
    return learned(old, new, as_real(rows / (rows - 1.0), z), part)


@inlined
def take_over(sums, panel, target, largest, z):
    """A panel's line of sums goes to `target`."""
    line = load(sums + panel * LINE, z)
    note_line(largest, line, z)
    store(target, line)


@kernel(Tile)
def batch_norm_columns(task, me, r0, r1, z):
    """Hand dγ and dβ over, which are there already, and teach the running statistics."""
    head = me.head
    layer = batch_norm_layer(task.layer)
    p0 = task.p0
    p1 = task.p1
    largest = me.largest
    gains = me.scratch
    biases = gains + (p1 - p0) * LINE
    rows = whole_batch(head, r1)
    learning = layer.momentum > 0.0
    for panel in range(p0, p1):
        o = (panel - p0) * LINE
        take_over(layer.sum_dx, panel, gains + o, largest, z)
        take_over(layer.sum_d, panel, biases + o, largest, z)
        if learning:
            note_line(largest, next_mean(layer, panel, z), z)
        if learning and rows > 1:
            note_line(largest, next_variance(layer, panel, rows, z), z)
    deliver(layer, head, me, p0, p1, gains, biases, z)
    if head.step.checking != 0 or not learning:
        return
    for panel in range(p0, p1):
        store(layer.running_mean + panel * LINE, next_mean(layer, panel, z))
        if rows > 1:
            store(layer.running_variance + panel * LINE, next_variance(layer, panel, rows, z))
