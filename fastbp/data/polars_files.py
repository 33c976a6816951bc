"""Parquet and Arrow files, through Polars."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.data.array_files import must_fit, reason_of
from fastbp.data.columns import Column, Reading, column_of
from fastbp.data.frame import Frame
from fastbp.data.written import Typed
from fastbp.errors import DataError, DependencyError, visible


def read_polars(path: str | Path, ending: str, reading: Reading, keep: bool = False) -> Frame:
    """Read a Parquet or Arrow file; `keep` has the frame have its columns with their types."""
    polars = _polars(path)
    panics = polars.exceptions.PanicException  # a panic of Rust's, which is no `Exception`
    scan, read = (
        (polars.scan_parquet, polars.read_parquet) if ending == ".parquet" else (polars.scan_ipc, polars.read_ipc)
    )
    try:
        with _without_panics(panics):
            lazy = scan(path)
            rows = lazy.select(polars.len()).collect().item()
            must_fit(str(path), 8 * rows * len(lazy.collect_schema()))
            if ending != ".parquet" and _ends_its_process(path):
                raise DataError(f"{path}: must be a table that Polars can read, but is damaged")
            table = read(path)
            columns = [_column(series, polars, reading.of_texts()) for series in table.get_columns()]
    except DataError:
        raise
    except (Exception, panics) as error:
        reason = ", but is damaged" if isinstance(error, panics) else f" ({reason_of(error)})"
        raise DataError(f"{path}: must be a table that Polars can read{reason}") from None
    frame = Frame(None, {}, str(path))
    for column in columns:
        if not isinstance(column, Column):
            name, kind = column
            raise DataError(f"{path}: column `{visible(name)}` must be numbers or texts, got `{kind}`")
        frame.columns[column.name] = column
    if not len(frame):
        raise DataError(f"{path}: must have rows")
    frame.written = [Typed({series.name: series for series in table.get_columns()})] if keep else []
    return frame


def _polars(path: str | Path) -> Any:
    try:
        import polars
    except ImportError:
        raise DependencyError(
            f"{path}: Parquet and Arrow files need Polars, which is not installed", hint='pip install "fastbp[tables]"'
        ) from None
    return polars


def _lazy(path: str | Path) -> Any:
    """A file of columns with types, of which nothing is read yet."""
    polars = _polars(path)
    return polars.scan_parquet(path) if str(path).lower().endswith(".parquet") else polars.scan_ipc(path)


def shape_of(path: str | Path) -> tuple[int, int]:
    """How many rows and columns a file has."""
    with _said(path):
        table = _lazy(path)
        return int(table.select(_polars(path).len()).collect().item()), len(table.collect_schema())


@contextmanager
def _said(path: str | Path) -> Iterator[None]:
    """Says in a sentence why Polars cannot read a file."""
    polars = _polars(path)
    panics = polars.exceptions.PanicException
    try:
        yield
    except (polars.exceptions.PolarsError, OSError, panics) as error:
        reason = ", but is damaged" if isinstance(error, panics) else f" ({reason_of(error)})"
        raise DataError(f"{path}: must be a table that Polars can read{reason}") from None


def scanned(path: str | Path, rows: int) -> Iterator[Any]:
    """The rows of a file in tables of at most so many."""
    with _said(path):
        for table in _lazy(path).collect_batches(chunk_size=rows, maintain_order=True):
            for first in range(0, len(table), rows):
                yield table.slice(first, rows)


def polars_column(series: Any, path: str | Path, reading: Reading) -> Column:
    """A column of such a table."""
    found = _column(series, _polars(path), reading)
    if not isinstance(found, Column):
        raise DataError(f"{path}: column `{visible(found[0])}` must be numbers or texts, got `{found[1]}`")
    return found


def _ends_its_process(path: str | Path) -> bool:
    """Whether Polars crashes the process on an Arrow file, as it does for a damaged one with too large a size."""
    code = "import sys, polars; polars.read_ipc(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, os.path.abspath(path)], capture_output=True, check=False)
    return done.returncode not in (0, 1)


def _column(series: Any, polars: Any, reading: Reading) -> Column | tuple[str, str]:
    """A column, or its name and type if unsupported."""
    name, kind = series.name, series.dtype
    if kind == polars.Boolean:
        return Column(name, _numbers(series, polars), boolean=True)
    if kind.is_numeric() or kind == polars.Null:
        if name in reading.texts and kind != polars.Null:  # every digit of a code counts
            return Column(name, np.array(series.cast(polars.String).to_list(), object))
        return Column(name, _numbers(series, polars))
    if kind.is_nested() or kind in (polars.Binary, polars.Object):
        return name, str(kind)
    if kind == polars.Duration:  # in seconds
        return Column(name, _numbers(series.dt.total_microseconds() / 1e6, polars))
    if kind == polars.Time:  # of 1970-01-01
        series = (series.cast(polars.Int64) // 1000).cast(polars.Datetime("us"))
    if series.dtype.is_temporal():  # with a zone, in UTC
        return Column(name, series.cast(polars.Datetime("us")).to_numpy().astype("datetime64[us]"))
    texts = [text or "" for text in series.cast(polars.String).to_list()]
    return column_of(name, lambda: iter([texts]), reading)


def _numbers(series: Any, polars: Any) -> Any:
    return series.cast(polars.Float64).fill_null(float("nan")).to_numpy().copy()


@contextmanager
def _without_panics(panics: type[BaseException]) -> Iterator[None]:
    """Suppress what Rust prints to stderr before a panic, unless another Python thread may write there."""
    file = None
    with suppress(OSError):  # there may be no file descriptor for it
        file = tempfile.TemporaryFile() if threading.active_count() == 1 else None  # noqa: SIM115
    if file is None:
        yield
        return
    with file as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        said = True
        try:
            yield
        except panics:
            said = False
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            if said:
                os.write(2, held.read())
