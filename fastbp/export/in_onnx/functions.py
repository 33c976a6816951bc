"""Gates for which ONNX has no operator, or ONNX Runtime none of float64, as several nodes.

    expm1      tanh(x/2) (exp x + 1), in which nothing cancels
    log1p      log u + (x - (u - 1)) / u, u = 1 + x as it is rounded; x itself where that is infinite
    softplus   max(x, 0) + log1p(exp(-|x|))
    hypot      m √((x/m)² + (y/m)²), m the larger of |x| and |y|, or 1 where both are 0
    erf        x + x S(x²) up to 7/8, above 1 - exp C(|x|) with the sign of x
    arctan     h + t + t³ A(t²), t as in `fastbp.kernels.trigonometry`

Polynomials are those of the kernels. float32 has operators of its own for the last two and softplus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastbp.kernels.constants import FLOAT64
from fastbp.kernels.trigonometry import CIRCLE64, TAN_EIGHTH, TAN_THREE_EIGHTHS


def _polynomial(to: Any, x: str, coefficients: Sequence[float]) -> str:
    """c₀ + c₁ x + c₂ x² + ..."""
    out: str = to.scalar(coefficients[-1])
    for c in coefficients[-2::-1]:
        out = to.onnx.node("Add", to.onnx.node("Mul", out, x), to.scalar(c))
    return out


def _expm1(to: Any, x: str) -> str:
    node = to.onnx.node
    half = node("Tanh", node("Mul", x, to.scalar(0.5)))
    found: str = node("Mul", half, node("Add", node("Exp", x), to.scalar(1.0)))
    return found


def _log1p(to: Any, x: str) -> str:
    node, one = to.onnx.node, to.scalar(1.0)
    u = node("Add", x, one)
    lost = node("Div", node("Sub", x, node("Sub", u, one)), u)
    found: str = node("Where", node("Equal", u, to.scalar(float("inf"))), x, node("Add", node("Log", u), lost))
    return found


def _softplus(to: Any, x: str) -> str:
    node = to.onnx.node
    if to.gates.dtype.itemsize == 4:
        found: str = node("Softplus", x)
        return found
    above = node("Max", x, to.scalar(0.0))
    below = _log1p(to, node("Exp", node("Neg", node("Abs", x))))
    found = node("Add", above, below)
    return found


def _hypot(to: Any, x: str, y: str) -> str:
    node = to.onnx.node
    most = node("Max", node("Abs", x), node("Abs", y))
    most = node("Where", node("Equal", most, to.scalar(0.0)), to.scalar(1.0), most)
    squares = [node("Mul", part, part) for part in (node("Div", x, most), node("Div", y, most))]
    found: str = node("Mul", most, node("Sqrt", node("Add", *squares)))
    return found


def _erf(to: Any, x: str) -> str:
    node = to.onnx.node
    if to.gates.dtype.itemsize == 4:
        found: str = node("Erf", x)
        return found
    a = node("Min", node("Abs", x), to.scalar(FLOAT64.erf_most))
    near = node("Add", a, node("Mul", a, _polynomial(to, node("Mul", a, a), FLOAT64.S)))
    far = node("Sub", to.scalar(1.0), node("Exp", _polynomial(to, a, FLOAT64.C)))
    of = node("Where", node("Less", a, to.scalar(0.875)), near, far)
    found = node("Mul", node("Sign", x), of)
    return found


def _arctan(to: Any, x: str) -> str:
    node, one = to.onnx.node, to.scalar(1.0)
    if to.gates.dtype.itemsize == 4:
        found: str = node("Atan", x)
        return found
    a = node("Abs", x)
    middle, far = node("Greater", a, to.scalar(TAN_EIGHTH)), node("Greater", a, to.scalar(TAN_THREE_EIGHTHS))
    over = node("Neg", node("Div", one, node("Where", far, a, one)))
    t = node("Where", middle, node("Div", node("Sub", a, one), node("Add", a, one)), a)
    t = node("Where", far, over, t)
    quarter = CIRCLE64.quarter[0]
    h = node("Where", far, to.scalar(2.0 * quarter), node("Where", middle, to.scalar(quarter), to.scalar(0.0)))
    z = node("Mul", t, t)
    curve = node("Add", t, node("Mul", node("Mul", t, z), _polynomial(to, z, CIRCLE64.A)))
    found = node("Mul", node("Sign", x), node("Add", h, curve))
    return found


FUNCTIONS: dict[str, Callable[..., str]] = {
    "expm1": _expm1,
    "log1p": _log1p,
    "softplus": _softplus,
    "hypot": _hypot,
    "erf": _erf,
    "arctan": _arctan,
}
