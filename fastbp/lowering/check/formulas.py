"""Users' formulas in NumPy, gate by gate, with a bound on what rounding makes of every value.

A gate adds a few units in the last place of its own value to what the errors of its inputs make of it, which is how
far its value moves when each of them is moved by its error.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.autodiff.expression import parse
from fastbp.autodiff.graph import GATES, Graph
from fastbp.autodiff.tracer import Tracer, node_of
from fastbp.autodiff.walk import pull
from fastbp.spec.formulas import TRACED

Array = NDArray[Any]
Bounded = tuple[Array, Array]  # values, and how far each may be off

ULPS = 6.0  # of a gate's value
EXACT_ULPS = 2.0  # of a gate that is rounded once, wherever the kernel rounds


def formula(name: str, eps: float, *arguments: Array) -> list[Bounded]:
    """The outputs of the kernel of a formula, of exact arguments."""
    return _computed(*TRACED[name], eps, arguments)


def loss_and_slope(text: str, eps: float, z: Array, t: Array, a: Array) -> list[Bounded]:
    """The loss of each output by the formula of its class, and its derivative in z."""
    return _computed(*_loss(text), eps, (z, t, a))


@cache
def _loss(text: str) -> tuple[Graph, list[int], list[int]]:
    graph, names = Graph(), ("z", "t", "a")
    arguments = [graph.argument(()) for _ in names]
    value = node_of(graph, parse(text, names)(*(Tracer(graph, x) for x in arguments)))
    return graph, arguments, [value, *pull(graph, [(value, graph.constant(1.0))], arguments[:1])]


def _computed(
    graph: Graph, inputs: list[int], outputs: list[int], eps: float, arguments: tuple[Array, ...]
) -> list[Bounded]:
    shape = arguments[0].shape
    known: dict[int, Bounded] = {n: (x, np.zeros(shape)) for n, x in zip(inputs, arguments, strict=True)}
    for number in graph.needed(outputs):
        if number not in known:
            value, bound = _gate(graph, number, known, eps)
            known[number] = np.broadcast_to(value, shape), np.broadcast_to(bound, shape)
    return [known[n] for n in outputs]


def _gate(graph: Graph, number: int, known: dict[int, Bounded], eps: float) -> Bounded:
    node, constant = graph.nodes[number], graph.value_of(number)
    if constant is not None:
        return np.asarray(constant), np.abs(constant) * eps
    inputs = [known[i] for i in node.inputs]
    values = [value for value, _ in inputs]
    gate, ulps = GATES[node.gate].value, EXACT_ULPS if GATES[node.gate].exact else ULPS
    out = np.asarray(gate(*values, note=node.note))
    bound = ulps * eps * np.abs(out)
    for i, (value, error) in enumerate(inputs):
        moved = [gate(*values[:i], value + way * error, *values[i + 1 :], note=node.note) for way in (-1.0, 1.0)]
        bound = bound + np.max([np.where(np.isfinite(m), np.abs(m - out), np.inf) for m in moved], axis=0)
    return out, bound
