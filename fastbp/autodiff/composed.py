"""NumPy functions composed of several gates."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp.autodiff.tracer import Tracer, axes_of, gate, graph_of, matmul, reshape, total, traced
from fastbp.errors import ConfigTypeError, ShapeError


def all_traced(*values: Any) -> list[Tracer]:
    graph = graph_of(*values)
    return [traced(graph, v) for v in values]


# Elementwise


def square(x: Tracer) -> Tracer:
    return gate("multiply", x, x)


def tan(x: Tracer) -> Tracer:
    return gate("divide", gate("sin", x), gate("cos", x))


def sinh(x: Tracer) -> Tracer:
    """(exp x - 1 - (exp(-x) - 1)) / 2, in which nothing cancels."""
    return gate("multiply", 0.5, gate("subtract", gate("expm1", x), gate("expm1", gate("negate", x))))


def cosh(x: Tracer) -> Tracer:
    return gate("multiply", 0.5, gate("add", gate("exp", x), gate("exp", gate("negate", x))))


def logaddexp(x: Any, y: Any) -> Tracer:
    """log(exp x + exp y) = y + softplus(x - y)."""
    return gate("add", y, gate("softplus", gate("subtract", x, y)))


def truth(x: Any) -> Any:
    return gate("not_equal", x, 0.0) if isinstance(x, Tracer) else np.asarray(x) != 0


def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Tracer:
    low, high = a_min if min is None else min, a_max if max is None else max
    out = a if low is None else gate("maximum", a, low)
    return out if high is None else gate("minimum", out, high)


# Joining and splitting


def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Tracer:
    """Each part placed into a whole."""
    parts = all_traced(*arrays)
    graph = parts[0].graph
    if axis is None:
        parts, axis = [reshape(p, -1) for p in parts], 0
    first = parts[0]
    at = axis + first.ndim if axis < 0 else axis
    if not 0 <= at < first.ndim:
        raise ShapeError("axis", f"must be one of shape `{first.shape}`", f"`{axis}`")
    others = {p.shape[:at] + p.shape[at + 1 :] for p in parts if p.ndim == first.ndim}
    if len(others) != 1 or any(p.ndim != first.ndim for p in parts):
        shapes = ", ".join(f"`{p.shape}`" for p in parts)
        raise ShapeError("concatenate", f"must have arrays that agree but for axis {axis}", shapes)
    shape = list(first.shape)
    shape[at] = sum(p.shape[at] for p in parts)
    out, done = graph.full(0.0, tuple(shape)), 0
    for part in parts:
        ranges = [(done if i == at else 0, 1, size) for i, size in enumerate(part.shape)]
        out = graph.gate("place", part.number, out, note=((0, 1, 1), *ranges)[-2:])
        done += part.shape[at]
    return Tracer(graph, out)


def stack(arrays: Sequence[Any], axis: int = 0) -> Tracer:
    parts = all_traced(*arrays)
    if len({p.shape for p in parts}) != 1:
        raise ShapeError("stack", "must have arrays of one shape", f"{', '.join(f'`{p.shape}`' for p in parts)}")
    return concatenate([expand_dims(p, axis) for p in parts], axis)


def vstack(arrays: Sequence[Any]) -> Tracer:
    return concatenate([a if a.ndim == 2 else reshape(a, (1, -1)) for a in all_traced(*arrays)])


def hstack(arrays: Sequence[Any]) -> Tracer:
    parts = [a if a.ndim else reshape(a, -1) for a in all_traced(*arrays)]
    return concatenate(parts, axis=parts[0].ndim - 1)


def column_stack(arrays: Sequence[Any]) -> Tracer:
    return concatenate([a if a.ndim == 2 else reshape(a, (-1, 1)) for a in all_traced(*arrays)], axis=1)


def flip(a: Tracer, axis: Any = None) -> Tracer:
    found = axes_of(a.shape, axis)
    return a[tuple(slice(None, None, -1 if i in found else 1) for i in range(a.ndim))]


def roll(a: Tracer, shift: int, axis: int | None = None) -> Tracer:
    if axis is None:
        return reshape(roll(reshape(a, -1), shift, 0), a.shape)
    (at,) = axes_of(a.shape, axis)
    whole = (slice(None),) * at
    cut = -operator.index(shift) % a.shape[at]
    return concatenate([a[(*whole, slice(cut, None))], a[(*whole, slice(0, cut))]], at) if cut else a


def diff(a: Tracer, n: int = 1, axis: int = -1) -> Tracer:
    (at,) = axes_of(a.shape, axis)
    whole = (slice(None),) * at
    for _ in range(operator.index(n)):
        a = gate("subtract", a[(*whole, slice(1, None))], a[(*whole, slice(0, -1))])
    return a


# Shapes


def expand_dims(a: Any, axis: Any) -> Tracer:
    count = a.ndim + (len(axis) if isinstance(axis, tuple) else 1)
    try:
        found = axes_of((1,) * count, axis)
    except ShapeError:
        raise ShapeError("axis", f"must be one of {count} axes", f"`{axis}`") from None
    rest = iter(a.shape)
    return reshape(a, tuple(1 if i in found else next(rest) for i in range(count)))


def squeeze(a: Tracer, axis: Any = None) -> Tracer:
    found = [i for i, size in enumerate(a.shape) if size == 1] if axis is None else axes_of(a.shape, axis)
    if any(a.shape[i] != 1 for i in found):
        raise ShapeError("squeeze", "must be of axes of length 1", f"`{axis}` of shape `{a.shape}`")
    return reshape(a, tuple(size for i, size in enumerate(a.shape) if i not in found))


def transpose(a: Tracer, axes: Any = None) -> Tracer:
    if axes is not None:
        order = [operator.index(i) for i in axes]
        if sorted(i + a.ndim if i < 0 else i for i in order) != list(range(a.ndim)):
            raise ShapeError("axes", f"must be every axis of shape `{a.shape}` once", f"`{tuple(axes)}`")
        if order in ([0], [-1], [0, 1], [-2, 1], [0, -1], [-2, -1], []):
            return a
    return Tracer(a.graph, a.graph.gate("transpose", a.number))


def broadcast_to(array: Tracer, shape: Any) -> Tracer:
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    try:
        fits = np.broadcast_shapes(array.shape, wanted) == wanted
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError("broadcast_to", f"must have a shape that `{array.shape}` broadcasts to", f"`{wanted}`")
    return Tracer(array.graph, array.graph.spread(array.number, wanted))


# Products


def outer(a: Any, b: Any) -> Tracer:
    x, y = all_traced(a, b)
    return gate("multiply", reshape(x, (-1, 1)), reshape(y, (1, -1)))


def dot(a: Any, b: Any) -> Tracer:
    """A matrix product; a number multiplies."""
    x, y = all_traced(a, b)
    return matmul(x, y) if x.ndim and y.ndim else gate("multiply", x, y)


def inner(a: Any, b: Any) -> Tracer:
    """Sums of products over the last axis of both."""
    x, y = all_traced(a, b)
    return dot(x, y.T if y.ndim == 2 else y)


def vdot(a: Any, b: Any) -> Tracer:
    return dot(*(reshape(x, -1) for x in all_traced(a, b)))


def diag(v: Tracer) -> Tracer:
    """A vector as the diagonal of a matrix, or the diagonal of one."""
    if v.ndim == 1:
        return gate("where", np.eye(v.size), v, 0.0)
    if v.ndim != 2:
        raise ShapeError("diag", "must be of a vector or a matrix", "shape `()`")
    least = min(v.shape)
    return total(gate("where", np.eye(least), v[:least, :least], 0.0), 0)


def diagonal_sum(a: Tracer) -> Tracer:
    if a.ndim != 2:
        raise ShapeError("trace", "must be of a matrix", f"shape `{a.shape}`")
    return total(diag(a))


# Reductions


def mean(a: Tracer, axis: Any = None, *, keepdims: bool = False) -> Tracer:
    summed = total(a, axis, keepdims=keepdims)
    return gate("divide", summed, a.size / summed.size)


def var(a: Tracer, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Tracer:
    squares = total(square(gate("subtract", a, mean(a, axis, keepdims=True))), axis, keepdims=keepdims)
    return gate("divide", squares, a.size / squares.size - ddof)


def std(a: Tracer, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Tracer:
    return gate("sqrt", var(a, axis, ddof=ddof, keepdims=keepdims))


def norm(x: Tracer, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tracer:
    """Of vectors the sum of magnitudes, the root of the sum of squares or the largest; of matrices the second."""
    vectors = len(axes_of(x.shape, axis)) == 1
    if ord is None or (vectors and ord == 2) or (not vectors and ord == "fro"):
        return gate("sqrt", total(square(x), axis, keepdims=keepdims))
    if vectors and ord in (1, np.inf):
        size = gate("abs", x)
        return total(size, axis, keepdims=keepdims) if ord == 1 else largest("maximum")(size, axis, keepdims=keepdims)
    known = "`None`, `1`, `2` or `inf` of a vector" if vectors else "`None` or `fro` of a matrix"
    raise ConfigTypeError("ord", f"must be {known}", f"`{ord}`")


def largest(name: str) -> Callable[..., Tracer]:
    """The largest or smallest along an axis, by halving: about log₂(length) gates.

    Ties share the derivative evenly.
    """

    def reduced(a: Tracer, axis: Any = None, *, keepdims: bool = False) -> Tracer:
        along = axes_of(a.shape, axis)
        out = a
        for at in along:
            while (size := out.shape[at]) > 1:
                half, cut = size // 2, (slice(None),) * at
                pair = gate(name, out[(*cut, slice(0, half))], out[(*cut, slice(half, 2 * half))])
                out = pair if size == 2 * half else concatenate([pair, out[(*cut, slice(2 * half, size))]], axis=at)
        out = reshape(out, tuple(size for i, size in enumerate(a.shape) if i not in along))
        if out.size < a.size:
            out = Tracer(a.graph, a.graph.gate("tied", out.number, a.number, note=along))
        return reshape(out, tuple(1 if i in along else size for i, size in enumerate(a.shape))) if keepdims else out

    return reduced
