"""Temperature scaling: one number T by which logits are divided, so that their softmax is as likely as can be.

    ℓ(β) = Σ w (log Σ_k exp(β z_k) - β z_y) / Σ w      β = 1 / T      (Guo et al., 2017)
    ℓ'   = Σ w (Σ_k p_k z_k - z_y) / Σ w               p = softmax(β z)
    ℓ''  = Σ w (Σ_k p_k z_k² - (Σ_k p_k z_k)²) / Σ w >= 0, so ℓ is convex, and has its minimum where ℓ' is 0

Newton's steps within a bracket, halved where a step leads out of it, down to the last bits. T is within 0.1 and 1000:
where every row's class has the greatest logit, ever smaller ones were better. What is likeliest stays so.
Sums are taken from the first row to the last, so that they have the same bits on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.numerics.likely import log_softmax, softmax

Array = NDArray[Any]
LEAST, MOST = 0.1, 1000.0  # temperatures
STEPS = 200  # which halving alone does not need


def temperature(z: Array, y: Array, weight: Array | None = None) -> float:
    """The temperature with which the logits z, (rows, classes), of the classes y have the least log loss.

    Examples
    --------
    >>> z = np.log([[0.9, 0.1]] * 4)
    >>> round(temperature(z, np.array([0, 0, 0, 1])), 6), round(float(np.log(9) / np.log(3)), 6)
    (2.0, 2.0)
    """
    z = np.asarray(z, np.float64)
    z = z - z.max(axis=1, keepdims=True)
    own = z[np.arange(len(z)), y]
    w = np.ones(len(z)) if weight is None else np.asarray(weight, np.float64)
    w = w / w.max()

    def slopes(beta: float) -> tuple[float, float]:
        p = softmax(beta * z)
        mean = _along(p * z)
        return _sum(w * (mean - own)), _sum(w * np.maximum(_along(p * z * z) - mean * mean, 0.0))

    low, high = 1.0 / MOST, 1.0 / LEAST
    if slopes(low)[0] >= 0.0:
        return MOST
    if slopes(high)[0] <= 0.0:
        return LEAST
    beta = 1.0
    for _ in range(STEPS):
        slope, bend = slopes(beta)
        if slope == 0.0:
            break
        low, high = (low, beta) if slope > 0.0 else (beta, high)
        step = beta - slope / bend if bend > 0.0 else low
        after = step if low < step < high else low + (high - low) / 2.0
        if after in (beta, low, high):
            break
        beta = after
    return 1.0 / beta


def loss_at(z: Array, y: Array, weight: Array | None, temperature: float) -> float:
    """The log loss of logits that are divided by this."""
    own = log_softmax(np.asarray(z, np.float64) / temperature)[np.arange(len(z)), y]
    w = np.ones(len(own)) if weight is None else np.asarray(weight, np.float64) / np.max(weight)
    return -_sum(w * own) / _sum(w)


def _along(x: Array) -> Array:
    """Sums of rows, from the first column to the last."""
    return np.asarray(np.add.accumulate(x, axis=1)[:, -1])


def _sum(x: Array) -> float:
    return float(np.add.accumulate(x)[-1])
