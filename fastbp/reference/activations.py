"""Activations y = φ(x), element by element, then softmax, and the table ACTIVATIONS.

φ acts on each element alone, so its Jacobian is diag(φ'(x)) and dx = dy ∘ φ'(x). A diagonal matrix is its own
transpose: a tangent is pushed just as a cotangent is pulled, and every jvp here is the vjp. φ' is written in what is
saved, the output y where that is enough:

    relu         H(y) = 1 if y > 0 else 0     (0 at the kink)
    tanh         1 - y²
    sigmoid      y (1 - y), from 1/σ = 1 + exp(-x): -σ'/σ² = -exp(-x) = 1 - 1/σ
    leaky_relu   1 if y > 0 else slope        (y has the sign of x, or is 0, as slope >= 0)
    softplus     σ(βx) = 1 - exp(-βy), as exp(βy) = 1 + exp(βx)
    hard_sigmoid 1/6 inside, hardtanh 1 inside, 0 at the ends and outside

and the input x where it is not, mostly because φ is not monotonic (gelu, silu, mish). With φ₁(x) = exp(-x²/2) / √(2π),
the density of Φ, and s = σ(x):

    gelu         Φ(x) + x φ₁(x)
    silu         s (1 + x (1 - s))
    mish         t + x (1 - t²) s,  t = tanh(softplus x)

Softmax mixes a row: with y = p, ∂y_i/∂x_j = y_i ([i = j] - y_j) is symmetric, J t = y ∘ (t - Σ y t); log-softmax has
∂y_i/∂x_j = [i = j] - p_j, which is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SELU_ALPHA, SELU_LAMBDA = 1.6732632423543772, 1.0507009873554805
_FAR = 40.0  # beyond ±_FAR each smooth step is 0 or 1 in float64; arguments stop there, so that no power overflows

_erfc = np.frompyfunc(math.erfc, 1, 1)


def identity_forward(x: Array) -> Array:
    """y = x."""
    return x


def identity_vjp(dy: Array, y: Array) -> Array:
    """dx = dy."""
    return dy


identity_jvp = identity_vjp


def relu_forward(x: Array) -> Array:
    """y = 0 if x <= 0 else x; a NaN travels, as np.maximum lets it."""
    return np.maximum(x, 0)


def relu_vjp(dy: Array, y: Array) -> Array:
    """dx = dy ∘ H(y), H(y) = 1 if y > 0 else 0."""
    return np.asarray(dy * (y > 0))


relu_jvp = relu_vjp


def leaky_relu_forward(x: Array, slope: float = 0.01) -> Array:
    """y = x if x > 0 else slope x, with slope >= 0."""
    return np.where(x > 0, x, float(slope) * x)


def leaky_relu_vjp(dy: Array, y: Array, slope: float = 0.01) -> Array:
    """dx = dy ∘ (1 if y > 0 else slope)."""
    return np.where(y > 0, dy, float(slope) * dy)


leaky_relu_jvp = leaky_relu_vjp


def tanh_forward(x: Array) -> Array:
    """y = tanh x."""
    return np.asarray(np.tanh(x))


def tanh_vjp(dy: Array, y: Array) -> Array:
    """dx = dy ∘ (1 - y²)."""
    return np.asarray(dy * (1 - y * y))


tanh_jvp = tanh_vjp


def sigmoid_forward(x: Array) -> Array:
    """y = 1 / (1 + exp(-x)), as exp(min(x, 0)) / (1 + exp(-|x|)), which cannot overflow."""
    return np.asarray(np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))))


def sigmoid_vjp(dy: Array, y: Array) -> Array:
    """dx = dy ∘ y (1 - y)."""
    return np.asarray(dy * (y * (1 - y)))


sigmoid_jvp = sigmoid_vjp


def elu_forward(x: Array, alpha: float = 1.0) -> Array:
    """y = x if x > 0 else α (exp(x) - 1); Clevert, Unterthiner and Hochreiter (2015)."""
    return np.where(x > 0, x, float(alpha) * np.expm1(np.minimum(x, 0)))


def elu_vjp(dy: Array, x: Array, alpha: float = 1.0) -> Array:
    """dx = dy ∘ (1 if x > 0 else α exp(x))."""
    return np.where(x > 0, dy, float(alpha) * dy * np.exp(np.minimum(x, 0)))


elu_jvp = elu_vjp


def selu_forward(x: Array) -> Array:
    """y = λ elu(x, α), α and λ such that mean 0 and variance 1 are kept; Klambauer et al. (2017)."""
    return np.asarray(SELU_LAMBDA * elu_forward(x, SELU_ALPHA))


def selu_vjp(dy: Array, x: Array) -> Array:
    """dx = λ dy ∘ (1 if x > 0 else α exp(x))."""
    return np.asarray(SELU_LAMBDA * elu_vjp(dy, x, SELU_ALPHA))


selu_jvp = selu_vjp


def gelu_forward(x: Array) -> Array:
    """y = x Φ(x), Φ the normal distribution function erfc(-x/√2) / 2; Hendrycks and Gimpel (2016).

    Examples
    --------
    >>> gelu_forward(np.array([-3.0, 0.0, 1.0])).round(6).tolist()
    [-0.00405, 0.0, 0.841345]
    """
    return np.asarray(x * _normal(x))


def gelu_vjp(dy: Array, x: Array) -> Array:
    """dx = dy ∘ (Φ(x) + x exp(-x²/2) / √(2π))."""
    near = np.clip(x, -_FAR, _FAR)
    return np.asarray(dy * (_normal(x) + near * np.exp(-0.5 * near * near) * (2 * math.pi) ** -0.5))


gelu_jvp = gelu_vjp


def _normal(x: Array) -> Array:
    """Φ(x), by erfc so that its lower tail keeps every digit."""
    return np.asarray(0.5 * _erfc(-np.asarray(x, np.float64) * 0.5**0.5), x.dtype)


def gelu_tanh_forward(x: Array) -> Array:
    """y = x (1 + tanh u) / 2 with u = √(2/π) (x + 0.044715 x³), computed as x σ(2u), its equal."""
    return np.asarray(x * sigmoid_forward(_gelu_tanh_2u(x)[0]))


def gelu_tanh_vjp(dy: Array, x: Array) -> Array:
    """dx = dy ∘ (σ + x σ (1 - σ) 2u') at 2u, with u' = √(2/π) (1 + 3 · 0.044715 x²)."""
    u2, slope = _gelu_tanh_2u(x)
    s = sigmoid_forward(u2)
    return np.asarray(dy * (s + np.clip(x, -_FAR, _FAR) * s * sigmoid_forward(-u2) * slope))


gelu_tanh_jvp = gelu_tanh_vjp


def _gelu_tanh_2u(x: Array) -> tuple[Array, Array]:
    """2u and its derivative."""
    x = np.clip(x, -_FAR, _FAR)
    scale = 2 * (2 / math.pi) ** 0.5
    return np.asarray(scale * (x + 0.044715 * x * x * x)), np.asarray(scale * (1 + 3 * 0.044715 * x * x))


def silu_forward(x: Array) -> Array:
    """y = x σ(x); Elfwing, Uchibe and Doya (2017)."""
    return np.asarray(x * sigmoid_forward(x))


def silu_vjp(dy: Array, x: Array) -> Array:
    """dx = dy ∘ σ(x) (1 + x σ(-x)), as 1 - σ(x) = σ(-x)."""
    return np.asarray(dy * (sigmoid_forward(x) * (1 + x * sigmoid_forward(-x))))


silu_jvp = silu_vjp


def mish_forward(x: Array) -> Array:
    """y = x tanh(log(1 + exp(x))); Misra (2019)."""
    return np.asarray(x * np.tanh(softplus_forward(x)))


def mish_vjp(dy: Array, x: Array) -> Array:
    """dx = dy ∘ (t + x (1 - t²) σ(x)), t = (1 - q) / (1 + q) and 1 - t² = 4q / (1 + q)² with q = σ(-x)²."""
    q = np.square(sigmoid_forward(-x))
    return np.asarray(dy * (np.tanh(softplus_forward(x)) + x * sigmoid_forward(x) * 4 * q / np.square(1 + q)))


mish_jvp = mish_vjp


def softplus_forward(x: Array, beta: float = 1.0) -> Array:
    """y = log(1 + exp(βx)) / β with β > 0, as max(βx, 0) + log(1 + exp(-|βx|)), which cannot overflow."""
    bx = float(beta) * x
    return np.asarray((np.maximum(bx, 0) + np.log1p(np.exp(-np.abs(bx)))) / float(beta))


def softplus_vjp(dy: Array, y: Array, beta: float = 1.0) -> Array:
    """dx = dy ∘ (1 - exp(-βy))."""
    return np.asarray(dy * -np.expm1(-float(beta) * y))


softplus_jvp = softplus_vjp


def softsign_forward(x: Array) -> Array:
    """y = x / (1 + |x|)."""
    return np.asarray(x / (1 + np.abs(x)))


def softsign_vjp(dy: Array, x: Array) -> Array:
    """dx = dy ∘ 1 / (1 + |x|)²."""
    return np.asarray(dy * np.square(1 / (1 + np.abs(x))))


softsign_jvp = softsign_vjp


def hard_sigmoid_forward(x: Array) -> Array:
    """y = min(max(x + 3, 0), 6) / 6."""
    return np.asarray(np.clip(x + 3, 0, 6) / 6)


def hard_sigmoid_vjp(dy: Array, y: Array) -> Array:
    """dx = dy / 6 where 0 < y < 1, else 0."""
    return np.asarray(dy * ((y > 0) & (y < 1)) / 6)


hard_sigmoid_jvp = hard_sigmoid_vjp


def hardtanh_forward(x: Array, low: float = -1.0, high: float = 1.0) -> Array:
    """y = min(max(x, low), high), with low < high."""
    return np.clip(x, float(low), float(high))


def hardtanh_vjp(dy: Array, y: Array, low: float = -1.0, high: float = 1.0) -> Array:
    """dx = dy where low < y < high, else 0."""
    return np.asarray(dy * ((y > float(low)) & (y < float(high))))


hardtanh_jvp = hardtanh_vjp


def softmax_forward(x: Array) -> Array:
    """y_i = exp(x_i) / Σ_k exp(x_k) in each row of x (B, K), shifted by its maximum so that no exp overflows."""
    y = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(y / y.sum(axis=1, keepdims=True))


def softmax_vjp(dy: Array, y: Array) -> Array:
    """dx = y ∘ (dy - Σ_k y_k dy_k).

    Examples
    --------
    >>> softmax_vjp(np.array([[1.0, 0.0]]), np.array([[0.25, 0.75]])).tolist()
    [[0.1875, -0.1875]]
    """
    return np.asarray(y * (dy - (y * dy).sum(axis=1, keepdims=True)))


softmax_jvp = softmax_vjp


def log_softmax_forward(x: Array) -> Array:
    """y_i = x_i - log Σ_k exp(x_k) in each row of x (B, K)."""
    shifted = x - x.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def log_softmax_vjp(dy: Array, y: Array) -> Array:
    """dx = dy - exp(y) Σ_k dy_k."""
    return np.asarray(dy - np.exp(y) * dy.sum(axis=1, keepdims=True))


def log_softmax_jvp(tx: Array, y: Array) -> Array:
    """ty = tx - Σ_k exp(y_k) tx_k."""
    return np.asarray(tx - (np.exp(y) * tx).sum(axis=1, keepdims=True))


class Activation(NamedTuple):
    """forward(x, *params), vjp(dy, saved, *params), jvp(tx, saved, *params), and which of "x" and "y" is saved."""

    forward: Callable[..., Array]
    vjp: Callable[..., Array]
    jvp: Callable[..., Array]
    saved: str


def _table(functions: dict[str, Any]) -> dict[str, Activation]:
    """Every activation whose three functions are there; what its vjp calls its second argument is what is saved."""
    found = {}
    for name in [name.removesuffix("_forward") for name in functions if name.endswith("_forward")]:
        forward, vjp, jvp = (functions[f"{name}_{part}"] for part in ("forward", "vjp", "jvp"))
        found[name] = Activation(forward, vjp, jvp, vjp.__code__.co_varnames[1])
    return found


ACTIVATIONS = _table(globals())
