"""Tables in memory as frames: a dict of columns, or a table of pandas, Polars or Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from numbers import Integral, Number, Real
from typing import Any

import numpy as np

from fastbp.data.columns import Column, Reading, column_of
from fastbp.data.files import of_array
from fastbp.data.frame import Frame
from fastbp.errors import DataError, brief, visible

CATEGORIES = ("category", "categorical", "enum", "dictionary", "bool")  # beginnings of the names of types
TIMES: dict[str | None, Any] = {"dates": (date, time), "durations": timedelta}
CELLS = (str, bool, np.bool_, Real, Decimal)


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
    return Frame(None, columns, "X", blank="None or NaN")


def column_in(name: str, column: Any, reading: Reading) -> Column:
    """A column, whose cells may be of several types: as in files, durations are seconds, and zoned times UTC."""
    array = np.asarray(column)
    kept = name in reading.texts
    if kept and array.dtype.kind == "f" and not isinstance(getattr(column, "dtype", None), np.dtype):
        array = _of_cells(column)
    if array.ndim != 1:
        raise DataError("X", "must have columns of one axis", f"shape `{array.shape}` for `{visible(name)}`")
    if array.dtype.kind in "fiub":
        return of_array(name, array, reading)
    if array.dtype.kind == "M":
        return Column(name, array.astype("datetime64[us]"))
    if array.dtype.kind == "m":
        return Column(name, array.astype("timedelta64[us]") / np.timedelta64(1, "s"))
    values = [None if is_missing(value) else value for value in array.tolist()]
    if not is_category(column):
        kind = _kind(name, values)
        if kind is not None and not kept:
            found = _moments(name, values) if kind == "dates" else np.array(values, "timedelta64[us]")
            return column_in(name, found, reading)
    if all(value is None or is_number(value) for value in values):
        numbers = [value for value in values if value is not None]
        if not kept or not all(isinstance(value, Integral) for value in numbers):
            return Column(name, np.array([np.nan if value is None else float(value) for value in values], np.float64))
    texts = ["" if value is None else str(value) for value in values]
    return column_of(name, lambda: iter([texts]), reading)


def _of_cells(column: Any) -> Any:
    """The cells of a column one by one, as whole numbers beside missing ones are floats in an array."""
    for name in ("to_list", "to_pylist"):
        if hasattr(column, name):
            return np.array(getattr(column, name)(), object)
    return np.asarray(column)


def is_category(column: Any) -> bool:
    """Whether the type of a column says that its values are categories, which may be anything."""
    kind = str(getattr(column, "dtype", getattr(column, "type", ""))).lower()
    return kind.startswith(CATEGORIES)


def is_number(value: Any) -> bool:
    """Whether a cell is a number, of any type but bool."""
    return isinstance(value, Real | Decimal) and not isinstance(value, bool)


def _kind(name: str, values: list[Any]) -> str | None:
    """Whether cells are dates or durations; refuses those of no type that columns have, and others beside these."""
    kind = next((kind for kind, types in TIMES.items() if any(isinstance(value, types) for value in values)), None)
    for row, value in enumerate(values):
        if value is not None and not isinstance(value, TIMES.get(kind, CELLS)):
            must = "must have numbers, texts or dates" if kind is None else f"must be all {kind}"
            got = value if isinstance(value, str) else brief(value)
            raise DataError(f"X: row {row}: column `{visible(name)}` {must}, got `{visible(got)}`")
    return kind


def _moments(name: str, values: list[Any]) -> Any:
    """Dates and times, which are of 1970-01-01, as `datetime64[us]`."""
    out = np.empty(len(values), "datetime64[us]")
    zoned: bool | None = None
    for row, value in enumerate(values):
        at = datetime.combine(date(1970, 1, 1), value) if isinstance(value, time) else value
        if isinstance(at, datetime):
            said = at.tzinfo is not None
            if zoned not in (None, said):
                must = f"must be a date {'with' if zoned else 'without'} a time zone as those before it"
                raise DataError(f"X: row {row}: column `{visible(name)}` {must}, got `{visible(str(value))}`")
            zoned, at = said, at.astimezone(timezone.utc).replace(tzinfo=None) if said else at
        out[row] = np.datetime64(at, "us")
    return out


def is_missing(value: Any) -> bool:
    """Whether a cell is None, NaN or a missing value of pandas."""
    if isinstance(value, str):
        return False
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Number | np.datetime64 | np.timedelta64) and bool(value != value)
