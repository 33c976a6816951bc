"""Files of every kind as frames: tables, array files, and folders of them."""

from __future__ import annotations

import difflib
import glob
import math
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.array_files import read_idx, read_npy, read_npz
from fastbp.data.columns import Column, Reading, column_of
from fastbp.data.csv_files import read_csv
from fastbp.data.frame import Frame, joined
from fastbp.data.polars_files import read_polars
from fastbp.data.raw import Raw
from fastbp.data.streams import STDIN, from_stdin
from fastbp.data.written import Typed
from fastbp.errors import DataError, visible

Array = NDArray[Any]
PACKED = ("", ".gz", ".zst")
TABLES = tuple(kind + packed for packed in PACKED for kind in (".csv", ".tsv", ".txt"))
FRAMES = (".parquet", ".arrow", ".feather", ".ipc")
BEGINNINGS = {b"PAR1": ".parquet", b"ARROW1": ".arrow", b"PK": ".npz", b"\x93NUMPY": ".npy"}  # of files on stdin
TARGET = "target"  # name of a target that is a separate array


def suffix_of(path: str | Path) -> str:
    """The suffix that gives a file's type, .gz and .zst included."""
    parts = Path(path).name.lower().split(".")
    ending = "." + parts[-1] if len(parts) > 1 else ""
    return f".{parts[-2]}{ending}" if ending in PACKED[1:] and len(parts) > 2 else ending


def is_idx(path: str | Path) -> bool:
    """Whether a file's name is one of the MNIST family: ...-idx3-ubyte or ....idx, with or without .gz."""
    return re.search(r"(^|[-._])idx\d+-\w+(\.gz)?$|\.idx(\.gz)?$", Path(path).name.lower()) is not None


def read_frame(path: str | Path, data: Any, reading: Reading | None = None, keep: bool = False) -> Frame:
    """Read a file of any kind, without what `data.missing_texts` says is missing.

    Parameters
    ----------
    path : str or Path
    data : Data
        The section of the configuration.
    reading : Reading, optional
        What is known of columns; by default what `data` says.
    keep : bool
        Whether the frame also has the table as it is written.
    """
    reading = reading or reading_of(data)
    frame = _of_any_kind(path, data, reading, keep)
    if reading.missing:
        frame.columns = {name: reading.filtered(column) for name, column in frame.columns.items()}
    return frame


def _of_any_kind(path: str | Path, data: Any, reading: Reading, keep: bool) -> Frame:
    ending = suffix_of(path)
    if str(path) == STDIN:
        return _from_stdin(data, reading, keep)
    must_exist(path)
    if ending in TABLES:
        return _read_text(path, data, reading, keep)
    if ending == ".npz":
        arrays = read_npz(path)
        frame = _of_arrays(arrays, str(path), reading.of_texts())
        frame.written = [Typed({n: a for n, a in arrays.items() if n in frame.columns})] if keep else []
        return frame
    if _is_array(path):
        return Frame(_matrix(_read_array(path), str(path)), {}, str(path))
    if ending in FRAMES:
        return read_polars(path, ending, reading, keep)
    known = ", ".join(f"`{e}`" for e in (*TABLES[:2], ".npz", ".npy", ".parquet", ".arrow", "-idx3-ubyte.gz"))
    raise DataError(f"{path}: must end in one of {known}, got `{ending or Path(path).name}`")


def reading_of(data: Any) -> Reading:
    """What the section `data` says of columns before they are read: "01" is not "1" in a column of categories."""
    kinds = {n: v if isinstance(v, str) else v.get("type") for n, v in data.columns.items()}
    return Raw.of(data, ()).reading(name for name, kind in kinds.items() if kind == "category")


def _read_text(path: str | Path, data: Any, reading: Reading, keep: bool, content: bytes | None = None) -> Frame:
    delimiter = "\t" if "tsv" in suffix_of(path) else data.delimiter
    return read_csv(path, delimiter, data.header, reading, data.encoding, keep, content)


def _from_stdin(data: Any, reading: Reading, keep: bool) -> Frame:
    """The table on stdin, of the kind that it begins as."""
    content = from_stdin()
    ending = next((ending for begin, ending in BEGINNINGS.items() if content.startswith(begin)), None)
    if ending is None:
        return _read_text(STDIN, data, reading, keep, content)
    with tempfile.NamedTemporaryFile(prefix="stdin-", suffix=ending) as file:
        file.write(content)
        file.flush()
        frame = read_frame(file.name, data, reading, keep)
    frame.origin = "stdin"
    return frame


