"""Waves: the cosine of a multiple of every number, and its slope for the way back.

    forward   y = cos(a x)
    slope     s = -a sin(a x)
    vjp       dx = dy ∘ s      the Jacobian is diagonal
    jvp       ty = tx ∘ s

Cosine and sine of one number share all but a few operations, so the slope is made along with the wave, where it is
asked for, and the way back is one product (`branch_product`). The slope is also a sine for whom wants one, whose slope
is the cosine. a x is rounded once, as it is in NumPy. Waves are never larger than 1, so no magnitude is noted.
"""

from __future__ import annotations

from fastbp.kernels.flags import kernel
from fastbp.kernels.memory import as_real, load, store
from fastbp.kernels.ops import ElementwiseOp
from fastbp.kernels.trigonometry import cos, sin
from fastbp.kernels.vector import LINE, V, vector_function


def cosine(x: V, a: V) -> V:
    return cos(x * a)


def wave_and_slope(x: V, a: V) -> tuple[V, V]:
    return cos(x * a), sin(x * a) * -a


cosine_of, cosine_and_slope = vector_function(cosine), vector_function(wave_and_slope, count=2)


@kernel(ElementwiseOp)
def wave_cosine(op, me, r0, r1, z):
    """C = cos(a A), and Y its slope, if there is a Y; a is `setting_1`."""
    # A: (rows, N) in   C, Y: (rows, N) out, C may be A
    a = as_real(op.setting_1, z)
    for panel in range(op.panels):
        source = op.a.start + panel * op.a.stride
        target = op.c.start + panel * op.c.stride
        slopes = op.y.start + panel * op.y.stride
        for o in range(r0 * LINE, r1 * LINE, LINE):
            x = load(source + o, z)
            if op.y.start != 0:
                y, s = cosine_and_slope(x, a)
                store(slopes + o, s)
            else:
                y = cosine_of(x, a)
            store(target + o, y)
