"""Columns that alone tell the target."""

import numpy as np
import pytest

from fastbp.data import leaks
from fastbp.data.frame import Column, Frame
from fastbp.data.leaks import leaks_of

RNG = np.random.default_rng(0)
Y = RNG.normal(size=400)
CLASS = np.where(Y > 0.3, "yes", "no").astype(object)


def holes(values):
    out = np.array(values, object if isinstance(values[0], str) else np.float64)
    out[::7] = None if out.dtype.kind == "O" else np.nan
    return out


NUMBERS = {
    "a copy": (Y, True),
    "in other units": (-3.5 * Y + 2, True),
    "rounded": (Y.round(3), True),
    "its exponential": (np.exp(4 * Y), True),
    "with holes": (holes(Y), True),
    "nearly": (Y + RNG.normal(size=400) / 50, False),
    "its square": (np.square(Y), False),
    "its sign": (np.sign(Y), False),
    "constant": (np.ones(400), False),
    "in ten rows": (np.where(np.arange(400) < 10, Y, np.nan), False),
    "texts": (CLASS, False),
}
CLASSES = {
    "a copy": (CLASS, True),
    "other names": (np.where(CLASS == "yes", "j", "n").astype(object), True),
    "a finer one": (np.array([f"{c}{i % 3}" for i, c in enumerate(CLASS)], object), True),
    "as numbers": (np.where(CLASS == "yes", 7.0, 3.0), True),
    "with holes": (holes(CLASS), True),
    "as days": (np.where(CLASS == "yes", 7, 3).astype("datetime64[D]").astype("datetime64[us]"), True),
    "but for one": (np.where(np.arange(400) == 9, "no", CLASS).astype(object), bool(CLASS[9] == "no")),
    "a coarser one": (np.full(400, "x", object), False),
    "names of rows": (np.array([f"{c}{i}" for i, c in enumerate(CLASS)], object), False),
    "what decides": (Y, False),
}


@pytest.mark.parametrize(("values", "tells"), NUMBERS.values(), ids=NUMBERS)
def test_what_rises_or_falls_with_numbers_tells_them(values, tells):
    frame = Frame(None, {"x": Column("x", values), "y": Column("y", Y)})
    assert leaks_of(frame, ["x"], ["y"], "numbers") == ({"x": "y"} if tells else {})


@pytest.mark.parametrize(("values", "tells"), CLASSES.values(), ids=CLASSES)
def test_what_has_one_class_for_each_value_tells_classes(values, tells):
    frame = Frame(None, {"x": Column("x", values), "y": Column("y", CLASS)})
    assert leaks_of(frame, ["x"], ["y"], "classes") == ({"x": "y"} if tells else {})


def test_the_first_target_is_named_and_rows_are_looked_at_evenly(monkeypatch):
    labels = {name: Column(name, (bound < Y).astype(float)) for name, bound in (("a", 0.0), ("b", 1.0))}
    both = Column("both", (Y > 0.0) + 2.0 * (Y > 1.0))
    frame = Frame(
        None, {"x": Column("x", (Y > 1.0) * 5.0), "twin": Column("twin", (Y > 0.0) * 2.0), "both": both, **labels}
    )
    assert leaks_of(frame, ["x", "twin", "both"], ["a", "b"], "labels") == {"x": "b", "twin": "a", "both": "a"}
    monkeypatch.setattr(leaks, "MOST", 100)
    assert leaks_of(
        Frame(None, {"x": Column("x", np.where(np.arange(400) % 4, 0.0, Y)), "y": Column("y", Y)}),
        ["x"],
        ["y"],
        "numbers",
    ) == {"x": "y"}


def test_equal_numbers_share_their_rank():
    assert leaks._ranks(np.array([3.0, 1.0, 1.0, 9.0])).tolist() == [0.5, -1.0, -1.0, 1.5]
