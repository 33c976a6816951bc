"""A traced function as a picture: gates from left to right, on each edge the value above and the adjoint below.

Gates stand in columns, each to the right of its inputs. An output's numbers are written right behind its gate; an edge
to a later column takes a slot in every column between, so that no line crosses a number. The slots of a column are
ordered by the positions of their neighbours.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from fastbp.autodiff.explain import Shown, outline_of, short, steps_of
from fastbp.autodiff.function import Traced
from fastbp.errors import ConfigError
from fastbp.pictures.page import page, rule, write
from fastbp.pictures.picture import Picture

SIGNS = {
    "add": "+",
    "subtract": "−",
    "multiply": "×",
    "divide": "÷",
    "power": "^",
    "matmul": "@",
    "greater": ">",
    "less": "<",
    "greater_equal": "≥",
    "less_equal": "≤",
    "equal": "=",
    "not_equal": "≠",
}
ROW, GAP, MARGIN, HEIGHT, LETTER = 56, 56, 24, 36, 7
LARGEST = 400  # gates; larger pictures are unreadable
VALUE, ADJOINT = "s2fill", "warm"  # colours, as classes of the page


class Place(NamedTuple):
    """A slot of a column: a gate, or an edge that passes through."""

    name: str
    column: int


def label(step: Shown) -> str:
    """The label of a gate: its sign, and its constants in place."""
    if step.gate == "argument":
        return step.name
    if step.gate == "multiply" and step.inputs[0] == step.inputs[1]:
        return "·²"
    sign = SIGNS.get(step.gate, step.gate)
    constant = ["·" if i[:1].isalpha() else i for i in step.inputs]
    if all(c == "·" for c in constant):
        return "−·" if step.gate == "negate" else sign
    return f" {sign} ".join(constant) if step.gate in SIGNS else f"{sign}({', '.join(constant)})"


def columns_of(steps: list[Shown]) -> dict[str, int]:
    """The column of each gate; arguments stand right before their first use."""
    column: dict[str, int] = {}
    for s in steps:
        column[s.name] = 1 + max((column[i] for i in s.inputs if i in column), default=-1)
    first: dict[str, int] = {}  # the column of a value's first use
    for s in steps:
        for i in s.inputs:
            first[i] = min(first.get(i, column[s.name]), column[s.name])
    for s in steps:
        if s.gate == "argument":
            column[s.name] = max(0, first.get(s.name, 1) - 1)
    return column


def ordered(steps: list[Shown], column: dict[str, int]) -> tuple[dict[Place, float], list[tuple[Place, Place]]]:
    """Every slot with its row, and the edges between slots of neighbouring columns."""
    places = dict.fromkeys(Place(s.name, column[s.name]) for s in steps)
    edges: list[tuple[Place, Place]] = []
    for s in steps:
        for source in dict.fromkeys(i for i in s.inputs if i in column):
            at = Place(source, column[source])
            while at.column + 1 < column[s.name]:
                step = Place(source, at.column + 1)
                if step not in places:
                    places[step] = None
                    edges.append((at, step))
                at = step
            edges.append((at, Place(s.name, column[s.name])))
    rows: dict[Place, float] = {}
    count = 1 + max(column.values())
    by_column: list[list[Place]] = [[] for _ in range(count)]
    for place in places:
        by_column[place.column].append(place)
    before: dict[Place, list[Place]] = {p: [] for p in places}
    behind: dict[Place, list[Place]] = {p: [] for p in places}
    for a, b in edges:
        before[b].append(a)
        behind[a].append(b)
    for group in by_column:
        rows.update({p: i - (len(group) - 1) / 2.0 for i, p in enumerate(group)})
    for sweep in range(8):
        ahead = sweep % 2 == 0
        for group in by_column if ahead else by_column[::-1]:
            near = {p: [rows[n] for n in (before if ahead else behind)[p]] for p in group}
            group.sort(key=lambda p: sum(near[p]) / len(near[p]) if near[p] else rows[p])
            rows.update({p: i - (len(group) - 1) / 2.0 for i, p in enumerate(group)})
    return rows, edges


def html(function: Traced) -> str:
    """A function for notebooks: the gates of its last trace with their shapes, if it has been called."""
    steps = outline_of(function)
    drawn = str(picture_of(steps)) if 0 < len(steps) <= LARGEST else ""
    return f"<div><code>{escape(repr(function))}</code><br/>\n{drawn}</div>"


def draw(function: Traced, args: tuple[Any, ...], named: dict[str, Any]) -> Picture:
    """The gates of a function at a point."""
    return picture_of(steps_of(function, args, named))


def picture_of(steps: list[Shown]) -> Picture:
    """The picture of gates."""
    if len(steps) > LARGEST:
        raise ConfigError(
            f"a picture must be of at most {LARGEST} gates, got {len(steps)}",
            hint="`explain` shows any number of them, and a function of whole arrays has fewer",
        )
    column = columns_of(steps)
    rows, edges = ordered(steps, column)
    known = {s.name: s for s in steps}
    wide = [0.0] * (1 + max(column.values()))  # of a column's gates, and of the gap behind them
    long = wide.copy()
    for s in steps:
        c = column[s.name]
        wide[c] = max(wide[c], HEIGHT, LETTER * len(label(s)) + 16)
        long[c] = max(long[c], LETTER * max(len(short(s.value)), len(short(s.adjoint))) + 12)
    left = [MARGIN + sum(wide[:c]) + sum(long[:c]) + GAP * c for c in range(len(wide))]
    top = MARGIN + HEIGHT / 2.0 - ROW * min(rows.values())
    width = left[-1] + wide[-1] + long[-1] + MARGIN
    height = top + ROW * max(rows.values()) + HEIGHT / 2.0 + MARGIN

    def begin(place: Place) -> tuple[float, float]:
        return left[place.column], top + ROW * rows[place]

    def end(place: Place) -> tuple[float, float]:
        return left[place.column] + wide[place.column] + long[place.column], top + ROW * rows[place]

    out = []
    for a, b in edges:
        (x0, y0), (x1, y1) = end(a), begin(b)
        if b.name in known and column[b.name] == b.column:  # the gate may be narrower than its column
            x1 += (wide[b.column] - _width(known[b.name])) / 2.0
        middle = x0 + GAP / 2.0
        out.append(
            f'<path d="M{x0:.1f} {y0:.1f} C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x0 + GAP:.1f} {y1:.1f}'
            f' L{x1:.1f} {y1:.1f}" fill="none" class="edge"/>'
        )
    for place in rows:
        s, (x0, y), (x1, _) = known[place.name], begin(place), end(place)
        if column[place.name] != place.column:
            out.append(rule(x0, y, x1, y, "edge"))
            continue
        middle = x0 + wide[place.column] / 2.0
        out += _gate(s, middle, y)
        out.append(rule(middle + _width(s) / 2.0, y, x1, y, "edge"))
        text = x0 + wide[place.column] + long[place.column] / 2.0
        out.append(write(text, y - 5, short(s.value), VALUE, "middle"))
        out.append(write(text, y + 15, short(s.adjoint), ADJOINT, "middle"))
    title = f"The {len(steps)} gates of a function, values above and adjoints below their edges"
    return Picture(page(width, height, title, out))


def _width(step: Shown) -> float:
    return max(HEIGHT, LETTER * len(label(step)) + 16)


def _gate(step: Shown, x: float, y: float) -> list[str]:
    words = write(x, y + 4, label(step), anchor="middle")
    if step.gate == "argument":
        return [words]
    width = _width(step)
    return [
        f'<rect x="{x - width / 2:.1f}" y="{y - HEIGHT / 2:.1f}" width="{width:.1f}" height="{HEIGHT}"'
        f' rx="{HEIGHT / 2:.0f}" class="plain edge"/>',
        words,
    ]
