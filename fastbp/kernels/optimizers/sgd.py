"""Gradient descent, and with momentum.

sgd         p ← p k - η g                       D = η g'
momentum    m ← μ m + g,  p ← p k - η m         M = μ M + g',  D = 2 η M
nesterov    p ← p k - η (g + μ m)               the same, where m holds g
"""

from __future__ import annotations

from fastbp.kernels.fields import Real
from fastbp.kernels.flags import kernel
from fastbp.kernels.optimizers.bounds import WIDER, conclude, largest_gradient, scaled
from fastbp.kernels.optimizers.rule import Factors, Rate, Settings, rule
from fastbp.kernels.records import Head
from fastbp.kernels.words import at


class MomentumSettings(Settings):
    momentum = Real("μ")


class MomentumFactors(Factors):
    step = Rate("η")
    momentum = Real("μ")


settings_at, factors_at = at(MomentumSettings), at(MomentumFactors)


@kernel(Head, None)
def momentum_factors(head, me, r0, r1, z):
    settings, f = settings_at(head.update.settings), factors_at(head.update.factors)
    f.step = f.rate
    f.momentum = settings.momentum


def sgd(p, g, k, f):
    return (p * k - f.step * g,)


def momentum(p, g, m, k, f):
    m = m.fma(f.momentum, g)
    return p * k - f.step * m, m


def nesterov(p, g, m, k, f):
    m = m.fma(f.momentum, g)
    return p * k - f.step * m.fma(f.momentum, g), m


@kernel(Head, None)
def sgd_bounds(head, me, r0, r1, z):
    rate = scaled(head, factors_at(head.update.factors).step)
    g = largest_gradient(head)
    now = head.update.now
    conclude(head, g, rate, 1.0, rate * g, 0.0, now.moment_1, now.moment_2, now.moment_3, now.rest, z)


@kernel(Head, None)
def momentum_bounds(head, me, r0, r1, z):
    f = factors_at(head.update.factors)
    rate = scaled(head, f.step)
    g = largest_gradient(head)
    now = head.update.now
    m = (f.momentum * now.moment_1 + g) * WIDER
    conclude(head, g, rate, 1.0, 2.0 * rate * m, 0.0, m, now.moment_2, now.moment_3, now.rest, z)


rule("sgd", sgd, 0, MomentumSettings, MomentumFactors, "momentum_factors", "sgd_bounds")
rule("momentum", momentum, 1, MomentumSettings, MomentumFactors, "momentum_factors", "momentum_bounds")
rule("nesterov", nesterov, 1, MomentumSettings, MomentumFactors, "momentum_factors", "momentum_bounds")
