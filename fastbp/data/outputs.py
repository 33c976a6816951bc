"""Targets: from columns to numbers and back."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.data.stored import Stored
from fastbp.errors import DataError, visible

Array = NDArray[Any]
TASKS = ("classes", "labels", "numbers")


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
    """

    task: str
    columns: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    center: Array = field(default_factory=lambda: np.zeros(0))
    spread: Array = field(default_factory=lambda: np.ones(0))

    def fit(self, frame: Frame, scaled: bool) -> None:
        """Fit the classes, or the scale of numbers."""
        if self.task == "classes":
            values = frame.texts(self.columns[0])
            self._all_there(values, frame, self.columns[0])
            self.names = _ordered(set(values.tolist()))
            if len(self.names) < 2:
                raise DataError(
                    f"{frame.origin}: target `{visible(self.columns[0])}` must have at least two classes,"
                    f" got only `{visible(self.names[0])}`"
                )
            return
        self.names = list(self.columns)
        self.center, self.spread = np.zeros(len(self.names)), np.ones(len(self.names))
        for i, name in enumerate(self.columns):
            values = frame.numbers(name)
            self._all_there(values, frame, name)
            if self.task == "numbers" and scaled:
                self.center[i], self.spread[i] = _scale(values, frame, name)

    @staticmethod
    def _all_there(values: Array, frame: Frame, name: str) -> None:
        gone = np.array([v is None or v != v for v in values.tolist()], bool)
        if gone.any():
            raise DataError(
                f"{frame.place(int(np.argmax(gone)))}target `{visible(name)}` must have a value",
                hint="`data.missing_target: drop` leaves out rows without one",
            )
        if values.dtype.kind == "f" and np.isinf(values).any():
            row = int(np.argmax(np.isinf(values)))
            raise DataError(f"{frame.place(row)}target `{visible(name)}` must be finite, got `{values[row]}`")

    def targets(self, frame: Frame, dtype: Any) -> Array:
        """Targets as the loss takes them."""
        if self.task == "classes":
            name = self.columns[0]
            values = frame.texts(name)
            self._all_there(values, frame, name)
            place = {value: i for i, value in enumerate(self.names)}
            out = np.array([place.get(value, -1) for value in values.tolist()], np.int64)
            if (out < 0).any():
                row = int(np.argmax(out < 0))
                raise DataError(
                    f"{frame.place(row)}target `{visible(name)}` must be a class seen in training,"
                    f" got `{visible(values[row])}`"
                )
            return out
        parts = []
        for i, name in enumerate(self.columns):
            values = frame.numbers(name)
            self._all_there(values, frame, name)
            if self.task == "labels" and not np.isin(values, (0.0, 1.0)).all():
                row = int(np.argmin(np.isin(values, (0.0, 1.0))))
                raise DataError(f"{frame.place(row)}label `{visible(name)}` must be 0 or 1, got `{values[row]:g}`")
            parts.append((values - self.center[i]) / self.spread[i])
        return np.ascontiguousarray(np.stack(parts, axis=1).astype(dtype))

    @property
    def width(self) -> int:
        """Outputs of the network."""
        return len(self.names)

    def unscaled(self, numbers: Array) -> Array:
        """Predicted numbers in the units of the table; float64 where float32 would round a large centre."""
        if self.task != "numbers" or not (self.center.any() or (self.spread != 1.0).any()):
            return numbers
        with np.errstate(over="ignore"):  # overflow to infinity is fine here
            found = numbers.astype(np.float64) * self.spread + self.center
            near = (np.abs(self.center) <= 100.0 * self.spread).all()
            return np.asarray(found.astype(numbers.dtype) if near else found)

    def to_data(self) -> dict[str, Any]:
        out: dict[str, Any] = {"task": self.task, "columns": self.columns, "names": self.names}
        return {**out, "center": self.center.tolist(), "spread": self.spread.tolist()}

    @classmethod
    def from_data(cls, data: Stored) -> Outputs:
        """From the result of `to_data`, as stored in a file."""
        found = data.keys(*(f.name for f in fields(cls)))
        task = found["task"].one_of(TASKS)
        columns, names = found["columns"].texts(), found["names"].texts()
        if not columns or (task == "classes" and len(columns) > 1):
            raise found["columns"].fail(f"name {'one column' if task == 'classes' else 'columns'}")
        if task == "classes" and len(names) < 2:
            raise found["names"].fail("name two classes at least")
        if task != "classes" and names != columns:
            raise found["names"].fail("be those of `outputs.columns`")
        count = 0 if task == "classes" else len(names)
        return cls(task, columns, names, found["center"].numbers(count), found["spread"].positive(count))


def _ordered(names: set[str]) -> list[str]:
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
