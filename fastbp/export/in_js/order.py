"""Which gates are computed when, what each reads, and how often each is read.

PREPARED   once: what depends on parameters only
FOUND      for each row
BETWEEN    for each row, what is needed for derivatives only
EACH       for each of several cotangents or tangents of a row
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from fastbp.autodiff.graph import Graph

PREPARED, FOUND, BETWEEN, EACH = range(4)


@dataclass(frozen=True)
class Given:
    """What an argument of the graph is in JavaScript.

    Attributes
    ----------
    name : str
        Of an array; of a `code` of a variable with the number of a category, where the graph has a row of 0 and a 1.
    stage : int
        From which stage on it is there.
    code : bool
    """

    name: str
    stage: int
    code: bool = False


class Order:
    """The nodes that are needed of a graph.

    Attributes
    ----------
    nodes : list of int
        In order.
    inputs : dict of int to tuple of int
        What each reads.
    stage : dict of int to int
    count : Counter
        How often each is read, by outputs too.
    reader : dict of int to int
        One that reads it.
    turned : dict of int to int
        Constants that are others transposed, which are not written twice.
    """

    def __init__(
        self, graph: Graph, given: Mapping[int, Given], found: Sequence[int], each: Sequence[int] = ()
    ) -> None:
        self.graph = graph
        self.inputs = _inputs(graph, [*found, *each])
        self.nodes = self._needed([*found, *each])
        self.stage = self._staged(given, found)
        self.count: Counter[int] = Counter([*found, *each])
        self.reader: dict[int, int] = {}
        for number in self.nodes:
            self.count.update(self.inputs[number])
            self.reader |= dict.fromkeys(self.inputs[number], number)
        self.turned = self._transposed()

    def _needed(self, outputs: Iterable[int]) -> list[int]:
        """These nodes and all they depend on, in order."""
        wanted: set[int] = set()
        stack = list(outputs)
        while stack:
            number = stack.pop()
            if number not in wanted:
                wanted.add(number)
                stack += self.inputs[number]
        return sorted(wanted)

    def _staged(self, given: Mapping[int, Given], found: Sequence[int]) -> dict[int, int]:
        """The stage of each node."""
        first = set(self._needed(found))
        stages: dict[int, int] = {}
        for number in self.nodes:
            if number in given:
                stages[number] = given[number].stage
                continue
            stage = max((stages[i] for i in self.inputs[number]), default=PREPARED)
            stages[number] = BETWEEN if stage == FOUND and number not in first else stage
        return stages

    def _transposed(self) -> dict[int, int]:
        """Constants that are others transposed, which are not written twice."""
        known: dict[tuple[Any, bytes], int] = {}
        found: dict[int, int] = {}
        for number in self.nodes:
            value = self.graph.value_of(number) if self.graph.nodes[number].gate == "constant" else None
            if value is None or value.ndim < 2 or 1 in value.shape:
                continue
            other = known.get((value.shape[::-1], value.T.tobytes()))
            if other is None:
                known[value.shape, value.tobytes()] = number
            else:
                found[number] = other
        return found


def _inputs(graph: Graph, outputs: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """The inputs of each node. An extreme is found by a loop rather than by halving: who reads it reads `tied`."""
    found: dict[int, tuple[int, ...]] = {}
    tied: dict[int, int] = {}
    shaped: dict[int, int] = {}  # the same in another shape, which only those read that reshape it
    for number in graph.needed(outputs):
        node = graph.nodes[number]
        if node.gate == "tied":
            extreme, source = node.inputs
            found[number] = (tied.get(source, source),)
            tied[extreme] = number
            while graph.nodes[extreme].gate == "reshape":
                (extreme,) = graph.nodes[extreme].inputs
                shaped[extreme] = number
        else:
            loose = [node.gate == "reshape" or prod(graph.shape(i)) == 1 for i in node.inputs]
            pairs = zip(node.inputs, loose, strict=True)
            found[number] = tuple(tied.get(i, shaped.get(i, i) if one else i) for i, one in pairs)
    return found
