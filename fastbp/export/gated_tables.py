"""A model with recipes in gates, from raw numbers to predictions in the units of the table, for derivatives of it all.

Everything is in float64, as preprocessing is. What is missing is filled, and has derivatives of 0. Columns of texts,
categories, dates and words have none, so that a model with such is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numpy as np

from fastbp.autodiff.graph import Graph as Gates
from fastbp.autodiff.tracer import Tracer
from fastbp.errors import ConfigError, visible
from fastbp.export import steps as s
from fastbp.export.gated import Gated, Making
from fastbp.export.model import Model, free
from fastbp.export.raw import Tables, tables_of
from fastbp.export.together import Said, said, together
from fastbp.numerics import normal

KINDS = {"text": "texts", "moment": "dates", "number": "categories or dates"}


def gated_of_numbers(model: Model, numbers: Collection[str] = ()) -> Gated:
    """What a model with recipes predicts of raw numbers.

    Inputs are the columns by their names, (1, 1), or those of an array at once. Outputs are `predictions`, with
    `deviations` or `low` and `high`, or `probabilities`; these have derivatives, classes themselves do not.
    """
    if model.loss is None or len(model.net.graph.heads) > 1:
        raise ConfigError("model", "must have one output and a loss to predict in the terms of a table")
    tables = tables_of(model, numbers)
    made = Making(Gated(Gates("float64")))
    made.inputs([(raw.name, raw.width) for raw in tables.raws])
    rows = [_row(made.of, tables, way) for way in tables.ways]
    each = [made.outputs(model, i, rows[member.way], []) for i, member in enumerate(model.members)]
    (found,) = together(model, each) if model.joined else [said(model.loss, each[0][0])]
    taken = set(made.of.inputs)
    made.of.outputs = {free(name, taken): out.number for name, out in _told(tables.outcome, found).items()}
    return made.of


def _row(of: Gated, tables: Tables, way: s.Preprocessing) -> Any:
    """A network's inputs."""
    parts = []
    for chain in way.chains:
        if chain.raw.kind != "number" or any(type(step) not in STEPS for step in chain.steps):
            where = f"column `{visible(chain.raw.name)}` has {KINDS[chain.raw.kind]}"
            must = f"must be False, as {where}, which have no derivatives"
            hint = "`preprocessing=False` (`--no-preprocessing`) exports the network alone"
            raise ConfigError("jacobian", must, "`True`", hint)
        x: Any = Tracer(of.gates, of.inputs[chain.raw.name])
        x = x[:, chain.first : chain.first + chain.count]
        for step in chain.steps:
            x = STEPS[type(step)](step, x)
        parts.append(x)
    return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def _also(step: s.Also, x: Any) -> Any:
    for number in step.numbers:
        x = np.where(x == number, np.nan, x)
    return x


def _by_column(x: Any, each: Sequence[Callable[[Any], Any]]) -> Any:
    parts = [one(x[:, i : i + 1]) for i, one in enumerate(each)]
    return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def _soften(step: s.Soften, x: Any) -> Any:
    c = np.clip(x, -1e100, 1e100)
    return c / np.sqrt(1.0 + (c / 3.0) ** 2)


def interpolated(table: s.Table, x: Any) -> Any:
    """A line through points: its rises, each by how far x has come through its piece."""
    places, levels = np.array(table.places), np.array(table.levels)
    widths, rises = np.diff(places), np.diff(levels)
    wide = widths > 0.0
    y = 0.0 * x + levels[0]
    if wide.any():
        come = np.minimum(np.maximum(x - places[:-1][wide], 0.0), widths[wide])
        y = y + come @ (rises[wide] / widths[wide])[:, None]
    for place, rise in zip(places[1:][~wide].tolist(), rises[~wide].tolist(), strict=True):
        y = y + np.where(x >= place, rise, 0.0)
    return y


def _ranks(step: s.Ranks, x: Any) -> Any:
    def ranked(tables: tuple[s.Table, s.Table] | None) -> Callable[[Any], Any]:
        if tables is None:
            return lambda x: 0.0 * x
        left, right = tables
        return lambda x: _quantile(
            np.clip(0.5 * (interpolated(left, x) + (1.0 - interpolated(right, -x))), step.edge, 1.0 - step.edge)
        )

    return _by_column(x, [ranked(one) for one in step.tables])


def _rational(x: Any, parts: tuple[list[float], list[float]]) -> Any:
    sums = []
    for numbers in parts:
        found: Any = numbers[-1]
        for number in numbers[-2::-1]:
            found = found * x + number
        sums.append(found)
    return sums[0] / sums[1]


def _quantile(p: Any) -> Any:
    """Φ⁻¹(p), as `fastbp.numerics.normal` has it."""
    q = p - 0.5
    r = np.sqrt(-np.log(np.minimum(p, 1.0 - p)))
    tail = np.where(r <= 5.0, _rational(r - 1.6, normal.TAIL), _rational(r - 5.0, normal.FAR))
    middle = q * _rational(0.180625 - q * q, normal.MIDDLE)
    return np.where(np.abs(q) <= 0.425, middle, np.where(q < 0.0, -tail, tail))


# Steps of numbers: (step, x) to x.
STEPS: dict[Any, Callable[[Any, Any], Any]] = {
    s.Also: _also,
    s.Finite: lambda step, x: np.where(np.abs(x) == np.inf, np.nan, x),
    s.Missing: lambda step, x: np.where(np.isnan(x), 1.0, 0.0),
    s.Fill: lambda step, x: np.where(np.isnan(x), np.array([step.values]), x),
    s.Shift: lambda step, x: (x - np.array([step.center])) / np.array([step.spread]),
    s.Soften: _soften,
    s.Levels: lambda step, x: _by_column(x, [partial(interpolated, table) for table in step.tables]),
    s.Ranks: _ranks,
}
BACK: dict[str, Callable[[Any], Any]] = {
    "none": lambda u: u,
    "exp": np.exp,
    "expm1": np.expm1,
    "square": lambda u: np.maximum(u, 0.0) ** 2,
}


def _way(way: str | s.Table) -> Callable[[Any], Any]:
    return BACK[way] if isinstance(way, str) else partial(interpolated, way)


ENDINGS: dict[Any, Callable[[Any, Any], Any]] = {
    s.Unscale: lambda step, z: z * np.array([step.spread]) + np.array([step.center]),
    s.Back: lambda step, z: _by_column(z, [_way(way) for way in step.ways]),
    s.Clip: lambda step, z: np.minimum(np.maximum(z, np.array([step.low])), np.array([step.high])),
}


def _ended(outcome: s.Outcome, z: Any) -> Any:
    for step in outcome.steps:
        z = ENDINGS[type(step)](step, z)
    return z


def _told(outcome: s.Outcome, found: Said) -> dict[str, Any]:
    """Predictions by name."""
    if outcome.task != "numbers":
        return {"probabilities": found.means}
    told = {"predictions": _ended(outcome, found.means)}
    if not outcome.deviations or found.deviations is None:
        return told
    if not any(outcome.around):
        return told | {"deviations": found.deviations * np.array([outcome.deviations])}
    ends = found.means - found.deviations, found.means + found.deviations
    return told | dict(zip(("low", "high"), (_ended(outcome, end) for end in ends), strict=True))
