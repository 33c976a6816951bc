"""Recipes as JavaScript: a row of a table becomes inputs of networks, step by step.

Beside each number stands its slope: by how much it grows with the raw number that it is made of. What is made of texts
and dates has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastbp.export import steps as s
from fastbp.export.in_js.text import literal, said, string, value

NUMBER, MOMENT, TEXT, CODE = range(4)  # what a chain has at a step
SLOPED = (s.Fill, s.Shift, s.Soften, s.Levels, s.Ranks)  # steps that change slopes
DAY = 86_400_000_000


class Preparing:
    """The JavaScript of one way of preparing rows.

    Parameters
    ----------
    said : Preprocessing
    gone : list of str
        Texts of missing numbers.
    array : bool
        Whether a row is an array of numbers.
    raws : list of Raw
        All columns of the table, by which `columns` counts.
    first : int
        Where its inputs begin among those of all ways.
    name : str
        Of its function.

    Attributes
    ----------
    text : str
        The function, of a row.
    tables : list of str
        Declarations of what it reads.
    columns : list of int
        For each of its inputs the column whose slope it has, or -1.
    """

    def __init__(
        self,
        said: s.Preprocessing,
        raws: Sequence[s.Raw],
        first: int,
        name: str,
        gone: Sequence[str],
        array: bool = False,
    ) -> None:
        self.said, self.raws, self.name, self.gone, self.array = said, list(raws), name, gone, array
        self.tables: list[str] = []
        self.columns: list[int] = []
        self._known: dict[str, str] = {}
        self._at = first
        lines: list[str] = []
        for chain in said.chains:
            lines += self._chain(chain)
            self._at += chain.width
        self.text = f"function {name}(row) {{\n" + "\n".join([*self._reads(), *lines]) + "\n}"

    def held(self, text: str) -> str:
        """The name of a constant."""
        if text not in self._known:
            self._known[text] = f"{self.name}_{len(self._known)}"
            self.tables.append(f"const {self._known[text]} = {text};")
        return self._known[text]

    def missing(self, texts: Sequence[str]) -> str:
        return self.held(f"new Set({value(list(texts))})")

    def _reads(self) -> list[str]:
        read = []
        for raw in self.said.raws:
            i, name = self.raws.index(raw), string(raw.name)
            if self.array:
                read.append(f"  const r{i} = arrayOf(row, {raw.width});")
            elif raw.kind == "number":
                read.append(f"  const r{i} = numberOf(row, {name}, {self.missing(self.gone)});")
            else:
                read.append(f"  const r{i} = {raw.kind}Of(row, {name});")
        return read

    def _chain(self, chain: s.Chain) -> list[str]:
        raw, i = chain.raw, self.raws.index(chain.raw)
        self.several = chain.count > 1
        self.kind = {"number": NUMBER, "moment": MOMENT, "text": TEXT}[raw.kind]
        self.raw, self.slope = raw, self.kind == NUMBER
        start = f"r{i}[{_sum(chain.first, 'k') if self.several else chain.first}]" if self.array else f"r{i}"
        slopes = self.slope or any(isinstance(step, SLOPED) for step in chain.steps)
        lines = [f"let v = {start}{', s = 1' if slopes else ''};"]
        for step in chain.steps:
            lines += STEPS[type(step)](self, step)
        place = _sum(self._at, "k") if self.several else str(self._at)
        if not isinstance(chain.steps[-1] if chain.steps else None, s.OneHot | s.Count):
            lines += [f"x[{place}] = {self.rounded('v')};"] + ([f"steep[{place}] = s;"] if self.slope else [])
        for k in range(chain.width):
            self.columns.append((chain.first + k if self.array else i) if self.slope else -1)
        head = f"for (let k = 0; k < {chain.count}; k++) {{" if self.several else "{"
        about = "" if self.array else f" // {said(raw.name)}"
        return [f"  {head}{about}", *(f"    {one}" for one in lines), "  }"]

    def rounded(self, text: str) -> str:
        return f"Math.fround({text})" if self.said.dtype == "float32" else text

    def one_of(self, values: Sequence[float]) -> str:
        """The number of a column."""
        if len(set(values)) == 1:
            return literal(values[0]).within(1)
        return f"{self.held(value(list(values)))}[k]"

    def tables_of(self, tables: Sequence[Any]) -> str:
        found = self.held(value([_plain(one) for one in tables]))
        return f"{found}[{'k' if self.several else 0}]"

    @property
    def at(self) -> int:
        return self._at

    @property
    def named(self) -> str:
        return string(self.raw.name)


def _plain(table: Any) -> Any:
    if table is None:
        return None
    if isinstance(table, tuple):
        return [_plain(one) for one in table]
    return [list(table.places), list(table.levels)]


def _sum(first: int, index: str) -> str:
    return f"{first} + {index}" if first else index


Lines = list[str]


def _also(to: Preparing, step: s.Also) -> Lines:
    return [f"if ({' || '.join(f'v === {literal(n).text}' for n in step.numbers)}) v = NaN;"]


def _finite(to: Preparing, step: s.Finite) -> Lines:
    return [f"finite(v, {to.named}, {str(step.gaps).lower()});"]


def _missing(to: Preparing, step: s.Missing) -> Lines:
    test = "v === null" if to.kind == MOMENT else "Number.isNaN(v)"
    to.kind, to.slope = NUMBER, False
    return [f"v = {test} ? 1 : 0;"]


def _fill(to: Preparing, step: s.Fill) -> Lines:
    return [f"if (Number.isNaN(v)) [v, s] = [{to.one_of(step.values)}, 0];"]


def _shift(to: Preparing, step: s.Shift) -> Lines:
    center, spread = to.one_of(step.center), to.one_of(step.spread)
    return [f"[v, s] = [(v - {center}) / {spread}, s / {spread}];"]


def _levels(to: Preparing, step: s.Levels) -> Lines:
    return [f"[v, s] = onLine({to.tables_of(step.tables)}, v, s);"]


def _ranks(to: Preparing, step: s.Ranks) -> Lines:
    found = to.tables_of(step.tables)
    line = f"[v, s] = ranked({found}, {literal(step.edge).text}, v, s);"
    return [line] if None not in step.tables else [f"if ({found} === null) [v, s] = [0, 0];", f"else {line}"]


def _moment(to: Preparing, step: s.Moment) -> Lines:
    to.kind, to.slope = MOMENT, False
    return [f"v = moment(v, {literal(step.step).text});"]


def _part(to: Preparing, step: s.Part) -> Lines:
    to.kind = NUMBER
    newest = f", {{ days: {step.newest // DAY}, rest: {step.newest % DAY} }}" if step.name == "age" else ""
    return [f"v = partOf(v, {string(step.name)}{newest});"]


def _share(to: Preparing, step: s.Share) -> Lines:
    to.kind = NUMBER
    return [f"v = shareOf(v, {string(step.name)});"]


def _code(to: Preparing, step: s.Code) -> Lines:
    key = step.key
    words = to.held(f"new Map({value([list(pair) for pair in key.words])})")
    codes = to.held(f"new Map({value([list(pair) for pair in step.codes])})")
    to.kind = CODE
    key_of = f"keyOf(v, {to.missing(key.missing)}, {str(key.by_value).lower()}, {words})"
    return [f"v = {key_of};", f"v = v === null ? 0 : ({codes}.get(v) ?? {step.other});"]


def _number_code(to: Preparing, step: s.NumberCode) -> Lines:
    codes = to.held(f"new Map({value([list(pair) for pair in step.codes])})")
    to.kind, to.slope = CODE, False
    return [f"v = Number.isNaN(v) ? 0 : ({codes}.get(v) ?? {step.other});"]


def _one_hot(to: Preparing, step: s.OneHot) -> Lines:
    off, on = (
        literal(one[0]).text if len(set(one)) == 1 else f"{to.held(value(list(one)))}[c]" for one in (step.off, step.on)
    )
    place = _sum(to.at, "c")
    return [f"for (let c = 0; c < {len(step.on)}; c++) x[{place}] = {to.rounded(f'v === c + 1 ? {on} : {off}')};"]


def _count(to: Preparing, step: s.Count) -> Lines:
    weights = to.held(value(list(step.weights)))
    missing = to.missing(step.missing)
    found = f"words(v, {missing}, {weights}, {literal(step.norm).text})"
    return [f"{found}.forEach((one, c) => {{", f"  x[{_sum(to.at, 'c')}] = {to.rounded('one')};", "});"]


STEPS: dict[Any, Callable[[Preparing, Any], Lines]] = {
    s.Also: _also,
    s.Finite: _finite,
    s.Missing: _missing,
    s.Fill: _fill,
    s.Shift: _shift,
    s.Soften: lambda to, step: ["[v, s] = softened(v, s);"],
    s.Levels: _levels,
    s.Ranks: _ranks,
    s.Moment: _moment,
    s.Part: _part,
    s.Share: _share,
    s.Sine: lambda to, step: ["v = Math.sin(2 * Math.PI * v);"],
    s.Cosine: lambda to, step: ["v = Math.cos(2 * Math.PI * v);"],
    s.Code: _code,
    s.NumberCode: _number_code,
    s.Pick: lambda to, step: [f"v = {to.held(value(list(step.values)))}[v];"],
    s.OneHot: _one_hot,
    s.Count: _count,
}
