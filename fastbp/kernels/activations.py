"""Activations: y = φ(z), one number at a time.

    forward   y  = φ(z)
    vjp       dz = dy ∘ φ'(z)        the Jacobian is diag(φ'(z)), so nothing but its diagonal is ever formed
    jvp       tz ↦ tz ∘ φ'(z)        the same product: a diagonal matrix is its own transpose

All three take φ' from the output, which saves z and a pass:

    relu      y = 0 if z <= 0 else z      φ' = H(z) = 1 if y > 0 else 0     (0 at 0; NaN travels)
    tanh      y = tanh z                  φ' = 1 - y²
    sigmoid   y = 1 / (1 + exp(-z))       φ' = y (1 - y)
"""

from __future__ import annotations

from collections.abc import Callable

from fastbp.kernels import functions
from fastbp.kernels.flags import kernel
from fastbp.kernels.layout import A_STRIDE, C_STRIDE, PANELS, Y_STRIDE, A, C, Y
from fastbp.kernels.memory import get, load, store
from fastbp.kernels.vector import LINE, V, vector_function


def activation(name: str, forward: Callable[[V], V], vjp: Callable[[V, V], V]) -> None:
    """Make the kernels `<name>_forward` (C = φ(A)) and `<name>_vjp` (C = A ∘ φ', from the saved output Y)."""
    apply = vector_function(forward)
    pull = vector_function(vjp)

    def forward_kernel(op, me, r0, r1, z):
        for panel in range(get(op, PANELS)):
            source = get(op, A) + panel * get(op, A_STRIDE)
            target = get(op, C) + panel * get(op, C_STRIDE)
            for o in range(r0 * LINE, r1 * LINE, LINE):
                store(target + o, apply(load(source + o, z)))

    def vjp_kernel(op, me, r0, r1, z):
        for panel in range(get(op, PANELS)):
            source = get(op, A) + panel * get(op, A_STRIDE)
            target = get(op, C) + panel * get(op, C_STRIDE)
            saved = get(op, Y) + panel * get(op, Y_STRIDE)
            for o in range(r0 * LINE, r1 * LINE, LINE):
                store(target + o, pull(load(source + o, z), load(saved + o, z)))

    forward_kernel.__name__ = f"{name}_forward"
    vjp_kernel.__name__ = f"{name}_vjp"
    kernel(forward_kernel)
    kernel(vjp_kernel)


activation("relu", lambda z: z.le(0.0).select(0.0, z), lambda dy, y: y.gt(0.0).select(dy, 0.0))
activation("tanh", lambda z: functions.tanh(z), lambda dy, y: dy * (1.0 - y * y))
activation("sigmoid", lambda z: functions.sigmoid(z), lambda dy, y: dy * (y * (1.0 - y)))
