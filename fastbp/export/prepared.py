"""Preprocessing that is plain data, run by NumPy: what files in other languages are compared with."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.moments import DAY, FIRST, LAST
from fastbp.errors import DataError, visible
from fastbp.export import steps as s
from fastbp.numerics.exact import exp, log, turns
from fastbp.numerics.likely import sigmoid, softmax
from fastbp.numerics.normal import normal_quantile

Array = NDArray[Any]
GONE = int(np.iinfo(np.int64).min)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_WHOLE = re.compile(r"[-+]?\d{1,300}(\.0*)?", re.ASCII)


def prepared(said: s.Preprocessing, rows: Mapping[str, Any]) -> Array:
    """A network's inputs, (rows, inputs), from raw columns: arrays of float64, texts, and int64 for moments."""
    parts = []
    with np.errstate(over="ignore", invalid="ignore"):
        for chain in said.chains:
            x: Any = np.asarray(rows[chain.raw.name], object if chain.raw.kind == "text" else None)
            if chain.raw.kind == "number":
                x = x.astype(np.float64)
            x = x.reshape(len(x), -1)[:, chain.first : chain.first + chain.count]
            for step in chain.steps:
                x = STEPS[type(step)](step, x)
            parts.append(np.asarray(x, np.float64).astype(said.dtype))
    found = np.concatenate(parts, axis=1)
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found).all(axis=1)))
        raise DataError(f"row {row} must fit into `{said.dtype}` when it is scaled")
    return found


def _finite(step: s.Finite, x: Array) -> Array:
    moments = x.dtype.kind == "i"
    gone = x == GONE if moments else np.isnan(x)
    bad = ((x < FIRST) | (x > LAST)) & ~gone if moments else np.isinf(x)
    if bad.any() or (gone.any() and not step.gaps):
        must = "moments must be between the years 1 and 9999" if moments else "numbers must be finite"
        raise DataError(must + " or missing" * step.gaps)
    return x


def _levels(step: s.Levels, x: Array) -> Array:
    return np.stack([np.interp(c, t.places, t.levels) for c, t in zip(x.T, step.tables, strict=True)], axis=1)


def _ranks(step: s.Ranks, x: Array) -> Array:
    parts = []
    for column, tables in zip(x.T, step.tables, strict=True):
        if tables is None:
            parts.append(np.zeros(len(column)))
            continue
        left, right = tables
        p = 0.5 * (np.interp(column, left.places, left.levels) + (1.0 - np.interp(-column, right.places, right.levels)))
        parts.append(normal_quantile(np.clip(p, step.edge, 1.0 - step.edge)))
    return np.stack(parts, axis=1)


def _soften(step: s.Soften, x: Array) -> Array:
    c = np.clip(x, -1e100, 1e100)
    return np.asarray(c / np.sqrt(1.0 + np.square(c / 3.0)))


def _moment(step: s.Moment, x: Array) -> Array:
    out = np.full(x.shape, GONE, np.int64)
    there = ~np.isnan(x)
    if step.step:
        found = np.rint(x[there] * step.step)
        out[there] = np.where(np.abs(found) < s.NEVER, found, s.NEVER).astype(np.int64)
        return out
    for at in zip(*np.nonzero(there), strict=True):
        out[at] = _of_digits(float(x[at]))
    return out


