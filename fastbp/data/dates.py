"""Columns of dates and times: as numbers, and as points of cycles.

    numbers   year; month 1 to 12; day of the year from 1; weekday 0 (Monday) to 6; hour with its fraction;
              age, the days before the newest training row
    cycles    sin and cos of 2π times the share of the year that is over by month and by day, of the week, of the day

What is constant in the training rows is left out, the cycle with its number; the age stays if nothing else does.
Numbers are scaled as columns of numbers are, cycles are not. A missing date has the mean of each, or the median.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.data.moments import DAY, FIRST, LAST, ORDERS, UNITS, moments
from fastbp.data.numbers import Numbers
from fastbp.data.stored import Stored
from fastbp.errors import DataError, visible
from fastbp.numerics.exact import turns

Array = NDArray[Any]
PARTS = ("year", "month", "yearday", "weekday", "hour", "age")
CYCLES = ("month", "yearday", "weekday", "hour")
MISSING = ("mean", "median", "refuse")


@dataclass
class Dates:
    """Encoding of one column of dates.

    Attributes
    ----------
    unit : str or None
        What numbers count since 1970; None: texts or typed dates.
    order : str or None
        What stands first in dates with slashes.
    hole : bool
        Whether there is an indicator of missing dates.
    parts : list of str
        The numbers that it becomes.
    newest : int
        Microseconds since 1970 of the newest training row.
    """

    name: str
    unit: str | None = None
    order: str | None = None
    missing: str = "mean"
    indicator: bool = False
    hole: bool = False
    parts: list[str] = field(default_factory=list)
    newest: int = 0
    numbers: Numbers = field(default_factory=lambda: Numbers(None, "standard", "mean"))
    cycles: Numbers = field(default_factory=lambda: Numbers(None, "none", "mean"))

    def fit(self, frame: Frame) -> None:
        """Fit to training rows."""
        at, gone = self._read(frame)
        self.hole = self.indicator and bool(gone.any())
        there = at[~gone]
        self.newest = int(there.max().astype(np.int64)) if len(there) else 0
        found = self._parts(there, PARTS)
        self.parts = [p for p in PARTS if len(there) and found[p].min() < found[p].max()] or ["age"]
        numbers, cycles = self._matrices(frame, at, gone)
        self.numbers.fit(numbers)
        self.cycles.fit(cycles)

    def _read(self, frame: Frame) -> tuple[Array, Array]:
        """The moments of a frame, and which are missing."""
        at = moments(frame, self.name, self.unit, self.order)
        gone = np.isnat(at)
        if self.missing == "refuse" and gone.any():
            row = int(np.argmax(gone))
            raise DataError(f"{frame.place(row)}column `{visible(self.name)}` must have a date")
        return at, gone

    def _parts(self, at: Array, names: Sequence[str]) -> dict[str, Array]:
        """Some of the numbers of moments."""
        micro = at.astype(np.int64)
        days, years = at.astype("datetime64[D]").astype(np.int64), at.astype("datetime64[Y]")
        found: dict[str, Array] = {
            "year": years.astype(np.int64) + 1970,
            "month": at.astype("datetime64[M]").astype(np.int64) % 12 + 1,
            "yearday": days - years.astype("datetime64[D]").astype(np.int64) + 1,
            "weekday": (days + 3) % 7,
            "hour": (micro - days * DAY) / (DAY / 24),
            "age": (self.newest - micro) / DAY,
        }
        return {name: np.asarray(found[name], np.float64) for name in names}

    def _matrices(self, frame: Frame, at: Array, gone: Array) -> tuple[Frame, Frame]:
        """Its numbers and its cycles, NaN where missing, as frames."""
        at = np.where(gone, np.datetime64(self.newest, "us"), at)
        found = self._parts(at, self.parts)
        starts = {"month": 1.0, "yearday": 1.0, "weekday": 0.0, "hour": 0.0}
        first = [(at.astype("datetime64[Y]") + more).astype("datetime64[D]").astype(np.int64) for more in (0, 1)]
        periods: dict[str, Any] = {"month": 12.0, "yearday": first[1] - first[0], "weekday": 7.0, "hour": 24.0}
        points = [turns((found[p] - starts[p]) / periods[p]) for p in self._turning]
        both = [column for cosine, sine in points for column in (sine, cosine)]
        made = []
        for columns in ([found[p] for p in self.parts], both):
            matrix = np.stack(columns, axis=1) if columns else np.empty((len(at), 0))
            matrix[gone] = np.nan
            made.append(replace(frame, matrix=matrix, columns={}))
        return made[0], made[1]

    @property
    def _turning(self) -> list[str]:
        return [part for part in self.parts if part in CYCLES]

    @property
    def width(self) -> int:
        """Number of columns it becomes."""
        return len(self.parts) + 2 * len(self._turning) + self.hole

    def apply(self, frame: Frame, out: Array) -> None:
        """Write its encoded columns: numbers, cycles, and whether the date is missing."""
        at, gone = self._read(frame)
        numbers, cycles = self._matrices(frame, at, gone)
        count = len(self.parts)
        self.numbers.apply(numbers, out[:, :count])
        self.cycles.apply(cycles, out[:, count : out.shape[1] - self.hole])
        if self.hole:
            out[:, -1] = gone

    def to_data(self) -> dict[str, Any]:
        out = {key.name: getattr(self, key.name) for key in fields(self)}
        return {**out, "numbers": self.numbers.to_data(), "cycles": self.cycles.to_data()}

    @classmethod
    def from_data(cls, data: Stored) -> Dates:
        """From the result of `to_data`, as stored in a file."""
        found = data.keys("kind", *(f.name for f in fields(cls)))
        unit = None if found["unit"].value is None else found["unit"].one_of(UNITS)
        order = None if found["order"].value is None else found["order"].one_of(ORDERS)
        parts = found["parts"].texts()
        if parts != [part for part in PARTS if part in parts] or not parts:
            raise found["parts"].fail(f"be some of {', '.join(f'`{part}`' for part in PARTS)}, in this order")
        newest = found["newest"].number()
        if newest != newest // 1 or not FIRST <= newest <= LAST:
            raise found["newest"].fail("be whole microseconds between the years 1 and 9999")
        inside = {}
        for key, width in (("numbers", len(parts)), ("cycles", 2 * len([p for p in parts if p in CYCLES]))):
            inside[key] = Numbers.from_data(found[key], width)
        return cls(
            found["name"].text(),
            unit,
            order,
            found["missing"].one_of(MISSING),
            found["indicator"].flag(),
            found["hole"].flag(),
            parts,
            int(newest),
            inside["numbers"],
            inside["cycles"],
        )
