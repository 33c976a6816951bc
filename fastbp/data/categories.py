"""Columns of categories.

A category is one-hot encoded over the values seen in training, all zeros for others; or, for an embedding, it becomes a
code: 0 for unseen and missing values, then 1, 2, ... What is the same value is said in `unseen.py`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.data.stored import Stored
from fastbp.data.unseen import Keys, Unseen, by_value

Array = NDArray[Any]
ENCODINGS = ("one_hot", "embedding")


@dataclass
class Category:
    """Encoding of one column of categories: "one_hot", or "embedding" with rows of `size`.

    Attributes
    ----------
    values : list of str
        Those seen at least `rare` times in training.
    unseen : float, or None
        The share of new rows of the same table whose value is not among these: of training rows that are the only one
        with their value, or one of `rare` at most. None: an older version trained.
    """

    name: str
    encode: str
    rare: int = 1
    size: int | None = None
    values: list[str] = field(default_factory=list)
    unseen: float | None = None

    def fit(self, frame: Frame) -> None:
        texts = [value for value in frame.texts(self.name).tolist() if value is not None]
        seen = by_value(Counter(texts))
        self.values = sorted(value for value, count in seen.items() if count >= self.rare)
        self.unseen = sum(count for count in seen.values() if count <= self.rare) / max(1, len(frame))
        if self.size is None:
            self.size = min(50, (len(self.values) + 2) // 2)

    @property
    def width(self) -> int:
        """Number of columns it becomes."""
        return len(self.values) if self.encode == "one_hot" else 1

    def apply(self, frame: Frame, out: Array) -> Unseen | None:
        """Write its encoded columns; what was not seen in training is counted."""
        key = Keys(self.values)
        place: dict[str, int] = {}
        for i, value in enumerate(self.values):
            place.setdefault(key(value), i + 1)
        texts = frame.texts(self.name).tolist()
        code = {value: 0 if value is None else place.get(key(value), -1) for value in set(texts)}
        codes = np.array([code[value] for value in texts], np.int64)
        new = np.flatnonzero(codes < 0)
        codes[new] = 0
        if self.encode == "embedding":
            out[:, 0] = codes
        else:
            out[...] = 0
            rows = np.flatnonzero(codes)
            out[rows, codes[rows] - 1] = 1
        if not len(new):
            return None
        row = int(new[0])
        return Unseen(self.name, len(new), len(codes), texts[row], frame.place(row), self.values, self.unseen)

    def to_data(self) -> dict[str, Any]:
        return {key.name: getattr(self, key.name) for key in fields(self)}

    @classmethod
    def from_data(cls, data: Stored) -> Category:
        """From the result of `to_data`, as stored in a file; older ones have no `unseen`."""
        found = data.keys("kind", *(f.name for f in fields(cls)), absent={"unseen": None})
        encode = found["encode"].one_of(ENCODINGS)
        size = None if found["size"].value is None and encode == "one_hot" else found["size"].whole()
        unseen = None if found["unseen"].value is None else found["unseen"].share()
        return cls(found["name"].text(), encode, found["rare"].whole(), size, found["values"].texts(), unseen)
