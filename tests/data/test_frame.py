"""Tables in memory: numbers and texts of a column, and where a row stands."""

import numpy as np
import pytest

from fastbp.data.frame import Column, Frame, as_numbers, as_texts, joined
from fastbp.errors import DataError


def frame(origin, lines=None, **columns):
    found = {n: Column(n, np.array(v, object if isinstance(v[0], str) else float)) for n, v in columns.items()}
    return Frame(None, found, origin, lines)


@pytest.mark.parametrize(
    ("number", "text"),
    [(1.0, "1"), (-0.0, "0"), (2.5, "2.5"), (1e16, "10000000000000000"), (np.nan, None), (np.inf, "inf")],
)
def test_numbers_as_texts(number, text):
    assert as_texts(Column("a", np.array([number]))).tolist() == [text]


@pytest.mark.parametrize("texts", [[], [None], ["1", None, " 2.5 "], ["inf", "-1e5"]], ids=str)
def test_texts_as_numbers(texts):
    numbers, bad = as_numbers(np.array(texts, object))
    assert bad == -1
    assert np.array_equal(numbers, [np.nan if t is None else float(t) for t in texts], equal_nan=True)


@pytest.mark.parametrize("text", ["a", "1_0", "1 2", "--1"])
def test_the_first_text_that_is_no_number_is_found(text):
    assert as_numbers(np.array(["1", None, text, "b"], object))[1] == 2


def test_rows_know_their_place_after_they_are_taken_twice():
    lines = np.array([2, 3, 7, 9])
    t = frame("t.csv", lines, a=[1, 2, 3, 4])
    assert [t.place(i) for i in (0, 3)] == ["t.csv:2: ", "t.csv:9: "]
    some = t.take(np.array([3, 1, 2])).take(np.array([2, 0]))
    assert some.columns["a"].values.tolist() == [3, 4]
    assert [some.place(i) for i in (0, 1)] == ["t.csv:7: ", "t.csv:9: "]


def test_rows_of_several_files_know_their_file():
    parts = [frame("a.csv", np.array([2, 4]), a=[1, 2]), frame("b.npz", a=[3]), frame("c.npz", a=[4, 5])]
    whole = joined(parts)
    wanted = ["a.csv:2: ", "a.csv:4: ", "b.npz: row 0: ", "c.npz: row 0: ", "c.npz: row 1: "]
    assert [whole.place(i) for i in range(5)] == wanted
    turned = np.arange(5)[::-1]
    assert [whole.take(turned).place(i) for i in range(5)] == wanted[::-1]
    assert whole.origin == "a.csv and 2 more"
    assert joined(parts[:1]) is parts[0]


def test_a_column_of_texts_in_one_file_is_texts_in_all():
    whole = joined([frame("a.csv", a=[1, 2.5]), frame("b.csv", a=["x", "3"])])
    assert whole.columns["a"].values.tolist() == ["1", "2.5", "x", "3"]


def test_a_missing_column_shows_those_that_are_there():
    t = frame("t.csv", **{f"c{i}": [1] for i in range(20)})
    with pytest.raises(DataError) as caught:
        t.numbers("zzz")
    shown = ", ".join(f"`c{i}`" for i in range(12))
    assert str(caught.value) == f"t.csv: there must be a column `zzz`, got {shown}, ..."
    assert len(Frame()) == 0
