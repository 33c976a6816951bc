"""Models with recipes as JavaScript: rows of a table in, predictions in its terms out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastbp.data.columns import MISSING
from fastbp.export import steps as s
from fastbp.export.gated import gated_of_tables
from fastbp.export.in_js.network import Written, written
from fastbp.export.in_js.recipe import Preparing
from fastbp.export.in_js.recipe_functions import used
from fastbp.export.in_js.text import literal, string, value
from fastbp.export.model import Model
from fastbp.export.raw import Tables, tables_of

PUBLIC = ("columns", "outputs", "predict", "sensitivities")


@dataclass(frozen=True)
class Outputs:
    """What is predicted, as JavaScript.

    Attributes
    ----------
    names : list of str
        Of what has sensitivities, as `predict` calls it.
    text : str
        The functions `told`, the prediction, and `slopeOf`, what a change of output k by 1 is in the table's units.
    about : dict
        What the file says of outputs.
    """

    names: list[str]
    text: str
    about: dict[str, Any]


def of_tables(model: Model) -> list[str]:
    """The parts of the file behind its head."""
    tables = tables_of(model)
    net = written(gated_of_tables(model), ["means"])
    array = tables.array or model.array
    gone = sorted(MISSING.union(*(recipe.raw.missing for recipe in model.recipes)))
    ways, at = [], 0
    for i, way in enumerate(tables.ways):
        name = "encode" if len(tables.ways) == 1 else f"encode{i}"
        ways.append(Preparing(way, tables.raws, at, name, gone, array))
        at += way.width
    outputs = _outputs(model, tables.outcome, net)
    public = _public(model, tables, ways, outputs, net, array)
    own = "\n\n".join([public, outputs.text])
    steps = "\n\n".join(way.text for way in ways)
    held = "\n".join(line for way in ways for line in way.tables)
    functions = "\n\n".join(used(f"{own}\n{steps}"))
    return [own, steps, held, functions, net.text, net.data]


def described(tables: Tables, array: bool) -> list[dict[str, Any]]:
    """Columns as the file says them."""
    if array:
        return [{"name": str(i), "kind": "number"} for i in range(tables.raws[0].width)]
    return [{"name": raw.name, "kind": raw.kind} for raw in tables.raws]


def _public(model: Model, tables: Tables, ways: list[Preparing], outputs: Outputs, net: Written, array: bool) -> str:
    columns = described(tables, array)
    of = [column for way in ways for column in way.columns]
    sloped = sorted({column for column in of if column >= 0})
    encode = "\n".join(f"  {way.name}(row);" for way in ways)
    kind = "ArrayLike<number>" if array else "Object<string, *>"
    what = f"an array of {len(columns)} numbers, NaN where they are missing" if array else "columns by name"
    short = model.dtype.name
    return f"""/** What a row has: {what}. Dates are of kind `moment`. */
const columns = [
{chr(10).join(f"  {value(one)}," for one in columns)}
];

/** What is predicted. */
const outputs = {value(outputs.about)};

/**
 * The prediction for a row, or for each of several rows.
 *
 * @param {{{kind} | ({kind})[]}} rows  each has {what}
 * @returns {{Object<string, *> | Object<string, *>[]}} predictions by name
 */
function predict(rows) {{
  return eachOf(rows, (row) => {{
    take(row);
    return told();
  }});
}}

/**
 * How much each predicted number or probability grows where a column of numbers grows by 1: its derivatives, exact at
 * the row itself.
 *
 * @param {{{kind} | ({kind})[]}} rows
 * @returns {{Object<string, Object<string, number>> | Object<string, Object<string, number>>[]}} by output and column
 */
function sensitivities(rows) {{
  return eachOf(rows, (row) => {{
    take(row);
    const J = derive();
    const found = OUTPUTS.map((name, k) => {{
      const sums = new Float64Array(columns.length);
      COLUMN_OF.forEach((column, i) => {{
        if (column >= 0) sums[column] += J[k * {net.inputs} + i] * steep[i];
      }});
      const slope = slopeOf(k);
      return [name, Object.fromEntries(SLOPED.map((column) => [columns[column].name, slope * sums[column]]))];
    }});
    return Object.fromEntries(found);
  }});
}}

const OUTPUTS = {value(outputs.names)}; // that have sensitivities
const COLUMN_OF = {value(of)}; // of each input of the networks, the column of numbers that it grows with, or -1
const SLOPED = {value(sloped)}; // columns with sensitivities
const steep = new Float64Array({net.inputs}); // by how much inputs grow with their columns

function eachOf(rows, of) {{
  return {"typeof rows[0] === 'object'" if array else "Array.isArray(rows)"} ? Array.from(rows, of) : of(rows);
}}

