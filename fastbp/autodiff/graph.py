"""A traced function: gates in the order they are computed, each once.

Nodes are made through `Graph.gate`, which folds constants and hands back the node that is there already where the same
gate has the same inputs. Every node has a shape; () is a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ShapeError

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One gate: its inputs are nodes by number, `note` what else it was told, such as an axis or a constant."""

    number: int
    gate: str
    inputs: tuple[int, ...]
    shape: Shape
    note: Any = None


class Graph:
    """Nodes in the order they are computed."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.arguments: list[int] = []
        self._known: dict[Any, int] = {}
        self._constants: dict[int, Array] = {}

    def argument(self, shape: Shape) -> int:
        """One more argument of the function."""
        number = self._add("argument", (), shape, len(self.arguments))
        self.arguments.append(number)
        return number

    def constant(self, value: Any) -> int:
        """A number or an array that does not change."""
        array = np.asarray(value, np.float64)
        number = self._add("constant", (), array.shape, array.tobytes())
        self._constants[number] = array
        return number

    def value_of(self, number: int) -> Array | None:
        """The value of a constant, of one number where it is one repeated; None for every other node."""
        node = self.nodes[number]
        return self._constants.get(node.inputs[0] if node.gate == "spread" else number)

    def shape(self, number: int) -> Shape:
        return self.nodes[number].shape

    def gate(self, name: str, *inputs: int, note: Any = None) -> int:
        """The node of a gate; what is known already is not made again."""
        from fastbp.autodiff.gates import GATES

        gate = GATES[name]
        shape = gate.shape(name, [self.shape(i) for i in inputs], note)
        if gate.commutes:
            inputs = tuple(sorted(inputs))
        simpler = gate.simplify(self, inputs, note, shape) if gate.simplify else None
        if simpler is not None:
            return simpler
        values = [self.value_of(i) for i in inputs]
        whole = [i in self._constants for i in inputs]
        if values and name != "spread" and (all(whole) or gate.elementwise) and all(v is not None for v in values):
            with np.errstate(all="ignore"):
                found = self.constant(gate.value(*values, note=note))
            return found if self.shape(found) == shape else self.gate("spread", found, note=shape)
        return self._add(name, tuple(inputs), shape, note)

    def _add(self, gate: str, inputs: tuple[int, ...], shape: Shape, note: Any) -> int:
        key = gate, inputs, shape, note
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(Node(len(self.nodes), gate, inputs, shape, note))
        return self._known[key]

    def needed(self, outputs: list[int]) -> list[int]:
        """The nodes that these depend on, and they themselves, in order."""
        wanted, stack = set(), list(outputs)
        while stack:
            number = stack.pop()
            if number not in wanted:
                wanted.add(number)
                stack += self.nodes[number].inputs
        return sorted(wanted)

    def depends(self, output: int, on: int) -> bool:
        """Whether there is a path from one node to another."""
        return on in self.needed([output])


def broadcast(name: str, shapes: list[Shape]) -> Shape:
    """The shape that several have together."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        shown = " and ".join(f"`{s}`" for s in shapes)
        raise ShapeError(f"`{name}` must have inputs whose shapes fit, got {shown}") from None
