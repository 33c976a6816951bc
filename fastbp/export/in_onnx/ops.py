"""What preprocessing and predictions in ONNX are written with: operators as methods, and lines through points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.export import steps as s
from fastbp.export.in_onnx.graph import TYPES, OnnxGraph

Array = NDArray[Any]


@dataclass(frozen=True)
class Value:
    """What a chain has come to.

    Attributes
    ----------
    name : str
        Its tensor, (rows, columns): float64, int64 for codes and moments, or texts.
    gone : str
        Of moments, which are missing.
    bad : str
        Which are refused; empty where none is.
    """

    name: str
    gone: str = ""
    bad: str = ""


class Write:
    """Operators as methods."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph

    def __getattr__(self, op: str) -> Callable[..., str]:
        """A node of that operator; operands that are no names are constants: float64, int64, bool or texts."""
        if op.startswith("_"):
            raise AttributeError(op)
        return partial(self.node, op)

    def node(self, op: str, *operands: Any, **attributes: Any) -> str:
        """The output of an operator."""
        inputs = (one if isinstance(one, str) else self.graph.constant(one) for one in operands)
        return self.graph.node(op, *inputs, **attributes)

    def cast(self, name: str, dtype: str) -> str:
        """A tensor as one of another type."""
        return self.node("Cast", name, to=TYPES[dtype])

    def total(self, name: str) -> str:
        """The sum over columns, as one column."""
        return self.node("ReduceSum", name, np.array([1]), keepdims=1)


def either(w: Write, first: str, second: str) -> str:
    return w.Or(first, second) if first and second else first or second


def row_of(values: Sequence[float]) -> Array:
    """A row of numbers, or one where all are equal."""
    found = np.array(values, np.float64)
    return found[:1] if (found == found[0]).all() else found


def by_column(w: Write, x: Value, each: Sequence[Callable[[str], str]]) -> Value:
    """A function for each column."""
    if len(each) == 1:
        return replace(x, name=each[0](x.name))
    columns = (one(w.Gather(x.name, np.array([i]), axis=1)) for i, one in enumerate(each))
    return replace(x, name=w.Concat(*columns, axis=1))


def interpolated(w: Write, x: str, table: s.Table) -> str:
    """A line through points at numbers of one column: of the last place that is not above each, and its slope there."""
    places, levels = np.array(table.places), np.array(table.levels)
    if len(places) == 1:
        return w.Add(w.Sub(x, x), levels)
    at = w.Sub(w.total(w.cast(w.GreaterOrEqual(x, places), "int64")), np.int64(1))
    at = w.Max(at, np.int64(0))
    wide = np.diff(places)
    with np.errstate(over="ignore"):
        slopes = np.append(np.diff(levels) / np.where(wide > 0.0, wide, np.inf), 0.0)
    slopes[np.isinf(slopes)] = 0.0  # between places that no number is between
    moved = w.Mul(w.Gather(slopes, at, axis=0), w.Sub(x, w.Gather(places, at, axis=0)))
    return w.Where(w.Less(x, places[0]), levels[0], w.Add(moved, w.Gather(levels, at, axis=0)))
