"""What a configuration for a table begins with: of each column, of the network and of training, with the reason.

Columns are looked at in all rows, as their kinds are (`fastbp.data.kinds`); sizes go by the rows that train.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fastbp.data.categories import encodings_of, size_of
from fastbp.data.frame import Column, Frame
from fastbp.data.kinds import FEW, Array, Kind, words_of
from fastbp.data.moments import moments
from fastbp.data.numbers import Numbers, scale_of
from fastbp.data.unseen import by_value
from fastbp.errors import DataError, visible
from fastbp.spec.bins import edges_of

CODES = frozenset(("code", "codes", "guid", "id", "ids", "plz", "postcode", "uid", "uuid", "zip", "zipcode"))
TRAINS = 0.7  # of the rows
AGAIN = 5  # rows with a value, on average, from which numbers that name something are learned one by one
BORDERLINE = 50  # different whole numbers of a target up to which classes and amounts look alike
TELLS = 0.01  # of the target, from which a scale tells more of it than another
BINS_ROWS = 1000  # that train, below which bins are learned by heart
BENT = 0.005  # of the target, that bins of a column tell of it more than a straight line, from which they are worth it
TOLD_BINS = 16  # by which that is measured
MOST_BINS = 2000  # of all columns of numbers
STEPS = 2500  # of the optimiser, in a run
DECAY = 0.05  # of weights
DATE = 12  # numbers that a date becomes, about
METRICS = {  # of a task, or of two classes, and what they are for
    "two": (("roc_auc", "balanced_accuracy"), "ranking, whatever the threshold; and both classes alike, however rare"),
    "classes": (("accuracy", "balanced_accuracy"), "of all rows, and of all classes alike, however rare"),
    "labels": (("accuracy", "roc_auc"), "of each label, at one half, and ranking, whatever the threshold"),
    "numbers": (("rmse", "r2"), "in the units of the target, and as a share of its variance"),
}


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


def nearly_names(column: Column) -> bool:
    """Whether texts have more values than half of the rows, so that most say nothing of another row."""
    values = {v for v in column.values.tolist() if v is not None} if column.is_text else ()
    return len(values) > max(FEW, len(column.values) / 2)


def choice_of(column: Column, kind: Kind, goal: Goal, ignored: bool = False) -> Choice:
    """What becomes of a column; `ignored` says that its categories are, as they nearly name rows."""
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
            told = f"`{name}` is ignored: {why}; `category` if they tell the target, `words` if their words do"
            return Choice("ignore", f"{kind.about}; too many for the rows", 0, told)
        return Choice("category", kind.about, inferred=True, categories=values)
    if column.is_text:
        return Choice("number", kind.about, 1, inferred=True)
    return _number(column, kind, goal)


def _number(column: Column, kind: Kind, goal: Goal) -> Choice:
    """What becomes of a column of numbers: names of things, or amounts on the scale that tells more of the target."""
    there = column.values[np.isfinite(column.values)]
    values, name = len(np.unique(there)), visible(column.name)
    whole = bool((there == np.floor(there)).all())
    if whole and 2 < values <= len(there) / AGAIN and CODES & set(words_of(column.name)):
        about = f"{kind.about}; {values:,} names of things, by the word in the column's name"
        doubt = f"`{name}` is taken for {values:,} names of things: `number` if its numbers are amounts"
        return Choice("category", about, doubt=doubt, categories=values)
    id_ = whole and values == len(column.values) > BORDERLINE
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


def scaled(column: Column, scale: str) -> Array:
    """A column of numbers on a scale but for a factor, its missing ones filled in."""
    finite = np.where(np.isfinite(column.values), column.values, np.nan)
    finite = finite / np.nanmax(np.abs(finite))  # so that no square overflows
    frame = Frame(None, {column.name: Column(column.name, finite)}, "")
    numbers, out = Numbers(column.name, scale, "mean"), np.zeros((len(finite), 1))
    numbers.fit(frame)
    numbers.apply(frame, out)
    return out[:, 0]


@dataclass(frozen=True)
class Goal:
    """The targets: `amounts`, a column each, or `codes` of `classes`, -1 for none, with the rows of each class."""

    amounts: Array | None
    codes: Array | None
    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    @classmethod
    def of(cls, frame: Frame, targets: Sequence[str], task: str) -> Goal:
        if task != "classes":
            return cls(np.stack([frame.numbers(target) for target in targets], axis=1), None)
        texts = frame.texts(targets[0])
        there = np.array([text is not None for text in texts], bool)
        names, codes, counts = np.unique(texts[there].astype(str), return_inverse=True, return_counts=True)
        out = np.full(len(texts), -1)
        out[there] = codes
        return cls(None, out, tuple(names.tolist()), tuple(counts.tolist()))

    def told_by(self, x: Array) -> float:
        """The share of the variance that a straight line from `x` explains, or that lies between classes, 0 to 1."""
        if self.codes is not None:
            there = self.codes >= 0
            x, codes = x[there] - x[there].mean(), self.codes[there]
            counts = np.bincount(codes)
            between, all_ = float((np.bincount(codes, x) ** 2 / counts).sum()), float((x**2).sum())
            return between / all_ if all_ > 0.0 else 0.0
        assert self.amounts is not None
        found = []
        for y in self.amounts.T:
            there = np.isfinite(y)
            a, b = x[there] - x[there].mean(), y[there] - y[there].mean()
            b = b / (np.abs(b).max() or 1.0)
            squares = float((a**2).sum() * (b**2).sum())
            found.append(float((a * b).sum()) ** 2 / squares if squares > 0.0 else 0.0)
        return float(np.mean(found))

    def told_in_bins(self, x: Array) -> float:
        """The share of the variance that `TOLD_BINS` bins of `x` explain more than a straight line does.

        Both are counted without what they would explain by chance, so that it may be below 0.
        """
        edges = edges_of(x, TOLD_BINS)
        if len(edges) < 3:
            return 0.0
        here = np.searchsorted(edges[1:-1], x, side="right")
        if self.codes is not None:
            there = self.codes >= 0
            return _more_of_classes(x[there], here[there], self.codes[there])
        assert self.amounts is not None
        found = []
        for y in self.amounts.T:
            there = np.isfinite(y)
            found.append(_more(x[there], here[there], y[there] / (np.abs(y[there]).max() or 1.0)))
        return float(np.mean(found))


def _more(x: Array, bins: Array, y: Array) -> float:
    """How much more of the variance of `y` the means of bins explain than a straight line from `x`."""
    a, b = x - x.mean(), y - y.mean()
    return _ahead(a, bins, np.bincount(bins, b)[:, None], np.array([a @ b]), float((b**2).sum()))


def _more_of_classes(x: Array, bins: Array, codes: Array) -> float:
    """The same for all columns of 0 and 1, one a class, of which only counts are made."""
    a, classes = x - x.mean(), int(codes.max()) + 1
    counts = np.bincount(bins * classes + codes, minlength=(int(bins.max()) + 1) * classes).reshape(-1, classes)
    shares = counts.sum(axis=0) / len(x)
    sums = counts - counts.sum(axis=1, keepdims=True) * shares
    return _ahead(a, bins, sums, np.bincount(codes, a), len(x) * float((shares * (1.0 - shares)).sum()))


def _ahead(a: Array, bins: Array, sums: Array, along: Array, whole: float) -> float:
    """How far bins are ahead of a line, from sums of a target in each bin, its products with `a`, and its squares."""
    rows, squares, counts = len(a), float((a**2).sum()), np.bincount(bins)
    taken = int(np.count_nonzero(counts))
    if rows <= max(taken, 2) or whole <= 0.0 or squares == 0.0:
        return 0.0
    means = float((sums**2 / np.maximum(counts, 1)[:, None]).sum()) / whole
    line = float((along**2).sum()) / squares / whole
    by_chance = (rows - 1) / (rows - taken), (rows - 1) / (rows - 2)
    return float((1.0 - line) * by_chance[1] - (1.0 - means) * by_chance[0])


def bent(frame: Frame, choices: Mapping[str, Choice], goal: Goal) -> float | None:
    """How much more of the target bins of a column of numbers tell than a straight line, on average; None without."""
    numbers = [frame.columns[name] for name, choice in choices.items() if choice.amounts]
    found = [goal.told_in_bins(scaled(column, "none")) for column in numbers if np.isfinite(column.values).any()]
    return float(np.mean(found)) if found else None


def bins_of(rows: int, numbers: int, task: str) -> int:
    """Bins of each column of numbers, with so many rows that train that they tell something; 0 where rows are few, or
    columns many.

    A class says less of its row than a number does, so it takes more of them.
    """
    if rows < BINS_ROWS:
        return 0
    bins = min(48, max(4, rows // (250 if task == "numbers" else 1000)), MOST_BINS // max(1, numbers))
    return bins if bins >= 4 else 0


def width_of(rows: int) -> int:
    """Width of the two hidden layers for so many rows that train."""
    return 32 if rows < 1000 else 64 if rows < 5000 else 128 if rows < 50_000 else 256


def dropout_of(rows: int, inputs: int) -> float:
    """Dropout for so many rows that train and columns that the network takes: more where rows are few for them."""
    each = rows / max(1, inputs)
    return 0.2 if each < 50 else 0.1 if rows < 100_000 else 0.0


def batch_of(rows: int) -> int:
    """Rows of a step: about a hundred steps in an epoch, within what learns well."""
    return min(1024, max(32, int(2 ** round(math.log2(max(rows, 1) / 60)))))


def rate_of(batch: int) -> float:
    """Learning rate of AdamW, in proportion to the root of the batch: larger batches have less noise."""
    return min(0.005, float(f"{0.003 * math.sqrt(batch / 256):.1g}"))


def epochs_of(rows: int, batch: int) -> int:
    """Epochs that make `STEPS` steps."""
    return min(200, max(20, math.ceil(STEPS / max(1, rows // batch) / 10) * 10))
