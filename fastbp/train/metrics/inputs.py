"""Checks of the arguments of metrics: labels, numbers and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, DataError, DataTypeError, ShapeError
from fastbp.spec.arrays import as_array, read

Array = NDArray[Any]


def require(name: str, array: Array, good: Array, what: str) -> None:
    """Raise for the first element that is not `good`."""
    if not good.all():
        where = tuple(int(i) for i in np.argwhere(~good)[0])
        raise DataError(name, f"must {what}", f"`{array[where]}` at `[{', '.join(map(str, where))}]`")


def require_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ShapeError(name, f"must have shape `{shape}`", f"`{array.shape}`")


def read_numbers(name: str, value: Any) -> Array:
    """Finite numbers, one or several a row."""
    array = as_array(name, value)
    if array.ndim not in (1, 2):
        raise ShapeError(name, "must have shape `(rows,)` or `(rows, columns)`", f"`{array.shape}`")
    if array.size == 0:
        raise ShapeError(name, "must not be empty", f"shape `{array.shape}`")
    require(name, array, np.isfinite(array), "be finite")
    return array


def _is_text(array: Array) -> bool:
    return array.dtype.kind == "U"


def read_labels(name: str, value: Any, several: bool = False) -> Array:
    """One class a row, a whole number or a string; where `several` may be, also rows of zeros and ones."""
    array = read(name, value)
    if array.dtype == object and array.size and all(isinstance(label, str) for label in array.flat):
        array = array.astype(str)
    if not _is_text(array):
        if array.dtype.kind not in "fiub":
            raise DataTypeError(name, "must be whole numbers or strings", f"dtype `{array.dtype}`")
        array = as_array(name, value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    indicator = several and array.ndim == 2 and not _is_text(array)
    if array.ndim != 1 and not indicator:
        raise ShapeError(name, "must have shape `(rows,)`, one class a row", f"`{array.shape}`")
    if array.size == 0:
        raise ShapeError(name, "must not be empty", f"shape `{array.shape}`")
    if array.dtype.kind == "f":
        require(name, array, np.isfinite(array), "be finite")
        require(name, array, array == np.floor(array), "be classes, whole numbers or strings")
    if indicator:
        require(name, array, (array == 0) | (array == 1), "be 0 or 1 where rows have several labels")
    return array


def require_alike(name: str, array: Array, other_name: str, other: Array) -> None:
    """Labels can be compared: both strings, or both numbers."""
    if _is_text(array) != _is_text(other):
        wanted, got = ("strings", "numbers") if _is_text(other) else ("numbers", "strings")
        raise DataTypeError(name, f"must be {wanted} as `{other_name}` is", got)


def read_weights(value: Any, rows: int) -> NDArray[np.float64] | None:
    """A weight a row, none negative, not all zero."""
    if value is None:
        return None
    array = as_array("sample_weight", value)
    require_shape("sample_weight", array, (rows,))
    require("sample_weight", array, np.isfinite(array), "be finite")
    require("sample_weight", array, array >= 0, "be >= 0")
    if not array.any():
        raise DataError("sample_weight", "must have a weight above 0", "only zeros")
    return array.astype(np.float64)


def class_names(value: Any, y_true: Array) -> Array:
    """The `labels` of a call: classes in the order of rows or columns, each once."""
    array = read_labels("labels", value)
    require_alike("labels", array, "y_true", y_true)
    found, counts = np.unique(array, return_counts=True)
    if counts.max() > 1:
        raise ConfigError("labels", "must name each class once", f"`{found[np.argmax(counts)]}` {counts.max()} times")
    return array


def positions(values: Array, names: Array) -> NDArray[np.int64]:
    """Index of each value in `names`, -1 where it is not there."""
    order = np.argsort(names, kind="stable")
    nearest = order[np.minimum(np.searchsorted(names, values, sorter=order), len(names) - 1)]
    return np.where(names[nearest] == values, nearest, -1).astype(np.int64)
