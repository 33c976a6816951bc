"""Losses of classes, each fused with its gradient; z are K scores, p = softmax(z).

    cross_entropy    ℓ = log Σ_k exp(z_k) - z_y                      dz = p - y
    ..._smoothed     q_k = c_k (a [k = y] + b), a = 1 - ε, b = ε / K
    ..._probabilities  q_k = c_k (a t_k + b)                         for targets t that are probabilities
                     ℓ = Σ_k q_k (log Σ exp(z) - z_k)                dz = p Σ q - q
    multi_margin     ℓ = Σ_{k≠y} max(0, μ - z_y + z_k)ᵉ / K          dz_k = e max(0, ...)ᵉ⁻¹ / K, dz_y = -Σ_{k≠y} dz_k

∂/∂z_k log Σ exp(z) = exp(z_k) / Σ exp(z) = p_k is the whole Jacobian row of softmax followed by -log. The
exponentials are taken after the row's maximum is subtracted, so they are in [0, 1]. c are weights of classes. ε
smooths labels; with a schedule it is times f of the step: b f stands for b, and a + K b (1 - f) for a. Where only c is
at work the row's own weight carries c_y. How rows become the loss of a batch stands in `losses.py`.
"""

from __future__ import annotations

from fastbp.kernels import functions
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.lines import (
    add,
    add_product,
    keep_largest,
    larger,
    largest,
    magnitude_bits,
    times,
    total,
    valid_lanes,
)
from fastbp.kernels.losses import row_weight
from fastbp.kernels.memory import (
    as_real,
    bytes_of,
    fill,
    get_real,
    keep_first,
    load,
    load_first,
    put_real,
    store,
    zero_bits,
)
from fastbp.kernels.ops import LossOp
from fastbp.kernels.rows import row_of
from fastbp.kernels.softmax import exp_after, log_of
from fastbp.kernels.vector import LINE, V, vector_function
from fastbp.kernels.words import exists, words_at

MINUS_INFINITY = float("-inf")
NOT_A_NUMBER = float("nan")


@vector_function
def log_plus(total: V, rest: V) -> V:
    return functions.log(total) + rest


@inlined
def exponentials(op, r, z):
    """Write exp(z - top) of one row to C; returns top and their sum."""
    source = op.a.start + r * LINE
    target = op.c.start + r * LINE
    classes = op.width
    in_line = LINE // bytes_of(z)
    top = fill(as_real(MINUS_INFINITY, z))
    for panel in range(op.panels):
        line = load(source + panel * op.a.stride, z)
        count = valid_lanes(panel, classes, in_line)
        top = larger(top, keep_first(line, count, as_real(MINUS_INFINITY, z)))
    m = largest(top)
    summed = fill(z)
    for panel in range(op.panels):
        line = load(source + panel * op.a.stride, z)
        count = valid_lanes(panel, classes, in_line)
        e = keep_first(exp_after(line, m), count, z)
        summed = add(summed, e)
        store(target + panel * op.c.stride, e)
    return m, total(summed)


@inlined
def place(base, stride, r, label, z):
    """Where a label's number stands in row r."""
    item = bytes_of(z)
    in_line = LINE // item
    return base + label // in_line * stride + r * LINE + label % in_line * item


@kernel(LossOp)
def cross_entropy(op, me, r0, r1, z):
    """Softmax, -log and p - y for rows r0 to r1, a multiple of P rows apart from the batch's end."""
    # A: (rows, K) in   C: (rows, K) out   `targets`: one int64 a row in   `row_loss`: (rows,) out
    head = me.head
    classes = op.width
    item = bytes_of(z)
    in_line = LINE // item
    row_loss = head.step.row_loss
    sums = op.sums
    seen = zero_bits(z)
    for r in range(r0, r1):
        scale = as_real(head.step.scale * row_weight(head, me, r), z)
        m, s = exponentials(op, r, z)
        factor = scale / s
        for panel in range(op.panels):
            at = op.c.start + panel * op.c.stride + r * LINE
            p = times(load(at, z), factor)
            seen = magnitude_bits(seen, p)
            store(at, p)
        label = words_at(op.targets.start)[row_of(head, me, r)]
        put_real(sums + r * item, s)
        if label < 0 or label >= classes:  # checked before, but the array is the user's
            put_real(row_loss + r * item, as_real(NOT_A_NUMBER, z))
            continue
        hit = place(op.c.start, op.c.stride, r, label, z)
        put_real(hit, get_real(hit, z) - scale)
        put_real(row_loss + r * item, m - get_real(place(op.a.start, op.a.stride, r, label, z), z))
        if exists(head.data.weights):
            seen = magnitude_bits(seen, fill(scale))
    if not exists(head.data.weights):
        seen = magnitude_bits(seen, fill(as_real(head.step.scale, z)))  # what p - y can be at the label
    for r in range(r0, r1, in_line):
        at = row_loss + r * item
        store(at, log_plus(load(sums + r * item, z), load(at, z)))
    if exists(head.data.weights):
        for r in range(r0, r1):
            at = row_loss + r * item
            put_real(at, get_real(at, z) * as_real(row_weight(head, me, r), z))
    keep_largest(op, me, seen)


@vector_function
def after(z: V, top: V) -> V:
    return z - top


@vector_function
def mixed(t: V, weight: V, base: V) -> V:
    """q = a c t + b c."""
    return t.fma(weight, base)


@vector_function
def raised(a: V, b: V, rest: V) -> V:
    """The gain of smoothing that is less: c (1 - ε) + c ε / K · `rest`, K (1 - f)."""
    return b.fma(rest, a)


@vector_function
def pulled(e: V, q: V, all_q: V, inverse: V, scale: V) -> V:
    """(p Σq - q) scale, p = e / Σe."""
    return (e * inverse).fma(all_q, -q) * scale


