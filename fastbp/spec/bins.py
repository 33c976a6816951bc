"""Numbers in bins: a layer, and what chooses its bins by the training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.blocks import Stack
from fastbp.errors import ConfigError, ConfigTypeError, brief
from fastbp.spec.checks import real, whole
from fastbp.spec.coded import Coded
from fastbp.spec.elsewhere import KnownWords
from fastbp.spec.initial import Init
from fastbp.spec.layers import ZEROS, Draws, Layer

Array = NDArray[Any]
NARROW = 0.01  # of the bin beside it, below which an outer bin is none of its own


class Bins(NamedTuple):
    """The bins of one column: where each begins, how wide it is, and from where and up to where it rises.

    The first rises from -inf, the last up to NaN, as it goes on without end.
    """

    first: Array
    width: Array
    low: Array
    high: Array


@dataclass(frozen=True, repr=False)
class PiecewiseLinear(Layer):
    """Adds to the columns how far a number has come through each of its column's bins, 0 before and 1 behind.

    A linear layer behind it makes any function of such a column that is straight within each bin (Gorishniy et al.,
    2022). The first and the last bin have no end, so that numbers beyond all edges go on as straight lines.

    Parameters
    ----------
    columns : dict of int to list of float
        Column -> the edges of its bins, rising, one more than there are bins.

    Examples
    --------
    >>> import fastbp as fb
    >>> net = fb.Network([fb.PiecewiseLinear({1: [0.0, 1.0, 4.0]}), fb.Linear(1)], inputs=2, seed=0)
    >>> net.parameters
    Parameters({'1.weight': (4, 1), '1.bias': (1,)})
    """

    kind: ClassVar[str] = "piecewise_linear"
    columns: Any

    def __post_init__(self) -> None:
        where = f"{type(self).__name__}.columns"
        if not isinstance(self.columns, Mapping) or not self.columns:
            raise ConfigTypeError(where, "must be a dict of column to edges", f"`{brief(self.columns)}`")
        columns: dict[int, tuple[float, ...]] = {}
        for key, value in self.columns.items():
            # keys of a file are strings
            digits = isinstance(key, str) and key.isdecimal()
            column = whole(where, int(key) if digits else key, 0)
            if column in columns:
                raise ConfigError(where, "must name each column once", f"`{column}` twice")
            inside = f"{where}[{column}]"
            if isinstance(value, np.ndarray):
                value = value.tolist()
            if not isinstance(value, Sequence) or isinstance(value, str) or len(value) < 2:
                raise ConfigTypeError(inside, "must be a list of at least two edges", f"`{brief(value)}`")
            edges = tuple(real(f"{inside}[{i}]", edge) for i, edge in enumerate(value))
            for a, b in pairwise(edges):
                if not a < b:
                    raise ConfigError(inside, "must rise from edge to edge", f"`{b:g}` after `{a:g}`")
            columns[column] = edges
        object.__setattr__(self, "columns", columns)

    def __eq__(self, other: object) -> bool:
        """Whether columns, their order and edges are the same: outputs are in that order."""
        if type(other) is not type(self):
            return NotImplemented
        return tuple(self.columns.items()) == tuple(other.columns.items())

    def __hash__(self) -> int:
        return hash(tuple(self.columns.items()))

    def __repr__(self) -> str:
        """The edges, or how many bins there are, where edges are many."""
        if sum(map(len, self.columns.values())) <= 12:
            return f"{type(self).__name__}(columns={ {column: list(edges) for column, edges in self.columns.items()} })"
        columns = f"{len(self.columns)} column{'s' * (len(self.columns) > 1)}"
        return f"{type(self).__name__}({columns}, {self.bins} bins)"

    @property
    def bins(self) -> int:
        """Bins of all columns together."""
        return sum(len(edges) - 1 for edges in self.columns.values())

    def outputs(self, inputs: int) -> int:
        for column in self.columns:
            if column >= inputs:
                raise ConfigError(
                    f"{type(self).__name__}.columns", f"must be below {inputs}, the inputs", f"`{column}`"
                )
        return inputs + self.bins

    def settings(self) -> dict[str, Any]:
        return {"columns": {str(column): list(edges) for column, edges in self.columns.items()}}

    def check_dtype(self, dtype: Any) -> None:
        """Refuse edges that are one and the same in a network's numbers, or too far apart for them."""
        limits = np.finfo(dtype)
        for column, edges in self.columns.items():
            with np.errstate(over="ignore", invalid="ignore"):
                apart = np.diff(np.array(edges, dtype))
            bad = ~((apart >= limits.tiny) & (apart <= limits.max))
            if bad.any():
                a, b = edges[int(np.argmax(bad))], edges[int(np.argmax(bad)) + 1]
                where = f"{type(self).__name__}.columns[{column}]"
                raise ConfigError(where, f"must have edges that {dtype} holds apart", f"`{a:g}` and `{b:g}`")

    def bins_of(self, column: int, dtype: Any) -> Bins:
        """The bins of a column, in a network's numbers."""
        edges = np.array(self.columns[column], dtype)
        low, high = edges[:-1].copy(), edges[1:].copy()
        low[0], high[-1] = -np.inf, np.nan  # no number, not even inf, is from NaN on
        return Bins(edges[:-1], np.diff(edges), low, high)

    def traced(self, x: Any) -> Any:
        """Its formula in gates."""
        return np.concatenate([x, *(self.come(column, x) for column in self.columns)], axis=1)

    def come(self, column: int, x: Any) -> Any:
        """How far a column of x has come through each of its bins, in gates."""
        bins, z = self.bins_of(column, x.dtype), x[:, column : column + 1]
        rising = (z - bins.first) / bins.width
        return np.where(z < bins.low, 0.0, np.where(z >= bins.high, 1.0, rising))


