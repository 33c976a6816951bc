"""Functions of one vector, of either dtype, without a branch or a call.

Write x = n ln2 + r with n an integer and s = 2ⁿ, which is built in the exponent bits. Then

    exp       s eʳ                         eʳ = 1 + r + r² E(r), |r| <= ln2 / 2
    expm1     s r² E(r) + (s r + (s - 1))  which is eˣ - 1, and r + r² E(r) around 0
    sigmoid   s / (s + e⁻ʳ)                which is 1 / (1 + e⁻ˣ), and accurate where that is tiny
    tanh      N / (N + 2 (1 - u))          2|x| = n ln2 + 2r, u = tanh r = r + r³ T(r²), N = s - 1 + (s + 1) u
    erf       x + x S(x²), 1 - exp(C(x))   the first below 7/8, the second above
    log       k ln2 + g - q (g - z L(z))   x = 2ᵏ (1 + g), 1 + g in [√½, √2), q = g / (2 + g), z = q²
    log1p     the same                     1 + x ≈ 2ᵏ (1 + g) says which k, and g = 2⁻ᵏ x + (2⁻ᵏ - 1)
    softplus  max(x, 0) + log1p(exp(-|x|)), whose k is 0 or 1

tanh is (e²ˣ - 1) / (e²ˣ + 1) multiplied out with e²ˣ = s (1 + u) / (1 - u). Its n is rounded after a quarter
is taken away, so n = 0 up to x = 0.26: there N = 2u, the denominator is 2 exactly, and the result is u.
Above, the rounding error of N stands on both sides of the division and cancels as tanh nears 1; |tanh| <= 1.

expm1 works out half of this, because s is infinite where eˣ - 1 is not yet. In log1p 2⁻ᵏ - 1 is exact where it
matters, so g is rounded once and what 1 + x lost is not lost: x in (-1, 0) comes out as accurate, -1 gives -∞ and
what lies below NaN. The halves and quarters in these two are subnormal for the least x, where the result is x.

E, T, L, S and C are minimax polynomials for the relative error of the result, found in 240-bit arithmetic: E, T
and L by Lawson's reweighted least squares on 90 Chebyshev nodes, S and C by Remez's exchange on 1500. The lowest
coefficient is rounded to the dtype, then the others are fitted again, and so on. C is ln(1 - erf x) from 7/8 to
where erf is 1; its error is weighted with 1 - erf x, which is all that is left of it in the result.

The largest errors seen, in units of the last place, over every float32 and over 10⁸ float64 for each function
(evenly spread, and spread over the exponents); and the operations (a select and its comparison: one):

              exp   expm1  log   log1p  softplus  sigmoid  tanh  erf
    float32   0.90  1.28   0.96  1.50   1.90      2.45     1.75  1.11
    float64   0.89  1.40   1.19  1.80   2.12      2.49     1.87  1.25

    float32   15    19     19    25     28        15       20    29
    float64   20    24     23    29     37        20       24    50

sigmoid passes 1.75 only near x = -17 and x = -37, where s + 1 loses an s of about half a unit.

NaN travels. A subnormal argument may count as zero and a subnormal result may be zero; no normal result
passes through a subnormal, so flushing them changes nothing else. A product never feeds a sum except in an
`fma`, so no compiler can contract these formulas into others with other bits.
"""

from __future__ import annotations

from typing import Any

from fastbp.kernels.constants import FLOAT32, FLOAT64, Format


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


def power_and_rest(x: Any, f: Format, bias: int) -> tuple[Any, Any]:
    """2ⁿ times 2 to the `bias` less the format's own, and r, where x = n ln2 + r."""
    shift = f.round_integer + bias
    t = x.fma(f.log2_e, shift)
    r = without_multiple(x, t - shift, f, 1.0)
    return (t.bits() << f.digits).as_real(), r


def exp_of_finite(x: Any, f: Format) -> Any:
    """exp(x) for x up to exp_most; NaN may turn into a number."""
    t = x.fma(f.log2_e, f.round_integer)
    n = t - f.round_integer
    r = without_multiple(x, n, f, 1.0)
    # s is infinite for n = bias + 1, where s eʳ may still be finite: so n is added to the exponent of eʳ
    y = (polynomial(r, (1.0, 1.0, *f.E)).bits() + (t.bits() << f.digits)).as_real()
    return x.lt(f.exp_least).select(0.0, y)


