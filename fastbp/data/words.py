"""Columns of free text: how often words occur, in a fixed number of columns.

A word is a run of letters, digits and apostrophes, in lower case; its column is CRC-32 of its UTF-8 modulo `size`, so
no list of words is stored and a new word has a column too. With c the number of words of a text that share a column:

    x = r w (1 + log c) / ‖w (1 + log c)‖        w = log((1 + n) / (1 + rows with it)) + 1 of n training rows, r = 4

so a text counts as much as sixteen standardised numbers, however long it is. A missing text is all zeros.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.data.stored import Stored
from fastbp.numerics.exact import log

Array = NDArray[Any]
SIZE = 256
NORM = 4.0
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


@lru_cache(1 << 16)
def place(word: str, size: int) -> int:
    """The column of a word."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass")) % size


@lru_cache(1 << 16)
def _damped(count: int) -> float:
    """1 + log c, with the same bits on every machine."""
    return 1.0 + float(log(count))


@dataclass
class Words:
    """Encoding of one column of free text; `weights` has w for each of its `size` columns."""

    name: str
    size: int = SIZE
    weights: Array = field(default_factory=lambda: np.zeros(0))

    def fit(self, frame: Frame) -> None:
        """Count the training rows that have words of each column."""
        rows = np.zeros(self.size)
        for _, counts in self._counted(frame):
            rows[list(counts)] += 1.0
        self.weights = log((1.0 + len(frame)) / (1.0 + rows)) + 1.0

    def _counted(self, frame: Frame) -> Iterator[tuple[int, Counter[int]]]:
        """(row, column -> words) of each row that has words."""
        for row, text in enumerate(frame.texts(self.name).tolist()):
            counts = Counter(place(word, self.size) for word in _WORD.findall((text or "").lower()))
            if counts:
                yield row, counts

    @property
    def width(self) -> int:
        """Number of columns it becomes."""
        return self.size

    def apply(self, frame: Frame, out: Array) -> None:
        """Write its encoded columns."""
        out[...] = 0
        for row, counts in self._counted(frame):
            columns = sorted(counts)  # so that a sum does not depend on the order of words
            x = self.weights[columns] * [_damped(counts[column]) for column in columns]
            out[row, columns] = NORM * x / np.sqrt(np.square(x).sum())

    def to_data(self) -> dict[str, Any]:
        return {"name": self.name, "size": self.size, "weights": self.weights.tolist()}

    @classmethod
    def from_data(cls, data: Stored) -> Words:
        """From the result of `to_data`, as stored in a file."""
        found = data.keys("kind", *(f.name for f in fields(cls)))
        size = found["size"].whole()
        return cls(found["name"].text(), size, found["weights"].positive(size))
