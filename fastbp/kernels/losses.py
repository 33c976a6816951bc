"""Losses of numbers, each fused with its gradient: one pass over a row takes the loss and leaves dz for the way back.

With e = z - t, t the target; N numbers in a row:

    mse           ℓ = Σ e² / N                              dz = 2 e / N
    half_mse      ℓ = ½ Σ e²                                dz = e
    mae           ℓ = Σ |e| / N                             dz = sign(e) / N
    huber         ℓ = Σ h(e) / N                            dz = clip(e, ±δ) / N
                  h = e²/2 if |e| <= δ else δ (|e| - δ/2)   (Huber, 1964)
    quantile      ℓ = Σ max(-q e, (1 - q) e) / N            dz = (-q if e < 0, 1 - q if e > 0) / N
    log_cosh      ℓ = Σ log cosh e / N                      dz = tanh(e) / N
    poisson       ℓ = Σ (exp(z) - t z) / N                  dz = (exp(z) - t) / N
    binary_cross_entropy                                    with logits, p = σ(z), positives weighted by c:
                  ℓ = Σ ((1 - t) z + w log(1 + exp(-z))) / N,  w = 1 + (c - 1) t,  dz = ((1 - t) - w (1 - p)) / N
    gaussian_nll  ℓ = Σ ½ (s + (t - m)² exp(-s)) / N        z = (m, s), s the log variance
                  dm = (m - t) exp(-s) / N,                 ds = ½ (1 - (t - m)² exp(-s)) / N
    dot           ℓ = Σ z t                                 dz = t

The loss of a batch is Σ_b ω_b ℓ_b / Σ_b ω_b, or without the division where it is a sum: every dz is multiplied with
ω_b times the step's `scale`, and `row_loss` gets ω_b ℓ_b. The ω are 1 unless rows have weights.

A network with several outputs has a loss for each, and Σ_o w_o ℓ_o of a row is put together behind them; dz_o is
multiplied with w_o.
"""

from __future__ import annotations

from collections.abc import Callable

from fastbp.kernels import functions
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.lines import add, keep_largest, magnitude_bits, total, valid_lanes
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
from fastbp.kernels.ops import JoinOp, LossOp
from fastbp.kernels.rows import row_of
from fastbp.kernels.vector import LINE, V, vector_function
from fastbp.kernels.words import exists

LOG_2 = 0.6931471805599453


@inlined
def row_weight(head, me, r):
    """ω of row r of the buffers."""
    weights = head.data.weights
    return weights[row_of(head, me, r)] if exists(weights) else 1.0


def loss(name: str, formula: Callable[[V, V, V], tuple[V, V]]) -> None:
    """Make the kernel `name` from the loss of one number and its derivative.

    `formula(z, t, a)` gets a line of `gain` as a. Derivatives are multiplied by `setting_1`, the sum of a row by
    `setting_2`.
    """

    def scaled(z: V, t: V, a: V, factor: V) -> tuple[V, V]:
        value, slope = formula(z, t, a)
        return value, slope * factor

    of_line = vector_function(scaled, count=2)

    def of_rows(op, me, r0, r1, z):
        # A: (rows, N) in   C: (rows, N) out   `targets`: (·, N) row-major in   `row_loss`: (rows,) out
        head = me.head
        width = op.width
        item = bytes_of(z)
        in_line = LINE // item
        slope = op.setting_1 * head.step.scale
        row_loss = head.step.row_loss
        seen = zero_bits(z)
        for r in range(r0, r1):
            weight = row_weight(head, me, r)
            factor = as_real(slope * weight, z)
            targets = op.targets.start + row_of(head, me, r) * op.targets.stride
            summed = fill(z)
            for panel in range(op.panels):
                line = load(op.a.start + panel * op.a.stride + r * LINE, z)
                count = valid_lanes(panel, width, in_line)
                t = load_first(targets + panel * LINE, count, z)
                a = load(op.gain + panel * LINE, z)
                value, d = of_line(keep_first(line, count, z), t, a, factor)
                summed = add(summed, keep_first(value, count, z))
                d = keep_first(d, count, z)
                seen = magnitude_bits(seen, d)
                store(op.c.start + panel * op.c.stride + r * LINE, d)
            put_real(row_loss + r * item, total(summed) * as_real(op.setting_2 * weight, z))
        keep_largest(op, me, seen)

    of_rows.__name__ = name
    kernel(LossOp)(of_rows)


def squared(z: V, t: V, a: V) -> tuple[V, V]:
    e = z - t
    return e * e, e


def sign(e: V, above: float | V, below: float | V) -> V:
    """`above` where e > 0, `below` where e < 0, e itself elsewhere, which is 0 or NaN."""
    return e.gt(0.0).select(above, e.lt(0.0).select(below, e))


def absolute(z: V, t: V, a: V) -> tuple[V, V]:
    e = z - t
    return e.abs(), sign(e, 1.0, -1.0)


