"""Preprocessing as plain data: what becomes of each raw column, and of outputs, step by step.

A `Raw` is what a caller gives for each row: a number (NaN where it is missing), a text (empty where it is missing) or
a moment (whole microseconds since 1970, the least of 64 bits where it is missing). A `Chain` takes some of its numbers
through steps, each of which says in its class what it does; what comes out stands in the network's inputs, chain behind
chain. All arithmetic is in float64, and what comes out is rounded to the network's dtype.
"""

from __future__ import annotations

from dataclasses import dataclass

Numbers = tuple[float, ...]
KINDS = ("number", "text", "moment")
NEVER = 2**62  # microseconds of what is no moment


@dataclass(frozen=True)
class Raw:
    """A column that a caller gives, or several side by side: a matrix."""

    name: str
    kind: str
    width: int = 1


# Of numbers. Those with a tuple have one number, or one table, for each column.


@dataclass(frozen=True)
class Also:
    """What is one of these numbers is missing: NaN."""

    numbers: Numbers


@dataclass(frozen=True)
class Finite:
    """Nothing changes, but infinite numbers and moments not between the years 1 and 9999, are
    refused, and without `gaps` missing ones.
    """

    gaps: bool


@dataclass(frozen=True)
class Missing:
    """1 where it is missing, else 0; of moments too."""


@dataclass(frozen=True)
class Fill:
    """Where it is missing, the number of its column."""

    values: Numbers


@dataclass(frozen=True)
class Shift:
    """(x - center) / spread"""

    center: Numbers
    spread: Numbers


@dataclass(frozen=True)
class Soften:
    """c / √(1 + (c/3)²) with c = x kept within ±1e100"""


@dataclass(frozen=True)
class Table:
    """A line through points: linear between the two that x is between, level beyond both ends."""

    places: Numbers
    levels: Numbers


@dataclass(frozen=True)
class Levels:
    """The table of its column."""

    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Ranks:
    """Φ⁻¹(p), p = ½ (left(x) + 1 - right(-x)) kept within `edge` and 1 - `edge`, by two tables of its column; 0 where
    there are none.
    """

    tables: tuple[tuple[Table, Table] | None, ...]
    edge: float


# Of moments.


@dataclass(frozen=True)
class Moment:
    """A number to a moment: x steps of so many microseconds, to the nearest whole one, or 20240131 where `step` is 0;
    `NEVER` if it is none.
    """

    step: float


@dataclass(frozen=True)
class Part:
    """One number of a moment, NaN where it is missing: the year; the month or the day of the year from 1; the weekday
    from Monday, 0; the hour with its fraction; the age, in days before `newest`.
    """

    name: str
    newest: int = 0


@dataclass(frozen=True)
class Share:
    """How much is over: of the year by its month or its day (of the 365 or 366), of the week, or of the day; NaN where
    it is missing.
    """

    name: str


@dataclass(frozen=True)
class Sine:
    """sin 2πx"""


@dataclass(frozen=True)
class Cosine:
    """cos 2πx"""


# Of texts, and of numbers that stand for categories.


@dataclass(frozen=True)
class Key:
    """What makes texts the same. Spaces around do not count. Then

    - a text that is one of `missing` is missing;
    - `by_value`, a number in digits is the shortest text of its value: `10` for `10.0` and `1e1`;
    - one of `words` is the text beside it.
    """

    missing: tuple[str, ...]
    by_value: bool
    words: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Code:
    """The code of a text: 0 if it is missing, that of its key, or `other`."""

    key: Key
    codes: tuple[tuple[str, int], ...]
    other: int


@dataclass(frozen=True)
class NumberCode:
    """The code of a number: 0 if it is missing, its own, or `other`."""

    codes: tuple[tuple[float, int], ...]
    other: int


@dataclass(frozen=True)
class Pick:
    """The number of a code, from 0."""

    values: Numbers


@dataclass(frozen=True)
class OneHot:
    """As many columns: `on` in column c - 1 of a code c, `off` in the others; 0 is all `off`."""

    off: Numbers
    on: Numbers


@dataclass(frozen=True)
class Count:
    """How often words occur, as `fastbp.data.words` says; a text that is one of `missing` has none."""

    missing: tuple[str, ...]
    weights: Numbers
    norm: float


Step = (
    Also
    | Finite
    | Missing
    | Fill
    | Shift
    | Soften
    | Levels
    | Ranks
    | Moment
    | Part
    | Share
    | Sine
    | Cosine
    | Code
    | NumberCode
    | Pick
    | OneHot
    | Count
)


@dataclass(frozen=True)
class Chain:
    """Steps of `count` columns of a raw one, from `first` on."""

    raw: Raw
    steps: tuple[Step, ...]
    first: int = 0
    count: int = 1

    @property
    def width(self) -> int:
        """How many of the network's inputs it makes."""
        last = self.steps[-1] if self.steps else None
        if isinstance(last, OneHot):
            return len(last.on)
        return len(last.weights) if isinstance(last, Count) else self.count


# Of outputs.


@dataclass(frozen=True)
class Exp:
    """eᶻ, rounded to the dtype of z"""


@dataclass(frozen=True)
class First:
    """The first so many columns."""

    count: int


@dataclass(frozen=True)
class Unscale:
    """z · spread + center in float64, and back in the dtype of z if it is `rounded`."""

    center: Numbers
    spread: Numbers
    rounded: bool


@dataclass(frozen=True)
class Back:
    """What undoes the transform of each column: `none`, `exp`, `expm1`, `square` of what is above 0, or a table."""

    ways: tuple[str | Table, ...]


@dataclass(frozen=True)
class Clip:
    """Kept from `low` to `high`, both rounded to the dtype of the numbers."""

    low: Numbers
    high: Numbers


Ending = Exp | First | Unscale | Back | Clip


@dataclass(frozen=True)
class Outcome:
    """What outputs z of a network mean.

    Attributes
    ----------
    task : {"classes", "labels", "numbers"}
        The first of the greatest, after one logit of two classes has got a 0 before it; 1 for each label whose logit is
        above 0; or numbers.
    names : tuple of str
        Of classes, labels, or columns of numbers.
    target : str
        The column of classes.
    link : tuple of steps
        From outputs to what the loss predicts, where it is not known otherwise.
    steps : tuple of steps
        From there to numbers in the units of the table.
    deviations : tuple of float
        By which standard deviations e^(s / 2), s the other half of the outputs, are multiplied; empty without such.
    around : tuple of bool
        For each column whether there are two ends, one deviation from the middle, instead of a deviation.
    """

    task: str
    names: tuple[str, ...]
    target: str = ""
    link: tuple[Ending, ...] = ()
    steps: tuple[Ending, ...] = ()
    deviations: Numbers = ()
    around: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Preprocessing:
    """What goes in and what comes out, of a network and its recipe."""

    raws: tuple[Raw, ...]
    chains: tuple[Chain, ...]
    outcome: Outcome
    dtype: str

    @property
    def width(self) -> int:
        """The network's inputs."""
        return sum(chain.width for chain in self.chains)
