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
    keep_gradients                                  the gradient goes to GRADIENTS and nothing is updated

Weight decay λ is either part of the gradient (L2: g + λ p stands for g above, k = 1) or decoupled (k = 1 - η λ). The
learning rate and λ are multiplied with the factors of the parameters at hand, which the worker holds.

A kernel gets the head as its record, `r0` as the offset of the first line inside PARAMETERS (and inside the moments,
which are laid out alike) and `r1` as the number of lines; where their gradients lie the worker says. Beside
each stands its `<name>_factors`, which turns SETTINGS and the step's number into what every line is multiplied with,
once a step.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import types
from numba.extending import intrinsic

from fastbp.kernels.flags import kernel
from fastbp.kernels.lines import add_product, times
from fastbp.kernels.memory import as_real, load, load_from, store, store_to
from fastbp.kernels.records import Head
from fastbp.kernels.vector import LINE, V, VectorType, splat

DECAY, DECOUPLED = 0, 1  # λ, and whether it is decoupled; then what else an optimiser was told
RATE_A, RATE_B, CONSTANTS = 1, 2, 3  # FACTORS itself: η of this step

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


def optimizer(name: str, moments: int, line: Callable[..., tuple[V, ...]]) -> None:
    """Make the kernel `name` from the formula of one line.

    `line(p, g, *moments, k, a, b, c, d, e, f, h)` returns the new p and moments: L2 decay is in g already, k is
    1 - η λ, a and b are learning rates, c to h what `<name>_factors` prepared.
    """

    @intrinsic
    def update(typing_context, p, g, m, v, w, l2, k, a, b, c, d, e, f, h):
        kind = VectorType(l2).llvm()

        def generate(context, builder, signature, args):
            kept = [args[0], *args[2 : 2 + moments]]
            p, g, *old = (V(builder, load_from(builder, at, kind)) for at in [kept[0], args[1], *kept[1:]])
            l2, *rest = (V(builder, splat(builder, number, kind.count)) for number in args[5:])
            for address, new in zip(kept, line(p, p.fma(l2, g), *old, *rest), strict=True):
                store_to(builder, address, new.value)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5, *[l2] * 9), generate

    def over_lines(head, me, r0, r1, z):
        settings, factors = head.update.settings, head.update.factors
        decay = settings[DECAY] * me.decay
        decoupled = settings[DECOUPLED]
        scale = me.rate
        l2 = as_real(decay * (1.0 - decoupled), z)
        k = as_real(1.0 - factors[0] * scale * decay * decoupled, z)
        a = as_real(factors[RATE_A] * scale, z)
        b = as_real(factors[RATE_B] * scale, z)
        c = as_real(factors[CONSTANTS], z)
        d = as_real(factors[CONSTANTS + 1], z)
        e = as_real(factors[CONSTANTS + 2], z)
        f = as_real(factors[CONSTANTS + 3], z)
        h = as_real(factors[CONSTANTS + 4], z)
        p = head.update.blocks.parameters + r0
        m = head.update.blocks.moment_1 + r0
        v = head.update.blocks.moment_2 + r0
        w = head.update.blocks.moment_3 + r0
        g = me.gradients
        for o in range(0, r1 * LINE, LINE):
            update(p + o, g + o, m + o, v + o, w + o, l2, k, a, b, c, d, e, f, h)

    over_lines.__name__ = name
    kernel(Head)(over_lines)


def mean_line(old: V, g: V, part: V) -> V:
    """(1 - part) old + part g, without the first product."""
    return (g - old).fma(part, old)


def squares_line(old: V, g: V, keep: V, part: V) -> V:
    """keep old + part g²."""
    return (g * g).fma(part, old * keep)


def sgd_line(p, g, k, a, b, c, d, e, f, h):
    return (p * k - a * g,)


def momentum_line(p, g, m, k, a, b, c, d, e, f, h):
    m = m.fma(c, g)
    return p * k - a * m, m


def nesterov_line(p, g, m, k, a, b, c, d, e, f, h):
    m = m.fma(c, g)
    return p * k - a * m.fma(c, g), m


def adagrad_line(p, g, s, k, a, b, c, d, e, f, h):
    s = g.fma(g, s)
    return p * k - a * quotient(g, s.sqrt() + c), s


