"""A network as a picture: boxes from the inputs down to the outputs, and below each the width of what it hands on.

An activation stands in the box of the Linear or the norm that it follows. Where the ranks are many the picture goes on
in another column, at a place where only one signal passes; a dot there is that signal. Edges leave a box straight
down, beside the label, and turn in a strip of their own, so that none runs through another's label.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from fastbp.errors import ConfigError, ConfigTypeError
from fastbp.pictures.layered import Edge, Layered, layered
from fastbp.pictures.page import page, short, write
from fastbp.pictures.picture import Picture
from fastbp.spec.gates import Slice
from fastbp.spec.graph import INPUT, Graph, Node

BOX, LINE, PAD, APART, EDGE = 196, 17, 8, 22, 24  # width of a box, height of a line in it, room in and around it
STEM, TURN = 20, 26  # below a box: the strip of labels, and the strip in which edges turn
GUTTER = 44  # between two columns
RANKS = 9  # of a column
LETTERS = 27  # of a line in a box
FAMILIES = {  # classes of boxes
    "linear": "weights",
    "embedding": "weights",
    "pbld": "weights",
    "cosine": "weights",
    "periodic": "weights",
    "piecewise_linear_embedding": "weights",
    "elementwise": "function",
    "custom": "function",
    "prelu": "function",
    "parametric": "function",
    "softmax": "function",
    "row_norm": "norm",
    "batch_norm": "norm",
    "scale": "norm",
    "noise": "noise",
    "identity": "noise",
}
HOSTS = ("linear", "embedding", "row_norm", "batch_norm", "scale")  # families in whose box an activation stands
GUESTS = ("elementwise", "custom", "prelu", "parametric", "softmax")


@dataclass
class Box:
    """One box: its lines of text, its class, the width that it hands on, and the keys of what it reads."""

    lines: list[str]
    kind: str
    width: int
    reads: list[Any] = field(default_factory=list)
    norm: str = ""


def draw(graph: Graph, gradients: Mapping[str, Any] | None = None) -> Picture:
    """The picture of a graph; with gradients by name each layer shows their norm."""
    boxes = boxes_of(graph, None if gradients is None else _norms(graph, gradients))
    ranks = ranks_of(boxes)
    body: list[str] = []
    left, bottom, before = float(EDGE), 0.0, None
    for first, last in columns_of(boxes, ranks):
        joint = next(iter(passing(boxes, ranks, first - 1))) if first else None
        column = Column(boxes, ranks, first, last, joint, left)
        if joint is not None and before is not None:
            body.append(column.joined(before))
        body += column.drawn()
        before = column
        left += column.layout.width + GUTTER
        bottom = max(bottom, column.bottom)
    return Picture(page(left - GUTTER + EDGE, bottom + EDGE, "A network", body))


def boxes_of(graph: Graph, norms: Mapping[str, float] | None = None) -> dict[Any, Box]:
    """The boxes by node, by `INPUT`, and by ("output", i)."""
    from fastbp.lowering.registry import OPS

    nodes = graph.nodes[:-1] if len(graph.heads) > 1 else graph.nodes  # the last only joins several outputs
    family = {node.index: OPS[node.layer.op].family for node in nodes}
    readers: dict[int, list[int]] = {}
    for node in nodes:
        for source in node.sources:
            readers.setdefault(source, []).append(node.index)
    home: dict[int, int] = {INPUT: INPUT}
    boxes: dict[Any, Box] = {}
    parts = all(_is_part(graph.nodes[reader]) for reader in readers.get(INPUT, ()))
    if not parts:
        boxes[INPUT] = Box(["inputs", f"{graph.inputs} features"], "plain", graph.inputs)
    for node in nodes:
        source = node.sources[0]
        alone = len(node.sources) == 1 and readers.get(source) == [node.index] and source not in graph.heads
        host = boxes.get(home.get(source)) if alone and home.get(source) == source != INPUT else None
        if host is not None and family[node.index] in GUESTS and family[source] in HOSTS:
            home[node.index] = source
            host.lines[0] += f" + {type(node.layer).__name__}"
            count = count_of(node)
            host.lines += [f"{count:,} more parameter{'s' * (count > 1)}"] if count else []
            continue
        home[node.index] = node.index
        reads = [] if parts and _is_part(node) else [home[s] for s in node.sources]
        kind = "plain" if _is_part(node) else FAMILIES.get(family[node.index], "gate")
        boxes[node.index] = Box(_lines(graph, node), kind, node.outputs, reads)
        if norms is not None and node.home in norms and not node.shares:
            boxes[node.index].norm = f"‖∇‖ {norms[node.home]:.3g}"
    for i, head in enumerate(graph.heads):
        name = "output" if len(graph.heads) == 1 else graph.nodes[head].name
        boxes["output", i] = Box([name], "end", graph.nodes[head].outputs, [home[head]])
    return boxes


def _is_part(node: Node) -> bool:
    """Whether it is one of several inputs."""
    return isinstance(node.layer, Slice) and node.name.startswith("inputs[")


def count_of(node: Node) -> int:
    return 0 if node.shares else sum(prod(shape) for _, shape, _, _ in node.layer.draws(node.inputs).values())


def _lines(graph: Graph, node: Node) -> list[str]:
    if _is_part(node):
        return [graph.parts[node.index][0] or node.name, f"{node.outputs} features"]
    lines = [f"{node.name} · {type(node.layer).__name__}", f"{', '.join(map(str, node.widths))} → {node.outputs}"]
    if node.shares:
        lines[1] += f", as {node.home}"
    elif count_of(node):
        lines[1] += f", {count_of(node):,} parameters"
    return lines


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


def ranks_of(boxes: Mapping[Any, Box]) -> dict[Any, int]:
    """The rank of each box: one below its deepest source."""
    ranks: dict[Any, int] = {}
    for key, box in boxes.items():
        ranks[key] = max((ranks[source] + 1 for source in box.reads), default=0)
    return ranks


def passing(boxes: Mapping[Any, Box], ranks: Mapping[Any, int], rank: int) -> set[Any]:
    """The boxes whose signals pass from this rank to later ones."""
    return {s for key, box in boxes.items() for s in box.reads if ranks[s] <= rank < ranks[key]}


def columns_of(boxes: Mapping[Any, Box], ranks: Mapping[Any, int]) -> list[tuple[int, int]]:
    """First and last rank of every column; one ends where a single signal, that of its last rank, goes on."""
    last = max(ranks.values())
    ends = [
        rank
        for rank in range(last - 1)
        if [ranks[s] for s in passing(boxes, ranks, rank)] == [rank]
        and not any(rank < ranks[k] and not box.reads for k, box in boxes.items())
    ]
    columns, first = [], 0
    while last - first >= RANKS:
        near = [end for end in ends if first + 1 <= end]
        fits = [end for end in near if end < first + RANKS]
        if not near:
            break
        end = fits[-1] if fits else near[0]
        columns.append((first, end))
        first = end + 1
    return [*columns, (first, last)]


class Column:
    """One column of the picture: some ranks, below the dot of the signal that goes on in it."""

    def __init__(
        self, boxes: Mapping[Any, Box], ranks: Mapping[Any, int], first: int, last: int, joint: Any, left: float
    ) -> None:
        self.left, self.joint, self.source = left, "joint" if joint is not None else None, joint
        self.boxes = {key: box for key, box in boxes.items() if first <= ranks[key] <= last}
        shift = first - (joint is not None)
        self.ranks: dict[Any, int] = {key: ranks[key] - shift for key in self.boxes}
        wide: dict[Any, float] = {key: 90.0 if box.kind == "end" else float(BOX) for key, box in self.boxes.items()}
        if self.joint is not None:
            self.ranks[self.joint], wide[self.joint] = 0, 20.0
        edges: list[Edge] = [(self._near(s), key) for key, box in self.boxes.items() for s in box.reads]
        self.layout: Layered = layered(self.ranks, edges, wide, APART)
        most = max((len(box.lines) + bool(box.norm) for box in self.boxes.values()), default=1)
        self.high = most * LINE + 2 * PAD
        self.handing = {source for box in boxes.values() for source in box.reads}
        lowest = max(self.ranks.values())
        text = all(box.kind == "end" for key, box in self.boxes.items() if self.ranks[key] == lowest)
        self.bottom = self._top(lowest) + (20 if text else self.high + STEM)

    def _near(self, source: Any) -> Any:
        return source if source in self.boxes else self.joint

    def _top(self, rank: int) -> float:
        """y of the top of a rank's boxes; the dot's is a small one."""
        small = self.high - 10 if self.joint is not None and rank > 0 else 0
        return EDGE + GUTTER / 2 * (self.joint is not None) + rank * (self.high + STEM + TURN) - small

    def _x(self, key: Any) -> float:
        return self.left + self.layout.x[key]

    def joined(self, before: Column) -> str:
        """The edge from the column before, around its foot and up between the two."""
        x0, y0 = before._x(self.source), before._top(before.ranks[self.source]) + before.high
        x1, y1, middle = self._x(self.joint), self._top(0), self.left - GUTTER / 2
        path = f"M{x0:.0f},{y0:.0f} V{y0 + STEM:.0f} H{middle:.0f} V{y1 - 12:.0f} H{x1:.0f} V{y1:.0f}"
        return f'<path d="{path}" fill="none" class="edge" stroke-linejoin="round"/>'

    def drawn(self) -> list[str]:
        """Edges, then boxes with their labels."""
        out = []
        for key, box in self.boxes.items():
            for source in dict.fromkeys(map(self._near, box.reads)):
                copies = sum(self._near(s) == source for s in box.reads)
                out.append(self._edge(source, key, copies))
        if self.joint is not None:
            x, y = self._x(self.joint), self._top(0)
            out.append(f'<circle cx="{x:.0f}" cy="{y + 4:.0f}" r="4" class="head"/>')
        for key, box in self.boxes.items():
            out += self._box(key, box)
        return out

    def _edge(self, start: Any, end: Any, copies: int) -> str:
        ways = [self.left + x for x in self.layout.ways[start, end]]
        rank = self.ranks[start]
        y = self._top(rank) + (8 if start == self.joint else self.high)
        path = [f"M{ways[0]:.0f},{y:.0f} V{y + STEM * (start != self.joint):.0f}"]
        y += STEM * (start != self.joint)
        for step, (a, b) in enumerate(itertools.pairwise(ways), rank + 1):
            top = self._top(step)
            path.append(f"C{a:.0f},{(y + top) / 2:.0f} {b:.0f},{(y + top) / 2:.0f} {b:.0f},{top:.0f}")
            if step < self.ranks[end]:
                y = top + self.high + STEM
                path.append(f"V{y:.0f}")
        twice = f"<title>{copies} times</title>" if copies > 1 else ""
        x, y = ways[-1], self._top(self.ranks[end])
        head = f'<path d="M{x - 3.5:.1f},{y - 7:.0f} h7 l-3.5,7 z" class="head"/>'  # no marker, which would need an id
        return f'<path d="{" ".join(path)}" fill="none" class="edge">{twice}</path>{head}'

    def _box(self, key: Any, box: Box) -> list[str]:
        x, y = self._x(key), self._top(self.ranks[key])
        if box.kind == "end":
            return [write(x, y + 15, short(box.lines[0], 14), "ink", "middle")]
        lines = [*box.lines, *([box.norm] if box.norm else [])]
        high = len(lines) * LINE + 2 * PAD
        out = [
            f'<rect x="{x - BOX / 2:.0f}" y="{y:.0f}" width="{BOX}" height="{self.high}" rx="6"'
            f' class="{box.kind} edge"/>'
        ]
        for i, line in enumerate(lines):
            kind = "warm" if line == box.norm else "ink" if i == 0 else "soft"
            more = ' font-weight="600"' if i == 0 else ' font-size="11"'
            at = y + (self.high - high) / 2 + PAD + LINE * i + 12
            out.append(write(x, at, short(line, LETTERS + 5 * (i > 0)), kind, "middle", more))
        if key in self.handing:
            out.append(write(x + 6, y + self.high + 13, str(box.width), "soft", "start", ' font-size="11"'))
        return out
