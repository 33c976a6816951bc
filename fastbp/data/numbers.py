"""Columns of numbers: filled in and scaled, by what was fitted to the training rows.

Missing numbers are filled in first; then a number x becomes

    standard         (x - mean) / deviation
    robust           c / √(1 + (c/3)²) with c = (x - median) / (quartile range), which keeps outliers within ±3
    quantile         Φ⁻¹(F(x)) with F the distribution of the training rows, at up to 1000 quantiles
    noisy_quantile   the same at fewer quantiles, and of training rows with noise: see `noisy.py`
    none             x

`auto` is standard or quantile, for each column as its training rows are (`scale_of`); what was chosen is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import lru_cache
from statistics import NormalDist
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.data.noisy import noisy_knots, noisy_levels
from fastbp.data.shards import CELLS, Shards, blocks, sorting
from fastbp.data.stored import Stored
from fastbp.errors import ConfigError, DataError, visible

Array = NDArray[Any]
QUANTILES = 1000
SCALES = ("standard", "robust", "quantile", "noisy_quantile", "none")
ASKED = ("auto", *SCALES)
SQUEEZED = 1.5  # deviation, in that of a normal column with the same quartiles, above which tails are heavy
FAR = 10.0  # deviations from the mean beyond which a number is far out
NORMAL_QUARTILES = 2.0 * NormalDist().inv_cdf(0.75)  # distance between the quartiles of a standard normal column
# Numbers that are scaled at a time: of a small matrix 128 KiB of float64, which the allocator has without asking the
# system; of a large one more, for fewer calls.
IN_CACHE, FEW_CALLS = 1 << 14, 1 << 16
FILLS = ("mean", "median", "constant", "refuse")
SORTED = ("robust", "quantile", "noisy_quantile", "median")  # scales and fillings that need a sorted column


@dataclass
class Numbers:
    """Encoding of one column of numbers, or of every column of a matrix.

    `center`, `spread` and `fill` have one number a column; `knots` is (quantiles, columns of scale `quantile`).
    `scale` is "auto" until it is fitted; then a name, or a name for each column where `auto` chose different ones.
    """

    name: str | None  # of the column; None: the frame's matrix
    scale: str | list[str]
    missing: str
    value: float = 0.0
    indicator: bool = False
    fill: Array = field(default_factory=lambda: np.zeros(0))
    center: Array = field(default_factory=lambda: np.zeros(0))
    spread: Array = field(default_factory=lambda: np.zeros(0))
    knots: Array = field(default_factory=lambda: np.zeros((0, 0)))
    holes: Array = field(default_factory=lambda: np.zeros(0, bool))  # columns with an indicator

    def raw(self, frame: Frame) -> Array | Shards:
        """The raw column or matrix of a frame."""
        if self.name is not None:
            return frame.numbers(self.name)[:, None]
        if frame.matrix is None:
            raise DataError(f"{frame.origin}: must hold a matrix, as the training rows did, but has named columns")
        return frame.matrix

    def fit(self, frame: Frame) -> None:
        """Fit to training rows, in two passes over blocks of them."""
        x = self.raw(frame)
        if self.scale == "auto":
            self.scale = _one_if_equal([_chosen(x, i) for i in range(x.shape[1])])
        self._refuse_sorting(x, frame)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
            low, high, mean = self._fill(x, frame)
            self.center, self.spread = np.zeros_like(mean), np.ones_like(mean)
            standard = self._columns("standard")
            if standard.any():
                self.center = np.where(low == high, low, mean)
                squares = np.zeros_like(mean)
                for _, block in blocks(x):
                    squares += np.square(np.where(np.isnan(block), self.fill, block) - self.center).sum(axis=0)
                self.spread = np.sqrt(squares / len(x))
                self.center[~standard], self.spread[~standard] = 0.0, 1.0
            if self.scale == "noisy_quantile":
                self.knots = self._noisy(x)
            elif self._columns("robust").any() or self._columns("quantile").any():
                self._sort(x)
        self.spread[self.spread == 0.0] = 1.0  # a constant column becomes zeros
        fits = np.isfinite(self.center) & np.isfinite(self.spread) & np.isfinite(self.fill)
        fits[self._columns("quantile") | self._columns("noisy_quantile")] &= np.isfinite(self.knots).all(axis=0)
        if not fits.all():
            i = int(np.argmin(fits))
            most = max(low[i], high[i], key=abs)
            raise DataError(
                f"{frame.origin}: column {self._called(i)} must have numbers whose spread is finite, got `{most:g}`"
            )

    def _fill(self, x: Array | Shards, frame: Frame) -> tuple[Array, Array, Array]:
        """Fit the replacement of missing numbers; returns minimum, maximum and mean of each filled column."""
        rows, width = x.shape
        there, sums = np.zeros(width, np.int64), np.zeros(width)
        low, high = np.full(width, np.inf), np.full(width, -np.inf)
        for first, block in blocks(x):
            self._check(block, first, frame)
            gone = np.isnan(block)
            there += len(block) - np.count_nonzero(gone, axis=0)
            sums += np.where(gone, 0.0, block).sum(axis=0)
            low, high = np.fmin(low, np.fmin.reduce(block)), np.fmax(high, np.fmax.reduce(block))
        self.holes = (there < rows) & self.indicator
        if self.missing == "constant":
            self.fill = np.full(width, self.value)
        elif self.missing == "median":
            known = sorting(x)
            ordered = (np.sort(np.asarray(known[:, i], np.float64)) for i in range(width))  # NaN last
            ordered = (o[: np.count_nonzero(~np.isnan(o))] for o in ordered)
            self.fill = np.array([_quantile(o, 0.5) if len(o) else 0.0 for o in ordered])
        else:
            self.fill = sums / np.maximum(there, 1)
        extra = np.where(there < rows, self.fill, np.nan)
        return np.fmin(low, extra), np.fmax(high, extra), (sums + (rows - there) * self.fill) / rows

    def _refuse_sorting(self, x: Array | Shards, frame: Frame) -> None:
        if isinstance(x, Shards) and x.sample is None:
            for key, value, known in (
                ("scale", self.scale, "`standard` or `none`"),
                ("missing", self.missing, "`mean`, `constant` or `refuse`"),
            ):
                if value in SORTED:
                    raise ConfigError(
                        f"data.{key}",
                        f"must be {known} where rows do not fit into memory, as in {frame.origin}",
                        f"`{value}`",
                    )

    def _sort(self, x: Array | Shards) -> None:
        """Fit quantiles and medians from each sorted column."""
        x = sorting(x)
        knots = []
        for i in np.flatnonzero(~self._columns("standard")).tolist():
            column = np.asarray(x[:, i], np.float64)
            ordered = np.sort(np.where(np.isnan(column), self.fill[i], column))
            if self.scale == "robust":
                first, self.center[i], last = (_quantile(ordered, q) for q in (0.25, 0.5, 0.75))
                self.spread[i] = last - first if last > first else (ordered[-1] - ordered[0]) / 2.0
            else:
                knots.append(knots_of(ordered))
        if knots:
            self.knots = np.array(knots).T

    def _noisy(self, x: Array | Shards) -> Array:
        """The quantiles of each column's numbers with noise."""
        x = sorting(x)
        columns = [np.asarray(x[:, i], np.float64) for i in range(x.shape[1])]
        streams = range(len(columns)) if self.name is None else [crc32(self.name.encode())]
        found = [noisy_knots(c[~np.isnan(c)], stream, len(x)) for c, stream in zip(columns, streams, strict=True)]
        return np.array(found).T

    def _columns(self, scale: str) -> Array:
        """Which columns have a scale."""
        if isinstance(self.scale, str):
            return np.full(len(self.fill), self.scale == scale)
        return np.array([s == scale for s in self.scale], bool)

    def _called(self, i: int) -> str:
        return f"`{i if self.name is None else visible(self.name)}`"

    def _check(self, block: Array, first: int, frame: Frame) -> None:
        """Refuse infinite numbers, and missing ones if `missing` is "refuse"; `first` is the block's first row."""
        strange = np.isinf(block) | (np.isnan(block) if self.missing == "refuse" else False)
        if strange.any():
            row, i = (int(at) for at in np.argwhere(strange)[0])
            place = f"{frame.place(first + row)}column {self._called(i)} must"
            if np.isnan(block[row, i]):
                raise DataError(f"{place} have a number")
            hint = None if self.name is None else frame.if_missing(str(block[row, i]), "number")
            raise DataError(f"{place} be finite, got `{block[row, i]}`", hint=hint)

    @property
    def width(self) -> int:
        """Number of columns it becomes."""
        return len(self.fill) + int(self.holes.sum())

    def apply(self, frame: Frame, out: Array) -> None:
        """Write its encoded columns."""
        x = self.raw(frame)
        width = len(self.fill)
        if x.shape[1] != width:
            raise DataError(f"{frame.origin}: rows must have {width} features, got {x.shape[1]}")
        cells = IN_CACHE if len(x) * width < CELLS else FEW_CALLS
        for first, block in blocks(x, None if self.knots.size else cells):
            to = out[first : first + len(block)]
            to[:, width:] = 0.0
            whole = block
            if not np.isfinite(block).all():
                self._check(block, first, frame)
                gone = np.isnan(block)
                whole = np.where(gone, self.fill, block)
                to[:, width:] = gone[:, self.holes]
            with np.errstate(over="ignore"):
                to[:, :width] = self._scaled(whole)
            if not np.isfinite(to).all():
                row, i = (int(at) for at in np.argwhere(~np.isfinite(to))[0])
                what = f"column {self._called(i)} must fit into `{out.dtype}` when it is scaled"
                raise DataError(f"{frame.place(first + row)}{what}, got `{block[row, i]}`")

    def as_it_stands(self, frame: Frame, dtype: Any) -> Array | None:
        """The frame's matrix itself, in its file or in memory, if it needs no change."""
        x = frame.matrix
        if self.name is not None or self.scale != "none" or self.holes.any() or not isinstance(x, np.ndarray):
            return None
        if x.dtype != dtype or x.shape[1] != self.width or not x.flags.c_contiguous:
            return None
        return x if all(np.isfinite(block).all() for _, block in blocks(x)) else None

    def _scaled(self, x: Array) -> Array:
        if self.scale == "none" or not x.shape[1]:
            return x
        if self.scale == "noisy_quantile":
            return np.stack([noisy_levels(x[:, i], self.knots[:, i]) for i in range(x.shape[1])], axis=1)
        c = x - self.center
        c /= self.spread
        for i, column in enumerate(np.flatnonzero(self._columns("quantile"))):
            c[:, column] = np.interp(x[:, column], *levels_of(self.knots[:, i]))
        if self.scale == "robust":
            np.clip(c, -1e100, 1e100, out=c)  # so that its square is finite
            root = np.square(c / 3.0)
            root += 1.0
            c /= np.sqrt(root, out=root)
        return np.asarray(c)

    def to_data(self) -> dict[str, Any]:
        out: dict[str, Any] = {"name": self.name, "scale": self.scale, "missing": self.missing, "value": self.value}
        out["indicator"] = self.indicator
        for part in ("fill", "center", "spread", "knots", "holes"):
            out[part] = getattr(self, part).tolist()
        return out

    @classmethod
    def from_data(cls, data: Stored, inside: int | None = None) -> Numbers:
        """From the result of `to_data`, as stored in a file; `inside` another part it has that many columns."""
        found = data.keys(*(["kind"] if inside is None else []), *(f.name for f in fields(cls)))
        name = None if found["name"].value is None else found["name"].text()
        if inside is not None and name is not None:
            raise found["name"].fail("be null")
        fill = found["fill"].numbers(inside if name is None else 1)
        width = len(fill)
        if not width and inside is None:
            raise found["fill"].fail("have a number at least")
        scale = _stored_scale(found["scale"], width)
        ranked = width if isinstance(scale, str) else scale.count("quantile")
        knots = np.array([row.numbers(ranked) for row in found["knots"].items()]).reshape(-1, max(ranked, 1))
        if bool(len(knots)) != ("quantile" in scale):
            raise found["knots"].fail("be a list with rows where `scale` is `quantile`, and empty elsewhere")
        return cls(
            name,
            scale,
            found["missing"].one_of(FILLS),
            found["value"].number(),
            found["indicator"].flag(),
            fill,
            found["center"].numbers(width),
            found["spread"].positive(width),
            knots if len(knots) else np.zeros((0, 0)),
            found["holes"].flags(width),
        )


