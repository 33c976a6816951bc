"""Which columns of a table name things: by a word, by what they tell, and not by copies of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastbp.data.frame import Column, Frame
from fastbp.data.goal import Goal
from fastbp.data.kinds import kinds_of
from fastbp.data.things import _drawn, things_of

Array = Any
ROWS = 2000
RNG = np.random.default_rng(5)
SHOP = RNG.integers(1, 101, ROWS).astype(float)
PRICE = RNG.normal(size=ROWS)
OWN = RNG.normal(size=101)[SHOP.astype(int)]
CITY = np.array(["Bern", "Oslo", None], object)[RNG.integers(3, size=ROWS)]
NOISE = RNG.normal(size=ROWS)


def table(columns: dict[str, Array], rows: Array) -> Frame:
    return Frame(None, {name: Column(name, values[rows]) for name, values in columns.items()}, "")


def amounts(y: Array) -> Goal:
    return Goal(y[:, None], None)


def classes(y: Array) -> Goal:
    codes = np.searchsorted(np.quantile(y, [0.3, 0.7]), y)
    return Goal(None, codes, ("a", "b", "c"), tuple(np.bincount(codes).tolist()))


def found(columns: dict[str, Array], goal: Goal, rows: Array) -> list[str]:
    frame = table(columns, rows)
    return list(things_of(frame, kinds_of(frame, frame.columns), goal.take(rows)))


ALL = np.arange(ROWS)
AGAIN = {
    "a bootstrap": RNG.integers(0, ROWS, ROWS),
    "all twice": np.repeat(ALL, 2),
    "some seven times": np.append(ALL, np.repeat(ALL[::5], 6)),
}


@pytest.mark.parametrize("made", [amounts, classes])
@pytest.mark.parametrize("again", AGAIN)
def test_copies_of_rows_make_no_names(made, again):
    """A number of few rows: that of a copy among them tells its target."""
    rare = RNG.integers(1, ROWS // 6, ROWS).astype(float)
    columns = {"rare": rare, "price": np.where(NOISE > 1.5, np.nan, PRICE), "city": CITY}
    goal = made(PRICE + NOISE)
    assert found(columns, goal, ALL) == []
    assert found(columns, goal, AGAIN[again]) == []


@pytest.mark.parametrize("made", [amounts, classes])
@pytest.mark.parametrize("again", AGAIN)
def test_what_names_things_does_so_beside_copies(made, again):
    columns = {"shop": SHOP, "price": PRICE, "city": CITY}
    for rows in (ALL, AGAIN[again]):
        assert found(columns, made(OWN + PRICE + NOISE), rows) == ["shop"]


def test_rows_of_which_little_is_known_are_no_copies_though_they_are_equal():
    """Without the shop they are equal to those of others."""
    for columns in ({"shop": SHOP}, {"shop": SHOP, "city": CITY}):
        assert found(columns, classes(OWN + NOISE), ALL) == ["shop"]


def test_the_targets_of_some_rows_are_those():
    goal = Goal(None, np.array([0, 2, -1, 2, 1]), ("a", "b", "c"), (1, 1, 2))
    taken = goal.take(np.array([0, 1, 2, 3]))
    assert (taken.codes.tolist(), taken.classes, taken.counts) == ([0, 2, -1, 2], ("a", "b", "c"), (1, 0, 2))
    assert amounts(PRICE).take(np.array([3, 1])).amounts.tolist() == [[PRICE[3]], [PRICE[1]]]


def test_equal_values_are_drawn_alike_and_those_of_other_columns_are_not():
    days = np.array(["2024-01-01", "2024-01-02", "2024-01-01", "NaT"], "datetime64[us]")
    odd = np.array([0x7FF8_0000_0000_0001], np.uint64).view(np.float64)[0]  # another NaN
    for values in (np.array([0.0, 1.0, -0.0, np.nan]), np.array(["a", "b", "a", None], object), days):
        drawn = _drawn(values, 3)
        assert drawn[0] == drawn[2]
        assert len(set(drawn.tolist())) == 3
        assert not set(drawn.tolist()) & set(_drawn(values, 4).tolist())
    assert _drawn(np.array([np.nan]), 0) == _drawn(np.array([odd]), 0)
    assert len(np.unique(_drawn(np.arange(1e5), 0))) == 1e5
