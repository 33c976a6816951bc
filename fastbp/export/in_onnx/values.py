"""Values of gates in an ONNX file: their names, and how nodes read them.

What depends on an input has axes in front of its last one: rows, and for derivatives one for each kind of directions.
An axis along which a value is the same has length 1, the last one too where a number stands for a whole row; nodes
broadcast them. `Value.leads` says which axes a value varies along.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fastbp.autodiff.graph import Graph, rows_and_width
from fastbp.export.in_onnx.graph import OnnxGraph, type_of


@dataclass(frozen=True)
class Value:
    """A value in the file.

    Attributes
    ----------
    name : str
    leads : frozenset of int
        The axes in front along which it varies.
    width : int
        Length of the last axis, or 1 where all its numbers are the same.
    truth : bool
        Whether its elements are booleans.
    """

    name: str
    leads: frozenset[int]
    width: int
    truth: bool = False


class Values:
    """The values of gates in a graph of ONNX.

    Parameters
    ----------
    onnx : OnnxGraph
    gates : Graph
    axes : int
        How many axes stand in front of the last one.
    names : dict of int to str
        What constants are called.
    plain : bool
        Whether only operators are used that CasADi imports into expressions: it has no Softmax, sums over all axes,
        and broadcasts no comparisons.
    """

    def __init__(self, onnx: OnnxGraph, gates: Graph, axes: int, names: dict[int, str], plain: bool = False) -> None:
        self.onnx, self.gates, self.axes, self.names, self.plain = onnx, gates, axes, names, plain
        self.values: dict[int, Value] = {}
        self.readers: dict[int, int] = {}  # how many gates and outputs read each
        self.codes: dict[int, str] = {}  # of arguments that are codes: whole numbers, (rows,); if `plain`, (rows, 1)
        self.sizes: dict[int, Callable[[], str]] = {}  # of each axis in front, what writes its size, (1,)

    def width(self, number: int) -> int:
        """Of a node of gates, the length of its last axis."""
        return rows_and_width(self.gates.shape(number))[1]

    def operand(self, number: int) -> str:
        """A node as elementwise operators read it."""
        constant = self.gates.value_of(number)
        if constant is not None:
            same = self.gates.number_of(number)
            array = constant.ravel()[:1].reshape(()) if same is not None else constant.reshape(1, -1)
            return self.onnx.constant(array, "number" if array.ndim == 0 else self.called(number))
        value = self.values[number]
        return self.onnx.node("Cast", value.name, to=self.type) if value.truth else value.name

    def wide(self, number: int, leads: frozenset[int] = frozenset()) -> str:
        """A node in its full width, and varying along these axes in front."""
        name, value, width = self.operand(number), self.value(number), self.width(number)
        missing = leads - value.leads
        if value.width == width and not missing and number in self.values:
            return name
        if not missing and number in self.values:
            return self.onnx.node("Expand", name, self.numbers(*[1] * self.axes, width))
        sizes = [self.sizes[axis]() if axis in leads else self.numbers(1) for axis in range(self.axes)]
        return self.onnx.node("Expand", name, self.onnx.node("Concat", *sizes, self.numbers(width), axis=0))

    def value(self, number: int) -> Value:
        """A node's value, of a constant too."""
        if number in self.values:
            return self.values[number]
        constant = self.gates.value_of(number)
        assert constant is not None
        return Value(
            self.operand(number), frozenset(), 1 if self.gates.number_of(number) is not None else constant.size
        )

    @property
    def type(self) -> int:
        """The number of the type of its elements."""
        return type_of(self.gates.dtype)

    def scalar(self, number: float) -> str:
        """A constant number of the network's type."""
        return self.onnx.constant(np.array(number, self.gates.dtype), "number")

    def numbers(self, *numbers: int) -> str:
        """A constant list of whole numbers."""
        return self.onnx.constant(np.array(numbers, np.int64), "numbers")

    def called(self, number: int) -> str:
        """What a constant is called."""
        node = self.gates.nodes[number]
        return self.names.get(node.inputs[0] if node.gate == "spread" else number, "constant")

    def matrix(self, number: int) -> str:
        """A constant as it is multiplied with; one that is another's transpose is made of that."""
        constant = self.gates.value_of(number)
        assert constant is not None
        array = np.broadcast_to(constant, self.gates.shape(number))
        if number not in self.names:
            named = self._matrices.get((array.shape[::-1], array.T.tobytes()))
            if named is not None:
                return self.onnx.node("Transpose", self.matrix(named), perm=[1, 0])
        return self.onnx.constant(array, self.called(number))

    @cached_property
    def _matrices(self) -> dict[Any, int]:
        """Parameters that are matrices, by their shapes and bytes."""
        found = {number: self.gates.value_of(number) for number in self.names}
        return {(x.shape, x.tobytes()): number for number, x in found.items() if x is not None and x.ndim == 2}
