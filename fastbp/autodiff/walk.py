"""Forward and reverse mode: walks over a graph that add derivatives to it, as more gates.

Reverse: in reverse order, each node gets its cotangent u, the sum over its readers, and passes u times its derivatives
to its inputs. Forward: in order, each node gets its tangent from those of its inputs. Both add nodes to the same graph,
so higher derivatives are further walks.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastbp.autodiff.graph import GATES, Graph


def pull(g: Graph, cotangents: Iterable[tuple[int, int]], wrt: list[int]) -> list[int]:
    """uᵀ J: the cotangents of `wrt` for those of outputs, (output, u); zeros where no output depends on them."""
    found = adjoints(g, cotangents, wrt)
    return [found[w] if w in found else g.full(0.0, g.shape(w)) for w in wrt]


def adjoints(g: Graph, cotangents: Iterable[tuple[int, int]], wrt: list[int]) -> dict[int, int]:
    """The cotangent of every node between `wrt` and the outputs, and of the outputs."""
    found: dict[int, int] = {}
    for output, u in cotangents:
        found[output] = g.gate("add", found[output], u) if output in found else u
    order = g.needed(found)
    moving = _moving(g, order, set(wrt))
    for number in reversed(order):
        node = g.nodes[number]
        if number not in found or number not in moving or not node.inputs:
            continue
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
            moved = GATES[node.gate].jvp(g, node, [found.get(i) for i in node.inputs])
            if moved is not None:
                found[number] = moved
    return [found[o] if o in found else g.full(0.0, g.shape(o)) for o in outputs]


def _moving(g: Graph, order: list[int], sources: set[int]) -> set[int]:
    """The nodes on a path from the sources."""
    moving = set(sources)
    for number in order:
        if any(i in moving for i in g.nodes[number].inputs):
            moving.add(number)
    return moving
