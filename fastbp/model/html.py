"""A network as HTML for notebooks: a table of its layers, and the drawing below it.

Texts have the page's own colours, light or dark; nothing has an id, so any number of networks stand on one page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbp.model.draw import count_of
from fastbp.pictures.page import clean

if TYPE_CHECKING:
    from fastbp.model.network import Network

MOST = 60  # layers of a picture; a larger one is drawn by `net.draw()`
CELL = ' style="text-align:left;padding:2px 12px 2px 0"'


def html(net: Network) -> str:
    """The HTML of a network."""
    graph = net.graph
    nodes = [node for node in graph.nodes if not node.name.endswith("]")]
    rows = [_row("th", "name", "layer", "shape", "parameters")]
    for node in nodes:
        shape = f"{', '.join(map(str, node.widths))} → {node.outputs}"
        count = f"as {node.home}" if node.shares else f"{count_of(node):,}" if count_of(node) else ""
        rows.append(_row("td", node.name, repr(node.layer), shape, count))
    total = sum(map(count_of, graph.nodes))
    inputs, outputs = (f"{n} {name}{'s' * (n > 1)}" for n, name in ((net.inputs, "input"), (net.outputs, "output")))
    title = f"{type(net).__name__}, {inputs}, {outputs}, {total:,} parameters, {net.dtype.name}"
    picture = str(net.draw()) if len(nodes) <= MOST else ""
    table = f'<table style="text-align:left">{"".join(rows)}</table>'
    return f"<div><b>{clean(title)}</b>\n{table}\n{picture}</div>"


def _row(kind: str, *cells: str) -> str:
    return "<tr>" + "".join(f"<{kind}{CELL}>{clean(cell)}</{kind}>" for cell in cells) + "</tr>"
