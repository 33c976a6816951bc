"""Indexing traced values: integers, slices, `...` and `np.newaxis` are one gate; lists and masks are several."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fastbp.autodiff.composed import concatenate
from fastbp.autodiff.graph import two_axes
from fastbp.autodiff.tracer import Tracer, gate, reshape, total
from fastbp.errors import ConfigTypeError, ShapeError, brief


def _range(which: Any, size: int, axis: int) -> tuple[int, int, int]:
    """(first, step, count) of an index on an axis."""
    if isinstance(which, slice):
        first, stop, step = which.indices(size)
        count = len(range(first, stop, step))
        if not count:
            raise ShapeError(f"an index must pick at least one element, got `{which}` of axis {axis} of length {size}")
        return first, step, count
    at = operator.index(which)
    if not -size <= at < size:
        raise ShapeError(f"an index must be within axis {axis} of length {size}, got `{at}`")
    return at % size, 1, 1


def taken(x: Tracer, index: Any) -> Tracer:
    """x[index]: whole numbers, slices, `...` and `np.newaxis`."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(p, list | np.ndarray) for p in parts):
        return _listed(x, [_places(p) if isinstance(p, list | np.ndarray) else p for p in parts])
    good = (int, np.integer, slice, type(None), type(...))
    if any(isinstance(p, bool | np.bool_) or not isinstance(p, good) for p in parts):
        raise ConfigTypeError(
            f"an index of a traced value must be whole numbers, slices or constant lists, got `{brief(index)}`"
        )
    used = sum(p is not None and p is not ... for p in parts)
    if used > x.ndim or parts.count(...) > 1:
        raise ShapeError(f"an index must be of at most {x.ndim} axes, got `{brief(index)}`")
    if ... not in parts:
        parts.append(...)
    at = parts.index(...)
    parts[at : at + 1] = [slice(None)] * (x.ndim - used)
    ranges: list[tuple[int, int, int]] = []
    shape: list[int] = []
    for part in parts:
        if part is None:
            shape.append(1)
            continue
        ranges.append(_range(part, x.shape[len(ranges)], len(ranges)))
        if isinstance(part, slice):
            shape.append(ranges[-1][2])
    wanted = two_axes("index", shape)
    if ranges == [(0, 1, size) for size in x.shape]:
        return reshape(x, wanted)
    note = ((0, 1, 1), *ranges)[-2:]
    return reshape(Tracer(x.graph, x.graph.gate("take", x.number, note=note)), wanted)


def _places(given: Any) -> Any:
    """A list or mask as an array of integers or booleans."""
    array = np.asarray(given, None if np.size(given) else np.intp)
    if array.dtype.kind not in "biu" or array.ndim > 2 or (array.ndim == 2 and array.dtype.kind != "b"):
        raise ConfigTypeError(f"an index list must hold whole numbers or booleans, got `{brief(given)}`")
    return array


def _listed(x: Tracer, parts: list[Any]) -> Tracer:
    """x[..., list, ...], x[rows, columns] and x[mask]."""
    if None in [p if p is None else 0 for p in parts] or any(p is ... for p in parts):
        raise ConfigTypeError("an index with a list must have no `...` and no `np.newaxis`")
    if len(parts) > x.ndim:
        raise ShapeError(f"an index must be of at most {x.ndim} axes, got {len(parts)}")
    for at, part in enumerate(parts):
        if isinstance(part, np.ndarray) and part.dtype.kind == "b":
            have = x.shape[at : at + part.ndim]
            if part.shape != have or (part.ndim == 2 and len(parts) > 1):
                raise ShapeError(f"a mask must have the shape of the axes it indexes, `{have}`, got `{part.shape}`")
            if part.ndim == 2:
                return _along(reshape(x, -1), np.flatnonzero(part), 0)
            parts[at] = np.flatnonzero(part)
    lists = [at for at, p in enumerate(parts) if isinstance(p, np.ndarray)]
    if len(lists) == 2:
        return _pairs(x, *parts)
    (at,) = lists
    others = [slice(None) if i == at else p for i, p in enumerate(parts)]
    return _along(taken(x, tuple(others)), parts[at], sum(isinstance(p, slice) for p in others[:at]))


def _within(which: Any, size: int, axis: int) -> Any:
    """Indices counted from 0."""
    if not which.size:
        raise ShapeError(f"an index must pick at least one element, got an empty list for axis {axis}")
    for i in which:
        if not -size <= i < size:
            raise ShapeError(f"an index must be within axis {axis} of length {size}, got `{i}`")
    return which % size


def _along(x: Tracer, which: Any, axis: int) -> Tracer:
    """Some indices of an axis: one `take` for each run with a constant step."""
    at = _within(which, x.shape[axis], axis).tolist()
    found, begin, whole = [], 0, (slice(None),) * axis
    while begin < len(at):
        end = begin + 1
        step = at[end] - at[begin] if end < len(at) and at[end] != at[begin] else 1
        while end < len(at) and at[end] - at[end - 1] == step:
            end += 1
        stop = at[end - 1] + (1 if step > 0 else -1)
        found.append(taken(x, (*whole, slice(at[begin], None if stop < 0 else stop, step))))
        begin = end
    return found[0] if len(found) == 1 else concatenate(found, axis)


def _pairs(x: Tracer, rows: Any, columns: Any) -> Tracer:
    """x[rows[i], columns[i]]; one sum if these are all rows in order."""
    try:
        rows, columns = np.broadcast_arrays(rows, columns)
    except ValueError:
        raise ShapeError(f"lists of an index must have the same length, got {len(rows)} and {len(columns)}") from None
    rows, columns = (
        _within(which, size, axis) for axis, (which, size) in enumerate(zip((rows, columns), x.shape, strict=True))
    )
    if np.array_equal(rows, np.arange(x.shape[0])):
        return total(gate("where", np.arange(x.shape[1]) == columns[:, None], x, 0.0), 1)
    return _along(reshape(x, -1), rows * x.shape[1] + columns, 0)
