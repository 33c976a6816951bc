"""Twins of the losses: the loss of every row, and the cotangent that the way back begins with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import reference
from fastbp.engine.memory import view
from fastbp.lowering.check.call import Call
from fastbp.lowering.check.formulas import formula, loss_and_slope
from fastbp.lowering.check.ops import ULPS, twin
from fastbp.lowering.check.values import Output, summing

Array = NDArray[Any]


def _weights(call: Call, rows: Array) -> Array:
    """ω of the rows of this call."""
    address = call.head.data.weights
    return view(address, (int(rows.max()) + 1,), np.float64)[rows] if address else np.ones(len(rows))


def _labels(call: Call, rows: Array) -> Array:
    return view(call.given.targets.start, (int(rows.max()) + 1,), np.int64)[rows]


def _delivered(call: Call, losses: Array, slopes: Array, loss_bound: Array, slope_bound: Array) -> list[Output]:
    """ω ℓ of each row, and ω times the batch's scale times the slopes."""
    width = call.op.width
    omega = _weights(call, call.user_rows())
    factor = (omega * call.head.step.scale)[:, None]
    must = slopes * factor
    bound = np.abs(factor) * slope_bound + 4.0 * call.eps * np.abs(must)
    row_loss = losses * omega
    return [
        call.whole(must, bound, width),
        call.row_out(
            "the loss", call.head.step.row_loss, row_loss, omega * loss_bound + 4.0 * call.eps * np.abs(row_loss)
        ),
    ]


# --- of numbers ------------------------------------------------------------------------------------------------------


def loss_of_numbers(call: Call) -> list[Output]:
    """A loss by the functions of its name in `reference`; how far it may be off is known from the formula of its class,
    gate by gate.
    """
    width, loss, name = call.op.width, call.loss, call.given.name
    told = {key: value for key, value in loss.settings().items() if key != "reduction"}
    z, rows = call.read(call.op.a, width), call.user_rows()
    t = call.user(call.given.targets, rows, width)
    a = np.broadcast_to(np.asarray(loss.lines(width)[0], call.dtype).astype(np.float64), z.shape)
    per_row = loss.constants(width)[1]
    (value, off), (_, slope_off) = loss_and_slope(loss.formula, call.eps, z, t, a)
    losses = getattr(reference, f"{name}_rows")(z, t, **told)
    slopes = getattr(reference, name)(z, t, None, "sum", **told)[1]
    off = off + (summing(width) + 4.0) * call.eps * np.abs(value)
    return _delivered(call, losses, slopes, per_row * off.sum(axis=1), per_row * slope_off)


@twin("dot")
def dot(call: Call) -> list[Output]:
    """The product with a cotangent."""
    z = call.read(call.op.a, call.op.width)
    t = call.user(call.given.targets, call.user_rows(), call.op.width)
    bound = (summing(call.op.width) + 4.0) * call.eps * np.abs(z * t).sum(axis=1)
    return _delivered(call, (z * t).sum(axis=1), t, bound, np.zeros(t.shape))


