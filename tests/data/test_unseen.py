"""Values of categories: which are the same, which are new, and what comes of these."""

import numpy as np
import pytest

from fastbp.data.frame import Column, Frame
from fastbp.data.inputs import Category
from fastbp.data.unseen import FEW, Keys, Unseen, told
from fastbp.errors import DataError, DataWarning


def table(*values):
    return Frame(None, {"k": Column("k", np.array(values, object))}, "t.csv", np.arange(2, len(values) + 2))


def fitted(*values, **words):
    part = Category("k", "one_hot", **words)
    part.fit(table(*values))
    return part


@pytest.mark.parametrize(
    ("seen", "same", "other"),
    [
        (["10", "7"], ["10.0", "+10", "1e1", "010", " 10 ", "10."], ["10.5", "11", "ten", "1_0"]),
        (["2.5"], ["2.50", "25e-1"], ["2", "2,5"]),
        (["9007199254740993"], ["9007199254740993.0"], ["9007199254740992"]),
        (["02301", "2301"], [" 02301 "], ["2301.0", "002301"]),
        (["True", "False"], ["true", "TRUE", "1", "1.0"], ["t", "yes", "2"]),
        (["0", "1"], ["0.0", "False", "false", "FALSE"], ["f", "no"]),
        (["t", "f"], ["t "], ["T", "true", "1"]),
        (["10", "B"], ["10.0"], ["b"]),
        (["nan-5", "inf"], [], ["Inf", "infinity"]),
    ],
)
def test_the_first_value_is_the_same_as_some_and_not_as_others(seen, same, other):
    key = Keys(seen)
    assert {key(value) for value in same} <= {key(seen[0])}
    assert key(seen[0]) not in {key(value) for value in other}


def test_numbers_with_zeros_in_front_are_codes():
    part = fitted("02301", "2301", "10001", "10001")
    assert part.values == ["02301", "10001", "2301"]
    out = np.zeros((3, 3))
    new = part.apply(table("2301", "02301", "10001.0"), out)
    assert out.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert (new.count, new.example) == (1, "10001.0")


def test_values_that_are_the_same_are_one_category():
    part = fitted("10", "10.0", " 7", "7", None)
    assert part.values == ["10", "7"]
    out = np.zeros((3, 2))
    assert part.apply(table("10.00", None, "7"), out) is None
    assert out.tolist() == [[1, 0], [0, 0], [0, 1]]


@pytest.mark.parametrize("frequency", [1, 2, 3])
def test_the_share_that_is_expected_is_that_of_values_that_one_row_less_would_not_have(frequency):
    part = fitted("a", "b", "c", "c", "d", "d", "d", None, None, None, min_frequency=frequency)
    assert part.unseen == pytest.approx(0.2)


@pytest.mark.parametrize("encode", ["one_hot", "embedding"])
def test_what_is_new_goes_to_the_rare_values_and_is_counted_while_these_are_not(encode):
    part = Category("k", encode, 2)
    part.fit(table("a", "a", "b", "7", None, "c", "c"))
    assert (part.values, part.rare) == (["a", "c"], ["7", "b"])
    out = np.full((6, part.width), 9.0)
    new = part.apply(table("b", "x", "7.0", None, "a", "y"), out)
    assert (new.count, new.rows, new.example, new.place) == (2, 6, "x", "t.csv:3: ")
    assert (out[[1, 2, 5]] == out[0]).all()
    assert not out[3].any()
    assert out[0].tolist() == ([0, 0, 1] if encode == "one_hot" else [3])


@pytest.mark.parametrize("encode", ["one_hot", "embedding"])
def test_what_is_new_is_counted_with_its_first_place(encode):
    part = Category("k", encode)
    part.fit(table("a", "b"))
    out = np.full((5, part.width), 9.0)
    new = part.apply(table("a", None, "x", "y", "x"), out)
    assert (new.column, new.count, new.rows, new.example, new.place) == ("k", 3, 5, "x", "t.csv:4: ")
    assert not out[1:].any()


def new(count, rows, expected=0.1):
    return Unseen("k", count, rows, "x\n", "t.csv:7: ", ["a", "b", "c", "d", "e", "f"], expected)


@pytest.mark.parametrize("case", [new(30, 100), new(FEW - 1, FEW - 1), new(100, 100, None)], ids=["at", "few", "old"])
def test_what_is_not_more_than_expected_is_said(case):
    with pytest.warns(DataWarning) as said:
        told([case], "t.csv", 0.2)
    assert [str(w.message) for w in said] == [
        f"t.csv: column `k` has values that training did not see in {case.count} of {case.rows} rows"
        f" ({case.count / case.rows:.1%}), such as `x\\n`"
    ]


@pytest.mark.parametrize("case", [new(31, 100), new(FEW, FEW)], ids=["above", "all"])
def test_more_than_expected_is_refused(case):
    with pytest.raises(DataError) as caught:
        told([case], "t.csv", 0.2)
    assert str(caught.value) == (
        "t.csv: column `k` must have values that training saw in all rows but 30.0% at most, got others in"
        f" {case.count / case.rows:.1%}, such as `x\\n`\n"
        "hint: training saw `a`, `b`, `c`, `d`, `e`, ...; `data.unseen` in its configuration sets the limit"
    )


def test_any_is_refused_where_that_is_asked_for():
    with pytest.raises(DataError) as caught:
        told([new(1, 1000)], "t.csv", 0.2, strict=True)
    assert str(caught.value) == "t.csv:7: column `k` must have a value that training saw, got `x\\n`"
