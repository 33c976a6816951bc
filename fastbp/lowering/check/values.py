"""Memory as natural arrays, what a call has to write there, and how far from that it may be.

A bound is never a fixed part of a number: a twin says for every number how much rounding may move it, a few units in
the last place of what goes into it, times the terms of the sum where it is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.memory import view
from fastbp.kernels.fields import LINE
from fastbp.kernels.records import Column

Array = NDArray[Any]
Place = tuple[int, int]  # row and column

# By bytes: signalling NaNs, which no arithmetic gives, even of themselves.
POISON = {4: np.uint32(0xFFA5A5A5), 8: np.uint64(0xFFF5A5A5A5A5A5A5)}


def panels_at(address: int, stride: int, count: int, rows: int, dtype: Any) -> Array:
    """The rows of a panel matrix where they lie: (rows, panels, P)."""
    item = np.dtype(dtype).itemsize
    numbers = view(address, (((count - 1) * stride + rows * LINE) // item,), dtype)
    return np.lib.stride_tricks.as_strided(numbers, (rows, count, LINE // item), (LINE, stride, item))


def natural(panels: Array) -> Array:
    """A copy of rows of panels, padding too, in float64: (rows, lanes)."""
    return np.array(panels.reshape(len(panels), -1), np.float64)


def counts_at(record: Any) -> tuple[int, ...]:
    """What the columns of an op or a layer over rows with codes stand for: see `Coded`."""
    size = Column.size
    columns = (Column(view(record.tables + i * size * 8, (size,), np.int64)) for i in range(record.count))
    return tuple(int(column.rows) for column in columns)


def summing(terms: int) -> float:
    """How much of the sum of their magnitudes rounding may make of a sum of terms, in units of the last place.

    Roundings are as good as independent: 8 standard deviations. Terms that are alike round alike as long as the sum is
    between the same powers of two, which makes at most a fifth of what n roundings that are all the worst would make.
    """
    return float(min(terms, max(8.0 * terms**0.5, terms / 5.0)))


@dataclass
class Output:
    """Numbers that a call has to write.

    Attributes
    ----------
    name : str
        What they are, for a message.
    memory : array, (rows, panels, P) or (rows, columns)
        Where they lie.
    must, bound : array, (rows, lanes)
    row, lane : int
        Where the first of them stands in what `name` says.
    lanes : array of bool, optional
        Which columns are to be written; the others stay as they are.
    reads : bool
        Whether the call reads what stands there before.
    poisoned : bool
        Whether `POISON` stood there before the call.
    """

    name: str
    memory: Array
    must: Array
    bound: Array
    row: int = 0
    lane: int = 0
    lanes: Array | None = None
    reads: bool = False
    poisoned: bool = False

    def chosen(self) -> Array:
        """Which lanes of each panel are to be written."""
        shape = self.memory.shape[1:]
        return np.ones(shape, bool) if self.lanes is None else self.lanes.reshape(shape)

    def poison(self) -> None:
        """Put bits there that no kernel computes, so that what is left out is seen."""
        self._bits()[:, self.chosen()] = POISON[self.memory.itemsize]
        self.poisoned = True

    def _bits(self) -> Array:
        return self.memory.view(f"u{self.memory.itemsize}")

    def difference(self) -> tuple[Place, float, float] | None:
        """Where the first number stands that is not what it must be, what it must be, and what it is."""
        got = natural(self.memory)
        bad = beyond(got, self.must, self.bound, self.memory.dtype)
        if self.poisoned:
            bad = bad | (self._bits() == POISON[self.memory.itemsize]).reshape(bad.shape)
        if self.lanes is not None:
            bad = bad & self.lanes
        if not bad.any():
            return None
        row, lane = (int(i) for i in np.argwhere(bad)[0])
        must = np.broadcast_to(self.must, got.shape)
        return (row + self.row, lane + self.lane), float(must[row, lane]), float(got[row, lane])


def beyond(got: Array, must: Array, bound: Array, dtype: Any) -> Array:
    """Which numbers are further from what they must be than rounding explains.

    Where what must be, or what is computed on the way to it, does not fit the reals, what is not finite is right too,
    but an infinity of the other sign only where rounding may change the sign.
    """
    info = np.finfo(dtype)
    error = np.abs(got - must)
    near = (error <= bound + float(info.tiny)) | (got == must)
    fits = np.isfinite(must) & (np.abs(must) + bound < 0.99 * float(info.max))
    other = np.isinf(got) & (np.abs(must) > bound) & (np.sign(got) != np.sign(must))
    return np.asarray(np.where(fits, ~near, (np.isfinite(got) & ~near) | other))
