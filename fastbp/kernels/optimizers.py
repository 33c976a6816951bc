"""Optimisers: what a gradient does to its parameters, line by line, while both are in cache.

    sgd     m ← μ m + g                          p ← p - η m
    adam    m ← m + (1 - β1)(g - m)              p ← p (1 - η λ) - η / (1 - β1ᵗ) · m / (√v / √(1 - β2ᵗ) + ε)
            v ← β2 v + (1 - β2) g²               λ = 0 for Adam, the decoupled decay for AdamW
    keep_gradients                               the gradient goes to GRADIENTS and nothing is updated

A kernel gets the head as its record, `r0` as the offset of the first line inside PARAMETERS (and inside the moments,
which are laid out alike) and `r1` as the number of lines; their gradients lie at the worker's RUNS. Beside each
stands its `<name>_factors(head, rate)`, which turns SETTINGS and the step's number into what every line is multiplied
with, once a step.
"""

from __future__ import annotations

from math import sqrt

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.layout import FACTORS, GRADIENTS, MOMENT_1, MOMENT_2, PARAMETERS, RUNS, SETTINGS, STEP
from fastbp.kernels.memory import as_real, get, get_double, load, put_double, store
from fastbp.kernels.vector import LINE, V, vector_function


@vector_function(count=2)
def sgd_line(p: V, g: V, m: V, rate: V, momentum: V) -> tuple[V, V]:
    m = m.fma(momentum, g)
    return p - rate * m, m


@vector_function
def descend(p: V, g: V, rate: V) -> V:
    return p - rate * g


LARGE = 1e37  # beyond it 1 / b is about to be subnormal


def quotient(a: V, b: V) -> V:
    """a / b for b > 0, to about one unit in the last place; 0 for b beyond 1e37 and for infinity.

    In float32 by multiplications: the bits of b taken from a constant are 1 / b to 6 %, one cubic and one quadratic
    Newton step make that 1e-7. The divider, which the square root keeps busy, is the narrowest part of Adam's line.
    """
    if not b.is_float32:
        return a / b
    r = (0x7EF311C7 - b.bits()).as_real()
    e = (-b).fma(r, 1.0)
    r = r.fma(e.fma(e, e), r)
    e = (-b).fma(r, 1.0)
    r = r.fma(e, r)
    return b.ge(LARGE).select(0.0, a * r)


@vector_function(count=3)
def adam_line(
    p: V, g: V, m: V, v: V, keep: V, step: V, rate_1: V, beta_2: V, rate_2: V, root: V, eps: V
) -> tuple[V, V, V]:
    m = (g - m).fma(rate_1, m)
    v = (g * g).fma(rate_2, v * beta_2)
    denominator = v.sqrt().fma(root, eps)
    return p * keep - step * quotient(m, denominator), m, v


@kernel
def sgd(head, me, r0, r1, z):
    rate = as_real(get_double(head, FACTORS), z)
    momentum = as_real(get_double(head, FACTORS + 1), z)
    p = get(head, PARAMETERS) + r0
    g = get(me, RUNS)
    if get_double(head, FACTORS + 1) == 0.0:
        for o in range(0, r1 * LINE, LINE):
            store(p + o, descend(load(p + o, z), load(g + o, z), rate))
        return
    m = get(head, MOMENT_1) + r0
    for o in range(0, r1 * LINE, LINE):
        new_p, new_m = sgd_line(load(p + o, z), load(g + o, z), load(m + o, z), rate, momentum)
        store(p + o, new_p)
        store(m + o, new_m)


@kernel
def sgd_factors(head, me, r0, r1, z):
    """FACTORS: η of this step, which stands there already, and μ. SETTINGS: μ."""
    put_double(head, FACTORS + 1, get_double(head, SETTINGS))


@kernel
def adam(head, me, r0, r1, z):
    keep = as_real(get_double(head, FACTORS), z)
    step = as_real(get_double(head, FACTORS + 1), z)
    rate_1 = as_real(get_double(head, FACTORS + 2), z)
    beta_2 = as_real(get_double(head, FACTORS + 3), z)
    rate_2 = as_real(get_double(head, FACTORS + 4), z)
    root = as_real(get_double(head, FACTORS + 5), z)
    eps = as_real(get_double(head, FACTORS + 6), z)
    p = get(head, PARAMETERS) + r0
    m = get(head, MOMENT_1) + r0
    v = get(head, MOMENT_2) + r0
    g = get(me, RUNS)
    for o in range(0, r1 * LINE, LINE):
        new_p, new_m, new_v = adam_line(
            load(p + o, z), load(g + o, z), load(m + o, z), load(v + o, z),
            keep, step, rate_1, beta_2, rate_2, root, eps,
        )  # fmt: skip
        store(p + o, new_p)
        store(m + o, new_m)
        store(v + o, new_v)


@inlined
def power(base, exponent):
    """base to a whole power by repeated squaring: the same bits wherever a run is resumed."""
    out = 1.0
    while exponent > 0:
        if exponent & 1:
            out *= base
        base *= base
        exponent >>= 1
    return out


@kernel
def adam_factors(head, me, r0, r1, z):
    """FACTORS: 1 - ηλ, η / (1 - β1ᵗ), 1 - β1, β2, 1 - β2, 1 / √(1 - β2ᵗ), ε. SETTINGS: β1, β2, ε, λ."""
    rate = get_double(head, FACTORS)
    beta_1 = get_double(head, SETTINGS)
    beta_2 = get_double(head, SETTINGS + 1)
    t = get(head, STEP) + 1
    put_double(head, FACTORS, 1.0 - rate * get_double(head, SETTINGS + 3))
    put_double(head, FACTORS + 1, rate / (1.0 - power(beta_1, t)))
    put_double(head, FACTORS + 2, 1.0 - beta_1)
    put_double(head, FACTORS + 3, beta_2)
    put_double(head, FACTORS + 4, 1.0 - beta_2)
    put_double(head, FACTORS + 5, 1.0 / sqrt(1.0 - power(beta_2, t)))
    put_double(head, FACTORS + 6, get_double(head, SETTINGS + 2))


@kernel
def keep_gradients(head, me, r0, r1, z):
    g = get(me, RUNS)
    out = get(head, GRADIENTS) + r0
    for o in range(0, r1 * LINE, LINE):
        store(out + o, load(g + o, z))


@kernel
def keep_gradients_factors(head, me, r0, r1, z):
    """Nothing to prepare."""
