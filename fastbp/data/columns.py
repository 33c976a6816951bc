"""From the texts of a column to numbers, booleans or texts: one rule for every format.

numbers     1.5, -2e3; `$2,972.89`, `20%` (which is 20), `1.200,5`: signs of currencies and per cent are units and
            are cut, groups of three digits are joined, and the decimal sign is that with which every value is a number
missing     the words of `MISSING` anywhere; those of `MARKS`, such as `-` and `unknown`, among numbers only; what
            `data.missing_texts` lists, numbers by their value
booleans    `True`, `true`, `TRUE`, `False`, ..., and 1 and 0 beside them; 1 and 0 alone are numbers
texts       digits with zeros in front, as codes have, and all else, without the spaces around
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.codes import are_codes

Array = NDArray[Any]
Texts = Callable[[], Iterator[list[str]]]  # all values, in pieces, as often as it is called

# Texts of missing numbers and categories.
MISSING = frozenset(("", "NA", "N/A", "na", "n/a", "NaN", "nan", "NAN", "null", "NULL", "None", "?"))
# Texts of missing numbers, in lower case; as categories they are values.
MARKS = frozenset(
    [
        "-",
        "--",
        "---",
        "–",
        "—",
        ".",
        "..",
        "...",
        "*",
        "<na>",
        "nat",
        "nil",
        "none",
        "missing",
        "unknown",
        "unk",
        "undefined",
        "n.a.",
        "n.d.",
        "nd",
        "tbd",
        "blank",
        "empty",
        "#n/a",
        "#na",
        "#null!",
        "#div/0!",
        "#value!",
        "#ref!",
        "#name?",
        "#num!",
    ]
) | {"not available", "not applicable", "no data"}
TRUE, FALSE = frozenset(("True", "true", "TRUE")), frozenset(("False", "false", "FALSE"))
FEWEST = 0.5  # share of numbers among numbers and marks
SHARED = 10_000  # different texts of a column that are held once

_UNIT = r"[$€£¥₹₩₽₺₴₦₫฿¢%]"
_NUMBER = {
    sign: re.compile(
        rf"([-+]?)\s*{_UNIT}?\s*([-+]?)([1-9]\d{{0,2}}([{groups}'’ \u00a0\u202f])\d{{3}}(?:\4\d{{3}})*|\d*)"
        rf"(?:{re.escape(sign)}(\d*))?([eE][-+]?\d+)?\s*{_UNIT}?",
        re.ASCII,
    )
    for sign, groups in ((".", ","), (",", "."))
}


@dataclass(frozen=True)
class Style:
    """How the numbers of a column are written: their decimal sign, and texts of missing ones beside `MISSING`."""

    decimal: str = "."
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What is known of columns before they are read.

    Attributes
    ----------
    texts : frozenset of str
        Columns that stay texts, even if they hold numbers.
    styles : mapping of str to Style
        How numbers of columns are written, as it was found in training.
    missing : frozenset of str
        More texts of missing values, in every column.
    decimal : str or None
        The decimal sign of every column; None: found out for each.
    comma : bool
        Whether `1,200` is more likely 1.2 than 1200, as in files whose delimiter is a semicolon.
    typed : bool
        Whether the file says that these are texts, so that plain numbers among them stay texts.
    codes : bool
        Whether columns of digits with zeros in front, as postcodes have, stay texts.
    """

    texts: frozenset[str] = frozenset()
    styles: Mapping[str, Style] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    decimal: str | None = None
    comma: bool = False
    typed: bool = False
    codes: bool = True

    def in_semicolons(self) -> Reading:
        """The same for a file whose delimiter is a semicolon."""
        return replace(self, comma=True)

    def of_texts(self) -> Reading:
        """The same for a file that knows texts from numbers."""
        return replace(self, typed=True)

    def filtered(self, column: Column) -> Column:
        """A column in which numbers that `missing` lists, such as -999, are missing, however a file writes them."""
        values = column.values
        if values.dtype.kind == "O" and not self.missing.isdisjoint(values.tolist()):
            return column.with_values(np.array([None if v in self.missing else v for v in values.tolist()], object))
        numbers = [number(text, self.decimal or ".") for text in self.missing]
        gone = np.isin(values, [n for n in numbers if n is not None]) if values.dtype.kind == "f" else np.zeros(0, bool)
        return column if column.boolean or not gone.any() else column.with_values(np.where(gone, np.nan, values))


@dataclass
class Column:
    """One column: numbers (float64, NaN where missing), texts (objects, None where missing) or `datetime64[us]`.

    Attributes
    ----------
    boolean : bool
        Whether the numbers 0 and 1 stand for False and True.
    style : Style or None
        How the numbers are written, if not as plain ones.
    example : str
        One of these as it is written; empty if only texts of missing ones are special.
    """

    name: str
    values: Array
    boolean: bool = False
    style: Style | None = None
    example: str = ""

    @property
    def is_text(self) -> bool:
        return self.values.dtype.kind == "O"

    def with_values(self, values: Array) -> Column:
        """The same column with other values."""
        return replace(self, values=values)


