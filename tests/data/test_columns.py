"""Columns of texts: what becomes numbers, booleans and texts."""

import numpy as np
import pytest

from fastbp.data import columns
from fastbp.data.columns import MARKS, Reading, Style, column_of

NAN = np.nan


def column(*texts, piece=2, name="a", **words):
    pieces = [list(texts[i : i + piece]) for i in range(0, len(texts), piece)]
    return column_of(name, lambda: iter(pieces), Reading(**words))


NUMBERS = {
    "dollars": (["$2,972.89", "-$5", "$ 1", "12.5"], [2972.89, -5, 1, 12.5], ".", "$2,972.89"),
    "after": (["3 €", "1.200,50 €", "-4€"], [3, 1200.5, -4], ",", "3 €"),
    "per cent": (["20%", "5.5 %", "7"], [20, 5.5, 7], ".", "20%"),
    "thousands": (["1,200", "15", "1,234,567"], [1200, 15, 1234567], ".", "1,200"),
    "thousands by points": (["1.200.000", "15"], [1200000, 15], ",", "1.200.000"),
    "decimal commas": (["1,5", "2", "1,200"], [1.5, 2, 1.2], ",", "1,5"),
    "a fraction": (["0,125", "1,200"], [0.125, 1.2], ",", "0,125"),
    "both signs": (["1.200,5", "1.200"], [1200.5, 1200], ",", "1.200,5"),
    "spaces": (["1\u202f200,5", "12\u00a0345", "7"], [1200.5, 12345, 7], ",", "1\u202f200,5"),
    "apostrophes": (["1'200.50", "1'234'567"], [1200.5, 1234567], ".", "1'200.50"),
    "powers": (["1,5e3", "-2,5E-1"], [1500, -0.25], ",", "1,5e3"),
    "missing": (["$5", "NA", "", "?"], [5, NAN, NAN, NAN], ".", "$5"),
}


@pytest.mark.parametrize(("texts", "values", "sign", "example"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_as_people_write_them(texts, values, sign, example):
    found = column(*texts)
    assert np.array_equal(found.values, values, equal_nan=True)
    assert (found.style, found.example) == (Style(sign), example)


@pytest.mark.parametrize(
    "texts",
    [["1,5", "1.5"], ["1,2,3"], ["1,200 300"], ["$"], ["%5%5"], ["-$-5"], ["0,200,300"], ["1-2"], ["5 kg"]],
)
def test_what_no_decimal_sign_makes_numbers_is_texts(texts):
    assert column("7", *texts).values.tolist() == ["7", *texts]


def test_what_says_nothing_is_decided_by_the_file_and_by_who_knows():
    texts = ("1,200", "3,450")
    assert column(*texts).values.tolist() == [1200, 3450]
    semicolons = column_of("a", lambda: iter([list(texts)]), Reading().in_semicolons())
    assert semicolons.values.tolist() == [1.2, 3.45]
    assert column(*texts, decimal=",").values.tolist() == [1.2, 3.45]
    assert column(*texts, styles={"a": Style(",")}).values.tolist() == [1.2, 3.45]
    assert column("1.200", "3.450").values.tolist() == [1.2, 3.45]
    assert column("1.200", "3.450", decimal=",").values.tolist() == [1200, 3450]
    assert column("1.200", "3.450", styles={"a": Style(",")}).values.tolist() == [1200, 3450]
    assert column("1,5", decimal=".").values.tolist() == ["1,5"]


@pytest.mark.parametrize("mark", sorted(MARKS))
@pytest.mark.parametrize("change", [str, str.upper])
def test_marks_among_numbers_are_missing_ones_and_named(mark, change):
    found = column("1", change(mark), "2.5", f" {change(mark)} ", "3")
    assert np.array_equal(found.values, [1, NAN, 2.5, NAN, 3], equal_nan=True)
    assert (found.style, found.example) == (Style(".", (change(mark),)), "")


def test_marks_among_texts_and_mostly_marks_are_texts():
    assert column("1", "unknown", "x").values.tolist() == ["1", "unknown", "x"]
    assert column("1", "-", "-").values.tolist() == ["1", "-", "-"]
    assert not column("1", "-", "2", "-").is_text
    assert column("-", "-", "-").values.tolist() == ["-", "-", "-"]


def test_marks_of_training_and_of_settings_are_missing_whatever_they_are():
    texts = ("1", "k.A.", "k.A.", "k.A.")
    assert column(*texts).is_text
    wanted = [1, NAN, NAN, NAN]
    for words in ({"styles": {"a": Style(".", ("k.A.",))}}, {"missing": frozenset(["k.A."])}):
        assert np.array_equal(column(*texts, **words).values, wanted, equal_nan=True)
    assert column("x", "k.A.", missing=frozenset(["k.A."])).values.tolist() == ["x", None]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["True", "False", "true", "FALSE"], [1, 0, 1, 0]),
        (["1", "0", " TRUE ", "NA"], [1, 0, 1, NAN]),
        (["false", ""], [0, NAN]),
    ],
)
@pytest.mark.parametrize("words", [{}, {"texts": frozenset("a")}, {"typed": True}], ids=["any", "category", "typed"])
def test_booleans_are_0_and_1_and_known_as_such(texts, values, words):
    found = column(*texts, **words)
    assert found.boolean
    assert np.array_equal(found.values, values, equal_nan=True)


@pytest.mark.parametrize("texts", [["t", "f"], ["yes", "no"], ["True", "maybe"], ["True", "2"], ["tRue"]])
def test_other_words_are_texts(texts):
    assert column(*texts).values.tolist() == texts


def test_0_and_1_alone_are_numbers():
    assert not column("1", "0", "1").boolean


def test_texts_that_a_file_says_are_texts_stay_so_unless_no_code_is_written_like_them():
    assert column("1", "2", typed=True).values.tolist() == ["1", "2"]
    assert column("02301", "unknown", "10001", typed=True).is_text
    assert column("$1", "2", typed=True).values.tolist() == [1, 2]
    assert column("1", "2", "-", typed=True).style == Style(".", ("-",))


def test_columns_of_categories_stay_texts():
    assert column("$1", "02", "-", texts=frozenset("a")).values.tolist() == ["$1", "02", "-"]


def test_equal_texts_are_one_object_until_there_are_too_many(monkeypatch):
    texts = ["".join(["x", str(i % 3)]) for i in range(12)]
    found = column(*texts)
    assert len({id(v) for v in found.values.tolist()}) == 3
    monkeypatch.setattr(columns, "SHARED", 0)
    found = column(*texts, piece=12)
    assert found.values.tolist() == texts
    assert len({id(v) for v in found.values.tolist()}) == 12
