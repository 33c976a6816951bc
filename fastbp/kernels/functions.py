"""exp, log, tanh and sigmoid, without a branch or a call: formulas over one vector `x` of either dtype.

Write x = n ln2 + r with n an integer and s = 2ⁿ, which is built in the exponent bits. Then

    exp      s eʳ                         eʳ = 1 + r + r² E(r), |r| <= ln2 / 2
    sigmoid  s / (s + e⁻ʳ)                which is 1 / (1 + e⁻ˣ), and accurate where that is tiny
    tanh     N / (N + 2 (1 - u))          2|x| = n ln2 + 2r, u = tanh r = r + r³ T(r²), N = s - 1 + (s + 1) u
    log      k ln2 + g - q (g - z L(z))   x = 2ᵏ (1 + g), 1 + g in [√½, √2), q = g / (2 + g), z = q²

tanh is (e²ˣ - 1) / (e²ˣ + 1) multiplied out with e²ˣ = s (1 + u) / (1 - u). Its n is rounded after a quarter
is taken away, so n = 0 up to x = 0.26: there N = 2u, the denominator is 2 exactly, and the result is u.
Above, the rounding error of N stands on both sides of the division and cancels as tanh nears 1; |tanh| <= 1.

E, T and L are minimax polynomials for the relative error of the result, found by Lawson's reweighted least
squares on 90 Chebyshev nodes in 240-bit arithmetic: the lowest coefficient is rounded to the dtype, then the
others are fitted again, and so on.

The largest errors seen, in units of the last place, over every float32 and over 10⁸ float64 for each function
(evenly spread, and spread over the exponents); and the operations (a select and its comparison: one):

              exp   log   tanh  sigmoid        exp  log  tanh  sigmoid
    float32   0.90  0.96  1.75  2.45            15   19    20       15
    float64   0.89  1.19  1.86  2.49            20   23    24       20

sigmoid passes 1.75 only near x = -17 and x = -37, where s + 1 loses an s of about half a unit.

NaN travels. A subnormal argument may count as zero and a subnormal result may be zero; no normal result
passes through a subnormal, so flushing them changes nothing else. A product never feeds a sum except in an
`fma`, so no compiler can contract these formulas into others with other bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Format(NamedTuple):
    """The constants of a dtype; every one is a number of that dtype."""

    digits: int  # of the fraction
    bias: int  # of the exponent
    sqrt_half: int  # the bits of √½
    tiny: float  # the smallest normal number
    huge: float
    round_integer: float  # 1.5 * 2**digits: t = y + round_integer ends in the bits of rint(y)
    log2_e: float
    ln2_high: float
    ln2_low: float  # ln2 - ln2_high
    exp_least: float  # the least x with exp(x) >= tiny
    exp_most: float  # the greatest x with a finite exp(x)
    sigmoid_least: float  # n is -bias here, so s is 0
    sigmoid_most: float  # s + 1 is s here and exp(-x) is lost beside it, so the result is 1
    tanh_most: float  # 1 - tanh(x) is less than half a unit from here on
    E: tuple[float, ...]
    T: tuple[float, ...]
    L: tuple[float, ...]


FLOAT32 = Format(
    digits=23,
    bias=127,
    sqrt_half=0x3F3504F3,
    tiny=2.0**-126,
    huge=2.0**127,
    round_integer=1.5 * 2.0**23,
    log2_e=1.4426950216293335,
    ln2_high=0.6931471824645996,
    ln2_low=-1.9046542121259336e-09,
    exp_least=-87.33654022216797,
    exp_most=88.72283172607422,
    sigmoid_least=-88.0,
    sigmoid_most=40.0,
    tanh_most=9.5,
    E=(
        0.4999999403953552,
        0.1666652113199234,
        0.04166825860738754,
        0.00836866907775402,
        0.0013821354368701577,
    ),
    T=(-0.3333321511745453, 0.13322700560092926, -0.05122752860188484),
    L=(0.6666677594184875, 0.39977583289146423, 0.2987079322338104),
)

FLOAT64 = Format(
    digits=52,
    bias=1023,
    sqrt_half=0x3FE6A09E667F3BCD,
    tiny=2.0**-1022,
    huge=2.0**1023,
    round_integer=1.5 * 2.0**52,
    log2_e=1.4426950408889634,
    ln2_high=0.6931471805599453,
    ln2_low=2.3190468138462996e-17,
    exp_least=-708.3964185322641,
    exp_most=709.782712893384,
    sigmoid_least=-709.0,
    sigmoid_most=40.0,
    tanh_most=20.0,
    E=(
        0.5000000000000011,
        0.1666666666666645,
        0.041666666666527324,
        0.008333333333473563,
        0.0013888888944206166,
        0.0001984126954803437,
        2.4801492613122808e-05,
        2.755755181692968e-06,
        2.7630394138604994e-07,
        2.501039889531936e-08,
    ),
    T=(
        -0.33333333333332427,
        0.13333333332989858,
        -0.053968253527932525,
        0.02186946174566079,
        -0.00886236200138209,
        0.003576409020605021,
        -0.001307660720781875,
    ),
    L=(
        0.6666666666666734,
        0.39999999999416697,
        0.28571428742010674,
        0.2222219860707645,
        0.18183562741670342,
        0.15314087676409555,
        0.1479560507744408,
    ),
)


def format_of(x: Any) -> Format:
    return FLOAT32 if x.is_float32 else FLOAT64


def polynomial(x: Any, coefficients: tuple[float, ...]) -> Any:
    """c₀ + c₁ x + c₂ x² + ... by Horner's rule."""
    *lower, second, first = coefficients
    y = x.fma(first, second)
    for c in reversed(lower):
        y = y.fma(x, c)
    return y


