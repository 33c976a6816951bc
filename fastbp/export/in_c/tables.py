"""Raw rows in C: a struct with a field for each column, and the functions that make a network's inputs of it.

Steps are statements of one block a chain, in which `v` is a number, `m` a moment and `c` a code. A row that the recipe
refuses is one for which the function returns the number of the column, counted from 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp.data.moments import FIRST, LAST
from fastbp.errors import ConfigError, visible
from fastbp.export import steps as s
from fastbp.export.in_c.exact import number
from fastbp.export.in_c.names import TAKEN
from fastbp.export.in_c.source import Source, wrapped
from fastbp.export.raw import Tables

GONE = "INT64_MIN"
TYPES = {"number": "double", "text": "const char *", "moment": "int64_t"}
SAID = {
    "number": "NAN where it is missing",
    "text": "UTF-8; a null pointer or an empty text where it is missing",
    "moment": "microseconds since 1970; INT64_MIN where it is missing",
}
DIGITS = re.compile(r"([-+]?)(\d*)(?:\.(\d*))?(?:[eE]([-+]?\d+))?", re.ASCII)
LONGEST = 60  # of names of fields


def spelt(text: str) -> bytes:
    """A number in digits as `raw_number` writes it, any other text as UTF-8.

    These are texts that stand for their value, so a whole number has a point or an exponent only if it was written with
    one and is no less than 2⁵³.
    """
    match = DIGITS.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return text.encode("utf-8", "surrogatepass")
    sign, whole, rest, power = match[1], match[2], match[3] or "", int(match[4] or 0)
    digits = (whole + rest).lstrip("0")
    kept = digits.rstrip("0")
    if not kept:
        return b"\xff+e0"
    exact = match[3] is None and match[4] is None
    start = b"\xfe" if exact and int(whole) >= 2**53 else b"\xff"
    return start + f"{sign or '+'}{kept}e{power - len(rest) + len(digits) - len(kept)}".encode()


def quoted(text: bytes) -> str:
    """Bytes as a string in C, of which none is read as anything else."""
    plain = b" !#$%&'()*+,-./:;<=>@[]^_`{|}~"
    return '"' + "".join(chr(c) if (chr(c).isalnum() and c < 128) or c in plain else f"\\{c:03o}" for c in text) + '"'


def remark(text: str) -> str:
    """A text inside of a comment."""
    return visible(text).encode("ascii", "replace").decode().replace("*/", "* /").replace("/*", "/ *")


def fields_of(raws: Sequence[s.Raw]) -> list[str]:
    """An identifier for each column."""
    found: list[str] = []
    for raw in raws:
        plain = re.sub(r"\W+", "_", raw.name, flags=re.ASCII).strip("_")[:LONGEST] or "column"
        plain = f"c_{plain}" if plain[0].isdigit() or plain in TAKEN else plain
        name, count = plain, 2
        while name in found:
            name, count = f"{plain}_{count}", count + 1
        found.append(name)
    return found


class RawRows:
    """Writes what makes inputs of a network of raw rows.

    Parameters
    ----------
    source : Source
    tables : Tables
    name : str
        What names of types begin with.
    """

    def __init__(self, source: Source, tables: Tables, name: str) -> None:
        self.source, self.tables, self.name = source, tables, name
        self.raws = list(tables.raws)
        self.fields = fields_of(self.raws)
        for way in tables.ways:
            for chain in way.chains:
                if any(isinstance(step, s.Count) for step in chain.steps):
                    column = f"column `{visible(chain.raw.name)}`"
                    must = f"must be False, as {column} has words, and C has no table of the letters of all languages"
                    raise ConfigError("preprocessing", must, "`True`")
        self._texts: dict[Any, str] = {}
        self._types()

    @property
    def row(self) -> str:
        """The type of a raw row, as an argument."""
        return "const double *row" if self.tables.array else f"const {self.name}_row *row"

    def struct(self) -> str:
        """The declaration of that type; empty where a row is an array of numbers."""
        if self.tables.array:
            return ""
        lines = []
        for i, (raw, field) in enumerate(zip(self.raws, self.fields, strict=True)):
            space = "" if TYPES[raw.kind].endswith("*") else " "
            about = "" if field == raw.name else f"{remark(raw.name)}: "
            lines.append(f"    {TYPES[raw.kind]}{space}{field}; /* {i + 1}, {about}{SAID[raw.kind]} */\n")
        return f"typedef struct {{\n{''.join(lines)}}} {self.name}_row;\n"

    @staticmethod
    def literal(kind: str, value: Any) -> str:
        """A raw value in C."""
        if kind == "text":
            return quoted(value.encode())
        if kind == "number":
            return number(value)
        return GONE if value == np.iinfo(np.int64).min else f"INT64_C({value})"

    def _types(self) -> None:
        steps = [step for way in self.tables.ways for chain in way.chains for step in chain.steps]
        codes = [step for step in steps if isinstance(step, s.Code)]
        if codes:
            keys = [len(spelt(text)) for code in codes for text in [t for t, _ in (*code.codes, *code.key.words)]]
            longest = max(keys, default=0) + 32
            self.source.function(
                f"typedef struct {{\n    const char *text;\n    int length, code;\n}} raw_text;\n"
                f"\n#define RAW_KEY {longest}\n"
            )

    def prepare(self, way: int = 0) -> str:
        """``int prepare(row, real *x)``; returns the name."""
        said = self.tables.ways[way]
        lines: list[str] = []
        at = 0
        for chain in said.chains:
            lines += self._chain(chain, at)
            at += chain.width
        name = f"prepare_{way}" if len(self.tables.ways) > 1 else "prepare"
        text = "".join(f"    {line}\n" for line in lines)
        self.source.function(f"static int {name}({self.row}, real *x)\n{{\n{text}    return 0;\n}}\n")
        return name

    def _chain(self, chain: s.Chain, at: int) -> list[str]:
        column = _Chain(self, chain)
        lines = [line for step in chain.steps for line in STEPS[type(step)](column, step)]
        last = chain.steps[-1] if chain.steps else None
        loop = chain.count > 1
        if not isinstance(last, s.OneHot):
            place = f"{at} + k" if loop else f"{at}"
            lines += [f"x[{place}] = (real){column.value};", *column.refused(f"!isfinite(x[{place}])")]
        else:
            off, on = self.numbers("off", last.off), self.numbers("on", last.on)
            lines += [
                f"for (int i = 0; i < {len(last.on)}; i++)",
                f"    x[{at} + i] = (real)(c == i + 1 ? {on} : {off});",
            ]
        lines = [*column.declared(), *lines]
        head = f"for (int k = 0; k < {chain.count}; k++) {{" if loop else "{"
        return [f"{head} /* {remark(chain.raw.name)} */", *(f"    {line}" for line in lines), "}"]

    def numbers(self, label: str, values: Sequence[float], index: str = "i") -> str:
        """The number of a column, of which the same one is a literal."""
        if len(set(values)) == 1:
            return number(values[0])
        return f"{self.source.constant(label, np.array(values, np.float64))}[{index}]"

    def texts(self, label: str, known: dict[bytes, int]) -> str:
        """The name of an array of texts with their codes, sorted by bytes."""
        key = tuple(sorted(known.items()))
        if key not in self._texts:
            name = self._texts[key] = f"raw_{label}_{len(self._texts)}"
            items = [f"{{{quoted(text)}, {len(text)}, {code}}}" for text, code in key]
            self.source.part.bytes += sum(len(text) + 17 for text, _ in key)
            # behind the type, which is a function of its part
            listed = wrapped(items or ['{"", 0, 0}'])
            self.source.function(f"static const raw_text {name}[{max(len(key), 1)}] = {{\n{listed}\n}};\n")
        return self._texts[key]


class _Chain:
    """What the steps of one chain have come to."""

    def __init__(self, rows: RawRows, chain: s.Chain) -> None:
        self.rows, self.chain = rows, chain
        self.kind = chain.raw.kind
        self.number = rows.raws.index(chain.raw) + 1
        self.used = {"v"} if self.kind == "number" else set()
        field = rows.fields[rows.raws.index(chain.raw)]
        first = f"{chain.first} + k" if chain.count > 1 else f"{chain.first}"
        self.read = f"row[{first}]" if rows.tables.array else f"row->{field}"
        self.value = {"number": "v", "moment": "m", "text": "t"}[self.kind]
        self.start = self.value

    def declared(self) -> list[str]:
        """Declarations, and the raw value."""
        types = {"v": "double", "m": "int64_t", "c": "int", "t": "const char *"}
        lines = [f"{types[self.start]}{'' if self.start == 't' else ' '}{self.start} = {self.read};"]
        return lines + [f"{types[name]} {name};" for name in sorted(self.used - {self.start})]

    def become(self, value: str) -> str:
        """From here on the value is another variable."""
        self.value = value
        self.used.add(value)
        return value

    def refused(self, test: str) -> list[str]:
        """Give up where a test holds."""
        number = str(self.number)
        if self.rows.tables.array:
            number = f"{self.chain.first + 1}" + " + k" * (self.chain.count > 1)
        return [f"if ({test})", f"    return {number};"]

    def table(self, label: str, tables: Sequence[s.Table]) -> tuple[str, str, str]:
        """Places, levels and count of the table of each column, one behind the other."""
        places = self.rows.source.constant("places", np.concatenate([np.array(one.places) for one in tables]))
        levels = self.rows.source.constant("levels", np.concatenate([np.array(one.levels) for one in tables]))
        if len(tables) == 1:
            return places, levels, str(len(tables[0].places))
        ends = np.cumsum([0, *(len(one.places) for one in tables)]).astype(np.int32)
        at = self.rows.source.constant("ends", ends)
        return f"{places} + {at}[k]", f"{levels} + {at}[k]", f"{at}[k + 1] - {at}[k]"


Lines = list[str]


def _also(to: _Chain, step: s.Also) -> Lines:
    return [f"if ({' || '.join(f'v == {number(one)}' for one in step.numbers)})", "    v = NAN;"]


def _finite(to: _Chain, step: s.Finite) -> Lines:
    if to.value == "m":
        test = f"m < INT64_C({FIRST}) || m > INT64_C({LAST})"
        return to.refused(f"m != {GONE} && ({test})" if step.gaps else test)
    return to.refused("isinf(v)" if step.gaps else "!isfinite(v)")


def _missing(to: _Chain, step: s.Missing) -> Lines:
    test = f"m == {GONE}" if to.value == "m" else "v != v"
    to.become("v")
    return [f"v = {test} ? 1.0 : 0.0;"]


def _fill(to: _Chain, step: s.Fill) -> Lines:
    return ["if (v != v)", f"    v = {to.rows.numbers('fill', step.values, 'k')};"]


def _shift(to: _Chain, step: s.Shift) -> Lines:
    center, spread = (to.rows.numbers(n, v, "k") for n, v in (("center", step.center), ("spread", step.spread)))
    return [f"v = (v - {center}) / {spread};"]


def _soften(to: _Chain, step: s.Soften) -> Lines:
    return [f"v = {to.rows.source.need('raw_soft')}(v);"]


def _levels(to: _Chain, step: s.Levels) -> Lines:
    return [f"v = {to.rows.source.need('raw_line')}(v, {', '.join(to.table('levels', step.tables))});"]


def _ranks(to: _Chain, step: s.Ranks) -> Lines:
    line, quantile = to.rows.source.need("raw_line"), to.rows.source.need("exact_quantile")
    none = s.Table((0.0,), (0.0,))
    left = ", ".join(to.table("left", [none if one is None else one[0] for one in step.tables]))
    right = ", ".join(to.table("right", [none if one is None else one[1] for one in step.tables]))
    edge, other = number(step.edge), number(1.0 - step.edge)
    lines = [
        f"v = 0.5 * ({line}(v, {left}) + (1.0 - {line}(-v, {right})));",
        f"v = {quantile}(v < {edge} ? {edge} : v > {other} ? {other} : v);",
    ]
    there = [one is not None for one in step.tables]
    if all(there):
        return lines
    if not any(there):
        return ["v = 0.0;"]
    flags = to.rows.source.constant("ranked", np.array(there, np.int32))
    return [f"if ({flags}[k]) {{", *(f"    {one}" for one in lines), "} else", "    v = 0.0;"]


def _moment(to: _Chain, step: s.Moment) -> Lines:
    to.become("m")
    if step.step:
        return [f"m = v != v ? {GONE} : {to.rows.source.need('raw_steps')}(v, {number(step.step)});"]
    return [f"m = v != v ? {GONE} : {to.rows.source.need('raw_digits')}(v);"]


PARTS = {
    "year": "(double)raw_calendar(m).year",
    "month": "(double)raw_calendar(m).month",
    "yearday": "(double)(raw_calendar(m).days - raw_calendar(m).begun + 1)",
    "weekday": "(double)((raw_calendar(m).days + 719463) % 7)",
    "hour": "(double)raw_calendar(m).micro / 3600000000.0",
}
SHARES = {
    "month": "((double)raw_calendar(m).month - 1.0) / 12.0",
    "yearday": "(double)(raw_calendar(m).days - raw_calendar(m).begun) / (double)raw_calendar(m).length",
    "weekday": f"{PARTS['weekday']} / 7.0",
    "hour": f"{PARTS['hour']} / 24.0",
}


def _of_moment(to: _Chain, text: str) -> Lines:
    if "raw_calendar" in text:
        to.rows.source.need("raw_calendar")
    to.become("v")
    return [f"v = m == {GONE} ? NAN : {text};"]


def _part(to: _Chain, step: s.Part) -> Lines:
    if step.name == "age":
        return _of_moment(to, f"(double)(INT64_C({step.newest}) - m) / 86400000000.0")
    return _of_moment(to, PARTS[step.name])


def _share(to: _Chain, step: s.Share) -> Lines:
    return _of_moment(to, SHARES[step.name])


def _turned(to: _Chain, sine: int) -> Lines:
    return [f"v = {to.rows.source.need('exact_turns')}(v, {sine});"]


def _code(to: _Chain, step: s.Code) -> Lines:
    to.rows.source.need("raw_code")
    plain = spelt if step.key.by_value else lambda text: text.encode("utf-8", "surrogatepass")
    codes = dict(step.codes)
    known = {plain(text): code for text, code in step.codes}
    known |= {plain(text): codes.get(same, step.other) for text, same in step.key.words}
    gone = to.rows.texts("missing", {text.encode(): 0 for text in step.key.missing})
    found = to.rows.texts("texts", known)
    to.become("c")
    sizes = f"{gone}, {len(step.key.missing)}, {found}, {len(known)}"
    return [f"c = raw_code(t, {sizes}, {int(step.key.by_value)}, {step.other});"]


def _number_code(to: _Chain, step: s.NumberCode) -> Lines:
    to.become("c")
    lines = [f"c = v != v ? 0 : {step.other};"]
    if step.codes:
        numbers = to.rows.source.constant("categories", np.array([one for one, _ in step.codes], np.float64))
        codes = to.rows.source.constant("codes", np.array([code for _, code in step.codes], np.int32))
        lines += [
            f"for (int i = 0; i < {len(step.codes)}; i++)",
            f"    if (v == {numbers}[i])",
            f"        c = {codes}[i];",
        ]
    return lines


def _pick(to: _Chain, step: s.Pick) -> Lines:
    values = to.rows.source.constant("levels", np.array(step.values, np.float64))
    to.become("v")
    return [f"v = {values}[c];"]


STEPS: dict[Any, Callable[[_Chain, Any], Lines]] = {
    s.Also: _also,
    s.Finite: _finite,
    s.Missing: _missing,
    s.Fill: _fill,
    s.Shift: _shift,
    s.Soften: _soften,
    s.Levels: _levels,
    s.Ranks: _ranks,
    s.Moment: _moment,
    s.Part: _part,
    s.Share: _share,
    s.Sine: lambda to, step: _turned(to, 1),
    s.Cosine: lambda to, step: _turned(to, 0),
    s.Code: _code,
    s.NumberCode: _number_code,
    s.Pick: _pick,
    s.OneHot: lambda to, step: [],
}
