"""How a table of text is written: its delimiter, the quotes around fields, its encoding."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Sequence
from dataclasses import dataclass

from fastbp.errors import ConfigError, DataError, visible

DELIMITERS = (",", ";", "\t", "|")
QUOTES = ('"', "'")
CALLED = {"\t": "tab"}


@dataclass(frozen=True)
class Dialect:
    """What divides fields, and what stands around those that hold it."""

    delimiter: str = ","
    quote: str = '"'


def checked_delimiter(delimiter: str | None) -> None:
    """Refuse what cannot divide fields."""
    if delimiter is not None and len(delimiter) != 1:
        raise ConfigError("data.delimiter", "must be one character", f"`{visible(delimiter)}`")
    if delimiter in ('"', "\r", "\n"):
        raise ConfigError("data.delimiter", "must be neither a quote nor a line end", f"`{delimiter!r}`")


def checked_encoding(encoding: str | None) -> str | None:
    """Refuse what Python does not know as the encoding of texts."""
    if encoding is None:
        return None
    try:
        "".encode(encoding)
        codecs.lookup(encoding)
    except (LookupError, ValueError):
        must = "must be an encoding of texts, such as `utf-8` or `latin-1`"
        raise ConfigError("data.encoding", must, f"`{visible(encoding)}`") from None
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def dialect_of(lines: Sequence[str], cut: bool, delimiter: str | None, name: str) -> Dialect:
    """The dialect of the first lines of a file; `cut` says that there are more, so the last row may be half."""
    first = next((line.strip() for line in lines if line.strip()), "")
    single = len(first) > 1 and first[0] == first[-1] == "'" and '"' not in first
    quote = QUOTES[single]
    return Dialect(_delimiter(lines, cut, quote, name) if delimiter is None else delimiter, quote)


def _delimiter(lines: Sequence[str], cut: bool, quote: str, name: str) -> str:
    """The one that divides all rows into as many fields as the first, or else the first row into most."""
    widths = {d: [len(row) for row in _rows(lines, cut, Dialect(d, quote))] for d in DELIMITERS}
    even = [d for d, found in widths.items() if found and found[0] > 1 and len(set(found)) == 1]
    if len(even) > 1:
        shown = " and ".join(f"`{CALLED.get(d, d)}`" for d in even)
        raise DataError(
            f"{name}: must have rows that one delimiter divides, but {shown} do", hint="set `data.delimiter` to one"
        )
    return even[0] if even else max(DELIMITERS, key=lambda d: widths[d][0] if widths[d] else 0)


def _rows(lines: Sequence[str], cut: bool, dialect: Dialect) -> list[list[str]]:
    """The rows of a sample, without blank ones."""
    reader = csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quote)
    rows = []
    try:
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                rows.append(row)
    except csv.Error:
        pass
    return rows[:-1] if cut and len(rows) > 1 else rows
