"""Gradients divided by their running size, number by number.

adagrad     s ← s + g²                          p ← p k - η g / (√s + ε)             (Duchi et al., 2011)
            S = S + g'²                         D = η ratio(1)
rmsprop     v ← α v + (1 - α) g²                p ← p k - η g / (√v + ε)             (Hinton, 2012)
            _momentum: m ← μ m + g / (√v + ε), p ← p k - η m; _centered: √(v - a²), a ← α a + (1 - α) g
            V = α V + (1 - α) g'²               D = η ratio(1 - α)    centered: η g' / ε, since v - a² may vanish
                                                _momentum: M = μ M + D / η, D = η M
adadelta    v ← ρ v + (1 - ρ) g²                d = g √(u + ε) / √(v + ε),  p ← p k - η d,  u ← ρ u + (1 - ρ) d²
            V = ρ V + (1 - ρ) g'²               d = ratio(1 - ρ) √(U + ε),  D = η d,  U = ρ U + (1 - ρ) d²
                                                                                     (Zeiler, 2012)
"""

from __future__ import annotations

from math import sqrt

from fastbp.kernels.fields import Real
from fastbp.kernels.flags import inlined, kernel
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
from fastbp.kernels.optimizers.rule import Factors, Rate, Settings, mean_line, quotient, rule, squares_line
from fastbp.kernels.records import Head
from fastbp.kernels.vector import V
from fastbp.kernels.words import at

# --- adagrad ---------------------------------------------------------------------------------------------------------


class AdagradSettings(Settings):
    eps = Real("ε")
    slowing = Real("δ: η is divided by 1 + (t - 1) δ in step t")


class AdagradFactors(Factors):
    step = Rate("η / (1 + (t - 1) δ)")
    eps = Real("ε")


adagrad_settings, adagrad_at = at(AdagradSettings), at(AdagradFactors)


@kernel(Head, None)
def adagrad_factors(head, me, r0, r1, z):
    settings, f = adagrad_settings(head.update.settings), adagrad_at(head.update.factors)
    f.step = f.rate / (1.0 + head.step.number * settings.slowing)
    f.eps = settings.eps


def adagrad(p, g, s, k, f):
    s = g.fma(g, s)
    return p * k - f.step * quotient(g, s.sqrt() + f.eps), s


@kernel(Head, None)
def adagrad_bounds(head, me, r0, r1, z):
    f = adagrad_at(head.update.factors)
    rate = scaled(head, f.step)
    g = largest_gradient(head)
    now = head.update.now
    move = rate * ratio(g, 1.0, f.eps, tiny_of(z))
    s = squared(now.moment_1, g, 1.0, 1.0)
    conclude(head, g, rate, f.eps, move, g * g, s, now.moment_2, now.moment_3, now.rest, z)


rule("adagrad", adagrad, 1, AdagradSettings, AdagradFactors, "adagrad_factors", "adagrad_bounds", (0,))


# --- rmsprop ---------------------------------------------------------------------------------------------------------


class RMSpropSettings(Settings):
    alpha = Real("α")
    eps = Real("ε")
    momentum = Real("μ")


class RMSpropFactors(Factors):
    step = Rate("η")
    keep = Real("α")
    part = Real("1 - α")
    eps = Real("ε")
    momentum = Real("μ")


rmsprop_settings, rmsprop_at = at(RMSpropSettings), at(RMSpropFactors)


@kernel(Head, None)
def rmsprop_factors(head, me, r0, r1, z):
    settings, f = rmsprop_settings(head.update.settings), rmsprop_at(head.update.factors)
    f.step = f.rate
    f.keep, f.part = settings.alpha, 1.0 - settings.alpha
    f.eps, f.momentum = settings.eps, settings.momentum


def spread(v: V, mean: V) -> V:
    """√(v - mean²), 0 where rounding makes that negative."""
    rest = (-mean).fma(mean, v)
    return rest.lt(0.0).select(0.0, rest).sqrt()


def rmsprop(p, g, v, k, f):
    v = squares_line(v, g, f.keep, f.part)
    return p * k - f.step * quotient(g, v.sqrt() + f.eps), v


def rmsprop_momentum(p, g, v, m, k, f):
    v = squares_line(v, g, f.keep, f.part)
    m = m.fma(f.momentum, quotient(g, v.sqrt() + f.eps))
    return p * k - f.step * m, v, m


