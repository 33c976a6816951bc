"""Losses by name: the kernel of each, and what its targets must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigTypeError, not_one_of
from fastbp.model import arrays

# (name, value, rows, outputs, dtype) -> the array the kernel reads
Targets = Callable[[str, Any, int, int, np.dtype[Any]], NDArray[Any]]

LOSSES: dict[str, Targets] = {
    "cross_entropy": arrays.labels,
    "mse": arrays.targets,
}


def loss_named(name: Any) -> str:
    """Check the name of a loss."""
    if not isinstance(name, str):
        raise ConfigTypeError(f"`loss` must be the name of a loss, got `{name!r}`")
    if name not in LOSSES:
        raise not_one_of("loss", name, LOSSES)
    return name
