"""Waves: the cosine or the sine of a multiple of every number, and its slope for the way back.

    cosine    y = cos(a x)    slope  s = -a sin(a x)
    sine      y = sin(a x)    slope  s = a cos(a x)
    vjp       dx = dy ∘ s     jvp    ty = tx ∘ s         the Jacobian is diagonal

Cosine and sine of one number share all but a few operations, so the slope is made along with the wave, where it is
asked for, and the way back is one product (`branch_product`). a x is rounded once, as it is in NumPy. Waves are never
larger than 1, so no magnitude is noted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastbp.kernels.flags import kernel
from fastbp.kernels.memory import as_real, load, store
from fastbp.kernels.ops import ElementwiseOp
from fastbp.kernels.trigonometry import cos, sin
from fastbp.kernels.vector import LINE, V, vector_function


def wave(name: str, formula: Callable[[V], V], slope: Callable[[V], V], sign: float) -> None:
    """Make the kernel `wave_<name>`: C = formula(a A), and Y = ±a slope(a A) if there is a Y; a is `setting_1`."""
    alone = vector_function(lambda x, a: formula(x * a))
    of_both: Any = vector_function(lambda x, a: (formula(x * a), slope(x * a) * (a * sign)), count=2)

    def of_rows(op, me, r0, r1, z):
        # A: (rows, N) in   C, Y: (rows, N) out, C may be A
        a = as_real(op.setting_1, z)
        for panel in range(op.panels):
            source = op.a.start + panel * op.a.stride
            target = op.c.start + panel * op.c.stride
            slopes = op.y.start + panel * op.y.stride
            for o in range(r0 * LINE, r1 * LINE, LINE):
                x = load(source + o, z)
                if op.y.start != 0:
                    y, s = of_both(x, a)
                    store(slopes + o, s)
                else:
                    y = alone(x, a)
                store(target + o, y)

    of_rows.__name__ = f"wave_{name}"
    kernel(ElementwiseOp)(of_rows)


wave("cosine", cos, sin, -1.0)
wave("sine", sin, cos, 1.0)
