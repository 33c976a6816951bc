"""The gates of traced functions that work number by number: z = f(x), f(x, y) or f(c, x, y).

    forward   z  = f(x, y)           this kernel
    vjp       dx = dz ∘ ∂f/∂x        more gates of the same kind, on the values that the forward pass has
    jvp       tz = tx ∘ ∂f/∂x + ...  the same

The vjp and the jvp of every gate stand in one table, `fastbp.autodiff.gates`, in terms of other gates; so a derivative
is differentiated as a function is, and no gate has a second kernel. Formulas are exact to the bit on every machine:
NumPy's where IEEE 754 says what comes out, our own `functions`, `trigonometry` and `power` where it does not.

    comparisons   1 where they hold and 0 where not; only `not_equal` holds for NaN
    maximum       NaN where either is; likewise minimum
    relu          0 if x <= 0 else x, so NaN travels
    hypot         infinite where either is, whatever the other
    sign          0 at both zeros
    where         x where c is not 0, so also where it is NaN

An operand is a panel matrix, or one row or one column or one number that stands for a whole matrix: `A_ROW` is how far
its next row is, 0 for the same one again, and its stride is 0 where one panel serves for all. One that lives only while
a block of rows goes through several gates holds one block: `A_BACK` takes the rows before it away.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature

from fastbp.kernels import functions, power, trigonometry
from fastbp.kernels.constants import FLOAT32, FLOAT64
from fastbp.kernels.flags import kernel
from fastbp.kernels.memory import load, store
from fastbp.kernels.ops import NumberGateOp
from fastbp.kernels.vector import LINE, V, vector_function


def repeated(like: V, number: float) -> V:
    """A number in every lane."""
    return like.new(like.like(number))


def truth(mask: V, like: V) -> V:
    return mask.select(repeated(like, 1.0), 0.0)


def same(x: V, y: V) -> V:
    return x.le(y) & x.ge(y)


def sign(x: V) -> V:
    return x.gt(0.0).select(repeated(x, 1.0), x.lt(0.0).select(-1.0, x.isnan().select(x, 0.0)))


def hypot(x: V, y: V) -> V:
    """m sqrt(1 + q²), where m is the larger magnitude and q the smaller over it: no square is too large or small.

    A subnormal m gives 0, and says so: of m * 1 it depends on the machine whether that is a product that is flushed.
    """
    a, b = x.abs(), y.abs()
    m = a.ge(b).select(a, b)
    least, most = FLOAT32 if x.is_float32 else FLOAT64, float("inf")
    q = a.ge(b).select(b, a) / m
    z = m.lt(least.tiny).select(0.0, m * q.fma(q, 1.0).sqrt())
    return a.ge(most).select(a, b.ge(most).select(b, a.isnan().select(a, z)))


FORMULAS: dict[str, Callable[..., V]] = {
    "copy": lambda x: x,
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "power": power.power,
    "negate": lambda x: -x,
    "exp": functions.exp,
    "expm1": functions.expm1,
    "log": functions.log,
    "log1p": functions.log1p,
    "sqrt": lambda x: x.sqrt(),
    "sin": trigonometry.sin,
    "cos": trigonometry.cos,
    "arctan": trigonometry.arctan,
    "tanh": functions.tanh,
    "sigmoid": functions.sigmoid,
    "softplus": functions.softplus,
    "erf": functions.erf,
    "relu": lambda x: x.le(0.0).select(0.0, x),
    "abs": lambda x: x.abs(),
    "sign": sign,
    "maximum": lambda x, y: x.isnan().select(x, x.ge(y).select(x, y)),
    "minimum": lambda x, y: x.isnan().select(x, x.le(y).select(x, y)),
    "greater": lambda x, y: truth(x.gt(y), x),
    "greater_equal": lambda x, y: truth(x.ge(y), x),
    "less": lambda x, y: truth(x.lt(y), x),
    "less_equal": lambda x, y: truth(x.le(y), x),
    "equal": lambda x, y: truth(same(x, y), x),
    "not_equal": lambda x, y: same(x, y).select(repeated(x, 0.0), 1.0),
    "hypot": hypot,
    "where": lambda c, x, y: same(c, repeated(c, 0.0)).select(y, x),
}


def gate(name: str, formula: Callable[..., V]) -> None:
    """Make the kernel `gate_<name>`: C = f(A), f(A, B) or f(A, B, Y)."""
    apply = vector_function(formula)

    def one(op, me, r0, r1, z):
        a_row = op.a.row
        a_block, c_block = op.a.start - r0 * op.a.back, op.c.start - r0 * op.c.back
        for panel in range(op.panels):
            a = a_block + panel * op.a.stride
            c = c_block + panel * op.c.stride
            for r in range(r0, r1):
                store(c + r * LINE, apply(load(a + r * a_row, z)))

    def two(op, me, r0, r1, z):
        a_row, b_row = op.a.row, op.b.row
        a_block, b_block = op.a.start - r0 * op.a.back, op.b.start - r0 * op.b.back
        c_block = op.c.start - r0 * op.c.back
        for panel in range(op.panels):
            a = a_block + panel * op.a.stride
            b = b_block + panel * op.b.stride
            c = c_block + panel * op.c.stride
            for r in range(r0, r1):
                store(c + r * LINE, apply(load(a + r * a_row, z), load(b + r * b_row, z)))

    def three(op, me, r0, r1, z):
        a_row, b_row, y_row = op.a.row, op.b.row, op.y.row
        a_block, b_block = op.a.start - r0 * op.a.back, op.b.start - r0 * op.b.back
        y_block, c_block = op.y.start - r0 * op.y.back, op.c.start - r0 * op.c.back
        for panel in range(op.panels):
            a = a_block + panel * op.a.stride
            b = b_block + panel * op.b.stride
            y = y_block + panel * op.y.stride
            c = c_block + panel * op.c.stride
            for r in range(r0, r1):
                store(c + r * LINE, apply(load(a + r * a_row, z), load(b + r * b_row, z), load(y + r * y_row, z)))

    function = (one, two, three)[len(signature(formula).parameters) - 1]
    function.__name__ = f"gate_{name}"
    kernel(NumberGateOp)(function)


for _name, _formula in FORMULAS.items():
    gate(_name, _formula)
