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
from fastbp.kernels.layout import (
    A_STRIDE,
    C_STRIDE,
    CHECKING,
    GAIN,
    HEAD,
    LARGEST_LINE,
    LAYER_MEAN,
    LAYER_MOMENTUM,
    LAYER_RUNNING_MEAN,
    LAYER_RUNNING_VARIANCE,
    LAYER_SUM_D,
    LAYER_SUM_DX,
    LAYER_VARIANCE,
    MEAN,
    PANELS,
    ROWS,
    SCRATCH,
    SETTING_1,
    SUM_D,
    SUM_DX,
    TILE_LAYER,
    TILE_P0,
    TILE_P1,
    VARIANCE,
    WORD,
    Y_STRIDE,
    A,
    C,
    Y,
)
from fastbp.kernels.lines import add, add_product, note_line, note_magnitude, subtract, times
from fastbp.kernels.memory import as_real, fill, get, get_double, load, store
from fastbp.kernels.norms import affine
from fastbp.kernels.vector import LINE, V, vector_function


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


@kernel
def batch_norm_statistics(op, me, r0, r1, z):
    """MEAN and VARIANCE of every column of A over rows r0 = 0 to r1 = B."""
    # A: (B, N) in   MEAN, VARIANCE: a line a panel out
    part = as_real(1.0 / (r1 - r0), z)
    for panel in range(get(op, PANELS)):
        x = get(op, A) + panel * get(op, A_STRIDE)
        summed = fill(z)
        for o in range(r0 * LINE, r1 * LINE, LINE):
            summed = add(summed, load(x + o, z))
        mean = times(summed, part)
        squares = fill(z)
        for o in range(r0 * LINE, r1 * LINE, LINE):
            d = subtract(load(x + o, z), mean)
            squares = add_product(squares, d, d)
        store(get(op, MEAN) + panel * LINE, mean)
        store(get(op, VARIANCE) + panel * LINE, times(squares, part))


@inlined
def slope_of(op, panel, z):
    """r of one panel's columns."""
    return inverse_root(load(get(op, VARIANCE) + panel * LINE, z), as_real(get_double(op, SETTING_1), z))


@kernel
def batch_norm_forward(op, me, r0, r1, z):
    """C = γ ∘ n + β and Y = n, by MEAN and VARIANCE."""
    # A: (rows, N) in   C, Y: (rows, N) out; Y may be C where there are no γ and β
    largest = me + LARGEST_LINE * WORD
    for panel in range(get(op, PANELS)):
        mean = load(get(op, MEAN) + panel * LINE, z)
        r = slope_of(op, panel, z)
        note_line(largest, mean, z)  # which running statistics learn, however small n is
        note_line(largest, load(get(op, VARIANCE) + panel * LINE, z), z)
        for o in range(r0 * LINE, r1 * LINE, LINE):
            n = normalised(load(get(op, A) + panel * get(op, A_STRIDE) + o, z), mean, r)
            note_line(largest, n, z)  # the gradient of γ is bounded by it
            store(get(op, Y) + panel * get(op, Y_STRIDE) + o, n)
            y = affine(op, panel, n, z)
            note_line(largest, y, z)
            store(get(op, C) + panel * get(op, C_STRIDE) + o, y)
    note_magnitude(op, me, z)


@kernel
def batch_norm_sums(op, me, r0, r1, z):
    """SUM_D = Σ dy and SUM_DX = Σ dy ∘ n over rows r0 = 0 to r1 = B."""
    # A: dy (B, N) in   Y: n in   SUM_D, SUM_DX: a line a panel out
    for panel in range(get(op, PANELS)):
        sums, products = fill(z), fill(z)
        for o in range(r0 * LINE, r1 * LINE, LINE):
            dy = load(get(op, A) + panel * get(op, A_STRIDE) + o, z)
            sums = add(sums, dy)
            products = add_product(products, dy, load(get(op, Y) + panel * get(op, Y_STRIDE) + o, z))
        store(get(op, SUM_D) + panel * LINE, sums)
        store(get(op, SUM_DX) + panel * LINE, products)


