"""Weights of rows by their classes.

balanced    w_c = n / (K n_c), with n_c the rows of class c of K: all classes count the same, and the mean is 1
a dict      the number of a row's class, 1 where it has none
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, ConfigTypeError, ShapeError, brief
from fastbp.spec.checks import from_zero

BALANCED = "balanced"


def of_classes(given: Any) -> bool:
    """Whether a `sample_weight` is by classes: such count in training only."""
    return isinstance(given, str | Mapping)


def row_weights(given: Any, y: Any, chosen: Any = None) -> Any:
    """The `sample_weight` of a fit: an array as it is, or weights of rows by their classes.

    If `chosen` rows are given, they are weighed as if there were no others, whose weights are 0.
    """
    if not of_classes(given):
        return given
    labels = np.asarray(y)
    if labels.ndim != 1 or labels.dtype.kind not in "iub":
        raise ShapeError(f"`sample_weight` must be an array where `y` is no class for each row, got `{brief(given)}`")
    labels = labels.astype(np.int64)
    if chosen is None:
        return by_class(given, labels, "sample_weight")
    weights = np.zeros(len(labels))
    weights[chosen] = by_class(given, labels[chosen], "sample_weight")
    return weights


def by_class(given: Any, labels: NDArray[np.int64], where: str) -> NDArray[np.float64]:
    """The weight of each row, from "balanced" or a dict of class to number."""
    classes, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray(of_counts(given, classes, counts, where)[place])


def of_counts(given: Any, classes: NDArray[np.int64], counts: NDArray[np.int64], where: str) -> NDArray[np.float64]:
    """The weight of each class of which there are so many rows."""
    if isinstance(given, str):
        if given != BALANCED:
            raise ConfigError(f"`{where}` must be `{BALANCED}` or a number for each class, got `{brief(given)}`")
        return np.asarray(int(counts.sum()) / (len(classes) * counts))
    weights = np.ones(len(classes))
    for name, number in given.items():
        if isinstance(name, bool) or not isinstance(name, int | np.integer):
            raise ConfigTypeError(f"`{where}` must be a dict of class to number, got `{brief(name)}` as a class")
        if name not in classes:
            raise ConfigError(f"`{where}` must name classes of `y`, got `{name}`")
        weights[classes == name] = from_zero(f"{where}[{name}]", number)
    if not weights.any():
        raise ConfigError(f"`{where}` must have a class above 0")
    return weights
