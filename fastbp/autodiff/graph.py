"""A traced function: gates in the order they are computed, each once.

`Graph.gate` makes nodes: it folds constants and reuses an existing node with the same gate and inputs. Shapes have at
most two axes; () is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ShapeError

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One gate; `inputs` are numbers of nodes, `note` holds other parameters, such as an axis or a shape."""

    number: int
    gate: str
    inputs: tuple[int, ...]
    shape: Shape
    note: Any = None


@dataclass(frozen=True)
class Gate:
    """The definition of a gate.

    Attributes
    ----------
    value : callable
        (*inputs, note) to value, in NumPy.
    shape : callable
        (name, shapes, note) to shape.
    vjp : callable
        (graph, node, u) to the cotangent of each input, None where there is none.
    jvp : callable
        (graph, node, tangents) to the tangent; None stands for a zero tangent.
    kernels : tuple of str
        The kernels it is lowered to.
    elementwise : bool
        Whether all inputs and the output have the same shape.
    exact : bool
        Whether `value` has the same bits on every machine, so that constants may be folded with it.
    commutes : bool
        Whether the order of its inputs does not matter.
    simplify : callable, optional
        (graph, inputs, note, shape) to an existing or simpler node, or None.
    """

    value: Callable[..., Any]
    shape: Callable[[str, list[Shape], Any], Shape]
    vjp: Callable[[Graph, Node, int], list[int | None]]
    jvp: Callable[[Graph, Node, list[int | None]], int | None]
    kernels: tuple[str, ...]
    elementwise: bool = False
    exact: bool = False
    commutes: bool = False
    simplify: Callable[[Graph, tuple[int, ...], Any, Shape], int | None] | None = None


GATES: dict[str, Gate] = {}


def two_axes(name: str, shape: Iterable[int]) -> Shape:
    """Check a shape."""
    shape = tuple(int(size) for size in shape)
    if len(shape) > 2:
        raise ShapeError(name, "must have at most two axes", f"shape `{shape}`")
    if 0 in shape:
        raise ShapeError(name, "must have no axis of length 0", f"shape `{shape}`")
    return shape


def rows_and_width(shape: Shape) -> tuple[int, int]:
    """Rows and columns of a value: a number is 1 x 1, a vector one row."""
    return (1, 1) if not shape else (1, shape[0]) if len(shape) == 1 else (shape[0], shape[1])


class Graph:
    """Nodes in the order they are computed.

    Parameters
    ----------
    dtype : {"float64", "float32"}
        Type of all values.
    """

    def __init__(self, dtype: str = "float64") -> None:
        self.dtype = np.dtype(dtype)
        self.nodes: list[Node] = []
        self.arguments: list[int] = []
        self._known: dict[Any, int] = {}
        self._constants: dict[int, Array] = {}

    def argument(self, shape: Shape) -> int:
        """Add an argument."""
        number = self._add("argument", (), shape, len(self.arguments))
        self.arguments.append(number)
        return number

    def stand_in(self, shape: Shape) -> int:
        """A fresh placeholder, to be replaced before anything runs."""
        return self._add("argument", (), shape, ("stand-in", len(self.nodes)))

    def constant(self, value: Any) -> int:
        """A constant number or array."""
        with np.errstate(all="ignore"):
            array = np.array(value, self.dtype)
        number = self._add("constant", (), two_axes("constant", array.shape), array.tobytes())
        self._constants[number] = array
        return number

    def value_of(self, number: int) -> Array | None:
        """The value of a constant, before any broadcast; None for other nodes."""
        node = self.nodes[number]
        return self._constants.get(node.inputs[0] if node.gate == "spread" else number)

    def number_of(self, number: int) -> float | None:
        """The number of a constant whose elements are all equal; None for other nodes."""
        value = self.value_of(number)
        if value is None or not (value == value.flat[0]).all():
            return None
        return float(value.flat[0])

    def shape(self, number: int) -> Shape:
        return self.nodes[number].shape

    def full(self, value: float, shape: Shape) -> int:
        """A constant array filled with one number."""
        return self.spread(self.constant(value), shape)

    def spread(self, x: int, shape: Shape) -> int:
        """x broadcast to a shape."""
        return x if self.shape(x) == shape else self.gate("spread", x, note=shape)

    def gate(self, name: str, *inputs: int, note: Any = None) -> int:
        """The node of a gate; an equal one is reused."""
        gate = GATES[name]
        shape = gate.shape(name, [self.shape(i) for i in inputs], note)
        if gate.commutes:
            inputs = tuple(sorted(inputs))
        simpler = gate.simplify(self, inputs, note, shape) if gate.simplify else None
        if simpler is not None:
            return simpler
        if gate.exact:
            values = [self.value_of(i) if gate.elementwise else self._constants.get(i) for i in inputs]
            if all(value is not None for value in values):
                with np.errstate(all="ignore"):
                    found = self.constant(gate.value(*values, note=note))
                return self.spread(found, shape)
        return self._add(name, tuple(inputs), shape, note)

    def _add(self, gate: str, inputs: tuple[int, ...], shape: Shape, note: Any) -> int:
        key = gate, inputs, shape, note
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(Node(len(self.nodes), gate, inputs, shape, note))
        return self._known[key]

    def replaced(self, nodes: list[int], by: dict[int, int]) -> list[int]:
        """Copies of these nodes with some inputs replaced."""
        found = dict(by)
        for number in self.needed(nodes):
            node = self.nodes[number]
            if number not in found and any(i in found for i in node.inputs):
                found[number] = self.gate(node.gate, *(found.get(i, i) for i in node.inputs), note=node.note)
        return [found.get(n, n) for n in nodes]

    def needed(self, outputs: Iterable[int]) -> list[int]:
        """These nodes and all they depend on, in order."""
        wanted, stack = set(), list(outputs)
        while stack:
            number = stack.pop()
            if number not in wanted:
                wanted.add(number)
                stack += self.nodes[number].inputs
        return sorted(wanted)


def broadcast(name: str, shapes: list[Shape]) -> Shape:
    """The common broadcast shape."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        shown = " and ".join(f"`{s}`" for s in shapes)
        raise ShapeError(name, "must have inputs whose shapes fit", shown) from None
