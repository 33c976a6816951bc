"""`fb.export.js`: a model as one file of plain JavaScript."""

from __future__ import annotations

import sys
from os import PathLike
from pathlib import Path
from typing import Any

from fastbp.autodiff.function import Traced
from fastbp.errors import ConfigError, brief, not_one_of
from fastbp.export.gated import Gated, gated
from fastbp.export.in_js.network import Written, written
from fastbp.export.in_js.tables import PUBLIC as TABLES
from fastbp.export.in_js.tables import of_tables
from fastbp.export.in_js.text import value
from fastbp.export.in_js.traced import of_traced
from fastbp.export.model import Model, model_of
from fastbp.spec.checks import flag, path_ending_in
from fastbp.writing import whole

FORMATS = ("module", "script")
ENDINGS = {".js": "module", ".mjs": "module", ".cjs": "script"}
LARGEST = 64 * 2**20  # bytes of a file
SCRIPT_NAME = "model"
ARRAYS = ("inputs", "outputs", "predict", "jacobian")  # what models without recipes export


def js(
    model: Any,
    path: str | PathLike[str],
    format: str | None = None,
    preprocessing: bool = True,
    arguments: Any = None,
) -> list[Path]:
    """Write a model as plain JavaScript that needs nothing else.

    Parameters
    ----------
    model : Network, Trainer, Pack, Ensemble, estimator of `fastbp.sklearn`, traced function, or path
        A path is of a file that one of these was saved to, or of a run's folder.
    path : str or Path
        Ends in .js, .mjs or .cjs.
    format : {"module", "script"}, optional
        A module of ECMAScript, for `import`; or a script that defines `model`, for a page's `<script src=...>` or
        `require`. By default a module, unless the file ends in .cjs.
    preprocessing : bool
        Whether what a model with a recipe takes is a row of its table, and not an array of the networks' inputs.
    arguments : tuple
        Of a traced function: arguments for whose shapes the file is.

    Returns
    -------
    list of Path
        What has been written.

    Examples
    --------
    >>> import fastbp as fb
    >>> net = fb.mlp([2, 8, 1], activation="tanh", seed=0)
    >>> fb.export.js(net, "net.js")  # doctest: +SKIP
    """
    file = path_ending_in("path", path, *ENDINGS)
    if format is None:
        format = ENDINGS[file.suffix]
    if not isinstance(format, str) or format not in FORMATS:
        raise not_one_of("format", format, FORMATS)
    if isinstance(model, Traced):
        about = f"a traced function, {model.dtype.name}, computed in double precision."
        text = _file(_comment(about), *of_traced(model, arguments), format)
    elif arguments is not None:
        raise ConfigError("arguments", "must be given for a traced function only", f"`{brief(arguments)}`")
    else:
        made = model_of(model)
        text = source(made if flag("preprocessing", preprocessing) else made.bare(), format)
    check_size(len(text))
    with whole(file) as out:
        out.write(text.encode())
    return [file]


def check_size(size: int) -> None:
    """Refuse a file of so many bytes that a page could not read it."""
    if size > LARGEST:
        must = f"must be one that fits into {LARGEST >> 20} MB of JavaScript"
        hint = "files that end in `.onnx` and `.c` are for large models"
        raise ConfigError("model", must, f"{size >> 20} MB", hint=hint)


def source(model: Model, format: str) -> str:
    """The whole file of a model."""
    return _file(_head(model), *_parts(model, None), format)


def _file(head: str, parts: list[str], public: tuple[str, ...], format: str) -> str:
    body, names = "\n\n".join(part for part in parts if part), ", ".join(public)
    if format == "module":
        return f"{head}\n\n{body}\n\nexport {{ {names} }};\n"
    enclosed = _enclosed(body, names)
    return f'{head}\n\n{enclosed}\n\nif (typeof module !== "undefined") module.exports = {SCRIPT_NAME};\n'


def closure(model: Model, made: Gated | None = None) -> str:
    """A script that defines `model`; `made` are its gates where a page has others."""
    parts, public = _parts(model, made)
    return f"{_head(model)}\n{_enclosed(chr(10).join(part + chr(10) for part in parts if part), ', '.join(public))}"