def scale_of(ordered: Array) -> str:
    """What `auto` makes of a column: "quantile" for heavy tails, else "standard".

    Standardising puts the deviation at 1. In a column of incomes or populations the tail makes the deviation: most rows
    then lie within a fraction of 1, where a network hardly tells them apart, or a few lie so far out that they drive
    its gradients. Quantiles spread the rows evenly instead, at the price of the distances between numbers, so they are
    for these two cases only:

    - The deviation is above 1.5 times that of normal numbers with the same quartiles. The factor is 0.8 for equally
      frequent numbers, 1 for normal ones, 1.2 for exponential ones and 2 for the exponential of normal ones.
    - A number is farther than 10 deviations from the mean, as in counts that are nearly always 0 (there the quartiles
      say nothing), or with a wild number among very many. Of exponential numbers one in 60,000 is that far out.

    Of two different numbers every scale makes the same but for shift and factor, so they are standardised.

    Parameters
    ----------
    ordered : array of float64
        The numbers of the training rows, sorted, without missing ones.

    Examples
    --------
    >>> steps = np.linspace(-2.0, 2.0, 99)
    >>> scale_of(steps), scale_of(np.exp(steps)), scale_of(np.exp(2.0 * steps)), scale_of(np.append(steps, 1e9))
    ('standard', 'standard', 'quantile', 'quantile')
    """
    if not len(ordered) or not ((ordered > ordered[0]) & (ordered < ordered[-1])).any():
        return "standard"
    c = ordered / np.abs(ordered[[0, -1]]).max()  # so that no square overflows
    c -= c.mean()
    c /= np.abs(c[[0, -1]]).max()  # the farthest is at 1, and no square of importance vanishes
    deviation = float(np.sqrt(np.square(c).mean()))
    middle = (_quantile(c, 0.75) - _quantile(c, 0.25)) / NORMAL_QUARTILES
    return "quantile" if deviation > SQUEEZED * middle > 0.0 or FAR * deviation < 1.0 else "standard"


