"""Optimisers: what a gradient does to its parameters, line by line, while both are in cache.

    sgd         p ← p k - η g
    momentum    m ← μ m + g                         p ← p k - η m
    nesterov    m ← μ m + g                         p ← p k - η (g + μ m)
    adagrad     s ← s + g²                          p ← p k - η g / (√s + ε)
    rmsprop     v ← α v + (1 - α) g²                p ← p k - η g / (√v + ε)
                _momentum: m ← μ m + g / (√v + ε), p ← p k - η m; _centered: √(v - a²), a ← α a + (1 - α) g
    adam        m ← m + (1 - β1)(g - m)             p ← p k - η / (1 - β1ᵗ) · m / (√v / √(1 - β2ᵗ) + ε)
                v ← β2 v + (1 - β2) g²              _amsgrad: the largest v so far in the place of v
    nadam       m, v as for adam                    p ← p k - (η1 g + η2 m) / (√v / √(1 - β2ᵗ) + ε)
    radam       m, v as for adam                    p ← p k - η r m / (√v + ε), without the root while t is small
    adadelta    v ← ρ v + (1 - ρ) g²                d = g √(u + ε) / √(v + ε),  p ← p k - η d,  u ← ρ u + (1 - ρ) d²
    lion        p ← p k - η sign(β1 m + (1 - β1) g)    m ← β2 m + (1 - β2) g
    muon        m ← m + (1 - μ)(g - m)              p ← p k - η' √max(1, O / I) o for hidden weights, others as for adam
    keep_gradients                                  the gradient goes where gradients wait, and nothing is updated

Weight decay λ is either part of the gradient (L2: g + λ p stands for g above, k = 1) or decoupled (k = 1 - η λ). The
learning rate and λ are multiplied with the factors of the parameters at hand, which the worker holds.

Each family has a file: its settings (`...Settings`), the factors of one step (`...Factors`), the kernel that computes
factors from settings once a step, the formula of a line, and the bounds of the next step (see `bounds.py`). `rule.rule`
puts them together. Every file here is imported with the package.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from fastbp.kernels.optimizers.rule import RULES

__all__ = ["RULES"]

for family in iter_modules(__path__, f"{__name__}."):
    import_module(family.name)
