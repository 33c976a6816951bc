"""A network of members as the graph that is lowered: what is behind `Members` once for each member.

Nodes of a member are those of a graph in which layers are used several times: they share the parameters of their home,
or have a place of their own in those of which each member has one. So rows of a member go through its own nodes, block
by block, and gradients of what is shared are summed member by member, each over its rows from the top.

    a batch of B rows      in front of Members B rows, behind it B rows for each of K members, K B in all
    heads                  K, one a member; the loss is the mean of theirs
    the last node          joins them: the mean that is predicted, or all of them side by side
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from fastbp.spec.gates import Concat
from fastbp.spec.graph import INPUT, Graph, Node
from fastbp.spec.layers import Layer
from fastbp.spec.losses import Dot, Loss
from fastbp.spec.members import Members


@dataclass(frozen=True)
class Mean(Layer):
    """The mean of what members predict; of what, `average` says as in `Members`."""

    kind: ClassVar[str] = "mean_of_members"
    arity: ClassVar[tuple[int, int | None]] = (2, None)
    average: str = "values"

    @property
    def op(self) -> str:
        return Members.kind


def apart(graph: Graph, *, joined: bool = True) -> Graph:
    """The graph with members apart; `joined` ends it with their mean, else with all side by side.

    A graph without members is itself.
    """
    layer = graph.members
    if layer is None:
        return graph
    nodes: list[Node] = []
    at: dict[tuple[int, int], int] = {(member, INPUT): INPUT for member in range(layer.count)}

    def add(node: Node, member: int) -> int:
        sources = tuple(at[member, source] for source in node.sources)
        nodes.append(replace(node, index=len(nodes), sources=sources, member=member))
        return len(nodes) - 1

    for node in graph.nodes:
        if node.members == 1:
            index = add(node, 0)
            at |= {(member, node.index): index for member in range(layer.count)}
    for member in range(layer.count):
        for node in graph.nodes:
            if node.members > 1:
                at[member, node.index] = add(node, member)
    heads = tuple(at[member, graph.heads[0]] for member in range(layer.count))
    width = graph.outputs
    end: Layer = Mean(layer.average) if joined else Concat()
    name = "members[:]"  # a name that users cannot give
    outputs = width if joined else width * layer.count
    nodes.append(Node(len(nodes), end, heads, (width,) * layer.count, outputs, name, name))
    return Graph(graph.inputs, tuple(nodes), heads, graph.parts)


def judged(graph: Graph, loss: Loss) -> tuple[Graph, tuple[int, ...], list[tuple[Loss, float]]]:
    """The graph with members apart, the nodes whose outputs a loss takes, and the loss of each with its weight.

    It takes the outputs of members, for the mean of their losses; but a product with cotangents takes those of all.
    """
    found = apart(graph)
    if graph.members is None or loss.kind == Dot.kind:
        return found, graph.heads if graph.members is None else (len(found.nodes) - 1,), list(loss.parts)
    return found, found.heads, [(loss, 1.0 / len(found.heads))] * len(found.heads)
