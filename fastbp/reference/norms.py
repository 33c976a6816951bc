"""Normalisation: of each row (layer, RMS) or of each feature over the batch (batch norm).

With the mean μ and the biased variance σ² along an axis, r = 1 / √(σ² + ε) and x̂ = (x - μ) r,
    dσ²/dt = 2 mean((x - μ) ∘ t)   so   dr = -r³ mean((x - μ) ∘ t) = -r² mean(x̂ ∘ t),
and along a tangent t of x the output x̂ moves by
    J t = r (t - mean t) + (x - μ) dr = r (t - mean t - x̂ mean(x̂ ∘ t)).
<u, J t> is symmetric in u and t, so Jᵀ = J, and the same function pulls a cotangent back. RMS norm is the same
without the mean: r = 1 / √(mean(x²) + ε), J t = r (t - x̂ mean(x̂ ∘ t)).

Then y = g x̂ + b with g and b (N,), each of which may be None: g counts as 1, b as 0. Their cotangents are sums
over rows, dg = Σ dy ∘ x̂ and db = Σ dy, given even then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Parameter = Array | None

_FEATURES, _ROWS = 1, 0  # the axis that a mean runs along


def layer_norm_forward(x: Array, g: Parameter = None, b: Parameter = None, eps: float = 1e-5) -> Array:
    """y = g (x - μ) / √(σ² + eps) + b, μ and the biased σ² of each row of x (B, N); Ba, Kiros and Hinton (2016).

    Examples
    --------
    >>> layer_norm_forward(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]), eps=0.0).round(4)
    array([[-1.2247,  0.    ,  1.2247],
           [-1.2247,  0.    ,  1.2247]])
    """
    return _affine(_standard(x, _FEATURES, eps)[0], g, b)


def layer_norm_vjp(dy: Array, x: Array, g: Parameter = None, eps: float = 1e-5) -> tuple[Array, Array, Array]:
    """Pull dy back to (dx, dg, db) = (J (g dy), Σ dy ∘ x̂, Σ dy), means along rows and sums over them."""
    x_hat, r = _standard(x, _FEATURES, eps)
    return _along(_affine(dy, g), x_hat, r, _FEATURES), (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def layer_norm_jvp(tx: Array, tg: Parameter, tb: Parameter, x: Array, g: Parameter = None, eps: float = 1e-5) -> Array:
    """Push the tangents forward: ty = g (J tx) + tg x̂ + tb; a tangent that is None is zero."""
    x_hat, r = _standard(x, _FEATURES, eps)
    return _pushed(_along(tx, x_hat, r, _FEATURES), tg, tb, x_hat, g)


def rms_norm_forward(x: Array, g: Parameter = None, eps: float = 1e-5) -> Array:
    """y = g x / √(mean(x²) + eps), the mean of each row of x (B, N); Zhang and Sennrich (2019).

    Examples
    --------
    >>> rms_norm_forward(np.array([[3.0, -4.0]]), eps=0.0).round(4)
    array([[ 0.8485, -1.1314]])
    """
    return _affine(x * _inverse_rms(x, eps), g)


def rms_norm_vjp(dy: Array, x: Array, g: Parameter = None, eps: float = 1e-5) -> tuple[Array, Array]:
    """Pull dy back to (dx, dg) = (J (g dy), Σ dy ∘ x̂)."""
    r = _inverse_rms(x, eps)
    x_hat, u = x * r, _affine(dy, g)
    return r * (u - x_hat * _mean(x_hat * u, _FEATURES)), (dy * x_hat).sum(axis=0)


def rms_norm_jvp(tx: Array, tg: Parameter, x: Array, g: Parameter = None, eps: float = 1e-5) -> Array:
    """Push the tangents forward: ty = g (J tx) + tg x̂; a tangent that is None is zero."""
    r = _inverse_rms(x, eps)
    x_hat = x * r
    return _pushed(r * (tx - x_hat * _mean(x_hat * tx, _FEATURES)), tg, None, x_hat, g)


def batch_norm_forward(x: Array, g: Parameter = None, b: Parameter = None, eps: float = 1e-5) -> Array:
    """y = g (x - μ) / √(σ² + eps) + b, μ and the biased σ² of each feature over the batch x (B, N).

    Ioffe and Szegedy, "Batch normalization" (2015), algorithm 1.

    Examples
    --------
    >>> batch_norm_forward(np.array([[1.0, 5.0], [3.0, 5.0]]), b=np.array([0.0, 7.0]), eps=0.0625).round(4)
    array([[-0.9701,  7.    ],
           [ 0.9701,  7.    ]])
    """
    return _affine(_standard(x, _ROWS, eps)[0], g, b)


def batch_norm_vjp(dy: Array, x: Array, g: Parameter = None, eps: float = 1e-5) -> tuple[Array, Array, Array]:
    """Pull dy back to (dx, dg, db) = (J (g dy), Σ dy ∘ x̂, Σ dy): every row's dx hears of every row."""
    x_hat, r = _standard(x, _ROWS, eps)
    return _along(_affine(dy, g), x_hat, r, _ROWS), (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def batch_norm_jvp(tx: Array, tg: Parameter, tb: Parameter, x: Array, g: Parameter = None, eps: float = 1e-5) -> Array:
    """Push the tangents forward: ty = g (J tx) + tg x̂ + tb; a tangent that is None is zero."""
    x_hat, r = _standard(x, _ROWS, eps)
    return _pushed(_along(tx, x_hat, r, _ROWS), tg, tb, x_hat, g)


def batch_norm_statistics(x: Array, mean: Array, var: Array, momentum: float = 0.1) -> tuple[Array, Array]:
    """Move the running mean and variance (N,) towards this batch's: m <- (1 - momentum) m + momentum m_batch.

    The batch's variance is the unbiased one, which one row does not have: with fewer than two they stay.

    Examples
    --------
    >>> mean, var = batch_norm_statistics(np.array([[1.0], [3.0]]), np.array([0.0]), np.array([1.0]), momentum=0.5)
    >>> mean.tolist(), var.tolist()
    ([1.0], [1.5])
    """
    if len(x) < 2:
        return mean, var
    centre = x.mean(axis=0)
    spread = np.square(x - centre).sum(axis=0) / (len(x) - 1)
    return mean + float(momentum) * (centre - mean), var + float(momentum) * (spread - var)


def batch_norm_inference(x: Array, g: Parameter, b: Parameter, mean: Array, var: Array, eps: float = 1e-5) -> Array:
    """y = g (x - mean) / √(var + eps) + b with the running statistics: each row on its own."""
    return _affine((x - mean) / np.sqrt(var + float(eps)), g, b)


def _mean(x: Array, axis: int) -> Array:
    """The mean along an axis, which stays; of nothing it is zero."""
    return np.asarray(x.sum(axis=axis, keepdims=True) / max(x.shape[axis], 1))


def _standard(x: Array, axis: int, eps: float) -> tuple[Array, Array]:
    """x̂ and r. The variance is that of the centred values, since mean(x²) - μ² cancels."""
    centred = x - _mean(x, axis)
    r = 1 / np.sqrt(_mean(np.square(centred), axis) + float(eps))
    return centred * r, r


def _inverse_rms(x: Array, eps: float) -> Array:
    return np.asarray(1 / np.sqrt(_mean(np.square(x), _FEATURES) + float(eps)))


def _along(t: Array, x_hat: Array, r: Array, axis: int) -> Array:
    """J t = r (t - mean t - x̂ mean(x̂ ∘ t))."""
    return np.asarray(r * (t - _mean(t, axis) - x_hat * _mean(x_hat * t, axis)))


def _affine(x: Array, g: Parameter, b: Parameter = None) -> Array:
    y = x if g is None else x * g
    return y if b is None else y + b


def _pushed(t: Array, tg: Parameter, tb: Parameter, x_hat: Array, g: Parameter) -> Array:
    t = _affine(t, g, tb)
    return t if tg is None else t + tg * x_hat
