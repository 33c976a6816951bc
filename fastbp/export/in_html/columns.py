"""The fields of a page: what each column may be moved to, by what a recipe has kept of the training rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from fastbp.data.categories import Category
from fastbp.data.dates import Dates
from fastbp.data.moments import DAY, STEPS
from fastbp.data.numbers import Numbers
from fastbp.data.words import Words
from fastbp.errors import ConfigError, ConfigTypeError, brief, not_one_of
from fastbp.export.model import Model
from fastbp.export.raw import Tables
from fastbp.spec.checks import real

Column = dict[str, Any]
DEVIATIONS = 2.0  # on either side of the middle, of columns of which no ends are known
UNKNOWN = (-3.0, 3.0)  # of inputs of which nothing is known: most are standardised
YEARS = 20  # of dates
DISTANCE = 100.0  # steps of a slider


def columns_of_tables(model: Model, tables: Tables, ranges: Mapping[Any, Any]) -> list[Column]:
    """The columns of a table."""
    found: list[Column] = []
    parts = {part.name: part for recipe in reversed(model.recipes) for part in recipe.inputs.parts}
    for raw in tables.raws:
        part = parts.get(raw.name)
        if isinstance(part, Numbers):
            found.append(_number(raw.name, part, 0))
        elif isinstance(part, Category):
            found.append(_category(part))
        elif isinstance(part, Dates):
            found.append(_date(part))
        elif isinstance(part, Words):
            found.append({"name": part.name, "kind": "words", "value": ""})
        else:
            found += _of_array(model, raw.width)
    return _ranged(found, ranges)


def columns_of_inputs(model: Model, names: Sequence[Any], ranges: Mapping[Any, Any]) -> list[Column]:
    """The inputs of networks without a recipe; codes of categories are numbers to choose from."""
    found: list[Column] = []
    for i, name in enumerate(names):
        if i in model.codes:
            options = [{"value": code, "label": str(code)} for code in range(model.codes[i])]
            found.append({"name": str(name), "kind": "category", "options": options, "value": 0})
        else:
            found.append(_slider(str(name), *UNKNOWN, 0.0, missing=False))
    return _ranged(found, ranges)


def _of_array(model: Model, width: int) -> list[Column]:
    """The columns of an array, whose recipes have them by place."""
    found = []
    parts = model.recipes[0].inputs.parts
    if len(parts) == 1 and isinstance(parts[0], Numbers) and parts[0].name is None:
        return [_number(f"x{i}", parts[0], i) for i in range(width)]
    for i, part in enumerate(parts):
        if isinstance(part, Numbers):
            found.append(_number(f"x{i}", part, 0))
        elif isinstance(part, Category):
            found.append(_category(part) | {"name": f"x{i}"})
            for option in found[-1]["options"]:  # which an array has as numbers
                option["value"] = float(option["value"]) if option["value"] else None
            found[-1]["value"] = found[-1]["options"][0]["value"]
    return found


def _number(name: str, part: Numbers, i: int) -> Column:
    scale = part.scale if isinstance(part.scale, str) else part.scale[i]
    missing = part.missing != "refuse"
    if scale in ("quantile", "noisy_quantile"):
        ranked = [k for k in range(len(part.fill)) if isinstance(part.scale, str) or part.scale[k] == scale]
        knots = part.knots[:, ranked.index(i)].tolist()
        whole = all(knot == int(knot) for knot in knots)
        return _slider(name, knots[0], knots[-1], knots[len(knots) // 2], missing, whole)
    if scale == "none":
        middle = float(part.fill[i])
        return _slider(name, middle + UNKNOWN[0], middle + UNKNOWN[1], middle, missing)
    center, reach = float(part.center[i]), DEVIATIONS * float(part.spread[i])
    if scale == "standard" and abs(center * (1.0 - center) - float(part.spread[i]) ** 2) < 1e-9:
        return _slider(name, 0.0, 1.0, round(center), missing, whole=True)  # nothing but 0 and 1 has that deviation
    return _slider(name, center - reach, center + reach, center, missing)


def _slider(name: str, low: float, high: float, middle: float, missing: bool, whole: bool = False) -> Column:
    """A column of numbers between round ends."""
    if not low < high:
        low, high = low - 1.0, high + 1.0
    step = _round_step((high - low) / DISTANCE)
    if whole:
        step = max(1.0, step)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    value = min(max(round(middle / step) * step, low), high)
    found = {"low": low, "high": high, "step": step, "value": value}
    return {"name": name, "kind": "number", "missing": missing} | {k: _digits(v, step) for k, v in found.items()}


def _round_step(wanted: float) -> float:
    """1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return power * next((m for m in (1.0, 2.0, 5.0) if m * power >= wanted), 10.0)


def _digits(value: float, step: float) -> float:
    """A multiple of a step without the rests of binary fractions."""
    return round(value, max(0, 2 - math.floor(math.log10(step))))


def _category(part: Category) -> Column:
    options = [{"value": one, "label": one} for one in part.values]
    if part.rare:
        options.append({"value": part.rare[0], "label": f"another ({len(part.rare)} seldom ones)"})
    options.append({"value": "", "label": "(missing)"})
    return {"name": part.name, "kind": "category", "options": options, "value": options[0]["value"]}


def _date(part: Dates) -> Column:
    missing = part.missing != "refuse"
    newest = part.newest or date(2024, 1, 1).toordinal() * DAY - date(1970, 1, 1).toordinal() * DAY
    day = date(1970, 1, 1) + timedelta(days=newest // DAY)
    if part.unit is None:
        kind = "time" if "hour" in part.parts else "date"
        return {"name": part.name, "kind": kind, "missing": missing, "value": day.isoformat()}
    if part.unit == "ymd":
        value = float(day.year * 10_000 + day.month * 100 + day.day)
        return {"name": part.name, "kind": "free", "missing": missing, "value": value}
    one = DAY / STEPS[part.unit]
    value = newest / STEPS[part.unit]
    return _slider(part.name, value - YEARS * 365 * one, value, value, missing, whole=True)


def _ranged(columns: list[Column], ranges: Mapping[Any, Any]) -> list[Column]:
    """The columns, some with ranges of a user's own."""
    if not isinstance(ranges, Mapping):
        raise ConfigTypeError("ranges", "must be a dict of column to `(low, high)`", f"`{brief(ranges)}`")
    at = {column["name"]: i for i, column in enumerate(columns)}
    for name, ends in ranges.items():
        if str(name) not in at:
            raise not_one_of("ranges", str(name), list(at))
        column = columns[at[str(name)]]
        where = f"ranges[{name!r}]"
        if column["kind"] not in ("number", "free"):
            raise ConfigError(where, "must be of a column of numbers", f"a column of kind `{column['kind']}`")
        if isinstance(ends, str) or not isinstance(ends, Sequence) or len(ends) != 2:
            raise ConfigTypeError(where, "must be `(low, high)`", f"`{brief(ends)}`")
        low, high = (real(f"{where}[{i}]", end) for i, end in enumerate(ends))
        if not low < high:
            raise ConfigError(where, "must rise from the lower to the upper end", f"`({low:g}, {high:g})`")
        middle = min(max(column["value"], low), high)
        made = _slider(
            column["name"], low, high, middle, column["missing"], _whole(low) and _whole(high) and high - low > 20
        )
        columns[at[str(name)]] = made | {"low": low, "high": high}
    return columns


def _whole(value: float) -> bool:
    return value == int(value)
