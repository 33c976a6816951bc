"""Raw rows: numbers and texts as read from files."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.columns import Column as Column
from fastbp.data.columns import Reading, Style, column_of, number
from fastbp.data.columns import is_number as is_number
from fastbp.data.shards import Shards, below, taken
from fastbp.data.written import Typed, Written
from fastbp.errors import DataError, visible

Array = NDArray[Any]
REPEATED = 10  # rows of each number from which it is worth while to look for equal ones


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
    written : list of Written or Typed
        Each file as it is written, if that is kept; not of some of the rows.
    blank : str or None
        What a missing value may be, for messages, where training has settled how tables are read; None: as the section
        `data` says.
    """

    matrix: Array | Shards | None = None
    columns: dict[str, Column] = field(default_factory=dict)
    origin: str = ""
    lines: Array | None = None
    rows: Array | None = None
    sources: list[Source] = field(default_factory=list)
    written: list[Written | Typed] = field(default_factory=list)
    blank: str | None = None

    def __len__(self) -> int:
        if self.matrix is not None:
            return len(self.matrix)
        return len(next(iter(self.columns.values())).values) if self.columns else 0

    def take(self, rows: Array) -> Frame:
        """Some of the rows, in that order."""
        return replace(
            self,
            matrix=None if self.matrix is None else taken(self.matrix, rows),
            columns={name: column.with_values(column.values[rows]) for name, column in self.columns.items()},
            rows=rows if self.rows is None else self.rows[rows],
            written=[],
        )

    def in_columns(self) -> Frame:
        """The same rows, with columns `x0`, `x1` and so on for the numbers of a matrix."""
        if self.matrix is None:
            return self
        numbers = np.asarray(self.matrix).astype(np.float64)
        found = {f"x{i}": Column(f"x{i}", x) for i, x in enumerate(numbers.T)}
        return replace(self, matrix=None, columns={**found, **self.columns})

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

    def numbers(self, name: str, target: bool = False) -> Array:
        """A column as numbers, NaN where missing; `target` says for messages that it is to be predicted."""
        column = self.column(name)
        if column.values.dtype.kind == "M":
            raise DataError(f"{self.origin}: column `{visible(name)}` must be numbers, got dates")
        if not column.is_text:
            return column.values
        out, bad = as_numbers(column.values)
        if bad >= 0:
            value = visible(column.values[bad])
            must = f"{self.place(bad)}column `{visible(name)}` must be a number, got `{value}`"
            raise DataError(must, hint=self.if_missing(column.values[bad], "number", target))
        return out

    def texts(self, name: str) -> Array:
        """A column as texts, None where missing; whole numbers have no point, booleans are `True` and `False`."""
        return as_texts(self.column(name))

    def if_missing(self, text: str, of: str, target: bool = False) -> str | None:
        """What to do if a text says that there is no number or date; with digits it is rather a typing error."""
        if any(c.isdigit() for c in text):
            return None
        if self.blank is not None:
            return self.without_target if target else f"a missing {of} is {self.blank}"
        listed = json.dumps([visible(text)], ensure_ascii=False)
        dropped = f", and {self.without_target}" if target else ""
        return f"if that is a missing {of}, `data.missing_texts: {listed}` has it read so in training{dropped}"

    @property
    def without_target(self) -> str:
        """What to do about rows without a target."""
        if self.blank is not None:
            return "rows without a target must be taken out of the table"
        return "`data.missing_target: drop` leaves out rows without a target"


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
    texts = ["" if v is None else v for v in values.tolist()]
    column = column_of("", lambda: iter([texts]), Reading(codes=False))
    if not column.is_text:
        return column.values, -1
    bad = (row for row, text in enumerate(texts) if text and not is_number(text))
    other = (row for row, text in enumerate(texts) if text and number(text, ".") is None)  # with two decimal signs
    return values, next(itertools.chain(bad, other))


