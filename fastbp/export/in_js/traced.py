"""Traced functions as JavaScript, for arguments of fixed shapes."""

from __future__ import annotations

from math import prod
from typing import Any

from fastbp.autodiff.function import Traced
from fastbp.export.arguments import argument_names, traces_for
from fastbp.export.gated import Gated
from fastbp.export.in_js.network import written
from fastbp.export.in_js.text import value


def of_traced(F: Traced, arguments: Any) -> tuple[list[str], tuple[str, ...]]:
    """The parts of the file behind its head, and what it exports."""
    traces = traces_for(F, arguments)
    graph = traces.graph
    names = argument_names(F, len(traces.arguments))
    results = ["y"] if traces.single else [f"y{i}" for i in range(len(traces.outputs))]
    made = Gated(graph, dict(zip(names, traces.arguments, strict=True)))
    made.outputs = dict(zip(results, traces.outputs, strict=True))
    net = written(made, results)
    shapes = [list(graph.shape(number)) for number in traces.arguments]
    gradient = traces.single and traces.shapes == [()]
    public = ("inputs", "outputs", "value", "jacobian", *(("gradient",) if gradient else ()))
    inputs = [{"name": name, "shape": shape} for name, shape in zip(names, shapes, strict=True)]
    outputs = [{"name": n, "shape": list(graph.shape(o))} for n, o in made.outputs.items()]
    returned = [_shaped(array, list(graph.shape(o))) for (array, _), o in zip(net.results, traces.outputs, strict=True)]
    rounding = ".map(Math.fround)" if F.dtype.itemsize == 4 else ""
    text = f"""/** Name and shape of each argument: [] of a number, [n] of a vector, [rows, columns] of a matrix. */
const inputs = {value(inputs)};

/** Name and shape of each result. */
const outputs = {value(outputs)};

/**
 * The function: of numbers, arrays of numbers for vectors, and arrays of rows for matrices, to such.
 */
function value(...given) {{
  take(given);
  return {returned[0] if traces.single else f"[{', '.join(returned)}]"};
}}

/**
 * The derivatives of all numbers of the results in all numbers of the arguments, both row by row one after another.
 *
 * @returns {{Float64Array[]}} {net.derived} arrays of {net.inputs} numbers
 */
function jacobian(...given) {{
  take(given);
  const J = derive();
  return Array.from({{ length: {net.derived} }}, (_, k) => J.subarray(k * {net.inputs}, (k + 1) * {net.inputs}));
}}

function take(given) {{
  if (given.length !== {len(names)}) {{
    throw new RangeError(`there must be {len(names)} arguments, got ${{given.length}}`);
  }}
  let at = 0;
  given.forEach((one, i) => {{
    const flat = (given) => (typeof given === "number" ? [given] : Array.from(given, flat).flat());
    const numbers = flat(one);
    const {{ name, shape }} = inputs[i];
    const count = shape.reduce((product, length) => product * length, 1);
    if (numbers.length !== count) {{
      throw new RangeError(`${{name}} must have ${{count}} numbers, got ${{numbers.length}}`);
    }}
    x.set(numbers{rounding}, at);
    at += count;
  }});
  compute();
}}

/** Rows of a matrix. */
function rowsOf(array, width) {{
  return Array.from({{ length: array.length / width }}, (_, r) => array.slice(r * width, (r + 1) * width));
}}"""
    if gradient:
        parts, at = [], 0
        for shape in shapes:
            parts.append(_shaped(f"J.subarray({at}, {at + prod(shape)})", shape))
            at += prod(shape)
        text += f"""

/** The derivative in each argument, in its shape. */
function gradient(...given) {{
  take(given);
  const J = derive();
  return [{", ".join(parts)}];
}}"""
    return [text, net.text, net.data], public


def _shaped(array: str, shape: list[int]) -> str:
    """A copy of an array in a shape."""
    if not shape:
        return f"{array}[0]"
    return f"Float64Array.from({array})" if len(shape) == 1 else f"rowsOf({array}, {shape[1]})"