def _enclosed(body: str, names: str) -> str:
    return f'const {SCRIPT_NAME} = (() => {{\n"use strict";\n\n{body}\n\nreturn {{ {names} }};\n}})();'


def _parts(model: Model, made: Gated | None) -> tuple[list[str], tuple[str, ...]]:
    """What is behind the head of a file, and the names of what users call."""
    check_size(sum(array.nbytes for member in model.members for array in member.arrays.values()) * 4 // 3)
    if model.recipes:
        return of_tables(model), TABLES
    made = gated(model) if made is None else made
    net = written(made, list(made.outputs))
    return [_of_arrays(model, made, net), net.text, net.data], ARRAYS


def _head(model: Model) -> str:
    count = len(model.members)
    networks = "a network" if count == 1 else f"{count} networks"
    numbers = sum(array.size for member in model.members for array in member.arrays.values())
    about = f"{networks} with {numbers:,} numbers, computed in double precision."
    return _comment(about, f"What goes in is rounded to {model.dtype.name}, as it is there.")


def _comment(about: str, *more: str) -> str:
    version = sys.modules["fastbp"].__version__
    lines = [f"Written by fastbp {version}: {about}", *more]
    return "/**\n" + "\n".join(f" * {line}" for line in lines) + "\n */"


def _of_arrays(model: Model, made: Gated, net: Written) -> str:
    """What users call, where rows are arrays of numbers."""
    inputs = [{"name": name, "width": made.gates.shape(number)[1]} for name, number in made.inputs.items()]
    outputs = [{"name": name, "width": made.gates.shape(number)[1]} for name, number in made.outputs.items()]
    total, widths = net.inputs, [width for _, width in net.results]
    rounding = "Math.fround(row[i])" if model.dtype.itemsize == 4 else "row[i]"
    checks = [
        f"  if (row.length !== {total}) throw new RangeError(`a row must have {total} numbers, got ${{row.length}}`);",
        f"  for (let i = 0; i < {total}; i++) x[i] = {rounding};",
    ]
    for column, count in model.codes.items():
        checks.append(f"  code({column}, {count});")
    code = (
        "\n\nfunction code(column, count) {\n"
        "  if (!(Number.isInteger(x[column]) && x[column] >= 0 && x[column] < count)) {\n"
        "    throw new RangeError("
        "`column ${column} must be the number of a category, below ${count}, got ${x[column]}`);\n  }\n}"
    )
    given = "a row" if len(inputs) == 1 else "a row, all inputs side by side"
    one = "\n".join(f"  results.push(Float64Array.from({name}));" for name, _ in net.results)
    single = f"  return Float64Array.from({net.results[0][0]});"
    several = len(widths) > 1
    kind = "Float64Array[]" if several else "Float64Array"
    what = "an array for each output" if several else f"{widths[0]} number{'s' * (widths[0] > 1)}"
    body = f"  const results = [];\n{one}\n  return results;" if several else single
    return f"""/** Name and width of each input; a row has all of them side by side. */
const inputs = {value(inputs)};

/** Name and width of each output. */
const outputs = {value(outputs)};

/**
 * The outputs for {given} of {total} numbers, or for each of several rows.
 *
 * @param {{ArrayLike<number> | ArrayLike<number>[]}} rows
 * @returns {{{kind} | {kind}[]}} {what}
 */
function predict(rows) {{
  return each_of(rows, outputsOf);
}}

/**
 * The derivatives of all outputs in all inputs, for a row of {total} numbers or for each of several rows.
 *
 * @param {{ArrayLike<number> | ArrayLike<number>[]}} rows
 * @returns {{Float64Array[] | Float64Array[][]}} {net.derived} arrays, one for each output, of {total} numbers
 */
function jacobian(rows) {{
  return each_of(rows, jacobianOf);
}}

function each_of(rows, of) {{
  return typeof rows[0] === "object" ? Array.from(rows, of) : of(rows);
}}

function outputsOf(row) {{
  take(row);
  compute();
{body}
}}

function jacobianOf(row) {{
  take(row);
  compute();
  const J = derive();
  return Array.from({{ length: {net.derived} }}, (_, k) => J.subarray(k * {total}, (k + 1) * {total}));
}}

function take(row) {{
{chr(10).join(checks)}
}}{code if model.codes else ""}"""
