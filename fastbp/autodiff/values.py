"""Checks and conversion of the arguments of traced functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.autodiff.graph import Shape, two_axes
from fastbp.errors import ConfigTypeError, DataError, DataTypeError, ShapeError


def value(where: str, given: Any, dtype: np.dtype[Any]) -> Any:
    """A float, or a C-contiguous array of the dtype, uncopied if possible."""
    kind = type(given)
    if kind is float:
        return given
    if kind is int:
        try:
            return float(given)
        except OverflowError:
            raise DataError(where, "must fit into `float64`") from None
    if kind is np.ndarray and given.dtype == dtype and given.ndim and given.ndim < 3 and given.size:
        flags = given.flags
        if flags.c_contiguous and flags.aligned and dtype.isnative:
            return given
    try:
        array = np.asarray(given)
    except (ValueError, TypeError, RuntimeError):  # a RuntimeError is what tensors with gradients raise
        raise DataError(where, "must be a number or an array", f"a `{kind.__name__}`") from None
    if array.dtype.kind not in "fiub":
        raise DataTypeError(where, "must be real numbers", f"dtype `{array.dtype}`")
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise DataError(where, "must have no masked values", str(np.ma.getmaskarray(given).sum()))
    if array.ndim == 0:
        return float(array)
    two_axes(where, array.shape)
    with np.errstate(over="ignore"):
        return np.require(array, dtype, ["C", "A"])


def values(where: str, given: Sequence[Any], dtype: np.dtype[Any]) -> list[Any]:
    """Each value checked; `where` and its number name it."""
    return [v if type(v) is float else value(f"{where} {i}", v, dtype) for i, v in enumerate(given)]


def shape_of(given: Any) -> Shape:
    return () if type(given) is float else given.shape


def of_shapes(where: str, given: Any, shapes: Sequence[Shape], single: bool, dtype: np.dtype[Any]) -> list[Any]:
    """Values of these shapes: a single value for one shape, else a tuple or list."""
    if single:
        found = [value(where, given, dtype)]
    else:
        if not isinstance(given, tuple | list) or len(given) != len(shapes):
            got = str(len(given)) if isinstance(given, tuple | list) else f"a `{type(given).__name__}`"
            raise ConfigTypeError(where, f"must be a tuple of {len(shapes)} values", got)
        found = values(where, given, dtype)
    have = [shape_of(v) for v in found]
    if have != list(shapes):
        wanted, got = (", ".join(f"`{s}`" for s in group) for group in (shapes, have))
        raise ShapeError(where, f"must have shape{'' if len(have) == 1 else 's'} {wanted}", got)
    return found