# rmsprop: α, 1 - α, ε, μ
def rmsprop_line(p, g, v, k, a, b, c, d, e, f, h):
    v = squares_line(v, g, c, d)
    return p * k - a * quotient(g, v.sqrt() + e), v


def rmsprop_momentum_line(p, g, v, m, k, a, b, c, d, e, f, h):
    v = squares_line(v, g, c, d)
    m = m.fma(f, quotient(g, v.sqrt() + e))
    return p * k - a * m, v, m


def spread(v: V, mean: V) -> V:
    """√(v - mean²), 0 where rounding makes that negative."""
    rest = (-mean).fma(mean, v)
    return rest.lt(0.0).select(0.0, rest).sqrt()


def rmsprop_centered_line(p, g, v, mean, k, a, b, c, d, e, f, h):
    v, mean = squares_line(v, g, c, d), mean_line(mean, g, d)
    return p * k - a * quotient(g, spread(v, mean) + e), v, mean


def rmsprop_centered_momentum_line(p, g, v, mean, m, k, a, b, c, d, e, f, h):
    v, mean = squares_line(v, g, c, d), mean_line(mean, g, d)
    m = m.fma(f, quotient(g, spread(v, mean) + e))
    return p * k - a * m, v, mean, m


# adam, nadam, radam: 1 - β1, β2, 1 - β2, what √v is multiplied with, what is added to that
def adam_line(p, g, m, v, k, a, b, c, d, e, f, h):
    m, v = mean_line(m, g, c), squares_line(v, g, d, e)
    return p * k - a * quotient(m, v.sqrt().fma(f, h)), m, v


def adam_amsgrad_line(p, g, m, v, top, k, a, b, c, d, e, f, h):
    m, v = mean_line(m, g, c), squares_line(v, g, d, e)
    top = v.gt(top).select(v, top)
    return p * k - a * quotient(m, top.sqrt().fma(f, h)), m, v, top


def nadam_line(p, g, m, v, k, a, b, c, d, e, f, h):
    m, v = mean_line(m, g, c), squares_line(v, g, d, e)
    return p * k - quotient(g.fma(a, b * m), v.sqrt().fma(f, h)), m, v


# adadelta: ρ, 1 - ρ, ε
def adadelta_line(p, g, v, u, k, a, b, c, d, e, f, h):
    v = squares_line(v, g, c, d)
    move = g * (u + e).sqrt() / (v + e).sqrt()
    return p * k - a * move, v, squares_line(u, move, c, d)


# lion: 1 - β1, 1 - β2
def lion_line(p, g, m, k, a, b, c, d, e, f, h):
    way = mean_line(m, g, c)
    sign = way.gt(0.0).select(way.new(way.like(1.0)), way.lt(0.0).select(way.new(way.like(-1.0)), way * 0.0))
    return p * k - a * sign, mean_line(m, g, d)


optimizer("sgd", 0, sgd_line)
optimizer("momentum", 1, momentum_line)
optimizer("nesterov", 1, nesterov_line)
optimizer("adagrad", 1, adagrad_line)
optimizer("rmsprop", 1, rmsprop_line)
optimizer("rmsprop_momentum", 2, rmsprop_momentum_line)
optimizer("rmsprop_centered", 2, rmsprop_centered_line)
optimizer("rmsprop_centered_momentum", 3, rmsprop_centered_momentum_line)
optimizer("adam", 2, adam_line)
optimizer("adam_amsgrad", 3, adam_amsgrad_line)
optimizer("nadam", 2, nadam_line)
optimizer("radam", 2, adam_line)
optimizer("adadelta", 2, adadelta_line)
optimizer("lion", 1, lion_line)


@kernel(Head)
def keep_gradients(head, me, r0, r1, z):
    """GRADIENTS = the gradient, or a part of it beside those of the batches before, where a step has several."""
    g = me.gradients
    out = head.update.gradients + r0
    part = as_real(head.step.group_part, z)
    if head.step.micro == 0:
        for o in range(0, r1 * LINE, LINE):
            store(out + o, times(load(g + o, z), part))
        return
    for o in range(0, r1 * LINE, LINE):
        store(out + o, add_product(load(out + o, z), load(g + o, z), part))
