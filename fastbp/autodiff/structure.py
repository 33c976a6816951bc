"""Gates that sum or rearrange numbers: value, shape, vjp and jvp of each.

    gate       z                               vjp, u the cotangent of z               jvp
    sum        Σ x over some axes              u repeated along them                   Σ tx
    spread     x repeated to a shape           u summed over what was added            tx repeated
    reshape    x in another shape              u in the shape of x                     tx in that shape
    transpose  xᵀ                              uᵀ                                      txᵀ
    take       x in some places                place(u, 0): u there, 0 elsewhere       tx in these places
    place      y, but x in some places         (u in these places, u with 0 there)     place(tx, ty)
    matmul     x y                             (u yᵀ, xᵀ u)                            tx y + x ty
    tied       m, the extreme of x             (0, u [x = m] / k)                      Σ tx [x = m] / k

All but the last two are linear, so their jvp is the gate itself. `tied` has the value of m and shares its derivative
evenly among the k numbers of x that are equal to it.

In matmul, z_bo = Σ_i x_bi y_io depends on x_bi through row b of z alone, with derivative y_io, which gives u yᵀ;
likewise xᵀ u. No Jacobian of a matrix in a matrix is ever formed.

The places of `take` and `place` are two ranges (first, step, count), of rows and of columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.autodiff.gates import added
from fastbp.autodiff.graph import GATES, Gate, Graph, Node, Shape, rows_and_width, two_axes
from fastbp.errors import ShapeError

Range = tuple[int, int, int]


def summed_to(g: Graph, u: int, shape: Shape) -> int:
    """u summed over the axes that were broadcast from this shape."""
    have = g.shape(u)
    if have == shape:
        return u
    extra = len(have) - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, size in enumerate(shape) if size == 1 and have[i + extra] != 1)
    return g.gate("reshape", g.gate("sum", u, note=axes), note=shape)


def linear(
    name: str,
    kernels: str,
    value: Callable[..., Any],
    shape: Callable[[str, list[Shape], Any], Shape],
    pull: Callable[[Graph, Node, int], int],
    simplify: Any = None,
    exact: bool = True,
) -> None:
    """Register a gate that is linear in its one input: its jvp is itself."""

    def vjp(g: Graph, node: Node, u: int) -> list[int | None]:
        return [pull(g, node, u)]

    def jvp(g: Graph, node: Node, tangents: list[int | None]) -> int | None:
        (t,) = tangents
        return None if t is None else g.gate(name, t, note=node.note)

    GATES[name] = Gate(value, shape, vjp, jvp, tuple(kernels.split()), exact=exact, simplify=simplify)


def _sum_shape(name: str, shapes: list[Shape], axes: Any) -> Shape:
    return tuple(size for i, size in enumerate(shapes[0]) if i not in axes)


def _unsummed(g: Graph, node: Node, u: int, like: int) -> int:
    """u repeated along the axes that were summed, to the shape of another node."""
    shape = g.shape(like)
    kept = tuple(1 if i in node.note else size for i, size in enumerate(shape))
    return g.spread(g.gate("reshape", u, note=kept), shape)


def _of_one(g: Graph, inputs: tuple[int, ...], axes: Any, shape: Shape) -> int | None:
    """A sum over axes of length 1 is a reshape."""
    have = g.shape(inputs[0])
    return g.gate("reshape", inputs[0], note=shape) if all(have[a] == 1 for a in axes) else None


def _spread_shape(name: str, shapes: list[Shape], shape: Any) -> Shape:
    return two_axes("broadcast_to", shape)


def _spread_once(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    node = g.nodes[inputs[0]]
    if node.gate == "spread":
        return g.spread(node.inputs[0], shape)
    return inputs[0] if node.shape == shape else None


def _reshape_shape(name: str, shapes: list[Shape], note: Any) -> Shape:
    if int(np.prod(shapes[0])) != int(np.prod(note)):
        raise ShapeError("reshape", "must keep the number of elements", f"`{shapes[0]}` to `{tuple(note)}`")
    return two_axes("reshape", note)


def _reshape_once(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    node = g.nodes[inputs[0]]
    if node.shape == shape:
        return inputs[0]
    if node.gate == "reshape":
        return g.gate("reshape", node.inputs[0], note=shape)
    number = g.number_of(inputs[0])
    return None if number is None else g.full(number, shape)


def _transpose_twice(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    node = g.nodes[inputs[0]]
    if node.gate == "transpose":
        return node.inputs[0]
    if len(shape) < 2 or 1 in shape:
        return g.gate("reshape", inputs[0], note=shape)
    return None


def _places(note: tuple[Range, Range]) -> tuple[Any, Any]:
    rows, columns = (first + step * np.arange(count) for first, step, count in note)
    return rows[:, None], columns


def _taken(x: Any, note: Any) -> Any:
    found = x.reshape(rows_and_width(x.shape))[_places(note)]
    return found if x.ndim == 2 else found[0]


def _take_shape(name: str, shapes: list[Shape], note: Any) -> Shape:
    counts = tuple(count for _, _, count in note)
    return counts if len(shapes[0]) == 2 else counts[1:]


def _put_back(g: Graph, node: Node, u: int) -> int:
    return g.gate("place", u, g.full(0.0, g.shape(node.inputs[0])), note=node.note)


def _placed(x: Any, y: Any, note: Any) -> Any:
    out = np.array(y)
    out.reshape(rows_and_width(out.shape))[_places(note)] = x
    return out


def _place_vjp(g: Graph, node: Node, u: int) -> list[int | None]:
    x, y = node.inputs
    rest = None
    if g.value_of(y) is None:
        rest = g.gate("place", g.full(0.0, g.shape(x)), u, note=node.note)
    return [g.gate("take", u, note=node.note), rest]


def _place_jvp(g: Graph, node: Node, tangents: list[int | None]) -> int | None:
    parts = [g.full(0.0, g.shape(i)) if t is None else t for i, t in zip(node.inputs, tangents, strict=True)]
    return None if tangents == [None, None] else g.gate("place", *parts, note=node.note)


def _matmul_shape(name: str, shapes: list[Shape], note: Any) -> Shape:
    x, y = shapes
    if len(x) != 2 or len(y) != 2 or x[1] != y[0]:
        raise ShapeError("matmul", "must have inputs `(a, b)` and `(b, c)`", f"`{x}` and `{y}`")
    return x[0], y[1]


def _matmul_vjp(g: Graph, node: Node, u: int) -> list[int | None]:
    x, y = node.inputs
    return [g.gate("matmul", u, g.gate("transpose", y)), g.gate("matmul", g.gate("transpose", x), u)]


def _matmul_jvp(g: Graph, node: Node, tangents: list[int | None]) -> int | None:
    (x, y), (tx, ty) = node.inputs, tangents
    first = None if tx is None else g.gate("matmul", tx, y)
    second = None if ty is None else g.gate("matmul", x, ty)
    return added(g, [first, second])


linear(
    "sum",
    "gate_sum_all gate_sum_rows gate_sum_columns",
    lambda x, note: x.sum(axis=note),
    _sum_shape,
    lambda g, n, u: _unsummed(g, n, u, n.inputs[0]),
    _of_one,
    exact=False,
)
linear(
    "spread",
    "gate_copy gate_repeat gate_fill",
    lambda x, note: np.broadcast_to(x, note).copy(),
    _spread_shape,
    lambda g, n, u: summed_to(g, u, g.shape(n.inputs[0])),
    _spread_once,
    exact=False,
)
linear(
    "reshape",
    "gate_reshape gate_repeat",
    lambda x, note: x.reshape(note),
    _reshape_shape,
    lambda g, n, u: g.gate("reshape", u, note=g.shape(n.inputs[0])),
    _reshape_once,
)
linear(
    "transpose",
    "gate_transpose",
    lambda x, note: x.T.copy(),
    lambda name, shapes, note: shapes[0][::-1],
    lambda g, n, u: g.gate("transpose", u),
    _transpose_twice,
)
linear("take", "gate_take", _taken, _take_shape, _put_back)
GATES["place"] = Gate(
    _placed, lambda name, shapes, note: shapes[1], _place_vjp, _place_jvp, ("gate_place",), exact=True
)
GATES["matmul"] = Gate(
    lambda x, y, note: x @ y, _matmul_shape, _matmul_vjp, _matmul_jvp, ("product", "gate_outer", "gate_transpose")
)


def _among(g: Graph, node: Node) -> int:
    """1 / k where x is m, 0 elsewhere."""
    m, x = node.inputs
    found = g.gate("equal", x, _unsummed(g, node, m, x))
    count = g.gate("sum", found, note=node.note)
    return g.gate("divide", found, _unsummed(g, node, count, x))


def _tied_vjp(g: Graph, node: Node, u: int) -> list[int | None]:
    return [None, g.gate("multiply", _unsummed(g, node, u, node.inputs[1]), _among(g, node))]


def _tied_jvp(g: Graph, node: Node, tangents: list[int | None]) -> int | None:
    t = tangents[1]
    return None if t is None else g.gate("sum", g.gate("multiply", t, _among(g, node)), note=node.note)


GATES["tied"] = Gate(lambda m, x, note: m, lambda name, shapes, note: shapes[0], _tied_vjp, _tied_jvp, ("gate_copy",))
