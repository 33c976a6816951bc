"""Moments in ONNX: whole microseconds since 1970 to numbers, by a calendar whose years begin in March.

So a leap day is the last of its year, and days of the months before one are (153 m + 2) / 5, m counted from 0. All that
is divided is above 0, since ONNX rounds quotients towards 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastbp.data.moments import DAY
from fastbp.export import steps as s
from fastbp.export.in_onnx.ops import Value, Write, either

MARCH = 719_468  # days from March 1st of the year 0 to 1970
AWAY = 399  # years, by which quotients of years are above 0: days of 400 years are 146,097


def moment(step: s.Moment, w: Write, x: Value) -> Value:
    gone = w.IsNaN(x.name)
    number = w.Where(either(w, gone, x.bad), 0.0, x.name)
    if step.step:
        found = w.Round(w.Mul(number, step.step))
        found = w.Min(w.Max(found, -float(s.NEVER)), float(s.NEVER))
        return Value(w.cast(found, "int64"), gone, x.bad)
    strange = w.Or(w.Less(number, 1e7), w.GreaterOrEqual(number, 1e8))
    strange = w.Or(strange, w.Not(w.Equal(number, w.Floor(number))))
    whole = w.cast(w.Where(strange, 10_101.0, number), "int64")
    year, rest = w.Div(whole, np.int64(10_000)), w.Mod(whole, np.int64(10_000))
    month, day = w.Div(rest, np.int64(100)), w.Mod(rest, np.int64(100))
    # of a year from March on, so that its leap day is the last
    before = w.cast(w.Less(month, np.int64(3)), "int64")
    year, month = w.Sub(year, before), w.Sub(w.Add(month, w.Mul(before, np.int64(12))), np.int64(3))
    begun = w.Add(w.Mul(year, np.int64(365)), w.Div(year, np.int64(4)))
    begun = w.Add(w.Sub(begun, w.Div(year, np.int64(100))), w.Div(year, np.int64(400)))
    passed = w.Div(w.Add(w.Mul(month, np.int64(153)), np.int64(2)), np.int64(5))
    days = w.Sub(w.Add(w.Add(begun, passed), day), np.int64(MARCH + 1))
    micro = w.Mul(days, np.int64(DAY))
    digits = w.Add(w.Mul(_year(w, micro), np.int64(10_000)), w.Mul(_month(w, micro), np.int64(100)))
    strange = w.Or(strange, w.Not(w.Equal(w.Add(digits, _day(w, micro)), whole)))
    return Value(w.Where(strange, np.int64(s.NEVER), micro), gone, x.bad)


def _days(w: Write, x: str) -> str:
    """Days from March 1st of the year 0, of what is between `FIRST` and `LAST`."""
    return w.Div(w.Add(x, np.int64(MARCH * DAY)), np.int64(DAY))


def _civil(w: Write, x: str) -> tuple[str, str, str]:
    """Of years from March on: the year, the month from 0, the day from 0."""
    days = _days(w, x)
    century = w.Div(w.Add(w.Mul(days, np.int64(4)), np.int64(3)), np.int64(146_097))
    rest = w.Sub(days, w.Div(w.Mul(century, np.int64(146_097)), np.int64(4)))
    year = w.Div(w.Add(w.Mul(rest, np.int64(4)), np.int64(3)), np.int64(1461))
    rest = w.Sub(rest, w.Div(w.Mul(year, np.int64(1461)), np.int64(4)))
    month = w.Div(w.Add(w.Mul(rest, np.int64(5)), np.int64(2)), np.int64(153))
    day = w.Sub(rest, w.Div(w.Add(w.Mul(month, np.int64(153)), np.int64(2)), np.int64(5)))
    return w.Add(w.Mul(century, np.int64(100)), year), month, day


def _year(w: Write, x: str) -> str:
    year, month, _ = _civil(w, x)
    return w.Add(year, w.cast(w.GreaterOrEqual(month, np.int64(10)), "int64"))


def _month(w: Write, x: str) -> str:
    _, month, _ = _civil(w, x)
    return w.Add(w.Mod(w.Add(month, np.int64(2)), np.int64(12)), np.int64(1))


def _day(w: Write, x: str) -> str:
    return w.Add(_civil(w, x)[2], np.int64(1))


def _start(w: Write, year: str) -> str:
    """Days from March 1st of the year 0 to January 1st of a year."""
    past = w.Add(year, np.int64(AWAY))
    days = w.Add(w.Mul(past, np.int64(365)), w.Div(past, np.int64(4)))
    days = w.Add(w.Sub(days, w.Div(past, np.int64(100))), w.Div(past, np.int64(400)))
    return w.Sub(days, np.int64(719_162 + 146_097 - MARCH))


def _over(w: Write, x: str) -> str:
    """Days of the year that are over."""
    return w.Sub(_days(w, x), _start(w, _year(w, x)))


def _weekday(w: Write, x: str) -> str:
    return w.Mod(w.Add(_days(w, x), np.int64((3 - MARCH) % 7)), np.int64(7))


def _hour(w: Write, x: str) -> str:
    micro = w.Sub(w.Add(x, np.int64(MARCH * DAY)), w.Mul(_days(w, x), np.int64(DAY)))
    return w.Div(w.cast(micro, "float64"), DAY / 24)


def _length(w: Write, x: str) -> str:
    """Days of the year."""
    year = _year(w, x)
    return w.cast(w.Sub(_start(w, w.Add(year, np.int64(1))), _start(w, year)), "float64")


PARTS: dict[str, Callable[[Write, str, s.Part], str]] = {
    "year": lambda w, x, _: _year(w, x),
    "month": lambda w, x, _: _month(w, x),
    "yearday": lambda w, x, _: w.Add(_over(w, x), np.int64(1)),
    "weekday": lambda w, x, _: _weekday(w, x),
    "hour": lambda w, x, _: _hour(w, x),
    "age": lambda w, x, step: w.Div(w.cast(w.Sub(np.int64(step.newest), x), "float64"), float(DAY)),
}
SHARES: dict[str, Callable[[Write, str], str]] = {
    "month": lambda w, x: w.Div(w.cast(w.Sub(_month(w, x), np.int64(1)), "float64"), 12.0),
    "yearday": lambda w, x: w.Div(w.cast(_over(w, x), "float64"), _length(w, x)),
    "weekday": lambda w, x: w.Div(w.cast(_weekday(w, x), "float64"), 7.0),
    "hour": lambda w, x: w.Div(_hour(w, x), 24.0),
}


def _of_moment(w: Write, x: Value, found_by: Callable[[str], str]) -> Value:
    """A number of moments, of which those that are none stand at 1970."""
    found = found_by(w.Where(either(w, x.gone, x.bad), np.int64(0), x.name))
    return Value(w.Where(x.gone, np.nan, w.cast(found, "float64")), "", x.bad)


def part(step: s.Part, w: Write, x: Value) -> Value:
    return _of_moment(w, x, lambda at: PARTS[step.name](w, at, step))


def share(step: s.Share, w: Write, x: Value) -> Value:
    return _of_moment(w, x, lambda at: SHARES[step.name](w, at))
