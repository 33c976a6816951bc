"""Predictions as a table, alone or behind the columns of the table that they are for, which stay as they are written.

CSV        the text of each row, with its quotes, its line end and its delimiter; the predictions are added to it
JSON lines numbers as they are written, in columns that have nothing else; texts
NPZ        whole numbers, numbers or texts, by what a column has
Parquet    the same, and columns of Parquet with their types
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.columns import MISSING
from fastbp.data.dialect import Dialect
from fastbp.data.written import Typed, Written

Array = NDArray[Any]
CHUNK = 10_000  # rows written at once
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")  # first characters that make a spreadsheet read a text as a formula
_JSON = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
EXACT = 2**53  # below which float64 holds every whole number


@dataclass
class Predictions:
    """Columns of predictions, and the files whose rows they are for, if these are kept."""

    columns: dict[str, Array]
    kept: Sequence[Written | Typed] = field(default_factory=list)

    def __post_init__(self) -> None:
        own = self.names
        self.columns = {(f"predicted {name}" if name in own else name): v for name, v in self.columns.items()}

    @property
    def names(self) -> list[str]:
        """The columns that are kept."""
        return self.kept[0].names if self.kept else []

    def csv(self, quote_formulas: bool = False, head: bool = True) -> Iterator[str]:
        """The pieces of a CSV file; without its `head` to go on with one."""
        texts = [one for one in self.kept if isinstance(one, Written)]
        same = len({(tuple(one.names), one.dialect, bool(one.head)) for one in texts}) == 1
        if texts and len(texts) == len(self.kept) and same:
            yield from self._beside(texts, quote_formulas)
            return
        lines = _Writer(Dialect(), quote_formulas)
        if head:
            yield lines.row([*self.names, *self.columns])
        rows = zip(self._own_texts(), self._predicted(_shortest), strict=True) if self.kept else None
        plain = self._predicted(_shortest) if rows is None else ((*own, *new) for own, new in rows)
        yield from _joined(map(lines.row, plain))

    def _beside(self, texts: Sequence[Written], quote_formulas: bool) -> Iterator[str]:
        """Rows of text, with predictions added to them."""
        first = texts[0]
        lines = _Writer(first.dialect, quote_formulas)
        delimiter = first.dialect.delimiter
        if first.head:
            body, end = _line(first.mark + first.head)
            yield (lines.row(first.names, "") if quote_formulas else body) + delimiter + lines.row(self.columns, end)
        predicted = self._predicted(_shortest)
        for one in texts:
            yield from _joined(self._added(one, predicted, lines, quote_formulas))
            if one.tail:
                yield one.tail

    @staticmethod
    def _added(one: Written, predicted: Iterator[Any], lines: _Writer, quote_formulas: bool) -> Iterator[str]:
        """The rows of a file, each with its predictions."""
        fields: Iterator[list[str]] = one.fields() if quote_formulas else itertools.repeat([])
        for (row, own), new in zip(zip(one.rows(), fields, strict=False), predicted, strict=False):
            body, end = _line(row)
            yield (lines.row(own, "") if quote_formulas else body) + one.dialect.delimiter + lines.row(new, end)

    def jsonl(self) -> Iterator[str]:
        """The pieces of a file of JSON lines."""
        keys = [json.dumps(name) + ": " for name in (*self.names, *self.columns)]
        numbers = self._columns_of_numbers()
        own: Iterator[Sequence[Any]] = self._own_values() if self.kept else itertools.repeat(())
        for rows in _pieces(zip(own, self._predicted(_plain), strict=False)):
            lines = []
            for kept, new in rows:
                values = [_json(value, is_number) for value, is_number in zip(kept, numbers, strict=True)]
                values += [json.dumps(value) for value in new]
                lines.append("{" + ", ".join(map(str.__add__, keys, values)) + "}\n")
            yield "".join(lines)

    def arrays(self) -> dict[str, Array]:
        """Every column as an array, for NPZ."""
        own = {name: np.asarray(_array(parts)) for name, parts in self._parts().items()}
        return {k: v.astype(str) if v.dtype.kind == "O" else v for k, v in {**own, **self.columns}.items()}

    def frame(self) -> Any:
        """A table of Polars, with the types of columns that have some."""
        import polars

        own = {name: _series(name, parts, polars) for name, parts in self._parts().items()}
        new = {k: polars.Series(k, v.tolist() if v.dtype.kind == "O" else v) for k, v in self.columns.items()}
        return polars.DataFrame({**own, **new})

    def _predicted(self, values: Any) -> Iterator[tuple[Any, ...]]:
        """The predictions of each row."""
        rows = len(next(iter(self.columns.values())))
        for first in range(0, rows, CHUNK):
            yield from zip(*(values(v[first : first + CHUNK]) for v in self.columns.values()), strict=True)

    def _own_values(self) -> Iterator[Sequence[Any]]:
        """The kept fields of each row: texts, or values of a file with types."""
        for one in self.kept:
            order = [one.names.index(name) for name in self.names]
            if isinstance(one, Written):
                yield from ([row[i] for i in order] for row in one.fields())
            else:
                yield from zip(*(_listed(one.columns[name]) for name in self.names), strict=True)

    def _own_texts(self) -> Iterator[list[str]]:
        for row in self._own_values():
            yield [_text(value) for value in row]

    def _columns_of_numbers(self) -> list[bool]:
        """Whether all texts of each kept column are numbers of JSON, or missing."""
        found = [True] * len(self.names)
        for row in self._own_values():
            for i, value in enumerate(row):
                if isinstance(value, str) and value.strip() not in MISSING and not _JSON.fullmatch(value):
                    found[i] = False
        return found

    def _parts(self) -> dict[str, list[Any]]:
        """For each kept column what each file has of it: a list of texts, or an array or series."""
        found: dict[str, list[Any]] = {name: [] for name in self.names}
        for one in self.kept:
            columns: Any = one.columns if isinstance(one, Typed) else {}
            if isinstance(one, Written):
                columns = dict(zip(one.names, map(list, zip(*one.fields(), strict=True)), strict=True))
            for name in self.names:
                found[name].append(columns[name])
        return found


class _Writer:
    """Rows as lines of CSV."""

    def __init__(self, dialect: Dialect, quote_formulas: bool) -> None:
        self.out: list[str] = []
        self.quote_formulas = quote_formulas
        # Line ends of Windows have a carriage return in a field be quoted.
        self.writer: Any = csv.writer(self, delimiter=dialect.delimiter, quotechar=dialect.quote, lineterminator="\r\n")

    def write(self, line: str) -> None:
        self.out.append(line)

    def row(self, values: Any, end: str = "\n") -> str:
        """A line of fields."""
        self.writer.writerow([_quoted(value) for value in values] if self.quote_formulas else values)
        return self.out.pop().removesuffix("\r\n") + end


def _line(row: str) -> tuple[str, str]:
    """A row without its line end, and that; a last row that has none gets one."""
    for end in ("\r\n", "\n", "\r"):
        if row.endswith(end):
            return row[: -len(end)], end
    return row, "\n"


def _joined(lines: Iterator[str]) -> Iterator[str]:
    for piece in _pieces(lines):
        yield "".join(piece)


def _pieces(items: Iterator[Any]) -> Iterator[list[Any]]:
    while piece := list(itertools.islice(items, CHUNK)):
        yield piece


def _quoted(value: Any) -> Any:
    """A text that no spreadsheet reads as a formula; numbers stay as they are."""
    if not isinstance(value, str) or not value.startswith(FORMULAS):
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value


def _plain(values: Array) -> list[Any]:
    return [None if isinstance(v, float) and not math.isfinite(v) else v for v in values.tolist()]


def _shortest(values: Array) -> list[Any]:
    """Numbers in the fewest digits that read back to the same."""
    if values.dtype.kind == "f" and values.dtype.itemsize == 4:
        return [str(v) for v in values]
    return _plain(values)


def _listed(column: Any) -> list[Any]:
    """The values of an array, or of a series: what JSON has no type for is a text."""
    if isinstance(column, np.ndarray):
        values = _plain(column)
        return [_float32(v) for v in values] if column.dtype == np.float32 else values
    import polars

    if column.dtype == polars.Float32:
        return [_float32(v) for v in column.to_list()]
    kept = column.dtype.is_numeric() or column.dtype in (polars.Boolean, polars.Null)
    own: list[Any] = (column if kept and not column.dtype.is_decimal() else column.cast(polars.String)).to_list()
    return own


def _float32(value: float | None) -> float | None:
    """The shortest number that is the same in single precision."""
    return None if value is None else float(str(np.float32(value)))


def _text(value: Any) -> str:
    """A value as a field; booleans are those of JSON."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _json(value: Any, is_number: bool) -> str:
    if isinstance(value, str):
        if is_number:
            return "null" if value.strip() in MISSING else value
        return json.dumps(value) if value else "null"
    return "null" if isinstance(value, float) and not math.isfinite(value) else json.dumps(value)


