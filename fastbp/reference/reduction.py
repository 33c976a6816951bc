"""How the losses ℓ_b of the rows become one number: loss = Σ_b ω_b ℓ_b / Ω, and dz_b = ω_b ∂ℓ_b/∂z_b / Ω.

ω are the weights of the samples, 1 by default, and Ω = Σ_b ω_b c_b for a mean (c what a row counts for, 1 nearly
always) or 1 for a sum. Where Ω = 0, as with no rows, loss and gradient are 0: then Ω is taken to be infinite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def weighted(
    rows: Array, sample_weight: Array | None, reduction: str, counts: Array | None = None
) -> tuple[float, float, Array | None]:
    """Return the loss, Ω and ω.

    Parameters
    ----------
    rows : (B,) losses
    sample_weight : (B,), >= 0, or None for ones
    reduction : {"mean", "sum"}
    counts : (B,), >= 0, or None for ones

    Examples
    --------
    >>> weighted(np.array([2.0, 4.0]), np.array([3.0, 1.0]), "mean")[0]
    2.5
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"`reduction` must be one of `mean`, `sum`, got `{reduction}`")
    if sample_weight is None:
        omega, total = None, float(rows.sum(dtype=np.float64))
        mass = float(len(rows) if counts is None else counts.sum(dtype=np.float64))
    else:
        omega = np.asarray(sample_weight, np.float64).reshape(rows.shape)
        if reduction == "mean" and omega.size and omega.max() > 0:
            omega = omega / omega.max()  # so that neither ω ℓ nor Σ ω leaves the floats
        total = float(omega @ rows)
        mass = float(omega.sum() if counts is None else omega @ counts)
    if reduction == "sum":
        mass = 1.0
    elif mass == 0:
        mass = np.inf
    return total / mass, mass, omega


def reduced(
    rows: Array, slopes: Array, divisor: int, sample_weight: Array | None, reduction: str
) -> tuple[float, Array]:
    """Return the loss and dz = slopes ω / (divisor Ω), where ∂ℓ_b/∂z_b = slopes_b / divisor, both (B, N)."""
    loss, mass, omega = weighted(rows, sample_weight, reduction)
    dz = slopes * (1.0 / (divisor * mass))
    return loss, times_rows(dz, omega)


def times_rows(dz: Array, omega: Array | None) -> Array:
    """Multiply row b by ω_b; the dtype stays."""
    return dz if omega is None else np.asarray(dz * omega.astype(dz.dtype)[:, None])
