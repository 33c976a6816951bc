"""The networks of a model as JavaScript: what they say of a row, and its Jacobian, on arrays of the file's own."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.autodiff.walk import pull, push
from fastbp.export.gated import Gated
from fastbp.export.in_js.functions import FUNCTIONS
from fastbp.export.in_js.gates import Code
from fastbp.export.in_js.order import BETWEEN, EACH, FOUND, PREPARED, Given
from fastbp.export.in_js.text import name_of, said, value, wrapped

NAMES = {PREPARED: "prepare", FOUND: "compute", BETWEEN: "between", EACH: "each"}
INSIDE = 4  # numbers of an array that stand in the code
WIDTH = 116  # of a line of base64

DECODE = """/** Numbers from base64, little-endian whatever the machine is. */
function decode(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return TYPE.from({ length: bytes.length / SIZE }, (_, i) => view.getREAL(SIZE * i, true));
}"""


@dataclass(frozen=True)
class Written:
    """JavaScript of networks.

    `compute()` reads the array `x`, which has all inputs side by side, and writes `results`; `derive()` returns the
    Jacobian of the first `derived` of these in x at the row that was computed last, outputs x inputs.

    Attributes
    ----------
    text : str
    data : str
        What stands at the end of the file, as it may be long.
    inputs, derived : int
    results : list of (str, int)
        Arrays and their lengths, in the order of the outputs.
    """

    text: str
    data: str
    inputs: int
    derived: int
    results: list[tuple[str, int]]


def written(made: Gated, derived: Sequence[str]) -> Written:
    """The networks of a model; `derived` names the outputs whose Jacobian is wanted, the first ones."""
    graph = made.gates
    widths = {name: prod(graph.shape(number)) for name, number in made.inputs.items()}
    total = sum(widths.values())
    names: set[str] = {"x", "u"}
    given, places, at = {}, {}, 0
    declared = [f"const x = new Float64Array({total});"]
    for name, number in made.inputs.items():
        alone = len(widths) == 1
        array = "x" if alone else name_of(f"x_{name}", names)
        if not alone:
            declared.append(f"const {array} = x.subarray({at}, {at + widths[name]}); // {said(name)}")
        given[number] = Given(array, FOUND)
        places[name], at = array, at + widths[name]
    for number, (name, column) in made.codes.items():
        given[number] = Given(f"{places[name]}[{column}]", FOUND, code=True)
    outputs = list(made.outputs.values())
    heads = [made.outputs[name] for name in derived]
    rows = sum(prod(graph.shape(head)) for head in heads)
    forward = total < rows
    wrt = list(made.inputs.values())
    seeds = [graph.argument(graph.shape(number)) for number in (wrt if forward else heads)]
    at = 0
    for i, number in enumerate(seeds):
        width = prod(graph.shape(number))
        given[number] = Given(f"u{i}" if len(seeds) > 1 else "u", EACH)
        if len(seeds) > 1:
            declared.append(f"const u{i} = u.subarray({at}, {at + width});")
        at += width
    declared.insert(1, f"const u = new Float64Array({at});")
    if forward:
        found = push(graph, heads, dict(zip(wrt, seeds, strict=True)))
    else:
        found = pull(graph, list(zip(heads, seeds, strict=True)), wrt)
    named = {number: name_of(f"p_{name}", names) for number, name in made.names.items()}
    code = Code(graph, given, outputs, found, named)
    results = list(zip(code.names[: len(outputs)], (prod(graph.shape(n)) for n in outputs), strict=True))
    parts = list(zip(code.names[len(outputs) :], (prod(graph.shape(n)) for n in found), strict=True))
    arrays, data = _data(code, made)
    texts = [*declared, *arrays]
    if code.arrays:
        texts.append(wrapped([f"{n} = new Float64Array({size})" for n, size in code.arrays.items()], "const ", ";"))
    if code.numbers:
        texts.append(wrapped(code.numbers, "let ", ";"))
    functions = [_calls(code, stage) for stage in NAMES]
    prepared = "prepare();\n" if code.stages[PREPARED] else ""
    text = "\n".join(texts) + "\n" + prepared + "\n" + "\n\n".join([f for f in functions if f])
    text += "\n\n" + _derive(code, parts, forward, rows, total)
    text += "".join(f"\n\n{FUNCTIONS[name]}" for name in FUNCTIONS if name in code.functions)
    return Written(text, data, total, rows, results)


def _calls(code: Code, stage: int) -> str:
    """The functions of a stage, and where it has several one that calls them."""
    name, bodies = NAMES[stage], code.stages[stage]
    if len(bodies) == 1:
        return f"function {name}() {{\n{bodies[0]}\n}}"
    if not bodies:
        return f"function {name}() {{}}" if stage == FOUND else ""
    several = [f"function {name}{i}() {{\n{body}\n}}" for i, body in enumerate(bodies)]
    calls = "\n".join(f"  {name}{i}();" for i in range(len(bodies)))
    return "\n\n".join([f"function {name}() {{\n{calls}\n}}", *several])


def _derive(code: Code, parts: list[tuple[str, int]], forward: bool, rows: int, columns: int) -> str:
    lines, at = [], 0
    for name, width in parts:
        if forward:
            row = f"(k + {at})" if at else "k"
            lines.append(f"    for (let k = 0; k < {width}; k++) J[{row} * {columns} + i] = {name}[k];")
        else:
            lines.append(f"    J.set({name}, i * {columns}{f' + {at}' if at else ''});")
        at += width
    body = [f"  const J = new Float64Array({rows * columns});"]
    if code.stages[BETWEEN]:
        body.append("  between();")
    each = ["    each();"] if code.stages[EACH] else []
    one = ["    u.fill(0);", "    u[i] = 1;"]
    count = columns if forward else rows
    body += [f"  for (let i = 0; i < {count}; i++) {{", *one, *each, *lines, "  }", "  return J;"]
    way = "column by column" if forward else "row by row"
    about = f"/** The Jacobian at the row that was computed last, {way}. */"
    return "\n".join([about, "function derive() {", *body, "}"])


def _data(code: Code, made: Gated) -> tuple[list[str], str]:
    """Declarations of arrays of constants, and the text that has them."""
    dtype = made.gates.dtype
    kind, size, real = ("Float32Array", 4, "Float32") if dtype.itemsize == 4 else ("Float64Array", 8, "Float64")
    labels = {name: made.names[number] for number, name in code.named.items()}
    lines: list[str] = []
    held: list[NDArray[Any]] = []
    at = 0
    for name, array in code.constants.items():
        about = f" // {said(labels[name])}" if name in labels else ""
        if array.size <= INSIDE:
            lines.append(f"const {name} = {kind}.of({value(array.astype(np.float64).tolist())[1:-1]});{about}")
            continue
        lines.append(f"const {name} = data.subarray({at}, {at + array.size});{about}")
        held.append(array)
        at += array.size
    if not held:
        return lines, ""
    text = base64.b64encode(np.concatenate(held).astype(dtype.newbyteorder("<")).tobytes()).decode()
    pieces = "\n".join(text[i : i + WIDTH] for i in range(0, len(text), WIDTH))
    function = DECODE.replace("TYPE", kind).replace("SIZE", str(size)).replace("REAL", real)
    return [
        "const data = decode(numbers());",
        *lines,
    ], f"{function}\n\nfunction numbers() {{\n  return `\n{pieces}`;\n}}"
