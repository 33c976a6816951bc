"""Dates and times as people write them, as `datetime64[us]`.

    2024-03-01, 2024/3/1, 2024-03, 20240301 by its unit     the year first
    01.03.2024                                               the day first
    01/03/2024, 1-3-24                                       the day or the month first: all of a column decides
    1 Mar 2024, 01-Mar-24, March 1, 2024                     English months
    10:15, 10:15:30.5, 3:07 pm, 10:15Z, 10:15+01:00          behind a date, or alone, on 1970-01-01

Two digits are the years 1969 to 2068. A time with a zone becomes UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.errors import DataError, visible

Array = NDArray[Any]
_NAT = int(np.iinfo(np.int64).min)
ORDERS = ("day", "month")  # which of a date with slashes is first
STEPS = {"d": 86_400_000_000.0, "s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}  # microseconds of a unit since 1970
UNITS = (*STEPS, "ymd")
DAY = 86_400_000_000
FIRST, LAST = -DAY * 719_163, DAY * 2_932_898  # 1970 is that far from the years 0 and 10,000, and a day for zones
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LONG = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november")
NAMES = {name: i % 12 + 1 for i, name in enumerate((*MONTHS, *LONG, "december"))} | {"sept": 9}

_TIME = re.compile(
    r"(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?: ?([ap])\.?m\.?)?(?: ?(z|utc|gmt|[+-]\d\d(?::?\d\d)?))?",
    re.ASCII,
)
_YEAR_FIRST = re.compile(r"(\d{4})(?:([-/.])(\d{1,2})\2(\d{1,2})|-(\d\d))", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d\d)", re.ASCII)
_DAY_NAME = re.compile(r"(\d{1,2})[ -]([a-z]{3,9})\.?,?[ -](\d{4}|\d\d)", re.ASCII)
_NAME_DAY = re.compile(r"([a-z]{3,9})\.? (\d{1,2}),? (\d{4})", re.ASCII)
_BEHIND = re.compile(r"(?<=\d)(?:t|,? )(?=\d{1,2}:)", re.ASCII)  # between a date and its time


class Moment(NamedTuple):
    """What a text says: microseconds since 1970 with the day first and with the month first, None where it is none."""

    day: int | None
    month: int | None
    zoned: bool | None  # None: there is no time

    def at(self, order: str | None) -> int | None:
        """With that order; without one, only what both say."""
        if order is None:
            return self.day if self.day == self.month else None
        return self.day if order == "day" else self.month


@lru_cache(1 << 16)
def moment(text: str) -> Moment | None:
    """What a text says, or None if it is neither a date nor a time."""
    if not 4 <= len(text) <= 40:
        return None
    text = " ".join(text.lower().split())
    days, *rest = _BEHIND.split(text, maxsplit=1)
    alone = not rest and ":" in days
    time, zoned = (0, None) if not rest and not alone else _time(days if alone else rest[0])
    found = (0, 0) if alone else _days(days)
    if time is None or found is None:
        return None
    first, second = (None if d is None else d * DAY + time for d in found)
    return None if first is None and second is None else Moment(first, second, zoned)


def _time(text: str) -> tuple[int | None, bool | None]:
    """Microseconds since midnight, in UTC if there is a zone."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None, None
    hour, minute, second, part, half, zone = match.groups()
    h, m, s = int(hour), int(minute), int(second or 0)
    if half:
        if not 1 <= h <= 12:
            return None, None
        h = h % 12 + 12 * (half == "p")
    if h > 23 or m > 59 or s > 59:
        return None, None
    offset = 0
    if zone and zone[0] in "+-":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset = (int(digits[:2]) * 60 + int(digits[2:])) * (-1 if zone[0] == "-" else 1)
    micro = int((part or "0").ljust(6, "0")[:6])
    return ((h * 60 + m - offset) * 60 + s) * 1_000_000 + micro, zone is not None


def _days(text: str) -> tuple[int | None, int | None] | None:
    """Days since 1970, with the day first and with the month first."""
    if match := _YEAR_FIRST.fullmatch(text):
        year, _, month, day, only = match.groups()
        found = _day(int(year), int(only or month), int(day or 1))
        return found, found
    if match := _YEAR_LAST.fullmatch(text):
        first, sign, second, year = match.groups()
        days = _day(_year(year), int(second), int(first))
        return days, days if sign == "." else _day(_year(year), int(first), int(second))
    if match := _DAY_NAME.fullmatch(text):
        day, name, year = match.groups()
    elif match := _NAME_DAY.fullmatch(text):
        name, day, year = match.groups()
    else:
        return None
    found = _day(_year(year), NAMES.get(name, 0), int(day))
    return found, found


def _year(text: str) -> int:
    return int(text) if len(text) == 4 else int(text) + (1900 if int(text) >= 69 else 2000)


def _day(year: int, month: int, day: int) -> int | None:
    try:
        return date(year, month, day).toordinal() - 719_163
    except ValueError:
        return None


