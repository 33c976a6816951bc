"""Columns of categories.

A value becomes a code: 0 if it is missing, then 1, 2, ... for those that training saw, and one more for all that it saw
seldom, if there are such. Values that it did not see have the code of these, or 0 if there are none. One-hot, a code c
is a 1 in column c - 1, and 0 all zeros; for an embedding it is a row of a table. `unseen.py` says what is the same.

One-hot columns may be scaled robustly, as columns of numbers are (`numbers.py`). Two categories then are one column, 1
and -1, and 0 where the value is missing, before it is scaled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.data.stored import Stored
from fastbp.data.unseen import Keys, Unseen, by_value
from fastbp.errors import DataWarning, tell, visible

Array = NDArray[Any]
ENCODINGS = ("one_hot", "embedding")
ASKED = ("auto", *ENCODINGS)
SCALES = ("none", "robust")  # of one-hot columns
FEW = 8  # categories whose one-hot columns are never many, and are kept in full
MOST = 50  # categories that `auto` encodes one-hot, in however many rows
MANY = 0.1  # one-hot columns a training row, above which they are said, and `auto` learns tables instead


@dataclass
class Category:
    """Encoding of one column of categories: "one_hot", or "embedding" with rows of `size`; "auto" until `settle`.

    Attributes
    ----------
    values : list of str
        Those of at least `min_frequency` training rows.
    rare : list of str
        The others that training saw, which are one category; of older versions none, as they were like unseen ones.
    unseen : float, or None
        The share of new rows of the same table whose value is among neither: of training rows that are the only one
        with their value. None: an older version trained.
    scale : {"none", "robust"}
        Of one-hot columns.
    levels : list of lists of float
        Where these are scaled, for each column the number of other categories and of its own; of two categories the
        numbers of a missing value, of the first and of the second.
    most : int or None
        The most categories that "auto" encodes one-hot; None: as all columns together allow.
    """

    name: str
    encode: str
    min_frequency: int = 1
    size: int | None = None
    values: list[str] = field(default_factory=list)
    rare: list[str] = field(default_factory=list)
    unseen: float | None = None
    scale: str = "none"
    levels: list[list[float]] = field(default_factory=list)
    most: int | None = None

    def fit(self, frame: Frame) -> None:
        texts = [value for value in frame.texts(self.name).tolist() if value is not None]
        self.fit_counts(Counter(texts), len(frame))

    def fit_counts(self, counts: Counter[str], rows: int) -> None:
        """Fit to how often each text is there in so many training rows."""
        seen = by_value(counts)
        self.values = sorted(value for value, count in seen.items() if count >= self.min_frequency)
        self.rare = sorted(value for value, count in seen.items() if count < self.min_frequency)
        self.unseen = sum(count == 1 for count in seen.values()) / max(1, rows)
        if self.size is None:
            self.size = size_of(self.count)
        if self.encode == "auto" and self.most is not None:
            self.encode = "one_hot" if self.count <= self.most else "embedding"
        if self.scale != "none":
            rest = sum(seen[value] for value in self.rare)
            self._scale([seen[value] for value in self.values] + [rest] * bool(self.rare), rows)

    def _scale(self, counts: list[int], rows: int) -> None:
        """Fit the numbers of scaled columns to the number of rows of each category."""
        if len(counts) == 2:
            first, second = counts
            self.levels = [_robust([-1.0, 0.0, 1.0], [second, rows - first - second, first], [0.0, 1.0, -1.0])]
        else:
            self.levels = [_robust([0.0, 1.0], [rows - count, count], [0.0, 1.0]) for count in counts]

    @property
    def _scaled(self) -> bool:
        return self.scale != "none" and self.encode == "one_hot"

    @property
    def count(self) -> int:
        """Number of categories."""
        return len(self.values) + bool(self.rare)

    @property
    def width(self) -> int:
        """Number of columns it becomes."""
        return self.count if self.encode == "one_hot" and not (self._scaled and self.count == 2) else 1

    @property
    def span(self) -> int:
        """How many columns its code stands for while rows are kept; 0 where each is kept."""
        return self.count if self.encode == "one_hot" and self.count > FEW and not self._scaled else 0

    def apply(self, frame: Frame, out: Array) -> Unseen | None:
        """Write its encoded columns, or its codes to a single one; what was not seen in training is counted."""
        key = Keys([*self.values, *self.rare])
        place: dict[str, int] = {}
        for i, value in enumerate(self.values):
            place.setdefault(key(value), i + 1)
        for value in self.rare:
            place.setdefault(key(value), self.count)
        texts = frame.texts(self.name).tolist()
        code = {value: 0 if value is None else place.get(key(value), -1) for value in set(texts)}
        codes = np.array([code[value] for value in texts], np.int64)
        new = np.flatnonzero(codes < 0)
        codes[new] = self.count if self.rare else 0
        if self.encode == "embedding" or (self.span and out.shape[1] == 1):
            out[:, 0] = codes
        elif self._scaled and self.count == 2:
            out[:, 0] = np.array(self.levels[0])[codes]
        elif self._scaled:
            off, on = np.array(self.levels).reshape(-1, 2).T
            rows = np.flatnonzero(codes)
            out[...] = off
            out[rows, codes[rows] - 1] = on[codes[rows] - 1]
        else:
            out[...] = 0
            rows = np.flatnonzero(codes)
            out[rows, codes[rows] - 1] = 1
        if not len(new):
            return None
        row = int(new[0])
        return Unseen(self.name, len(new), len(codes), texts[row], frame.place(row), self.values, self.unseen)

    def to_data(self) -> dict[str, Any]:
        left_out = {"most"} if self._scaled else {"most", "scale", "levels"}
        return {key.name: getattr(self, key.name) for key in fields(self) if key.name not in left_out}

    @classmethod
    def from_data(cls, data: Stored) -> Category:
        """From the result of `to_data`, as stored in a file.

        Older ones have no `unseen`, or the least frequency as `rare`, and no rare category.
        """
        names = [f.name for f in fields(cls) if f.name != "most"]
        absent: dict[str, Any] = {"unseen": None, "min_frequency": None, "scale": "none", "levels": []}
        found = data.keys("kind", *names, absent=absent)
        encode = found["encode"].one_of(ENCODINGS)
        size = None if found["size"].value is None and encode == "one_hot" else found["size"].whole()
        unseen = None if found["unseen"].value is None else found["unseen"].share()
        old = found["min_frequency"].value is None
        frequency = found["rare" if old else "min_frequency"].whole()
        values, rare = found["values"].texts(), [] if old else found["rare"].texts()
        known = set(values)
        both = next((i for i, value in enumerate(rare) if value in known), None)
        if both is not None:
            raise found["rare"].items()[both].fail(f"be none of `{found['values'].where}`")
        out = cls(found["name"].text(), encode, frequency, size, values, rare, unseen)
        out.scale = found["scale"].one_of(SCALES)
        wide = 3 if out.count == 2 else 2
        out.levels = [level.numbers(wide).tolist() for level in found["levels"].items()]
        if len(out.levels) != (out.width if out._scaled else 0):
            raise found["levels"].fail(f"have a list for each of {out.width} columns, if `scale` is not `none`")
        return out


def _robust(values: list[float], counts: list[int], wanted: list[float]) -> list[float]:
    """What numbers become whose column has so many rows of each of these rising values."""
    ends, last = np.cumsum(counts), sum(counts) - 1

    def quantile(q: float) -> float:
        low = int(q * last)
        below, above = (values[int(np.searchsorted(ends, at, side="right"))] for at in (low, min(low + 1, last)))
        return below + (above - below) * (q * last - low)

    there = [value for value, count in zip(values, counts, strict=True) if count]
    first, center, third = map(quantile, (0.25, 0.5, 0.75))
    spread = (third - first) or (there[-1] - there[0]) / 2.0 or 1.0
    c = (np.array(wanted) - center) / spread * (there[0] < there[-1])
    found: list[float] = (c / np.sqrt(1.0 + np.square(c / 3.0))).tolist()
    return found


INSTEAD = (
    "`encode: auto` learns a table where a column has many, `min_frequency` joins rare ones, and type `ignore`"
    " leaves a column out"
)


def encodings_of(counts: Mapping[str, int], rows: int, others: int = 0) -> dict[str, str]:
    """What `auto` makes of columns of so many categories each, beside `others` one-hot columns, in `rows` to train on.

    Those of few categories are one-hot. So are longer ones, the shortest first, while all together are not many.

    Examples
    --------
    >>> encodings_of({"a": 8, "b": 9}, 20), encodings_of({"a": 50, "b": 51}, 9000)
    ({'a': 'one_hot', 'b': 'embedding'}, {'a': 'one_hot', 'b': 'embedding'})
    >>> encodings_of({"a": 12, "b": 10, "c": 3}, 200), encodings_of({"a": 12, "b": 10, "c": 3}, 200, others=9)
    ({'c': 'one_hot', 'b': 'one_hot', 'a': 'embedding'}, {'c': 'one_hot', 'b': 'embedding', 'a': 'embedding'})
    """
    found: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: counts[name]):
        fits = counts[name] <= FEW or (counts[name] <= MOST and others + counts[name] <= MANY * rows)
        found[name] = "one_hot" if fits else "embedding"
        others += counts[name] if fits else 0
    return found


def settle(parts: Sequence[Category], rows: int) -> None:
    """Decide how those of "auto" are encoded, all columns together, once each is fitted to so many rows."""
    others = sum(part.count for part in parts if part.encode == "one_hot")
    found = encodings_of({part.name: part.count for part in parts if part.encode == "auto"}, rows, others)
    for part in parts:
        part.encode = found.get(part.name, part.encode)


def size_of(count: int) -> int:
    """Numbers in a row of the learned table of so many categories."""
    return min(50, (count + 2) // 2)


def say_many(origin: str, rows: int, parts: Iterable[Category], hint: str = INSTEAD) -> None:
    """Say that one-hot columns of categories are many for so many training rows."""
    counts = {part.name: part.count for part in parts if part.encode == "one_hot"}
    total = sum(counts.values())
    long = sorted((name for name in counts if counts[name] > FEW), key=lambda name: -counts[name])
    if not long or total <= MANY * rows:
        return
    shown = ", ".join(f"`{visible(name)}` {counts[name]:,}" for name in long[:5]) + ", ..." * (len(long) > 5)
    tell(
        DataWarning(
            f"{origin}: categories make {total:,} one-hot columns for {rows:,} training rows: {shown}",
            hint,
        )
    )
