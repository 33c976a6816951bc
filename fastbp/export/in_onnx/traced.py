"""Traced functions as ONNX files, for arguments of fixed shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.autodiff.function import Traced
from fastbp.autodiff.graph import Graph, Node, rows_and_width
from fastbp.export.arguments import argument_names, traces_for
from fastbp.export.in_onnx.functions import FUNCTIONS
from fastbp.export.in_onnx.gates import COMPARED, SAME
from fastbp.export.in_onnx.graph import OnnxGraph, type_of
from fastbp.export.model import free


def traced_file(F: Traced, arguments: Any, opset: int, name: str) -> bytes:
    """A traced function; inputs have the names of its arguments, outputs are `y`, or `y0` and so on."""
    traces = traces_for(F, arguments)
    graph = OnnxGraph(name, opset)
    inputs = argument_names(F, len(traces.arguments))
    taken = set(inputs)
    outputs = [free("y" if traces.single else f"y{i}", taken) for i in range(len(traces.outputs))]
    graph.reserve(*inputs, *outputs)
    to = _Shapes(graph, traces.graph)
    for called, number in zip(inputs, traces.arguments, strict=True):
        to.names[number] = graph.input(called, to.gates.dtype, list(to.gates.shape(number)))
    for number in to.gates.needed(traces.outputs):
        if number not in to.names and to.gates.value_of(number) is None:
            to.names[number] = to.written(to.gates.nodes[number])
    for called, number in zip(outputs, traces.outputs, strict=True):
        graph.node("Identity", to.whole(number), name=called)
        graph.output(called, to.gates.dtype, list(to.gates.shape(number)))
    return graph.to_bytes()


class _Shapes:
    """Writes gates as they are, with the shapes that they were traced with."""

    def __init__(self, onnx: OnnxGraph, gates: Graph) -> None:
        self.onnx, self.gates = onnx, gates
        self.names: dict[int, str] = {}

    def scalar(self, number: float) -> str:
        """A constant number of the function's type."""
        return self.onnx.constant(np.array(number, self.gates.dtype), "number")

    def _sizes(self, numbers: Sequence[int]) -> str:
        return self.onnx.constant(np.array(numbers, np.int64), "numbers")

    def operand(self, number: int) -> str:
        """A node as elementwise operators read it: a constant before it is broadcast."""
        constant = self.gates.value_of(number)
        return self.names[number] if constant is None else self.onnx.constant(constant)

    def whole(self, number: int) -> str:
        """A node in its shape."""
        constant = self.gates.value_of(number)
        if constant is None:
            return self.names[number]
        return self.onnx.constant(np.broadcast_to(constant, self.gates.shape(number)))

    def written(self, node: Node) -> str:
        """A gate as nodes; the name of what it gives."""
        write, gate = self.onnx.node, node.gate
        if gate in SAME or gate in FUNCTIONS:
            operands = [self.operand(number) for number in node.inputs]
            return write(SAME[gate], *operands) if gate in SAME else FUNCTIONS[gate](self, *operands)
        if gate in COMPARED or gate == "not_equal":
            truth = write(COMPARED.get(gate, "Equal"), *(self.operand(number) for number in node.inputs))
            truth = truth if gate in COMPARED else write("Not", truth)
            return write("Cast", truth, to=type_of(self.gates.dtype))
        if gate == "where":
            condition, x, y = (self.operand(number) for number in node.inputs)
            return write("Where", write("Not", write("Equal", condition, self.scalar(0.0))), x, y)
        sources = [self.whole(number) for number in node.inputs]
        if gate == "tied":
            return sources[0]
        if gate == "matmul":
            return write("MatMul", *sources)
        if gate == "transpose":
            return write("Transpose", *sources, perm=[1, 0])
        if gate == "sum":
            return write("ReduceSum", *sources, self._sizes(node.note), keepdims=0)
        if gate == "spread":
            return write("Expand", *sources, self._sizes(node.shape))
        if gate == "reshape":
            return write("Reshape", *sources, self._sizes(node.shape))
        return self._taken(node, sources[0]) if gate == "take" else self._placed(node, *sources)

    def _taken(self, node: Node, x: str) -> str:
        """Rows and columns by their numbers."""
        of = self.gates.shape(node.inputs[0])
        places = [first + step * np.arange(count) for first, step, count in node.note[-len(of) :]]
        for axis, at in enumerate(places):
            if not np.array_equal(at, np.arange(of[axis])):
                x = self.onnx.node("Gather", x, self._sizes(at.tolist()), axis=axis)
        return x

    def _placed(self, node: Node, x: str, y: str) -> str:
        """x is spread to the shape of y, and taken where it has its places."""
        shape = rows_and_width(node.shape)
        places = [first + step * np.arange(count) for first, step, count in node.note]
        there = np.zeros(shape, np.bool_)
        there[np.ix_(*places)] = True
        for axis, (at, size) in enumerate(zip(places[-len(node.shape) :], node.shape, strict=True)):
            back = np.zeros(size, np.int64)
            back[at] = np.arange(len(at))
            x = self.onnx.node("Gather", x, self._sizes(back.tolist()), axis=axis)
        return self.onnx.node("Where", self.onnx.constant(there.reshape(node.shape)), x, y)
