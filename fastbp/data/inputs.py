"""From a frame to the matrix a network takes: fitted on training rows, stored with the model, applied to raw tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.categories import Category, settle
from fastbp.data.dates import Dates
from fastbp.data.frame import Frame
from fastbp.data.numbers import Numbers
from fastbp.data.shards import room
from fastbp.data.stored import Stored
from fastbp.data.unseen import Unseen
from fastbp.data.words import Words
from fastbp.errors import DataError
from fastbp.spec.coded import Coded

Array = NDArray[Any]
Encoding = Numbers | Category | Dates | Words
KINDS: dict[str, Any] = {kind.__name__.lower(): kind for kind in (Numbers, Category, Dates, Words)}


@dataclass
class Inputs:
    """All of a network's inputs, in the order of its columns."""

    parts: list[Encoding] = field(default_factory=list)

    def fit(self, frame: Frame) -> None:
        """Fit scales, fillings and categories to training rows."""
        for part in self.parts:
            part.fit(frame)
        settle(self.categories, len(frame))
        if self.width == 0:
            raise DataError(f"{frame.origin}: there must be a column to predict from")

    @property
    def categories(self) -> list[Category]:
        """Those that are columns of categories."""
        return [part for part in self.parts if isinstance(part, Category)]

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return sum(part.width for part in self.parts)

    def embeddings(self) -> dict[int, tuple[int, int]]:
        """Column -> (categories, numbers in a row), for `fb.Embedding`."""
        out, at = {}, 0
        for part in self.parts:
            if isinstance(part, Category) and part.encode == "embedding":
                assert part.size is not None
                out[at] = (part.count + 1, part.size)
            at += part.width
        return out

    def numbers(self) -> list[int]:
        """The columns that are numbers, of dates too: no categories, words or indicators."""
        out: list[int] = []
        at = 0
        for part in self.parts:
            if isinstance(part, Numbers):
                out += range(at, at + len(part.fill))
            elif isinstance(part, Dates):
                out += range(at, at + part.width - part.hole)
            at += part.width
        return out

    def chunks(self) -> list[int]:
        """How many columns stand for each of the table's: all of its categories, or one number."""
        of = ([part.width] if isinstance(part, Category) else [1] * part.width for part in self.parts)
        return [width for found in of for width in found if width]

    def matrix(self, frame: Frame, dtype: Any = np.float32, unseen: list[Unseen] | None = None) -> Array | Coded:
        """The network's input matrix, where codes stand for columns of many categories.

        `unseen` gets what training did not see.
        """
        if len(self.parts) == 1 and isinstance(self.parts[0], Numbers):
            found = self.parts[0].as_it_stands(frame, dtype)
            if found is not None:
                return found
        spans = [part.span if isinstance(part, Category) else 0 for part in self.parts]
        counts: list[int] = []
        for part, span in zip(self.parts, spans, strict=True):
            counts += [span] if span else [0] * part.width
        out = room((len(frame), len(counts)), dtype)
        at = 0
        for part, span in zip(self.parts, spans, strict=True):
            width = 1 if span else part.width
            new = part.apply(frame, out[:, at : at + width])
            if new is not None and unseen is not None:
                unseen.append(new)
            at += width
        return Coded(out, tuple(counts)) if any(spans) else out

    def to_data(self) -> list[dict[str, Any]]:
        return [{"kind": type(part).__name__.lower(), **part.to_data()} for part in self.parts]

    @classmethod
    def from_data(cls, data: Stored) -> Inputs:
        """From the result of `to_data`, as stored in a file."""
        parts: dict[str | None, Encoding] = {}
        for item in data.items():
            said = item.value.get("kind") if isinstance(item.value, dict) else None
            kind = item.keys("kind")["kind"] if said is None else Stored(said, f"{item.where}.kind")
            part = KINDS[kind.one_of(tuple(KINDS))].from_data(item)
            if part.name in parts:
                raise Stored(part.name, f"{item.where}.name").fail("differ from those before it")
            parts[part.name] = part
        return cls(list(parts.values()))
