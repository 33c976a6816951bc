"""Twins of the ops in which the numbers of a row or of a column hang together: norms and softmax.

With N numbers that hang together, u the unit of rounding and s = (summing(N) + 4) u: a mean is off by s mean|x|, so a
centred number d by δ = s (|x| + mean|x|), the variance by 2 mean(|d| δ) + mean δ² + s var, and a normalised number by
r δ + |n| times half the relative error of var + ε.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import reference
from fastbp.lowering.check.call import Call
from fastbp.lowering.check.ops import ULPS, twin
from fastbp.lowering.check.values import Output, summing

Array = NDArray[Any]


def _mean(x: Array, axis: int) -> Array:
    return np.asarray(x.mean(axis=axis, keepdims=True))


def _centred(x: Array, axis: int, centre: bool, eps: float) -> tuple[Array, Array]:
    """What is left of numbers when their mean is taken away, and how far that may be off."""
    if not centre:
        return x, np.zeros(x.shape)
    bound = (summing(x.shape[axis]) + 4.0) * eps * (np.abs(x) + _mean(np.abs(x), axis))
    return x - _mean(x, axis), bound


def _variance(d: Array, off: Array, axis: int, eps: float) -> tuple[Array, Array]:
    """The mean of squares, and how far that may be off."""
    var = _mean(np.square(d), axis)
    own = (summing(d.shape[axis]) + 4.0) * eps * var
    return var, 2.0 * _mean(np.abs(d) * off, axis) + _mean(np.square(off), axis) + own


def _gains(call: Call, width: int | None = None) -> tuple[Array | None, Array | None]:
    """γ and β of this call's columns, as far as there are such."""
    gain, shifts = (call.lines(at)[:width] if at else None for at in (call.op.gain, call.op.shifts))
    return gain, shifts


def _affine(n: Array, off: Array, gain: Array | None, shifts: Array | None, eps: float) -> tuple[Array, Array]:
    """γ n + β, and how far that may be off."""
    g = np.ones(n.shape[1]) if gain is None else gain
    b = np.zeros(n.shape[1]) if shifts is None else shifts
    y = n * g + b
    return y, np.abs(g) * off + 2.0 * eps * (np.abs(n * g) + np.abs(b))


def _row_norm(name: str, centre: bool) -> None:
    def forward(call: Call) -> list[Output]:
        op, width = call.op, call.op.width
        x = call.read(op.a, width)
        d, off = _centred(x, 1, centre, call.eps)
        var, var_off = _variance(d, off, 1, call.eps)
        r = 1.0 / np.sqrt(var + op.eps)
        r_off = r * (0.5 * var_off * r * r + 4.0 * call.eps)
        n, gains = d * r, _gains(call, width)
        n_off = off * r + np.abs(d) * r_off + 2.0 * call.eps * np.abs(n)
        of = (
            reference.layer_norm_forward(x, *gains, op.eps)
            if centre
            else reference.rms_norm_forward(x, gains[0], op.eps)
        )
        _, y_off = _affine(n, n_off, *gains, call.eps)
        out = [call.whole(of, y_off, width)]
        if op.y.start != op.c.start:
            out.append(call.out(call.padded(n, width), call.padded(n_off, width), "y"))
        return [*out, call.row_out("1 / σ", op.sums, r[:, 0], r_off[:, 0])]

    def pulled(call: Call, before: bool) -> list[Output]:
        op, width = call.op, call.op.width
        d, n = call.read(op.a, width), call.read(op.y, width)
        r = call.numbers_of_rows(op.sums)[:, None]
        gain, _ = _gains(call, width)
        g = np.ones(width) if gain is None else gain
        u = d * g if before else d
        middle = _mean(u, 1) if centre else 0.0
        must = r * (u - middle - n * _mean(u * n, 1))
        size = r * (np.abs(u) + (_mean(np.abs(u), 1) if centre else 0.0) + np.abs(n) * _mean(np.abs(u * n), 1))
        bound = (summing(width) + 8.0) * call.eps * size
        return [call.whole(*((must, bound) if before else (must * g, bound * np.abs(g))), width)]

    twin(f"{name}_forward")(forward)
    twin(f"{name}_vjp")(lambda call: pulled(call, True))
    twin(f"{name}_jvp")(lambda call: pulled(call, False))


_row_norm("layer_norm", True)
_row_norm("rms_norm", False)


# --- batch norm ------------------------------------------------------------------------------------------------------


