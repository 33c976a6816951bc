"""Twins of the losses: the loss of every row, and the cotangent that the way back begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import reference
from fastbp.engine.memory import view
from fastbp.lowering.check.call import Call
from fastbp.lowering.check.formulas import formula
from fastbp.lowering.check.ops import ULPS, twin
from fastbp.lowering.check.values import Output

Array = NDArray[Any]
Sizes = tuple[Array, Array]  # about the largest number on the way to the loss of each output, and to its slope


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


def _numbers(
    name: str, settings: Callable[[Any], tuple[Any, ...]], sizes: Callable[..., Sizes], parts: int = 1
) -> None:
    """The twin of a loss of numbers; `parts` outputs go with each target."""
    loss, of_rows = getattr(reference, name, None), getattr(reference, f"{name}_rows", None)

    def of_loss(call: Call) -> list[Output]:
        width = call.op.width
        z, rows = call.read(call.op.a, width), call.user_rows()
        t = call.user(call.given.targets, rows, width // parts)
        told = settings(call.loss)
        if loss is None or of_rows is None:  # the product with a cotangent
            losses, slopes = (z * t).sum(axis=1), t
        else:
            losses, slopes = of_rows(z, t, *told), loss(z, t, None, "sum", *told)[1]
        per_row = 1.0 if name in ("half_mse", "dot") else parts / width
        value, slope = (np.broadcast_to(size, (len(z), size.shape[1])) * per_row for size in sizes(z, t, *told))
        terms = (value.shape[1] + 8.0) * call.eps
        return _delivered(call, losses, slopes, terms * value.sum(axis=1), 2.0 * ULPS * call.eps * slope)

    twin(name)(of_loss)


def _both(z: Array, t: Array) -> Array:
    return np.asarray(np.abs(z) + np.abs(t))


def _gaussian(z: Array, t: Array) -> Sizes:
    m, s = np.split(z, 2, axis=1)
    near = 1.0 + np.abs(s)
    square = _both(m, t) ** 2 * np.exp(-s) * near
    return near + square, np.concatenate([_both(m, t) * np.exp(-s) * near, 1.0 + square], axis=1)


def _binary(z: Array, t: Array, positive: Any) -> Sizes:
    weight = 1.0 + np.abs(np.asarray(positive) * np.ones(z.shape))
    return weight * (1.0 + np.abs(z)), weight


_numbers("dot", lambda loss: (), lambda z, t: (np.abs(z * t), np.abs(t)))
_numbers("mse", lambda loss: (), lambda z, t: (_both(z, t) ** 2, 2.0 * _both(z, t)))
_numbers("half_mse", lambda loss: (), lambda z, t: (_both(z, t) ** 2, _both(z, t)))
_numbers("mae", lambda loss: (), lambda z, t: (_both(z, t), np.ones(z.shape)))
_numbers(
    "huber", lambda loss: (loss.delta,), lambda z, t, delta: (_both(z, t) * (_both(z, t) + delta), _both(z, t) + delta)
)
_numbers("quantile", lambda loss: (loss.q,), lambda z, t, q: (_both(z, t), np.ones(z.shape)))
_numbers("log_cosh", lambda loss: (), lambda z, t: (1.0 + _both(z, t), 1.0 + _both(z, t)))
_numbers(
    "poisson",
    lambda loss: (),
    lambda z, t: (np.exp(z) * (1.0 + np.abs(z)) + np.abs(t * z), np.exp(z) * (1.0 + np.abs(z)) + np.abs(t)),
)
_numbers("binary_cross_entropy", lambda loss: (loss.pos_weight,), _binary)
_numbers("gaussian_nll", lambda loss: (), _gaussian, parts=2)


def custom_loss(call: Call) -> list[Output]:
    """A user's formula and its slope, averaged over the outputs."""
    width = call.op.width
    z = call.read(call.op.a, width)
    t = call.user(call.given.targets, call.user_rows(), width)
    (value, off), (slope, slope_off) = formula(call.given.name, call.eps, z, t)
    sizes = off + (width + 8.0) * call.eps * np.abs(value)
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
        told = loss.label_smoothing, weights
    if kernel == "cross_entropy_probabilities":
        y: Array = call.user(call.given.targets, rows, width)
    else:
        y = _labels(call, rows)
    losses = reference.cross_entropy_rows(z, y, *told)
    slopes = reference.cross_entropy(z, y, None, "sum", *told)[1]
    most = max([1.0, *(weight for _, weight in loss.class_weights or ())]) if told else 1.0
    span = np.abs(z).max(axis=1) + np.log(width)
    terms = (width + 16.0) * call.eps * most
    below = z.max(axis=1, keepdims=True) - z
    p = reference.softmax_forward(z)
    spread = 1.0 + p * (below + (p * below).sum(axis=1, keepdims=True))
    return _delivered(call, losses, slopes, terms * (1.0 + 4.0 * span), terms * spread)


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
    slope_off[label] = slope_off.sum(axis=1) + (width + 4.0) * call.eps * np.abs(slopes[label]) * width
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