@dataclass(frozen=True, repr=False)
class PiecewiseLinearEmbedding(PiecewiseLinear):
    """Columns as functions that are straight within each bin: y = w x + b + e V, e how far x has come through each bin.

    The second version of such embeddings in TabM (Gorishniy et al., 2025): V is 0 at first, so that a column begins as
    straight lines. Each column has w, b and V of its own; behind what becomes of them stand the other columns.

    Parameters
    ----------
    columns : dict of int to list of float
        Column -> the edges of its bins, rising, one more than there are bins.
    features : int, >= 1
        How many numbers a column becomes.

    Examples
    --------
    >>> import fastbp as fb
    >>> net = fb.Network([fb.PiecewiseLinearEmbedding({1: [0.0, 1.0, 4.0]}), fb.Linear(1)], inputs=2, seed=0)
    >>> net.parameters["0.weight"].shape, net.parameters["1.weight"].shape
    ((1, 2, 16), (17, 1))
    """

    kind: ClassVar[str] = "piecewise_linear_embedding"
    decays: ClassVar[tuple[str, ...]] = ("weight",)
    features: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("features", whole, 1)

    def __eq__(self, other: object) -> bool:
        """Whether columns, their order, edges and features are the same."""
        if type(other) is not type(self):
            return NotImplemented
        return (tuple(self.columns.items()), self.features) == (tuple(other.columns.items()), other.features)

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.features))

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, features={self.features})"

    def outputs(self, inputs: int) -> int:
        super().outputs(inputs)  # which looks whether columns are there
        return inputs + (self.features - 1) * len(self.columns)

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "features": self.features}

    def draws(self, inputs: int) -> Draws:
        count, m = len(self.columns), self.features
        bins = max(len(edges) for edges in self.columns.values()) - 1
        lines = Init("torch"), Stack((count, m)), m, m
        return {"slope": lines, "bias": lines, "weight": (ZEROS, Stack((count, bins, m)), bins, m)}


