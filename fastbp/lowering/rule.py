"""What a layer has to say to become ops; without saying anything it hands its input on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastbp.lowering.buffers import Buffer, Records, Value
from fastbp.spec.graph import Node


@dataclass
class Use:
    """A node while it is lowered.

    Attributes
    ----------
    sources : what the nodes it reads put out
    value : what it puts out itself, once its forward ops are there
    wanted : which sources want their cotangent
    mask : what a relu before it put out, whose slope nobody has applied yet
    """

    node: Node
    sources: tuple[Value, ...]
    value: Value = field(default=None)  # type: ignore[assignment]
    wanted: tuple[bool, ...] = ()
    mask: Value | None = None

    @property
    def layer(self) -> Any:
        return self.node.layer

    @property
    def x(self) -> Buffer:
        """What the first source put out."""
        return self.sources[0].buffer

    @property
    def saved(self) -> Buffer:
        """What the forward ops kept for the way back."""
        return self.value.saved or self.value.buffer


class Rule:
    """A layer that hands its input on as it is; the others override what they do otherwise."""

    def does_nothing(self, lo: Records, layer: Any) -> bool:
        return type(self) is Rule

    def forward(self, lo: Records, use: Use) -> Value:
        """Ops from what the sources put out to what this node does."""
        return use.sources[0]

    def note(self, lo: Records, use: Use, d: Buffer) -> None:
        """Note the parameters for the weight sweep, which will read d: from here on nobody may write it."""

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        """Ops from the cotangent of the output to that of the source."""
        return d

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        """Ops from the tangent of the source to that of the output."""
        return t

    def backward_all(self, lo: Records, use: Use, d: Buffer) -> list[Buffer | None]:
        """The cotangent of every source that is wanted."""
        return [self.backward(lo, use, d)]

    def tangent_all(self, lo: Records, use: Use, ts: list[Buffer]) -> Buffer:
        """The tangent of the output from those of all sources."""
        return self.tangent(lo, use, ts[0])


def target_for(lo: Records, use: Use) -> Buffer:
    """Where an op that reads its input once may write: over it, where nobody needs that any more."""
    return use.x if use.sources[0].free and not lo.keeping else lo.buffer(use.node.outputs)
