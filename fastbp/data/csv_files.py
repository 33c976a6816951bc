"""CSV and TSV: quoted fields, empty fields, a byte order mark and any line ends are read; ragged rows are refused.

While a table is read, a column is the bytes of its fields, one after another, so that it takes no more than its file.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import warnings
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from fastbp.data.array_files import room_for_a_file
from fastbp.data.columns import Column, Reading, column_of
from fastbp.data.dialect import DELIMITERS, Dialect, checked_delimiter, checked_encoding, dialect_of
from fastbp.data.frame import Frame
from fastbp.data.headers import is_row, names_of
from fastbp.data.streams import STDIN, stream
from fastbp.data.written import Written
from fastbp.errors import DataError, DataWarning

CELLS = 1 << 16  # fields that are Python objects at a time
LINE = 1 << 26  # characters of the longest line
FIELD = 64  # overhead of a field in bytes
SAMPLE = 1 << 14  # characters of the lines that are looked at for the dialect, of three lines at least
UTF_16 = {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}


def read_csv(
    path: str | Path,
    delimiter: str | None = None,
    header: bool = True,
    reading: Reading | None = None,
    encoding: str | None = None,
    keep: bool = False,
    content: bytes | None = None,
) -> Frame:
    """Read a table.

    Parameters
    ----------
    path : str or Path
        Files that end in .gz or .zst are decompressed.
    delimiter : str, optional
        By default found out.
    header : bool
        Whether the first line names the columns; otherwise they are c0, c1, ...
    reading : Reading, optional
        What is known of columns.
    encoding : str, optional
        By default UTF-8, or UTF-16 where a byte order mark says so.
    keep : bool
        Whether the frame also has the table as it is written.
    content : bytes, optional
        The bytes of stdin, or the first of a file, where they have been read.
    """
    name = "stdin" if str(path) == STDIN else str(path)
    checked_delimiter(delimiter)
    with stream(path, content) as file:
        begin = file.peek(3)[:3]
        code = checked_encoding(encoding) or ("utf-16" if begin[:2] in UTF_16 else "utf-8-sig")
        with io.TextIOWrapper(file, encoding=code, newline="", errors="surrogateescape") as text:
            lines = _Lines(text, name, encoding or ("UTF-16" if code == "utf-16" else "UTF-8"))
            try:
                frame = _read(lines, name, delimiter, header, reading or Reading(), keep)
            except UnicodeError:  # of one byte, or of a whole file that has no byte order mark
                raise DataError(f"{name}:{lines.number + 1}: must be {lines.encoding}") from None
    for written in frame.written:
        if code == "utf-8-sig" and begin == codecs.BOM_UTF8 and isinstance(written, Written):
            written.mark = "\ufeff"
    return frame


def _read(lines: _Lines, name: str, delimiter: str | None, header: bool, reading: Reading, keep: bool) -> Frame:
    dialect = dialect_of(lines.sample(), lines.cut, delimiter, name)
    lines.delimiters = dialect.delimiter
    reader = csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True)
    rows = _within(_records(reader, name), name)
    line, fields = next(rows, (0, []))
    if not fields:
        raise DataError(f"{name}: must have rows, but is empty")
    names = names_of(fields, f"{name}:{line}") if header else [f"c{i}" for i in range(len(fields))]
    written = Written(names, dialect, lines.taken() if header else "") if keep else None
    rows = rows if header else itertools.chain([(line, fields)], rows)
    places, chunks = _chunks(rows, names, name, lines, written)
    if written is not None:
        written.tail = lines.taken()
    if not places:
        raise DataError(f"{name}: must have rows below its header")
    if dialect.delimiter == ";":
        reading = reading.in_semicolons()
    columns = {}
    for column, pieces in zip(names, chunks, strict=True):
        columns[column] = column_of(column, lambda pieces=pieces: map(_fields, pieces), reading)  # type: ignore[misc]
        pieces.clear()
    if header and is_row(columns):
        warnings.warn(
            DataWarning(
                f"{name}:{line}: the first line looks like a row, and is read as the names of the columns",
                hint="if it is one, set `data.header` to false",
            ),
            stacklevel=2,
        )
    frame = Frame(None, columns, name, np.frombuffer(places, np.int64))
    frame.written = [written] if written is not None else []
    return frame


def read_rows(
    content: bytes, names: list[str], dialect: Dialect, reading: Reading, name: str, before: int, keep: bool = False
) -> Frame:
    """Some rows of a table in UTF-8, behind its first `before` lines."""
    with io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="", errors="surrogateescape") as text:
        lines = _Lines(text, name, "UTF-8")
        lines.number, lines.delimiters = before, dialect.delimiter
        reader = csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True)
        written = Written(names, dialect, "") if keep else None
        places, chunks = _chunks(_within(_records(reader, name, before), name), names, name, lines, written)
        if written is not None:
            written.tail = lines.taken()
    columns = {}
    for column, pieces in zip(names, chunks, strict=True):
        read = lambda pieces=pieces: map(_fields, pieces)  # noqa: E731
        columns[column] = column_of(column, read, reading) if pieces else Column(column, np.zeros(0))
    frame = Frame(None, columns, name, np.frombuffer(places, np.int64) if places else np.zeros(0, np.int64))
    frame.written = [written] if written is not None else []
    return frame


def _chunks(
    rows: Iterator[tuple[int, list[str]]], names: list[str], name: str, lines: _Lines, written: Written | None
) -> tuple[array[int], list[list[bytes]]]:
    """The line of each row, and the fields of each column as bytes."""
    places = array("q")
    chunks: list[list[bytes]] = [[] for _ in names]
    block: list[list[str]] = []
    most = max(16, CELLS // len(names))

    def flush() -> None:
        for column, values in zip(chunks, zip(*block, strict=True), strict=True):
            column.append("\0".join(values).encode())
        block.clear()

    for line, fields in rows:
        if len(fields) != len(names):
            raise DataError(
                f"{name}:{line}: a row must have {len(names)} field{'s' * (len(names) > 1)}, got {len(fields)}",
                hint=_uneven(names, len(fields)),
            )
        places.append(line)
        block.append(fields)
        if written is not None:
            written.add(lines.taken())
        if len(block) == most:
            flush()
    if block:
        flush()
    return places, chunks


def _uneven(names: list[str], got: int) -> str:
    """What to do about a row with more or fewer fields."""
    wanted = len(names)
    if wanted == 1 and any(sign in names[0] for sign in DELIMITERS):  # one that was said: none is found beside another
        return "`data.delimiter` must be what divides the names of the columns, or be left out"
    if wanted == 1:
        return "lines above the names of the columns must be taken out of the file"
    if got == 1:
        return "lines that are no rows, such as remarks, must be taken out of the file"
    return (
        "a field with a delimiter in it must stand in quotes" if got > wanted else "empty fields need a delimiter too"
    )


def _fields(piece: bytes) -> list[str]:
    return piece.decode().split("\0")


class _Lines(Iterator[str]):
    """The lines of a file, checked: text of limited length that fits into memory; blank ones count."""

    def __init__(self, file: TextIO, name: str, encoding: str) -> None:
        self.file, self.name, self.encoding = file, name, encoding
        self.delimiters = "".join(DELIMITERS)
        self.most, self.size, self.number = room_for_a_file(), 0, 0
        self.ahead: list[str] = []  # read for the dialect
        self.since: list[str] = []  # read since `taken` was called
        self.cut = False  # whether the sample ends before the file

    def sample(self) -> list[str]:
        """The first lines, which come again."""
        read: list[str] = []
        size = 0
        while size < SAMPLE or len(read) < 3:
            line = self._next()
            if line is None:
                break
            read.append(line)
            size += len(line)
        self.cut = size >= SAMPLE
        self.ahead = read[::-1]
        return read

    def taken(self) -> str:
        """The text since the last call."""
        text = "".join(self.since)
        self.since.clear()
        return text

    def __next__(self) -> str:
        line = self.ahead.pop() if self.ahead else self._next()
        if line is None:
            raise StopIteration
        self.since.append(line)
        return line

    def _next(self) -> str | None:
        line = self.file.readline(LINE + 1)
        if not line:
            return None
        self.number += 1
        if len(line) > LINE:
            raise DataError(f"{self.name}:{self.number}: a line must have at most {LINE >> 20} MiB, got more")
        self.size += FIELD
        if self.size + FIELD * max(map(line.count, self.delimiters)) > self.most:
            raise _too_many(self.name, self.number, self.most)
        if not line.isascii():
            self._check(line)
        if "\0" in line:
            raise DataError(f"{self.name}:{self.number}: must be text, got a byte `0x00`")
        return line

    def _check(self, line: str) -> None:
        try:
            line.encode()
        except UnicodeEncodeError as error:  # a byte that is not in the encoding was read as 0xdc00 plus its value
            byte = ord(line[error.start]) - 0xDC00
            hint = "set `data.encoding`, such as to `latin-1` or `cp1252`" if self.encoding == "UTF-8" else None
            raise DataError(
                f"{self.name}:{self.number}: must be {self.encoding}, got a byte `0x{byte:02x}`", hint=hint
            ) from None


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


def _broken(error: str) -> str:
    """What a row of CSV must have, by what Python's reader says of it."""
    if "end of data" in error:
        return "a quote that is opened must be closed before the file ends"
    if "field limit" in error:
        return f"a field must have at most {csv.field_size_limit():,} characters, got more; is a quote not closed?"
    if "expected after" in error:
        return "a closing quote must stand at the end of its field (a quote inside is written twice)"
    return f"must be valid CSV ({error})"


def _records(reader: Any, name: str, before: int = 0) -> Iterator[tuple[int, list[str]]]:
    """(line where it begins, fields) of each row that is not blank; a lone "" is a row of one empty field."""
    while True:
        line = before + reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{name}:{line}: {_broken(str(error))}") from None
        if record and (len(record) > 1 or not record[0].isspace()):
            yield line, record