def column_of(name: str, texts: Texts, reading: Reading) -> Column:
    """The column that is written in texts."""
    gone = MISSING | reading.missing
    known = reading.styles.get(name)
    kept = name in reading.texts or (reading.codes and are_codes(_stripped(texts, gone)))
    if not kept and not reading.typed and (known.decimal if known else reading.decimal) != ",":
        numbers = _plain(texts, gone)
        if numbers is not None:
            return Column(name, numbers)
    truths = _booleans(texts, gone)
    if truths is not None:
        return Column(name, truths, boolean=True)
    column = None if kept else _styled(name, texts, gone, reading)
    return column or Column(name, _shared(texts, gone))


def _stripped(texts: Texts, gone: frozenset[str]) -> Iterator[str | None]:
    """All values without the spaces around, None where missing."""
    for piece in texts():
        for text in map(str.strip, piece):
            yield None if text in gone else text


def _plain(texts: Texts, gone: frozenset[str]) -> Array | None:
    """The numbers that Python reads, or None if there is another text."""
    parts = []
    for piece in texts():
        try:
            part = np.array(piece, object).astype(np.float64)
        except ValueError:
            try:
                part = np.array(["nan" if v.strip() in gone else v for v in piece], object).astype(np.float64)
            except ValueError:
                return None
        if any("_" in v for v in piece):  # 1_000 is no number, although Python accepts it
            return None
        parts.append(part)
    return np.concatenate(parts)


def _booleans(texts: Texts, gone: frozenset[str]) -> Array | None:
    """0 and 1 for False and True, if all values are booleans and one of them is a word."""
    codes = {**dict.fromkeys(gone, np.nan), "0": 0.0, "1": 1.0, **dict.fromkeys(FALSE, 0.0), **dict.fromkeys(TRUE, 1.0)}
    parts, word = [], False
    for piece in texts():
        values = [v.strip() for v in piece]
        try:
            parts.append(np.array([codes[v] for v in values], np.float64))
        except KeyError:
            return None
        word = word or not (TRUE | FALSE).isdisjoint(values)
    return np.concatenate(parts) if word else None


def _styled(name: str, texts: Texts, gone: frozenset[str], reading: Reading) -> Column | None:
    """Numbers that are written for people, or None if there is another text."""
    known = reading.styles.get(name)
    signs = known.decimal if known else reading.decimal or ".,"
    tried = [c for c in (_with_sign(name, texts, gone, sign, known) for sign in signs) if c is not None]
    if len(tried) == 2 and reading.comma and not np.array_equal(tried[0].values, tried[1].values, equal_nan=True):
        tried.reverse()  # 1,200 alone does not say which it is
    if not tried or (reading.typed and not tried[0].example and _are_codes(tried[0], texts)):
        return None
    return tried[0]


def _are_codes(column: Column, texts: Texts) -> bool:
    """Whether what could be plain numbers is texts on purpose: all of it, or with zeros in front."""
    assert column.style is not None
    return not column.style.missing or any(has_zeros(text.strip()) for piece in texts() for text in piece)


def _with_sign(name: str, texts: Texts, gone: frozenset[str], sign: str, known: Style | None) -> Column | None:
    """All values as numbers with that decimal sign, or None if one is not."""
    marks = dict.fromkeys(known.missing if known else ())
    parts, example = [], ""
    numbers = marked = 0
    for piece in texts():
        part = np.full(len(piece), np.nan)
        for i, text in enumerate(map(str.strip, piece)):
            if text in gone:
                continue
            value = number(text, sign)
            if value is not None:
                part[i] = value
                numbers += 1
                example = example or ("" if is_plain(text) else text)
            elif text in marks or text.lower() in MARKS:
                marks[text] = None
                marked += 1
            else:
                return None
        parts.append(part)
    if known is None and (not numbers or numbers < FEWEST * (numbers + marked)):
        return None
    return Column(name, np.concatenate(parts), style=Style(sign, tuple(marks)), example=example)


def _shared(texts: Texts, gone: frozenset[str]) -> Array:
    """Texts without the spaces around, None where missing; equal ones are one object, unless there are too many."""
    parts, held = [], dict[str, str | None](dict.fromkeys(gone))
    for piece in texts():
        values = [v.strip() for v in piece]
        if len(held) < SHARED:
            parts.append(np.array([held.setdefault(v, v) for v in values], object))
        else:
            parts.append(np.array([held.get(v, v) for v in values], object))
    return np.concatenate(parts)


def is_plain(text: str) -> bool:
    """Whether a text is a number for Python; 1_000 is not, although Python accepts it."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def number(text: str, sign: str) -> float | None:
    """The number that a text is with that decimal sign, or None.

    Examples
    --------
    >>> number("-$2,972.89", "."), number("20 %", "."), number("1.200,5", ","), number("1,5", ".")
    (-2972.89, 20.0, 1200.5, None)
    """
    match = _NUMBER[sign].fullmatch(text)
    if match is None:
        return float(text) if sign == "." and is_plain(text) else None
    before, after, whole, group, rest, power = match.groups()
    if not (whole or rest) or (before and after):
        return None
    digits = whole.replace(group, "") if group else whole
    return float(f"{before or after}{digits or 0}.{rest or 0}{power or ''}")


def is_number(text: str) -> bool:
    """Whether a text is a number, with either decimal sign."""
    return number(text, ".") is not None or number(text, ",") is not None


def has_zeros(text: str) -> bool:
    """Whether a number has zeros in front, as codes do."""
    return re.match(r"[-+]?0\d", text) is not None and is_plain(text)
