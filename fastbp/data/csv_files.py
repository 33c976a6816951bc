"""CSV and TSV: quoted fields, empty fields, a byte order mark and any line ends are read; ragged rows are refused."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from fastbp.data.frame import MISSING, Column, Frame
from fastbp.errors import DataError

CHUNK = 100_000  # rows turned into columns at once


def read_csv(path: str | Path, delimiter: str = ",", header: bool = True) -> Frame:
    """Read a table; a column is numbers where all that is there are numbers, and texts otherwise.

    Parameters
    ----------
    path : str or Path
        A name that ends in .gz is unpacked on the way.
    delimiter : str
    header : bool
        Whether the first line names the columns; otherwise they are c0, c1, ...
    """
    name = str(path)
    opened: Any = gzip.open if name.endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="", errors="strict") as file:
            return _read(file, name, delimiter, header)
    except OSError as error:
        raise DataError(f"{name}: must be a file that can be read, got `{error.strerror or error}`") from None
    except EOFError:
        raise DataError(f"{name}: must be a whole gzip file, got one that ends early") from None


def _read(file: TextIO, name: str, delimiter: str, header: bool) -> Frame:
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    rows = _records(reader, name)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{name}: must have rows, got an empty file")
    names = [part.strip() for part in first[1]] if header else [f"c{i}" for i in range(len(first[1]))]
    for i, column in enumerate(names):
        if not column:
            raise DataError(f"{name}:{first[0]}: every column must have a name, got none for column {i + 1}")
        if column in names[:i]:
            raise DataError(f"{name}:{first[0]}: column names must differ, got `{column}` twice")
    lines: list[int] = []
    chunks: list[list[Any]] = [[] for _ in names]
    block: list[list[str]] = []

    def flush() -> None:
        for column, values in zip(chunks, zip(*block, strict=True), strict=True):
            column.append(np.array([None if v in MISSING or v.strip() in MISSING else v for v in values], object))
        block.clear()

    if not header:
        lines.append(first[0])
        block.append(first[1])
    for line, record in rows:
        if len(record) != len(names):
            raise DataError(f"{name}:{line}: a row must have {len(names)} fields, got {len(record)}")
        lines.append(line)
        block.append(record)
        if len(block) == CHUNK:
            flush()
    if block:
        flush()
    if not lines:
        raise DataError(f"{name}: must have rows below its header, got none")
    columns = {column: _typed(column, np.concatenate(parts)) for column, parts in zip(names, chunks, strict=True)}
    return Frame(None, columns, name, np.array(lines, np.int64))


def _records(reader: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of each row that is not blank."""
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{name}:{max(line, 1)}: must be CSV, got a row where {str(error)[:80]}") from None
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name}:{max(line, 1)}: must be UTF-8, got byte `0x{error.object[error.start]:02x}` in what follows"
            ) from None
        if record and not (len(record) == 1 and not record[0].strip()):
            yield line, record


def _typed(name: str, values: Any) -> Column:
    """Numbers where all are numbers."""
    there = np.array([v is not None for v in values], bool)
    if there.any():
        try:
            out = np.full(len(values), np.nan)
            out[there] = values[there].astype(np.float64)
            if np.isfinite(out[there]).all():
                return Column(name, out)
        except (ValueError, TypeError):
            pass
        return Column(name, values)
    return Column(name, np.full(len(values), np.nan))
