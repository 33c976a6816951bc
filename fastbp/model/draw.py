"""A network as a picture: a box per layer, from the inputs down to the outputs, with widths on the edges."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from fastbp.errors import ConfigError, ConfigTypeError
from fastbp.pictures.picture import Picture
from fastbp.spec.gates import Slice
from fastbp.spec.graph import INPUT, Graph, Node

BOX, HIGH, APART, BELOW, EDGE = 190, 46, 28, 44, 24  # width and height of a box, the room around it, and the margin
FAMILIES = {  # fill colours of layers
    "linear": "#dbe9f6",
    "embedding": "#dbe9f6",
    "elementwise": "#e4f2e4",
    "custom": "#e4f2e4",
    "prelu": "#e4f2e4",
    "softmax": "#e4f2e4",
    "row_norm": "#f6ecd9",
    "batch_norm": "#f6ecd9",
    "scale": "#f6ecd9",
    "noise": "#eeeeee",
    "identity": "#eeeeee",
}
Box = tuple[float, float]  # the middle of its top


def draw(graph: Graph, gradients: Mapping[str, Any] | None = None) -> Picture:
    """The picture of a graph; with gradients by name each layer shows their norm."""
    norms = None if gradients is None else _norms(graph, gradients)
    ranks = _ranks(graph)
    rows: dict[int, list[int]] = {}
    for index in sorted(ranks, key=lambda i: (ranks[i], i)):
        rows.setdefault(ranks[index], []).append(index)
    widest = max(len(row) for row in rows.values())
    width = 2 * EDGE + widest * (BOX + APART) + _detours(graph, ranks) * 14
    place: dict[int, Box] = {}
    for rank, row in rows.items():
        _sort(row, graph, place)
        first = width / 2 - (len(row) - 1) * (BOX + APART) / 2
        for i, index in enumerate(row):
            place[index] = first + i * (BOX + APART), EDGE + rank * (HIGH + BELOW)
    height = 2 * EDGE + max(ranks.values()) * (HIGH + BELOW) + HIGH + 24
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" font-size="12">',
        '<defs><marker id="to" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#666"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
    ]
    lane = 0
    for node in graph.nodes:
        widths = (node.outputs,) if isinstance(node.layer, Slice) else node.widths
        for source, features in zip(node.sources, widths, strict=True):
            long = ranks[node.index] - ranks[source] > 1
            lane += long
            x = width - EDGE - 14 * lane if long else 0.0
            out += _edge(place[source], place[node.index], features, x)
    out += _box(place[INPUT], "inputs", _inputs(graph), "#ffffff")
    for node in graph.nodes:
        out += _node(graph, node, place[node.index], norms)
    x, y = place[graph.nodes[-1].index]
    out += [_arrow(f"M{x:.0f},{y + HIGH:.0f} V{y + HIGH + 22:.0f}"), _text(x + 6, y + HIGH + 16, str(graph.outputs))]
    return Picture("\n".join([*out, "</svg>"]) + "\n")


def _norms(graph: Graph, gradients: Mapping[str, Any]) -> dict[str, float]:
    """The norm of all gradients of each layer that has parameters."""
    known = graph.parameters()
    if not isinstance(gradients, Mapping):
        raise ConfigTypeError("gradients", "must be a dict of parameter to array", f"`{type(gradients).__name__}`")
    for name in gradients:
        if name not in known:
            raise ConfigError("gradients", "must be by the names of parameters", f"`{name}`")
    found: dict[str, float] = {}
    for name, gradient in gradients.items():
        home = name.rpartition(".")[0]
        found[home] = float(np.hypot(found.get(home, 0.0), np.linalg.norm(np.asarray(gradient, np.float64))))
    return found


def _ranks(graph: Graph) -> dict[int, int]:
    """The rank of each node: one below its deepest source."""
    ranks = {INPUT: 0}
    for node in graph.nodes:
        ranks[node.index] = 1 + max(ranks[source] for source in node.sources)
    return ranks


def _detours(graph: Graph, ranks: dict[int, int]) -> int:
    """Edges that skip layers; each has a lane of its own on the right."""
    return sum(ranks[node.index] - ranks[source] > 1 for node in graph.nodes for source in node.sources)


def _sort(row: list[int], graph: Graph, place: dict[int, Box]) -> None:
    """Sort the boxes of each rank by the positions of their sources."""

    def middle(index: int) -> float:
        sources = [s for s in graph.nodes[index].sources if s in place] if index != INPUT else []
        return sum(place[s][0] for s in sources) / len(sources) if sources else 0.0

    row.sort(key=lambda index: (middle(index), index))


def _inputs(graph: Graph) -> str:
    if len(graph.parts) == 1:
        return f"{graph.inputs} features"
    return ", ".join(f"{name or f'input{i}'} {width}" for i, (name, width) in enumerate(graph.parts))


def _node(graph: Graph, node: Node, at: Box, norms: dict[str, float] | None) -> list[str]:
    from fastbp.lowering.registry import OPS

    layer = node.layer
    is_input = isinstance(layer, Slice) and node.name.startswith("inputs[")
    title = f"{node.name} · {type(layer).__name__}" if not is_input else graph.parts[node.index][0] or node.name
    shapes = [shape for _, shape, _, _ in layer.draws(node.inputs).values()]
    parts = [f"{', '.join(map(str, node.widths))} → {node.outputs}"]
    if is_input:
        parts = [f"{node.outputs} features"]
    if node.shares:
        parts.append(f"as {node.home}")
    elif shapes:
        parts.append(f"{sum(prod(shape) for shape in shapes):,} parameters")
    out = _box(at, title, ", ".join(parts), FAMILIES.get(OPS[layer.op].family, "#f3e2ee"))
    if norms is not None and node.home in norms and not node.shares:
        x, y = at
        out.append(_text(x - BOX / 2 + 4, y + HIGH + 13, f"‖∇‖ {norms[node.home]:.3g}", "start", "#b02a1a"))
    return out


def _box(at: Box, title: str, below: str, fill: str) -> list[str]:
    x, y = at
    corner = f'x="{x - BOX / 2:.0f}" y="{y:.0f}" width="{BOX}" height="{HIGH}" rx="6"'
    return [
        f'<rect {corner} fill="{fill}" stroke="#666"/>',
        _text(x, y + 19, title, "middle", "#111", ' font-weight="bold"'),
        _text(x, y + 36, below, "middle", "#444", ' font-size="11"'),
    ]


def _edge(start: Box, end: Box, features: int, lane: float) -> list[str]:
    """An arrow from the bottom of one box to the top of another, along its lane if it skips others."""
    (x0, y0), (x1, y1) = (start[0], start[1] + HIGH), end
    if not lane:
        middle = (y0 + y1) / 2
        path = f"M{x0:.0f},{y0:.0f} C{x0:.0f},{middle:.0f} {x1:.0f},{middle:.0f} {x1:.0f},{y1:.0f}"
        return [_arrow(path), _text((x0 + x1) / 2 + 6, middle + 4, str(features), "start", "#1d7a34")]
    path = (
        f"M{x0:.0f},{y0:.0f} C{x0:.0f},{y0 + 16:.0f} {lane:.0f},{y0 + 4:.0f} {lane:.0f},{y0 + BELOW:.0f}"
        f" V{y1 - BELOW:.0f} C{lane:.0f},{y1 - 4:.0f} {x1:.0f},{y1 - 16:.0f} {x1:.0f},{y1:.0f}"
    )
    return [_arrow(path), _text(lane - 4, (y0 + y1) / 2, str(features), "end", "#1d7a34")]


def _arrow(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="#666" marker-end="url(#to)"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", fill: str = "#444", more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{fill}"{more}>{escape(text)}</text>'
