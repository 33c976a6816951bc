"""Sine, cosine and arctangent of one vector, of either dtype, without a branch or a call.

Write x = n π/2 + r with n an integer and |r| <= π/4. Then n says which of the two functions of r it is, and its sign:

    n mod 4     0        1        2        3             sin r = r + r³ S(r²)
    sin x     sin r    cos r   -sin r   -cos r           cos r = 1 - r²/2 + r⁴ C(r²)
    cos x     cos r   -sin r   -cos r    sin r

n is x 2/π rounded, and then corrected by what is left, because for large x the product is far from exact. Then
r = ((x - n P₁) - n P₂) - n P₃, each step one fma, with P₁ + P₂ + P₃ = π/2 to three times the digits of the dtype (Cody
and Waite). The first step is exact, because its result is a multiple of the last place of P₁ and less than 1; the
second is rounded once, however much of it cancels; the third adds what is left of π/2. So r is accurate at the
multiples of π/2 too, as long as n and its last two bits are exact: beyond `most`, 2²² in float32 and 2⁵⁰ in float64,
the result is NaN. Neighbouring numbers are half a radian and an eighth of one apart there.

S and C are minimax polynomials for the relative error of the result, found in 240-bit arithmetic by Lawson's reweighted
least squares on 90 Chebyshev nodes, the lowest coefficient rounded first and the others fitted again.

The largest errors seen, in units of the last place, over 2.5 million float32 and 120,000 float64 (evenly spread up to
100, spread over the exponents up to `most`, and the neighbours of multiples of π/2):

              sin   cos
    float32   1.98  2.11
    float64   1.50  1.50

The arctangent of a = |x| is h + arctan t with |t| <= tan π/8, and of t it is t + t³ A(t²):

    a up to tan π/8        t = a                    h = 0
    a up to tan 3π/8       t = (a - 1) / (a + 1)    h = π/4
    above                  t = -1 / a               h = π/2

h is in two parts, of which the small one is added first. A interpolates at the Chebyshev nodes of t².
The largest errors seen are 2.06 in float32, over 2.4 million, and 1.90 in float64, over 80,000, half of them spread
over the exponents and half evenly up to 4.

NaN travels, and infinities have no sine: they give NaN. Nothing normal passes through a subnormal.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastbp.kernels.constants import FLOAT32, FLOAT64
from fastbp.kernels.functions import polynomial


class Circle(NamedTuple):
    """The constants of a dtype; every one is a number of that dtype."""

    round_integer: float  # as in `constants`
    most: float  # n and its last two bits are exact up to here
    small: float  # sin x is x up to here
    two_over_pi: float
    P: tuple[float, float, float]
    S: tuple[float, ...]
    C: tuple[float, ...]
    quarter: tuple[float, float]  # π/4 in two parts
    A: tuple[float, ...]


TAN_EIGHTH, TAN_THREE_EIGHTHS = 0.41421356, 2.41421356  # of π; where the ranges meet need not be exact


CIRCLE32 = Circle(
    round_integer=FLOAT32.round_integer,
    most=2.0**22,
    small=2.0**-12,
    two_over_pi=0.6366197466850281,
    P=(1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    S=(-0.16666655242443085, 0.008332191966474056, -0.00019518785120453686),
    C=(0.04166664555668831, -0.0013887310633435845, 2.4432563805021346e-05),
    quarter=(0.7853981852531433, -2.1855694143368964e-08),
    A=(-0.3333333134651184, 0.19999539852142334, -0.14263950288295746, 0.10743668675422668, -0.06451718509197235),
)

CIRCLE64 = Circle(
    round_integer=FLOAT64.round_integer,
    most=2.0**50,
    small=2.0**-27,
    two_over_pi=0.6366197723675814,
    P=(1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
    S=(
        -0.16666666666666632,
        0.008333333333322488,
        -0.00019841269829855233,
        2.755731370577163e-06,
        -2.5050760003042006e-08,
        1.5896893084979913e-10,
    ),
    C=(
        0.041666666666666595,
        -0.001388888888887334,
        2.4801587288999623e-05,
        -2.755731421606343e-07,
        2.0875705232563916e-09,
        -1.13587393826391e-11,
    ),
    quarter=(0.7853981633974483, 3.061616997868383e-17),
    A=(
        -0.3333333333333333,
        0.19999999999995516,
        -0.14285714284665682,
        0.11111111015187018,
        -0.0909090457530649,
        0.07692183125376892,
        -0.06664510525508936,
        0.05858140904866328,
        -0.050854078345894844,
        0.03923044778479309,
        -0.019175404711104935,
    ),
)


def circle_of(x: Any) -> Circle:
    return CIRCLE32 if x.is_float32 else CIRCLE64


def quarter_turns(x: Any, c: Circle) -> tuple[Any, Any]:
    """n in the last bits, and r."""
    high, middle, low = c.P
    n = x.fma(c.two_over_pi, c.round_integer) - c.round_integer
    # the product was rounded, which for large x counts: another time with what is left
    t = n.fma(-high, x).fma(c.two_over_pi, n + c.round_integer)
    n = t - c.round_integer
    return t.bits(), n.fma(-low, n.fma(-middle, n.fma(-high, x)))


def of_turn(x: Any, n: Any, r: Any, c: Circle) -> Any:
    """The sine of n quarter turns and r; NaN where x is out of range."""
    z = r * r
    sine = (r * z).fma(polynomial(z, c.S), r)
    cosine = (z * z).fma(polynomial(z, c.C), z.fma(-0.5, 1.0))
    y = (n & 1).gt(0).select(cosine, sine)
    y = (n & 2).gt(0).select(-y, y)
    return x.abs().le(c.most).select(y, x * float("nan"))


def sin(x: Any) -> Any:
    c = circle_of(x)
    n, r = quarter_turns(x, c)
    return x.abs().le(c.small).select(x, of_turn(x, n, r, c))


def cos(x: Any) -> Any:
    c = circle_of(x)
    n, r = quarter_turns(x, c)
    return of_turn(x, n + 1, r, c)


def arctan(x: Any) -> Any:
    c = circle_of(x)
    high, low = c.quarter
    a = x.abs()
    far, middle = a.gt(TAN_THREE_EIGHTHS), a.gt(TAN_EIGHTH)
    t = far.select(-1.0, middle.select(a - 1.0, a)) / far.select(a, middle.select(a + 1.0, 1.0))
    z = t * t
    y = (t * z).fma(polynomial(z, c.A), t)
    y = far.select(y + 2.0 * low + 2.0 * high, middle.select(y + low + high, y))
    return x.isnan().select(x, y.copysign(x))
