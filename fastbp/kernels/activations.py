"""Activations: y = φ(z), one number at a time.

    forward   y  = φ(z)
    vjp       dz = dy ∘ φ'(z)        the Jacobian is diag(φ'(z)), so nothing but its diagonal is ever formed
    jvp       tz ↦ tz ∘ φ'(z)        the same product: a diagonal matrix is its own transpose

Some take φ' from the output, which saves z and a pass; the others read z again:

    relu          y = 0 if z <= 0 else z              φ' = H(z) = 1 if y > 0 else 0     (0 at 0; NaN travels)
    leaky_relu    y = z if z > 0 else a z             φ' = 1 if y > 0 else a            (a >= 0)
    tanh          y = tanh z                          φ' = 1 - y²
    sigmoid       y = 1 / (1 + exp(-z))               φ' = y (1 - y)
    hard_sigmoid  y = min(max(z + 3, 0), 6) / 6       φ' = 1/6 if 0 < y < 1 else 0
    hardtanh      y = min(max(z, a), b)               φ' = 1 if a < y < b else 0
    softplus      y = log(1 + exp(β z)) / β           φ' = 1 - exp(-β y)
    elu           y = z if z > 0 else a (exp(z) - 1)  φ' = 1 if z > 0 else a exp(z)
    selu          y = λ elu(z), a and λ fixed         φ' = λ if z > 0 else λ a exp(z)   (Klambauer et al., 2017)
    gelu          y = z Φ(z), Φ = (1 + erf(z/√2))/2   φ' = Φ(z) + z exp(-z²/2) / √(2π)  (Hendrycks and Gimpel, 2016)
    gelu_tanh     y = z (1 + tanh u) / 2              φ' = σ(2u) + 2 z u' σ(2u) σ(-2u)
                  u = √(2/π) (z + 0.044715 z³)
    silu          y = z σ(z)                          φ' = σ(z) + z σ(z) σ(-z)
    mish          y = z tanh(log(1 + exp(z)))         φ' = τ + z σ(z) (1 - τ²), τ = tanh(log(1 + exp(z))) = n / (n + 2)
                                                      with w = exp(z), n = w (w + 2)
    softsign      y = z / (1 + |z|)                   φ' = 1 / (1 + |z|)²
    multiply      y = a z                             φ' = a
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

from fastbp.kernels import functions
from fastbp.kernels.flags import kernel
from fastbp.kernels.memory import as_real, load, store
from fastbp.kernels.ops import ElementwiseOp
from fastbp.kernels.vector import LINE, V, vector_function

FORMULAS: dict[str, Callable[..., Any]] = {}  # by the name of a kernel, over its operands and settings


def activation(name: str, forward: Callable[..., V], vjp: Callable[..., V]) -> None:
    """Make the kernels `<name>_forward` (C = φ(A)) and `<name>_vjp` (C = A ∘ φ', from the saved output or input Y).

    Both formulas get the layer's two settings behind their operands.
    """
    FORMULAS[f"{name}_forward"], FORMULAS[f"{name}_vjp"] = forward, vjp
    apply = vector_function(forward)
    pull = vector_function(vjp)

    def forward_kernel(op, me, r0, r1, z):
        a, b = as_real(op.setting_1, z), as_real(op.setting_2, z)
        for panel in range(op.panels):
            source = op.a.start + panel * op.a.stride
            target = op.c.start + panel * op.c.stride
            for o in range(r0 * LINE, r1 * LINE, LINE):
                store(target + o, apply(load(source + o, z), a, b))

    def vjp_kernel(op, me, r0, r1, z):
        a, b = as_real(op.setting_1, z), as_real(op.setting_2, z)
        for panel in range(op.panels):
            source = op.a.start + panel * op.a.stride
            target = op.c.start + panel * op.c.stride
            saved = op.y.start + panel * op.y.stride
            for o in range(r0 * LINE, r1 * LINE, LINE):
                store(target + o, pull(load(source + o, z), load(saved + o, z), a, b))

    forward_kernel.__name__ = f"{name}_forward"
    vjp_kernel.__name__ = f"{name}_vjp"
    kernel(ElementwiseOp)(forward_kernel)
    kernel(ElementwiseOp)(vjp_kernel)


ALPHA, LAMBDA = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946  # of selu
CUBIC = 0.044715  # of gelu_tanh
# |z| beyond which gelu_tanh and mish are flat, and z tanh' is zero and not infinity times zero.
FLAT = 20.0


def clamped(z: V, low: float | V, high: float | V) -> V:
    return functions.at_least(functions.at_most(z, high), low)


def gelu(z: V, a: V, b: V) -> V:
    half = z * 0.5
    return half.fma(functions.erf(z * sqrt(0.5)), half)


def gelu_vjp(dy: V, z: V, a: V, b: V) -> V:
    below = functions.erf(z * sqrt(0.5)).fma(0.5, 0.5)
    density = functions.exp(z * z * -0.5) * (1.0 / sqrt(2.0 * pi))
    return dy * z.fma(density, below)


def gelu_tanh_of(z: V) -> V:
    return functions.tanh(z * sqrt(2.0 / pi) * (z * z).fma(CUBIC, 1.0))


def gelu_tanh(z: V, a: V, b: V) -> V:
    half = z * 0.5
    return half.fma(gelu_tanh_of(z), half)


def sigmoid_and_slope(z: V) -> tuple[V, V]:
    """σ(z) and σ(z) σ(-z), without 1 - σ(z), which cancels: with w = exp(-|z|), 1 / (1 + w) or w / (1 + w)."""
    w = functions.exp(-z.abs())
    large = 1.0 / (w + 1.0)
    small = w * large
    return z.gt(0.0).select(large, small), large * small


def gelu_tanh_vjp(dy: V, z: V, a: V, b: V) -> V:
    z = clamped(z, -FLAT, FLAT)
    square = z * z
    s, slope = sigmoid_and_slope(z * (2.0 * sqrt(2.0 / pi)) * square.fma(CUBIC, 1.0))  # as (1 + tanh u) / 2 = σ(2u)
    inner = square.fma(6.0 * CUBIC * sqrt(2.0 / pi), 2.0 * sqrt(2.0 / pi))
    return dy * (z * slope).fma(inner, s)


def silu_vjp(dy: V, z: V, a: V, b: V) -> V:
    s, slope = sigmoid_and_slope(z)
    return dy * z.fma(slope, s)


def mish(z: V, a: V, b: V) -> V:
    w = functions.exp(functions.at_most(z, FLAT))
    n = w * (w + 2.0)
    return z * (n / (n + 2.0))


def mish_vjp(dy: V, z: V, a: V, b: V) -> V:
    z = functions.at_most(z, FLAT)
    w = functions.exp(z)
    n = w * (w + 2.0)
    below = n + 2.0
    slope = (n + 1.0) * 4.0 / (below * below) * (w / (w + 1.0))
    return dy * z.fma(slope, n / below)


def elu_like(z: V, above: float | V, below: V) -> V:
    return z.gt(0.0).select(z * above, below)


activation("relu", lambda z, a, b: z.le(0.0).select(0.0, z), lambda dy, y, a, b: y.gt(0.0).select(dy, 0.0))
activation("leaky_relu", lambda z, a, b: z.gt(0.0).select(z, z * a), lambda dy, y, a, b: y.gt(0.0).select(dy, dy * a))
activation("tanh", lambda z, a, b: functions.tanh(z), lambda dy, y, a, b: dy * (1.0 - y * y))
activation("sigmoid", lambda z, a, b: functions.sigmoid(z), lambda dy, y, a, b: dy * (y * (1.0 - y)))
activation(
    "hard_sigmoid",
    lambda z, a, b: clamped(z + 3.0, 0.0, 6.0) / 6.0,
    lambda dy, y, a, b: y.gt(0.0).select(y.lt(1.0).select(dy / 6.0, 0.0), y.isnan().select(y, 0.0)),
)
activation(
    "hardtanh",
    lambda z, a, b: clamped(z, a, b),
    lambda dy, y, a, b: y.gt(a).select(y.lt(b).select(dy, 0.0), y.isnan().select(y, 0.0)),
)
activation(
    "softplus",
    lambda z, a, b: functions.softplus(z * a) / a,
    lambda dy, y, a, b: dy * -functions.expm1(-(y * a)),
)
activation(
    "elu",
    lambda z, a, b: elu_like(z, 1.0, functions.expm1(z) * a),
    lambda dy, z, a, b: z.gt(0.0).select(dy, dy * a * functions.exp(z)),
)
activation(
    "selu",
    lambda z, a, b: elu_like(z, LAMBDA, functions.expm1(z) * (LAMBDA * ALPHA)),
    lambda dy, z, a, b: dy * z.gt(0.0).select(LAMBDA, functions.exp(z) * (LAMBDA * ALPHA)),
)
activation("gelu", gelu, gelu_vjp)
activation("gelu_tanh", gelu_tanh, gelu_tanh_vjp)
activation("silu", lambda z, a, b: z * functions.sigmoid(z), silu_vjp)
activation("mish", mish, mish_vjp)
activation(
    "softsign",
    lambda z, a, b: z / (z.abs() + 1.0),
    lambda dy, z, a, b: dy / ((z.abs() + 1.0) * (z.abs() + 1.0)),
)
activation("multiply", lambda z, a, b: z * a, lambda dy, y, a, b: dy * a)