def must_exist(path: str | Path) -> None:
    """Refuse a path that is no file."""
    if not Path(path).is_file():  # reading a pipe would block, and a device has no end
        if Path(path).exists():
            raise DataError(f"{path}: must be a regular file")
        beside = [p.name for p in Path(path).parent.iterdir()] if Path(path).parent.is_dir() else []
        close = difflib.get_close_matches(Path(path).name, beside, n=1, cutoff=0.8)
        hint = "download it first" if "://" in str(path) else f"did you mean `{visible(close[0])}`?" if close else None
        raise DataError(f"{path}: must be a file, but does not exist", hint=hint)


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


def _of_arrays(arrays: dict[str, Array], name: str, reading: Reading) -> Frame:
    """X and y of an archive, or arrays of one column each."""
    rows = next((key for key in ("X", "x") if key in arrays), None)
    frame = Frame(None if rows is None else _matrix(arrays[rows], name), {}, name)
    for key, array in arrays.items():
        if array.ndim != 1 and rows is None:
            shown = ", ".join(f"`{visible(k)}` {v.shape}" for k, v in arrays.items())
            raise DataError(f"{name}: must hold `X` and `y`, or columns of one axis, got {shown}")
        if key not in ("X", "x"):
            _beside(frame, key, array, reading)
    if not len(frame):
        raise DataError(f"{name}: must have rows")
    return frame


def _beside(frame: Frame, key: str, array: Array, reading: Reading) -> None:
    """Add an array to a frame, as one column or several."""
    rows = len(array) if array.ndim else 1
    if (frame.matrix is not None or frame.columns) and rows != len(frame):
        raise DataError(f"{frame.origin}: `{visible(key)}` must have {len(frame)} rows, got {rows}")
    if array.dtype.kind not in "fiubU":
        raise DataError(f"{frame.origin}: `{visible(key)}` must be numbers or texts, got dtype `{array.dtype}`")
    wide = array.reshape(rows, math.prod(array.shape[1:]))
    for i, values in enumerate(wide.T):
        column = key if array.ndim < 2 else f"{key}{i}"
        frame.columns[column] = of_array(column, values, reading)


def of_array(name: str, values: Array, reading: Reading) -> Column:
    """An array as a column."""
    if values.dtype.kind == "U":
        return column_of(name, lambda: iter([values.tolist()]), reading)
    if name in reading.texts and values.dtype.kind in "iu":  # every digit of a code counts
        return Column(name, values.astype(str).astype(object))
    return Column(name, values.astype(np.float64), boolean=values.dtype.kind == "b")


def files_of(paths: str | Sequence[str]) -> list[str]:
    """The files that paths name: themselves, those of folders, those that match a pattern such as `part-*.csv`."""
    listed = [paths] if isinstance(paths, str) else list(paths)
    files: list[str] = []
    for path in listed:
        found = Path(path)
        if found.is_dir():
            inside = sorted(str(p) for p in found.iterdir() if p.is_file() and not p.name.startswith("."))
            if not inside:
                raise DataError(f"{path}: must have files in it, but is empty")
            files += inside
        elif glob.has_magic(path) and not found.exists():
            matching = sorted(p for p in glob.glob(path, recursive=True) if Path(p).is_file())
            if not matching:
                raise DataError(f"{path}: must match a file, but there is none")
            files += matching
        else:
            files.append(str(path))
    if not files:
        raise DataError("data.path", "must name a file", "an empty list")
    return files


def read_paths(paths: Any, data: Any, reading: Reading | None = None, keep: bool = False) -> Frame:
    """Files, or folders of files, concatenated; IDX and NPY files come in pairs of images and labels."""
    files = files_of(paths)
    if len(files) > 1 and all(_is_array(f) for f in files):
        return joined(_paired(files, data))
    return joined([read_frame(f, data, reading, keep) for f in files])


def _paired(files: list[str], data: Any) -> list[Frame]:
    """Frames of rows joined with their labels, where these are in separate files.

    Label files are those with one axis, or with fewer columns; they are matched to the others in order.
    """
    for file in files:
        must_exist(file)
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
