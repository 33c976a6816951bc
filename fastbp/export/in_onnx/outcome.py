"""What outputs mean, as nodes of ONNX: classes by their names, labels, numbers in the units of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.export import steps as s
from fastbp.export.in_onnx.graph import OnnxGraph
from fastbp.export.in_onnx.ops import Value, Write, by_column, interpolated, row_of

Array = NDArray[Any]


def _unscale(step: s.Unscale, w: Write, z: str, dtype: str) -> tuple[str, str]:
    found = w.Add(w.Mul(w.cast(z, "float64"), row_of(step.spread)), row_of(step.center))
    return (w.cast(found, dtype), dtype) if step.rounded else (found, "float64")


def _back(step: s.Back, w: Write, z: str, dtype: str) -> tuple[str, str]:
    return by_column(w, Value(z), [partial(_way, w, way) for way in step.ways]).name, dtype


def _way(w: Write, way: str | s.Table, u: str) -> str:
    if isinstance(way, s.Table):
        return interpolated(w, u, way)
    if way == "square":
        u = w.Max(u, 0.0)
        return w.Mul(u, u)
    return {"none": lambda: u, "exp": lambda: w.Exp(u), "expm1": lambda: w.Sub(w.Exp(u), 1.0)}[way]()


def _clip(step: s.Clip, w: Write, z: str, dtype: str) -> tuple[str, str]:
    low, high = (np.array(ends).astype(dtype) for ends in (step.low, step.high))
    return w.Min(w.Max(z, low), high), dtype


ENDINGS: dict[Any, Callable[[Any, Write, str, str], tuple[str, str]]] = {
    s.Unscale: _unscale,
    s.Back: _back,
    s.Clip: _clip,
}


def _ended(w: Write, said: s.Outcome, z: str, dtype: str, to: str) -> str:
    for step in said.steps:
        z, dtype = ENDINGS[type(step)](step, w, z, dtype)
    return w.cast(z, to)


@dataclass(frozen=True)
class Told:
    """A prediction: its tensor, the type of its elements, and its columns; 0 where there is no such axis."""

    tensor: str
    dtype: str
    columns: int


def outcome(
    graph: OnnxGraph,
    said: s.Outcome,
    means: str,
    dtype: str,
    deviations: str = "",
    classes: Sequence[Any] | None = None,
    to: str = "float64",
) -> dict[str, Told]:
    """Predictions by name: `label` and `probabilities`, or `predictions`, with `deviations`, or `low` and `high`.

    Parameters
    ----------
    graph : OnnxGraph
    said : Outcome
    means : str
        The tensor of what `fastbp.export.together.Said` calls so, of this dtype.
    dtype : str
    deviations : str
        That of deviations, where there are some.
    classes
        What stands for the classes, if not their names: texts, or numbers.
    to : {"float32", "float64"}
        The type of predicted numbers.
    """
    w, count = Write(graph), len(said.names)
    if said.task == "labels":
        label = w.cast(w.Greater(means, np.array(0.5, dtype)), "int64")
        return {"label": Told(label, "int64", count), "probabilities": Told(means, dtype, count)}
    if said.task == "classes":
        names = names_of(said.names if classes is None else classes)
        label = w.Gather(names, w.ArgMax(means, axis=1, keepdims=0), axis=0)
        return {"label": Told(label, names.dtype.name, 0), "probabilities": Told(means, dtype, count)}
    found = {"predictions": Told(_ended(w, said, means, dtype, to), to, count)}
    if not said.deviations or not deviations:
        return found
    if not any(said.around):
        wide = w.Mul(w.cast(deviations, to), row_of(said.deviations).astype(to))
        return found | {"deviations": Told(wide, to, count)}
    ends = w.Sub(means, deviations), w.Add(means, deviations)
    low, high = (Told(_ended(w, said, end, dtype, to), to, count) for end in ends)
    return found | {"low": low, "high": high}


def names_of(classes: Sequence[Any]) -> Array:
    """Classes as a constant: int64 where they are whole numbers or truth, float32 where they are other numbers."""
    found = np.array(classes)
    if found.dtype.kind in "fiub":
        return found.astype(np.float32 if found.dtype.kind == "f" else np.int64)
    return np.array([str(one) for one in classes], object)
