"""Forward and reverse mode: walks over a graph that add the derivative to it, as more gates.

Reverse: in the opposite order of computation each node that the output depends on gets its cotangent, the sum of what
its children hand down, and hands on u times its own derivatives. Forward: in order, each node gets its tangent from
those of its inputs. Both make nodes of the same graph, so a derivative of a derivative is another walk.
"""

from __future__ import annotations

from fastbp.autodiff.gates import GATES
from fastbp.autodiff.graph import Graph


def pull(g: Graph, output: int, cotangent: int, wrt: list[int]) -> list[int]:
    """uᵀ J: the cotangents of `wrt` for one of the output; zeros where the output does not depend on them."""
    found = adjoints(g, output, cotangent, wrt)
    return [found[w] if w in found else _zeros(g, w) for w in wrt]


def adjoints(g: Graph, output: int, cotangent: int, wrt: list[int]) -> dict[int, int]:
    """The cotangent of every node between `wrt` and the output."""
    order = g.needed([output])
    moving = _moving(g, order, set(wrt))
    found: dict[int, int] = {output: cotangent}
    for number in reversed(order):
        if number not in found or number not in moving or number in wrt:
            continue
        node = g.nodes[number]
        for source, part in zip(node.inputs, GATES[node.gate].vjp(g, node, found[number]), strict=True):
            if part is not None and source in moving:
                found[source] = g.gate("add", found[source], part) if source in found else part
    return found


def push(g: Graph, outputs: list[int], tangents: dict[int, int]) -> list[int]:
    """J t: the tangents of the outputs for those of some nodes."""
    order = g.needed(outputs)
    moving = _moving(g, order, set(tangents))
    found: dict[int, int] = dict(tangents)
    for number in order:
        if number in moving and number not in found:
            node = g.nodes[number]
            found[number] = GATES[node.gate].jvp(g, node, [found.get(i) for i in node.inputs])
    return [found[o] if o in found else _zeros(g, o) for o in outputs]


def _moving(g: Graph, order: list[int], sources: set[int]) -> set[int]:
    """The nodes on a path from the sources."""
    moving = set(sources)
    for number in order:
        if any(i in moving for i in g.nodes[number].inputs):
            moving.add(number)
    return moving


def _zeros(g: Graph, like: int) -> int:
    from fastbp.autodiff.gates import spread

    return spread(g, g.constant(0.0), g.shape(like))
