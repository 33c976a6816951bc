"""Bounds on what an update may make: from bounds on what it reads, once a step, so that no number has to be looked at.

With |p| <= P (the running average too), |m| <= M1 .. M3, |g| <= G, η the largest learning rate, and λ the largest
weight decay, g + λ p is at most g' = G + λ P, and every optimiser moves p by at most a D of its own, whence

    P ← max(1, η λ) P + D, where max(1, ηλ) >= |1 - ηλ| is for decoupled decay

ratio(part) bounds |g| / (√v + ε) for v >= part g²: it is at most √2 / √part, unless g² is so small that it was
flushed, then √(2 tiny / part) / ε; and always g' / ε.

Each bound is made larger than roundings are. A sum of everything that the step computes is kept as `worst`: if that is
below the step's limit nothing can overflow, neither a result nor what it is computed from. It is NaN or infinite where
nothing is known. A constant ε that is subnormal in these reals is flushed to 0, and 0 / 0 is NaN: `worst` is
infinite.
"""

from __future__ import annotations

from math import sqrt

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.memory import bytes_of
from fastbp.kernels.optimizers.rule import factors_at, settings_at
from fastbp.kernels.records import Head

WIDER = 1.00001  # more than the roundings of a step add up to
TINY = 1e-37, 1e-307  # above the smallest normal number, of float32 and of float64


@inlined
def tiny_of(z):
    return TINY[0] if bytes_of(z) == 4 else TINY[1]


@inlined
def averaged(old, new, part):
    """The bound of (1 - part) old + part new, computed as old + part (new - old)."""
    return ((1.0 - part) * old + part * new + 1e-6 * old) * WIDER


@inlined
def squared(old, g, keep, part):
    """The bound of keep old + part g²."""
    return (keep * old + part * g * g) * WIDER


@inlined
def ratio(g, part, eps, tiny):
    """The bound of |g| / (√v + ε) for v >= part g²."""
    return min(g / eps, sqrt(2.0 / part) * (1.0 + sqrt(tiny) / eps)) * WIDER


@inlined
def scaled(head, rate):
    """The largest that a learning rate is for any parameter."""
    return abs(rate) * head.update.top_rate


@inlined
def coupled(head):
    """λ as far as it is a part of the gradient, the largest."""
    settings = settings_at(head.update.settings)
    return settings.decay * head.update.top_decay * (1.0 - settings.decoupled)


@inlined
def largest_gradient(head):
    """g'."""
    g = head.update.gradient
    if head.update.clip_value > 0.0:
        g = min(g, head.update.clip_value)
    return (g + coupled(head) * head.update.now.parameters) * WIDER


@inlined
def conclude(head, g, rate, eps, move, passing, first, second, third, rest, z):
    """Write the bounds after a step that moves parameters by `move` and computes `passing` on its way."""
    settings = settings_at(head.update.settings)
    now, following = head.update.now, head.update.following
    step = abs(factors_at(head.update.factors).rate) * head.update.top_rate
    pulled = step * settings.decay * head.update.top_decay * settings.decoupled
    parameters = (max(1.0, pulled) * now.parameters + move) * WIDER
    following.parameters = parameters
    following.moment_1, following.moment_2, following.moment_3 = first, second, third
    following.rest = rest
    passing += now.moment_1 + now.moment_2 + now.moment_3 + g + coupled(head) + rate + pulled
    worst = parameters + first + second + third + passing
    head.update.worst = worst if eps > tiny_of(z) else 1e400


@kernel(Head, None)
def no_bounds(head, me, r0, r1, z):
    """Of a rule that has none: nothing is known."""
    head.update.worst = 1e400