def are_moments(texts: Iterable[str]) -> bool:
    """Whether all are dates or times, in one order at least."""
    orders = {"day", "month"}
    for text in texts:
        found = moment(text)
        orders &= set() if found is None else {order for order in ORDERS if found.at(order) is not None}
        if not orders:
            return False
    return True


def first_mistake(counts: Mapping[str, int], most: float) -> tuple[str, str | None] | None:
    """The first text that is no date, and what stands first in the others, if at most so many rows are none."""
    wrong: dict[str, int] = dict.fromkeys(ORDERS, 0)
    first: dict[str, str] = {}
    for text, count in counts.items():
        found = moment(text)
        for order in ORDERS:
            if found is None or found.at(order) is None:
                wrong[order] += count
                first.setdefault(order, text)
        if min(wrong.values()) > most:
            return None
    order = min(ORDERS, key=lambda order: wrong[order])
    return first[order], None if len({*wrong.values()}) == 1 else order


def order_of(texts: Iterable[str]) -> str | None:
    """What stands first in dates with slashes: "day" or "month"; None if nothing says so, as in `03/04/2024` alone."""
    found = [m for m in map(moment, dict.fromkeys(texts)) if m is not None]
    able = [order for order in ORDERS if all(m.at(order) is not None for m in found)]
    return able[0] if len(able) == 1 else None


def unclear(texts: Iterable[str]) -> str | None:
    """The first text that is another date with the day first than with the month first."""
    return next((t for t in texts if (m := moment(t)) is not None and m.at(None) is None), None)


def moments(frame: Frame, name: str, unit: str | None, order: str | None) -> Array:
    """A column as `datetime64[us]`, NaT where missing."""
    values = frame.column(name).values
    where = f"column `{visible(name)}` must be"
    if values.dtype.kind == "M":
        return _within(frame, values.astype("datetime64[us]"), where)
    if unit is not None:
        return _of_numbers(frame, frame.numbers(name), unit, where)
    if values.dtype.kind == "O":
        return _of_texts(frame, values.tolist(), order, where)
    row = next((i for i, v in enumerate(values.tolist()) if v == v), None)
    if row is not None:
        raise DataError(f"{frame.place(row)}{where} a date, got `{values[row]:g}`")
    return np.full(len(values), "NaT", "datetime64[us]")


def _within(frame: Frame, at: Array, where: str) -> Array:
    numbers = at.astype(np.int64)
    beyond = ((numbers < FIRST) | (numbers > LAST)) & ~np.isnat(at)
    if beyond.any():
        row = int(np.argmax(beyond))
        raise DataError(f"{frame.place(row)}{where} between the years 1 and 9999, got `{at[row]}`")
    return at


def _of_texts(frame: Frame, texts: list[str | None], order: str | None, where: str) -> Array:
    known: dict[str | None, int] = {None: _NAT}
    zoned: bool | None = None
    for row, text in enumerate(texts):
        if text is None or text in known:
            continue
        found = moment(text)
        at = None if found is None else found.at(order)
        if found is None or at is None:
            said = "" if found is None else f" with the {order} first" if order else " that is one in one way only"
            hint = frame.if_missing(text, "date") if found is None else None
            raise DataError(f"{frame.place(row)}{where} a date{said}, got `{visible(text)}`", hint=hint)
        if found.zoned is not None and zoned not in (None, found.zoned):
            said = f"a date {'with' if zoned else 'without'} a time zone as those before it"
            raise DataError(f"{frame.place(row)}{where} {said}, got `{visible(text)}`")
        zoned = zoned if found.zoned is None else found.zoned
        known[text] = at
    return np.array([known[text] for text in texts], np.int64).view("datetime64[us]")


def _of_numbers(frame: Frame, values: Array, unit: str, where: str) -> Array:
    """Numbers since 1970 in that unit, or as 20240131."""
    there = ~np.isnan(values)
    out = np.full(len(values), _NAT, np.int64)
    if unit == "ymd":
        read = {value: _ymd(value) for value in np.unique(values[there]).tolist()}
        for row in np.flatnonzero(there).tolist():
            at = read[values[row]]
            if at is None:
                raise DataError(f"{frame.place(row)}{where} a date as in `20240131`, got `{values[row]:.10g}`")
            out[row] = at
        return out.view("datetime64[us]")
    with np.errstate(over="ignore"):
        scaled = values * STEPS[unit]
    beyond = there & ~((scaled >= FIRST) & (scaled <= LAST))
    if beyond.any():
        row = int(np.argmax(beyond))
        what = f"between the years 1 and 9999 in `{unit}` since 1970"
        raise DataError(f"{frame.place(row)}{where} {what}, got `{values[row]:.10g}`")
    out[there] = np.rint(scaled[there]).astype(np.int64)
    return out.view("datetime64[us]")


def _ymd(value: float) -> int | None:
    if value != value // 1 or not 1e7 <= value < 1e8:
        return None
    days = _day(int(value) // 10_000, int(value) // 100 % 100, int(value) % 100)
    return None if days is None else days * DAY
