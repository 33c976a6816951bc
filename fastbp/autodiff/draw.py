"""A traced function shown gate by gate, forward and backward: as a table, and as a picture in SVG."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from fastbp.autodiff.function import Traced
from fastbp.autodiff.gates import GATES
from fastbp.autodiff.graph import Graph
from fastbp.autodiff.walk import adjoints
from fastbp.errors import ConfigError, ShapeError

SIGNS = {"add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "negate": "−1×", "power": "^", "maximum": "max"}
COLUMN, ROW, RADIUS, MARGIN = 150, 84, 20, 60


@dataclass
class Step:
    """One gate with its value and its adjoint; `name` is an argument's own, or a letter with a number."""

    number: int
    name: str
    gate: str
    inputs: list[str]
    value: Any
    adjoint: Any


def steps_of(function: Traced, given: dict[str, Any]) -> list[Step]:
    """The gates of a function at a point, in the order they are computed."""
    names = list(inspect.signature(function.function).parameters)
    wrong = [name for name in given if name not in names] + [name for name in names if name not in given]
    if wrong:
        shown = ", ".join(f"`{name}`" for name in names)
        raise ConfigError(f"values must be given for {shown}, got {', '.join(f'`{n}`' for n in given) or 'none'}")
    values = function._values([given[name] for name in names])
    program = function.program(*(np.shape(v) for v in values))
    g = program.graph
    if not program.single or g.shape(program.outputs[0]) != ():
        raise ShapeError("only a function whose result is one number can be shown")
    (output,) = program.outputs
    found = adjoints(g, output, g.constant(1.0), program.arguments)
    known = dict(zip(program.arguments, values, strict=True))
    wanted = g.needed([output, *found.values()])
    table = evaluate(g, wanted, known)
    called = dict(zip(program.arguments, names, strict=True))
    steps = []
    for number in sorted({*g.needed([output]), *program.arguments}):
        node = g.nodes[number]
        if node.gate == "constant":
            called[number] = _short(g.value_of(number))
            continue
        called.setdefault(number, f"v{number}")
        inputs = [called[i] for i in node.inputs]
        adjoint = table[found[number]] if number in found else 0.0
        steps.append(Step(number, called[number], node.gate, inputs, table.get(number, known.get(number)), adjoint))
    return steps


def evaluate(g: Graph, order: list[int], known: dict[int, Any]) -> dict[int, Any]:
    """The values of nodes, one after another."""
    found = dict(known)
    with np.errstate(all="ignore"):
        for number in order:
            if number not in found:
                node = g.nodes[number]
                if node.gate == "constant":
                    found[number] = g.value_of(number)
                else:
                    found[number] = GATES[node.gate].value(*(found[i] for i in node.inputs), note=node.note)
    return found


def _short(value: Any) -> str:
    array = np.asarray(value)
    return f"{float(array):.4g}" if array.shape == () else f"array {array.shape}"


def explain(function: Traced, given: dict[str, Any]) -> str:
    """The forward pass in order, then the backward pass in its order, as a table."""
    steps = steps_of(function, given)
    rows = [["forward", "gate", "of", "value"]]
    rows += [[s.name, s.gate, ", ".join(s.inputs), _short(s.value)] for s in steps]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += ["", f"{'backward'.ljust(widths[0])}  adjoint"]
    dead = [s for s in steps if s.gate == "argument" and not np.any(s.adjoint)]
    lines += [f"{s.name.ljust(max(widths[0], 8))}  {_short(s.adjoint)}" for s in reversed(steps)]
    lines += [f"the result does not depend on {s.name}: its gradient is zero" for s in dead if _unused(steps, s.name)]
    return "\n".join(lines)


def _unused(steps: list[Step], name: str) -> bool:
    return not any(name in s.inputs for s in steps)


def draw(function: Traced, given: dict[str, Any]) -> str:
    """An SVG: gates from left to right, above each edge the value that goes along it, below it the adjoint."""
    steps = steps_of(function, given)
    depth: dict[str, int] = {}
    for s in steps:
        depth[s.name] = 1 + max((depth[i] for i in s.inputs if i in depth), default=-1)
    for s in steps:  # arguments stand right before their first use
        if s.gate == "argument":
            users = [depth[u.name] for u in steps if s.name in u.inputs]
            depth[s.name] = max(0, min(users, default=1) - 1)
    rows: dict[int, int] = {}
    place: dict[str, tuple[float, float]] = {}
    for s in steps:
        column = depth[s.name]
        row = rows.get(column, 0)
        rows[column] = row + 1
        place[s.name] = (MARGIN + COLUMN * column, row)
    tallest = max(rows.values())
    for name, (x, row) in place.items():
        above = (tallest - rows[depth[name]]) / 2.0
        place[name] = (x, MARGIN + ROW * (row + above))
    width = 2 * MARGIN + COLUMN * (max(depth.values()) + 1)
    height = 2 * MARGIN + ROW * (tallest - 1)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    known = {s.name: s for s in steps}
    for s in steps:
        for source in s.inputs:
            if source in known:
                out += _edge(place[source], place[s.name], known[source])
    last = steps[-1]
    x, y = place[last.name]
    out += _edge((x, y), (x + COLUMN, y), last)
    out += [part for s in steps for part in _gate(s, place[s.name])]
    return "\n".join([*out, "</svg>"]) + "\n"


def _edge(start: tuple[float, float], end: tuple[float, float], of: Step) -> list[str]:
    (x0, y0), (x1, y1) = start, end
    middle_x, middle_y = (x0 + x1) / 2.0, (y0 + y1) / 2.0
    return [
        f'<line x1="{x0:.0f}" y1="{y0:.0f}" x2="{x1:.0f}" y2="{y1:.0f}" stroke="#777"/>',
        f'<text x="{middle_x:.0f}" y="{middle_y - 6:.0f}" text-anchor="middle" fill="#1d7a34">{_short(of.value)}</text>',
        f'<text x="{middle_x:.0f}" y="{middle_y + 16:.0f}" text-anchor="middle" fill="#b02a1a">{_short(of.adjoint)}</text>',
    ]


def _gate(step: Step, at: tuple[float, float]) -> list[str]:
    x, y = at
    label = step.name if step.gate == "argument" else SIGNS.get(step.gate, step.gate)
    constants = [i for i in step.inputs if i[:1].isdigit() or i[:1] in "-."]
    note = f" {', '.join(constants)}" if constants else ""
    stroke = "none" if step.gate == "argument" else "#333"
    return [
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{RADIUS}" fill="white" stroke="{stroke}"/>',
        f'<text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle">{escape(label + note)}</text>',
    ]