@twin("gaussian_nll")
def gaussian_nll(call: Call) -> list[Output]:
    """A mean and a log variance s go with each target; exp(-s) may be off by as many units as |s|."""
    z = call.read(call.op.a, call.op.width)
    t = call.user(call.given.targets, call.user_rows(), call.op.width // 2)
    losses, slopes = reference.gaussian_nll_rows(z, t), reference.gaussian_nll(z, t, None, "sum")[1]
    m, s = np.split(z, 2, axis=1)
    count, near = t.shape[1], ULPS + np.abs(s)
    slope, square = np.abs(m - t) * np.exp(-s), (m - t) ** 2 * np.exp(-s)
    value = near * square + (summing(count) + 4.0) * (np.abs(s) + square)
    slope_off = np.concatenate([near * slope, near * square + 1.0], axis=1)
    return _delivered(call, losses, slopes, call.eps * value.mean(axis=1), call.eps * slope_off / count)


def custom_loss(call: Call) -> list[Output]:
    """A user's formula and its slope, averaged over the outputs."""
    width = call.op.width
    z = call.read(call.op.a, width)
    t = call.user(call.given.targets, call.user_rows(), width)
    (value, off), (slope, slope_off) = formula(call.given.name, call.eps, z, t)
    sizes = off + (summing(width) + 8.0) * call.eps * np.abs(value)
    return _delivered(call, value.mean(axis=1), slope / width, sizes.mean(axis=1), slope_off / width)


# --- of classes ------------------------------------------------------------------------------------------------------


@twin("cross_entropy", "cross_entropy_smoothed", "cross_entropy_probabilities")
def cross_entropy(call: Call) -> list[Output]:
    width, loss, rows = call.op.width, call.loss, call.user_rows()
    z = call.read(call.op.a, width)
    kernel = call.given.name
    told: tuple[Any, ...] = ()
    if kernel != "cross_entropy":  # there ω is all that class weights come to
        weights = np.ones(width)
        for label, weight in loss.class_weights or ():
            weights[label] = weight
        part = call.head.step.smoothing if call.head.step.smoothings else 1.0
        told = loss.label_smoothing * part, weights
    if kernel == "cross_entropy_probabilities":
        y: Array = call.user(call.given.targets, rows, width)
    else:
        y = _labels(call, rows)
    losses = reference.cross_entropy_rows(z, y, *told)
    slopes = reference.cross_entropy(z, y, None, "sum", *told)[1]
    p, below = reference.softmax_forward(z), z.max(axis=1, keepdims=True) - z
    q = _classes(y, *told) if told else np.eye(width)[y]
    of_row = q.sum(axis=1, keepdims=True)
    summed = np.log(np.exp(-below).sum(axis=1, keepdims=True))  # of the exponentials
    spread = summing(width) + 8.0 + below + (p * below).sum(axis=1, keepdims=True)  # of exp(-below), and of their sum
    slope_off = spread * p * of_row + 2.0 * np.abs(slopes) + (4.0 * q if told else 0.0)
    loss_off = of_row * (summing(width) + 8.0 + summed + (p * below).sum(axis=1, keepdims=True))
    loss_off = loss_off.sum(axis=1) + (q * (summing(width) * (summed + below) + 4.0 * below)).sum(axis=1)
    return _delivered(call, losses, slopes, call.eps * loss_off, call.eps * slope_off)


def _classes(y: Array, smoothing: float, weights: Array) -> Array:
    """q of each class: what the cross-entropy of each row is taken against."""
    t = y if y.ndim == 2 else np.eye(len(weights))[y]
    return np.asarray(weights * ((1.0 - smoothing) * t + smoothing / len(weights)))


@twin("multi_margin")
def multi_margin(call: Call) -> list[Output]:
    width, loss, rows = call.op.width, call.loss, call.user_rows()
    z, y = call.read(call.op.a, width), _labels(call, rows)
    losses = reference.multi_margin_rows(z, y, loss.p, loss.margin)
    slopes = reference.multi_margin(z, y, None, "sum", loss.p, loss.margin)[1]
    label = np.arange(len(z)), y
    size = np.abs(z) + np.abs(z[label])[:, None] + loss.margin
    over = z - z[label][:, None] + loss.margin
    off = ULPS * call.eps * size
    slope_off = 2.0 * off if loss.p == 2 else np.where(np.abs(over) <= off, 1.0, 4.0 * call.eps)
    slope_off[label] = 0.0
    slope_off[label] = slope_off.sum(axis=1) + (summing(width) + 4.0) * call.eps * np.abs(slopes[label]) * width
    losses_off = (2.0 * np.maximum(over, 0.0) * off if loss.p == 2 else off).sum(axis=1) + width * call.eps * losses
    return _delivered(call, losses, slopes, losses_off, slope_off / width)


@twin("join_losses")
def join_losses(call: Call) -> list[Output]:
    op = call.op
    own = call.numbers_of_rows(call.head.step.row_loss) * call.real(op.weight)
    before = call.numbers_of_rows(op.sums) if op.output else np.zeros(call.rows)
    must, bound = before + own, 2.0 * call.eps * (np.abs(before) + np.abs(own))
    out = [call.row_out("the sum of losses", op.sums, must, bound)]
    out += [call.row_out("the loss", call.head.step.row_loss, must, bound)] if op.last else []
    return [replace(output, reads=True) for output in out]
