"""Numbers of columns as waves: what embeds numbers, with parameters for each column.

With F embedded columns x (B, F), in a row of one of them u = w x + b and h = cos(κ u), k waves each, κ a factor:

    ∂h/∂u = -κ sin(κ u)   so   du = -κ sin(κ u) ∘ dh,   dw = Σ_b du x,   db = Σ_b du,   dx = Σ_k du w

y = h W + β is a linear layer for each column, y = h ∘ a + c a scale. Behind the columns' y stands x as it is, or what
of it is not embedded.
"""

from __future__ import annotations

import numpy as np

from fastbp.reference.layers import Array, Edges, piecewise_linear_forward, piecewise_linear_jvp, piecewise_linear_vjp

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


def periodic_forward(x: Array, w: Array, A: Array, B: Array, beta: Array, columns: list[int]) -> Array:
    """y = [max(0, cos(2π w x) A + sin(2π w x) B + β) of each of the columns, x of the others].

    Parameters
    ----------
    x : (B, N), of which F `columns` are embedded
    w : (F, k)
    A, B, beta : (F, k, m) twice, and (F, m)

    Returns
    -------
    (B, F m + N - F)

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> periodic_forward(np.array([[7.0, 0.0], [8.0, 0.25]]), one, one[None], 3 * one[None], -one, [1]).round(9)
    array([[0., 7.],
           [2., 8.]])
    """
    return np.concatenate([_flat(np.maximum(_series(x, w, A, B, beta, columns), 0)), _others(x, columns)], axis=1)


def periodic_vjp(
    dy: Array, x: Array, w: Array, A: Array, B: Array, beta: Array, columns: list[int]
) -> tuple[Array, ...]:
    """Pull dy back to dx, dw, dA = cosᵀ dz, dB = sinᵀ dz and dβ = Σ_b dz, dz = dy where y > 0."""
    scaled = TURN * x[:, columns][:, :, None]
    cosine, cosine_slope = wave_cosine_forward(scaled * w)
    sine, sine_slope = wave_sine_forward(scaled * w)
    d = dy[:, : beta.size].reshape(len(x), *beta.shape) * (_series(x, w, A, B, beta, columns) > 0)
    du = np.einsum("bfm,fkm->bfk", d, A) * cosine_slope + np.einsum("bfm,fkm->bfk", d, B) * sine_slope
    dx = _spread(dy[:, beta.size :], x, columns)
    dx[:, columns] = TURN * (du * w).sum(2)
    dA, dB = np.einsum("bfk,bfm->fkm", cosine, d), np.einsum("bfk,bfm->fkm", sine, d)
    return dx, (du * scaled).sum(0), dA, dB, d.sum(0)


def periodic_jvp(tx: Array, x: Array, w: Array, A: Array, B: Array, beta: Array, columns: list[int]) -> Array:
    """Push a tangent of x forward, where y > 0."""
    scaled = TURN * x[:, columns][:, :, None] * w
    turned: Array = TURN * tx[:, columns][:, :, None] * w
    of_cosine, of_sine = turned * wave_cosine_forward(scaled)[1], turned * wave_sine_forward(scaled)[1]
    t = np.einsum("bfk,fkm->bfm", of_cosine, A) + np.einsum("bfk,fkm->bfm", of_sine, B)
    return np.concatenate([_flat(t * (_series(x, w, A, B, beta, columns) > 0)), _others(tx, columns)], axis=1)


def _series(x: Array, w: Array, A: Array, B: Array, beta: Array, columns: list[int]) -> Array:
    """The Fourier series of each column, (B, F, m)."""
    scaled = TURN * x[:, columns][:, :, None] * w
    z = np.einsum("bfk,fkm->bfm", np.cos(scaled), A) + np.einsum("bfk,fkm->bfm", np.sin(scaled), B) + beta
    return np.asarray(z)


def piecewise_linear_embedding_forward(x: Array, edges: Edges, w: Array, b: Array, V: Array) -> Array:
    """y = [w x + b + e V of each column with edges, x of the others], e how far x has come through each bin.

    Parameters
    ----------
    x : (B, N)
    edges : column -> the edges of its bins; see `piecewise_linear_forward`
    w, b : (F, m)
    V : (F, J, m), J the most bins of a column; what is behind a column's last bin has no part

    Returns
    -------
    (B, F m + N - F)

    Examples
    --------
    >>> w, b, V = np.array([[2.0]]), np.array([[0.5]]), np.array([[[10.0], [100.0]]])
    >>> edges = {0: np.array([0.0, 1.0, 2.0])}
    >>> piecewise_linear_embedding_forward(np.array([[0.5, 7.0], [1.5, 8.0]]), edges, w, b, V)
    array([[ 6.5,  7. ],
           [63.5,  8. ]])
    """
    columns = list(edges)
    z = x[:, columns][:, :, None] * w + b + np.einsum("bfj,fjm->bfm", _apart(x, edges), V)
    return np.concatenate([_flat(z), _others(x, columns)], axis=1)


def piecewise_linear_embedding_vjp(dy: Array, x: Array, edges: Edges, w: Array, V: Array) -> tuple[Array, ...]:
    """Pull dy back to dx = Σ dz w + the slopes of the bins times dz Vᵀ, dw = Σ_b dz x, db = Σ_b dz and dV = eᵀ dz."""
    columns = list(edges)
    d = dy[:, : w.size].reshape(len(x), *w.shape)
    dx = _spread(dy[:, w.size :], x, columns)
    de = np.einsum("bfm,fjm->bfj", d, V)
    for f, (column, b) in enumerate(edges.items()):
        inside = np.concatenate([np.zeros((len(x), 1)), de[:, f, : len(b) - 1]], axis=1)
        through = piecewise_linear_vjp(inside, x[:, [column]], {0: b})[:, 0]
        dx[:, column] = (d[:, f] * w[f]).sum(1) + through
    dw = (d * x[:, columns][:, :, None]).sum(0)
    return dx, dw, d.sum(0), np.einsum("bfj,bfm->fjm", _apart(x, edges), d)


def piecewise_linear_embedding_jvp(tx: Array, x: Array, edges: Edges, w: Array, V: Array) -> Array:
    """Push a tangent of x forward: ty = [tx w + the bins' tangents times V, tx of the others]."""
    columns = list(edges)
    te = np.zeros((len(x), len(edges), V.shape[1]))
    for f, (column, b) in enumerate(edges.items()):
        te[:, f, : len(b) - 1] = piecewise_linear_jvp(tx[:, [column]], x[:, [column]], {0: b})[:, 1:]
    t = tx[:, columns][:, :, None] * w + np.einsum("bfj,fjm->bfm", te, V)
    return np.concatenate([_flat(t), _others(tx, columns)], axis=1)


def _apart(x: Array, edges: Edges) -> Array:
    """How far each column has come through its bins, (B, F, J)."""
    out = np.zeros((len(x), len(edges), max(len(b) - 1 for b in edges.values())))
    for f, (column, b) in enumerate(edges.items()):
        out[:, f, : len(b) - 1] = piecewise_linear_forward(x[:, [column]], {0: b})[:, 1:]
    return out


def _others(x: Array, columns: list[int]) -> Array:
    return np.delete(x, columns, axis=1)


def _spread(d: Array, x: Array, columns: list[int]) -> Array:
    """Numbers of the other columns where these are in x, zeros in those that are embedded."""
    out = np.zeros(x.shape)
    out[:, [c for c in range(x.shape[1]) if c not in columns]] = d
    return out
