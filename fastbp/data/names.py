"""Whole numbers that name things: what rows with the same number tell of the targets, and rows with neighbouring ones.

For an amount the rows with the next lower and the next higher numbers tell as much as those with the same: 1,500 square
feet and 1,510 are alike. Of a lecturer who is number 17 those with the numbers 16 and 18 tell next to nothing.

    same        for each row, the mean of the m other rows with its number
    beside      the mean of m rows with the nearest other numbers, half of them lower and half higher; of the last that
                is not taken whole, as large a part of its sum
    explained   1 - Σ (y - s mean)² / Σ y², with s = m / (m + k), and that of `PRIORS` as k for which it is largest

The target of a row is in neither mean, so both are what would be told of a new row. They explain as much by chance, as
they are of as many rows. y is the rank of an amount, or a column for each class, without its mean. Numbers are names if

- they are more than 20, come five times on average, and stand as close as numbered things do (`SPREAD`); fewer are told
  apart by bins, of which each has its own;
- `same` explains `LEAST`, twice as much as `beside`, and more by three standard errors of the sum over numbers, so that
  no single one is enough, such as 0 of an amount.

Where rows are of people, whose ages and heights repeat with them, these name people, too, if nothing else does. So the
clearest column is taken first, what it explains is taken from y, and so are texts and other categories before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.goal import Goal

Array = NDArray[Any]
FEW = 20  # different numbers up to which each has a bin
AGAIN = 5  # rows of a number, on average
SPREAD = 20  # whole numbers from the least to the largest for each that there is
PRIORS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)  # rows that a mean is drawn to the mean of all by
LEAST = 0.002  # of the targets that the same number has to explain
TIMES = 2.0  # as much as neighbours
ERRORS = 3.0  # standard errors by which it must be more
CLASSES = 20  # the most frequent of a target, which have columns


class Groups:
    """Rows by the values of a column, in the order of these."""

    def __init__(self, values: NDArray[Any]) -> None:
        _, self.of, counts = np.unique(values, return_inverse=True, return_counts=True)
        self.counts = counts.astype(np.float64)

    def sums(self, y: Array) -> Array:
        """Of the rows with each value."""
        return np.stack([np.bincount(self.of, column, len(self.counts)) for column in y.T], axis=1)


class Told:
    """What means of rows with the same value tell of y, and means of those beside them."""

    def __init__(self, groups: Groups, y: Array) -> None:
        self.groups, self.y, self.counts = groups, y, groups.counts
        self.sums = groups.sums(y)
        self.squares = groups.sums(np.square(y).sum(axis=1, keepdims=True))[:, 0]

    def by_same(self, k: float) -> Array:
        """The squared errors of the rows with each value: Σ (y - (S - y) w)², S the sum of all and w = 1 / (m + k)."""
        w = 1.0 / np.maximum(self.counts - 1.0 + k, 1.0)
        return (1.0 + w) ** 2 * self.squares + w * (self.counts * w - 2.0 - 2.0 * w) * _dots(self.sums, self.sums)

    def by_neighbours(self, k: float) -> Array:
        """The same of a sum N of neighbours: Σ (y - N w)²."""
        beside, taken = self.beside
        w = 1.0 / np.maximum(taken + k, 1.0)
        return self.squares - 2.0 * w * _dots(self.sums, beside) + self.counts * w**2 * _dots(beside, beside)

    @cached_property
    def beside(self) -> tuple[Array, Array]:
        """For each value the sum of y in as many neighbouring rows as others have it, and how many there are."""
        ends = np.append(0.0, np.cumsum(self.counts))
        first, end, most = ends[:-1], ends[1:], self.counts - 1.0
        left = np.minimum(most / 2.0, first)
        right = np.minimum(most - left, ends[-1] - end)
        left = np.minimum(most - right, first)
        below = np.vstack([np.zeros((1, self.sums.shape[1])), np.cumsum(self.sums, axis=0)])

        def upto(row: Array) -> Array:
            return np.stack([np.interp(row, ends, column) for column in below.T], axis=1)

        return upto(first) - upto(first - left) + upto(end + right) - upto(end), left + right

    def explained(self) -> tuple[float, float] | None:
        """What the same value explains of y, and what neighbours do; None if that does not make it a name."""
        same, others = (_least(errors) for errors in (self.by_same, self.by_neighbours))
        more, all_ = others - same, float(self.squares.sum())
        if all_ <= 0.0 or float(more.sum()) <= ERRORS * float(np.sqrt(np.square(more).sum())):
            return None
        by_same, by_others = (1.0 - float(errors.sum()) / all_ for errors in (same, others))
        return (by_same, by_others) if by_same >= max(LEAST, TIMES * by_others) else None

    def rest(self) -> Array:
        """What means of other rows with the same value leave of y."""
        k = min(PRIORS, key=lambda k: float(self.by_same(k).sum()))
        w = 1.0 / np.maximum(self.counts - 1.0 + k, 1.0)
        return np.asarray(self.y - (self.sums[self.groups.of] - self.y) * w[self.groups.of, None])


def names_among(
    numbers: Mapping[str, Array], categories: Iterable[NDArray[Any]], goal: Goal
) -> dict[str, tuple[float, float]]:
    """Which columns of numbers name things, the clearest first, and what the same number and neighbours explain.

    `categories` are columns of values that are known to be names.
    """
    there, y = targets(goal)
    groups = {name: Groups(x[there]) for name, x in numbers.items() if numbered(x)}
    groups = {name: group for name, group in groups.items() if Told(group, y).explained()}
    if groups:
        for column in categories:
            y = Told(Groups(column[there]), y).rest()
    found = {}
    while groups:
        told = {name: Told(group, y) for name, group in groups.items()}
        names = {name: explained for name, each in told.items() if (explained := each.explained())}
        groups = {name: groups[name] for name in names}
        if names:
            clearest = max(names, key=lambda name: names[name][0] - max(names[name][1], 0.0))
            found[clearest] = names[clearest]
            y = told[clearest].rest()
            del groups[clearest]
    return found


def numbered(x: Array) -> bool:
    """Whether numbers may be those of things, by themselves; missing ones are one more."""
    there = x[~np.isnan(x)]
    if not len(there) or not np.isfinite(there).all() or (there != np.floor(there)).any():
        return False
    values = len(np.unique(there))
    return FEW < values <= len(there) / AGAIN and float(there.max() - there.min()) < SPREAD * values


def targets(goal: Goal) -> tuple[NDArray[np.bool_], Array]:
    """Which rows have all targets, and a column for each amount or class, without its mean."""
    if goal.codes is None:
        assert goal.amounts is not None
        there = np.isfinite(goal.amounts).all(axis=1)
        y = np.stack([ranks(column) for column in goal.amounts[there].T], axis=1)
    else:
        there = goal.codes >= 0
        kept = np.argsort(-np.array(goal.counts), kind="stable")[:CLASSES]
        y = (goal.codes[there, None] == kept).astype(np.float64)
    return np.asarray(there), y - y.mean(axis=0) if len(y) else y


def ranks(column: Array) -> Array:
    """Of each number, from 0 to 1, the share of rows below it and half of those with it."""
    _, of, counts = np.unique(column, return_inverse=True, return_counts=True)
    return np.asarray(((np.cumsum(counts) - counts / 2.0) / len(column))[of])


def _dots(a: Array, b: Array) -> Array:
    return np.asarray((a * b).sum(axis=1))


def _least(errors: Callable[[float], Array]) -> Array:
    """The errors with the prior for which they are least."""
    return min((errors(k) for k in PRIORS), key=lambda found: float(found.sum()))
