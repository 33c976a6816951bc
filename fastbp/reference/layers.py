"""Layers with weights, bins or a mask: linear, scale, PReLU, embedding, piecewise linear, dropout.

**Linear.** With a column x, weights Wᵀ (O, I) and the cotangent u = dz of z = Wᵀx + b,
    ∂z_k/∂W_ji = x_j [k = i]   so  Σ_k u_k ∂z_k/∂W_ji = u_i x_j : the outer product u xᵀ, one per example.
Summed over the rows of a batch, and stored (I, O) as W is, that is dW = xᵀ dz; likewise
∂z_k/∂x_j = W_jk gives dx = dz Wᵀ, and ∂z_k/∂b_i = [k = i] gives db = Σ_b dz_b.

**Shared parameters.** Whatever a parameter is read for, its cotangent is the sum over the reads: over rows for a
scale s (N,), over all elements for s (1,), over the rows with that code for a row of an embedding table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Tables = dict[int, Array]
Edges = dict[int, Array]


def linear_forward(x: Array, W: Array, b: Array) -> Array:
    """z = x W + b, with x (B, I), W (I, O), b (O,) and z (B, O)."""
    z: Array = x @ W
    z += b
    return z


def linear_vjp(dz: Array, x: Array, W: Array) -> tuple[Array, Array, Array]:
    """Pull dz (B, O) back to (dx, dW, db) = (dz Wᵀ, xᵀ dz, Σ_b dz_b).

    Examples
    --------
    One example, so dW is the outer product of x and u = dz:

    >>> x, W, u = np.array([[2.0, 3.0]]), np.array([[1.0, 0.0], [0.0, 10.0]]), np.array([[1.0, -1.0]])
    >>> dx, dW, db = linear_vjp(u, x, W)
    >>> dx.tolist(), dW.tolist(), db.tolist()
    ([[1.0, -10.0]], [[2.0, -2.0], [3.0, -3.0]], [1.0, -1.0])
    """
    return dz @ W.T, x.T @ dz, dz.sum(axis=0)


def linear_jvp(tx: Array, W: Array) -> Array:
    """Push an input tangent tx (B, I) forward: tz = tx W."""
    return tx @ W


def ntk_forward(x: Array, W: Array, b: Array) -> Array:
    """z = (x / √I) W + b: with W of unit variance, z is of the size of x whatever I is.

    Jacot, Gabriel and Hongler, "Neural tangent kernel" (2018), section 2.
    """
    return linear_forward(_over_root_width(x), W, b)


def ntk_vjp(dz: Array, x: Array, W: Array) -> tuple[Array, Array, Array]:
    """Pull dz back to (dx, dW, db) = (dz Wᵀ / √I, (x / √I)ᵀ dz, Σ_b dz_b)."""
    dx, dW, db = linear_vjp(dz, _over_root_width(x), W)
    return _over_root_width(dx), dW, db


def ntk_jvp(tx: Array, W: Array) -> Array:
    """Push an input tangent forward: tz = (tx / √I) W."""
    return linear_jvp(_over_root_width(tx), W)


def _over_root_width(x: Array) -> Array:
    return np.asarray(x * float(x.shape[1]) ** -0.5)


def scale_forward(x: Array, s: Array) -> Array:
    """y = x ∘ s, with x (B, N) and s (N,), one factor a feature, or (1,), one for all."""
    return np.asarray(x * s)


def scale_vjp(dy: Array, x: Array, s: Array) -> tuple[Array, Array]:
    """Pull dy back to (dx, ds) = (dy ∘ s, Σ dy ∘ x), the sum over all that shares a factor.

    Examples
    --------
    >>> dx, ds = scale_vjp(np.array([[1.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0]))
    >>> dx.tolist(), ds.tolist()
    ([[10.0, 10.0], [10.0, 0.0]], [6.0])
    """
    return np.asarray(dy * s), _summed(dy * x, s)


def scale_jvp(tx: Array, ts: Array, x: Array, s: Array) -> Array:
    """Push both tangents forward: ty = tx ∘ s + x ∘ ts."""
    return np.asarray(tx * s + x * ts)


def prelu_forward(x: Array, a: Array) -> Array:
    """y = x if x > 0 else a x, with x (B, N) and a (N,), one slope a feature, or (1,), one for all."""
    return np.where(x > 0, x, a * x)


def prelu_vjp(dy: Array, x: Array, a: Array) -> tuple[Array, Array]:
    """Pull dy back to (dx, da) = (dy ∘ (1 if x > 0 else a), Σ dy ∘ min(x, 0)), the slope at 0 being a."""
    return np.where(x > 0, dy, a * dy), _summed(dy * np.minimum(x, 0), a)


def prelu_jvp(tx: Array, ta: Array, x: Array, a: Array) -> Array:
    """Push both tangents forward: ty = tx ∘ (1 if x > 0 else a) + ta ∘ min(x, 0)."""
    return np.asarray(np.where(x > 0, tx, a * tx) + ta * np.minimum(x, 0))


def _summed(terms: Array, like: Array) -> Array:
    """Terms (B, N) summed to a parameter (N,), or to one (1,) that every feature shares."""
    return np.asarray(terms.sum(axis=0) if like.size == terms.shape[1] else terms.sum().reshape(1))


def embedding_forward(x: Array, tables: Tables) -> Array:
    """Replace columns of codes by rows of tables: y = [x_others, T_c[x_c] for each c].

    Parameters
    ----------
    x : (B, F) of which the columns named in `tables` hold whole numbers in [0, V)
    tables : column -> its table (V, D)

    Returns
    -------
    (B, columns without a table + Σ D): those columns in order, then the rows of each table in the order of `tables`

    Examples
    --------
    >>> embedding_forward(np.array([[2.0, 0.5], [0.0, 0.25]]), {0: np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])})
    array([[0.5 , 5.  , 6.  ],
           [0.25, 1.  , 2.  ]])
    """
    parts = [table[_codes(x, c)] for c, table in tables.items()]
    return np.concatenate([np.delete(x, list(tables), axis=1), *parts], axis=1)


def embedding_vjp(dy: Array, x: Array, tables: Tables) -> tuple[Array, Tables]:
    """Pull dy back to dx, zero in the columns of codes, and dT_c[v] = Σ over rows with x_c = v of their part of dy."""
    others = [c for c in range(x.shape[1]) if c not in tables]
    dx = np.zeros_like(x)
    dx[:, others] = dy[:, : len(others)]
    dtables, begin = {}, len(others)
    for c, table in tables.items():
        end = begin + table.shape[1]
        dtables[c] = np.zeros_like(table)
        np.add.at(dtables[c], _codes(x, c), dy[:, begin:end])
        begin = end
    return dx, dtables


def embedding_jvp(tx: Array, ttables: Tables, x: Array, tables: Tables) -> Array:
    """Push both tangents forward: ty = [tx_others, tT_c[x_c] for each c]; a code has no tangent."""
    parts = [ttables[c][_codes(x, c)] for c in tables]
    return np.concatenate([np.delete(tx, list(tables), axis=1), *parts], axis=1)


def _codes(x: Array, column: int) -> Array:
    return x[:, column].astype(np.int64)


def parametric_forward(x: Array, f: Array, a: Array) -> Array:
    """y = x + a ∘ (f - x), with x and f = f(x) (B, N) and a (N,): x where a is 0, f(x) where it is 1."""
    return np.asarray(x + a * (f - x))


def parametric_vjp(dy: Array, pulled: Array, x: Array, f: Array, a: Array) -> tuple[Array, Array]:
    """Pull dy back to (dx, da) = (dy + a ∘ (dy ∘ f'(x) - dy), Σ_b dy ∘ (f - x)); `pulled` is dy ∘ f'(x)."""
    return np.asarray(dy + a * (pulled - dy)), _summed(dy * (f - x), a)


def parametric_jvp(tx: Array, pushed: Array, ta: Array, x: Array, f: Array, a: Array) -> Array:
    """Push both tangents forward: ty = tx + a ∘ (tx ∘ f'(x) - tx) + ta ∘ (f - x); `pushed` is tx ∘ f'(x)."""
    return np.asarray(tx + a * (pushed - tx) + ta * (f - x))


def piecewise_linear_forward(x: Array, edges: Edges) -> Array:
    """Behind the columns stands how far each number has come through each of its bins: y = [x, e_c of each c].

    Parameters
    ----------
    x : (B, F)
    edges : column -> the edges of its J bins, (J + 1,), rising

    Returns
    -------
    (B, F + Σ J): e_j = (x - b_j) / (b_(j+1) - b_j), 0 below b_j but in the first bin, 1 from b_(j+1) on but in the last

    Examples
    --------
    >>> piecewise_linear_forward(np.array([[-1.0], [0.5], [3.0]]), {0: np.array([0.0, 1.0, 2.0])})
    array([[-1. , -1. ,  0. ],
           [ 0.5,  0.5,  0. ],
           [ 3. ,  1. ,  2. ]])
    """
    parts = []
    for c, b in edges.items():
        e = (x[:, c, None] - b[:-1]) / np.diff(b)
        e[:, 1:] = np.maximum(e[:, 1:], 0)
        e[:, :-1] = np.minimum(e[:, :-1], 1)
        parts.append(e)
    return np.concatenate([x, *parts], axis=1)


def piecewise_linear_vjp(dy: Array, x: Array, edges: Edges) -> Array:
    """Pull dy back to dx = dy_x + de / w of the bin that x is in, which begins at its lower edge."""
    dx, begin = dy[:, : x.shape[1]].copy(), x.shape[1]
    for c, b in edges.items():
        j = _bin_of(x[:, c], b)
        dx[:, c] += np.where(np.isnan(x[:, c]), x[:, c], dy[np.arange(len(x)), begin + j] / np.diff(b)[j])
        begin += len(b) - 1
    return dx


def piecewise_linear_jvp(tx: Array, x: Array, edges: Edges) -> Array:
    """Push a tangent forward: ty = [tx, tx / w in the bin that x is in and 0 in the others]."""
    parts = []
    for c, b in edges.items():
        here = np.arange(len(b) - 1) == _bin_of(x[:, c], b)[:, None]
        slopes = np.where(here, tx[:, c, None] / np.diff(b), tx.dtype.type(0))
        parts.append(np.where(np.isnan(x[:, c, None]), x[:, c, None], slopes))
    return np.concatenate([tx, *parts], axis=1)


def _bin_of(x: Array, edges: Array) -> Array:
    """The bin of each number, from its lower edge on; the first and the last have no end."""
    return np.asarray(np.searchsorted(edges[1:-1], x, side="right"))


def dropout_forward(x: Array, kept: Array, p: float) -> Array:
    """Scale what is kept, zero the rest: y = x ∘ kept / (1 - p), with x (B, N) and 0 <= p < 1."""
    return np.asarray(x * (kept * x.dtype.type(1.0 / (1.0 - p))))


def dropout_vjp(dy: Array, kept: Array, p: float) -> Array:
    """Pull back through the same mask: dx = dy ∘ kept / (1 - p)."""
    return dropout_forward(dy, kept, p)


dropout_jvp = dropout_vjp
