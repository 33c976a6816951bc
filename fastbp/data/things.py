"""Columns of a table whose whole numbers name things: a word of their name says so, or what they tell of the targets.

`names.py` has what it means to tell; here is which columns are asked, and what is told before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Column, Frame
from fastbp.data.goal import Goal
from fastbp.data.kinds import FEW, TIMES, Kind, words_of
from fastbp.data.names import AGAIN, names_among

Array = NDArray[Any]
CODES = frozenset(("code", "codes", "guid", "id", "ids", "plz", "postcode", "uid", "uuid", "zip", "zipcode"))
# Words of columns whose numbers name nothing, though one year may be unlike its neighbours.
SINGLE = ("age", "day", "hour", "minute", "month", "quarter", "week", "year", "yr")
MEASURES = TIMES | {word + end for word in SINGLE for end in ("", "s")}


def nearly_names(column: Column) -> bool:
    """Whether texts have more values than half of the rows, so that most say nothing of another row."""
    values = {v for v in column.values.tolist() if v is not None} if column.is_text else ()
    return len(values) > max(FEW, len(column.values) / 2)


def things_of(
    frame: Frame, kinds: Mapping[str, Kind], goal: Goal, ignored: Collection[str] = ()
) -> dict[str, tuple[float, float] | None]:
    """Columns of numbers that name things: what the same number and neighbouring ones tell, None if called so.

    What texts tell, but those that are `ignored`, and numbers whose column is called a name, is told by these.
    """
    columns = {name: frame.columns[name] for name, kind in kinds.items() if kind.name in ("number", "category")}
    numbers = {n: c.values for n, c in columns.items() if kinds[n].name == "number" and not c.is_text}
    called = [name for name in numbers if called_names(columns[name])]

    def categories() -> Iterator[Array]:
        for name, column in columns.items():
            if kinds[name].name == "category" and name not in ignored:
                codes: dict[str | None, int] = {}
                yield np.array([codes.setdefault(text, len(codes)) for text in frame.texts(name).tolist()])
            elif name in called:
                yield column.values

    asked = {n: x for n, x in numbers.items() if n not in called and not MEASURES & set(words_of(n))}
    return {**dict.fromkeys(called), **names_among(asked, categories(), goal)}


def called_names(column: Column) -> bool:
    """Whether a column of numbers is called a name of things, and its numbers are whole and come often enough."""
    there = column.values[np.isfinite(column.values)]
    whole = bool((there == np.floor(there)).all())
    return whole and bool(CODES & set(words_of(column.name))) and 2 < len(np.unique(there)) <= len(there) / AGAIN
