"""Columns of categories.

A category is one-hot encoded over the values seen in training, all zeros for others; or, for an embedding, it becomes a
code: 0 for unseen and missing values, then 1, 2, ...
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.data.stored import Stored

Array = NDArray[Any]
ENCODINGS = ("one_hot", "embedding")


@dataclass
class Category:
    """Encoding of one column of categories: "one_hot", or "embedding" with rows of `size`."""

    name: str
    encode: str
    rare: int = 1
    size: int | None = None
    values: list[str] = field(default_factory=list)

    def fit(self, frame: Frame) -> None:
        seen: dict[str, int] = {}
        for value in frame.texts(self.name):
            if value is not None:
                seen[value] = seen.get(value, 0) + 1
        self.values = sorted(value for value, count in seen.items() if count >= self.rare)
        if self.size is None:
            self.size = min(50, (len(self.values) + 2) // 2)

    @property
    def width(self) -> int:
        """Number of columns it becomes."""
        return len(self.values) if self.encode == "one_hot" else 1

    def apply(self, frame: Frame, out: Array) -> None:
        """Write its encoded columns."""
        place = {value: i + 1 for i, value in enumerate(self.values)}
        codes = np.array([place.get(value, 0) for value in frame.texts(self.name)], np.int64)
        if self.encode == "embedding":
            out[:, 0] = codes
            return
        out[...] = 0
        rows = np.flatnonzero(codes)
        out[rows, codes[rows] - 1] = 1

    def to_data(self) -> dict[str, Any]:
        return {"name": self.name, "encode": self.encode, "rare": self.rare, "size": self.size, "values": self.values}

    @classmethod
    def from_data(cls, data: Stored) -> Category:
        """From the result of `to_data`, as stored in a file."""
        found = data.keys("kind", *(f.name for f in fields(cls)))
        encode = found["encode"].one_of(ENCODINGS)
        size = None if found["size"].value is None and encode == "one_hot" else found["size"].whole()
        return cls(found["name"].text(), encode, found["rare"].whole(), size, found["values"].texts())
