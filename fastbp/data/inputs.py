"""From a frame to the matrix a network takes: fitted on training rows, stored with the model, applied to raw tables.

A number x becomes, after missing ones have been filled in,

    standard   (x - mean) / deviation
    robust     c / √(1 + (c/3)²) with c = (x - median) / (quartile range), which keeps outliers within ±3
    quantile   Φ⁻¹(F(x)) with F the distribution of the training rows, at up to 1000 quantiles
    none       x

A category becomes a column of zeros and ones for each value seen in training, all zeros for a value not seen; or, for
an embedding, a code: 0 for values not seen and missing ones, then 1, 2, ...
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.errors import DataError

Array = NDArray[Any]
QUANTILES = 1000
SCALES = ("standard", "robust", "quantile", "none")
FILLS = ("mean", "median", "constant", "refuse")


@dataclass
class Numbers:
    """How one column of numbers, or every column of a matrix, goes in.

    `center`, `spread` and `fill` have one number a column; `knots` is (quantiles, columns) for `quantile`.
    """

    name: str | None  # of the column; None is the frame's matrix
    scale: str
    missing: str
    value: float = 0.0
    indicator: bool = False
    fill: Array = field(default_factory=lambda: np.zeros(0))
    center: Array = field(default_factory=lambda: np.zeros(0))
    spread: Array = field(default_factory=lambda: np.zeros(0))
    knots: Array = field(default_factory=lambda: np.zeros((0, 0)))
    holes: Array = field(default_factory=lambda: np.zeros(0, bool))  # columns with an indicator

    def raw(self, frame: Frame) -> Array:
        """The column or the matrix as it stands in a frame."""
        if self.name is not None:
            return frame.numbers(self.name)[:, None]
        if frame.matrix is None:
            raise DataError(f"{frame.origin}: must hold a matrix, as the training rows did, got named columns")
        return frame.matrix

    def fit(self, frame: Frame) -> None:
        x = self.raw(frame)
        width = x.shape[1]
        if self.name is None and self.scale == "none":
            self._refuse_missing(x, frame)
            self.fill = np.zeros(width)
            self.center, self.spread = np.zeros(width), np.ones(width)
            self.holes = np.zeros(width, bool)
            return
        x = np.asarray(x, np.float64)
        gone = np.isnan(x)
        if self.missing == "refuse":
            self._refuse_missing(x, frame)
        self.holes = np.asarray(gone.any(axis=0) & self.indicator)
        self.fill, self.center, self.spread = np.zeros(width), np.zeros(width), np.ones(width)
        knots = []
        for i in range(width):
            column = x[~gone[:, i], i]
            column = column[np.isfinite(column)]
            ordered = np.sort(column)
            if self.missing == "constant":
                self.fill[i] = self.value
            elif column.size:
                self.fill[i] = column.mean() if self.missing == "mean" else _quantile(ordered, 0.5)
            filled = np.where(np.isnan(x[:, i]), self.fill[i], x[:, i])
            if self.scale == "standard":
                self.center[i] = filled.mean()
                self.spread[i] = np.sqrt(np.square(filled - self.center[i]).mean())
            elif self.scale == "robust":
                ordered = np.sort(filled)
                low, self.center[i], high = (_quantile(ordered, q) for q in (0.25, 0.5, 0.75))
                self.spread[i] = high - low if high > low else (ordered[-1] - ordered[0]) / 2.0
            elif self.scale == "quantile":
                ordered = np.sort(filled)
                parts = np.linspace(0.0, 1.0, min(QUANTILES, len(ordered)))
                knots.append(np.array([_quantile(ordered, q) for q in parts]))
        self.spread[~(self.spread > 0.0)] = 1.0  # a constant column becomes zeros
        if knots:
            self.knots = np.stack(knots, axis=1)

    def _refuse_missing(self, x: Array, frame: Frame) -> None:
        if x.dtype.kind == "f" and np.isnan(x).any():
            row, column = (int(i) for i in np.argwhere(np.isnan(x))[0])
            name = f"`{self.name}`" if self.name is not None else f"{column}"
            raise DataError(f"{frame.place(row)}column {name} must have a number, got none")

    @property
    def width(self) -> int:
        """Columns that it becomes."""
        return len(self.fill) + int(self.holes.sum())

    def names(self) -> list[str]:
        """What the columns it becomes are called."""
        base = [self.name] if self.name is not None else [f"x{i}" for i in range(len(self.fill))]
        return base + [f"{name} is missing" for name, hole in zip(base, self.holes, strict=True) if hole]

    def apply(self, frame: Frame, out: Array) -> None:
        """Write the columns it becomes."""
        x = self.raw(frame)
        if x.shape[1] != len(self.fill):
            raise DataError(f"{frame.origin}: rows must have {len(self.fill)} features, got {x.shape[1]}")
        if self.name is None and self.scale == "none":
            self._refuse_missing(x, frame)
            out[...] = x
            return
        if self.missing == "refuse":
            self._refuse_missing(np.asarray(x, np.float64), frame)
        width = len(self.fill)
        for i in range(width):
            column = np.asarray(x[:, i], np.float64)
            gone = np.isnan(column)
            if np.isinf(column).any():
                row = int(np.argmax(np.isinf(column)))
                what = f"`{self.name}`" if self.name is not None else f"{i}"
                raise DataError(f"{frame.place(row)}column {what} must be finite, got `{column[row]}`")
            out[:, i] = self._scaled(np.where(gone, self.fill[i], column), i)
        for at, hole in enumerate(np.flatnonzero(self.holes)):
            out[:, width + at] = np.isnan(np.asarray(x[:, hole], np.float64))

    def _scaled(self, x: Array, i: int) -> Array:
        if self.scale == "none":
            return x
        if self.scale == "quantile":
            knots = self.knots[:, i]
            normal = NormalDist()
            steps = len(knots)
            ends = (np.arange(steps) + 0.5) / steps
            values = np.array([normal.inv_cdf(float(q)) for q in ends])
            if knots[0] == knots[-1]:
                return np.zeros(len(x))
            # Equal knots are one place with the mean of their values.
            unique, where = np.unique(knots, return_inverse=True)
            levels = np.bincount(where, weights=values) / np.bincount(where)
            return np.asarray(np.interp(x, unique, levels))
        c = (x - self.center[i]) / self.spread[i]
        return np.asarray(c / np.sqrt(1.0 + np.square(c / 3.0)) if self.scale == "robust" else c)

    def to_data(self) -> dict[str, Any]:
        out: dict[str, Any] = {"name": self.name, "scale": self.scale, "missing": self.missing, "value": self.value}
        out["indicator"] = self.indicator
        for part in ("fill", "center", "spread", "knots", "holes"):
            out[part] = getattr(self, part).tolist()
        return out

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Numbers:
        arrays: dict[str, Any] = {
            part: np.array(data[part], np.float64) for part in ("fill", "center", "spread", "knots")
        }
        words = {k: data[k] for k in ("name", "scale", "missing", "value", "indicator")}
        return cls(**words, **arrays, holes=np.array(data["holes"], bool))


@dataclass
class Category:
    """How one column of categories goes in: `encode` is "one_hot" or "embedding", the latter with rows of `size`."""

    name: str
    encode: str
    rare: int = 1
    size: int | None = None
    values: list[str] = field(default_factory=list)

    def fit(self, frame: Frame) -> None:
        seen: dict[str, int] = {}
        for value in frame.texts(self.name):
            if value is not None:
                seen[value] = seen.get(value, 0) + 1
        self.values = sorted(value for value, count in seen.items() if count >= self.rare)
        if self.size is None:
            self.size = min(50, (len(self.values) + 2) // 2)

    @property
    def width(self) -> int:
        """Columns that it becomes."""
        return len(self.values) if self.encode == "one_hot" else 1

    def names(self) -> list[str]:
        """What the columns it becomes are called."""
        return [f"{self.name} = {value}" for value in self.values] if self.encode == "one_hot" else [self.name]

    def apply(self, frame: Frame, out: Array) -> None:
        """Write the columns it becomes."""
        place = {value: i + 1 for i, value in enumerate(self.values)}
        codes = np.array([place.get(value, 0) for value in frame.texts(self.name)], np.int64)
        if self.encode == "embedding":
            out[:, 0] = codes
            return
        out[...] = 0
        rows = np.flatnonzero(codes)
        out[rows, codes[rows] - 1] = 1

    def to_data(self) -> dict[str, Any]:
        return {"name": self.name, "encode": self.encode, "rare": self.rare, "size": self.size, "values": self.values}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Category:
        return cls(**data)


@dataclass
class Inputs:
    """All of a network's inputs, in the order of its columns."""

    parts: list[Numbers | Category] = field(default_factory=list)

    def fit(self, frame: Frame) -> None:
        """Learn scales, fillings and categories from training rows."""
        for part in self.parts:
            part.fit(frame)
        if self.width == 0:
            raise DataError(f"{frame.origin}: there must be a column to predict from, got none")

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return sum(part.width for part in self.parts)

    def names(self) -> list[str]:
        """What the columns of the matrix are."""
        return [name for part in self.parts for name in part.names()]

    def embeddings(self) -> dict[int, tuple[int, int]]:
        """Column -> (categories, numbers in a row), for `fb.Embedding`."""
        out, at = {}, 0
        for part in self.parts:
            if isinstance(part, Category) and part.encode == "embedding":
                assert part.size is not None
                out[at] = (len(part.values) + 1, part.size)
            at += part.width
        return out

    def matrix(self, frame: Frame, dtype: Any = np.float32) -> Array:
        """The rows as the network takes them."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Numbers):
            only = self.parts[0]
            if only.name is None and only.scale == "none" and frame.matrix is not None and frame.matrix.dtype == dtype:
                only._refuse_missing(frame.matrix, frame)
                if frame.matrix.shape[1] == only.width:
                    return frame.matrix  # as it stands in its file
        out = np.empty((len(frame), self.width), dtype)
        at = 0
        for part in self.parts:
            part.apply(frame, out[:, at : at + part.width])
            at += part.width
        return out

    def to_data(self) -> list[dict[str, Any]]:
        return [{"kind": type(part).__name__.lower(), **part.to_data()} for part in self.parts]

    @classmethod
    def from_data(cls, data: list[dict[str, Any]]) -> Inputs:
        kinds: dict[str, Any] = {"numbers": Numbers, "category": Category}
        return cls([kinds[d["kind"]].from_data({k: v for k, v in d.items() if k != "kind"}) for d in data])


def _quantile(ordered: Array, q: float) -> float:
    """A quantile of sorted numbers, between neighbours in a straight line."""
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (ordered[high] - ordered[low]) * (at - low))