def _chosen(x: Array | Shards, i: int) -> str:
    """The scale that `auto` chooses for a column; rows outside memory without a sample are not sorted."""
    if isinstance(x, Shards) and x.sample is None:
        return "standard"
    column = np.asarray(sorting(x)[:, i], np.float64)
    return scale_of(np.sort(column[np.isfinite(column)]))  # infinite ones are refused later


def _one_if_equal(scales: list[str]) -> str | list[str]:
    """A list of scales as `Numbers.scale` has it."""
    return scales if len(set(scales)) > 1 else scales[0] if scales else "standard"


def _stored_scale(data: Stored, width: int) -> str | list[str]:
    """A scale from a file."""
    if not isinstance(data.value, list):
        return data.one_of(SCALES)
    found = [item.one_of(("standard", "quantile")) for item in data.items()]
    if len(found) != width or len(set(found)) < 2:
        raise data.fail(f"be a name, or different ones for {width} columns")
    return found


def knots_of(ordered: Array) -> Array:
    """Up to 1000 quantiles of sorted numbers."""
    return np.array([_quantile(ordered, q) for q in np.linspace(0.0, 1.0, min(QUANTILES, len(ordered)))])


def levels_of(knots: Array) -> tuple[Array, Array]:
    """Different quantiles, and for each the number of a normal distribution below which as many rows lie.

    Equal quantiles are one, with the mean of their numbers; if all are equal, it is 0.
    """
    if knots[0] == knots[-1]:
        return knots[:1], np.zeros(1)
    unique, where = np.unique(knots, return_inverse=True)
    return unique, np.bincount(where, weights=_normal(len(knots))) / np.bincount(where)


def _quantile(ordered: Array, q: float) -> float:
    """A quantile of sorted numbers, by linear interpolation."""
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (ordered[high] - ordered[low]) * (at - low))


@lru_cache
def _normal(steps: int) -> Array:
    """Φ⁻¹ at the midpoints of `count` equal intervals of (0, 1)."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / steps) for i in range(steps)])
