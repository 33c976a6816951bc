"""Rows with their targets, and the folds that they are divided into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, DataError
from fastbp.numerics.splits import split

if TYPE_CHECKING:
    from fastbp.data.frame import Frame
    from fastbp.data.goal import Goal

Array = NDArray[Any]


@contextmanager
def restoring(estimator: Any, before: dict[str, Any]) -> Iterator[None]:
    """Say of `X_val` and `y_val` what is wrong with them, and leave the estimator as it was before its fit."""
    try:
        yield
    except BaseException as error:
        vars(estimator).clear()
        vars(estimator).update(before)
        if isinstance(error, DataError):
            named = {"y": "y_val", "X": "X_val"}.get(error.where or "", error.where)
            must = f"X_val: {error.must.removeprefix('X: ')}" if error.must.startswith("X: ") else error.must
            raise error.at(where=named, must=must) from None
        raise


@dataclass
class Rows:
    """Rows with their targets: classes from 0, or numbers or labels side by side.

    Attributes
    ----------
    place : array of int
        Of each row that was given, which of these it is, or -1 for one that is left out, as its weight is 0.
    left_out : Frame, optional
    soft : array, optional
        Probabilities of the classes, which are trained on instead of y.
    ready : tuple of arrays, optional
        The rows as a network takes them, and their targets, where they were looked at before.
    """

    frame: Frame
    y: Array
    weight: Array | None
    place: Array
    left_out: Frame | None = None
    soft: Array | None = None
    ready: tuple[Any, Array] | None = None

    @property
    def classes(self) -> Array | None:
        """The class of each row, where it has one."""
        return self.y if self.y.dtype.kind == "i" and self.y.ndim == 1 else None

    def goal(self, names: Sequence[str] = ()) -> Goal:
        """The targets as what columns tell of; `names` are those of classes."""
        from fastbp.data.goal import Goal

        if self.classes is None:
            return Goal(self.y, None)
        return Goal(None, self.classes, tuple(names), tuple(np.bincount(self.classes).tolist()))

    def take(self, rows: Array) -> Rows:
        """Some of the rows."""
        weight = None if self.weight is None else self.weight[rows]
        soft = None if self.soft is None else self.soft[rows]
        return Rows(self.frame.take(rows), self.y[rows], weight, np.arange(len(rows)), soft=soft)

    def as_a_set(self) -> Rows:
        """Equal rows as one with the sum of their weights, in an order that is that of no table."""
        X = self.frame.matrix
        assert isinstance(X, np.ndarray)
        table = np.column_stack([X, self.y, *([] if self.soft is None else [self.soft])]).astype(np.float64)
        _, first, one = np.unique(table, axis=0, return_index=True, return_inverse=True)
        one = one.ravel()
        sums = np.bincount(one, self.weight)
        place = np.where(self.place < 0, -1, one[self.place])
        weight = None if np.all(sums == 1.0) else sums
        return replace(self.take(first), weight=weight, place=place, left_out=self.left_out)

    def divided(self, fraction: float, seed: int) -> tuple[Rows, Rows]:
        """Some rows to train on, and the others, which decide when to stop."""
        try:
            found = split(len(self.y), seed, fraction, 0.0, classes=self.classes)
        except DataError:
            must = f"must leave rows to train on and to stop by, of {len(self.y)}"
            raise DataError("validation_fraction", must, f"`{fraction}`") from None
        return self.take(found["train"]), self.take(found["validation"])

    def folds(self, count: int, seed: int) -> list[tuple[Array, Array]]:
        """For each fold the numbers of the other rows, and those of its own; equal rows of a set are in one fold."""
        given = len(self.place) - int((self.place < 0).sum())
        if count > given or len(self.y) < 2:
            raise ConfigError("n_cv", f"must be at most {given}, the rows to train on", f"`{count}`")
        count = min(count, len(self.y))
        found = [split(len(self.y), seed, 0.0, 0.0, classes=self.classes, folds=count, fold=i) for i in range(count)]
        return [(part["train"], part["validation"]) for part in found]
