"""Tables in memory as frames: a dict of columns, or a table of pandas, Polars or Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastbp.data.columns import Column, Reading, column_of
from fastbp.data.files import of_array
from fastbp.data.frame import Frame
from fastbp.errors import DataError, visible


def is_table(value: Any) -> bool:
    """Whether this has named columns."""
    return isinstance(value, Mapping) or (hasattr(value, "__getitem__") and names_of(value) is not None)


def names_of(table: Any) -> list[Any] | None:
    """The names of a table's columns; None for what is no table."""
    if isinstance(table, Mapping):
        return list(table)
    names = getattr(table, "column_names", getattr(table, "columns", None))  # Arrow's `columns` are arrays
    return None if names is None else list(names)


def frame_of(table: Any, reading: Reading) -> Frame:
    """A table in memory as rows like those of a file."""
    names = names_of(table) or []
    columns = {str(name): column_in(str(name), table[name], reading.of_texts()) for name in names}
    if not columns:
        raise DataError("X", "must be a table with columns", "none")
    lengths = {len(column.values) for column in columns.values()}
    if len(lengths) > 1:
        raise DataError("X", "must have columns of one length", f"{' and '.join(f'`{n}`' for n in sorted(lengths))}")
    return Frame(None, columns, "X")


def column_in(name: str, column: Any, reading: Reading) -> Column:
    """A column, whose cells may be of several types."""
    array = np.asarray(column)
    if array.ndim != 1:
        raise DataError("X", "must have columns of one axis", f"shape `{array.shape}` for `{visible(name)}`")
    if array.dtype.kind in "fiub":
        return of_array(name, array, reading)
    if array.dtype.kind == "M":
        return Column(name, array.astype("datetime64[us]"))
    values = [None if is_missing(value) else value for value in array.tolist()]
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        numbers = [value for value in values if value is not None]
        if name not in reading.texts or not all(isinstance(value, int) for value in numbers):
            return Column(name, np.array([np.nan if value is None else value for value in values], np.float64))
    texts = ["" if value is None else str(value) for value in values]
    return column_of(name, lambda: iter([texts]), reading)


def is_missing(value: Any) -> bool:
    """Whether a cell is None, NaN or a missing value of pandas."""
    if isinstance(value, str):
        return False
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value
