"""Rows that do not fit into memory: read in blocks, and written to a file that training maps.

    files  --blocks-->  float64 sums  -->  mean and deviation   (Numbers.fit)
    files  --blocks-->  scaled rows   -->  a temporary file     (Numbers.apply)

Blocks have a fixed number of rows, wherever files begin and end, and rows in memory are summed in the same blocks: no
bit depends on how rows are divided into files or on whether they fit.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data import array_files
from fastbp.errors import DataError, FileError

Array = NDArray[Any]
SHARE = array_files.SHARE
CELLS = 1 << 20  # numbers in a block, 8 MiB of float64
LITTLE = 1 << 18  # bytes of a matrix that is not worth asking how much memory is free


class Shards:
    """The rows, or some, of several concatenated arrays that stay in their files until read.

    Attributes
    ----------
    arrays : list of arrays, shape (rows of a file, features)
    rows : int array, optional
        Indices of the rows, in order; by default all.
    sample : float64 array or None
        Some of them, where what needs sorted numbers is fitted to these.
    """

    sample: Array | None = None

    def __init__(self, arrays: Sequence[Array], rows: Array | None = None) -> None:
        self.arrays, self.rows = list(arrays), rows
        self.ends = np.cumsum([len(a) for a in self.arrays])
        self.shape = (int(self.ends[-1]) if rows is None else len(rows), self.arrays[0].shape[1])
        self.dtype = np.result_type(*(a.dtype for a in self.arrays))

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, rows: Array) -> Shards:
        """Some of the rows, without reading them."""
        return Shards(self.arrays, rows if self.rows is None else self.rows[rows])

    def read(self, first: int, end: int) -> Array:
        """Rows `first` to `end` - 1, in memory."""
        end = min(end, len(self))
        wanted = np.arange(first, end) if self.rows is None else self.rows[first:end]
        out = np.empty((len(wanted), self.shape[1]), self.dtype)
        files = np.searchsorted(self.ends, wanted, side="right")
        for i in np.unique(files):
            here = files == i
            out[here] = self.arrays[i][wanted[here] - (self.ends[i] - len(self.arrays[i]))]
        return out


def blocks(x: Array | Shards, cells: int | None = None) -> Iterator[tuple[int, Array]]:
    """(number of the first row, float64 rows) of each block; in memory it may be one of so many numbers."""
    many = CELLS if cells is None or isinstance(x, Shards) else min(cells, CELLS)
    step = max(1, many // max(1, x.shape[1]))
    for first in range(0, len(x), step):
        part = x.read(first, first + step) if isinstance(x, Shards) else x[first : first + step]
        yield first, np.asarray(part, np.float64)


def sorting(x: Array | Shards) -> Array:
    """The rows that what needs sorted numbers is fitted to: all, or a sample of them."""
    if isinstance(x, Shards):
        assert x.sample is not None
        return x.sample
    return x


def fits(shape: tuple[int, int], dtype: Any = np.float32) -> bool:
    """Whether a matrix fits into memory."""
    size = math.prod(shape) * max(4, np.dtype(dtype).itemsize)
    return bool(size <= LITTLE or size <= SHARE * array_files.memory())


def below(arrays: Sequence[Array]) -> Array | Shards:
    """Arrays concatenated, in memory if they fit."""
    if len(arrays) == 1:
        return arrays[0]
    whole = Shards(arrays)
    return np.concatenate(arrays) if fits(whole.shape, whole.dtype) else whole


def taken(x: Array | Shards, rows: Array) -> Array | Shards:
    """Some of the rows, in memory if they fit."""
    if isinstance(x, Shards):
        return x.take(rows)
    return x[rows] if fits((len(rows), x.shape[1]), x.dtype) else Shards([x], rows)


def room(shape: tuple[int, int], dtype: Any) -> Array:
    """An empty matrix: in memory if it fits, otherwise in a temporary file that vanishes with the process."""
    if fits(shape, dtype):
        return np.empty(shape, dtype)
    hint = "the environment variable `TMPDIR` may name another folder"
    folder = os.environ.get("TMPDIR", "")
    try:
        folder = tempfile.gettempdir()
        size, free = math.prod(shape) * np.dtype(dtype).itemsize, shutil.disk_usage(folder).free
        if size > free:
            need = f"must have {size >> 20} MiB free for rows that do not fit into memory"
            raise DataError(f"{folder}: {need}, got `{free >> 20} MiB`", hint=hint)
        with tempfile.TemporaryFile() as file:  # the mapping keeps it
            return np.memmap(file, np.dtype(dtype), "w+", shape=shape)
    except OSError as error:
        why = f"must be where temporary files can be made ({error.strerror})"
        raise FileError(f"`{folder}` {why}", error.errno, error.strerror, folder, hint) from None
