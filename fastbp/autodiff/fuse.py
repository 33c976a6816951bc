"""Fusion: a graph of elementwise gates as one formula over lines, compiled as a single kernel.

A traced function usually runs gate by gate. If all of its values are numbers, as in a custom activation, its gates are
compiled as one kernel, and intermediate values stay in registers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastbp.autodiff.graph import GATES, Graph
from fastbp.errors import ShapeError
from fastbp.kernels.gates import FORMULAS, repeated


@dataclass(frozen=True)
class Fused:
    """A formula over `kernels.vector.V`.

    Attributes
    ----------
    formula : callable
        Takes a line per argument; returns a line, or a tuple of several.
    text : str
        The gates, one a line; the same for equal formulas.
    digest : str
        A hash of the text, for the kernel's name.
    """

    formula: Callable[..., Any]
    text: str
    digest: str


def fused(graph: Graph, arguments: list[int], outputs: list[int]) -> Fused:
    """The formula of outputs of a graph in which every value is a number."""
    order = [n for n in graph.needed(outputs) if n not in arguments]
    for number in [*arguments, *order]:
        node = graph.nodes[number]
        if node.shape != ():
            raise ShapeError(f"an elementwise formula must have no arrays, got shape `{node.shape}` of `{node.gate}`")
    nodes = [graph.nodes[n] for n in order]
    assert all(node.gate == "constant" or GATES[node.gate].elementwise for node in nodes)
    place = {number: i for i, number in enumerate([*arguments, *order])}
    lines = [f"{i} argument" for i in range(len(arguments))]
    for node in nodes:
        of = [str(place[i]) for i in node.inputs] or [float(graph._constants[node.number]).hex()]
        lines.append(f"{place[node.number]} {node.gate} {' '.join(of)}")
    text = "\n".join([*lines, "out " + " ".join(str(place[n]) for n in outputs)])

    def formula(*values: Any) -> Any:
        found = dict(zip(arguments, values, strict=True))
        for node in nodes:
            if node.gate == "constant":
                found[node.number] = repeated(values[0], float(graph._constants[node.number]))
            else:
                found[node.number] = FORMULAS[node.gate](*(found[i] for i in node.inputs))
        results = tuple(found[n] for n in outputs)
        return results[0] if len(results) == 1 else results

    return Fused(formula, text, hashlib.sha256(text.encode()).hexdigest()[:16])