def huber(z: V, t: V, delta: V) -> tuple[V, V]:
    e = z - t
    size = e.abs()
    near = e * e * 0.5
    far = delta * delta.fma(-0.5, size)
    slope = e.gt(delta).select(delta, e.lt(-delta).select(-delta, e))
    return size.gt(delta).select(far, near), slope


def quantile(z: V, t: V, q: V) -> tuple[V, V]:
    e = z - t
    slope = sign(e, 1.0 - q, -q)
    return e * slope, slope


def log_cosh(z: V, t: V, a: V) -> tuple[V, V]:
    e = z - t
    size = e.abs()
    # log cosh e = |e| + log(1 + exp(-2|e|)) - log 2; below 1/4 by its series, as the sum would cancel
    square = e * e
    series = square * square.fma(square.fma(square.fma(-17.0 / 2520.0, 1.0 / 45.0), -1.0 / 12.0), 0.5)
    far = size + (functions.log1p(functions.exp(size * -2.0)) - LOG_2)
    return size.lt(LOG_COSH_SERIES if z.is_float32 else 0.0).select(series, far), functions.tanh(e)


LOG_COSH_SERIES = 0.25


def poisson(z: V, t: V, a: V) -> tuple[V, V]:
    rate = functions.exp(z)
    return (-t).fma(z, rate), rate - t


def binary_cross_entropy(z: V, t: V, positive: V) -> tuple[V, V]:
    weight = (positive - 1.0).fma(t, 1.0)
    value = (1.0 - t).fma(z, weight * functions.softplus(-z))
    return value, (-weight).fma(functions.sigmoid(-z), 1.0 - t)


loss("dot", lambda z, t, a: (z * t, t))
loss("mse", squared)
loss("half_mse", squared)
loss("mae", absolute)
loss("huber", huber)
loss("quantile", quantile)
loss("log_cosh", log_cosh)
loss("poisson", poisson)
loss("binary_cross_entropy", binary_cross_entropy)


@vector_function(count=3)
def gaussian(m: V, s: V, t: V, factor: V) -> tuple[V, V, V]:
    """½ (s + (t - m)² / σ²), and its derivatives in m and s times `factor`."""
    precision = functions.exp(-s)
    e = m - t
    square = e * e * precision
    return (s + square) * 0.5, e * precision * factor, (1.0 - square) * 0.5 * factor


@kernel(LossOp)
def gaussian_nll(op, me, r0, r1, z):
    """Columns n of A are means, columns N + n their log variances."""
    # A: (rows, 2N) in   C: (rows, 2N) out   `targets`: (·, N) row-major in   `row_loss`: (rows,) out
    head = me.head
    numbers = op.width // 2
    item = bytes_of(z)
    in_line = LINE // item
    slope = op.setting_1 * head.step.scale
    seen = zero_bits(z)
    lines = me.work
    for r in range(r0, r1):
        weight = row_weight(head, me, r)
        factor = as_real(slope * weight, z)
        targets = op.targets.start + row_of(head, me, r) * op.targets.stride
        store(op.c.start + (op.panels - 1) * op.c.stride + r * LINE, fill(z))
        summed = fill(z)
        for first in range(0, numbers, in_line):
            count = min(in_line, numbers - first)
            for part in range(2):  # the two halves of a row begin at different lanes, so they are put together
                store(lines + part * LINE, fill(z))
                for j in range(count):
                    column = part * numbers + first + j
                    at = op.a.start + column // in_line * op.a.stride + r * LINE + column % in_line * item
                    put_real(lines + part * LINE + j * item, get_real(at, z))
            t = load_first(targets + first * item, count, z)
            value, dm, ds = gaussian(load(lines, z), load(lines + LINE, z), t, factor)
            summed = add(summed, keep_first(value, count, z))
            dm, ds = keep_first(dm, count, z), keep_first(ds, count, z)
            seen = magnitude_bits(seen, dm)
            seen = magnitude_bits(seen, ds)
            store(lines, dm)
            store(lines + LINE, ds)
            for part in range(2):
                for j in range(count):
                    column = part * numbers + first + j
                    at = op.c.start + column // in_line * op.c.stride + r * LINE + column % in_line * item
                    put_real(at, get_real(lines + part * LINE + j * item, z))
        row = total(summed) * as_real(op.setting_2 * weight, z)
        put_real(head.step.row_loss + r * item, row)
    keep_largest(op, me, seen)


@kernel(JoinOp)
def join_losses(op, me, r0, r1, z):
    """Add `weight` times each row's loss to what `sums` has; 0 there before the first, to `row_loss` after the last."""
    # `row_loss`: (rows,) in and out   `sums`: (rows,) in and out
    item = bytes_of(z)
    weight = as_real(op.weight, z)
    row_loss = me.head.step.row_loss
    for r in range(r0, r1):
        before = z if op.output == 0 else get_real(op.sums + r * item, z)
        joined = before + weight * get_real(row_loss + r * item, z)
        put_real(op.sums + r * item, joined)
        if op.last != 0:
            put_real(row_loss + r * item, joined)
