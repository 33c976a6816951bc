"""Targets: from columns to numbers and back.

A number y to predict becomes (f(y) - center) / spread, with f its transform; `back` is the way back, which may end at
the least and the greatest y of the training rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.data.kinds import EXACT
from fastbp.data.stored import Stored
from fastbp.data.transforms import Transform
from fastbp.data.unseen import Keys
from fastbp.errors import DataError, visible

Array = NDArray[Any]
TASKS = ("classes", "labels", "numbers")
ENDS = ("low", "high")
HELD = 1e30  # deviation up to which float32 holds numbers, and those far from their mean


@dataclass
class Outputs:
    """The targets: named classes, several labels, or numbers, which may be scaled.

    Attributes
    ----------
    task : {"classes", "labels", "numbers"}
    names : list of str
        Of the classes, the labels, or the columns of numbers.
    columns : list of str
        Target columns; empty where targets are arrays.
    center, spread : array
        Mean and deviation of each column of numbers, transformed; 0 and 1 where it is not scaled.
    transforms : list of Transform
        Of each column of numbers; empty for other tasks.
    low, high : array
        The least and the greatest number of each column, where predictions are to stay between; else empty.
    """

    task: str
    columns: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    center: Array = field(default_factory=lambda: np.zeros(0))
    spread: Array = field(default_factory=lambda: np.ones(0))
    transforms: list[Transform] = field(default_factory=list)
    low: Array = field(default_factory=lambda: np.zeros(0))
    high: Array = field(default_factory=lambda: np.zeros(0))

    def fit(self, frame: Frame, scaled: bool, clamped: bool = False) -> None:
        """Fit the classes, or the scale of numbers, and between what their predictions are to stay."""
        if self.task == "classes":
            values = frame.texts(self.columns[0])
            self._all_there(values, frame, self.columns[0])
            _told_apart(frame, self.columns[0])
            written = set(values.tolist())
            self.names = ordered(set(map(Keys(written), written)))
            if len(self.names) < 2:
                raise DataError(
                    f"{frame.origin}: target `{visible(self.columns[0])}` must have at least two classes,"
                    f" got only `{visible(self.names[0])}`"
                )
            return
        self.names = list(self.columns)
        self.center, self.spread = np.zeros(len(self.names)), np.ones(len(self.names))
        values = self.values(frame)
        if self.task != "numbers":
            return
        self.transforms = self.transforms or [Transform() for _ in self.columns]
        for i, (name, transform) in enumerate(zip(self.columns, self.transforms, strict=True)):
            transform.check(values[:, i], frame, name)
            transform.fit(values[:, i])
            if scaled:
                self.center[i], self.spread[i] = _scale(transform.forward(values[:, i]), frame, name)
        if clamped:
            self.low, self.high = values.min(axis=0), values.max(axis=0)

    @staticmethod
    def _all_there(values: Array, frame: Frame, name: str) -> None:
        gone = np.array([v is None or v != v for v in values.tolist()], bool)
        if gone.any():
            must = f"{frame.place(int(np.argmax(gone)))}target `{visible(name)}` must have a value"
            raise DataError(must, hint=frame.without_target)
        if values.dtype.kind == "f" and np.isinf(values).any():
            row = int(np.argmax(np.isinf(values)))
            raise DataError(f"{frame.place(row)}target `{visible(name)}` must be finite, got `{values[row]}`")

    def targets(self, frame: Frame, dtype: Any) -> Array:
        """Targets as the loss takes them."""
        if self.task == "classes":
            name = self.columns[0]
            values = frame.texts(name)
            self._all_there(values, frame, name)
            code = self._codes(set(values.tolist()))
            out = np.array([code[value] for value in values.tolist()], np.int64)
            if (out < 0).any():
                row = int(np.argmax(out < 0))
                raise DataError(
                    f"{frame.place(row)}target `{visible(name)}` must be a class seen in training,"
                    f" got `{visible(values[row])}`"
                )
            return out
        values = self.values(frame)
        parts = []
        for i, name in enumerate(self.columns):
            column = values[:, i]
            if self.task == "labels" and not np.isin(column, (0.0, 1.0)).all():
                row = int(np.argmin(np.isin(column, (0.0, 1.0))))
                raise DataError(f"{frame.place(row)}label `{visible(name)}` must be 0 or 1, got `{column[row]:g}`")
            if self.task == "numbers":
                self.transforms[i].check(column, frame, name)
                column = self.transforms[i].forward(column)
            parts.append((column - self.center[i]) / self.spread[i])
        return np.ascontiguousarray(np.stack(parts, axis=1).astype(dtype))

    def _codes(self, written: set[str]) -> dict[str, int]:
        """The class of each text, or -1; models of older versions have names that are equal by value."""
        key, exact = Keys(self.names), {name: i for i, name in enumerate(self.names)}
        same: dict[str, int] = {}
        for i, name in enumerate(self.names):
            same.setdefault(key(name), i)
        return {value: exact.get(value, same.get(key(value), -1)) for value in written}

    def values(self, frame: Frame) -> Array:
        """Labels, or numbers in the units of the table, as float64, shape (rows, columns)."""
        parts = []
        for name in self.columns:
            parts.append(frame.numbers(name, target=True))
            self._all_there(parts[-1], frame, name)
        return np.stack(parts, axis=1).astype(np.float64)

    @property
    def width(self) -> int:
        """Outputs of the network."""
        return len(self.names)

    @property
    def transformed(self) -> bool:
        """Whether a target has a transform."""
        return any(transform.name != "none" for transform in self.transforms)

    @property
    def narrow(self) -> bool:
        """Whether float32 holds numbers in the units of the table; it rounds large centres, and ends near 1e38."""
        near = np.abs(self.center) <= 100.0 * self.spread
        return bool((near & (self.spread >= 1.0 / HELD) & (self.spread <= HELD)).all()) and not self.transformed

    def unscaled(self, numbers: Array) -> Array:
        """Predicted numbers in the units of the table; float64 where these are more than float32 holds."""
        if self.task != "numbers" or not (self.transformed or self.center.any() or (self.spread != 1.0).any()):
            return self._clamped(numbers)
        with np.errstate(over="ignore"):  # overflow to infinity is fine here
            found = numbers.astype(np.float64) * self.spread + self.center
            if self.transformed:
                return self._clamped(self._each("back", found))
            return self._clamped(found.astype(numbers.dtype) if self.narrow else found)

    def _clamped(self, numbers: Array) -> Array:
        """Numbers in the units of the table, kept between those of the training rows if they are to be."""
        if not len(self.low):
            return numbers
        return np.clip(numbers, self.low.astype(numbers.dtype), self.high.astype(numbers.dtype))

    def back(self, outputs: Array) -> Array:
        """The same in float64, of all outputs of a network: behind the numbers some losses have others, which stay."""
        width = len(self.columns)
        numbers = self._clamped(self._each("back", outputs[:, :width] * self.spread + self.center))
        return np.hstack([numbers, outputs[:, width:]])

    def slopes(self, numbers: Array) -> Array:
        """Derivatives of `unscaled`: what a change of each output by 1 is in the units of the table."""
        found = numbers.astype(np.float64) * self.spread + self.center
        slopes = self._each("slope", found) * self.spread
        if not len(self.low):
            return slopes
        back = self._each("back", found)
        return np.where((back < self.low) | (back > self.high), 0.0, slopes)

    def _each(self, way: str, columns: Array) -> Array:
        """A method of the transforms, of all columns."""
        pairs = zip(self.transforms, columns.T, strict=True)
        return np.stack([getattr(transform, way)(column) for transform, column in pairs], axis=1)

    def to_data(self) -> dict[str, Any]:
        out: dict[str, Any] = {"task": self.task, "columns": self.columns, "names": self.names}
        out |= {"center": self.center.tolist(), "spread": self.spread.tolist()}
        if len(self.low):
            out |= {"low": self.low.tolist(), "high": self.high.tolist()}
        return out | ({"transforms": [one.to_data() for one in self.transforms]} if self.transformed else {})

    @classmethod
    def from_data(cls, data: Stored) -> Outputs:
        """From the result of `to_data`, as stored in a file; there are no `transforms` where no target has one, and no
        `low` and `high` where predictions may be any numbers.
        """
        found = data.keys(*(f.name for f in fields(cls)), absent=dict.fromkeys(("transforms", "low", "high")))
        task = found["task"].one_of(TASKS)
        columns, names = found["columns"].texts(), found["names"].texts()
        if not columns or (task == "classes" and len(columns) > 1):
            raise found["columns"].fail(f"name {'one column' if task == 'classes' else 'columns'}")
        if task == "classes" and len(names) < 2:
            raise found["names"].fail("name two classes at least")
        if task != "classes" and names != columns:
            raise found["names"].fail("be those of `outputs.columns`")
        count = 0 if task == "classes" else len(names)
        transforms = [Transform() for _ in columns] if task == "numbers" else []
        if found["transforms"].value is not None:
            said = found["transforms"].items()
            if len(said) != len(transforms):
                raise found["transforms"].fail(f"have {len(transforms)} transform{'s' * (len(transforms) != 1)}")
            transforms = [Transform.from_data(one) for one in said]
        low, high = (found[name].numbers(count) if found[name].value is not None else np.zeros(0) for name in ENDS)
        if len(low) != len(high) or (len(low) and task != "numbers") or (low > high).any():
            raise found["low"].fail("be at most `outputs.high`, of numbers")
        scale = found["center"].numbers(count), found["spread"].positive(count)
        return cls(task, columns, names, *scale, transforms, low, high)


def ordered(names: set[str]) -> list[str]:
    """Sorted: by value if all are numbers, else alphabetically."""
    try:
        return sorted(names, key=lambda name: (float(name), name))
    except ValueError:
        return sorted(names)


def _scale(values: Array, frame: Frame, name: str) -> tuple[float, float]:
    """Mean and standard deviation; 1 for a constant."""
    if values.min() == values.max():
        return float(values[0]), 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean = values.mean()
        deviation = np.sqrt(np.square(values - mean).mean())
    if not np.isfinite(deviation):
        most = values[np.argmax(np.abs(values))]
        raise DataError(
            f"{frame.origin}: target `{visible(name)}` must have numbers whose spread is finite, got `{most:g}`"
        )
    return float(mean), float(deviation) if deviation > 0.0 else 1.0


def _told_apart(frame: Frame, name: str) -> None:
    """Refuse classes that are numbers of which float64 holds several as one."""
    values = frame.column(name).values
    long = np.abs(values) >= EXACT if values.dtype.kind == "f" else np.zeros(0, bool)
    if long.any():
        row = int(np.argmax(long))
        must = f"target `{visible(name)}` must have classes that are texts or below 2⁵³, got `{values[row]:.0f}`"
        raise DataError(f"{frame.place(row)}{must}", hint="a letter in front makes a text of a number")
