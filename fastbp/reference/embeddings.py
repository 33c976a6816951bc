"""Numbers of columns as waves: what embeds numbers, with parameters for each column.

With F embedded columns x (B, F), in a row of one of them u = w x + b and h = cos(κ u), k waves each, κ a factor:

    ∂h/∂u = -κ sin(κ u)   so   du = -κ sin(κ u) ∘ dh,   dw = Σ_b du x,   db = Σ_b du,   dx = Σ_k du w

y = h W + β is a linear layer for each column, y = h ∘ a + c a scale. Behind the columns' y stands x as it is.
"""

from __future__ import annotations

import numpy as np

from fastbp.reference.layers import Array

TURN = 2.0 * np.pi


def wave_cosine_forward(x: Array, a: float = 1.0) -> tuple[Array, Array]:
    """cos(a x), and its slope in x, -a sin(a x)."""
    return np.cos(a * x), -a * np.sin(a * x)


def wave_sine_forward(x: Array, a: float = 1.0) -> tuple[Array, Array]:
    """sin(a x), and its slope in x, a cos(a x)."""
    return np.sin(a * x), a * np.cos(a * x)


def waves_forward(x: Array, w: Array, b: Array, inner: float, outer: float) -> tuple[Array, Array, Array]:
    """Waves of each column, (B, F, k), their slopes in u, and what u is linear in: u = (inner x) w + b.

    Parameters
    ----------
    x : (B, F)
    w, b : (F, k)
    """
    scaled = inner * x[:, :, None]
    h, slope = wave_cosine_forward(scaled * w + b, outer)
    return h, slope, scaled


def _flat(y: Array) -> Array:
    """(B, F, m) as (B, F m)."""
    return y.reshape(len(y), y.shape[1] * y.shape[2])


def pbld_forward(x: Array, w: Array, b: Array, W: Array, beta: Array, columns: list[int]) -> Array:
    """y = [h W + β of each of the columns, x], h = cos(2π w x + b).

    Parameters
    ----------
    x : (B, N), of which F `columns` are embedded
    w, b : (F, k)
    W, beta : (F, k, m) and (F, m)

    Returns
    -------
    (B, F m + N)

    Examples
    --------
    >>> w, b, W, beta = np.array([[0.25]]), np.array([[0.0]]), np.array([[[1.0, 3.0]]]), np.array([[0.5, 0.0]])
    >>> pbld_forward(np.array([[0.0, 7.0], [2.0, 8.0]]), w, b, W, beta, [0]).round(9)
    array([[ 1.5,  3. ,  0. ,  7. ],
           [-0.5, -3. ,  2. ,  8. ]])
    """
    h, _, _ = waves_forward(x[:, columns], w, b, TURN, 1.0)
    y = np.einsum("bfk,fkm->bfm", h, W) + beta
    return np.concatenate([_flat(y), x], axis=1)


def pbld_vjp(dy: Array, x: Array, w: Array, b: Array, W: Array, columns: list[int]) -> tuple[Array, ...]:
    """Pull dy back to dx, dw, db, dW = hᵀ dy and dβ = Σ_b dy."""
    h, slope, scaled = waves_forward(x[:, columns], w, b, TURN, 1.0)
    d = dy[:, : W.shape[0] * W.shape[2]].reshape(len(x), W.shape[0], W.shape[2])
    du = np.einsum("bfm,fkm->bfk", d, W) * slope
    dx = dy[:, -x.shape[1] :].copy()
    dx[:, columns] += TURN * (du * w).sum(2)
    return dx, (du * scaled).sum(0), du.sum(0), np.einsum("bfk,bfm->fkm", h, d), d.sum(0)


def pbld_jvp(tx: Array, x: Array, w: Array, b: Array, W: Array, columns: list[int]) -> Array:
    """Push a tangent of x forward: ty = [(tx 2π w ∘ -sin(2π w x + b)) W, tx]."""
    _, slope, _ = waves_forward(x[:, columns], w, b, TURN, 1.0)
    turned: Array = TURN * tx[:, columns][:, :, None] * w * slope
    t = np.einsum("bfk,fkm->bfm", turned, W)
    return np.concatenate([_flat(t), tx], axis=1)


def cosine_forward(x: Array, w: Array, b: Array, a: Array, c: Array, columns: list[int]) -> Array:
    """y = [h a + c of each of the columns, x], h = cos(2π (w x + b)), with w, b, a and c (F, k).

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> cosine_forward(np.array([[0.0], [0.5]]), one, 0 * one, 2 * one, one, [0]).round(9)
    array([[ 3. ,  0. ],
           [-1. ,  0.5]])
    """
    h, _, _ = waves_forward(x[:, columns], w, b, 1.0, TURN)
    return np.concatenate([_flat(h * a + c), x], axis=1)


def cosine_vjp(dy: Array, x: Array, w: Array, b: Array, a: Array, columns: list[int]) -> tuple[Array, ...]:
    """Pull dy back to dx, dw, db, da = Σ_b dy ∘ h and dc = Σ_b dy."""
    h, slope, scaled = waves_forward(x[:, columns], w, b, 1.0, TURN)
    d = dy[:, : a.size].reshape(h.shape)
    du = d * a * slope
    dx = dy[:, -x.shape[1] :].copy()
    dx[:, columns] += (du * w).sum(2)
    return dx, (du * scaled).sum(0), du.sum(0), (d * h).sum(0), d.sum(0)


def cosine_jvp(tx: Array, x: Array, w: Array, b: Array, a: Array, columns: list[int]) -> Array:
    """Push a tangent of x forward: ty = [tx w ∘ -2π sin(2π (w x + b)) ∘ a, tx]."""
    _, slope, _ = waves_forward(x[:, columns], w, b, 1.0, TURN)
    return np.concatenate([_flat(tx[:, columns][:, :, None] * w * slope * a), tx], axis=1)
