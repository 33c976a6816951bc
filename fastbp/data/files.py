"""Files of every kind as frames: tables, array files, and folders of them."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.array_files import must_fit, read_idx, read_npy, read_npz, reason_of
from fastbp.data.csv_files import read_csv
from fastbp.data.frame import Column, Frame, joined
from fastbp.errors import DataError, DependencyError, visible

Array = NDArray[Any]
TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".txt")
TARGET = "target"  # name of a target that is a separate array


def suffix_of(path: str | Path) -> str:
    """The suffix that gives a file's type, .gz included."""
    parts = Path(path).name.lower().split(".")
    ending = "." + parts[-1] if len(parts) > 1 else ""
    return f".{parts[-2]}.gz" if ending == ".gz" and len(parts) > 2 else ending


def is_idx(path: str | Path) -> bool:
    """Whether a file's name is one of the MNIST family: ...-idx3-ubyte or ....idx, with or without .gz."""
    return re.search(r"(^|[-._])idx\d+-\w+(\.gz)?$|\.idx(\.gz)?$", Path(path).name.lower()) is not None


def read_frame(path: str | Path, data: Any) -> Frame:
    """Read a file of any kind."""
    ending = suffix_of(path)
    _must_exist(path)
    if ending in TABLES:
        tab = "tsv" in ending
        return read_csv(path, "\t" if tab else data.delimiter, data.header, _as_written(data))
    if ending == ".npz":
        return _of_arrays(read_npz(path), str(path))
    if _is_array(path):
        return Frame(_matrix(_read_array(path), str(path)), {}, str(path))
    if ending in (".parquet", ".arrow", ".feather", ".ipc"):
        return _read_polars(path, ending)
    known = ", ".join(f"`{e}`" for e in (*TABLES[:2], ".npz", ".npy", ".parquet", ".arrow", "-idx3-ubyte.gz"))
    raise DataError(f"{path}: must end in one of {known}, got `{ending or Path(path).name}`")


def _must_exist(path: str | Path) -> None:
    if not Path(path).is_file():  # reading a pipe would block, and a device has no end
        must = "be a regular file" if Path(path).exists() else "be a file, but does not exist"
        raise DataError(f"{path}: must {must}")


def _is_array(path: str | Path) -> bool:
    return is_idx(path) or suffix_of(path) == ".npy"


def _read_array(path: str | Path) -> Array:
    return read_npy(path) if suffix_of(path) == ".npy" else read_idx(path)


def _matrix(array: Array, name: str) -> Array:
    """Rows of features; images are flattened."""
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name}: must hold real numbers, got dtype `{array.dtype}`")
    if array.ndim == 0 or not array.size:
        raise DataError(f"{name}: must hold rows of numbers, got shape `{array.shape}`")
    return array.reshape(len(array), -1) if array.ndim != 2 else array


def _of_arrays(arrays: dict[str, Array], name: str) -> Frame:
    """X and y of an archive, or arrays of one column each."""
    rows = next((key for key in ("X", "x") if key in arrays), None)
    frame = Frame(None if rows is None else _matrix(arrays[rows], name), {}, name)
    for key, array in arrays.items():
        if array.ndim != 1 and rows is None:
            shown = ", ".join(f"`{visible(k)}` {v.shape}" for k, v in arrays.items())
            raise DataError(f"{name}: must hold `X` and `y`, or columns of one axis, got {shown}")
        if key not in ("X", "x"):
            _beside(frame, key, array)
    if not len(frame):
        raise DataError(f"{name}: must have rows")
    return frame


def _beside(frame: Frame, key: str, array: Array) -> None:
    """Add an array to a frame, as one column or several."""
    rows = len(array) if array.ndim else 1
    if (frame.matrix is not None or frame.columns) and rows != len(frame):
        raise DataError(f"{frame.origin}: `{visible(key)}` must have {len(frame)} rows, got {rows}")
    if array.dtype.kind not in "fiubU":
        raise DataError(f"{frame.origin}: `{visible(key)}` must be numbers or texts, got dtype `{array.dtype}`")
    text = array.dtype.kind == "U"
    wide = array.reshape(rows, math.prod(array.shape[1:]))
    for i, values in enumerate(wide.T):
        column = key if array.ndim < 2 else f"{key}{i}"
        found = np.array(values.tolist(), object) if text else values.astype(np.float64)
        frame.columns[column] = Column(column, found)


