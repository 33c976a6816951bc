"""Adam (Kingma and Ba, 2015) and its relatives: the mean of gradients over the root of the mean of their squares.

    adam        m ← m + (1 - β1)(g - m)             p ← p k - η / (1 - β1ᵗ) · m / (√v / √(1 - β2ᵗ) + ε)
                v ← β2 v + (1 - β2) g²              _amsgrad: the largest v so far in the place of v
    nadam       m, v as for adam                    p ← p k - (η1 g + η2 m) / (√v / √(1 - β2ᵗ) + ε)
    radam       m, v as for adam                    p ← p k - η r m / (√v + ε), without the root while t is small

    bounds      M = mean of M and g'                D = η (R + T / ε)     or η M / ε; V and its largest as v is averaged
                                                    nadam: η1 ratio(1 - β2) + η2 (R + T / ε)

For means |m| <= R √v + T: with q = β1² / β2 and R² = 4 (1 - β1)² / ((1 - β2)(1 - q)), by Cauchy and Schwarz

    β1 R √v + (1 - β1) |g| <= √(q R² + (1 - β1)² / (1 - β2)) √(β2 v + (1 - β2) g²) = R √((1 + 3 q) / 4) √v'

so that R stays, with room for roundings, and T ← β1 T but for what is flushed. T is 0 where moments begin at 0, and
looked for where they are not known. So D does not grow with λ P, or the bounds would chase each other.
"""

from __future__ import annotations

from math import sqrt

from fastbp.kernels import functions
from fastbp.kernels.fields import LINE, Real
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.memory import as_real, bytes_of, call_kernel, fill, get_real, load, store
from fastbp.kernels.optimizers.bounds import (
    WIDER,
    averaged,
    conclude,
    largest_gradient,
    ratio,
    scaled,
    squared,
    tiny_of,
)
from fastbp.kernels.optimizers.rule import Factors, Rate, Settings, mean_line, power, quotient, rule, squares_line
from fastbp.kernels.records import TRIAL_LINES, Head
from fastbp.kernels.vector import V, vector_function
from fastbp.kernels.words import address_of, at


class AdamSettings(Settings):
    beta_1 = Real("β1")
    beta_2 = Real("β2")
    eps = Real("ε")
    momentum_decay = Real("ψ, of nadam")


class AdamFactors(Factors):
    step = Rate("η / (1 - β1ᵗ); of radam also times r √(1 - β2ᵗ)")
    part_1 = Real("1 - β1")
    keep_2 = Real("β2")
    part_2 = Real("1 - β2")
    root = Real("what √v is multiplied with: 1 / √(1 - β2ᵗ), of radam 1 or 0")
    eps = Real("what is added to that: ε, of radam without the root 1")


class NAdamFactors(AdamFactors):
    ahead = Rate("η (1 - μ_t) / (1 - Π μ), for g; `step` is η μ_{t+1} / (1 - Π μ μ_{t+1})")


settings_at, factors_at, nadam_at = at(AdamSettings), at(AdamFactors), at(NAdamFactors)

# --- factors ---------------------------------------------------------------------------------------------------------


@inlined
def prepare(head, rate, root, eps):
    """What all of them share."""
    settings, f = settings_at(head.update.settings), factors_at(head.update.factors)
    f.step = rate
    f.part_1, f.keep_2, f.part_2 = 1.0 - settings.beta_1, settings.beta_2, 1.0 - settings.beta_2
    f.root, f.eps = root, eps


@kernel(Head, None)
def adam_factors(head, me, r0, r1, z):
    settings = settings_at(head.update.settings)
    t = head.step.number + 1
    root = 1.0 / sqrt(1.0 - power(settings.beta_2, t))
    rate = factors_at(head.update.factors).rate / (1.0 - power(settings.beta_1, t))
    prepare(head, rate, root, settings.eps)


LOG_0_96 = -0.040821994520255166  # of nadam's schedule: 0.96 ** (t ψ)


@vector_function(scalar=True)
def first_exp(x: V) -> V:
    return functions.exp(x)


@inlined
def nadam_momentum(settings, t):
    """μ_t = β1 (1 - ½ 0.96 ** (t ψ))."""
    return settings.beta_1 * (1.0 - 0.5 * first_exp(fill(t * settings.momentum_decay * LOG_0_96)))


@kernel(Head, None)
def nadam_factors(head, me, r0, r1, z):
    """Π μ, over the steps up to t, is carried along; a run that was resumed multiplies it up again, in that order."""
    settings, f = settings_at(head.update.settings), nadam_at(head.update.factors)
    t = head.step.number + 1
    product = head.update.running
    done = head.update.running_at
    if done >= t or done == 0:
        product = 1.0
        done = 0
    while done < t:
        done += 1
        product *= nadam_momentum(settings, done)
    head.update.running = product
    head.update.running_at = done
    now, following = nadam_momentum(settings, t), nadam_momentum(settings, t + 1)
    rate = f.rate
    root = 1.0 / sqrt(1.0 - power(settings.beta_2, t))
    f.ahead = rate * (1.0 - now) / (1.0 - product)
    prepare(head, rate * following / (1.0 - product * following), root, settings.eps)


