"""Steps along the orthogonal matrix nearest to a mean of gradients, and Adam's steps for what is no such matrix.

    matrices    m ← m + (1 - μ)(g - m)              p ← p k - η' √max(1, O / I) o, with o from `newton_schulz.py`
    others      m, v and p as for adam

Both rates go with one schedule, so η' is η times a ratio; k = 1 - η' λ.

    bounds      D = 2 η' times the largest root, since no singular value of o is beyond 1.21, or adam's; M is the mean's
                of either
"""

from __future__ import annotations

from math import sqrt

from fastbp.kernels.fields import LINE, Real
from fastbp.kernels.flags import kernel
from fastbp.kernels.lines import times
from fastbp.kernels.memory import as_real, load, store
from fastbp.kernels.optimizers.adam import AdamFactors, AdamSettings, adam_over_lines, mean_ratio, prepare
from fastbp.kernels.optimizers.bounds import WIDER, averaged, conclude, largest_gradient, scaled, squared, tiny_of
from fastbp.kernels.optimizers.rule import RULES, Rate, Rule, mean_line, power
from fastbp.kernels.records import Head
from fastbp.kernels.vector import V, vector_function
from fastbp.kernels.words import at


class MuonSettings(AdamSettings):
    momentum = Real("μ")
    ratio = Real("η' / η")


class MuonFactors(AdamFactors):
    along = Rate("η'")


settings_at, factors_at = at(MuonSettings), at(MuonFactors)


@kernel(Head, None)
def muon_factors(head, me, r0, r1, z):
    settings, f = settings_at(head.update.settings), factors_at(head.update.factors)
    t = head.step.number + 1
    root = 1.0 / sqrt(1.0 - power(settings.beta_2, t))
    f.along = f.rate * settings.ratio
    prepare(head, f.rate / (1.0 - power(settings.beta_1, t)), root, settings.eps)


@vector_function
def mean_of(m: V, g: V, part: V) -> V:
    return mean_line(m, g, part)


@vector_function
def along_line(p: V, o: V, step: V) -> V:
    """p - η o, with p already times k."""
    return p - o * step


@kernel(Head)
def muon(head, me, r0, r1, z):
    """The update of lines; the worker's `stretch` says of which kind they are."""
    if me.stretch == 0.0:
        adam_over_lines(head, me, r0, r1, z)
        return
    settings, f = settings_at(head.update.settings), factors_at(head.update.factors)
    rate = f.along * me.rate
    k = as_real(1.0 - rate * settings.decay * me.decay, z)
    step, part = as_real(rate * me.stretch, z), as_real(1.0 - settings.momentum, z)
    p, m = head.update.blocks.parameters + r0, head.update.blocks.moment_1 + r0
    direction = head.update.directions + r0
    for o in range(0, r1 * LINE, LINE):
        store(m + o, mean_of(load(m + o, z), load(me.gradients + o, z), part))
        store(p + o, along_line(times(load(p + o, z), k), load(direction + o, z), step))


@kernel(Head, None)
def muon_bounds(head, me, r0, r1, z):
    settings, f = settings_at(head.update.settings), factors_at(head.update.factors)
    rate, along = scaled(head, f.step), scaled(head, f.along)
    g = largest_gradient(head)
    now, following = head.update.now, head.update.following
    m = max(averaged(now.moment_1, g, f.part_1), averaged(now.moment_1, g, 1.0 - settings.momentum))
    v = squared(now.moment_2, g, f.keep_2, f.part_2)
    limit = mean_ratio(head)
    left = ((1.0 - f.part_1 + 1e-6) * now.rest + 4.0 * limit * sqrt(tiny_of(z))) * WIDER
    moved = m / f.eps
    if limit < 1e400:
        moved = min(moved, limit / f.root + left / f.eps)
    move = max(rate * moved, 2.0 * along * head.update.top_stretch)
    pulled = along * settings.decay * head.update.top_decay
    passing = g * g + left + pulled * now.parameters + m
    conclude(head, g, rate + along, f.eps, move, passing, m, v, now.moment_3, left, z)
    following.parameters = max(following.parameters, (max(1.0, pulled) * now.parameters + move) * WIDER)


RULES["muon"] = Rule(2, MuonSettings, "muon_factors", "muon_bounds", (1,), of_means=True)
