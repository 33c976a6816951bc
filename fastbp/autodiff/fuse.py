"""Several gates as one formula: a graph of numbers as a function of lines, for a kernel of its own.

A traced function runs gate by gate. Where its graph is all numbers and gates that work number by number, such as a
user's own activation, the formulas of its gates can be put together and compiled as one, and every value between them
stays in a register.
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
        One line for each argument, to one line, or a tuple where there are several outputs.
    text : str
        The gates, one a line; equal for equal formulas, whatever they were traced from.
    digest : str
        A hash of the text, which a kernel can be named by.
    """

    formula: Callable[..., Any]
    text: str
    digest: str


def fused(graph: Graph, arguments: list[int], outputs: list[int]) -> Fused:
    """The formula of some outputs of a graph whose every value is a number."""
    order = [n for n in graph.needed(outputs) if n not in arguments]
    for number in [*arguments, *order]:
        node = graph.nodes[number]
        if node.shape != ():
            raise ShapeError(f"a formula for one number must have no arrays, got shape `{node.shape}` of `{node.gate}`")
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