@inlined
def soft_rows(of_labels, op, me, r0, r1, z):
    """Cross-entropy against q = `gain` ∘ t + `shifts`; t is a row of `targets`, or one at a label."""
    head = me.head
    classes = op.width
    panels = op.panels
    item = bytes_of(z)
    in_line = LINE // item
    seen = zero_bits(z)
    part, rest = as_real(1.0, z), as_real(0.0, z)
    if exists(head.step.smoothings):
        part, rest = as_real(head.step.smoothing, z), as_real(classes * (1.0 - head.step.smoothing), z)
    for r in range(r0, r1):
        weight = row_weight(head, me, r)
        scale = as_real(head.step.scale * weight, z)
        m, s = exponentials(op, r, z)
        row = row_of(head, me, r)
        label = words_at(op.targets.start)[row] if of_labels else 0
        targets = op.targets.start + row * op.targets.stride
        if label < 0 or label >= classes:
            put_real(head.step.row_loss + r * item, as_real(NOT_A_NUMBER, z))
            continue
        sums, products = fill(z), fill(z)
        for panel in range(panels):
            count = valid_lanes(panel, classes, in_line)
            b = load(op.shifts + panel * LINE, z)
            q = times(b, part)
            if not of_labels:
                t = load_first(targets + panel * LINE, count, z)
                q = mixed(t, raised(load(op.gain + panel * LINE, z), b, fill(rest)), q)
            line = keep_first(after(load(op.a.start + panel * op.a.stride + r * LINE, z), m), count, z)
            sums = add(sums, q)
            products = add_product(products, q, line)
        all_q, product = total(sums), total(products)
        extra = z
        if of_labels:
            extra = get_real(place(op.gain, LINE, 0, label, z), z)
            extra += get_real(place(op.shifts, LINE, 0, label, z), z) * rest
            all_q += extra
            product += extra * (get_real(place(op.a.start, op.a.stride, r, label, z), z) - m)
        inverse = as_real(1.0, z) / s
        for panel in range(panels):
            count = valid_lanes(panel, classes, in_line)
            b = load(op.shifts + panel * LINE, z)
            q = times(b, part)
            if not of_labels:
                t = load_first(targets + panel * LINE, count, z)
                q = mixed(t, raised(load(op.gain + panel * LINE, z), b, fill(rest)), q)
            at = op.c.start + panel * op.c.stride + r * LINE
            d = pulled(load(at, z), q, all_q, inverse, scale)
            seen = magnitude_bits(seen, d)
            store(at, d)
        if of_labels:
            hit = place(op.c.start, op.c.stride, r, label, z)
            put_real(hit, get_real(hit, z) - extra * scale)
        seen = magnitude_bits(seen, fill(all_q * scale))
        value = all_q * log_of(fill(s)) - product
        put_real(head.step.row_loss + r * item, value * as_real(weight, z))
    keep_largest(op, me, seen)


@kernel(LossOp)
def cross_entropy_smoothed(op, me, r0, r1, z):
    # A: (rows, K) in   C: (rows, K) out   `targets`: one int64 a row in   `row_loss`: (rows,) out
    soft_rows(True, op, me, r0, r1, z)


@kernel(LossOp)
def cross_entropy_probabilities(op, me, r0, r1, z):
    # A: (rows, K) in   C: (rows, K) out   `targets`: (·, K) row-major in   `row_loss`: (rows,) out
    soft_rows(False, op, me, r0, r1, z)


@vector_function(count=2)
def margin_line(z: V, below: V, square: V, factor: V) -> tuple[V, V]:
    """max(0, z - below)ᵉ and its derivative times `factor`; e is 2 where `square` is 1, else 1."""
    over = z - below
    over = over.le(0.0).select(0.0, over)
    slope = over.gt(0.0).select(square.gt(0.0).select(over + over, 1.0), over)
    return square.gt(0.0).select(over * over, over), slope * factor


@kernel(LossOp)
def multi_margin(op, me, r0, r1, z):
    """`setting_1` is μ, `setting_2` is 1 for the square."""
    # A: (rows, K) in   C: (rows, K) out   `targets`: one int64 a row in   `row_loss`: (rows,) out
    head = me.head
    classes = op.width
    item = bytes_of(z)
    in_line = LINE // item
    seen = zero_bits(z)
    margin, square = as_real(op.setting_1, z), as_real(op.setting_2, z)
    for r in range(r0, r1):
        weight = row_weight(head, me, r)
        factor = as_real(head.step.scale * weight / classes, z)
        label = words_at(op.targets.start)[row_of(head, me, r)]
        if label < 0 or label >= classes:
            put_real(head.step.row_loss + r * item, as_real(NOT_A_NUMBER, z))
            continue
        chosen = get_real(place(op.a.start, op.a.stride, r, label, z), z)
        below = chosen - margin
        work = me.work
        summed, slopes = fill(z), fill(z)
        for panel in range(op.panels):
            count = valid_lanes(panel, classes, in_line)
            store(work, load(op.a.start + panel * op.a.stride + r * LINE, z))
            if label // in_line == panel:
                put_real(work + label % in_line * item, below)  # the label is no rival of itself
            value, d = margin_line(load(work, z), below, square, factor)
            value, d = keep_first(value, count, z), keep_first(d, count, z)
            summed, slopes = add(summed, value), add(slopes, d)
            store(op.c.start + panel * op.c.stride + r * LINE, d)
        slope = total(slopes)
        put_real(place(op.c.start, op.c.stride, r, label, z), -slope)
        seen = magnitude_bits(seen, fill(slope))
        put_real(head.step.row_loss + r * item, total(summed) * as_real(weight / classes, z))
    keep_largest(op, me, seen)