def at_most(x: Any, limit: float) -> Any:
    # x.min(limit) would turn NaN into the limit
    return x.gt(limit).select(limit, x)


def at_least(x: Any, limit: float) -> Any:
    return x.lt(limit).select(limit, x)


def without_multiple(x: Any, n: Any, f: Format, scale: float) -> Any:
    """x - n scale ln2, the scale a power of two: the first step is exact, the second adds the rest of ln2."""
    return n.fma(-f.ln2_low * scale, n.fma(-f.ln2_high * scale, x))


def exp(x: Any) -> Any:
    f = format_of(x)
    t = x.fma(f.log2_e, f.round_integer)
    n = t - f.round_integer
    r = without_multiple(x, n, f, 1.0)
    # s is infinite for n = bias + 1, where s eʳ may still be finite: so n is added to the exponent of eʳ
    y = (polynomial(r, (1.0, 1.0, *f.E)).bits() + (t.bits() << f.digits)).as_real()
    y = x.lt(f.exp_least).select(0.0, y)
    return x.le(f.exp_most).select(y, x * f.huge)


def sigmoid(x: Any) -> Any:
    f = format_of(x)
    x = at_least(at_most(x, f.sigmoid_most), f.sigmoid_least)
    shift = f.round_integer + f.bias
    t = x.fma(f.log2_e, shift)
    r = without_multiple(x, t - shift, f, 1.0)
    s = (t.bits() << f.digits).as_real()
    # e⁻ʳ - 1 = r P(r); s + 1 is exact but for very small and very large s
    P = tuple(c if i % 2 else -c for i, c in enumerate((1.0, *f.E)))
    return s / r.fma(polynomial(r, P), s + 1.0)


def tanh(x: Any) -> Any:
    f = format_of(x)
    a = at_most(x.abs(), f.tanh_most)
    shift = f.round_integer + f.bias
    t = a.fma(2.0 * f.log2_e, -0.25) + shift
    r = without_multiple(a, t - shift, f, 0.5)
    s = (t.bits() << f.digits).as_real()
    z = r * r
    u = (r * z).fma(polynomial(z, f.T), r)
    N = u.fma(s + 1.0, s - 1.0)
    return (N / (N + u.fma(-2.0, 2.0))).copysign(x)


def log(x: Any) -> Any:
    f = format_of(x)
    # moves the fractions from √½ on to the next exponent, so that k is one more for them
    u = x.bits() + ((f.bias << f.digits) - f.sqrt_half)
    # the integer k + bias in the last bits of 2**digits is the number 2**digits + k + bias
    exponent = (f.bias + f.digits) << f.digits
    k = ((u >> f.digits) | exponent).as_real() - (2.0**f.digits + f.bias)
    g = ((u & ((1 << f.digits) - 1)) + f.sqrt_half).as_real() - 1.0
    q = g / (g + 2.0)
    z = q * q
    y = (-q).fma(z.fma(polynomial(z, tuple(-c for c in f.L)), g), g)
    y = k.fma(f.ln2_high, k.fma(f.ln2_low, y))
    y = x.lt(f.tiny).select(-float("inf"), y)
    y = x.le(-f.tiny).select(float("nan"), y)
    return x.lt(float("inf")).select(y, x)
