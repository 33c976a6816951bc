"""Preprocessing as nodes of ONNX: one function for each step of `steps.py`.

Numbers are in float64 up to the network's inputs. A file cannot refuse a row: where the recipe would, all of the row's
inputs that come from that column are NaN, and so are its predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.moments import FIRST, LAST
from fastbp.errors import ConfigError, visible
from fastbp.export import steps as s
from fastbp.export.in_onnx.graph import OnnxGraph
from fastbp.export.in_onnx.moments import moment, part, share
from fastbp.export.in_onnx.ops import Value, Write, by_column, either, interpolated, row_of
from fastbp.numerics import normal

Array = NDArray[Any]
GONE = np.int64(np.iinfo(np.int64).min)
ML = "ai.onnx.ml"  # the domain of operators for texts, of which version 2 has all that are used here


def _also(step: s.Also, w: Write, x: Value) -> Value:
    found = ""
    for number in step.numbers:
        found = either(w, found, w.Equal(x.name, number))
    return replace(x, name=w.Where(found, np.nan, x.name))


def _finite(step: s.Finite, w: Write, x: Value) -> Value:
    if x.gone:
        bad = w.Or(w.Less(x.name, np.int64(FIRST)), w.Greater(x.name, np.int64(LAST)))
        bad = w.And(bad, w.Not(x.gone))
        return replace(x, bad=either(w, x.bad, bad if step.gaps else w.Or(bad, x.gone)))
    bad = w.IsInf(x.name)
    return replace(x, bad=either(w, x.bad, bad if step.gaps else w.Or(bad, w.IsNaN(x.name))))


def _missing(step: s.Missing, w: Write, x: Value) -> Value:
    return replace(x, name=w.cast(x.gone or w.IsNaN(x.name), "float64"), gone="")


def _fill(step: s.Fill, w: Write, x: Value) -> Value:
    return replace(x, name=w.Where(w.IsNaN(x.name), row_of(step.values), x.name))


def _shift(step: s.Shift, w: Write, x: Value) -> Value:
    return replace(x, name=w.Div(w.Sub(x.name, row_of(step.center)), row_of(step.spread)))


def _soften(step: s.Soften, w: Write, x: Value) -> Value:
    c = w.Min(w.Max(x.name, -1e100), 1e100)
    third = w.Div(c, 3.0)
    return replace(x, name=w.Div(c, w.Sqrt(w.Add(w.Mul(third, third), 1.0))))


def _levels(step: s.Levels, w: Write, x: Value) -> Value:
    return by_column(w, x, [partial(interpolated, w, table=one) for one in step.tables])


def _ranks(step: s.Ranks, w: Write, x: Value) -> Value:
    return by_column(w, x, [partial(_rank, w, tables=one, edge=step.edge) for one in step.tables])


def _rank(w: Write, x: str, tables: tuple[s.Table, s.Table] | None, edge: float) -> str:
    if tables is None:
        return w.Sub(x, x)
    right = w.Sub(1.0, interpolated(w, w.Neg(x), tables[1]))
    p = w.Mul(w.Add(interpolated(w, x, tables[0]), right), 0.5)
    return _normal_quantile(w, w.Min(w.Max(p, edge), 1.0 - edge))


def _rational(w: Write, x: str, parts: tuple[list[float], list[float]]) -> str:
    sums = []
    for numbers in parts:
        found = w.Add(w.Mul(x, numbers[-1]), numbers[-2])
        for number in reversed(numbers[:-2]):
            found = w.Add(w.Mul(found, x), number)
        sums.append(found)
    return w.Div(*sums)


def _normal_quantile(w: Write, p: str) -> str:
    """As `fastbp.numerics.normal` has it."""
    q = w.Sub(p, 0.5)
    r = w.Sqrt(w.Neg(w.Log(w.Min(p, w.Sub(1.0, p)))))
    near, far = _rational(w, w.Sub(r, 1.6), normal.TAIL), _rational(w, w.Sub(r, 5.0), normal.FAR)
    tail = w.Where(w.LessOrEqual(r, 5.0), near, far)
    middle = w.Mul(q, _rational(w, w.Sub(0.180625, w.Mul(q, q)), normal.MIDDLE))
    return w.Where(w.LessOrEqual(w.Abs(q), 0.425), middle, w.Where(w.Less(q, 0.0), w.Neg(tail), tail))


def _turned(w: Write, x: Value, ahead: float) -> Value:
    return replace(x, name=w.Sin(w.Mul(w.Add(w.Sub(x.name, w.Round(x.name)), ahead), 2.0 * np.pi)))


def spelt(key: s.Key, codes: Sequence[tuple[str, int]], other: int) -> dict[str, int]:
    """The texts that stand for codes: what is missing, values as they are known, whole numbers with `.0`, and other
    words for the same.
    """
    found = dict(codes)
    if key.by_value:
        for text, code in codes:
            if text.removeprefix("-").isdecimal():
                found.setdefault(f"{text}.0", code)
    for text, same in key.words:
        found[text] = dict(codes).get(same, other)
    return found | dict.fromkeys(key.missing, 0)


def _code(step: s.Code, w: Write, x: Value) -> Value:
    known = spelt(step.key, step.codes, step.other)
    words = {"keys_strings": list(known), "values_int64s": list(known.values()), "default_int64": step.other}
    return replace(x, name=w.node("LabelEncoder", x.name, domain=ML, **words))


def _number_code(step: s.NumberCode, w: Write, x: Value) -> Value:
    gone = w.IsNaN(x.name)
    if not step.codes:
        found = w.Where(gone, np.int64(0), np.int64(step.other))
        return replace(x, name=found)
    numbers, codes = np.array([n for n, _ in step.codes]), np.array([code for _, code in step.codes])
    code = w.total(w.Where(w.Equal(x.name, numbers), codes, np.int64(0)))
    if step.other:
        code = w.Where(w.Or(w.Greater(code, np.int64(0)), gone), code, np.int64(step.other))
    return replace(x, name=code)


def _pick(step: s.Pick, w: Write, x: Value) -> Value:
    return replace(x, name=w.Gather(np.array(step.values), x.name, axis=0))


def _one_hot(step: s.OneHot, w: Write, x: Value) -> Value:
    its = w.Equal(x.name, np.arange(1, len(step.on) + 1))
    return replace(x, name=w.Where(its, row_of(step.on), row_of(step.off)))


STEPS: dict[Any, Callable[[Any, Write, Value], Value]] = {
    s.Also: _also,
    s.Finite: _finite,
    s.Missing: _missing,
    s.Fill: _fill,
    s.Shift: _shift,
    s.Soften: _soften,
    s.Levels: _levels,
    s.Ranks: _ranks,
    s.Moment: moment,
    s.Part: part,
    s.Share: share,
    s.Sine: lambda step, w, x: _turned(w, x, 0.0),
    s.Cosine: lambda step, w, x: _turned(w, x, 0.25),
    s.Code: _code,
    s.NumberCode: _number_code,
    s.Pick: _pick,
    s.OneHot: _one_hot,
}


def check(said: s.Preprocessing) -> None:
    """Refuse what ONNX has no operators for."""
    for chain in said.chains:
        if any(isinstance(step, s.Count) for step in chain.steps):
            column = f"column `{visible(chain.raw.name)}`"
            must = f"must be False, as {column} has words, which are counted by CRC-32, for which ONNX has no operator"
            raise ConfigError("preprocessing", must, "`True`")


def inputs(graph: OnnxGraph, said: s.Preprocessing, rows: Mapping[str, str]) -> str:
    """The network's inputs, (rows, inputs), from tensors of raw columns by their names: float64, texts or int64."""
    check(said)
    w = Write(graph)
    if any(isinstance(step, s.Code) for chain in said.chains for step in chain.steps):
        graph.domains[ML] = 2
    parts = [_chain(w, chain, rows[chain.raw.name]) for chain in said.chains]
    joined = [w.cast(part, said.dtype) for part in parts]
    found = joined[0] if len(joined) == 1 else w.Concat(*joined, axis=1)
    none = np.array(np.nan, said.dtype)
    return w.Where(w.IsInf(found), none, found)


def _chain(w: Write, chain: s.Chain, raw: str) -> str:
    if chain.count < chain.raw.width:
        if chain.count == 1:
            raw = w.Gather(raw, np.array([chain.first]), axis=1)
        else:
            ends = [np.array([at]) for at in (chain.first, chain.first + chain.count, 1)]
            raw = w.Slice(raw, *ends)
    x = Value(raw, w.Equal(raw, GONE) if chain.raw.kind == "moment" else "")
    for step in chain.steps:
        x = STEPS[type(step)](step, w, x)
    return w.Where(x.bad, np.nan, w.cast(x.name, "float64")) if x.bad else x.name