@kernel
def batch_norm_vjp(op, me, r0, r1, z):
    """C = γ r (A - (SUM_D + n SUM_DX) / B)."""
    # A: dy (rows, N) in   Y: n in   C: (rows, N) out
    largest = me + LARGEST_LINE * WORD
    part = as_real(1.0 / get(get(me, HEAD), ROWS), z)
    for panel in range(get(op, PANELS)):
        slope = slope_of(op, panel, z)
        if get(op, GAIN) != 0:
            slope = times(slope, load(get(op, GAIN) + panel * LINE, z))
        sums = load(get(op, SUM_D) + panel * LINE, z)
        products = load(get(op, SUM_DX) + panel * LINE, z)
        for o in range(r0 * LINE, r1 * LINE, LINE):
            dy = load(get(op, A) + panel * get(op, A_STRIDE) + o, z)
            n = load(get(op, Y) + panel * get(op, Y_STRIDE) + o, z)
            dx = pulled(dy, n, sums, products, part, slope)
            note_line(largest, dx, z)
            store(get(op, C) + panel * get(op, C_STRIDE) + o, dx)
    note_magnitude(op, me, z)


@kernel
def batch_norm_slope(op, me, r0, r1, z):
    """C = γ r A: vjp and jvp where MEAN and VARIANCE do not depend on the rows."""
    # A: (rows, N) in   C: (rows, N) out, may be A
    largest = me + LARGEST_LINE * WORD
    for panel in range(get(op, PANELS)):
        slope = slope_of(op, panel, z)
        if get(op, GAIN) != 0:
            slope = times(slope, load(get(op, GAIN) + panel * LINE, z))
        for o in range(r0 * LINE, r1 * LINE, LINE):
            y = times(load(get(op, A) + panel * get(op, A_STRIDE) + o, z), slope)
            note_line(largest, y, z)
            store(get(op, C) + panel * get(op, C_STRIDE) + o, y)
    note_magnitude(op, me, z)


@inlined
def next_mean(layer, panel, z):
    """A panel's running mean after this batch."""
    part, o = as_real(get_double(layer, LAYER_MOMENTUM), z), panel * LINE
    old, new = load(get(layer, LAYER_RUNNING_MEAN) + o, z), load(get(layer, LAYER_MEAN) + o, z)
    return learned(old, new, as_real(1.0, z), part)


@inlined
def next_variance(layer, panel, rows, z):
    """A panel's running variance after this batch of two rows or more."""
    part, o = as_real(get_double(layer, LAYER_MOMENTUM), z), panel * LINE
    old, new = load(get(layer, LAYER_RUNNING_VARIANCE) + o, z), load(get(layer, LAYER_VARIANCE) + o, z)
    return learned(old, new, as_real(rows / (rows - 1.0), z), part)


@inlined
def take_over(sums, panel, target, largest, z):
    """A panel's line of sums goes to `target`."""
    line = load(sums + panel * LINE, z)
    note_line(largest, line, z)
    store(target, line)


@kernel
def batch_norm_columns(task, me, r0, r1, z):
    """Hand dγ and dβ over, which are there already, and teach the running statistics."""
    head = get(me, HEAD)
    layer = get(task, TILE_LAYER)
    p0 = get(task, TILE_P0)
    p1 = get(task, TILE_P1)
    largest = me + LARGEST_LINE * WORD
    gains = get(me, SCRATCH)
    biases = gains + (p1 - p0) * LINE
    learning = get_double(layer, LAYER_MOMENTUM) > 0.0
    for panel in range(p0, p1):
        o = (panel - p0) * LINE
        take_over(get(layer, LAYER_SUM_DX), panel, gains + o, largest, z)
        take_over(get(layer, LAYER_SUM_D), panel, biases + o, largest, z)
        if learning:
            note_line(largest, next_mean(layer, panel, z), z)
        if learning and r1 > 1:
            note_line(largest, next_variance(layer, panel, r1, z), z)
    deliver(layer, head, me, p0, p1, gains, biases, z)
    if get(head, CHECKING) != 0 or not learning:
        return
    for panel in range(p0, p1):
        store(get(layer, LAYER_RUNNING_MEAN) + panel * LINE, next_mean(layer, panel, z))
        if r1 > 1:
            store(get(layer, LAYER_RUNNING_VARIANCE) + panel * LINE, next_variance(layer, panel, r1, z))
