"""Rows that stay in files while a network is trained on them."""

from __future__ import annotations

import itertools
import mmap
import os
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, DataError, ShapeError
from fastbp.spec.checks import whole
from fastbp.spec.coded import Coded

Array = NDArray[Any]
BLOCK = 1 << 20  # bytes of a block, at most, where nothing else is said
MOST, LEAST = 8192, 64  # rows of such a block
WINDOW = 32  # blocks of a window
MEASURED = 1 << 23  # numbers of rows on which metrics are taken


class Source:
    """An array of which parts are read: from its file where it is one, so that nothing of it stays in memory."""

    def __init__(self, array: Any) -> None:
        self.array = array if isinstance(array, np.ndarray) else np.asarray(array)
        self.path, self.at = _file_of(self.array)
        self.wide = self.array.itemsize * int(np.prod(self.array.shape[1:]))
        self._file = -1

    def __len__(self) -> int:
        return len(self.array)

    def room(self, rows: int) -> Array:
        """An array for so many rows."""
        return np.empty((rows, *self.array.shape[1:]), self.array.dtype)

    def read(self, first: int, out: Array) -> None:
        """Read rows from `first` on into `out`."""
        if self.path is None:
            out[...] = self.array[first : first + len(out)]
            return
        if self._file < 0:
            self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
            weakref.finalize(self, os.close, self._file)
        view: Any = memoryview(out.view(np.uint8).reshape(-1).data if out.size else b"")
        at = self.at + first * self.wide
        while len(view):
            got = os.preadv(self._file, [view], at) if hasattr(os, "preadv") else self._sought(view, at)
            if not got:
                raise DataError(f"{self.path}: must not change while it is trained on, but has become shorter")
            view, at = view[got:], at + got

    def _sought(self, view: memoryview, at: int) -> int:
        os.lseek(self._file, at, os.SEEK_SET)
        found = os.read(self._file, len(view))
        view[: len(found)] = found
        return len(found)

    def some(self, rows: Array) -> Array:
        """Rows of these numbers; neighbours are read together."""
        out = self.room(len(rows))
        if not len(rows):
            return out
        cuts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        for begin, end in itertools.pairwise(cuts):
            self.read(int(rows[begin]), out[begin:end])
        return out


class ByClass(Source):
    """The weight of each row by its class, times its own; labels beyond those of `weights` count nothing."""

    def __init__(self, labels: Source, weights: NDArray[np.float64], own: Source | None) -> None:
        super().__init__(np.broadcast_to(np.zeros(1), len(labels)))
        self.labels, self.weights, self.own = labels, weights, own

    def read(self, first: int, out: Array) -> None:
        found = self.labels.room(len(out))
        self.labels.read(first, found)
        known = (found >= 0) & (found < len(self.weights))
        out[...] = np.where(known, self.weights[np.where(known, found, 0)], 0.0)
        if self.own is not None:
            own = self.own.room(len(out))
            self.own.read(first, own)
            out *= own


def counts_of(labels: Source, classes: int, step: int = 1 << 18) -> NDArray[np.int64]:
    """How many rows there are of each class."""
    found = np.zeros(classes, np.int64)
    for first in range(0, len(labels), step):
        block = labels.room(min(step, len(labels) - first))
        labels.read(first, block)
        found += np.bincount(block[(block >= 0) & (block < classes)], minlength=classes)[:classes]
    return found


def _file_of(array: Array) -> tuple[str | None, int]:
    """The file that a memory-mapped array in C order is in, and where it begins there."""
    mapped = getattr(array, "_mmap", None)
    name = getattr(array, "filename", None)
    if not isinstance(array, np.memmap) or mapped is None or name is None or not array.flags.c_contiguous:
        return None, 0
    begin = np.frombuffer(mapped, np.uint8).ctypes.data
    return str(name), array.offset - array.offset % mmap.ALLOCATIONGRANULARITY + array.ctypes.data - begin


