"""What a raw row is told, in C: a struct of predictions, and the functions that users call with rows of a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.export import steps as s
from fastbp.export.in_c.differences import DIFFERS, LABELS_DIFFER
from fastbp.export.in_c.source import Source, array_of
from fastbp.export.in_c.tables import RawRows, quoted, remark
from fastbp.export.in_c.terms import REALS
from fastbp.export.in_c.together import predictions
from fastbp.export.model import Model
from fastbp.export.prepared import prepared, told
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

    @property
    def _spread_fields(self) -> list[str]:
        """Fields that say how far from the numbers others may be."""
        if not self.spread:
            return []
        return ["low", "high"] if any(self.said.around) else ["deviations"]

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
        lines += [f"double {field}[{count}];" for field in self._spread_fields]
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
        parts = [raw, array_of("stored_inputs", "the same, prepared", x)]
        for field, values in self._answers(x).items():
            parts.append(array_of(f"stored_{field}", f"what they are told, {field}", values))
        if self.said.task != "numbers":
            parts.append(LABELS_DIFFER.format(name=self.name))
        if self.real != "double":
            parts.append(DIFFERS.format(name=self.name, number="double", function="said_differs"))
        return "\n".join(parts)

    def _answers(self, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Fields of what is said of prepared rows, by Python."""
        said, y = self.said, predictions(self.model, x)
        z = y.astype(np.float64) if self.model.wide else y
        if self.spread:  # a struct has the same fields for all columns
            said = replace(said, around=(any(said.around),) * self.count)
        if not self.model.joined:
            found = told(said, z)
        elif said.task == "numbers":
            found = told(replace(said, deviations=()), z, middle=z)
        else:
            found = told(said, z if said.task == "classes" else z - z.dtype.type(0.5), probabilities=z)
        if said.task == "classes":
            labels = np.array([said.names.index(name) for name in found[said.target]])
            columns = {"probabilities": [f"{said.target} = {name}" for name in said.names]}
        elif said.task == "labels":
            labels = np.stack([found[name] for name in said.names], axis=1)
            columns = {"probabilities": [f"{name} probability" for name in said.names]}
        else:
            columns = {"numbers": list(said.names)}
            for field in self._spread_fields:
                columns[field] = [f"{name} {field.removesuffix('s')}" for name in said.names]
        fields = {"labels": labels} if said.task != "numbers" else {}
        return fields | {
            field: np.stack([found[name].astype(np.float64) for name in names], axis=1)
            for field, names in columns.items()
        }

    def compared(self) -> list[str]:
        """Statements that prepare row r of them, and say what is predicted for it."""
        row = f"stored_rows + r * {self.rows.raws[0].width}" if self.rows.tables.array else "stored_rows + r"
        return [
            f"failed += {self.name}_prepare({row}, found) != 0;",
            f'failed += differs("prepare", r, stored_inputs + r * {self.inputs}, found, {self.inputs});',
            f"failed += {self.name}_predict_row({row}, &told) != 0;",
            *self._compared_fields(),
        ]

    def _compared_fields(self) -> list[str]:
        """Statements that compare what is told of row r."""
        lines, count = [], self.count
        if self.said.task == "classes":
            lines.append("failed += labels_differ(r, stored_labels + r, &told.label, 1);")
        elif self.said.task == "labels":
            lines.append(f"failed += labels_differ(r, stored_labels + r * {count}, told.labels, {count});")
        differs = "differs" if self.real == "double" else "said_differs"
        for field in ["numbers" if self.said.task == "numbers" else "probabilities", *self._spread_fields]:
            lines.append(f'failed += {differs}("predict_row", r, stored_{field} + r * {count}, told.{field}, {count});')
        return lines

    def _by_task(self) -> list[str]:
        """Statements from y to what is said."""
        if self.said.task == "numbers":
            self._written()
            return self._numbers()
        self.source.need("exact_sigmoid" if self.said.task == "labels" else "exact_softmax")
        return self._labels() if self.said.task == "labels" else self._classes()

    def _cast(self, text: str) -> str:
        """A number as the model's own predictions round it."""
        return text if self.model.wide or self.real == "double" else self._rounded(text)

    def _output(self, at: int | str) -> str:
        """One of the network's outputs in float64."""
        return f"y[{at}]" if self.real == "double" else self._rounded(f"(double)y[{at}]")

    def _rounded(self, text: str) -> str:
        """A number rounded to float."""
        self.source.need("raw_float")
        return f"raw_float({text})"

    def _classes(self) -> list[str]:
        count = self.count
        lines = []
        if self.model.joined:
            lines = [f"for (int i = 0; i < {count}; i++)", f"    said->probabilities[i] = {self._output('i')};"]
            which = "said->probabilities[i] > said->probabilities[said->label]"
        else:
            given = ["0.0", self._output(0)] if self.outputs == 1 else [self._output(i) for i in range(count)]
            which = "z[i] > z[said->label]"
            lines = [
                f"double z[{count}];",
                *(f"z[{i}] = {one};" for i, one in enumerate(given)),
                f"exact_softmax(z, {count}, said->probabilities);",
            ]
            if (rounded := self._cast("said->probabilities[i]")) != "said->probabilities[i]":
                lines += [f"for (int i = 0; i < {count}; i++)", f"    said->probabilities[i] = {rounded};"]
        return [
            *lines,
            "said->label = 0;",
            f"for (int i = 1; i < {count}; i++)",
            f"    if ({which})",
            "        said->label = i;",
        ]

    def _labels(self) -> list[str]:
        z = self._output("i")
        p = z if self.model.joined else self._cast(f"exact_sigmoid({z})")
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
            self.source.need("raw_product")
            text = f"raw_product(v, {numbers('spread', step.spread)}) + {numbers('center', step.center)}"
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
        z = self._output("i")
        if not self.model.joined and any(isinstance(step, s.Exp) for step in self.said.link):
            self.source.need("exact_exp")
            z = self._cast(f"exact_exp({z})")
        lines = [
            f"double middle[{count}];",
            f"for (int i = 0; i < {count}; i++)",
            f"    middle[i] = {z};",
            "numbers_of(middle, said->numbers);",
        ]
        if not self.spread:
            return lines
        self.source.need("exact_exp")
        above = self._output(f"{count} + i")
        lines += [
            f"double spread[{count}];",
            f"for (int i = 0; i < {count}; i++)",
            f"    spread[i] = {self._cast(f'exact_exp(0.5 * {above})')};",
        ]
        if not any(self.said.around):
            scale = np.array(self.said.deviations)
            scale = scale.astype(np.float32).astype(np.float64) if self._narrow else scale
            wide = f"spread[i] * {self.rows.numbers('deviation', scale.tolist())}"
            wide = self._rounded(wide) if self._narrow else wide
            return [*lines, f"for (int i = 0; i < {count}; i++)", f"    said->deviations[i] = {wide};"]
        lines.append(f"double end[{count}];")
        for end, sign in (("low", "-"), ("high", "+")):
            lines += [
                f"for (int i = 0; i < {count}; i++)",
                f"    end[i] = {self._cast(f'middle[i] {sign} spread[i]')};",
                f"numbers_of(end, said->{end});",
            ]
        return lines
