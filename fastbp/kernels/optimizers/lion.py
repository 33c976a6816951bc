"""Steps of one size in every direction (Chen et al., 2023).

p ← p k - η sign(β1 m + (1 - β1) g)             D = η
m ← β2 m + (1 - β2) g                           M = mean of M and g'
"""

from __future__ import annotations

from fastbp.kernels.fields import Real
from fastbp.kernels.flags import kernel
from fastbp.kernels.optimizers.bounds import averaged, conclude, largest_gradient, scaled
from fastbp.kernels.optimizers.rule import Factors, Rate, Settings, mean_line, rule
from fastbp.kernels.records import Head
from fastbp.kernels.words import at


class LionSettings(Settings):
    beta_1 = Real("β1")
    beta_2 = Real("β2")


class LionFactors(Factors):
    step = Rate("η")
    part_1 = Real("1 - β1")
    part_2 = Real("1 - β2")


settings_at, factors_at = at(LionSettings), at(LionFactors)


@kernel(Head, None)
def lion_factors(head, me, r0, r1, z):
    settings, f = settings_at(head.update.settings), factors_at(head.update.factors)
    f.step = f.rate
    f.part_1, f.part_2 = 1.0 - settings.beta_1, 1.0 - settings.beta_2


def lion(p, g, m, k, f):
    way = mean_line(m, g, f.part_1)
    sign = way.gt(0.0).select(way.new(way.like(1.0)), way.lt(0.0).select(way.new(way.like(-1.0)), way * 0.0))
    return p * k - f.step * sign, mean_line(m, g, f.part_2)


@kernel(Head, None)
def lion_bounds(head, me, r0, r1, z):
    f = factors_at(head.update.factors)
    rate = scaled(head, f.step)
    g = largest_gradient(head)
    now = head.update.now
    passing = averaged(now.moment_1, g, f.part_1)
    m = averaged(now.moment_1, g, f.part_2)
    conclude(head, g, rate, 1.0, rate, passing, m, now.moment_2, now.moment_3, now.rest, z)


rule("lion", lion, 1, LionSettings, LionFactors, "lion_factors", "lion_bounds")