@kernel(Head, None)
def radam_factors(head, me, r0, r1, z):
    """With ρ = 2 / (1 - β2) - 1 and ρ_t = ρ - 2 t β2ᵗ / (1 - β2ᵗ): where ρ_t > 5 adam's step times
    r = √((ρ_t - 4)(ρ_t - 2) ρ / ((ρ - 4)(ρ - 2) ρ_t)), before that the step of the mean alone (Liu et al., 2020).
    """
    settings = settings_at(head.update.settings)
    t = head.step.number + 1
    left = power(settings.beta_2, t)
    limit = 2.0 / (1.0 - settings.beta_2) - 1.0
    length = limit - 2.0 * t * left / (1.0 - left)
    rate = factors_at(head.update.factors).rate / (1.0 - power(settings.beta_1, t))
    root, added = 0.0, 1.0
    if length > 5.0:
        top = (length - 4.0) * (length - 2.0) * limit
        rate *= sqrt(top / ((limit - 4.0) * (limit - 2.0) * length)) * sqrt(1.0 - left)
        root, added = 1.0, settings.eps
    prepare(head, rate, root, added)


# --- lines -----------------------------------------------------------------------------------------------------------


def adam(p, g, m, v, k, f):
    m, v = mean_line(m, g, f.part_1), squares_line(v, g, f.keep_2, f.part_2)
    return p * k - f.step * quotient(m, v.sqrt().fma(f.root, f.eps)), m, v


def adam_amsgrad(p, g, m, v, top, k, f):
    m, v = mean_line(m, g, f.part_1), squares_line(v, g, f.keep_2, f.part_2)
    top = v.gt(top).select(v, top)
    return p * k - f.step * quotient(m, top.sqrt().fma(f.root, f.eps)), m, v, top


def nadam(p, g, m, v, k, f):
    m, v = mean_line(m, g, f.part_1), squares_line(v, g, f.keep_2, f.part_2)
    return p * k - quotient(g.fma(f.ahead, f.step * m), v.sqrt().fma(f.root, f.eps)), m, v


# --- bounds ----------------------------------------------------------------------------------------------------------


@inlined
def mean_ratio(head):
    """R; infinite where means have no such bound."""
    f = factors_at(head.update.factors)
    keep = 1.0 - f.part_1
    q = keep * keep / f.keep_2 if f.keep_2 > 0.0 else (0.0 if f.part_1 == 1.0 else 1.0)
    return 2.0 * f.part_1 / sqrt(f.part_2 * (1.0 - q)) if q < 0.9999 else 1e400


@vector_function
def beyond(m: V, v: V, ratio: V) -> V:
    """What |m| has more than the ratio times √v, at least 0."""
    more = m.abs() - v.sqrt() * ratio
    return more.lt(0.0).select(0.0, more)


@kernel(Head, None)
def rest(head, me, r0, r1, z):
    """The bound T for the moments as they are."""
    bound = mean_ratio(head)
    found = 0.0
    if bound < 1e400:
        r = as_real(0.999 * bound, z)  # so that what is rounded away is no part of T
        item = bytes_of(z)
        size = head.update.count * item
        room = address_of(head.team.workers.shadow)
        for o in range(0, size, TRIAL_LINES * LINE):
            part = min(TRIAL_LINES * LINE, size - o)
            m, v = head.update.blocks.moment_1 + o, head.update.blocks.moment_2 + o
            for i in range(0, part, LINE):
                store(room + i, beyond(load(m + i, z), load(v + i, z), r))
            call_kernel(head.data.scan, room, head.spare, 0, part // item, z)
            top = get_real(address_of(head.spare), z)
            if not top <= found:
                found = 1.0 * top  # a float64
    head.update.now.rest = found * WIDER


@inlined
def adam_bound(head, ahead, z):
    """The bounds of all of them; `ahead` is nadam's rate for g, else 0."""
    f = factors_at(head.update.factors)
    rate = scaled(head, f.step)
    g = largest_gradient(head)
    now, tiny = head.update.now, tiny_of(z)
    m, v = averaged(now.moment_1, g, f.part_1), squared(now.moment_2, g, f.keep_2, f.part_2)
    third = max(now.moment_3, v)
    moved = m / f.eps
    limit = mean_ratio(head)
    left = ((1.0 - f.part_1 + 1e-6) * now.rest + 4.0 * limit * sqrt(tiny)) * WIDER
    if f.root > 0.0 and limit < 1e400:  # radam's first steps do without the root
        moved = min(moved, limit / f.root + left / f.eps)
    move = rate * moved
    passing = g * g + left  # NaN of a v below 0, too
    if ahead > 0.0:
        move += ahead * ratio(g, f.part_2, f.eps, tiny)
        passing += ahead * g + rate * m
    conclude(head, g, rate + ahead, f.eps, move, passing, m, v, third, left, z)


@kernel(Head, None)
def adam_bounds(head, me, r0, r1, z):
    adam_bound(head, 0.0, z)


@kernel(Head, None)
def nadam_bounds(head, me, r0, r1, z):
    adam_bound(head, scaled(head, nadam_at(head.update.factors).ahead), z)


adam_over_lines = rule("adam", adam, 2, AdamSettings, AdamFactors, "adam_factors", "adam_bounds", (1,), of_means=True)
rule("adam_amsgrad", adam_amsgrad, 3, AdamSettings, AdamFactors, "adam_factors", "adam_bounds", (1, 2), of_means=True)
rule("nadam", nadam, 2, AdamSettings, NAdamFactors, "nadam_factors", "nadam_bounds", (1,), of_means=True)
rule("radam", adam, 2, AdamSettings, AdamFactors, "radam_factors", "adam_bounds", (1,), of_means=True)