def _read_polars(path: str | Path, ending: str) -> Frame:
    try:
        import polars
    except ImportError:
        raise DependencyError(
            f"{path}: Parquet and Arrow files need Polars, which is not installed", hint='pip install "fastbp[tables]"'
        ) from None
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
            columns = [_of_polars(column, polars) for column in read(path).get_columns()]
    except DataError:
        raise
    except (Exception, panics) as error:
        reason = ", but is damaged" if isinstance(error, panics) else f" ({reason_of(error)})"
        raise DataError(f"{path}: must be a table that Polars can read{reason}") from None
    frame = Frame(None, {}, str(path))
    for name, values in columns:
        if isinstance(values, str):
            raise DataError(f"{path}: column `{visible(name)}` must be numbers or texts, got `{values}`")
        frame.columns[name] = Column(name, values)
    if not len(frame):
        raise DataError(f"{path}: must have rows")
    return frame


def _ends_its_process(path: str | Path) -> bool:
    """Whether Polars crashes the process on an Arrow file, as it does for a damaged one with too large a size."""
    code = "import sys, polars; polars.read_ipc(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, os.path.abspath(path)], capture_output=True, check=False)
    return done.returncode not in (0, 1)


def _of_polars(column: Any, polars: Any) -> tuple[str, Array | str]:
    """The name of a column and its values, or its type if unsupported."""
    if column.dtype.is_numeric() or column.dtype in (polars.Boolean, polars.Null):
        return column.name, column.cast(polars.Float64).fill_null(float("nan")).to_numpy().copy()
    if column.dtype.is_nested() or column.dtype in (polars.Binary, polars.Object):
        return column.name, str(column.dtype)
    if column.dtype == polars.Duration:
        return column.name, _of_polars(column.dt.total_microseconds() / 1e6, polars)[1]
    if column.dtype == polars.Time:  # of 1970-01-01
        column = (column.cast(polars.Int64) // 1000).cast(polars.Datetime("us"))
    if column.dtype.is_temporal():  # with a zone, in UTC
        return column.name, column.cast(polars.Datetime("us")).to_numpy().astype("datetime64[us]")
    return column.name, np.array(column.cast(polars.String).to_list(), object)


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


def _as_written(data: Any) -> set[str]:
    """Columns of categories, whose values stay texts: "01" is not "1"."""
    return {n for n, v in data.columns.items() if (v if isinstance(v, str) else v.get("type")) == "category"}


def read_paths(paths: Any, data: Any) -> Frame:
    """Files, or folders of files, concatenated; IDX and NPY files come in pairs of images and labels."""
    listed = [paths] if isinstance(paths, str) else list(paths)
    files: list[str] = []
    for path in listed:
        found = Path(path)
        if found.is_dir():
            inside = sorted(str(p) for p in found.iterdir() if p.is_file() and not p.name.startswith("."))
            if not inside:
                raise DataError(f"{path}: must have files in it, but is empty")
            files += inside
        else:
            files.append(str(path))
    if not files:
        raise DataError("data.path", "must name a file", "an empty list")
    if len(files) > 1 and all(_is_array(f) for f in files):
        return joined(_paired(files, data))
    return joined([read_frame(f, data) for f in files])


def _paired(files: list[str], data: Any) -> list[Frame]:
    """Frames of rows joined with their labels, where these are in separate files.

    Label files are those with one axis, or with fewer columns; they are matched to the others in order.
    """
    for file in files:
        _must_exist(file)
    arrays = [_read_array(file) for file in files]
    frames = [Frame(_matrix(array, file), {}, file) for array, file in zip(arrays, files, strict=True)]
    kinds = [(min(array.ndim, 2), math.prod(array.shape[1:])) for array in arrays]
    if len(set(kinds)) == 1:
        return frames
    labels = [frame for frame, kind in zip(frames, kinds, strict=True) if kind == min(kinds)]
    rows = [frame for frame, kind in zip(frames, kinds, strict=True) if kind != min(kinds)]
    if len(labels) != len(rows):
        raise DataError(
            f"{labels[0].origin}: must have {len(rows)} files of labels, as many as of rows, got {len(labels)}"
        )
    name = data.target if isinstance(data.target, str) else TARGET
    for frame, beside in zip(rows, labels, strict=True):
        if len(frame) != len(beside):
            raise DataError(
                f"{beside.origin}: must have as many rows as {frame.origin}, {len(frame)}, got {len(beside)}"
            )
        assert isinstance(beside.matrix, np.ndarray)
        width = beside.matrix.shape[1]
        for i, values in enumerate(beside.matrix.T):
            column = name if width == 1 else f"{name}{i}"
            frame.columns[column] = Column(column, values.astype(np.float64))
    return rows
