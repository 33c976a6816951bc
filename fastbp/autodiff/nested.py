"""Derivatives inside a function that is being traced: they add gates to its graph, which can be differentiated again.

The inner function is traced on fresh placeholder nodes, so it is differentiated only with respect to its own arguments
and never through values captured from outside. Afterwards the actual arguments replace the placeholders.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from fastbp.autodiff.composed import stack
from fastbp.autodiff.graph import Graph, Shape
from fastbp.autodiff.numpy_names import nodes_of_results
from fastbp.autodiff.tracer import Tracer, node_of, reshape
from fastbp.autodiff.walk import pull, push
from fastbp.errors import ConfigTypeError, ShapeError


class Open(threading.local):
    """Graphs being traced by this thread, innermost last."""

    graphs: tuple[Graph, ...] = ()


OPEN = Open()


@contextmanager
def tracing(graph: Graph) -> Iterator[None]:
    before = OPEN.graphs
    OPEN.graphs = (*before, graph)
    try:
        yield
    finally:
        OPEN.graphs = before


def results_of(kind: str, g: Graph, arguments: list[int], outputs: list[int], seeds: list[int]) -> list[int]:
    """The nodes for "value", "gradient" (with the value), "vjp", "jvp" or "hessian_vector"."""
    match kind:
        case "value":
            return outputs
        case "vjp":
            return pull(g, zip(outputs, seeds, strict=True), arguments)
        case "jvp":
            return push(g, outputs, dict(zip(arguments, seeds, strict=True)))
    gradient = pull(g, [(outputs[0], g.constant(1.0))], arguments)
    if kind == "gradient":
        return [outputs[0], *gradient]
    return push(g, gradient, dict(zip(arguments, seeds, strict=True)))


class Inside:
    """A function applied to values of a graph that is being traced.

    Parameters
    ----------
    function : callable
    graph : Graph
    args : sequence
        Traced values and constants.
    """

    def __init__(self, function: Callable[..., Any], graph: Graph, args: Sequence[Any]) -> None:
        self.graph = graph
        self.given = [node_of(graph, a) for a in args]
        self.arguments = [graph.stand_in(graph.shape(n)) for n in self.given]
        found = function(*(Tracer(graph, n) for n in self.arguments))
        self.outputs, self.single = nodes_of_results(graph, found)

    @property
    def shapes(self) -> list[Shape]:
        """Of the results."""
        return [self.graph.shape(o) for o in self.outputs]

    @property
    def argument_shapes(self) -> list[Shape]:
        return [self.graph.shape(a) for a in self.arguments]

    @property
    def moves(self) -> bool:
        """Whether the results depend on an argument of an enclosing function."""
        g = self.graph
        return any(g.nodes[n].gate == "argument" and n not in self.arguments for n in g.needed(self.outputs))

    def settled(self, nodes: list[int]) -> list[Tracer]:
        """These nodes with the placeholders replaced."""
        found = self.graph.replaced(nodes, dict(zip(self.arguments, self.given, strict=True)))
        return [Tracer(self.graph, n) for n in found]

    def results(self, kind: str, seeds: Sequence[Any] = ()) -> list[Tracer]:
        nodes = [node_of(self.graph, s) for s in seeds]
        return self.settled(results_of(kind, self.graph, self.arguments, self.outputs, nodes))

    def seeds(self, where: str, given: Any, shapes: list[Shape], single: bool) -> list[Any]:
        """Cotangents or tangents, checked against shapes."""
        found = [given] if single else given
        if not isinstance(found, tuple | list) or len(found) != len(shapes):
            got = str(len(found)) if isinstance(found, tuple | list) else f"a `{type(found).__name__}`"
            raise ConfigTypeError(where, f"must be a tuple of {len(shapes)} values", got)
        have = [self.graph.shape(node_of(self.graph, v)) for v in found]
        if have != shapes:
            wanted, got = (", ".join(f"`{s}`" for s in group) for group in (shapes, have))
            raise ShapeError(where, f"must have shape{'' if len(have) == 1 else 's'} {wanted}", got)
        return list(found)

    def jacobian(self, mode: str) -> list[list[Tracer]]:
        """For each result its derivative in each argument."""
        columns, rows = (sum(map(prod, group)) for group in (self.argument_shapes, self.shapes))
        return self._blocks(self.outputs, mode == "forward" or (mode == "auto" and columns < rows))

    def hessian(self) -> list[list[Tracer]]:
        gradient = pull(self.graph, [(self.outputs[0], self.graph.constant(1.0))], self.arguments)
        return self._blocks(gradient, True)

    def _blocks(self, outputs: list[int], forward: bool) -> list[list[Tracer]]:
        g, into = self.graph, self.arguments
        walked = []
        for source in into if forward else outputs:
            lines = []
            for unit in np.eye(prod(g.shape(source))):
                seed = g.constant(unit.reshape(g.shape(source)))
                if forward:
                    zeros = {a: g.full(0.0, g.shape(a)) for a in into}
                    lines.append(self.settled(push(g, outputs, {**zeros, source: seed})))
                else:
                    lines.append(self.settled(pull(g, [(source, seed)], into)))
            walked.append([stack([reshape(x, -1) for x in column]) for column in zip(*lines, strict=True)])
        if forward:
            walked = [[matrix.T for matrix in row] for row in zip(*walked, strict=True)]
        return [
            [reshape(x, (*g.shape(o), *g.shape(a))) for x, a in zip(row, into, strict=True)]
            for row, o in zip(walked, outputs, strict=True)
        ]


def inside(function: Callable[..., Any], args: Any, others: Sequence[Any] = ()) -> Inside | None:
    """The function on the enclosing graph, if it takes or captures traced values; otherwise None."""
    values = (*args, *others) if isinstance(args, tuple | list) else ()
    graph = next((v.graph for v in values if isinstance(v, Tracer)), None)
    if graph is not None:
        return Inside(function, graph, args)
    if not OPEN.graphs or not isinstance(args, tuple | list):
        return None
    made = Inside(function, OPEN.graphs[-1], args)
    return made if made.moves else None