function take(row) {{
{encode}
  if (!x.every(Number.isFinite)) throw new RangeError("a row must fit into {short} when it is scaled");
  compute();
}}"""


def _outputs(model: Model, said: s.Outcome, net: Written) -> Outputs:
    means = net.results[0][0]
    if said.task == "labels":
        return _labels(said, means)
    if said.task == "classes":
        return _classes(model, said, means)
    return _numbers(model, said, net)


def _classes(model: Model, said: s.Outcome, means: str) -> Outputs:
    classes = list(said.names if model.classes is None else model.classes)
    names = [f"{said.target} = {name}" for name in said.names]
    text = f"""function told() {{
  const p = {means};
  if (!p.every(Number.isFinite)) throw new RangeError("no class is told, as outputs are not finite");
  const best = p.reduce((top, one, k) => (one > p[top] ? k : top), 0);
  return Object.fromEntries([[{string(said.target)}, CLASSES[best]], ...OUTPUTS.map((name, k) => [name, p[k]])]);
}}

const CLASSES = {value([_plain(one) for one in classes])};

function slopeOf(k) {{
  return 1;
}}"""
    return Outputs(names, text, {"task": "classes", "target": said.target, "classes": list(said.names)})


def _plain(one: Any) -> Any:
    return one if isinstance(one, bool | int | float | str) else str(one)


def _labels(said: s.Outcome, means: str) -> Outputs:
    names = [f"{name} probability" for name in said.names]
    text = f"""function told() {{
  const p = {means};
  const labels = outputs.names.map((name, k) => [name, p[k] > 0.5 ? 1 : 0]);
  return Object.fromEntries([...labels, ...OUTPUTS.map((name, k) => [name, p[k]])]);
}}

function slopeOf(k) {{
  return 1;
}}"""
    return Outputs(names, text, {"task": "labels", "names": list(said.names)})


def _numbers(model: Model, said: s.Outcome, net: Written) -> Outputs:
    means = net.results[0][0]
    more = ""
    if said.deviations and len(net.results) > 1:
        wide = net.results[1][0]
        if any(said.around):
            around, by = value(list(said.around)), value(list(said.deviations))
            more = f"""
  const around = {around}, by = {by};
  outputs.names.forEach((name, k) => {{
    const low = ended({means}[k] - {wide}[k], 1, k)[0], high = ended({means}[k] + {wide}[k], 1, k)[0];
    if (around[k]) found.push([`${{name}} low`, low], [`${{name}} high`, high]);
    else found.push([`${{name}} deviation`, {wide}[k] * by[k]]);
  }});"""
        else:
            by = value(list(said.deviations))
            more = f"""
  const by = {by};
  outputs.names.forEach((name, k) => found.push([`${{name}} deviation`, {wide}[k] * by[k]]));"""
    text = f"""function told() {{
  const found = outputs.names.map((name, k) => [name, ended({means}[k], 1, k)[0]]);{more}
  return Object.fromEntries(found);
}}

function slopeOf(k) {{
  return ended({means}[k], 1, k)[1];
}}

/** Output k in the units of the table, and the slope of that times s. */
function ended(v, s, k) {{
{chr(10).join(_endings(said, model.dtype.name))}
  return [v, s];
}}"""
    return Outputs(list(said.names), text, {"task": "numbers", "names": list(said.names)})


def _endings(said: s.Outcome, dtype: str) -> list[str]:
    lines: list[str] = []
    short = dtype == "float32"
    for step in said.steps:
        if isinstance(step, s.Unscale):
            lines.append(f"  [v, s] = [v * {_of(step.spread)} + {_of(step.center)}, s * {_of(step.spread)}];")
            short = short and step.rounded
        elif isinstance(step, s.Back):
            for k, way in enumerate(step.ways):
                test = "" if len(step.ways) == 1 else f"if (k === {k}) "
                lines += [f"  {test}{line}" for line in _back(way)]
        elif isinstance(step, s.Clip):
            low, high = (_of(_in(ends, short)) for ends in (step.low, step.high))
            lines.append(f"  if (v < {low}) [v, s] = [{low}, 0];")
            lines.append(f"  if (v > {high}) [v, s] = [{high}, 0];")
    return lines


def _back(way: Any) -> list[str]:
    if isinstance(way, s.Table):
        return [f"[v, s] = onLine({value([list(way.places), list(way.levels)])}, v, s);"]
    ways = {
        "exp": "[v, s] = [Math.exp(v), s * Math.exp(v)];",
        "expm1": "[v, s] = [Math.expm1(v), s * Math.exp(v)];",
        "square": "[v, s] = v > 0 ? [v * v, 2 * s * v] : [0, 0];",
    }
    return [ways[way]] if way in ways else []


def _in(numbers: tuple[float, ...], short: bool) -> tuple[float, ...]:
    import numpy as np

    return tuple(float(np.float32(n)) if short else n for n in numbers)


def _of(numbers: tuple[float, ...]) -> str:
    """The number of output k."""
    return literal(numbers[0]).within(1) if len(set(numbers)) == 1 else f"{value(list(numbers))}[k]"
