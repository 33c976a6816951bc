"""Which column becomes what: as `data.columns` says, and for the others as `kinds.py` sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.data.categories import ASKED as ENCODINGS
from fastbp.data.categories import Category
from fastbp.data.dates import MISSING as DATE_FILLS
from fastbp.data.dates import Dates
from fastbp.data.frame import Frame, missing_column
from fastbp.data.inputs import Encoding, Inputs
from fastbp.data.kinds import Kind, kind_of, kinds_of
from fastbp.data.moments import ORDERS, UNITS, order_of
from fastbp.data.numbers import ASKED, FILLS, Numbers
from fastbp.data.words import SIZE, Words
from fastbp.errors import ConfigError, DataError, not_one_of, visible

TYPES = ("number", "category", "date", "words", "ignore", "target", "weight")
CHOICES: dict[str, Sequence[str]] = {
    "type": TYPES,
    "scale": ASKED,
    "missing": FILLS,
    "encode": ENCODINGS,
    "unit": UNITS,
    "order": ORDERS,
}
KEYS = (*CHOICES, "indicator", "value", "size", "min_frequency")
OWN: dict[str, Sequence[str]] = {  # the keys of each type, beside `type`
    "number": ("scale", "missing", "value", "indicator"),
    "category": ("encode", "min_frequency", "size"),
    "date": ("unit", "order", "scale", "missing", "indicator"),
    "words": ("size",),
    **dict.fromkeys(("ignore", "target", "weight"), ()),
}


def column_settings(name: str, value: Any) -> dict[str, Any]:
    """The settings of one column in `data.columns`."""
    where = f"data.columns.{visible(name)}"
    given = {"type": value} if isinstance(value, str) else value
    if not isinstance(given, dict):
        raise ConfigError(where, "must be a type or a map with `type`", f"`{value}`")
    for key, setting in given.items():
        if key in CHOICES:
            if setting not in CHOICES[key]:
                raise not_one_of(f"{where}.{key}" if isinstance(value, dict) else where, setting, CHOICES[key])
        elif key == "indicator":
            if not isinstance(setting, bool):
                raise ConfigError(f"{where}.indicator", "must be `true` or `false`", f"`{setting}`")
        elif key in ("value", "size", "min_frequency"):
            number = isinstance(setting, int | float) and not isinstance(setting, bool) and np.isfinite(setting)
            if key == "value" and not number:
                raise ConfigError(f"{where}.value", "must be a finite number", f"`{setting}`")
            if key != "value" and not (number and setting >= 1 and int(setting) == setting):
                raise ConfigError(f"{where}.{key}", "must be a whole number, at least 1", f"`{setting}`")
        else:
            raise not_one_of(where, key, KEYS)
    _fitting(where, given, given.get("type"))
    return given


def _fitting(where: str, given: Mapping[str, Any], kind: str | None, hint: str | None = None) -> None:
    """Refuse settings that a type does not have, where they would be passed over; None: not known yet."""
    for key in given:
        if kind != "date" and key in ("unit", "order"):
            raise ConfigError(f"{where}.{key}", "must be given with type `date` only")
        if kind is not None and key not in ("type", *OWN[kind]):
            raise ConfigError(f"{where}.{key}", f"must not be given with type `{kind}`", hint=hint)
    if kind == "date" and given.get("missing", "mean") not in DATE_FILLS:
        known = "`mean`, `median` or `refuse`"
        raise ConfigError(f"{where}.missing", f"must be {known} with type `date`", f"`{given['missing']}`", hint)


@dataclass(frozen=True)
class Seen:
    """A column of the table, its type, and its values or the reason in a few words, unless it seems another.

    `scale` is what `auto` chose for it, or its own where `data.scale` is another, `encode` how its categories are
    encoded, and `width` how many numbers the network gets for it.
    """

    name: str
    type: str
    about: str = ""
    scale: str = ""
    encode: str = ""
    width: int = 0

    @property
    def becomes(self) -> str:
        """How categories are encoded, in words."""
        what = {"one_hot": "one-hot, {} column", "embedding": "embedding, {} number"}.get(self.encode, "")
        return what.format(f"{self.width:,}") + "s" * (self.encode != "" and self.width != 1)


def column_plan(train: Frame, data: Any, targets: Sequence[str], whole: Frame) -> tuple[Inputs, str | None, list[Seen]]:
    """The encoding of each column, the column of weights, and what the columns are, by all rows of the table."""
    settings = {name: column_settings(name, value) for name, value in data.columns.items()}
    for name in settings:
        if name not in train.columns:
            raise missing_column(train, name)
    parts: list[Encoding] = []
    if train.matrix is not None:
        parts.append(Numbers(None, data.scale, data.missing, 0.0, data.indicator))
    free = [
        name
        for name in train.columns
        if name not in targets and name not in (data.split.group, data.split.column)
        # next to a matrix, only columns that are listed are inputs
        if train.matrix is None or name in settings
    ]
    said = {name: settings[name]["type"] for name in free if "type" in settings.get(name, {})}
    inputs = any(kind not in ("ignore", "target", "weight") for kind in said.values())
    kinds = kinds_of(whole, [name for name in free if name not in said], inputs or train.matrix is not None)
    kinds |= {name: kind_of(whole.columns[name]) for name in said}
    types = {name: said.get(name, kind.name) for name, kind in kinds.items()}
    for name in free:
        inferred = f"the type is inferred from the values, {kinds[name].about}; `type` says otherwise"
        _fitting(f"data.columns.{visible(name)}", settings.get(name, {}), types[name], inferred)
    seen = [Seen(name, types[name], kinds[name].about if types[name] == kinds[name].name else "") for name in free]
    weights = [one.name for one in seen if one.type == "weight"]
    if len(weights) > 1:
        first, second = map(visible, weights[:2])
        raise ConfigError("data.columns", "must have one weight column", f"`{first}` and `{second}`")
    for one in seen:
        if one.type not in ("ignore", "target", "weight"):
            parts.append(_part(one, settings.get(one.name, {}), data, whole, kinds[one.name]))
    if not parts:
        why = ", ".join(f"`{visible(one.name)}` ({one.about or one.type})" for one in seen[:6]) or "what to predict"
        more = ", ..." * (len(seen) > 6)
        raise DataError(f"{whole.origin}: there must be a column to predict from, got only {why}{more}")
    return Inputs(parts), weights[0] if weights else None, seen


def _part(one: Seen, own: Mapping[str, Any], data: Any, whole: Frame, kind: Kind) -> Encoding:
    """The encoding of a column that is an input."""
    name = one.name
    scale, missing = own.get("scale", data.scale), own.get("missing", data.missing)
    indicator = own.get("indicator", data.indicator)
    if one.type == "number":
        return Numbers(name, scale, missing, float(own.get("value", 0.0)), indicator)
    if one.type == "words":
        return Words(name, int(own.get("size", SIZE)))
    if one.type == "category":
        size = int(own["size"]) if "size" in own else data.embed_size
        frequency = int(own.get("min_frequency", data.min_frequency))
        scaled = {"scale": data.scale_categories, "most": data.most_one_hot}
        return Category(name, own.get("encode", data.encode), frequency, size, **scaled)
    missing = missing if missing in DATE_FILLS else "mean"
    unit = own.get("unit")
    order = own.get("order") or _order(whole, name, unit, kind)
    return Dates(name, unit, order, missing, indicator, numbers=Numbers(None, scale, missing))


def _order(whole: Frame, name: str, unit: str | None, kind: Kind) -> str | None:
    """What stands first in the dates of a column with slashes, which the table must say."""
    column = whole.columns[name]
    if unit is not None or kind.name != "date":
        if unit is None and column.values.dtype.kind == "f" and not np.isnan(column.values).all():
            known = ", ".join(f"`{u}`" for u in UNITS)
            raise ConfigError(
                f"data.columns.{visible(name)}",
                f"must have `unit`, one of {known}, as {whole.origin} has numbers there",
            )
        return order_of(text for text in column.values.tolist() if text is not None) if column.is_text else None
    if kind.unclear is not None:
        raise DataError(
            f"{whole.origin}: column `{visible(name)}` must have a date that says whether days or months come first,"
            f" got only such as `{visible(kind.unclear)}`",
            hint=f"`data.columns.{visible(name)}` may be `{{type: date, order: day}}`, or `order: month`",
        )
    return kind.order
