"""The frame of optimisers: records of settings and factors, and the kernel made from the formula of a line.

The kernel gets the head as its record, `r0` as the offset of the first line in each of the head's blocks and `r1` as
the number of lines; their gradients are the worker's.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.fields import LINE, Real, Record
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.memory import as_real, load_from, store_to
from fastbp.kernels.records import Head
from fastbp.kernels.vector import V, VectorType, splat
from fastbp.kernels.words import at, moved


class Settings(Record, room=8):
    """An optimiser's settings."""

    decay = Real("the weight decay λ")
    decoupled = Real("1: λ is no part of the gradient")


class Rate(Real):
    """A learning rate, multiplied by a factor of each parameter."""


class Factors(Record, room=8):
    """An optimiser's factors in one step."""

    rate = Real("η of this step, which stands there before the others are prepared")


@dataclass(frozen=True)
class Rule:
    """The description of an optimiser, by the name of its kernel.

    Attributes
    ----------
    moments : int
        Numbers kept for each parameter.
    settings : type
        The record of its settings.
    prepare : str
        The kernel that computes factors from settings.
    bounds : str
        The kernel that computes bounds of the next step; with `no_bounds` every update is tried on copies first.
    squares : tuple of int
        Which of the moments are sums or means of squares, and never below 0.
    of_means : bool
        Whether the first moments are means that their squares, the second ones, bound.
    """

    moments: int
    settings: type[Settings]
    prepare: str
    bounds: str
    squares: tuple[int, ...] = ()
    of_means: bool = False


RULES: dict[str, Rule] = {}


def rule(
    name: str,
    line: Callable[..., tuple[V, ...]],
    moments: int,
    settings: type[Settings],
    factors: type[Factors],
    prepare: str,
    bounds: str = "no_bounds",
    squares: tuple[int, ...] = (),
    of_means: bool = False,
) -> Any:
    """Make the kernel `name` from the formula of one line; returns what it does, for other kernels.

    `line(p, g, *moments, k, f)` returns the new p and moments: L2 decay is in g already, k is 1 - η λ, f holds the
    factors by their names.
    """
    RULES[name] = Rule(moments, settings, prepare, bounds, squares, of_means)
    own = {n: field for n, field in factors.fields.items() if n not in Factors.fields}
    Named = namedtuple(factors.__name__, own)

    @intrinsic
    def reals_of(typing_context, record, scale, z):
        """The factors as reals, learning rates times `scale`."""

        def generate(context, builder, signature, args):
            found = []
            for field in own.values():
                number = load_from(builder, moved(builder, args[0], field.offset), ir.DoubleType())
                if isinstance(field, Rate):
                    number = builder.fmul(number, args[1])
                found.append(context.cast(builder, number, types.float64, z))
            return context.make_tuple(builder, signature.return_type, found)

        return types.UniTuple(z, len(own))(record, types.float64, z), generate

    @intrinsic
    def update(typing_context, p, g, m, v, w, l2, k, numbers):
        kind = VectorType(l2).llvm()

        def generate(context, builder, signature, args):
            kept = [args[0], *args[2 : 2 + moments]]
            p, g, *old = (V(builder, load_from(builder, at, kind)) for at in [kept[0], args[1], *kept[1:]])
            l2, k = (V(builder, splat(builder, number, kind.count)) for number in args[5:7])
            f = Named(*(V(builder, splat(builder, n, kind.count)) for n in cgutils.unpack_tuple(builder, args[7])))
            for address, new in zip(kept, line(p, p.fma(l2, g), *old, k, f), strict=True):
                store_to(builder, address, new.value)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5, l2, k, numbers), generate

    def over_lines(head, me, r0, r1, z):
        settings, made = settings_at(head.update.settings), factors_at(head.update.factors)
        decay = settings.decay * me.decay
        scale = me.rate
        l2 = as_real(decay * (1.0 - settings.decoupled), z)
        k = as_real(1.0 - made.rate * scale * decay * settings.decoupled, z)
        numbers = reals_of(made, scale, z)
        blocks = head.update.blocks
        p, m, v, w = blocks.parameters + r0, blocks.moment_1 + r0, blocks.moment_2 + r0, blocks.moment_3 + r0
        g = me.gradients
        for o in range(0, r1 * LINE, LINE):
            update(p + o, g + o, m + o, v + o, w + o, l2, k, numbers)

    over_lines.__name__, over_lines.__module__ = name, line.__module__
    kernel(Head)(over_lines)
    return inlined(over_lines)


settings_at, factors_at = at(Settings), at(Factors)


def mean_line(old: V, g: V, part: V) -> V:
    """(1 - part) old + part g, without the first product."""
    return (g - old).fma(part, old)


def squares_line(old: V, g: V, keep: V, part: V) -> V:
    """keep old + part g²."""
    return (g * g).fma(part, old * keep)


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
