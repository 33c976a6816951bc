"""What a layer has to say to become ops; without saying anything it hands its input on."""

from __future__ import annotations

from typing import Any

from fastbp.model.graph import Node
from fastbp.model.records import Buffer, Records, Value


class Rule:
    """A layer that hands its input on as it is; the others override what they do otherwise."""

    def does_nothing(self, lo: Records, layer: Any) -> bool:
        return type(self) is Rule

    def forward(self, lo: Records, node: Node, source: Value) -> Value:
        """Ops from what the source put out to what this node does."""
        return source

    def note(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer) -> None:
        """Note the parameters for the weight sweep, which will read d: from here on nobody may write it."""

    def backward(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer, values: list[Value]) -> Buffer:
        """Ops from the cotangent of the output to that of the input."""
        return d

    def tangent(self, lo: Records, node: Node, source: Value, value: Value, t: Buffer) -> Buffer:
        """Ops from the tangent of the input to that of the output."""
        return t


def target_for(lo: Records, node: Node, source: Value) -> Buffer:
    """Where an op that reads its input once may write: over it, where nobody needs that any more."""
    return source.buffer if source.free and not lo.keeping else lo.buffer(node.outputs)
