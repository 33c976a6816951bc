"""Dates as people write them: each form against the moment it says, and columns that do not say which they mean."""

import numpy as np
import pytest

from fastbp.data.frame import Column, Frame
from fastbp.data.moments import are_moments, moment, moments, order_of, unclear
from fastbp.errors import DataError

SAME = {
    "2024-03-01": "2024-03-01",
    "2024/3/1": "2024-03-01",
    "2024.03.01": "2024-03-01",
    "2024-03": "2024-03-01",
    "01.03.2024": "2024-03-01",
    "1.3.69": "1969-03-01",
    "1.3.68": "2068-03-01",
    "1 Mar 2024": "2024-03-01",
    "01-Mar-24": "2024-03-01",
    "1 September 1999": "1999-09-01",
    "Sept. 1, 1999": "1999-09-01",
    "March 1, 2024": "2024-03-01",
    "2024-02-29": "2024-02-29",
    "2024-03-01T10:15": "2024-03-01T10:15",
    "2024-03-01 10:15:30.5": "2024-03-01T10:15:30.5",
    "2024-03-01 10:15:30,123456789": "2024-03-01T10:15:30.123456",
    "2024-03-01T10:15Z": "2024-03-01T10:15",
    "2024-03-01T00:15+01:00": "2024-02-29T23:15",
    "2024-03-01 10:15:00-0530": "2024-03-01T15:45",
    "2024-03-01 10:15 UTC": "2024-03-01T10:15",
    "Mar 1 2024, 3:07 PM": "2024-03-01T15:07",
    "2024-03-01 12:00 am": "2024-03-01T00:00",
    "2024-03-01 12:30 p.m.": "2024-03-01T12:30",
    "10:15": "1970-01-01T10:15",
    "0001-01-01": "0001-01-01",
}


@pytest.mark.parametrize(("text", "wanted"), SAME.items(), ids=SAME)
def test_a_form_says_its_moment_in_either_order(text, wanted):
    found = moment(text)
    wanted = np.datetime64(wanted, "us").astype(np.int64)
    assert (found.day, found.month) == (wanted, wanted)


@pytest.mark.parametrize(
    "text",
    ["", "1", "x", "hello", "2024", "2024-13-01", "2023-02-29", "2024-3", "32.1.2024", "1.2.3", "13/13/2024",
     "2024-03/01", "0000-01-01", "25:00", "10:60", "10:15:60", "13:00 pm", "0:15 am", "1 Foo 2024", "2024-03-01T",
     "2024-03-01 noon", "192.168.1.1", "1/2", "3:2", "2024-03-01 10:15+1", "1" * 50, "٢٠٢٤-٠٣-٠١"],
)  # fmt: skip
def test_what_is_no_moment(text):
    assert moment(text) is None


def test_slashes_are_read_by_the_order_of_the_column():
    found = moment("03/04/2024")
    assert [np.datetime64(at, "us").astype("M8[D]").astype(str) for at in found[:2]] == ["2024-04-03", "2024-03-04"]
    assert (found.at("day"), found.at("month"), found.at(None)) == (found.day, found.month, None)
    assert moment("04/04/2024").at(None) == moment("2024-04-04").day
    assert moment("13/04/2024").at("month") is None
    assert order_of(["03/04/2024", "13/04/2024"]) == "day"
    assert order_of(["03-04-24", "3-14-24"]) == "month"
    assert order_of(["03/04/2024", "04/04/2024", "2024-01-13"]) is None
    assert unclear(["04/04/2024", "2024-01-13", "03/04/2024"]) == "03/04/2024"
    assert unclear(["04/04/2024", "2024-01-13"]) is None


def test_a_column_is_of_dates_if_one_order_reads_all():
    assert are_moments(["03/04/2024", "13/04/2024", "2024-01-01"])
    assert not are_moments(["14/04/2024", "04/14/2024"])
    assert not are_moments(["2024-01-01", "soon"])


def column(*values):
    text = any(isinstance(v, str) for v in values)
    return Frame(None, {"d": Column("d", np.array(values, object if text else None))}, "t.csv", np.arange(9) + 2)


def test_missing_dates_are_not_a_time():
    found = moments(column("2024-01-01", None), "d", None, None)
    assert found.astype(str).tolist() == ["2024-01-01T00:00:00.000000", "NaT"]
    assert np.isnat(moments(column(np.nan, np.nan), "d", None, None)).all()


@pytest.mark.parametrize(
    ("unit", "value", "wanted"),
    [
        ("s", 1709287200.0, "2024-03-01T10:00"),
        ("ms", 1709287200123.0, "2024-03-01T10:00:00.123"),
        ("us", -1.0, "1969-12-31T23:59:59.999999"),
        ("ns", 1.7092872e18, "2024-03-01T10:00"),
        ("d", 19783.5, "2024-03-01T12:00"),
        ("ymd", 20240301.0, "2024-03-01"),
    ],
)
def test_numbers_are_counted_in_their_unit(unit, value, wanted):
    found = moments(column(value, np.nan), "d", unit, None)
    assert found[0] == np.datetime64(wanted, "us")
    assert np.isnat(found[1])


REFUSED = [
    (("2024-01-01", "soon7"), None, None, "t.csv:3: column `d` must be a date, got `soon7`"),
    (("03/04/2024",), None, None, "t.csv:2: column `d` must be a date that is one in one way only, got `03/04/2024`"),
    (("04/13/2024",), None, "day", "t.csv:2: column `d` must be a date with the day first, got `04/13/2024`"),
    (("13/04/2024",), None, "month", "t.csv:2: column `d` must be a date with the month first, got `13/04/2024`"),
    (("2024-01-01T10:00Z", "2024-01-01", "2024-01-01T11:00"), None, None,
     "t.csv:4: column `d` must be a date with a time zone as those before it, got `2024-01-01T11:00`"),
    (("2024-01-01T10:00", "2024-01-01T11:00+01:00"), None, None,
     "t.csv:3: column `d` must be a date without a time zone as those before it, got `2024-01-01T11:00+01:00`"),
    ((np.nan, 5.0), None, None, "t.csv:3: column `d` must be a date, got `5`"),
    ((20240101.0, 20241301.0), "ymd", None, "t.csv:3: column `d` must be a date as in `20240131`, got `20241301`"),
    ((20240101.5,), "ymd", None, "t.csv:2: column `d` must be a date as in `20240131`, got `20240101.5`"),
    ((1e30,), "s", None, "t.csv:2: column `d` must be between the years 1 and 9999 in `s` since 1970, got `1e+30`"),
    ((-1e308,), "d", None, "t.csv:2: column `d` must be between the years 1 and 9999 in `d` since 1970, got `-1e+308`"),
    (("x1",), "s", None, "t.csv:2: column `d` must be a number, got `x1`"),
    ((np.datetime64("2024-01-01", "us"), np.datetime64("20000-01-01", "us")), None, None,
     "t.csv:3: column `d` must be between the years 1 and 9999, got `20000-01-01T00:00:00.000000`"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "unit", "order", "wanted"), REFUSED, ids=[r[3][20:60] for r in REFUSED])
def test_what_is_no_date_of_the_column_is_named(values, unit, order, wanted):
    with pytest.raises(DataError) as caught:
        moments(column(*values), "d", unit, order)
    assert str(caught.value) == wanted
