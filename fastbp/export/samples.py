"""Rows that a recipe takes, of values at and between all that it knows: by these files prove themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.moments import DAY
from fastbp.export import steps as s
from fastbp.export.prepared import GONE
from fastbp.export.raw import Tables

Array = NDArray[Any]
LEAP = 951_782_400_000_000  # 2000-02-29


def samples(tables: Tables, count: int) -> dict[str, Array]:
    """So many raw rows, column by column: float64, texts, or int64."""
    found = {}
    for k, raw in enumerate(tables.raws):
        columns = []
        for i in range(raw.width):
            chains = [c for way in tables.ways for c in way.chains if c.raw == raw and c.first <= i < c.first + c.count]
            known = [value for chain in chains for value in _of_chain(chain, i - chain.first)]
            values = list(dict.fromkeys(known)) or [0.0]
            step = max(1.0, len(values) / count)  # so that all kinds of many are there
            columns.append([values[(int(r * step) + k + i) % len(values)] for r in range(count)])
        kind = {"number": np.float64, "text": object, "moment": np.int64}[raw.kind]
        array = np.array(columns, kind).T
        found[raw.name] = array if raw.width > 1 else array[:, 0]
    return found


def _of_chain(chain: s.Chain, at: int) -> list[Any]:
    """Values of one of its columns."""
    gaps = all(step.gaps for step in chain.steps if isinstance(step, s.Finite))
    if chain.raw.kind == "text":
        return [text for step in chain.steps if isinstance(step, s.Code) for text in _texts(step)]
    moments = [at for step in chain.steps if isinstance(step, s.Part) for at in _around(step.newest)]
    if chain.raw.kind == "moment":
        return [*moments, *([GONE] if gaps else [])]
    numbers = [step for step in chain.steps if isinstance(step, s.Moment)]
    if numbers:
        found = [_number(moment, numbers[0].step) for moment in moments]
    else:
        found = [value for step in chain.steps for value in _numbers(step, at)]
    return [*found, *([np.nan] if gaps else [])]


def _around(newest: int) -> list[int]:
    return [newest, newest - 100 * DAY - 12_345_678, LEAP + 3_600_000_001, -DAY - 1]


def _number(moment: int, step: float) -> float:
    if step:
        return moment / step
    return float(str(np.datetime64(moment, "us"))[:10].replace("-", ""))


def _texts(step: s.Code) -> Sequence[str]:
    known = [text for text, _ in step.codes]
    return [*known[:3], *known[-2:], "", "none of these", *(f" {text}\t" for text in known[:2]), "1.50e1"]


def _numbers(step: s.Step, at: int) -> list[float]:
    if isinstance(step, s.Fill):
        return [step.values[at]]
    if isinstance(step, s.Shift):
        center, spread = step.center[at], step.spread[at]
        return [center, center + 0.7 * spread, center - 1.9 * spread]
    if isinstance(step, s.NumberCode):
        return [number for number, _ in step.codes[:5]] + [-0.5]
    tables = [step.tables[at]] if isinstance(step, s.Levels) else []
    if isinstance(step, s.Ranks):
        tables = [both[0] for both in [step.tables[at]] if both is not None]
    found = []
    for table in tables:
        low, middle, high = table.places[0], table.places[len(table.places) // 2], table.places[-1]
        found += [low, middle, high, 0.3 * middle + 0.7 * high, low - 1.0, high + 1.0]
    return found
