"""Columns of a table whose whole numbers name things: a word of their name says so, or what they tell of the targets.

`names.py` has what it means to tell; here is which columns are asked, and what is told before.

Of rows that were drawn again and again, as for a bootstrap, each tells what its copies are, and any number of few rows
would name things. So if columns are found, copies are left out, and all are asked anew. Equal rows are copies if
those that are equal but for one of these columns are equal in that, too. Where little is known of a row, such as a shop
and whether something was sold, equal rows are of several shops without it, and tell what there is to tell.
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
from fastbp.numerics.philox import words

Array = NDArray[Any]
CODES = frozenset(("code", "codes", "guid", "id", "ids", "plz", "postcode", "uid", "uuid", "zip", "zipcode"))
# Words of columns whose numbers name nothing, though one year may be unlike its neighbours.
SINGLE = ("age", "day", "hour", "minute", "month", "quarter", "week", "year", "yr")
COPIES = 0.9  # of the different rows that are left without a column, from which equal ones are copies
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
    found = names_among(asked, categories(), goal)
    rows = _without_copies(frame, goal, found) if found else None
    if rows is not None:
        return things_of(frame.take(rows), kinds, goal.take(rows), ignored)
    return {**dict.fromkeys(called), **found}


def called_names(column: Column) -> bool:
    """Whether a column of numbers is called a name of things, and its numbers are whole and come often enough."""
    there = column.values[np.isfinite(column.values)]
    whole = bool((there == np.floor(there)).all())
    return whole and bool(CODES & set(words_of(column.name))) and 2 < len(np.unique(there)) <= len(there) / AGAIN


def _without_copies(frame: Frame, goal: Goal, found: Collection[str]) -> Array | None:
    """The first of equal rows each, where they are copies; None where all are different, or alike by nature."""
    columns = {name: _drawn(frame.columns[name].values, at) for at, name in enumerate(frame.columns)}
    y = goal.codes[:, None] if goal.codes is not None else np.asarray(goal.amounts)
    rows = np.zeros(len(y), np.uint64)  # sums of what is drawn for their values, so equal where they are
    for one in (*columns.values(), *(_drawn(target, len(columns) + at) for at, target in enumerate(y.T))):
        rows += one
    first = np.unique(rows, return_index=True)[1]
    if len(first) == len(rows):
        return None
    others = (len(np.unique(rows - columns[name])) for name in found)
    return np.sort(first) if any(count >= COPIES * len(first) for count in others) else None


def _drawn(values: Array, at: int) -> NDArray[np.uint64]:
    """64 random bits for each value of a column, the same for the same."""
    if values.dtype.kind == "O":
        codes: dict[str | None, int] = {}
        values = np.array([codes.setdefault(text, len(codes)) for text in values.tolist()])
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.nan, values.astype(np.float64) + 0.0)  # one NaN, one 0
    counter = np.zeros((4, len(values)), np.uint64)
    counter[0], counter[1] = np.ascontiguousarray(values).view(np.uint32).reshape(-1, 2).T
    counter[2] = at
    low, high = words(counter, (0, 0))[:2]
    return np.asarray(low | high << np.uint64(32))
