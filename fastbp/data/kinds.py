"""What a column is, if nobody says it: number, category, date, or nothing to predict from, with the reason.

All rows of the table are looked at, not only those of training: what a column is depends on no split.

- A number is an id, and ignored, if all are different and whole, 20 at least, and either its name says so (a word of
  it is id, index, key, row, no, ...), or they count the rows: 0, 1, ... or 1, 2, ... in their order. So are whole
  numbers of which 95 % are between 2⁵³ and 2⁶⁴, where a float64 cannot tell all: they are keys of some database.
- A text is a date if all of its column are dates, or 95 % where more than twenty differ; a category if its numbers have
  zeros in front, as codes do; a number if nearly all are, more than a hundred, or more than twenty that nearly all
  differ; ignored if 95 % differ, or if half differ and are sentences; else a category.
- A column that is always the same, or that has no values, is ignored.

If nothing were left to predict from, ids and texts are taken for what they are otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.codes import are_codes
from fastbp.data.frame import Column, Frame, is_number
from fastbp.data.moments import are_moments, first_mistake, order_of, unclear
from fastbp.data.rows import styled
from fastbp.data.unseen import by_value
from fastbp.errors import visible

Array = NDArray[Any]
FEW = 20  # values that may all be different by chance
DIFFERENT = 0.95  # share of different texts above which a column names rows
SENTENCE = 4.0  # words of a text, on average, above which it is written by somebody
EXACT = 2.0**53  # magnitude up to which every whole number is a float64
LONGEST = 2.0**64  # keys of databases have 64 bits; what is larger is measured, in a small unit
TIMES = frozenset(("at", "created", "date", "datetime", "epoch", "time", "timestamp", "ts", "unix", "updated"))
SECONDS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # counts of a second in units of dates
MISTAKEN = 100  # distinct numbers above which a text among them counts as a mistake
IDS = frozenset(
    ["id", "ids", "idx", "index", "key", "no", "nr", "row", "rowid", "rownum", "serial", "uid", "uuid", "guid"]
) | {"unnamed"}  # as pandas calls an index that was written without a name, `Unnamed: 0`


@dataclass(frozen=True)
class Kind:
    """What a column is, and its values in a few words.

    Attributes
    ----------
    name : {"number", "category", "date", "ignore"}
    about : str
        The reason, where it is ignored.
    order : str or None
        What stands first in its dates with slashes.
    unclear : str or None
        One of its dates that is two, with the day or the month first, if no other tells which.
    otherwise : str
        What it is if nothing else is left to predict from.
    """

    name: str
    about: str
    order: str | None = None
    unclear: str | None = None
    otherwise: str = ""


def kinds_of(frame: Frame, names: Iterable[str], others: bool = False) -> dict[str, Kind]:
    """What each of some columns is; `others` says whether there are inputs beside them."""
    found = {name: kind_of(frame.columns[name], frame.rows) for name in names}
    if others or any(kind.name != "ignore" for kind in found.values()):
        return found
    return {n: Kind(k.otherwise, k.about.partition(" (")[0]) if k.otherwise else k for n, k in found.items()}


def kind_of(column: Column, rows: Array | None = None) -> Kind:
    """What a column is; `rows` are the numbers of its rows in the file, where some are left out."""
    values = column.values
    if column.is_text:
        return _of_texts([v for v in values.tolist() if v is not None], len(values))
    there = values[values == values]
    gone = _gone(len(values) - len(there))
    if not len(there):
        return Kind("ignore", "nothing but missing values")
    low, high = there.min(), there.max()
    moments = values.dtype.kind == "M"
    if low == high:
        shown = _short(low) if moments else bool(low) if column.boolean else _brief(low)
        return Kind("ignore" if not gone else "date" if moments else "number", f"always {shown}" + gone)
    if moments:
        return Kind("date", f"{_short(low)} to {_short(high)}" + gone)
    if column.boolean:
        return Kind("number", "False and True" + gone)
    about = f"{_brief(low)} to {_brief(high)}" + gone
    if column.style is not None:
        about += "; read" + styled(column.style.decimal, column.style.missing, column.example).lstrip(",")
    why = _id(column.name, there, np.arange(len(values)) if rows is None else rows)
    unit = "" if why else _unit(column.name, there)
    if unit:
        about += f"; dates, if `{{type: date, unit: {unit}}}`"
    return Kind("ignore", f"{about} ({why})", otherwise="number") if why else Kind("number", about)


def _of_texts(there: list[str], rows: int) -> Kind:
    gone = _gone(rows - len(there))
    if not there:
        return Kind("ignore", "nothing but missing values")
    counts = Counter(there)
    if len(counts) == 1 and not gone:
        return Kind("ignore", f"always {visible(there[0])}")
    if are_moments(counts):
        order = order_of(counts)
        first, last = next(iter(counts)), next(reversed(counts))
        about = f"dates, such as {visible(first)}" + (f" and {visible(last)}" if last != first else "") + gone
        return Kind("date", about, order, None if order else unclear(counts))
    wrong = first_mistake(counts, (1.0 - DIFFERENT) * len(there)) if len(counts) > FEW else None
    if wrong is not None:
        text, order = wrong
        about = f"{len(counts):,} values, dates but for {visible(text)}" + gone
        return Kind("date", about, order, None if order else unclear(counts))
    counts = by_value(counts)
    some = sorted(counts)[:4]
    shown = ", ".join(map(visible, some)) + ", ..." * (len(counts) > 4)
    listed = f"{len(counts):,} value{'s' * (len(counts) > 1)}: {shown}" + gone
    long = sum(len(text.split()) * count for text, count in counts.items()) / len(there)
    different = len(counts) > max(FEW, DIFFERENT * len(there))
    codes, numbers = are_codes(counts), mostly_numbers(counts, FEW if different else MISTAKEN)
    if different and (codes or not numbers):
        what = f"texts of about {long:.0f} words" if long >= SENTENCE else "different texts, most of them once"
        return Kind("ignore", f"{len(counts):,} {what}" + gone, otherwise="category")
    if codes:
        return Kind("category", f"{listed} (codes with zeros in front)")
    if numbers:
        mistake = next((text for text in counts if not is_number(text)), None)
        but = "written as texts" if mistake is None else f"but for {visible(mistake)}"
        return Kind("number", f"{len(counts):,} values, numbers {but}" + gone)
    if len(counts) > max(FEW, len(there) / 2) and long >= SENTENCE:
        return Kind("ignore", f"{len(counts):,} texts of about {long:.0f} words" + gone, otherwise="category")
    return Kind("category", listed)


def _id(name: str, there: Array, rows: Array) -> str:
    """Why whole numbers name rows and measure nothing; empty if they may measure something."""
    if len(there) < FEW or there.dtype.kind != "f" or (there != np.floor(there)).any():
        return ""
    if np.mean((np.abs(there) >= EXACT) & (np.abs(there) <= LONGEST)) >= DIFFERENT:
        return "longer than what is counted, as keys are"
    if len(there) == len(rows) and there[0] - rows[0] in (0.0, 1.0) and (there - rows == there[0] - rows[0]).all():
        return "counts the rows"
    if IDS & set(words_of(name)) and len(np.unique(there)) == len(there):
        return "all different, and its name says that it names rows"
    return ""


def _unit(name: str, there: Array) -> str:
    """The unit with which numbers could be dates: days as 20240131, or seconds that a name calls a time."""
    if not np.isfinite(there).all() or (there != np.floor(there)).any() or len(np.unique(there)) < 3:
        return ""
    low, high = float(there.min()), float(there.max())
    if low >= 19_000_101 and high <= 21_001_231:
        month, day = there // 100 % 100, there % 100
        if (month * day > 0).all() and month.max() <= 12 and day.max() <= 31:
            return "ymd"
    if not TIMES & set(words_of(name)):
        return ""
    return next((unit for unit, factor in SECONDS.items() if 1e8 * factor <= low and high <= 4.2e9 * factor), "")


def words_of(name: str) -> list[str]:
    """The words of a column's name, in lower case.

    Examples
    --------
    >>> words_of("PassengerId"), words_of("row_no"), words_of("grid")
    (['passenger', 'id'], ['row', 'no'], ['grid'])
    """
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def are_classes(target: Array) -> bool:
    """Whether numbers to predict are names of classes rather than amounts.

    They are if all are whole, and there are two, or up to ten that come ten times on average, or up to a hundred that
    are numbered from 0 or 1 without a gap and none of which is rarer than a fifth of an equal share. Amounts such as
    ages, rings of a tree or marks of an exam have gaps and rare ends.
    """
    there = target[~np.isnan(target)].astype(np.float64)
    if not np.isfinite(there).all() or (there != np.floor(there)).any():
        return False
    values, counts = np.unique(there, return_counts=True)
    if len(values) <= 2:
        return True
    if len(there) < 10 * len(values):
        return False
    numbered = bool(values[0] in (0.0, 1.0) and values[-1] - values[0] == len(values) - 1)
    even = bool(counts.min() * 5 * len(values) >= len(there))
    return len(values) <= 10 or (len(values) <= 100 and numbered and even)


def mostly_numbers(counts: Counter[str], fewest: int) -> bool:
    """Whether more than so many different texts are numbers with a few mistakes, rather than categories."""
    if len(counts) <= fewest:
        return False
    numbers = [text for text in counts if is_number(text)]
    return len(numbers) >= fewest and sum(counts[n] for n in numbers) >= 0.95 * counts.total()


def _gone(count: int) -> str:
    return f", {count:,} missing" if count else ""


def _brief(value: float) -> str:
    """A number in few digits; whole ones up to twelve digits are written out."""
    return f"{value:.0f}" if value == np.floor(value) and abs(value) < 1e12 else f"{value:g}"


def _short(at: Any) -> str:
    """A moment without a midnight."""
    return str(at.astype("datetime64[s]")).removesuffix("T00:00:00")
