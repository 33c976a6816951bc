"""Checks and conversion of users' arrays for the kernels.

A float32 array in C order passes through untouched, read-only and memory-mapped ones too; everything else is converted
once. What cannot be used raises one sentence that names it, before any kernel runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.compiler import kernel_address, sweep
from fastbp.errors import DataError, DataTypeError, ShapeError, not_one_of, visible
from fastbp.spec.coded import Coded


def read(name: str, value: Any) -> NDArray[Any]:
    """Anything NumPy can read, as an array."""
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise DataTypeError(
            name, "must be a dense array", f"a sparse `{type(value).__name__}`", "`.toarray()` makes one"
        )
    try:
        return _of_columns(value) if hasattr(value, "dtypes") else np.asarray(value)
    except (ValueError, TypeError, RuntimeError):  # a RuntimeError is what tensors with gradients raise
        raise DataError(name, "must be an array of numbers", f"a `{type(value).__name__}`") from None


def as_array(name: str, value: Any) -> NDArray[Any]:
    """Any array of real numbers."""
    array = read(name, value)
    if array.dtype.kind not in "fiub":
        raise DataTypeError(name, "must be real numbers", *(_column_of_texts(value) or (f"dtype `{array.dtype}`",)))
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(name, "must have no masked values", f"{int(np.ma.getmaskarray(value).sum())}")
    return array


def _of_columns(table: Any) -> NDArray[Any]:
    """A table as an array; of columns that are numbers of pandas' own types NumPy would make objects."""
    array = np.asarray(table)
    if array.dtype.kind == "O" and array.ndim == 2:
        columns = [np.asarray(table[name]) for name in table.columns]
        if columns and all(column.ndim == 1 and column.dtype.kind in "fiub" for column in columns):
            return np.column_stack(columns)
    return array


def _column_of_texts(value: Any) -> tuple[str, str] | None:
    """The first column of a frame that is not of numbers, and the first cell of it that is none, with a hint."""
    for column in value.columns if hasattr(value, "columns") and hasattr(value, "__getitem__") else ():
        cells = np.asarray(value[column])
        if cells.dtype.kind not in "fiub":
            odd = next((cell for cell in cells.tolist() if not isinstance(cell, int | float)), cells.dtype)
            hint = "`fastbp train` encodes columns of texts, and `fb.load` of its folder predicts frames"
            return f"`{visible(str(odd))}` in column `{visible(str(column))}`", hint
    return None