@dataclass(frozen=True)
class QuantileBins(KnownWords):
    """Bins between quantiles of the training rows, so that each has as many; equal quantiles are one edge.

    Parameters
    ----------
    bins : int, >= 2
        For each column, at most.
    least : int, >= 1, optional
        Numbers that more rows share than a bin has are edges, and what is between them has bins of its own, as long as
        each has at least so many rows; by default it has those that quantiles of all rows leave it.
    features : int, >= 1, optional
        How many functions of its bins a column becomes, which are learned; by default it and its bins are as they are.
    """

    kind: ClassVar[str] = "piecewise_linear"
    bins: int = 48
    least: int | None = None
    features: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "bins", whole(f"{type(self).__name__}.bins", self.bins, 2))
        if self.least is not None:
            object.__setattr__(self, "least", whole(f"{type(self).__name__}.least", self.least, 1))
        if self.features is not None:
            object.__setattr__(self, "features", whole(f"{type(self).__name__}.features", self.features, 1))

    def layer(self, X: Array | Coded, numbers: Sequence[int], codes: Sequence[int] = ()) -> PiecewiseLinear | None:
        """The layer for rows of which some columns are `numbers`, behind an embedding of `codes`; None without bins.

        Columns with two different numbers get no bins: a straight line says all of them.
        """
        found: dict[int, tuple[float, ...]] = {}
        for column in numbers:
            x = X.column(column) if isinstance(X, Coded) else X[:, column]
            edges = edges_of(np.asarray(x), self.bins, self.least)
            if len(edges) > 2:
                found[column - sum(code < column for code in codes)] = edges
        if not found:
            return None
        return PiecewiseLinear(found) if self.features is None else PiecewiseLinearEmbedding(found, self.features)


def edges_of(x: Array, bins: int, least: int | None = None) -> tuple[float, ...]:
    """Different quantiles of some numbers, at most one more than bins; each is one of the numbers.

    With `least`, numbers that many rows share are edges, and there are quantiles of the others.

    The outer bins go on without end, so one that is far narrower than that beside it, as where numbers are cut off at
    999.99 and 1000, would be steep for all numbers beyond: it is made one with its neighbour.

    Examples
    --------
    >>> edges_of(np.array([0.0, 0.0, 0.0, 1.0, 2.0]), 4)
    (0.0, 1.0, 2.0)
    >>> x = np.array([0.0] * 90 + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    >>> edges_of(x, 4), edges_of(x, 4, least=3)
    ((0.0, 9.0), (0.0, 1.0, 3.0, 6.0, 9.0))
    """
    found = np.unique(_quantiles(np.sort(x), bins)) if least is None else _beside_shared(x, bins, least)
    with np.errstate(over="ignore"):
        apart = np.diff(found) >= np.finfo(x.dtype).tiny
    edges = found[np.concatenate([[True], apart])].tolist()
    while len(edges) > 3 and edges[1] - edges[0] < NARROW * (edges[2] - edges[1]):
        del edges[1]
    while len(edges) > 3 and edges[-1] - edges[-2] < NARROW * (edges[-2] - edges[-3]):
        del edges[-2]
    return tuple(edges)


def _quantiles(x: Array, bins: int) -> Array:
    """Sorted numbers at the ends of bins of as many rows."""
    return x[np.arange(bins + 1) * (len(x) - 1) // bins]


def _beside_shared(x: Array, bins: int, least: int) -> Array:
    """The numbers that more rows share than an equal part of the bins has, and quantiles of the others."""
    values, counts = np.unique(x, return_counts=True)
    shared = np.zeros(len(values), bool)
    while (room := bins - 1 - int(shared.sum())) > 0:  # two edges are for the ends
        more = ~shared & (counts > max(least, counts[~shared].sum() / room))
        if not more.any():
            break
        shared |= more
    others = np.repeat(values[~shared], counts[~shared])
    parts = min(bins - int(shared.sum()), len(others) // least)
    inner = _quantiles(others, parts) if parts else others[:0]
    return np.unique(np.concatenate([values[shared], inner, values[:1], values[-1:]]))
