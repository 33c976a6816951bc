"""What columns of numbers tell of the targets: along a straight line, and in bins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Column, Frame
from fastbp.data.numbers import Numbers
from fastbp.spec.bins import edges_of

Array = NDArray[Any]
TOLD_BINS = 16  # by which it is measured what bins tell
MOST_COLUMNS = 500  # of a matrix, above which that is not asked


def scaled(column: Column, scale: str) -> Array:
    """A column of numbers on a scale but for a factor, its missing ones filled in."""
    finite = np.where(np.isfinite(column.values), column.values, np.nan)
    finite = finite / (np.nanmax(np.abs(finite)) or 1.0)  # so that no square overflows
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

    def take(self, rows: Array) -> Goal:
        """The targets of some rows."""
        if self.codes is None:
            assert self.amounts is not None
            return Goal(self.amounts[rows], None)
        codes = self.codes[rows]
        return Goal(
            None, codes, self.classes, tuple(np.bincount(codes[codes >= 0], minlength=len(self.counts)).tolist())
        )

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

    def told_in_bins(self, x: Array, bins: int = TOLD_BINS, least: int | None = None) -> float:
        """The share of the variance that so many bins of `x` explain more than a straight line does.

        Both are counted without what they would explain by chance, so that it may be below 0.
        """
        edges = edges_of(x, bins, least)
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


def bent(
    frame: Frame, numbers: Iterable[str], goal: Goal, bins: int = TOLD_BINS, least: int | None = None
) -> float | None:
    """How much more of the target bins of a column of numbers tell than a straight line, on average; None without."""
    columns = [frame.columns[name] for name in numbers]
    found = [
        goal.told_in_bins(scaled(column, "none"), bins, least) for column in columns if np.isfinite(column.values).any()
    ]
    return float(np.mean(found)) if found else None


def bent_by(
    frame: Frame, numbers: Sequence[str | None], targets: Any, task: str, bins: int, least: int | None
) -> float | None:
    """The same of training rows: of columns, or of a matrix, whose name is None; targets by their names, or as such."""
    wide = frame.matrix
    if wide is not None:
        if not isinstance(wide, np.ndarray) or wide.shape[1] > MOST_COLUMNS:
            return None
        frame = Frame(None, {**frame.columns, **{f"\0{i}": Column(f"\0{i}", x) for i, x in enumerate(wide.T)}}, "")
        numbers = [*(f"\0{i}" for i in range(wide.shape[1])), *(name for name in numbers if name is not None)]
    goal = targets if isinstance(targets, Goal) else Goal.of(frame, targets, task)
    return bent(frame, [name for name in numbers if name is not None], goal, bins, least)