def as_texts(column: Column) -> Array:
    """A column as texts."""
    if column.is_text:
        return column.values
    if column.boolean:
        return np.array([None if v != v else "True" if v else "False" for v in column.values.tolist()], object)
    if column.values.dtype.kind == "f" and len(column.values) > REPEATED:
        known, where = np.unique(column.values, return_inverse=True)
        if len(known) * REPEATED < len(where):  # each is written once
            found: Array = as_texts(column.with_values(known))[where]
            return found
    out = np.empty(len(column.values), object)
    for i, v in enumerate(column.values.tolist()):
        out[i] = None if v is None or v != v else str(int(v)) if isinstance(v, float) and v.is_integer() else str(v)
    return out


def other_columns(origin: str, found: Iterable[str], first: str, wanted: Iterable[str]) -> DataError:
    """The error for a file that has not the columns of the first one."""
    names = list(found), list(wanted)
    lacks, has = ([n for n in a if n not in set(b)] for a, b in (names[::-1], names))
    few = (", ".join(f"`{visible(n)}`" for n in some[:5]) for some in (lacks, has))
    more = (f" and {len(some) - 5} more" if len(some) > 5 else "" for some in (lacks, has))
    said = [f"{verb} {some}{rest}" for verb, some, rest in zip(("lack", "have"), few, more, strict=True) if some]
    return DataError(f"{origin}: columns must be those of {first}, but {' and '.join(said)}")


def joined(frames: Sequence[Frame]) -> Frame:
    """Frames of the same columns, concatenated."""
    if len(frames) == 1:
        return frames[0]
    first = frames[0]
    for other in frames[1:]:
        if set(other.columns) != set(first.columns):
            raise other_columns(other.origin, other.columns, first.origin, first.columns)
        width, wanted = (0 if f.matrix is None else f.matrix.shape[1] for f in (other, first))
        if width != wanted:
            raise DataError(f"{other.origin}: rows must have {wanted} features as in {first.origin}, got {width}")
    columns = {}
    for name in first.columns:
        parts = [f.columns[name] for f in frames]
        _alike(name, frames)
        columns[name] = _one(name, parts)
    matrices = [f.matrix for f in frames if isinstance(f.matrix, np.ndarray)]
    sources = [Source(f.origin, len(f), f.lines) for f in frames]
    origin = f"{first.origin} and {len(frames) - 1} more"
    written = [one for frame in frames for one in frame.written]
    return Frame(below(matrices) if matrices else None, columns, origin, sources=sources, written=written)


def _alike(name: str, frames: Sequence[Frame]) -> None:
    """Refuse numbers whose decimal sign is a comma in one file and a point in another."""
    first: Any = None
    for frame in frames:
        column = frame.columns[name]
        if column.style is None or not {",", "."} & set(column.example):
            continue
        if first is not None and column.style.decimal != first.style.decimal:
            raise DataError(
                f"{frame.origin}: column `{visible(name)}` must have the decimal sign of the other files,"
                f" `{first.style.decimal}`, got `{visible(column.example)}`",
                hint="set `data.decimal`",
            )
        first = first or column


def _one(name: str, parts: Sequence[Column]) -> Column:
    """A column of several files."""
    if any(part.is_text for part in parts) or len({part.values.dtype.kind for part in parts}) > 1:
        return Column(name, np.concatenate([as_texts(part) for part in parts]))
    values = np.concatenate([part.values for part in parts])
    if values.dtype.kind == "M":
        return Column(name, values)
    boolean = any(part.boolean for part in parts) and bool(np.isin(values[~np.isnan(values)], (0.0, 1.0)).all())
    styles = [part.style for part in parts if part.style is not None]
    marks = dict.fromkeys(mark for style in styles for mark in style.missing)
    style = Style(styles[0].decimal, tuple(marks)) if styles else None
    return Column(name, values, boolean, style, next((part.example for part in parts if part.example), ""))
