"""Files of every kind as frames: tables, array files, and folders of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.array_files import read_idx, read_npy, read_npz
from fastbp.data.csv_files import read_csv
from fastbp.data.frame import Column, Frame, joined, missing_column
from fastbp.errors import DataError, DependencyError

Array = NDArray[Any]
TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".txt")
TARGET = "target"  # what the target is called where it is an array of its own


def suffix_of(path: str | Path) -> str:
    """The ending that says what a file is, .gz included."""
    parts = Path(path).name.lower().split(".")
    ending = "." + parts[-1] if len(parts) > 1 else ""
    return f".{parts[-2]}.gz" if ending == ".gz" and len(parts) > 2 else ending


def is_idx(path: str | Path) -> bool:
    """Whether a file's name is one of the MNIST family: ...-idx3-ubyte, with or without .gz."""
    return "idx" in Path(path).name.lower().removesuffix(".gz").rsplit("-", 1)[0][-5:] or suffix_of(path) in (
        ".idx",
        ".idx.gz",
    )


def read_frame(path: str | Path, data: Any) -> Frame:
    """Read a file of any kind."""
    ending = suffix_of(path)
    if not Path(path).exists():
        raise DataError(f"{path}: must be a file, got none of that name")
    if ending in TABLES:
        tab = "tsv" in ending
        return read_csv(path, "\t" if tab else data.delimiter, data.header)
    if ending == ".npz":
        return _of_arrays(read_npz(path), str(path), data.target)
    if ending == ".npy":
        array = read_npy(path)
        return Frame(_matrix(array, str(path)), {}, str(path))
    if is_idx(path):
        return Frame(_matrix(read_idx(path), str(path)), {}, str(path))
    if ending in (".parquet", ".arrow", ".feather", ".ipc"):
        return _read_polars(path, ending)
    known = ", ".join(f"`{e}`" for e in (*TABLES[:2], ".npz", ".npy", ".parquet", ".arrow", "-idx3-ubyte.gz"))
    raise DataError(f"{path}: must end in one of {known}, got `{ending or Path(path).name}`")


def _matrix(array: Array, name: str) -> Array:
    """Rows of features: images become rows of their pixels."""
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name}: must hold real numbers, got dtype `{array.dtype}`")
    if array.ndim == 0:
        raise DataError(f"{name}: must hold rows, got one number")
    return array.reshape(len(array), -1) if array.ndim != 2 else array


def _of_arrays(arrays: dict[str, Array], name: str, target: Any) -> Frame:
    """X and y of an archive, or arrays of one column each."""
    wanted = target if isinstance(target, str) else "y"
    if "X" in arrays or "x" in arrays:
        X = arrays["X" if "X" in arrays else "x"]
        frame = Frame(_matrix(X, name), {}, name)
        for key, array in arrays.items():
            if key not in ("X", "x"):
                _beside(frame, key, array)
        if wanted not in arrays and target is not None:
            raise missing_column(frame, wanted)
        return frame
    frame = Frame(None, {}, name)
    for key, array in arrays.items():
        if array.ndim != 1:
            shown = ", ".join(f"`{k}` {v.shape}" for k, v in arrays.items())
            raise DataError(f"{name}: must hold `X` and `y`, or columns of one axis, got {shown}")
        _beside(frame, key, array)
    return frame


def _beside(frame: Frame, key: str, array: Array) -> None:
    """Put an array into a frame as a column, or as one for each of its columns."""
    if len(frame) and len(array) != len(frame):
        raise DataError(f"{frame.origin}: `{key}` must have {len(frame)} rows, got {len(array)}")
    if array.dtype.kind in "US":
        values = np.array([str(v) for v in array], object)
        frame.columns[key] = Column(key, values)
    elif array.dtype.kind not in "fiub":
        raise DataError(f"{frame.origin}: `{key}` must be numbers or texts, got dtype `{array.dtype}`")
    elif array.ndim == 1:
        frame.columns[key] = Column(key, array.astype(np.float64))
    else:
        for i, column in enumerate(array.reshape(len(array), -1).T):
            frame.columns[f"{key}{i}"] = Column(f"{key}{i}", column.astype(np.float64))


def _read_polars(path: str | Path, ending: str) -> Frame:
    try:
        import polars
    except ImportError:
        raise DependencyError(
            f'{path}: Parquet and Arrow files need Polars, which is not installed\nhint: pip install "fastbp[tables]"'
        ) from None
    try:
        table = polars.read_parquet(path) if ending == ".parquet" else polars.read_ipc(path)
    except Exception as error:
        raise DataError(
            f"{path}: must be a table that Polars can read, got `{str(error).splitlines()[0][:120]}`"
        ) from None
    frame = Frame(None, {}, str(path))
    for column in table.get_columns():
        if column.dtype.is_numeric() or column.dtype == polars.Boolean:
            values = column.cast(polars.Float64).to_numpy().copy()
            if column.null_count():
                values[column.is_null().to_numpy()] = np.nan
        else:
            values = np.array(column.cast(polars.String).to_list(), object)
        frame.columns[column.name] = Column(column.name, values)
    if not len(frame):
        raise DataError(f"{path}: must have rows, got none")
    return frame


def read_paths(paths: Any, data: Any) -> Frame:
    """Files, or folders of files, below each other; IDX and NPY files come in pairs of images and labels."""
    listed = [paths] if isinstance(paths, str) else list(paths)
    files: list[str] = []
    for path in listed:
        found = Path(path)
        if found.is_dir():
            inside = sorted(str(p) for p in found.iterdir() if p.is_file() and not p.name.startswith("."))
            if not inside:
                raise DataError(f"{path}: must have files in it, got an empty folder")
            files += inside
        else:
            files.append(str(path))
    if not files:
        raise DataError("`data.path` must name a file, got an empty list")
    if all(is_idx(f) or suffix_of(f) == ".npy" for f in files) and len(files) % 2 == 0 and len(files) > 1:
        return joined([_pair(files[i], files[i + 1], data) for i in range(0, len(files), 2)])
    return joined([read_frame(f, data) for f in files])


def _pair(first: str, second: str, data: Any) -> Frame:
    """Images and their labels, whichever comes first."""
    frames = [read_frame(f, data) for f in (first, second)]
    rows, labels = frames if frames[0].matrix.shape[1] >= frames[1].matrix.shape[1] else frames[::-1]  # type: ignore[union-attr]
    assert labels.matrix is not None
    if len(rows) != len(labels):
        raise DataError(f"{labels.origin}: must have {len(rows)} rows as {rows.origin} has, got {len(labels)}")
    name = data.target if isinstance(data.target, str) else TARGET
    width = labels.matrix.shape[1]
    names = [name] if width == 1 else [f"{name}{i}" for i in range(width)]
    for i, column in enumerate(names):
        rows.columns[column] = Column(column, labels.matrix[:, i].astype(np.float64))
    return rows