def rmsprop_centered(p, g, v, mean, k, f):
    v, mean = squares_line(v, g, f.keep, f.part), mean_line(mean, g, f.part)
    return p * k - f.step * quotient(g, spread(v, mean) + f.eps), v, mean


def rmsprop_centered_momentum(p, g, v, mean, m, k, f):
    v, mean = squares_line(v, g, f.keep, f.part), mean_line(mean, g, f.part)
    m = m.fma(f.momentum, quotient(g, spread(v, mean) + f.eps))
    return p * k - f.step * m, v, mean, m


@inlined
def rmsprop_bound(head, centered, moving, z):
    """The bounds of all four kinds."""
    f = rmsprop_at(head.update.factors)
    rate = scaled(head, f.step)
    g = largest_gradient(head)
    now = head.update.now
    passing = g * g
    v, second, third = squared(now.moment_1, g, f.keep, f.part), now.moment_2, now.moment_3
    moved = g / f.eps * WIDER if centered else ratio(g, f.part, f.eps, tiny_of(z))
    if centered:
        second = averaged(second, g, f.part)
        passing += second * second
    if moving and centered:
        third = (f.momentum * third + moved) * WIDER
        moved = third
    elif moving:
        second = (f.momentum * second + moved) * WIDER
        moved = second
    conclude(head, g, rate, f.eps, rate * moved, passing, v, second, third, now.rest, z)


@kernel(Head, None)
def rmsprop_bounds(head, me, r0, r1, z):
    rmsprop_bound(head, False, False, z)


@kernel(Head, None)
def rmsprop_momentum_bounds(head, me, r0, r1, z):
    rmsprop_bound(head, False, True, z)


@kernel(Head, None)
def rmsprop_centered_bounds(head, me, r0, r1, z):
    rmsprop_bound(head, True, False, z)


@kernel(Head, None)
def rmsprop_centered_momentum_bounds(head, me, r0, r1, z):
    rmsprop_bound(head, True, True, z)


for _line, _moments in ((rmsprop, 1), (rmsprop_momentum, 2), (rmsprop_centered, 2), (rmsprop_centered_momentum, 3)):
    _name = _line.__name__
    rule(_name, _line, _moments, RMSpropSettings, RMSpropFactors, "rmsprop_factors", f"{_name}_bounds", (0,))


# --- adadelta --------------------------------------------------------------------------------------------------------


class AdadeltaSettings(Settings):
    rho = Real("ρ")
    eps = Real("ε")


class AdadeltaFactors(Factors):
    step = Rate("η")
    keep = Real("ρ")
    part = Real("1 - ρ")
    eps = Real("ε")


adadelta_settings, adadelta_at = at(AdadeltaSettings), at(AdadeltaFactors)


@kernel(Head, None)
def adadelta_factors(head, me, r0, r1, z):
    settings, f = adadelta_settings(head.update.settings), adadelta_at(head.update.factors)
    f.step = f.rate
    f.keep, f.part, f.eps = settings.rho, 1.0 - settings.rho, settings.eps


def adadelta(p, g, v, u, k, f):
    v = squares_line(v, g, f.keep, f.part)
    move = g * (u + f.eps).sqrt() / (v + f.eps).sqrt()
    return p * k - f.step * move, v, squares_line(u, move, f.keep, f.part)


@kernel(Head, None)
def adadelta_bounds(head, me, r0, r1, z):
    f = adadelta_at(head.update.factors)
    rate = scaled(head, f.step)
    g = largest_gradient(head)
    now = head.update.now
    eps, tiny = f.eps, tiny_of(z)
    v, root = squared(now.moment_1, g, f.keep, f.part), sqrt(now.moment_2 + f.eps)
    moved = min(g / sqrt(eps), sqrt(2.0 / f.part) * (1.0 + sqrt(tiny / eps))) * WIDER * root
    passing = g * g + g * (root + 1.0) + moved * moved
    u = squared(now.moment_2, moved, f.keep, f.part)
    conclude(head, g, rate, eps, rate * moved, passing, v, u, now.moment_3, now.rest, z)


rule("adadelta", adadelta, 2, AdadeltaSettings, AdadeltaFactors, "adadelta_factors", "adadelta_bounds", (0, 1))
