"""Members of a network: layers with numbers of each member's own, and the mean of what K members predict.

**Adapted linear layer** of one member: z = s ∘ ((r ∘ x) W) + b. With u = r ∘ x and v = u W:
    dv = dz ∘ s, ds = Σ_b dz ∘ v, db = Σ_b dz    and    du = dv Wᵀ, dW = uᵀ dv, dr = Σ_b du ∘ x, dx = du ∘ r.

**Means** of z (K, B, N) over members: of the values, y = Σ_k z_k / K; or of the probabilities p_k that they stand for,
by softmax over a row or by the sigmoid of each number, back as logits:
    softmax    y = log P,             P = Σ_k p_k / K      dz_k = p_k ∘ (u - Σ_n u ∘ p_k) / K,  u = dy / P
    sigmoid    y = log P - log(1 - P)                      dz_k = dy ∘ p_k (1 - p_k) / (P (1 - P)) / K
All are taken in logarithms, since a probability may be smaller than the smallest number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def adapted_linear_forward(x: Array, W: Array, b: Array, r: Array, s: Array) -> Array:
    """z = s ∘ ((r ∘ x) W) + b, with x (B, I), W (I, O), r (I,), s and b (O,)."""
    return np.asarray(s * ((r * x) @ W) + b)


def adapted_linear_vjp(dz: Array, x: Array, W: Array, r: Array, s: Array) -> tuple[Array, ...]:
    """Pull dz back to (dx, dW, db, dr, ds)."""
    u = r * x
    dv = dz * s
    du = dv @ W.T
    return du * r, u.T @ dv, dz.sum(0), (du * x).sum(0), (dz * (u @ W)).sum(0)


def adapted_linear_jvp(tx: Array, W: Array, r: Array, s: Array) -> Array:
    """Push a tangent of x forward: tz = s ∘ ((r ∘ tx) W)."""
    return np.asarray(s * ((r * tx) @ W))


def _log_mean_exp(l: Array) -> Array:
    """log Σ_k exp(l_k) / K."""
    top = l.max(axis=0)
    return np.asarray(top + np.log(np.exp(l - top).mean(axis=0)))


def _log_softmax(z: Array) -> Array:
    below = z - z.max(axis=-1, keepdims=True)
    return np.asarray(below - np.log(np.exp(below).sum(axis=-1, keepdims=True)))


def _log_sigmoid(z: Array) -> Array:
    return np.asarray(np.minimum(z, 0.0) - np.log1p(np.exp(-np.abs(z))))


def members_forward(z: Array, average: str = "values") -> Array:
    """The mean of z (K, B, N) over members, of values or of probabilities.

    Examples
    --------
    Two members that are sure of different classes are of two minds together, and their logits are equal:

    >>> z = np.array([[[9.0, 0.0]], [[0.0, 9.0]]])
    >>> y = members_forward(z, "softmax")
    >>> bool(np.isclose(y[0, 0], y[0, 1])), np.exp(y).round(6).tolist()
    (True, [[0.5, 0.5]])
    """
    if average == "values":
        return np.asarray(z.mean(axis=0))
    if average == "softmax":
        return _log_mean_exp(_log_softmax(z))
    return np.asarray(_log_mean_exp(_log_sigmoid(z)) - _log_mean_exp(_log_sigmoid(-z)))


def _slopes(z: Array, average: str) -> Array:
    """∂y/∂z_k where it is diagonal; of softmax ∂y/∂log p_k."""
    if average == "values":
        return np.full(z.shape, 1.0 / len(z))
    if average == "softmax":
        l = _log_softmax(z)
        return np.asarray(np.exp(l - _log_mean_exp(l)) / len(z))
    a, b = _log_sigmoid(z), _log_sigmoid(-z)
    return np.asarray((np.exp(a - _log_mean_exp(a) + b) + np.exp(b - _log_mean_exp(b) + a)) / len(z))


def members_vjp(dy: Array, z: Array, average: str = "values") -> Array:
    """Pull dy (B, N) back to dz (K, B, N)."""
    d = dy * _slopes(z, average)
    if average == "softmax":
        d = d - np.exp(_log_softmax(z)) * d.sum(axis=-1, keepdims=True)
    return np.asarray(d)


def members_jvp(tz: Array, z: Array, average: str = "values") -> Array:
    """Push a tangent tz (K, B, N) forward to ty (B, N)."""
    if average == "softmax":
        tz = tz - (np.exp(_log_softmax(z)) * tz).sum(axis=-1, keepdims=True)
    return np.asarray((tz * _slopes(z, average)).sum(axis=0))
