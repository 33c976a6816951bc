"""Losses against numbers. With the error e = z - t of each output:

    loss           of one output                                 its derivative in z
    mse            e²                                            2e
    half_mse       e² / 2                                        e
    mae            |e|                                           sign e           (0 at 0)
    huber          e² / 2 if |e| <= δ else δ (|e| - δ/2)         min(max(e, -δ), δ)
    quantile       max(q (t - z), (q - 1) (t - z))               1 - q if e > 0, -q if e < 0, 0 at 0
    log_cosh       log cosh e                                    tanh e
    poisson        exp(z) - t z                                  exp(z) - t
    gaussian_nll   (s + e² exp(-s)) / 2 at z = (μ, s), e = μ - t e exp(-s) in μ, (1 - e² exp(-s)) / 2 in s

A row's loss is the mean over its N outputs, but their sum for half_mse. Each `<name>_rows` gives the losses of the
rows; `<name>` gives (loss, dz) as `reduction` says. z and the targets are (B, N); for one output targets may be (B,).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastbp.reference.reduction import reduced

Array = npt.NDArray[Any]
Loss = tuple[float, Array]


def mse_rows(z: Array, t: Array) -> Array:
    """Return the loss of each row, Σ_n (z_bn - t_bn)² / N."""
    return _mean(np.square(_error(z, t)))


def mse(z: Array, t: Array, sample_weight: Array | None = None, reduction: str = "mean") -> Loss:
    """Return loss = Σ (z - t)² / (B N), the mean over all elements, and dz = 2 (z - t) / (B N).

    Examples
    --------
    >>> loss, dz = mse(np.array([[1.0, 3.0]]), np.array([[0.0, 0.0]]))
    >>> loss, dz.tolist()
    (5.0, [[1.0, 3.0]])
    """
    return reduced(mse_rows(z, t), 2 * _error(z, t), z.shape[1], sample_weight, reduction)


def half_mse_rows(z: Array, t: Array) -> Array:
    """Return the loss of each row, Σ_n (z_bn - t_bn)² / 2."""
    return np.asarray(0.5 * np.square(_error(z, t)).sum(axis=1))


def half_mse(z: Array, t: Array, sample_weight: Array | None = None, reduction: str = "mean") -> Loss:
    """Return loss = Σ_b ω_b Σ_n e² / (2 Ω) and dz = ω e / Ω: the cotangent of one example is its error.

    Examples
    --------
    >>> loss, dz = half_mse(np.array([[1.0, 3.0]]), np.array([[0.0, 0.0]]))
    >>> loss, dz.tolist()
    (5.0, [[1.0, 3.0]])
    """
    return reduced(half_mse_rows(z, t), _error(z, t), 1, sample_weight, reduction)


def mae_rows(z: Array, t: Array) -> Array:
    """Return the loss of each row, mean_n |e|."""
    return _mean(np.abs(_error(z, t)))


def mae(z: Array, t: Array, sample_weight: Array | None = None, reduction: str = "mean") -> Loss:
    """Return the loss and dz = sign(e) ω / (N Ω), 0 at e = 0."""
    return reduced(mae_rows(z, t), np.sign(_error(z, t)), z.shape[1], sample_weight, reduction)


def huber_rows(z: Array, t: Array, delta: float = 1.0) -> Array:
    """Return the loss of each row, mean_n (e²/2 if |e| <= δ else δ (|e| - δ/2)), as torch.nn.HuberLoss does."""
    e, delta = np.abs(_error(z, t)), float(delta)
    near = np.minimum(e, delta)
    return _mean(near * (e - 0.5 * near))


def huber(z: Array, t: Array, sample_weight: Array | None = None, reduction: str = "mean", delta: float = 1.0) -> Loss:
    """Return the loss and dz = min(max(e, -δ), δ) ω / (N Ω), with δ > 0; Huber (1964).

    Examples
    --------
    >>> loss, dz = huber(np.array([[0.5, 3.0]]), np.array([[0.0, 0.0]]))
    >>> loss, dz.tolist()                          # (0.125 + 2.5) / 2
    (1.3125, [[0.25, 0.5]])
    """
    slopes = np.clip(_error(z, t), -float(delta), float(delta))
    return reduced(huber_rows(z, t, delta), slopes, z.shape[1], sample_weight, reduction)


def quantile_rows(z: Array, t: Array, q: npt.ArrayLike = 0.5) -> Array:
    """Return the loss of each row, mean_n max(q (t - z), (q - 1) (t - z)); q is one number or (N,), in (0, 1)."""
    over, q = _error(z, t), np.asarray(q, z.dtype)
    return _mean(np.maximum(-q * over, (1 - q) * over))


def quantile(
    z: Array, t: Array, sample_weight: Array | None = None, reduction: str = "mean", q: npt.ArrayLike = 0.5
) -> Loss:
    """Return the loss and dz = (1 - q where z > t, -q where z < t, 0 where they meet) ω / (N Ω).

    Its least z is the q-quantile of t, below which t falls with probability q; Koenker and Bassett (1978).

    Examples
    --------
    >>> loss, dz = quantile(np.array([[0.0, 0.0]]), np.array([[1.0, -1.0]]), q=0.75)
    >>> loss, dz.tolist()                          # (0.75 + 0.25) / 2
    (0.5, [[-0.375, 0.125]])
    """
    over, below = _error(z, t), np.asarray(q, z.dtype)
    slopes = np.where(over < 0, -below, np.sign(over) * (1 - below))
    return reduced(quantile_rows(z, t, q), slopes, z.shape[1], sample_weight, reduction)


def log_cosh_rows(z: Array, t: Array) -> Array:
    """Return the loss of each row, mean_n log cosh e.

    That is |e| + log(1 + exp(-2|e|)) - log 2, which cannot overflow; below 1 it would cancel, and
    cosh e = 1 + 2 sinh²(e/2) gives log1p(2 sinh²(e/2)).
    """
    e = np.abs(_error(z, t))
    near = np.log1p(2 * np.square(np.sinh(0.5 * np.minimum(e, 1))))
    return _mean(np.where(e < 1, near, e + np.log1p(np.exp(-2 * e)) - math.log(2)))


def log_cosh(z: Array, t: Array, sample_weight: Array | None = None, reduction: str = "mean") -> Loss:
    """Return the loss and dz = tanh(e) ω / (N Ω)."""
    return reduced(log_cosh_rows(z, t), np.tanh(_error(z, t)), z.shape[1], sample_weight, reduction)


def poisson_rows(z: Array, t: Array) -> Array:
    """Return the loss of each row, mean_n (exp(z) - t z): z is the log of a rate, and log t! is left out.

    As torch.nn.PoissonNLLLoss with its defaults. It is infinite where exp(z) is.
    """
    with np.errstate(over="ignore"):
        return _mean(np.exp(z) - _like(t, z) * z)


def poisson(z: Array, t: Array, sample_weight: Array | None = None, reduction: str = "mean") -> Loss:
    """Return the loss and dz = (exp(z) - t) ω / (N Ω), with counts t >= 0."""
    with np.errstate(over="ignore"):
        slopes = np.exp(z) - _like(t, z)
        return reduced(poisson_rows(z, t), slopes, z.shape[1], sample_weight, reduction)


def gaussian_nll_rows(z: Array, t: Array) -> Array:
    """Return the loss of each row, mean_n (s + (μ - t)² exp(-s)) / 2 with z = [μ, s]; log(2π) / 2 is left out.

    It is infinite where a variance exp(s) is too small for exp(-s).
    """
    e, s, precision = _gaussian(z, t)
    with np.errstate(over="ignore"):
        return _mean(0.5 * (s + np.square(e) * precision))


def gaussian_nll(z: Array, t: Array, sample_weight: Array | None = None, reduction: str = "mean") -> Loss:
    """Return the loss and dz = [e exp(-s), (1 - e² exp(-s)) / 2] ω / (N Ω).

    Parameters
    ----------
    z : (B, 2N) means μ, then the logarithms s of the variances
    t : (B, N) or, for N = 1, (B,)

    Examples
    --------
    >>> loss, dz = gaussian_nll(np.array([[3.0, 0.0]]), np.array([[1.0]]))
    >>> loss, dz.tolist()
    (2.0, [[2.0, -1.5]])
    """
    e, _, precision = _gaussian(z, t)
    with np.errstate(over="ignore"):
        slopes = np.concatenate([e * precision, 0.5 * (1 - np.square(e) * precision)], axis=1)
        return reduced(gaussian_nll_rows(z, t), slopes, e.shape[1], sample_weight, reduction)


def _gaussian(z: Array, t: Array) -> tuple[Array, Array, Array]:
    """e, s and exp(-s), which only ever multiplies e and is left out where e = 0, so that no 0 meets an infinity."""
    mean, s = np.split(z, 2, axis=1)
    e = _error(mean, t)
    with np.errstate(over="ignore"):
        return e, s, np.where(e == 0, 0, np.exp(-s))


def _error(z: Array, t: Array) -> Array:
    return np.asarray(z - _like(t, z))


def _like(t: Array, z: Array) -> Array:
    """Targets with the shape and dtype of the outputs, so that (B,) against (B, 1) cannot broadcast."""
    return np.asarray(t, z.dtype).reshape(z.shape)


def _mean(elements: Array) -> Array:
    return np.asarray(elements.mean(axis=1))