@twin("batch_norm_statistics")
def batch_norm_statistics(call: Call) -> list[Output]:
    x = call.a()
    d, off = _centred(x, 0, True, call.eps)
    var, var_off = _variance(d, off, 0, call.eps)
    mean_off = (summing(len(x)) + 4.0) * call.eps * _mean(np.abs(x), 0)
    return [
        call.line_out("the mean", call.op.mean, _mean(x, 0)[0], mean_off[0]),
        call.line_out("the variance", call.op.variance, var[0], var_off[0]),
    ]


def _r(call: Call) -> Array:
    return np.asarray(1.0 / np.sqrt(call.lines(call.op.variance) + call.real(call.op.eps)))


@twin("batch_norm_forward")
def batch_norm_forward(call: Call) -> list[Output]:
    op, x = call.op, call.a()
    mean, r = call.lines(op.mean), _r(call)
    gains, var = _gains(call), call.lines(op.variance)
    n = (x - mean) * r
    n_off = ULPS * call.eps * np.abs(n)
    y = reference.batch_norm_inference(x, *gains, mean, var, call.real(op.eps))
    _, y_off = _affine(n, n_off, *gains, call.eps)
    out = [call.out(y, y_off)]
    return out if op.y.start == op.c.start else [*out, call.out(n, n_off, "y")]


@twin("batch_norm_sums")
def batch_norm_sums(call: Call) -> list[Output]:
    d, n = call.a(), call.y()
    terms = (summing(len(d)) + 4.0) * call.eps
    return [
        call.line_out("Σ dy", call.op.sum_d, d.sum(0), terms * np.abs(d).sum(0)),
        call.line_out("Σ dy ∘ n", call.op.sum_dx, (d * n).sum(0), terms * np.abs(d * n).sum(0)),
    ]


@twin("batch_norm_vjp")
def batch_norm_vjp(call: Call) -> list[Output]:
    op, d, n, rows = call.op, call.a(), call.y(), call.head.data.rows
    gain, _ = _gains(call)
    slope = _r(call) * (1.0 if gain is None else gain)
    sum_d, sum_dx = call.lines(op.sum_d), call.lines(op.sum_dx)
    must = slope * (d - (sum_d + n * sum_dx) / rows)
    size = np.abs(slope) * (np.abs(d) + (np.abs(sum_d) + np.abs(n * sum_dx)) / rows)
    return [call.out(must, ULPS * call.eps * size)]


@twin("batch_norm_slope")
def batch_norm_slope(call: Call) -> list[Output]:
    gain, _ = _gains(call)
    must = call.a() * _r(call) * (1.0 if gain is None else gain)
    return [call.out(must, ULPS * call.eps * np.abs(must))]


# --- softmax ---------------------------------------------------------------------------------------------------------


@twin("softmax_forward")
def softmax_forward(call: Call) -> list[Output]:
    width, x = call.op.width, call.read(call.op.a, call.op.width)
    must = reference.softmax_forward(x)
    below = x.max(axis=1, keepdims=True) - x
    spread = below + (must * below).sum(axis=1, keepdims=True)
    return [call.whole(must, call.eps * must * (summing(width) + 8.0 + spread), width)]


@twin("softmax_vjp")
def softmax_vjp(call: Call) -> list[Output]:
    width = call.op.width
    d, y = (call.read(m, width) for m in (call.op.a, call.op.y))
    size = y * (np.abs(d) + (y * np.abs(d)).sum(axis=1, keepdims=True))
    return [call.whole(reference.softmax_vjp(d, y), (summing(width) + 6.0) * call.eps * np.abs(size), width)]


@twin("log_softmax_forward")
def log_softmax_forward(call: Call) -> list[Output]:
    width, x = call.op.width, call.read(call.op.a, call.op.width)
    must = reference.log_softmax_forward(x)
    top = np.abs(x).max(axis=1, keepdims=True)
    return [call.whole(must, call.eps * (summing(width) + 8.0 + 4.0 * top + 2.0 * np.abs(must)), width)]


@twin("log_softmax_vjp")
def log_softmax_vjp(call: Call) -> list[Output]:
    width = call.op.width
    d, y = (call.read(m, width) for m in (call.op.a, call.op.y))
    size = np.abs(d) + np.exp(y) * np.abs(d).sum(axis=1, keepdims=True)
    return [call.whole(reference.log_softmax_vjp(d, y), (summing(width) + 6.0) * call.eps * size, width)]


@twin("log_softmax_jvp")
def log_softmax_jvp(call: Call) -> list[Output]:
    width = call.op.width
    t, y = (call.read(m, width) for m in (call.op.a, call.op.y))
    size = np.abs(t) + (np.exp(y) * np.abs(t)).sum(axis=1, keepdims=True)
    return [call.whole(reference.log_softmax_jvp(t, y), (summing(width) + 6.0) * call.eps * size, width)]
