"""Columns that alone tell the target, as copies of it do, and what is known only afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.errors import DataWarning, visible

Array = NDArray[Any]
FEWEST = 20  # rows that have column and target, below which they may agree by chance
MOST = 100_000  # rows that are looked at
ALIKE = 0.9999  # correlation of ranks from which two columns of numbers are one
REPEATED = 10  # rows of a value, on average, that all have one class


def leaks_of(frame: Frame, names: Iterable[str], targets: Sequence[str], task: str) -> dict[str, str]:
    """The columns that alone tell a target, each with that target.

    A column of numbers tells numbers if both rise together, or one as the other falls; any column tells classes if all
    rows with the same value have the same class, ten rows a value on average, as a name or a cause of the class does.
    """
    step = max(1, len(frame) // MOST)
    found: dict[str, str] = {}
    for target in targets:
        told = _codes(frame, target, step) if task != "numbers" else frame.numbers(target)[::step]
        for name in names:
            column = frame.columns[name]
            if task == "numbers":
                tells = not column.is_text and column.values.dtype.kind == "f" and _rise(column.values[::step], told)
            else:
                tells = _decide(_codes(frame, name, step), told)
            if tells:
                found.setdefault(name, target)
    return found


def say_leaks(origin: str, leaks: Mapping[str, str]) -> None:
    """Warn of columns that alone tell a target."""
    for name, target in leaks.items():
        warnings.warn(
            DataWarning(
                f"{origin}: column `{visible(name)}` alone tells the target `{visible(target)}`",
                hint="if it is known only once the target is, make it `ignore` in the configuration",
            ),
            stacklevel=3,
        )


def _codes(frame: Frame, name: str, step: int) -> Array:
    """A column as numbers of its values, NaN where missing."""
    values = frame.columns[name].values[::step]
    if values.dtype.kind != "O":
        return np.where(values == values, values.astype(np.float64), np.nan)
    numbers: dict[Any, int] = {}
    return np.array([np.nan if v is None else numbers.setdefault(v, len(numbers)) for v in values.tolist()], np.float64)


def _rise(x: Array, y: Array) -> bool:
    """Whether two columns of numbers have the same order, or the opposite one."""
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < FEWEST:
        return False
    a, b = _ranks(x[both]), _ranks(y[both])
    spread = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return spread > 0.0 and abs(float((a * b).sum())) >= ALIKE * spread


def _ranks(x: Array) -> Array:
    """Ranks around 0; equal numbers have the mean of theirs."""
    _, where, counts = np.unique(x, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2.0)[where] - (len(x) + 1) / 2.0)


def _decide(x: Array, y: Array) -> bool:
    """Whether rows with the same value have the same class, and there are many of each."""
    both = np.isfinite(x) & np.isfinite(y)
    values, where = np.unique(x[both], return_inverse=True)
    classes, of = np.unique(y[both], return_inverse=True)
    if both.sum() < max(FEWEST, REPEATED * len(values)) or len(classes) < 2:
        return False
    pairs = np.unique(where * len(classes) + of)
    return len(pairs) == len(values)