def to_dtype(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The same numbers in C order, aligned, in native byte order; uncopied if possible."""
    with np.errstate(over="ignore"):  # overflow is reported where finite numbers are needed
        return np.array(array, dtype, order="C") if array.dtype != dtype else np.require(array, dtype, ["C", "A"])


def as_read(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The array as compiled code reads it; numbers of which not all are of this type stay as they are.

    Numba takes long to refuse an array, and once it has seen one that is not aligned, it takes arrays of foreign byte
    order for such; so types and flags are looked at before.
    """
    kind, wanted = array.dtype.kind, dtype.kind
    if kind == wanted or kind in ("iub" if wanted == "f" else "b") or (kind == "u" and array.dtype.itemsize < 8):
        return to_dtype(array, dtype)
    return array


def rows(name: str, value: Any, width: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A matrix of `width` columns; one row may come as a vector."""
    if type(value) is np.ndarray and value.dtype == dtype and value.ndim == 2:
        flags = value.flags
        if value.shape[1] == width and flags.c_contiguous and flags.aligned and dtype.isnative:
            return value
    array = as_array(name, value)
    if array.ndim == 1 and array.shape[0] == width:
        array = array[None]
    if array.ndim != 2 or array.shape[1] != width:
        raise ShapeError(name, f"must have shape `(rows, {width})`", f"`{array.shape}`")
    return to_dtype(array, dtype)


def side_by_side(
    name: str, value: Any, parts: Sequence[tuple[str | None, int]], dtype: np.dtype[Any], kind: str = "input"
) -> Any:
    """One matrix of several inputs or outputs: a tuple or list with an array for each, or a dict of them.

    Other values are returned unchanged.
    """
    widths = [width for _, width in parts]
    if isinstance(value, Mapping):
        names = [part or f"{kind}{i}" for i, (part, _) in enumerate(parts)]
        if set(value) != set(names):
            raise ShapeError(name, f"must have `{'`, `'.join(names)}`", f"`{'`, `'.join(map(str, value))}`")
        value = tuple(value[part] for part in names)
    apart = isinstance(value, tuple) or (
        isinstance(value, list) and [np.shape(v)[-1:] for v in value] == [(w,) for w in widths]
    )
    if not apart:
        return value
    if len(value) != len(parts):
        raise ShapeError(name, f"must have one array for each of {len(parts)} {kind}s", f"`{len(value)}`")
    found = [
        rows(f"{name}[{i}]", part, width, dtype) for i, (part, width) in enumerate(zip(value, widths, strict=True))
    ]
    if len({len(part) for part in found}) > 1:
        shown = " and ".join(f"`{len(part)}`" for part in found)
        raise ShapeError(name, f"must have as many rows in every {kind}", shown)
    joined = np.concatenate(found, axis=1)
    return joined[0] if all(np.ndim(part) == 1 for part in value) else joined


def largest(name: str, array: NDArray[Any], original: Any = None) -> int:
    """Bits of the largest magnitude in an array that must be finite; `original` is the unconverted array."""
    result = np.zeros(1, np.int64)
    real = "float32" if array.dtype.itemsize == 4 else "float64"  # which `dtype.name` takes some microseconds to say
    scan = kernel_address("scan_reals", real)
    sweep("invoke", real)(scan, array.ctypes.data, result.ctypes.data, 0, array.size, array.dtype.type(0))
    bits = int(result[0])
    if bits >= (0x7F800000 if array.dtype.itemsize == 4 else 0x7FF0000000000000):
        where = tuple(np.argwhere(~np.isfinite(array))[0])
        at = ", ".join(str(int(i)) for i in where)
        source = array if original is None else read(name, original).reshape(array.shape)
        if np.isfinite(source[where]):
            raise DataError(name, f"must fit into `{array.dtype}`", f"`{source[where]}` at `[{at}]`")
        raise DataError(name, "must be finite", f"`{source[where]}` at `[{at}]`")
    return bits


class Scanned(np.ndarray[Any, Any]):
    """Rows of which the bits of the largest magnitude are known, so that nobody reads them all to find it."""

    largest: int

    @classmethod
    def of(cls, array: NDArray[Any], bits: int | None) -> NDArray[Any]:
        """An array whose numbers are finite, and whose largest magnitude has these bits."""
        if bits is None:
            return array
        found = array.view(cls)
        found.largest = bits
        return found


def training_rows(name: str, value: Any, width: int, dtype: np.dtype[Any]) -> tuple[Any, int]:
    """A matrix to train on: at least one row, all finite; and the bits of its largest magnitude."""
    array: Any = of_coded(name, value, width, dtype) if isinstance(value, Coded) else rows(name, value, width, dtype)
    if array.shape[0] == 0:
        raise ShapeError(name, "must have at least one row", f"shape `{array.shape}`")
    given = getattr(value, "narrow", value)
    kept = array.narrow if isinstance(array, Coded) else array
    if isinstance(given, Scanned) and np.shares_memory(given, kept) and hasattr(given, "largest"):
        return array if isinstance(array, Coded) else np.asarray(array), given.largest  # which views of it do not have
    return array, largest(name, *((kept,) if isinstance(array, Coded) else (array, value)))


def of_coded(name: str, value: Coded, width: int, dtype: np.dtype[Any]) -> Coded:
    """Rows with codes that stand for `width` columns."""
    if value.shape[1] != width:
        raise ShapeError(name, f"must have shape `(rows, {width})`", f"`{value.shape}`")
    narrow = to_dtype(value.narrow, dtype)
    return value if narrow is value.narrow else Coded(narrow, value.counts)


def labels(name: str, value: Any, count: int, classes: int, dtype: np.dtype[Any]) -> NDArray[np.int64]:
    """One class a row, 0 to classes - 1."""
    array = as_array(name, value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (count,):
        raise ShapeError(name, f"must have shape `({count},)`, one class a row", f"`{array.shape}`")
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (array == np.floor(array))
        if not whole.all():
            at = int(np.argmin(whole))
            raise DataError(name, "must be class numbers", f"`{array[at]}` at `[{at}]`")
    bad = -1
    if array.dtype.kind in "fu":  # values too large for int64 must not wrap around
        outside = (array < 0) | (array >= classes)
        bad = int(np.argmax(outside)) if outside.any() else -1
    if bad < 0:
        out = to_dtype(array, np.dtype(np.int64))
        bad = _first_bad_label(out, classes, dtype.name)
        if bad < 0:
            return out
    raise DataError(name, f"must be between 0 and {classes - 1}, the network's outputs", f"`{array[bad]}` at `[{bad}]`")


def _first_bad_label(array: NDArray[np.int64], classes: int, real: str) -> int:
    result = np.zeros(1, np.int64)
    scan = kernel_address("scan_labels", real)
    zero = np.dtype(real).type(0)
    sweep("invoke", real)(scan, array.ctypes.data, result.ctypes.data, len(array), classes, zero)
    return int(result[0])


def targets(name: str, value: Any, count: int, width: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """One row of numbers for each row of X; or a vector, for one output."""
    array = as_array(name, value)
    if array.ndim == 1 and width == 1:
        array = array[:, None]
    if array.shape != (count, width):
        raise ShapeError(name, f"must have shape `({count}, {width})`", f"`{array.shape}`")
    out = to_dtype(array, dtype)
    largest(name, out, array)
    return out


def within(name: str, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Numbers from `low` to `high`, both included."""
    wrong = (array < low) | (array > high)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        limit = f"between {low:g} and {high:g}" if high < np.inf else f"at least {low:g}"
        raise DataError(name, f"must be {limit}", f"`{array[at]}` at `[{', '.join(map(str, at))}]`")
    return array


def weights(name: str, value: Any, count: int) -> NDArray[np.float64]:
    """One number per row, at least 0 and not all 0."""
    array = as_array(name, value)
    if array.shape != (count,):
        raise ShapeError(name, f"must have shape `({count},)`, one number a row", f"`{array.shape}`")
    out = np.array(array, np.float64)
    if not np.isfinite(out).all():
        at = int(np.argmin(np.isfinite(out)))
        raise DataError(name, "must be finite", f"`{out[at]}` at `[{at}]`")
    if not within(name, out, 0.0, np.inf).any():
        raise DataError(name, "must have one above 0", "only zeros")
    return out


def codes(name: str, array: NDArray[Any] | Coded, column: int, count: int) -> None:
    """Check that a column holds category codes, whole numbers from 0 to count - 1."""
    values = array.column(column) if isinstance(array, Coded) else array[:, column]
    wrong = ~((values >= 0) & (values < count) & (values == np.floor(values)))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(
            name,
            f"must hold whole codes between 0 and {count - 1} in column {column}",
            f"`{values[at]}` at `[{at}, {column}]`",
        )


def output(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The caller's output buffer."""
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
        got = f"`{out.shape}` of `{out.dtype}`" if isinstance(out, np.ndarray) else f"`{type(out).__name__}`"
        raise ShapeError("out", f"must be an array of shape `{shape}` of `{dtype}`", got)
    for fits, what in (
        (out.flags.c_contiguous, "not in C order"),
        (out.flags.writeable, "read-only"),
        (out.flags.aligned, "not aligned"),
    ):
        if not fits:
            raise DataError("out", f"must be writeable, aligned and in C order, but is {what}")
    return out


def real_dtype(dtype: Any) -> np.dtype[Any]:
    """One of the two precisions, however it is named."""
    try:
        kind = np.dtype(dtype)
    except Exception:  # any error of an object that NumPy converts
        kind = np.dtype(object)
    if dtype is None or kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise not_one_of("dtype", getattr(dtype, "__name__", dtype), ("float32", "float64"))
    out: np.dtype[Any] = np.dtype(kind.name)
    return out
