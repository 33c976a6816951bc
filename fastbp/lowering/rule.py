"""A Rule turns one kind of layer into op records. The base class is the identity: its output is its input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastbp.lowering.buffers import Buffer, Records, Value
from fastbp.spec.graph import Node


@dataclass
class Use:
    """A node during lowering.

    Attributes
    ----------
    sources : outputs of the nodes it reads
    value : its own output, after its forward ops are written
    wanted : which sources need a cotangent
    mask : output of the preceding ReLU if its derivative is still to be applied (the product's epilogue will do it)
    inner : what a rule of several steps keeps for the way back
    through : the cotangent that came through them as their parameters were noted, and whether one has
    """

    node: Node
    sources: tuple[Value, ...]
    value: Value = field(default=None)  # type: ignore[assignment]
    wanted: tuple[bool, ...] = ()
    mask: Value | None = None
    inner: Any = None
    through: tuple[Any, bool] = (None, False)

    @property
    def layer(self) -> Any:
        return self.node.layer

    @property
    def x(self) -> Buffer:
        """The output of the first source."""
        return self.sources[0].buffer

    @property
    def saved(self) -> Buffer:
        """What the forward ops saved for the backward pass."""
        return self.value.saved or self.value.buffer


class Rule:
    """The identity; subclasses override its methods.

    Attributes
    ----------
    multiplies : bool
        Whether its way back is one product, with a transposed copy of its weights: a relu's mask may be its epilogue.
    """

    multiplies = False

    def does_nothing(self, lo: Records, layer: Any) -> bool:
        return type(self) is Rule

    def needs_transposed(self, lo: Records, node: Node, wanted: bool) -> bool:
        """Whether it reads a transposed copy of its weights; `wanted`: the cotangent of its source is."""
        return self.multiplies and wanted

    def forward(self, lo: Records, use: Use) -> Value:
        """Ops from the sources' outputs to this node's output."""
        return use.sources[0]

    def note(self, lo: Records, use: Use, d: Buffer) -> None:
        """Record the parameters for the weight sweep, which reads the layer's input and d."""

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        """Ops from the cotangent of the output to that of the source."""
        return d

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        """Ops from the tangent of the source to that of the output."""
        return t

    def backward_all(self, lo: Records, use: Use, d: Buffer) -> list[Buffer | None]:
        """The cotangent of every wanted source."""
        return [self.backward(lo, use, d)]

    def tangent_all(self, lo: Records, use: Use, ts: list[Buffer]) -> Buffer:
        """The tangent of the output from those of all sources."""
        return self.tangent(lo, use, ts[0])
