"""Gates: how each is made of signals, and its twins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import fastbp as fb
from fastbp import reference

Array = np.ndarray[Any, Any]
Arrays = tuple[Array, ...]


class Case(NamedTuple):
    """A gate of signals that are `widths(width)` wide, and its twins in NumPy.

    forward(*xs) -> z, vjp(dz, *xs) -> one cotangent for each, jvp(txs, xs) -> tz.
    """

    widths: Callable[[int], tuple[int, ...]]
    of: Callable[..., Any]
    forward: Callable[..., Array]
    vjp: Callable[..., Arrays]
    jvp: Callable[[Arrays, Arrays], Array]


def alike(count: int) -> Callable[[int], tuple[int, ...]]:
    return lambda width: (width,) * count


def middle(width: int) -> tuple[int, int]:
    """Some columns, on neither side all of a panel."""
    return width // 3, max(width // 3 + 1, width - width // 5)


def two(kind: Any, name: str, vjp: Any, jvp: Any) -> Case:
    forward = getattr(reference, f"{name}_forward")
    return Case(alike(2), lambda x, y: kind()(x, y), forward, vjp, jvp)


def added(dz: Array, *xs: Array) -> Arrays:
    """Of more than two signals, one after the other."""
    cotangents: tuple[Array, ...] = ()
    for _ in xs[1:]:
        dz, last = reference.add_vjp(dz)
        cotangents = (last, *cotangents)
    return dz, *cotangents


def sum_of(xs: Arrays) -> Array:
    out = xs[0]
    for x in xs[1:]:
        out = reference.add_forward(out, x)
    return out


# By the name of the op.
GATE_CASES: dict[str, list[Case]] = {
    "add": [
        two(fb.Add, "add", lambda dz, *_: reference.add_vjp(dz), lambda ts, _: reference.add_jvp(*ts)),
        Case(
            alike(4),
            lambda *xs: fb.Add()(*xs),
            lambda *xs: sum_of(xs),
            added,
            lambda ts, _: sum_of(ts),
        ),
    ],
    "subtract": [
        two(
            fb.Subtract,
            "subtract",
            lambda dz, *_: reference.subtract_vjp(dz),
            lambda ts, _: reference.subtract_jvp(*ts),
        )
    ],
    "multiply": [two(fb.Multiply, "multiply", reference.multiply_vjp, lambda ts, xs: reference.multiply_jvp(*ts, *xs))],
    "divide": [
        two(
            fb.Divide,
            "divide",
            lambda dz, x, y: reference.divide_vjp(dz, y, x / y),
            lambda ts, xs: reference.divide_jvp(*ts, xs[1], xs[0] / xs[1]),
        )
    ],
    "affine": [
        Case(
            alike(1),
            lambda x, a=a, b=b: fb.Affine(a, b)(x),
            lambda x, a=a, b=b: reference.affine_forward(x, a, b),
            lambda dz, _, a=a: (reference.affine_vjp(dz, a),),
            lambda ts, _, a=a: reference.affine_jvp(ts[0], a),
        )
        for a, b in ((-2.5, 0.75), (1.0, 2.0), (0.0, 1.0))
    ],
    "reciprocal": [
        Case(
            alike(1),
            lambda x: fb.Reciprocal(3.0)(x),
            lambda x: reference.reciprocal_forward(x, 3.0),
            lambda dz, x: (reference.reciprocal_vjp(dz, x, 3.0),),
            lambda ts, xs: reference.reciprocal_jvp(*ts, *xs, 3.0),
        )
    ],
    "concat": [
        Case(
            widths,
            lambda *xs: fb.Concat()(*xs),
            lambda *xs: reference.concat_forward(xs),
            lambda dz, *xs: tuple(reference.concat_vjp(dz, [x.shape[1] for x in xs])),
            lambda ts, _: reference.concat_jvp(ts),
        )
        for widths in (lambda w: (w, w), lambda w: (3, w, 1, w + 2))
    ],
    "slice": [
        Case(
            alike(1),
            lambda x, cut=cut: fb.Slice(*cut(x.features))(x),
            lambda x, cut=cut: reference.slice_forward(x, *cut(x.shape[1])),
            lambda dz, x, cut=cut: (reference.slice_vjp(dz, x.shape[1], *cut(x.shape[1])),),
            lambda ts, _, cut=cut: reference.slice_jvp(ts[0], *cut(ts[0].shape[1])),
        )
        for cut in (middle, lambda width: (0, width), lambda width: (width - 1, width))
    ],
    "sum": [
        Case(
            alike(1),
            lambda x: fb.Sum()(x),
            reference.sum_forward,
            lambda dz, x: (reference.sum_vjp(dz, x.shape[1]),),
            lambda ts, _: reference.sum_jvp(ts[0]),
        )
    ],
    "mean": [
        Case(
            alike(1),
            lambda x: fb.Mean()(x),
            reference.mean_forward,
            lambda dz, x: (reference.mean_vjp(dz, x.shape[1]),),
            lambda ts, _: reference.mean_jvp(ts[0]),
        )
    ],
    "repeat": [
        Case(
            lambda width: (1,),
            lambda x, width=width: fb.Repeat(width)(x),
            lambda x, width=width: reference.repeat_forward(x, width),
            lambda dz, _: (reference.repeat_vjp(dz),),
            lambda ts, _, width=width: reference.repeat_jvp(ts[0], width),
        )
        for width in (1, 7, 16, 33)
    ],
}
