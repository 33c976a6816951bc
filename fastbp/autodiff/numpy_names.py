"""NumPy's names for gates, and those that are made of several gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log, pi, prod
from typing import Any

import numpy as np

from fastbp.autodiff.graph import Shape
from fastbp.autodiff.tracer import Tracer, axes_of, gate, graph_of, listed, matmul, node_of, reshape, total, traced
from fastbp.errors import ConfigError, ConfigTypeError, ShapeError


def unknown(name: str) -> ConfigError:
    return ConfigError(f"`np.{name}` must be a gate or made of gates, which it is not; there are {listed()}")


def _gate(name: str) -> Callable[..., Tracer]:
    return lambda *values: gate(name, *values)


def square(x: Tracer) -> Tracer:
    return gate("multiply", x, x)


def tan(x: Tracer) -> Tracer:
    return gate("divide", gate("sin", x), gate("cos", x))


def logaddexp(x: Any, y: Any) -> Tracer:
    """log(exp x + exp y) = y + softplus(x - y)."""
    return gate("add", y, gate("softplus", gate("subtract", x, y)))


SAME = (
    *("add", "subtract", "multiply", "divide", "power", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh"),
    *("hypot", "maximum", "minimum", "sign", "greater", "greater_equal", "less", "less_equal", "equal", "not_equal"),
)
UFUNCS: dict[str, Callable[..., Tracer]] = {
    **{name: _gate(name) for name in SAME},
    "true_divide": _gate("divide"),
    "negative": _gate("negate"),
    "positive": lambda x: x,
    "absolute": _gate("abs"),
    "fabs": _gate("abs"),
    "matmul": matmul,
    "square": square,
    "reciprocal": lambda x: gate("divide", 1.0, x),
    "tan": tan,
    "log2": lambda x: gate("divide", gate("log", x), log(2.0)),
    "log10": lambda x: gate("divide", gate("log", x), log(10.0)),
    "exp2": lambda x: gate("exp", gate("multiply", x, log(2.0))),
    "logaddexp": logaddexp,
    "deg2rad": lambda x: gate("multiply", x, pi / 180.0),
    "rad2deg": lambda x: gate("multiply", x, 180.0 / pi),
}


def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Tracer:
    low, high = a_min if min is None else min, a_max if max is None else max
    out = a if low is None else gate("maximum", a, low)
    return out if high is None else gate("minimum", out, high)


def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Tracer:
    """Each part placed into a whole."""
    graph = graph_of(*arrays)
    parts = [traced(graph, a) for a in arrays]
    if axis is None:
        parts, axis = [reshape(p, -1) for p in parts], 0
    first = parts[0]
    at = axis + first.ndim if axis < 0 else axis
    if not 0 <= at < first.ndim:
        raise ShapeError(f"`axis` must be one of shape `{first.shape}`, got `{axis}`")
    others = {p.shape[:at] + p.shape[at + 1 :] for p in parts if p.ndim == first.ndim}
    if len(others) != 1 or any(p.ndim != first.ndim for p in parts):
        shapes = ", ".join(f"`{p.shape}`" for p in parts)
        raise ShapeError(f"`concatenate` must have arrays that agree but for axis {axis}, got {shapes}")
    shape = list(first.shape)
    shape[at] = sum(p.shape[at] for p in parts)
    out, done = graph.full(0.0, tuple(shape)), 0
    for part in parts:
        ranges = [(done if i == at else 0, 1, size) for i, size in enumerate(part.shape)]
        out = graph.gate("place", part.number, out, note=((0, 1, 1), *ranges)[-2:])
        done += part.shape[at]
    return Tracer(graph, out)


def stack(arrays: Sequence[Any], axis: int = 0) -> Tracer:
    graph = graph_of(*arrays)
    parts = [traced(graph, a) for a in arrays]
    shapes = {p.shape for p in parts}
    if len(shapes) != 1:
        raise ShapeError(f"`stack` must have arrays of one shape, got {', '.join(f'`{p.shape}`' for p in parts)}")
    return concatenate([expand_dims(p, axis) for p in parts], axis)


def expand_dims(a: Tracer, axis: int) -> Tracer:
    at = axis + a.ndim + 1 if axis < 0 else axis
    if not 0 <= at <= a.ndim:
        raise ShapeError(f"`axis` must be one of {a.ndim + 1} axes, got `{axis}`")
    return reshape(a, (*a.shape[:at], 1, *a.shape[at:]))


def squeeze(a: Tracer) -> Tracer:
    return reshape(a, tuple(size for size in a.shape if size != 1))


def broadcast_to(array: Tracer, shape: Any) -> Tracer:
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    try:
        fits = np.broadcast_shapes(array.shape, wanted) == wanted
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"`broadcast_to` must have a shape that `{array.shape}` can be repeated to, got `{wanted}`")
    return Tracer(array.graph, array.graph.spread(array.number, wanted))


def outer(a: Any, b: Any) -> Tracer:
    graph = graph_of(a, b)
    return gate("multiply", reshape(traced(graph, a), (-1, 1)), reshape(traced(graph, b), (1, -1)))


def mean(a: Tracer, axis: Any = None, keepdims: bool = False) -> Tracer:
    return a.mean(axis, keepdims)


def largest(name: str) -> Callable[..., Tracer]:
    """The largest or smallest along an axis, by halves: about log₂ of its length gates.

    Equal ones share the derivative evenly, wherever they stand.
    """

    def reduced(a: Tracer, axis: int | None = None, keepdims: bool = False) -> Tracer:
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


def transpose(a: Tracer) -> Tracer:
    return a.transpose()


def dot(a: Any, b: Any) -> Tracer:
    """A matrix product; a number multiplies."""
    graph = graph_of(a, b)
    x, y = traced(graph, a), traced(graph, b)
    return matmul(x, y) if x.ndim and y.ndim else gate("multiply", x, y)


def where(condition: Any, x: Any, y: Any) -> Tracer:
    """x where the condition holds, otherwise y."""
    return gate("where", condition, x, y)


def filled(value: float) -> Callable[[Tracer], Any]:
    def like(a: Tracer) -> Any:
        return np.full(a.shape, value, a.dtype)

    return like


def shape_of(a: Tracer) -> Shape:
    return a.shape


def nodes_of_results(graph: Any, found: Any) -> tuple[list[int], bool]:
    """The nodes of what a traced function returns, and whether that is one value."""
    single = not isinstance(found, tuple | list) or not any(isinstance(v, Tracer) for v in found)
    numbers = []
    for value in [found] if single else found:
        try:
            numbers.append(node_of(graph, value))
        except (ConfigTypeError, TypeError):
            raise ConfigTypeError(
                "a traced function must return numbers, arrays or a tuple of them,"
                f" got {'' if single else 'a tuple with '}a `{type(value).__name__}`"
            ) from None
    return numbers, single


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sum": total,
    "mean": mean,
    **dict.fromkeys(("max", "amax"), largest("maximum")),
    **dict.fromkeys(("min", "amin"), largest("minimum")),
    "dot": dot,
    "vdot": lambda a, b: dot(reshape(a, -1), reshape(b, -1)),
    "outer": outer,
    "where": where,
    "reshape": lambda a, shape: reshape(a, shape),
    "ravel": lambda a: reshape(a, -1),
    "transpose": transpose,
    "matrix_transpose": transpose,
    "clip": clip,
    "concatenate": concatenate,
    "stack": stack,
    "vstack": lambda arrays: concatenate([a if np.ndim(a) == 2 else expand_dims(a, 0) for a in arrays]),
    "hstack": lambda arrays: concatenate(arrays, axis=1 if np.ndim(arrays[0]) == 2 else 0),
    "expand_dims": expand_dims,
    "squeeze": squeeze,
    "broadcast_to": broadcast_to,
    "zeros_like": filled(0.0),
    "ones_like": filled(1.0),
    "shape": shape_of,
    "ndim": lambda a: a.ndim,
    "size": lambda a: prod(a.shape),
    "copy": lambda a: a,
}
