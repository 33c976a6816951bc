"""Quantiles of sorted numbers."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def quantile(ordered: NDArray[Any], q: float) -> float:
    """A quantile of sorted numbers, by linear interpolation."""
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (ordered[high] - ordered[low]) * (at - low))
