"""CSV and TSV: quoted fields, empty fields, a byte order mark and any line ends are read; ragged rows are refused."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from fastbp.data.array_files import room_for_a_file
from fastbp.data.codes import are_codes
from fastbp.data.frame import MISSING, Column, Frame, as_numbers
from fastbp.errors import ConfigError, DataError, visible

CHUNK = 100_000  # rows converted to columns at a time
LINE = 1 << 26  # characters of the longest line
FIELD = 64  # overhead of a field in bytes


def read_csv(path: str | Path, delimiter: str = ",", header: bool = True, texts: Collection[str] = ()) -> Frame:
    """Read a table; a column is numbers if all its values are and none has zeros in front, otherwise texts.

    Parameters
    ----------
    path : str or Path
        Files that end in .gz are decompressed.
    delimiter : str
    header : bool
        Whether the first line names the columns; otherwise they are c0, c1, ...
    texts : collection of str
        Columns that stay texts, even if they hold numbers.
    """
    name = str(path)
    if len(delimiter) != 1:
        raise ConfigError("data.delimiter", "must be one character", f"`{visible(delimiter)}`")
    if delimiter in ('"', "\r", "\n"):
        raise ConfigError("data.delimiter", "must be neither a quote nor a line end", f"`{delimiter!r}`")
    opened: Any = gzip.open if name.lower().endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="", errors="surrogateescape") as file:
            return _read(file, name, delimiter, header, texts)
    except (OSError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{name}: must be readable ({reason})") from None
    except EOFError:
        raise DataError(f"{name}: must be a complete gzip file, but ends early") from None


def _read(file: TextIO, name: str, delimiter: str, header: bool, texts: Collection[str]) -> Frame:
    lines_of_text = _lines(file, name, delimiter)
    rows = _within(_records(csv.reader(lines_of_text, delimiter=delimiter, strict=True), name), name)
    line, fields = next(rows, (0, []))
    if not fields:
        raise DataError(f"{name}: must have rows, but is empty")
    names = _names(fields, f"{name}:{line}") if header else [f"c{i}" for i in range(len(fields))]
    lines: list[int] = []
    chunks: list[list[Any]] = [[] for _ in names]
    block: list[list[str]] = []

    def flush() -> None:
        for column, values in zip(chunks, zip(*block, strict=True), strict=True):
            column.append(np.array([None if v.strip() in MISSING else v for v in values], object))
        block.clear()

    if not header:
        lines.append(line)
        block.append(fields)
    for line, fields in rows:
        if len(fields) != len(names):
            raise DataError(f"{name}:{line}: a row must have {len(names)} fields, got {len(fields)}")
        lines.append(line)
        block.append(fields)
        if len(block) == CHUNK:
            flush()
    if block:
        flush()
    if not lines:
        raise DataError(f"{name}: must have rows below its header")
    columns = {}
    for column, parts in zip(names, chunks, strict=True):
        values = np.concatenate(parts)
        numbers, bad = (values, 0) if column in texts or are_codes(values) else as_numbers(values)
        columns[column] = Column(column, numbers if bad < 0 else values)
    return Frame(None, columns, name, np.array(lines, np.int64))


def _names(fields: list[str], place: str) -> list[str]:
    """The columns that a header names."""
    names: dict[str, None] = {}
    for i, field in enumerate(fields):
        column = field.strip()
        if not column:
            raise DataError(f"{place}: every column must have a name, but column {i + 1} has none")
        if column in names:
            raise DataError(f"{place}: column names must be unique, got `{visible(column)}` twice")
        names[column] = None
    return list(names)


def _lines(file: TextIO, name: str, delimiter: str) -> Iterator[str]:
    """The lines of a file, checked: text of limited length that fits into memory; blank ones count."""
    most, taken = room_for_a_file(), 0
    for number, line in enumerate(iter(lambda: file.readline(LINE + 1), ""), 1):
        if len(line) > LINE:
            raise DataError(f"{name}:{number}: a line must have at most {LINE >> 20} MiB, got more")
        taken += FIELD
        if taken + FIELD * line.count(delimiter) > most:
            raise _too_many(name, number, most)
        if not line.isascii():
            try:
                line.encode()
            except UnicodeEncodeError as error:  # a byte that is not UTF-8 was read as 0xdc00 plus its value
                byte = ord(line[error.start]) - 0xDC00
                raise DataError(f"{name}:{number}: must be UTF-8, got a byte `0x{byte:02x}`") from None
        if "\0" in line:
            raise DataError(f"{name}:{number}: must be text, got a byte `0x00`")
        yield line


def _within(rows: Iterator[tuple[int, list[str]]], name: str) -> Iterator[tuple[int, list[str]]]:
    """The same rows, while they fit into memory: a small compressed file may hold more."""
    most, taken = room_for_a_file(), 0
    for line, fields in rows:
        taken += FIELD * len(fields) + sum(map(len, fields))
        if taken > most:
            raise _too_many(name, line, most)
        yield line, fields


def _too_many(name: str, line: int, most: int) -> DataError:
    return DataError(f"{name}:{line}: rows must fit into the {most >> 20} MiB that a file may take, got more")


def _records(reader: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    """(line where it begins, fields) of each row that is not blank; a lone "" is a row of one empty field."""
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{name}:{line}: must be valid CSV ({error})") from None
        if record and (len(record) > 1 or not record[0].isspace()):
            yield line, record