class Windows:
    """Rows of a memory-mapped array, or of any other, that `Trainer.fit` reads window by window.

    Blocks of rows are shuffled anew in each epoch, then the rows within each window of blocks: a pure function of the
    trainer's seed and the epoch. Two windows are in memory, one that is trained on and one that is read meanwhile.

    Parameters
    ----------
    X : array, shape (rows, inputs)
        Such as ``np.load("X.npy", mmap_mode="r")``. The targets that `fit` gets beside it may be memory-mapped, too.
    block_rows : int, >= 1, optional
        Rows that are read together; by default as many as fit into 1 MiB, a power of two from 64 to 8192.
    window_blocks : int, >= 1
        Blocks of a window.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> X = np.linspace(-1, 1, 1000, dtype=np.float32)[:, None]
    >>> net = fb.mlp([1, 16, 1], seed=0)
    >>> trainer = fb.Trainer(net, loss="mse", optimizer=fb.Adam(lr=0.01))
    >>> history = trainer.fit(fb.Windows(X, block_rows=64, window_blocks=4), X**2, epochs=30)
    >>> history.loss[0] > 0.05, history.loss[-1] < 0.01
    (True, True)
    """

    def __init__(self, X: Any, block_rows: int | None = None, window_blocks: int = WINDOW) -> None:
        self.counts: tuple[int, ...] = X.counts if isinstance(X, Coded) else ()
        self.source = Source(X.narrow if isinstance(X, Coded) else X)
        array = self.source.array
        if array.ndim != 2 or not len(array):
            raise ShapeError("X", "must have shape `(rows, inputs)`, with at least one row", f"`{array.shape}`")
        if len(array) >= 2**32:
            raise ConfigError("X", "must have fewer than 2**32 rows", f"`{len(array)}`")
        self.block = block_of(array.shape[1]) if block_rows is None else whole("block_rows", block_rows, 1)
        self.window = whole("window_blocks", window_blocks, 1)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and columns in full."""
        width = sum(max(count, 1) for count in self.counts) if self.counts else self.source.array.shape[1]
        return len(self), width

    @property
    def dtype(self) -> Any:
        """That of the numbers."""
        return self.source.array.dtype

    @property
    def nbytes(self) -> int:
        """Bytes in memory while they are trained on: of three windows, one of which is read."""
        return 3 * min(len(self), self.block * self.window) * self.source.wide

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise TypeError("rows that stay in files are for `Trainer.fit` only")

    def coded(self, rows: Array) -> Array | Coded:
        """Rows that were read, as a network takes them."""
        return Coded(rows, self.counts) if self.counts else rows

    def some(self, rows: Sequence[int] | Array) -> Array | Coded:
        """Rows of these numbers, in memory."""
        return self.coded(self.source.some(np.asarray(rows, np.int64)))


def block_of(columns: int) -> int:
    """Rows of a block of so many columns.

    Examples
    --------
    >>> block_of(20), block_of(400), block_of(100_000)
    (8192, 512, 64)
    """
    fits = max(1, BLOCK // (4 * max(columns, 1)))
    return int(min(MOST, max(LEAST, 1 << (fits.bit_length() - 1))))


def sampled(rows: int, columns: int) -> Array:
    """The numbers of the rows on which metrics are taken: all, or evenly many of more than a million or 32 MiB.

    Examples
    --------
    >>> len(sampled(1000, 20)), len(sampled(9_000_000, 20)), len(sampled(9_000_000, 1))
    (1000, 419430, 1000000)
    """
    most = max(LEAST, min(1_000_000, MEASURED // max(columns, 1)))
    return np.arange(rows) if rows <= most else np.arange(most) * rows // most


def sample_of(X: Windows, y: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Rows on which metrics are taken, their targets and weights, in memory."""
    rows = sampled(len(X), X.source.array.shape[1])
    return X.some(rows), Source(y).some(rows), None if weights is None else Source(weights).some(rows)
