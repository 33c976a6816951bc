"""What a raw row is told, in C: a struct of predictions, and the functions that users call with rows of a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.export import steps as s
from fastbp.export.in_c.source import Source, array_of
from fastbp.export.in_c.tables import RawRows, quoted, remark
from fastbp.export.in_c.terms import REALS
from fastbp.export.model import Model
from fastbp.export.prepared import prepared
from fastbp.export.raw import Tables
from fastbp.export.samples import samples

WAYS = {
    "exp": "exact_exp(v)",
    "expm1": "exact_exp(v) - 1.0",
    "square": "(v > 0.0 || v != v ? v : 0.0) * (v > 0.0 || v != v ? v : 0.0)",
}


class SaidRows:
    """Writes what a model with recipes says of raw rows.

    Parameters
    ----------
    source : Source
    model : Model
    tables : Tables
    name : str
        What names of types and functions begin with.
    """

    def __init__(self, source: Source, model: Model, tables: Tables, name: str) -> None:
        self.source, self.model, self.name = source, model, name
        self.real = REALS[model.dtype.name]
        self.said = tables.outcome
        self.count = len(self.said.names)
        self.rows = RawRows(source, tables, name)
        self.inputs = model.spans[-1].stop
        self.spread = bool(self.said.deviations) and not model.joined
        self._prepare = self._of_all_ways()
        self._told = self._by_task()

    def _of_all_ways(self) -> str:
        """``int prepare(row, real *x)``, for each way of preparing rows side by side; returns the name."""
        made = [self.rows.prepare(way) for way in range(len(self.rows.tables.ways))]
        if len(made) == 1:
            return made[0]
        lines = ["int wrong = 0;"]
        for name, span in zip(made, self.model.spans, strict=True):
            lines += ["if (!wrong)", f"    wrong = {name}(row, x + {span.start});"]
        body = "".join(f"    {line}\n" for line in [*lines, "return wrong;"])
        self.source.function(f"static int prepare({self.rows.row}, real *x)\n{{\n{body}}}\n")
        return "prepare"

    @property
    def outputs(self) -> int:
        """Numbers of ``NAME_predict``."""
        if not self.model.joined:
            return self.model.net.outputs
        return self.count

    # The header.

    def declared(self) -> str:
        """Types and functions."""
        names = ", ".join(f"{i} {remark(one)}" for i, one in enumerate(self.said.names))
        upper, count = self.name.upper(), f"{self.name.upper()}_SAID"
        lines = {
            "classes": [f"int label; /* {names} */", f"double probabilities[{count}];"],
            "labels": [f"int labels[{count}]; /* {names} */", f"double probabilities[{count}];"],
            "numbers": [f"double numbers[{count}]; /* {names} */"],
        }[self.said.task]
        if self.spread:
            ends = any(self.said.around)
            lines += [f"double low[{count}], high[{count}];"] if ends else [f"double deviations[{count}];"]
        struct = "".join(f"    {line}\n" for line in lines)
        row = self.rows.row
        parts = [
            f"#define {count} {self.count}",
            self.rows.struct().rstrip() or f"/* row: {self.rows.raws[0].width} numbers, NAN where they are missing. */",
            f"typedef struct {{\n{struct}}} {self.name}_said;",
            "/* What is predicted for a row of a table. 0, or the number of a column, counted from 1, whose value is\n"
            f"   refused. */\nint {self.name}_predict_row({row}, {self.name}_said *said);",
            f"/* x, what the network takes, of a row; returns the same. */\n"
            f"int {self.name}_prepare({row}, {self.real} *x);",
        ]
        if self.said.task != "numbers":
            parts.insert(3, f"extern const char *const {self.name}_names[{upper}_SAID];")
        return "\n\n".join(part for part in parts if part)

    # The source.

    def defined(self) -> str:
        """The functions that users call."""
        name, row = self.name, self.rows.row
        lines = [
            f"real x[{self.inputs}], y[{self.outputs}];",
            f"const int wrong = {self._prepare}(row, x);",
            "if (wrong)",
            "    return wrong;",
            f"{name}_predict(x, y);",
            *self._told,
            "return 0;",
        ]
        body = "".join(f"    {line}\n" for line in lines)
        text = f"int {name}_prepare({row}, real *x)\n{{\n    return {self._prepare}(row, x);\n}}\n"
        text += f"\nint {name}_predict_row({row}, {name}_said *said)\n{{\n{body}}}\n"
        if self.said.task != "numbers":
            listed = ", ".join(quoted(str(one).encode()) for one in self.said.names)
            text = f"const char *const {name}_names[{self.count}] = {{{listed}}};\n\n{text}"
        return text

    # Its proof.

    def stored(self, count: int) -> str:
        """Raw rows and what the network takes for them, as constants."""
        tables = self.rows.tables
        rows = samples(tables, count)
        x = np.concatenate([prepared(way, rows) for way in tables.ways], axis=1)
        if tables.array:
            raw = array_of("stored_rows", "rows of an array", rows[tables.raws[0].name])
        else:
            items = (
                ", ".join(self.rows.literal(one.kind, rows[one.name][r]) for one in tables.raws) for r in range(count)
            )
            listed = ",\n".join(f"    {{{item}}}" for item in items)
            raw = f"/* rows of a table */\nstatic const {self.name}_row stored_rows[{count}] = {{\n{listed}\n}};\n"
        return f"{raw}\n{array_of('stored_inputs', 'the same, prepared', x)}"

    def compared(self) -> list[str]:
        """Statements that prepare row r of them."""
        row = f"stored_rows + r * {self.rows.raws[0].width}" if self.rows.tables.array else "stored_rows + r"
        return [
            f"failed += {self.name}_prepare({row}, found) != 0;",
            f'failed += differs("prepare", r, stored_inputs + r * {self.inputs}, found, {self.inputs});',
        ]

    def _by_task(self) -> list[str]:
        """Statements from y to what is said."""
        if self.said.task == "numbers":
            self._written()
            return self._numbers()
        self.source.need("exact_sigmoid" if self.said.task == "labels" else "exact_softmax")
        return self._labels() if self.said.task == "labels" else self._classes()

    def _cast(self, text: str) -> str:
        """A number as the model's own predictions round it."""
        return text if self.model.wide or self.real == "double" else f"(double)(float)({text})"

    def _classes(self) -> list[str]:
        count = self.count
        lines = []
        if self.model.joined:
            lines = [f"for (int i = 0; i < {count}; i++)", "    said->probabilities[i] = (double)y[i];"]
            which = "said->probabilities[i] > said->probabilities[said->label]"
        else:
            given = ["0.0", "(double)y[0]"] if self.outputs == 1 else [f"(double)y[{i}]" for i in range(count)]
            which = "z[i] > z[said->label]"
            lines = [
                f"double z[{count}];",
                *(f"z[{i}] = {one};" for i, one in enumerate(given)),
                f"exact_softmax(z, {count}, said->probabilities);",
            ]
            if self._cast("v") != "v":
                lines += [
                    f"for (int i = 0; i < {count}; i++)",
                    "    said->probabilities[i] = (double)(float)said->probabilities[i];",
                ]
        return [
            *lines,
            "said->label = 0;",
            f"for (int i = 1; i < {count}; i++)",
            f"    if ({which})",
            "        said->label = i;",
        ]

    def _labels(self) -> list[str]:
        p = "(double)y[i]" if self.model.joined else self._cast("exact_sigmoid((double)y[i])")
        test = "y[i] > (real)0.5" if self.model.joined else "y[i] > ZERO"
        return [
            f"for (int i = 0; i < {self.count}; i++) {{",
            f"    said->labels[i] = {test};",
            f"    said->probabilities[i] = {p};",
            "}",
        ]

    def _written(self) -> None:
        """``void numbers_of(const double *middle, double *numbers)``: to the units of the table."""
        lines = [f"for (int i = 0; i < {self.count}; i++) {{", "    double v = middle[i];"]
        narrow = self.real == "float" and not self.model.wide
        for step in self.said.steps:
            lines += [f"    {line}" for line in self._ending(step, narrow)]
            if isinstance(step, s.Unscale | s.Back):
                narrow = narrow and isinstance(step, s.Unscale) and step.rounded
        lines += ["    numbers[i] = v;", "}"]
        body = "".join(f"    {line}\n" for line in lines)
        self.source.function(f"static void numbers_of(const double *middle, double *numbers)\n{{\n{body}}}\n")
        self._narrow = narrow

    def _ending(self, step: Any, narrow: bool) -> list[str]:
        numbers = self.rows.numbers
        if isinstance(step, s.Unscale):
            text = f"v * {numbers('spread', step.spread)} + {numbers('center', step.center)}"
            return [f"v = {self._cast(text) if step.rounded else text};"]
        if isinstance(step, s.Clip):
            dtype = np.float32 if narrow else np.float64
            low, high = (np.array(ends).astype(dtype).astype(np.float64).tolist() for ends in (step.low, step.high))
            least, most = numbers("low", low), numbers("high", high)
            return [f"v = v < {least} ? {least} : v > {most} ? {most} : v;"]
        assert isinstance(step, s.Back)
        if len(set(step.ways)) == 1:
            return self._way(step.ways[0])
        lines = ["switch (i) {"]
        for i, way in enumerate(step.ways):
            lines += [f"case {i}:", *(f"    {line}" for line in self._way(way)), "    break;"]
        return [*lines, "}"]

    def _way(self, way: str | s.Table) -> list[str]:
        if isinstance(way, s.Table):
            self.source.need("raw_line")
            places = self.source.constant("places", np.array(way.places))
            levels = self.source.constant("levels", np.array(way.levels))
            return [f"v = raw_line(v, {places}, {levels}, {len(way.places)});"]
        if way in ("exp", "expm1"):
            self.source.need("exact_exp")
        return [] if way == "none" else [f"v = {WAYS[way]};"]

    def _numbers(self) -> list[str]:
        count = self.count
        z = "(double)y[i]"
        if not self.model.joined and any(isinstance(step, s.Exp) for step in self.said.link):
            self.source.need("exact_exp")
            z = self._cast("exact_exp((double)y[i])")
        lines = [
            f"double middle[{count}];",
            f"for (int i = 0; i < {count}; i++)",
            f"    middle[i] = {z};",
            "numbers_of(middle, said->numbers);",
        ]
        if not self.spread:
            return lines
        self.source.need("exact_exp")
        lines += [
            f"double spread[{count}];",
            f"for (int i = 0; i < {count}; i++)",
            f"    spread[i] = {self._cast(f'exact_exp(0.5 * (double)y[{count} + i])')};",
        ]
        if not any(self.said.around):
            scale = np.array(self.said.deviations)
            scale = scale.astype(np.float32).astype(np.float64) if self._narrow else scale
            wide = f"spread[i] * {self.rows.numbers('deviation', scale.tolist())}"
            wide = f"(double)(float)({wide})" if self._narrow else wide
            return [*lines, f"for (int i = 0; i < {count}; i++)", f"    said->deviations[i] = {wide};"]
        lines.append(f"double end[{count}];")
        for end, sign in (("low", "-"), ("high", "+")):
            lines += [
                f"for (int i = 0; i < {count}; i++)",
                f"    end[i] = {self._cast(f'middle[i] {sign} spread[i]')};",
                f"numbers_of(end, said->{end});",
            ]
        return lines