def exp(x: Any) -> Any:
    f = format_of(x)
    return x.le(f.exp_most).select(exp_of_finite(x, f), x * f.huge)


def expm1(x: Any) -> Any:
    f = format_of(x)
    # half of s, which is finite for n = bias + 1, and so half of the result
    s, r = power_and_rest(at_least(x, -f.sigmoid_most), f, f.bias - 1)
    half = (s * (r * r)).fma(polynomial(r, f.E), s.fma(r, s - 0.5))
    y = x.gt(f.exp_most).select(float("inf"), half + half)
    return x.abs().lt(4.0 * f.tiny).select(x, y)


def sigmoid(x: Any) -> Any:
    f = format_of(x)
    s, r = power_and_rest(at_least(at_most(x, f.sigmoid_most), f.sigmoid_least), f, f.bias)
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


def erf(x: Any) -> Any:
    f = format_of(x)
    a = at_most(x.abs(), f.erf_most)
    near = a.fma(polynomial(a * a, f.S), a)
    s, r = power_and_rest(polynomial(a, f.C), f, f.bias)
    far = (-s).fma(polynomial(r, (1.0, 1.0, *f.E)), 1.0)
    return a.lt(0.875).select(near, far).copysign(x)


def log_near_one(g: Any, f: Format) -> Any:
    """log(1 + g), for 1 + g in [√½, √2)."""
    q = g / (g + 2.0)
    z = q * q
    return (-q).fma(z.fma(polynomial(z, tuple(-c for c in f.L)), g), g)


def exponent_from_root(x: Any, f: Format) -> tuple[Any, Any]:
    """k + bias in the exponent bits, above the bits of 1 + g less those of √½; and k as a real."""
    # moves the fractions from √½ on to the next exponent, so that k is one more for them
    u = x.bits() + ((f.bias << f.digits) - f.sqrt_half)
    # the integer k + bias in the last bits of 2**digits is the number 2**digits + k + bias
    exponent = (f.bias + f.digits) << f.digits
    return u, ((u >> f.digits) | exponent).as_real() - (2.0**f.digits + f.bias)


def log(x: Any) -> Any:
    f = format_of(x)
    u, k = exponent_from_root(x, f)
    g = ((u & ((1 << f.digits) - 1)) + f.sqrt_half).as_real() - 1.0
    y = k.fma(f.ln2_high, k.fma(f.ln2_low, log_near_one(g, f)))
    y = x.lt(f.tiny).select(-float("inf"), y)
    y = x.le(-f.tiny).select(float("nan"), y)
    return x.lt(float("inf")).select(y, x)


def log1p(x: Any) -> Any:
    f = format_of(x)
    # (1 + x) / 2 is finite, and its exponent k - 1
    u, less = exponent_from_root(x.fma(0.5, 0.5), f)
    k = less + 1.0
    # 2² ⁻ ᵏ, which is normal for every k; then g = 2⁻ᵏ x + (2⁻ᵏ - 1)
    exponents = (2 * f.bias + 1) << f.digits
    s = ((u & exponents) ^ exponents).as_real()
    g = (x * 0.25).fma(s, s.fma(0.25, -1.0))
    y = k.fma(f.ln2_high, k.fma(f.ln2_low, log_near_one(g, f)))
    y = x.le(-1.0).select(-float("inf"), y)
    y = x.lt(-1.0).select(float("nan"), y)
    y = x.lt(float("inf")).select(y, x)
    return x.abs().lt(4.0 * f.tiny).select(x, y)


def softplus(x: Any) -> Any:
    f = format_of(x)
    w = exp_of_finite(-x.abs(), f)
    # 1 + w is 1 + g up to √2, and from there 2 (1 + g)
    twice = w.gt(0.4140625)
    y = log_near_one(twice.select(w.fma(0.5, -0.5), w), f)
    y = twice.select((y + f.ln2_low) + f.ln2_high, y)
    return x.lt(0.0).select(0.0, x) + y
