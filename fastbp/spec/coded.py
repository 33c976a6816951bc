"""Rows of which some columns are kept as codes: what compiled code expands batch by batch, and nobody else has to.

One-hot columns of thousands of categories are nearly all zeros. Rows in which a code stands for them take four bytes a
column of the table; a gather writes the zeros and the ones of a batch into its buffer, so the network, its parameters
and every bit are those of the rows as they would be in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.records import Column

Array = NDArray[Any]


@dataclass(frozen=True)
class Coded:
    """Rows of numbers and codes, which stand for rows of more columns.

    Parameters
    ----------
    narrow : array, shape (rows, columns)
        In C order.
    counts : tuple of int
        For each column the number of categories, or 0 if it is a number. A code c from 1 on stands for as many columns,
        which are 0 but for a 1 in column c - 1; 0 stands for zeros only.
    """

    narrow: Array
    counts: tuple[int, ...]

    ndim = 2

    def __len__(self) -> int:
        return len(self.narrow)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and columns in full."""
        return len(self.narrow), sum(max(count, 1) for count in self.counts)

    @property
    def dtype(self) -> np.dtype[Any]:
        found: np.dtype[Any] = self.narrow.dtype
        return found

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.narrow.nbytes

    def __getitem__(self, rows: Any) -> Coded:
        """Some of the rows: a slice, or an array of their numbers."""
        return Coded(np.ascontiguousarray(self.narrow[rows]), self.counts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The rows in full."""
        out = np.zeros(self.shape, self.dtype if dtype is None else dtype)
        at = 0
        for source, count in enumerate(self.counts):
            x = self.narrow[:, source]
            if count:
                rows = np.flatnonzero(x)
                out[rows, at + x[rows].astype(np.int64) - 1] = 1
            else:
                out[:, at] = x
            at += max(count, 1)
        return out

    def column(self, number: int) -> Array:
        """One of the columns in full that is no code."""
        places = np.cumsum([0, *(max(count, 1) for count in self.counts)]).tolist()
        return self.narrow[:, places.index(number)]

    def sources(self, places: Sequence[int]) -> list[int]:
        """The columns as they are kept in which some of those in full are."""
        kept = np.repeat(np.arange(len(self.counts)), np.maximum(self.counts, 1))
        return sorted(set(kept[places].tolist()))

    @cached_property
    def table(self) -> Array:
        """A `Column` record for each column, as a gather reads them."""
        return np.stack([column.words for column in columns_of(self.counts)])


def columns_of(counts: tuple[int, ...]) -> list[Column]:
    """A record for each column of rows with codes."""
    found, at = [], 0
    for source, count in enumerate(counts):
        found.append(Column(source=source, target=at, rows=count))
        at += max(count, 1)
    return found
