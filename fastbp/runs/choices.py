"""What a configuration for a table says of each column, with the reason.

Columns are looked at in all rows, as their kinds are (`fastbp.data.kinds`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.categories import encodings_of, size_of
from fastbp.data.frame import Column, Frame
from fastbp.data.goal import Goal, scaled
from fastbp.data.kinds import FEW, Kind
from fastbp.data.moments import moments
from fastbp.data.numbers import scale_of
from fastbp.data.things import called_names
from fastbp.data.unseen import by_value
from fastbp.errors import DataError, visible

Array = NDArray[Any]
TRAINS = 0.7  # of the rows
BORDERLINE = 50  # different whole numbers of a target up to which classes and amounts look alike
TELLS = 0.01  # of the target, from which a scale tells more of it than another
DATE = 12  # numbers that a date becomes, about


@dataclass(frozen=True)
class Choice:
    """An entry of `data.columns` and why; how many columns the network takes for it; what is not certain of it.

    `inferred` says whether the entry is what a column is that has none; `categories` is how many a category has, whose
    width is known once all are (`encoded`); `amounts` says whether it is numbers.
    """

    entry: str
    about: str
    width: int = 0
    doubt: str = ""
    inferred: bool = False
    categories: int = 0
    amounts: bool = False


def choice_of(
    column: Column, kind: Kind, goal: Goal, ignored: bool = False, told: tuple[float, float] | None = None
) -> Choice:
    """What becomes of a column; `ignored` says that its categories are, as they nearly name rows.

    `told` is what the same number and neighbouring ones tell of the target where numbers are names by that.
    """
    name = visible(column.name)
    if kind.unclear is not None:
        about = f"or month: no date says which is first in {visible(kind.unclear)}"
        doubt = f"whether days or months come first in the dates of `{name}`, such as {visible(kind.unclear)}"
        return Choice("{type: date, order: day}", about, DATE, doubt)
    if kind.name == "ignore":
        return Choice("ignore", kind.about, 0, f"`{name}` is ignored: {kind.about}" if kind.otherwise else "")
    if kind.name == "date":
        return Choice("date", kind.about, DATE, _in_order(column, kind), inferred=True)
    if kind.name == "category":
        values = len(by_value(Counter(v for v in column.values.tolist() if v is not None)))
        if ignored:
            why = f"{values:,} values in {len(column.values):,} rows"
            doubt = f"`{name}` is ignored: {why}; `category` if they tell the target, `words` if their words do"
            return Choice("ignore", f"{kind.about}; too many for the rows", 0, doubt)
        return Choice("category", kind.about, inferred=True, categories=values)
    if column.is_text:
        return Choice("number", kind.about, 1, inferred=True)
    return _number(column, kind, goal, told)


def _number(column: Column, kind: Kind, goal: Goal, told: tuple[float, float] | None) -> Choice:
    """What becomes of a column of numbers: names of things, or amounts on the scale that tells more of the target."""
    there = column.values[np.isfinite(column.values)]
    values, name = len(np.unique(there)), visible(column.name)
    if told is not None or called_names(column):
        why = "by the word in the column's name"
        if told is not None:
            same, others = (max(0.0, share) for share in told)
            why = f"as the same number tells {same:.3f} of the target, neighbouring ones {others:.3f}"
        doubt = f"`{name}` is taken for {values:,} names of things: `number` if its numbers are amounts"
        return Choice("category", f"{kind.about}; {values:,} names of things, {why}", doubt=doubt, categories=values)
    id_ = bool((there == np.floor(there)).all()) and values == len(column.values) > BORDERLINE
    doubt = f"`{name}` is different in every row: `ignore` if it names rows" if id_ else ""
    if scale_of(np.sort(there)) == "standard":
        return Choice("number", kind.about, 1, doubt, inferred=True, amounts=True)
    plain, ranked = (goal.told_by(scaled(column, scale)) for scale in ("standard", "quantile"))
    tells = f"its numbers tell {plain:.2f} of the target, its quantiles {ranked:.2f}"
    if plain > ranked + TELLS:
        return Choice("number", f"{kind.about}; heavy tails, but {tells}", 1, doubt, inferred=True, amounts=True)
    return Choice("{type: number, scale: quantile}", f"{kind.about}; heavy tails: {tells}", 1, doubt, amounts=True)


def _in_order(column: Column, kind: Kind) -> str:
    """What is not certain where rows are in the order of their dates: whether later ones are to be predicted."""
    try:
        at = moments(Frame(None, {column.name: column}, ""), column.name, None, kind.order)
    except DataError:  # of dates with and without a zone, which training names
        return ""
    at = at[~np.isnat(at)].astype(np.int64)
    steps = np.diff(at)
    if len(np.unique(at)) < FEW or not ((steps >= 0).all() or (steps <= 0).all()):
        return ""
    return (
        f"the rows are in the order of `{visible(column.name)}`, and those to validate and test on are drawn among"
        " them: to predict what comes later, divide the table by time, into `data.train`, `data.validation` and"
        " `data.test`"
    )


def encoded(choices: Mapping[str, Choice], rows: int) -> dict[str, Choice]:
    """The choices for all columns, with what `auto` makes of their categories in so many rows that train."""
    encode = encodings_of({name: choice.categories for name, choice in choices.items() if choice.categories}, rows)
    out = dict(choices)
    for name, how in encode.items():
        choice = choices[name]
        if how == "one_hot":
            out[name] = replace(choice, width=choice.categories)
        else:
            about = f"{choice.about}; a learned row for each"
            out[name] = replace(choice, about=about, width=size_of(choice.categories))
    return out


def doubt_of(frame: Frame, targets: Sequence[str], task: str) -> str:
    """What is not certain of the target: whole numbers of few values may be classes or amounts."""
    column = frame.columns[targets[0]]
    if len(targets) > 1 or column.is_text or column.boolean or column.values.dtype.kind != "f":
        return ""
    there = column.values[np.isfinite(column.values)]
    values = len(np.unique(there))
    if not 2 < values <= BORDERLINE or (there != np.floor(there)).any():
        return ""
    other = "numbers` if they are amounts or marks" if task == "classes" else "classes` if they are names"
    return f"`{visible(targets[0])}` has {values} different whole numbers, taken for {task}: `task: {other}"
