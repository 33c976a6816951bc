"""Columns of numbers to the levels of a normal distribution, by quantiles of the training rows with noise.

    quantiles   of x + 10⁻⁵ ε, ε normal numbers of the row and the column; max(min(n / 30, 1000), 10) of n rows
    level       Φ⁻¹(p), with p the part below x by linear interpolation between quantiles, from 10⁻⁷ to 1 - 10⁻⁷

The recipe of Gorishniy et al. (2025). Noise keeps quantiles apart where many rows share a number; p is the mean of what
interpolation from either side gives, which is one number wherever they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.numerics.normal import normal_quantile, normals

Array = NDArray[Any]
NOISE = 1e-5
ROWS_EACH, LEAST, MOST = 30, 10, 1000  # rows of a quantile, and how many there are
EDGE = 1e-7
SEED = 0


def noisy_knots(column: Array, stream: int, rows: int) -> Array:
    """The quantiles of the numbers of a column of so many rows; equal ones where all are equal.

    `stream` is that of the column's noise.
    """
    count = max(min(rows // ROWS_EACH, MOST), LEAST)
    if not len(column) or (column == column[0]).all():
        return np.full(count, column[0] if len(column) else 0.0)
    ordered = np.sort(column + NOISE * normals(len(column), SEED, stream))
    at = np.linspace(0.0, 1.0, count) * (len(ordered) - 1)
    low = at.astype(np.int64)
    high = np.minimum(low + 1, len(ordered) - 1)
    return np.asarray(ordered[low] + (ordered[high] - ordered[low]) * (at - low))


def noisy_levels(x: Array, knots: Array) -> Array:
    """The levels of numbers; 0 where all of the training rows were equal."""
    if knots[0] == knots[-1]:
        return np.zeros(len(x))
    parts = np.linspace(0.0, 1.0, len(knots))
    from_left, from_right = np.interp(x, knots, parts), np.interp(-x, -knots[::-1], parts)
    p = 0.5 * (from_left + (1.0 - from_right))
    return normal_quantile(np.clip(p, EDGE, 1.0 - EDGE))