def _array(parts: list[Any]) -> Any:
    """A column of several files as one array."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    values = [value for part in parts for value in (part if isinstance(part, list) else _listed(part))]
    return _by_content(values)


def _series(name: str, parts: list[Any], polars: Any) -> Any:
    """A column of several files as one series."""
    if all(isinstance(part, polars.Series) for part in parts):
        tables = [part.alias(name).to_frame() for part in parts]
        return polars.concat(tables, how="vertical_relaxed")[name] if len(tables) > 1 else parts[0]
    found = _array(parts)
    return polars.Series(name, [None if v == "" else v for v in found.tolist()] if found.dtype.kind in "OU" else found)


def _by_content(values: list[Any]) -> Array:
    """Whole numbers, numbers or texts."""
    texts = [_text(value) for value in values]
    there = [text for text in texts if text.strip() not in MISSING]
    if there and all(map(_JSON.fullmatch, there)):
        whole = [int(text) for text in there if re.fullmatch(r"-?\d{1,19}", text)]
        if len(whole) == len(there) == len(texts) and max(map(abs, whole)) < 2**63:
            return np.array(whole, np.int64)
        if len(whole) < len(there) or max(map(abs, whole)) < EXACT:
            return np.array([float(text) if text.strip() not in MISSING else math.nan for text in texts])
    return np.array(texts, object)
