"""Losses against classes: cross-entropy, binary cross-entropy with logits, the multi-class margin.

**Cross-entropy.** With p = softmax(z), log p_k = z_k - log Σ exp(z), and ∂/∂z_k log Σ exp = exp(z_k) / Σ exp = p_k.
For a label, loss = -log p_y and dz = p - y with y the one-hot label. In general loss = -Σ_k q_k log p_k with
q_k = w_k t_k: t the target distribution, w the class weights; then
    dz = p Σ_k q_k - q.
Smoothing by ε mixes every target with the uniform one: t <- (1 - ε) t + ε / K.

Each `<name>_rows` gives the losses of the rows, ω and Ω left aside; `<name>` gives (loss, dz), see `reduction`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastbp.reference.activations import sigmoid_forward, softplus_forward
from fastbp.reference.reduction import reduced, times_rows, weighted

Array = npt.NDArray[Any]


def cross_entropy_rows(
    z: Array,
    y: Array,
    label_smoothing: float = 0.0,
    class_weights: Array | None = None,
    ignore_index: int | None = None,
) -> Array:
    """Return the loss of each row, -Σ_k q_k log p_k, which for a label is w_y (log Σ_k exp(z_k) - z_y)."""
    return _cross_entropy(z, y, label_smoothing, class_weights, ignore_index)[0]


def cross_entropy(
    z: Array,
    y: Array,
    sample_weight: Array | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    class_weights: Array | None = None,
    ignore_index: int | None = None,
) -> tuple[float, Array]:
    """Return loss = Σ_b ω_b ℓ_b / Ω and dz, as torch.nn.functional.cross_entropy does.

    Parameters
    ----------
    z : (B, K) logits
    y : (B,) integers in [0, K), or (B, K) probabilities
    sample_weight : (B,) ω, >= 0
    reduction : {"mean", "sum"}
        Ω is for a mean of labels Σ ω_b w_y, smoothed or not, and of probabilities Σ ω_b.
    label_smoothing : float in [0, 1]
    class_weights : (K,) w, >= 0
    ignore_index : int
        Rows with this label leave both sums.

    Examples
    --------
    >>> loss, dz = cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> round(loss, 6), dz.tolist()                # log 4, and p - y with p = 1/4
    (1.386294, [[0.25, 0.25, -0.75, 0.25]])
    """
    rows, dz, counts = _cross_entropy(z, y, label_smoothing, class_weights, ignore_index)
    loss, mass, omega = weighted(rows, sample_weight, reduction, counts)
    dz /= mass
    return loss, times_rows(dz, omega)


def _cross_entropy(
    z: Array, y: Array, label_smoothing: float, class_weights: Array | None, ignore_index: int | None
) -> tuple[Array, Array, Array | None]:
    """Row losses, their derivatives and what each row counts for; z is shifted so that no exp overflows."""
    shifted = z - z.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=1)
    p /= total[:, None]
    if np.ndim(y) == 1 and not label_smoothing and class_weights is None and ignore_index is None:
        label = np.arange(len(z)), y  # the usual case, without a (B, K) array of targets
        rows = np.log(total) - shifted[label]
        p[label] -= 1
        return rows, p, None
    q, counts = _targets(z, np.asarray(y), float(label_smoothing), class_weights, ignore_index)
    surprise = np.where(q == 0, 0, np.log(total)[:, None] - shifted)  # 0 · log 0 = 0
    return (q * surprise).sum(axis=1), p * q.sum(axis=1, keepdims=True) - q, counts


def _targets(
    z: Array, y: Array, label_smoothing: float, class_weights: Array | None, ignore_index: int | None
) -> tuple[Array, Array]:
    """q (B, K), and what each row counts for in Ω (B,)."""
    classes = z.shape[1]
    w = np.ones(classes, z.dtype) if class_weights is None else np.asarray(class_weights, z.dtype)
    if y.ndim == 2:
        t, counts = y.astype(z.dtype), np.ones(len(y), z.dtype)
        kept = counts
    else:
        kept = np.ones(len(y), z.dtype) if ignore_index is None else (y != ignore_index).astype(z.dtype)
        labels = np.where(kept > 0, y, 0)
        t, counts = (labels[:, None] == np.arange(classes)).astype(z.dtype), w[labels] * kept
    return w * ((1 - label_smoothing) * t + label_smoothing / classes) * kept[:, None], counts


def binary_cross_entropy_rows(z: Array, t: Array, pos_weight: npt.ArrayLike | None = None) -> Array:
    """Return the loss of each row, mean_n (w t softplus(-z) + (1 - t) softplus(z)), w the `pos_weight`.

    Both logarithms are softplus: -log σ(z) = softplus(-z) and -log(1 - σ(z)) = softplus(z) = log(1 + exp(z)).
    """
    positive, negative = _bits(z, t, pos_weight)
    return np.asarray((positive * softplus_forward(-z) + negative * softplus_forward(z)).mean(axis=1))


def binary_cross_entropy(
    z: Array,
    t: Array,
    sample_weight: Array | None = None,
    reduction: str = "mean",
    pos_weight: npt.ArrayLike | None = None,
) -> tuple[float, Array]:
    """Return the loss and dz = ((1 - t) σ(z) - w t σ(-z)) ω / (N Ω), which is (σ(z) - t) ω / (N Ω) for w = 1.

    Parameters
    ----------
    z : (B, N) logits
    t : (B, N) or, for one output, (B,), in [0, 1]
    pos_weight : float or (N,), > 0

    Examples
    --------
    >>> loss, dz = binary_cross_entropy(np.array([[0.0, 0.0]]), np.array([[1.0, 0.0]]))
    >>> round(loss, 6), dz.tolist()                # log 2, and (σ - t) / 2 with σ = 1/2
    (0.693147, [[-0.25, 0.25]])
    """
    positive, negative = _bits(z, t, pos_weight)
    slopes = negative * sigmoid_forward(z) - positive * sigmoid_forward(-z)
    return reduced(binary_cross_entropy_rows(z, t, pos_weight), slopes, z.shape[1], sample_weight, reduction)


def _bits(z: Array, t: Array, pos_weight: npt.ArrayLike | None) -> tuple[Array, Array]:
    """w t and 1 - t."""
    t = np.asarray(t, z.dtype).reshape(z.shape)
    return t if pos_weight is None else t * np.asarray(pos_weight, z.dtype), 1 - t


def multi_margin_rows(z: Array, y: Array, p: int = 1, margin: float = 1.0) -> Array:
    """Return the loss of each row, Σ_{k ≠ y} max(0, margin - z_y + z_k)^p / K, as torch.nn.MultiMarginLoss does."""
    return np.asarray((_missing(z, y, margin) ** p).sum(axis=1) / z.shape[1])


def multi_margin(
    z: Array,
    y: Array,
    sample_weight: Array | None = None,
    reduction: str = "mean",
    p: int = 1,
    margin: float = 1.0,
) -> tuple[float, Array]:
    """Return the loss and dz: with m_k = max(0, margin - z_y + z_k), dℓ/dz_k = p m_k^(p-1) [m_k > 0] / K.

    z_y stands in every term, so dℓ/dz_y = -Σ_{k ≠ y} dℓ/dz_k.

    Parameters
    ----------
    z : (B, K) scores
    y : (B,) integers in [0, K)
    p : {1, 2}

    Examples
    --------
    >>> loss, dz = multi_margin(np.array([[2.0, 1.5, 0.0, 0.0]]), np.array([0]))
    >>> loss, dz.tolist()                          # only class 1 comes closer than the margin
    (0.125, [[-0.25, 0.25, 0.0, 0.0]])
    """
    m = _missing(z, y, margin)
    slopes = np.where(m > 0, p * m ** (p - 1), 0)
    slopes[np.arange(len(z)), y] = -slopes.sum(axis=1)
    return reduced(multi_margin_rows(z, y, p, margin), slopes, z.shape[1], sample_weight, reduction)


def _missing(z: Array, y: Array, margin: float) -> Array:
    """What each class lacks in distance from the right one, which itself lacks nothing."""
    label = np.arange(len(z)), y
    m = np.maximum(z - z[label][:, None] + float(margin), 0)
    m[label] = 0
    return m
