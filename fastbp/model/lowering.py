"""Lowering: from the graph's nodes to op records over buffers.

`Lowering` walks the nodes once forwards and, where a plan goes backwards, once more in reverse; for each it asks the
layer's rule (`rules.py`) for ops. It runs nothing.
"""

from __future__ import annotations

from fastbp.kernels import layout as at
from fastbp.kernels.vector import LINE
from fastbp.model.graph import INPUT, Node
from fastbp.model.records import Buffer, Records, Value
from fastbp.model.rules import rule_of


class Lowering(Records):
    """Writes the op records of one plan, node by node."""

    def source_of(self, node: Node, x: Buffer, values: list[Value]) -> Value:
        return Value(x) if node.sources[0] == INPUT else values[node.sources[0]]

    def forward(self, x: Buffer) -> list[Value]:
        """Ops of every node in order; returns what each puts out."""
        values: list[Value] = []
        for node in self.graph.nodes:
            values.append(rule_of(node.layer).forward(self, node, self.source_of(node, x, values)))
        return values

    def backward(self, values: list[Value], x: Buffer, d: Buffer, *, to_input: bool) -> Buffer:
        """Ops that bring the cotangent `d` of the output back through every node, in reverse.

        Each layer's input and cotangent are noted for the weight sweep. With `to_input` the way ends at the network's
        input, otherwise at the first layer that is trained.
        """
        trained = [node.index for node in self.graph.nodes if self.is_trained(node)]
        first = INPUT if to_input else (trained[0] if trained else len(self.graph.nodes))
        for node in reversed(self.graph.nodes):
            if node.index < first:
                break
            rule = rule_of(node.layer)
            source, value = self.source_of(node, x, values), values[node.index]
            if node.index in trained:
                rule.note(self, node, source, value, d)
            if node.index != first:
                d = rule.backward(self, node, source, value, d, values)
        self.layers.reverse()  # noted from the last to the first
        self.reducers.reverse()
        return d

    def tangents(self, x: Buffer, t: Buffer) -> Buffer:
        """Forward ops, each followed by the product of its Jacobian with the tangent of its input."""
        values: list[Value] = []
        for node in self.graph.nodes:
            rule = rule_of(node.layer)
            source = self.source_of(node, x, values)
            values.append(rule.forward(self, node, source))
            t = rule.tangent(self, node, source, values[-1], t)
        return t

    def transpose(self, *, to_input: bool) -> None:
        """Make room for the transposed weights of every matrix whose input needs a cotangent."""
        trained = [node.index for node in self.graph.nodes if self.is_trained(node)]
        first = INPUT if to_input else (trained[0] if trained else len(self.graph.nodes))
        for node in self.graph.nodes:
            if node.layer.kind == "linear" and node.index > first:
                panels = -(-node.inputs // self.in_line)
                lines = -(-node.outputs // self.in_line) * self.in_line
                place = self.arena.take(panels * lines * LINE)
                slot = self.parameters.slots[f"{node.index}.weight"]
                self.transposed[node.index] = place
                self.transposes.append(
                    {
                        at.LAYER_INPUTS: node.inputs,
                        at.LAYER_PANELS: slot.panels,
                        at.LAYER_OFFSET: slot.offset,
                        at.LAYER_STRIDE: slot.stride,
                        at.LAYER_TRANSPOSED: place,
                        at.LAYER_TRANSPOSED_STRIDE: slot.panels * self.in_line * LINE,
                    }
                )
