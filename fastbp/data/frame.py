"""Raw rows: numbers and texts as read from files."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.shards import Shards, below, taken
from fastbp.errors import DataError, visible

Array = NDArray[Any]

# Texts of missing numbers and categories.
MISSING = frozenset(("", "NA", "N/A", "na", "n/a", "NaN", "nan", "NAN", "null", "NULL", "None", "?"))


@dataclass
class Column:
    """One column: numbers (float64, NaN where missing), texts (objects, None where missing) or `datetime64[us]`."""

    name: str
    values: Array

    @property
    def is_text(self) -> bool:
        return self.values.dtype.kind == "O"


@dataclass
class Source:
    """A file and its number of rows; `lines` are their line numbers, in files that have lines."""

    name: str
    rows: int
    lines: Array | None = None


@dataclass
class Frame:
    """A table: named columns, and a `matrix` of unnamed ones from array files.

    Attributes
    ----------
    matrix : float array or Shards, shape (rows, features), or None
    columns : dict of name to Column
    origin : str
        The file, for messages.
    lines : int array, or None
        Line of each row of the file.
    rows : int array, or None
        Indices of the rows in the files; by default all, in order.
    sources : list of Source
        The files, where there are several.
    """

    matrix: Array | Shards | None = None
    columns: dict[str, Column] = field(default_factory=dict)
    origin: str = ""
    lines: Array | None = None
    rows: Array | None = None
    sources: list[Source] = field(default_factory=list)

    def __len__(self) -> int:
        if self.matrix is not None:
            return len(self.matrix)
        return len(next(iter(self.columns.values())).values) if self.columns else 0

    def take(self, rows: Array) -> Frame:
        """Some of the rows, in that order."""
        return Frame(
            None if self.matrix is None else taken(self.matrix, rows),
            {name: Column(name, column.values[rows]) for name, column in self.columns.items()},
            self.origin,
            self.lines,
            rows if self.rows is None else self.rows[rows],
            self.sources,
        )

    def place(self, row: int) -> str:
        """The place of a row for messages: its line, or its number from 0."""
        at = row if self.rows is None else int(self.rows[row])
        for source in self.sources or [Source(self.origin, at + 1, self.lines)]:
            if at < source.rows:
                break
            at -= source.rows
        return f"{source.name}:{source.lines[at]}: " if source.lines is not None else f"{source.name}: row {at}: "

    def column(self, name: str) -> Column:
        """The column of that name."""
        if name not in self.columns:
            raise missing_column(self, name)
        return self.columns[name]

    def numbers(self, name: str) -> Array:
        """A column as numbers, NaN where missing."""
        column = self.column(name)
        if column.values.dtype.kind == "M":
            raise DataError(f"{self.origin}: column `{visible(name)}` must be numbers, got dates")
        if not column.is_text:
            return column.values
        out, bad = as_numbers(column.values)
        if bad >= 0:
            value = visible(column.values[bad])
            raise DataError(f"{self.place(bad)}column `{visible(name)}` must be a number, got `{value}`")
        return out

    def texts(self, name: str) -> Array:
        """A column as texts, None where missing; whole numbers are written without a point."""
        column = self.column(name)
        return column.values if column.is_text else as_texts(column.values)


def missing_column(frame: Frame, name: str) -> DataError:
    """The error for a missing column."""
    names = list(frame.columns)
    close = difflib.get_close_matches(name, names, n=1)
    shown = ", ".join(f"`{visible(n)}`" for n in names[:12]) + (", ..." if len(names) > 12 else "")
    hint = f"did you mean `{visible(close[0])}`?" if close else None
    return DataError(
        f"{frame.origin}: there must be a column `{visible(name)}`, got {shown or 'no named columns'}", hint=hint
    )


def as_numbers(values: Array) -> tuple[Array, int]:
    """Texts as numbers, and the first row that is not a number, or -1."""
    there = np.array([v is not None for v in values], bool)
    out = np.full(len(values), np.nan)
    texts = values[there]
    try:
        out[there] = texts.astype(np.float64)
        if "_" not in "\n".join(texts):
            return out, -1
    except ValueError:
        pass
    return out, next((row for row, value in enumerate(values) if value is not None and not is_number(value)), -1)


def is_number(text: str) -> bool:
    """Whether a text is a number; 1_000 is not, although Python accepts it."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def as_texts(values: Array) -> Array:
    """Numbers or dates as texts."""
    out = np.empty(len(values), object)
    for i, v in enumerate(values.tolist()):
        out[i] = None if v is None or v != v else str(int(v)) if isinstance(v, float) and v.is_integer() else str(v)
    return out


def joined(frames: Sequence[Frame]) -> Frame:
    """Frames of the same columns, concatenated."""
    if len(frames) == 1:
        return frames[0]
    first = frames[0]
    for other in frames[1:]:
        if set(other.columns) != set(first.columns):
            theirs, ours = (", ".join(f"`{visible(n)}`" for n in f.columns) or "none" for f in (other, first))
            raise DataError(f"{other.origin}: columns must be those of {first.origin}, {ours}, got {theirs}")
        width, wanted = (0 if f.matrix is None else f.matrix.shape[1] for f in (other, first))
        if width != wanted:
            raise DataError(f"{other.origin}: rows must have {wanted} features as in {first.origin}, got {width}")
    columns = {}
    for name in first.columns:
        parts = [f.columns[name] for f in frames]
        if len({p.values.dtype.kind for p in parts}) > 1 or parts[0].is_text:
            columns[name] = Column(name, np.concatenate([p.values if p.is_text else as_texts(p.values) for p in parts]))
        else:
            columns[name] = Column(name, np.concatenate([p.values for p in parts]))
    matrices = [f.matrix for f in frames if isinstance(f.matrix, np.ndarray)]
    sources = [Source(f.origin, len(f), f.lines) for f in frames]
    origin = f"{first.origin} and {len(frames) - 1} more"
    return Frame(below(matrices) if matrices else None, columns, origin, sources=sources)