def _of_digits(value: float) -> int:
    if value != value // 1 or not 1e7 <= value < 1e8:
        return s.NEVER
    whole = int(value)
    try:
        return (date(whole // 10_000, whole // 100 % 100, whole % 100).toordinal() - 719_163) * DAY
    except ValueError:
        return s.NEVER


def _calendar(x: Array) -> tuple[Array, Array, Array, Array]:
    """Of moments: days since 1970, year, month from 1, and the days of the first of January and the next."""
    days = np.where(x == GONE, 0, x) // DAY
    at = days.astype("datetime64[D]")
    years = at.astype("datetime64[Y]")
    month = at.astype("datetime64[M]").astype(np.int64) % 12 + 1
    ends = [(years + more).astype("datetime64[D]").astype(np.int64) for more in (0, 1)]
    return days, years.astype(np.int64) + 1970, month, np.stack(ends)


def _part(step: s.Part, x: Array) -> Array:
    days, year, month, ends = _calendar(x)
    found: dict[str, Array] = {
        "year": year,
        "month": month,
        "yearday": days - ends[0] + 1,
        "weekday": (days + 3) % 7,
        "hour": (np.where(x == GONE, 0, x) - days * DAY) / (DAY / 24),
        "age": (step.newest - np.where(x == GONE, 0, x)) / DAY,
    }
    return np.where(x == GONE, np.nan, found[step.name])


def _share(step: s.Share, x: Array) -> Array:
    days, _, month, ends = _calendar(x)
    found: dict[str, Array] = {
        "month": (month - 1.0) / 12.0,
        "yearday": (days - ends[0]) / (ends[1] - ends[0]),
        "weekday": (days + 3) % 7 / 7.0,
        "hour": (np.where(x == GONE, 0, x) - days * DAY) / (DAY / 24) / 24.0,
    }
    return np.where(x == GONE, np.nan, found[step.name])


def key_of(key: s.Key, given: Any) -> str | None:
    """The text that stands for another; None if it is missing."""
    if given is None or given != given or given.strip() in key.missing:
        return None
    text: str = given.strip()
    if key.by_value and any(c.isdigit() for c in text) and "_" not in text:
        try:
            value = float(text)
        except ValueError:
            pass
        else:
            if _WHOLE.fullmatch(text):
                text = str(int(text.partition(".")[0]))
            else:
                text = str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return dict(key.words).get(text, text)


def _code(step: s.Code, x: Array) -> Array:
    codes = dict(step.codes)
    keys = [key_of(step.key, text) for text in x[:, 0].tolist()]
    return np.array([0 if key is None else codes.get(key, step.other) for key in keys], np.int64)[:, None]


def _number_code(step: s.NumberCode, x: Array) -> Array:
    codes = dict(step.codes)
    found = [0 if value != value else codes.get(value, step.other) for value in x[:, 0].tolist()]
    return np.array(found, np.int64)[:, None]


def _one_hot(step: s.OneHot, x: Array) -> Array:
    return np.where(x == np.arange(1, len(step.on) + 1), step.on, step.off)


def _count(step: s.Count, x: Array) -> Array:
    size, weights = len(step.weights), np.array(step.weights)
    out = np.zeros((len(x), size))
    for row, text in enumerate(x[:, 0].tolist()):
        if text is None or text != text or text.strip() in step.missing:
            continue
        words = [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(text.lower())]
        counts = Counter(zlib.crc32(word) % size for word in words)
        if counts:
            columns = sorted(counts)
            w = weights[columns] * [1.0 + float(log(counts[column])) for column in columns]
            out[row, columns] = step.norm * w / math.sqrt(np.square(w).sum())
    return out


def _missing(step: s.Missing, x: Array) -> Array:
    return np.asarray(x == GONE if x.dtype.kind == "i" else np.isnan(x), np.float64)


STEPS: dict[Any, Callable[[Any, Any], Array]] = {
    s.Also: lambda step, x: np.where(np.isin(x, step.numbers), np.nan, x),
    s.Finite: _finite,
    s.Missing: _missing,
    s.Fill: lambda step, x: np.where(np.isnan(x), step.values, x),
    s.Shift: lambda step, x: (x - step.center) / step.spread,
    s.Soften: _soften,
    s.Levels: _levels,
    s.Ranks: _ranks,
    s.Moment: _moment,
    s.Part: _part,
    s.Share: _share,
    s.Sine: lambda step, x: turns(x)[1],
    s.Cosine: lambda step, x: turns(x)[0],
    s.Code: _code,
    s.NumberCode: _number_code,
    s.Pick: lambda step, x: np.array(step.values)[x],
    s.OneHot: _one_hot,
    s.Count: _count,
}


def told(
    said: s.Outcome, z: Array, middle: Array | None = None, probabilities: Array | None = None
) -> dict[str, Array]:
    """Columns of predictions from outputs z; `middle`, numbers, and `probabilities` where these are known already."""
    names = said.names
    if said.task == "classes":
        if z.shape[1] == 1:
            z = np.concatenate([np.zeros_like(z), z], axis=1)
        p = softmax(z).astype(z.dtype) if probabilities is None else probabilities
        found: dict[str, Array] = {said.target: np.array(names, object)[z.argmax(axis=1)]}
        return found | {f"{said.target} = {name}": p[:, i] for i, name in enumerate(names)}
    if said.task == "labels":
        p = sigmoid(z).astype(z.dtype) if probabilities is None else probabilities
        found = {name: (z[:, i] > 0).astype(np.int64) for i, name in enumerate(names)}
        return found | {f"{name} probability": p[:, i] for i, name in enumerate(names)}
    with np.errstate(over="ignore"):
        if middle is None:
            middle = _ended(said.link, z)
        numbers = _ended(said.steps, middle)
        found = {name: numbers[:, i] for i, name in enumerate(names)}
        if not said.deviations:
            return found
        spread = exp(0.5 * z[:, z.shape[1] // 2 :]).astype(z.dtype)
        low, high = _ended(said.steps, middle - spread), _ended(said.steps, middle + spread)
        wide = spread.astype(numbers.dtype) * np.array(said.deviations).astype(numbers.dtype)
    for i, (name, ends) in enumerate(zip(names, said.around, strict=True)):
        found |= {f"{name} low": low[:, i], f"{name} high": high[:, i]} if ends else {f"{name} deviation": wide[:, i]}
    return found


def _ended(steps: tuple[s.Ending, ...], z: Array) -> Array:
    for step in steps:
        z = ENDINGS[type(step)](step, z)
    return z


def _unscale(step: s.Unscale, z: Array) -> Array:
    found = z.astype(np.float64) * step.spread + step.center
    return found.astype(z.dtype) if step.rounded else found


BACK: dict[str, Callable[[Array], Array]] = {
    "none": lambda u: u,
    "exp": exp,
    "expm1": lambda u: exp(u) - 1.0,
    "square": lambda u: np.square(np.maximum(u, 0.0)),
}


def _back(step: s.Back, z: Array) -> Array:
    ways = [BACK[w] if isinstance(w, str) else partial(np.interp, xp=w.places, fp=w.levels) for w in step.ways]
    return np.stack([way(column) for way, column in zip(ways, z.T, strict=True)], axis=1)


def _clip(step: s.Clip, z: Array) -> Array:
    return np.clip(z, np.array(step.low).astype(z.dtype), np.array(step.high).astype(z.dtype))


ENDINGS: dict[Any, Callable[[Any, Array], Array]] = {
    s.Exp: lambda step, z: exp(z).astype(z.dtype),
    s.First: lambda step, z: z[:, : step.count],
    s.Unscale: _unscale,
    s.Back: _back,
    s.Clip: _clip,
}


def raw_rows(said: s.Preprocessing, table: Mapping[str, Any]) -> dict[str, Array]:
    """The columns of a table as a `Raw` says: numbers, texts, and moments of `datetime64`."""
    found = {}
    for raw in said.raws:
        if raw.name not in table:
            raise DataError("rows", f"must have a column `{visible(raw.name)}`")
        column = np.asarray(table[raw.name])
        if raw.kind == "moment":
            column = column.astype("datetime64[us]").astype(np.int64)
        elif raw.kind == "text":
            column = np.array([_text(value) for value in column.tolist()], object)
        else:
            column = column.astype(np.float64)
        found[raw.name] = column
    return found


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)
