"""The elementwise gates: for each its value, and the derivative shared by its vjp and jvp.

The Jacobian of such a gate is diagonal, so a product with it from the left and one from the right are the same: the
cotangent u of z and the tangent t of an input are both multiplied with ∂z/∂x. One column serves both modes:

    gate            z                       times ∂z/∂x             times ∂z/∂y
    add             x + y                   u                       u             it hands its gradient on unchanged
    subtract        x - y                   u                       -u
    multiply        x y                     u y                     u x           it swaps its inputs
    divide          x / y                   u / y                   -(u / y) z
    power           x ** y                  u y x ** (y - 1)        u z log x     0 at x = 0
    negate          -x                      -u
    exp             exp x                   u z
    expm1           exp x - 1               u (z + 1)
    log             log x                   u / x
    log1p           log(1 + x)              u / (1 + x)
    sqrt            √x                      u (½ / z)
    sin, cos        sin x, cos x            u cos x, -(u sin x)
    arctan          arctan x                u / (x² + 1)
    tanh            tanh x                  u (1 - z²)
    sigmoid         1 / (1 + exp(-x))       u (z (1 - z))
    softplus        log(1 + exp x)          u σ(x)
    erf             2/√π ∫₀ˣ exp(-t²) dt    u (2/√π exp(-x²))
    relu            0 if x <= 0 else x      u if z > 0 else 0       0 at 0
    abs             |x|                     u sign x                0 at 0
    sign            -1, 0 or 1              0
    maximum         the larger              u ([x > y] + ½ [x = y]), u ([y > x] + ½ [x = y])
    minimum         the smaller             likewise                ties: each gets half
    hypot           √(x² + y²)              u (x / z)               u (y / z)     0 at (0, 0)
    where           x if c else y           u if c else 0           0 if c else u
    greater, ...    1 if x > y else 0       0                       0

    vjp   the cotangent of each input is the product above with u
    jvp   the tangent of z is the sum of the products above with the tangents of the inputs

Where a value goes into several gates, x_k = x, its cotangents add, dx = Σ_k dx_k; `walk.py` does that. Powers with a
constant integer exponent up to 64 become products, exponent ½ a root, and -1 a division.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import numpy as np

from fastbp.autodiff.functions import erf_of_array
from fastbp.autodiff.graph import GATES, Gate, Graph, Node, Shape, broadcast

Times = Callable[[Graph, Node, int], "int | None"]
Simplify = Callable[[Graph, tuple[int, ...], Any, Shape], "int | None"]


def elementwise(
    name: str,
    value: Callable[..., Any],
    *times: Times | None,
    exact: bool = False,
    commutes: bool = False,
    simplify: Simplify | None = None,
) -> None:
    """Register a gate; `times` multiply a cotangent or tangent by the derivative in each input, None if 0."""

    def vjp(g: Graph, node: Node, u: int) -> list[int | None]:
        return [None if part is None else part(g, node, u) for part in times]

    def jvp(g: Graph, node: Node, tangents: list[int | None]) -> int | None:
        parts = [
            part(g, node, t) for part, t in zip(times, tangents, strict=True) if part is not None and t is not None
        ]
        return added(g, parts)

    def shape(name: str, shapes: list[Shape], note: Any) -> Shape:
        return broadcast(name, shapes)

    def plain(*inputs: Any, note: Any) -> Any:
        return value(*inputs)

    GATES[name] = Gate(plain, shape, vjp, jvp, (f"gate_{name}",), True, exact, commutes, simplify)


def added(g: Graph, parts: list[int | None]) -> int | None:
    """The sum of those that are not None."""
    out = None
    for part in parts:
        if part is not None:
            out = part if out is None else g.gate("add", out, part)
    return out


def one(g: Graph, node: Node) -> int:
    return g.full(1.0, node.shape)


def zero(g: Graph, node: Node) -> int:
    return g.full(0.0, node.shape)


def times(slope: Callable[[Graph, Node], int]) -> Times:
    """u times a derivative."""
    return lambda g, n, u: g.gate("multiply", u, slope(g, n))


def unchanged(g: Graph, node: Node, u: int) -> int:
    return u


# Simplifications, which save gates in derivatives


def _add_zero(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    for this, other in (inputs, inputs[::-1]):
        if g.number_of(this) == 0.0 and g.shape(other) == shape:
            return other
    return None


def _subtract_zero(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    x, y = inputs
    return x if g.number_of(y) == 0.0 and g.shape(x) == shape else None


def _times_one(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    for this, other in (inputs, inputs[::-1]):
        if g.number_of(this) == 1.0 and g.shape(other) == shape:
            return other
    return None


def _over_one(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    x, y = inputs
    return x if g.number_of(y) == 1.0 and g.shape(x) == shape else None


def _twice_negated(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    node = g.nodes[inputs[0]]
    return node.inputs[0] if node.gate == "negate" else None


LARGEST_INTEGER = 64


def _products(g: Graph, inputs: tuple[int, ...], note: Any, shape: Shape) -> int | None:
    """x ** n by squaring, and x ** ½."""
    x, n = g.spread(inputs[0], shape), g.number_of(inputs[1])
    if n is None or not (n == 0.5 or n == -0.5 or (n == round(n, 0) and abs(n) <= LARGEST_INTEGER)):
        return None
    unit = g.full(1.0, shape)
    if n < 0.0:
        positive = g.gate("power", x, g.full(-n, shape))
        return g.gate("divide", unit, positive)
    if n == 0.5:
        return g.gate("sqrt", x)
    out, power, left = None, x, int(n)
    while left:
        if left % 2:
            out = power if out is None else g.gate("multiply", out, power)
        left //= 2
        if left:
            power = g.gate("multiply", power, power)
    return unit if out is None else out


# Derivatives that need several gates


def _power_by_base(g: Graph, node: Node, u: int) -> int:
    """u y x ** (y - 1), and 0 for y = 0 even where x is 0."""
    x, y = node.inputs
    less = g.gate("subtract", y, one(g, node))
    if g.number_of(y) is None:
        less = g.gate("where", g.gate("equal", y, zero(g, node)), one(g, node), less)
    return g.gate("multiply", u, g.gate("multiply", y, g.gate("power", x, less)))


def _power_by_exponent(g: Graph, node: Node, u: int) -> int | None:
    """u z log x; 0 ** y does not move with y > 0, and below 0 there is no derivative, which is NaN."""
    x, y = node.inputs
    if g.value_of(y) is not None:
        return None
    safe = g.gate("where", g.gate("equal", x, zero(g, node)), one(g, node), x)
    return g.gate("multiply", u, g.gate("multiply", node.number, g.gate("log", safe)))


def _one_and_square(g: Graph, node: Node) -> int:
    (x,) = node.inputs
    return g.gate("add", g.gate("multiply", x, x), one(g, node))


def _over(g: Graph, node: Node, u: int) -> int:
    return g.gate("divide", u, node.inputs[1])


def _share(wins: str, which: int) -> Times:
    """u where this input is taken, half where both are equal."""

    def product(g: Graph, node: Node, u: int) -> int:
        x, y = node.inputs[which], node.inputs[1 - which]
        tie = g.gate("multiply", g.full(0.5, node.shape), g.gate("equal", x, y))
        return g.gate("multiply", u, g.gate("add", g.gate(wins, x, y), tie))

    return product


elementwise("add", np.add, unchanged, unchanged, exact=True, commutes=True, simplify=_add_zero)
elementwise(
    "subtract", np.subtract, unchanged, lambda g, n, u: g.gate("negate", u), exact=True, simplify=_subtract_zero
)
elementwise(
    "multiply",
    np.multiply,
    times(lambda g, n: n.inputs[1]),
    times(lambda g, n: n.inputs[0]),
    exact=True,
    commutes=True,
    simplify=_times_one,
)
elementwise(
    "divide",
    np.divide,
    _over,
    lambda g, n, u: g.gate("negate", g.gate("multiply", _over(g, n, u), n.number)),
    exact=True,
    simplify=_over_one,
)
elementwise("power", np.power, _power_by_base, _power_by_exponent, simplify=_products)
elementwise("negate", np.negative, lambda g, n, u: g.gate("negate", u), exact=True, simplify=_twice_negated)
elementwise("exp", np.exp, times(lambda g, n: n.number))
elementwise("expm1", np.expm1, times(lambda g, n: g.gate("add", n.number, one(g, n))))
elementwise("log", np.log, lambda g, n, u: g.gate("divide", u, n.inputs[0]))
elementwise("log1p", np.log1p, lambda g, n, u: g.gate("divide", u, g.gate("add", one(g, n), n.inputs[0])))
elementwise("sqrt", np.sqrt, times(lambda g, n: g.gate("divide", g.full(0.5, n.shape), n.number)), exact=True)
elementwise("sin", np.sin, times(lambda g, n: g.gate("cos", n.inputs[0])))
elementwise("cos", np.cos, lambda g, n, u: g.gate("negate", g.gate("multiply", u, g.gate("sin", n.inputs[0]))))
elementwise("arctan", np.arctan, lambda g, n, u: g.gate("divide", u, _one_and_square(g, n)))
elementwise("tanh", np.tanh, times(lambda g, n: g.gate("subtract", one(g, n), g.gate("multiply", n.number, n.number))))
elementwise(
    "sigmoid",
    lambda x: np.exp(-np.logaddexp(0.0, -x)),
    times(lambda g, n: g.gate("multiply", n.number, g.gate("subtract", one(g, n), n.number))),
)
elementwise("softplus", lambda x: np.logaddexp(0.0, x), times(lambda g, n: g.gate("sigmoid", n.inputs[0])))
elementwise(
    "relu",
    lambda x: np.where(x <= 0.0, 0.0, x),
    lambda g, n, u: g.gate("where", g.gate("greater", n.number, zero(g, n)), u, zero(g, n)),
    exact=True,
)
elementwise("abs", np.abs, times(lambda g, n: g.gate("sign", n.inputs[0])), exact=True)
elementwise("sign", np.sign, None, exact=True)
elementwise("maximum", np.maximum, _share("greater", 0), _share("greater", 1), exact=True)
elementwise("minimum", np.minimum, _share("less", 0), _share("less", 1), exact=True)


def _leg(which: int) -> Times:
    """u times how much of the whole this leg is."""

    def product(g: Graph, node: Node, u: int) -> int:
        z = node.number
        safe = g.gate("where", g.gate("equal", z, zero(g, node)), one(g, node), z)
        return g.gate("multiply", u, g.gate("divide", node.inputs[which], safe))

    return product


elementwise("hypot", np.hypot, _leg(0), _leg(1))
elementwise(
    "where",
    lambda c, x, y: np.where(c != 0, x, y),
    None,
    lambda g, n, u: g.gate("where", n.inputs[0], u, zero(g, n)),
    lambda g, n, u: g.gate("where", n.inputs[0], zero(g, n), u),
    exact=True,
)


def _truth(compare: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, y: compare(x, y).astype(float)


for _name in ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal"):
    elementwise(_name, _truth(getattr(np, _name)), None, None, exact=True)


def _bell(g: Graph, node: Node) -> int:
    x = node.inputs[0]
    return g.gate(
        "multiply", g.full(2.0 / sqrt(pi), node.shape), g.gate("exp", g.gate("negate", g.gate("multiply", x, x)))
    )


elementwise("erf", erf_of_array, times(_bell))
