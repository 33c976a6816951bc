"""The gates: for each its value, and in terms of other gates its vjp and its jvp.

    gate       forward            vjp, u the cotangent of z                jvp, t the tangents
    add        z = x + y          (u, u)                                   tx + ty
    subtract   z = x - y          (u, -u)                                  tx - ty
    multiply   z = x y            (u y, u x): it swaps its inputs          tx y + x ty
    divide     z = x / y          (u / y, -u z / y)                        (tx - z ty) / y
    power      z = x ** c         u c x ** (c - 1)                         c x ** (c - 1) tx
    negate     z = -x             -u                                       -tx
    exp        z = exp x          u z                                      z tx
    log        z = log x          u / x                                    tx / x
    sqrt       z = √x             u / (2 z)                                tx / (2 z)
    sin, cos   z = sin x, cos x   u cos x, -u sin x                        cos x tx, -sin x tx
    tanh       z = tanh x         u (1 - z²)                               (1 - z²) tx
    sigmoid    z = 1/(1+exp(-x))  u z (1 - z)                              z (1 - z) tx
    abs        z = |x|            u sign x                                 sign x tx
    maximum    z = max(x, y)      (u [x >= y], u [x < y])                  [x >= y] tx + [x < y] ty
    where      z = x if c else y  (-, u if c else 0, 0 if c else u)        tx if c else ty
    sum        z = Σ x            u spread over the summed axes            Σ tx
    spread     z = x repeated     u summed over what was added             tx repeated
    reshape    z = x reshaped     u in the shape of x                      tx reshaped
    transpose  z = xᵀ             uᵀ                                       txᵀ
    matmul     z = x y            (u yᵀ, xᵀ u)                             tx y + x ty

The adjoint of every input is local: u times the gate's own derivative, by values that the forward pass has. Where a
value goes into several gates, a branch, their cotangents add up; that is done by who walks the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.autodiff.graph import Graph, Shape, broadcast
from fastbp.errors import ShapeError

Vjp = Callable[..., "list[int | None]"]
Jvp = Callable[..., int]


@dataclass(frozen=True)
class Gate:
    """One row of the table.

    Attributes
    ----------
    value : callable
        (*inputs, note) to value, in NumPy, for constants.
    shape : callable
        (name, shapes, note) to shape.
    vjp : callable
        (graph, node, u) to the cotangent of each input, None where there is none.
    jvp : callable
        (graph, node, tangents) to the tangent; a tangent is None where the input does not move.
    """

    value: Callable[..., Any]
    shape: Callable[[str, list[Shape], Any], Shape]
    vjp: Vjp
    jvp: Jvp
    commutes: bool = False
    simplify: Callable[..., int | None] | None = None

    @property
    def elementwise(self) -> bool:
        """Whether all inputs and the output have one shape."""
        return self.shape is _same


GATES: dict[str, Gate] = {}


def _same(name: str, shapes: list[Shape], note: Any) -> Shape:
    """Elementwise gates get inputs of one shape: the tracer spreads them first."""
    return broadcast(name, shapes)


def _is(g: Graph, number: int, value: float) -> bool:
    found = g.value_of(number)
    return found is not None and bool((found == value).all())


def _full(g: Graph, value: float, shape: Shape) -> int:
    return spread(g, g.constant(value), shape)


def spread(g: Graph, x: int, shape: Shape) -> int:
    """x repeated to a shape."""
    if g.shape(x) == shape:
        return x
    node = g.nodes[x]
    return g.gate("spread", node.inputs[0] if node.gate == "spread" else x, note=shape)


def summed_to(g: Graph, u: int, shape: Shape) -> int:
    """u summed over the axes along which something of this shape was repeated."""
    have = g.shape(u)
    if have == shape:
        return u
    extra = len(have) - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, size in enumerate(shape) if size == 1 and have[i + extra] != 1)
    return g.gate("reshape", g.gate("sum", u, note=axes), note=shape)


def _sum_tangents(g: Graph, parts: list[int]) -> int:
    out = parts[0]
    for part in parts[1:]:
        out = g.gate("add", out, part)
    return out


def _unary(name: str, value: Callable[..., Any], slope: Callable[[Graph, Any, int], int]) -> None:
    """A gate of one input whose derivative is multiplied with u or tx alike."""

    def vjp(g: Graph, node: Any, u: int) -> list[int | None]:
        return [g.gate("multiply", u, slope(g, node, node.number))]

    def jvp(g: Graph, node: Any, tangents: list[int | None]) -> int:
        (t,) = tangents
        assert t is not None
        return g.gate("multiply", t, slope(g, node, node.number))

    GATES[name] = Gate(lambda x, note: value(x), _same, vjp, jvp)


def _one(g: Graph, node: Any) -> int:
    return _full(g, 1.0, node.shape)


_unary("exp", np.exp, lambda g, n, z: z)
_unary("log", np.log, lambda g, n, z: g.gate("divide", _one(g, n), n.inputs[0]))
_unary("sqrt", np.sqrt, lambda g, n, z: g.gate("divide", _full(g, 0.5, n.shape), z))
_unary("sin", np.sin, lambda g, n, z: g.gate("cos", n.inputs[0]))
_unary("cos", np.cos, lambda g, n, z: g.gate("negate", g.gate("sin", n.inputs[0])))
_unary("tanh", np.tanh, lambda g, n, z: g.gate("subtract", _one(g, n), g.gate("multiply", z, z)))
_unary(
    "sigmoid",
    lambda x: 1.0 / (1.0 + np.exp(-x)),
    lambda g, n, z: g.gate("multiply", z, g.gate("subtract", _one(g, n), z)),
)
_unary("abs", np.abs, lambda g, n, z: g.gate("sign", n.inputs[0]))
_unary("sign", np.sign, lambda g, n, z: _full(g, 0.0, n.shape))


def _linear(name: str, value: Callable[..., Any], shape: Any, pull: Any, simplify: Any = None) -> None:
    """A gate of one input that is linear in it: its jvp is itself."""
    GATES[name] = Gate(
        value,
        shape,
        lambda g, n, u: [pull(g, n, u)],
        lambda g, n, tangents: g.gate(name, tangents[0], note=n.note),
        simplify=simplify,
    )


def _negated(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    node = g.nodes[inputs[0]]
    return node.inputs[0] if node.gate == "negate" else None


def _sum_shape(name: str, shapes: list[Shape], axes: Any) -> Shape:
    return tuple(size for i, size in enumerate(shapes[0]) if i not in axes)


def _unsummed(g: Graph, n: Any, u: int) -> int:
    shape = g.shape(n.inputs[0])
    kept = tuple(1 if i in n.note else size for i, size in enumerate(shape))
    return spread(g, g.gate("reshape", u, note=kept), shape)


def _reshape_shape(name: str, shapes: list[Shape], note: Any) -> Shape:
    if int(np.prod(shapes[0])) != int(np.prod(note)):
        raise ShapeError(f"`reshape` must keep the number of elements, got `{shapes[0]}` to `{note}`")
    return tuple(note)


_linear("negate", lambda x, note: -x, _same, lambda g, n, u: g.gate("negate", u), _negated)
_linear(
    "sum",
    lambda x, note: x.sum(axis=note),
    _sum_shape,
    _unsummed,
    lambda g, inputs, note, shape: inputs[0] if not note else None,
)
_linear(
    "spread",
    lambda x, note: np.broadcast_to(x, note).copy(),
    lambda name, shapes, note: note,
    lambda g, n, u: summed_to(g, u, g.shape(n.inputs[0])),
)
_linear(
    "reshape",
    lambda x, note: x.reshape(note),
    _reshape_shape,
    lambda g, n, u: g.gate("reshape", u, note=g.shape(n.inputs[0])),
    lambda g, inputs, note, shape: inputs[0] if g.shape(inputs[0]) == shape else None,
)
_linear(
    "transpose",
    lambda x, note: x.T.copy(),
    lambda name, shapes, note: shapes[0][::-1],
    lambda g, n, u: g.gate("transpose", u),
)

# Gates of two inputs


def _zero_or_one(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    """x 0 = 0 and x 1 = x, where one is a constant."""
    for this, other in (inputs, inputs[::-1]):
        if _is(g, this, 1.0) and g.shape(other) == shape:
            return other
        if _is(g, this, 0.0):
            return _full(g, 0.0, shape)
    return None


def _no_zero(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    for this, other in (inputs, inputs[::-1]):
        if _is(g, this, 0.0) and g.shape(other) == shape:
            return other
    return None


def _minus_zero(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    if _is(g, inputs[1], 0.0) and g.shape(inputs[0]) == shape:
        return inputs[0]
    if _is(g, inputs[0], 0.0) and g.shape(inputs[1]) == shape:
        return g.gate("negate", inputs[1])
    return None


def _over_one(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    return inputs[0] if _is(g, inputs[1], 1.0) and g.shape(inputs[0]) == shape else None


def _add_jvp(g: Graph, node: Any, tangents: list[int | None]) -> int:
    return _sum_tangents(g, [t for t in tangents if t is not None])


def _subtract_jvp(g: Graph, node: Any, tangents: list[int | None]) -> int:
    first, second = tangents
    if second is None:
        assert first is not None
        return first
    return g.gate("negate", second) if first is None else g.gate("subtract", first, second)


def _product(name: str) -> Jvp:
    def jvp(g: Graph, node: Any, tangents: list[int | None]) -> int:
        (x, y), (tx, ty) = node.inputs, tangents
        parts = [g.gate(name, tx, y)] if tx is not None else []
        parts += [g.gate(name, x, ty)] if ty is not None else []
        return _sum_tangents(g, parts)

    return jvp


def _divide_vjp(g: Graph, node: Any, u: int) -> list[int | None]:
    y = node.inputs[1]
    over = g.gate("divide", u, y)
    return [over, g.gate("negate", g.gate("multiply", over, node.number))]


def _divide_jvp(g: Graph, node: Any, tangents: list[int | None]) -> int:
    tx, ty = tangents
    y = node.inputs[1]
    if ty is None:
        assert tx is not None
        return g.gate("divide", tx, y)
    moved = g.gate("multiply", node.number, ty)
    top = g.gate("negate", moved) if tx is None else g.gate("subtract", tx, moved)
    return g.gate("divide", top, y)


def _power_slopes(g: Graph, node: Any) -> tuple[int, int]:
    """∂z/∂x = y x ** (y - 1) and ∂z/∂y = z log x, 0 where x is 0."""
    x, y = node.inputs
    one = _full(g, 1.0, node.shape)
    by_x = g.gate("multiply", y, g.gate("power", x, g.gate("subtract", y, one)))
    zero = _full(g, 0.0, node.shape)
    safe = g.gate("where", g.gate("greater", x, zero), x, one)
    return by_x, g.gate("multiply", node.number, g.gate("log", safe))


def _power_vjp(g: Graph, node: Any, u: int) -> list[int | None]:
    by_x, by_y = _power_slopes(g, node)
    fixed = g.value_of(node.inputs[1]) is not None
    return [g.gate("multiply", u, by_x), None if fixed else g.gate("multiply", u, by_y)]


def _power_jvp(g: Graph, node: Any, tangents: list[int | None]) -> int:
    slopes = _power_slopes(g, node)
    return _sum_tangents(g, [g.gate("multiply", t, s) for t, s in zip(tangents, slopes, strict=True) if t is not None])


def _simple_power(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    x, y = inputs
    if _is(g, y, 1.0) and g.shape(x) == shape:
        return x
    if _is(g, y, 2.0):
        return g.gate("multiply", x, x)
    if _is(g, y, 0.0):
        return _full(g, 1.0, shape)
    return None


def _choice(g: Graph, node: Any) -> tuple[int, int]:
    """Ones where the first input is taken, and where the second is."""
    x, y = node.inputs
    first = g.gate("less", x, y) if node.gate == "minimum" else g.gate("greater", x, y)
    tie = g.gate("equal", x, y)
    taken = g.gate("add", first, tie)
    return taken, g.gate("subtract", _full(g, 1.0, node.shape), taken)


def _choice_vjp(g: Graph, node: Any, u: int) -> list[int | None]:
    return [g.gate("multiply", u, mask) for mask in _choice(g, node)]


def _choice_jvp(g: Graph, node: Any, tangents: list[int | None]) -> int:
    masks = _choice(g, node)
    return _sum_tangents(g, [g.gate("multiply", t, m) for t, m in zip(tangents, masks, strict=True) if t is not None])


def _where_vjp(g: Graph, node: Any, u: int) -> list[int | None]:
    c = node.inputs[0]
    zero = _full(g, 0.0, node.shape)
    return [None, g.gate("where", c, u, zero), g.gate("where", c, zero, u)]


def _where_jvp(g: Graph, node: Any, tangents: list[int | None]) -> int:
    zero = _full(g, 0.0, node.shape)
    _, tx, ty = tangents
    return g.gate("where", node.inputs[0], zero if tx is None else tx, zero if ty is None else ty)


def _matmul_shape(name: str, shapes: list[Shape], note: Any) -> Shape:
    x, y = shapes
    if len(x) != 2 or len(y) != 2 or x[1] != y[0]:
        raise ShapeError(f"`matmul` must have inputs `(a, b)` and `(b, c)`, got `{x}` and `{y}`")
    return x[0], y[1]


def _matmul_vjp(g: Graph, node: Any, u: int) -> list[int | None]:
    x, y = node.inputs
    return [g.gate("matmul", u, g.gate("transpose", y)), g.gate("matmul", g.gate("transpose", x), u)]


def _flat(g: Graph, node: Any, u: int) -> list[int | None]:
    return [None] * len(node.inputs)


def _still(g: Graph, node: Any, tangents: list[int | None]) -> int:
    return _full(g, 0.0, node.shape)


GATES["add"] = Gate(lambda x, y, note: x + y, _same, lambda g, n, u: [u, u], _add_jvp, True, _no_zero)
GATES["subtract"] = Gate(
    lambda x, y, note: x - y, _same, lambda g, n, u: [u, g.gate("negate", u)], _subtract_jvp, simplify=_minus_zero
)
GATES["multiply"] = Gate(
    lambda x, y, note: x * y,
    _same,
    lambda g, n, u: [g.gate("multiply", u, n.inputs[1]), g.gate("multiply", u, n.inputs[0])],
    _product("multiply"),
    True,
    _zero_or_one,
)
GATES["divide"] = Gate(lambda x, y, note: x / y, _same, _divide_vjp, _divide_jvp, simplify=_over_one)
GATES["power"] = Gate(lambda x, y, note: x**y, _same, _power_vjp, _power_jvp, simplify=_simple_power)
GATES["maximum"] = Gate(lambda x, y, note: np.maximum(x, y), _same, _choice_vjp, _choice_jvp)
GATES["minimum"] = Gate(lambda x, y, note: np.minimum(x, y), _same, _choice_vjp, _choice_jvp)
GATES["where"] = Gate(lambda c, x, y, note: np.where(c != 0, x, y), _same, _where_vjp, _where_jvp)
GATES["matmul"] = Gate(lambda x, y, note: x @ y, _matmul_shape, _matmul_vjp, _product("matmul"))
for _name, _compare in (("greater", np.greater), ("less", np.less), ("equal", np.equal)):
    GATES[_name] = Gate(lambda x, y, note, c=_compare: c(x, y).astype(float), _same, _flat, _still)
