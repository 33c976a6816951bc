"""Lowering: from the graph's nodes to op records over buffers.

`Lowering` walks the nodes once forwards and, where a plan goes backwards, once more in reverse, and appends an op for
each. It decides what shares a buffer and what a product does in its epilogue; it runs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fastbp.engine.compiler import kernel_address
from fastbp.engine.memory import Arena
from fastbp.engine.panels import Block
from fastbp.engine.plan import Words, double
from fastbp.kernels import layout as at
from fastbp.kernels.vector import LINE
from fastbp.model.graph import INPUT, Graph, Node
from fastbp.model.layers import Dropout, Identity, Layer, Linear, ReLU
from fastbp.model.registry import OPS


@dataclass(frozen=True)
class Buffer:
    """A panel matrix, and what is known of the magnitudes in it."""

    address: int
    stride: int
    width: int
    panels: int
    wrote: int = -1  # number of the op whose magnitude bounds it; -1: the user's data
    scale: float = 1.0  # times this


@dataclass(frozen=True)
class Value:
    """What a node puts out: its buffer, and whether a later op may overwrite that (no vjp reads it)."""

    buffer: Buffer
    free: bool = False


class Lowering:
    """Writes the op records of one plan."""

    def __init__(
        self,
        graph: Graph,
        parameters: Block,
        transposed: dict[int, int],
        rows: int,
        arena: Arena,
        *,
        dropping: bool = False,
    ) -> None:
        self.graph = graph
        self.parameters = parameters
        self.transposed = transposed
        self.real = parameters.dtype.name
        self.in_line = LINE // parameters.dtype.itemsize
        self.arena = arena
        self.rows = rows
        self.dropping = dropping
        self.ops: list[Words] = []
        self.layers: list[Words] = []

    # Buffers and records.

    def buffer(self, width: int) -> Buffer:
        """A new panel matrix; an odd number of lines a panel spreads panels over all of L1."""
        panels = -(-width // self.in_line)
        stride = (self.rows | 1) * LINE
        return Buffer(self.arena.take(panels * stride), stride, width, panels)

    def op(self, kernel: str, source: Buffer, target: Buffer, **words: int) -> int:
        """Append an op that reads `source` and writes `target`; return its number."""
        record = {
            at.KERNEL: kernel_address(kernel, self.real),
            at.NUMBER: len(self.ops),
            at.A: source.address,
            at.A_STRIDE: source.stride,
            at.WIDTH: source.width,
            at.C: target.address,
            at.C_STRIDE: target.stride,
            at.PANELS: target.panels,
        }
        record.update({getattr(at, name.upper()): value for name, value in words.items()})
        self.ops.append(record)
        return len(self.ops) - 1

    def gather(self, width: int) -> Buffer:
        """Bring rows of a user's array in; their address is set for each call."""
        out = self.buffer(width)
        user = Buffer(0, width * self.parameters.dtype.itemsize, width, out.panels)
        self.op("gather", user, out)
        return out

    def scatter(self, source: Buffer) -> None:
        """Bring rows out to a user's array."""
        stride = source.width * self.parameters.dtype.itemsize
        self.op("scatter", source, Buffer(0, stride, source.width, source.panels))

    def weight(self, node: Node) -> tuple[int, int]:
        slot = self.parameters.slots[f"{node.index}.weight"]
        return self.parameters.address + slot.offset, slot.stride

    def bias(self, node: Node) -> int:
        slot = self.parameters.slots.get(f"{node.index}.bias")
        return self.parameters.address + slot.offset if slot else 0

    # Forward.

    def does_nothing(self, layer: Layer) -> bool:
        """Whether a layer hands its input on as it is."""
        return isinstance(layer, Identity) or (isinstance(layer, Dropout) and not self.dropping)

    def forward(self, x: Buffer) -> list[Value]:
        """Ops of every node in order; returns what each puts out."""
        values: list[Value] = []
        for node in self.graph.nodes:
            source = Value(x) if node.sources[0] == INPUT else values[node.sources[0]]
            values.append(self.forward_node(node, source))
        return values

    def forward_node(self, node: Node, source: Value) -> Value:
        layer = node.layer
        if isinstance(layer, Linear):
            out = self.buffer(node.outputs)
            b, b_stride = self.weight(node)
            number = self.op("product", source.buffer, out, b=b, b_stride=b_stride, bias=self.bias(node))
            return Value(replace(out, wrote=number), free=True)
        if self.does_nothing(layer):
            return source
        if isinstance(layer, Dropout):
            out = self.buffer(node.outputs)
            self.dropout(node, source.buffer, out)
            scale = source.buffer.scale / (1.0 - layer.p)
            return Value(replace(out, wrote=source.buffer.wrote, scale=scale))
        last = self.ops[-1]
        if isinstance(layer, ReLU) and source.free and last[at.C] == source.buffer.address and at.B in last:
            last[at.EPILOGUE] = at.EPILOGUE_RELU
            return Value(source.buffer)
        out = source.buffer if source.free else self.buffer(node.outputs)
        out = replace(out, wrote=source.buffer.wrote, scale=source.buffer.scale)
        self.op(OPS[layer.kind].forward, source.buffer, out, elementwise=1)
        return Value(out)

    def dropout(self, node: Node, source: Buffer, target: Buffer) -> None:
        layer = node.layer
        assert isinstance(layer, Dropout)
        chance = min(round(layer.p * 2**32), 2**32 - 1)
        self.op(
            "dropout",
            source,
            target,
            chance=chance,
            scale=double(1.0 / (1.0 - layer.p)),
            node=node.index,
            elementwise=1,
        )

    # Backward.

    def backward(self, values: list[Value], x: Buffer, d: Buffer, *, to_input: bool) -> Buffer:
        """Ops that bring the cotangent `d` of the output back through every node, in reverse.

        Each layer's input and cotangent are noted for the weight sweep. With `to_input` the way ends at the network's
        input, otherwise at the first layer that has weights.
        """
        linear = [node.index for node in self.graph.nodes if isinstance(node.layer, Linear)]
        first = INPUT if to_input else (linear[0] if linear else len(self.graph.nodes))
        masked: set[int] = set()
        for node in reversed(self.graph.nodes):
            if node.index < first:
                break
            source = x if node.sources[0] == INPUT else values[node.sources[0]].buffer
            layer = node.layer
            if isinstance(layer, Linear):
                self.note_layer(node, source, d)
                if node.index == first:
                    break
                d = self.backward_linear(node, values, d, masked)
            elif node.index in masked or self.does_nothing(layer):
                continue  # the product before has done it, or there is nothing to do
            elif isinstance(layer, Dropout):
                self.dropout(node, d, d)
                d = replace(d, scale=d.scale / (1.0 - layer.p))
            else:
                y = values[node.index].buffer
                self.op(OPS[layer.kind].vjp, d, d, y=y.address, y_stride=y.stride, elementwise=1)
        self.layers.reverse()  # noted from the last to the first
        return d

    def backward_linear(self, node: Node, values: list[Value], d: Buffer, masked: set[int]) -> Buffer:
        """dx = dz Wᵀ; where x is what a relu put out, the relu's mask is the product's epilogue."""
        out = self.buffer(node.inputs)
        lines = -(-node.outputs // self.in_line) * self.in_line
        words = {"b": self.transposed[node.index], "b_stride": lines * LINE}
        origin = node.sources[0]
        while origin != INPUT and self.does_nothing(self.graph.nodes[origin].layer):
            origin = self.graph.nodes[origin].sources[0]
        if origin != INPUT and isinstance(self.graph.nodes[origin].layer, ReLU):
            masked.add(origin)
            y = values[origin].buffer
            words |= {"epilogue": at.EPILOGUE_RELU_VJP, "y": y.address, "y_stride": y.stride}
        number = self.op("product", d, out, **words)
        return replace(out, wrote=number)

    def note_layer(self, node: Node, x: Buffer, d: Buffer) -> None:
        slot = self.parameters.slots[f"{node.index}.weight"]
        bias = self.parameters.slots.get(f"{node.index}.bias")
        transposed = self.transposed.get(node.index, 0)
        self.layers.append(
            {
                at.LAYER_NODE: node.index,
                at.LAYER_X: x.address,
                at.LAYER_X_STRIDE: x.stride,
                at.LAYER_D: d.address,
                at.LAYER_D_STRIDE: d.stride,
                at.LAYER_INPUTS: node.inputs,
                at.LAYER_PANELS: slot.panels,
                at.LAYER_OFFSET: slot.offset,
                at.LAYER_STRIDE: slot.stride,
                at.LAYER_BIAS: bias.offset if bias else -1,
                at.LAYER_TRANSPOSED: transposed,
                at.LAYER_TRANSPOSED_STRIDE: slot.panels * self.in_line * LINE,
                at.LAYER_X_OP: x.wrote,
                at.LAYER_D_OP: d.wrote,
                at.LAYER_X_SCALE: double(x.scale * d.scale),
            }
        )

    # Forward mode.

    def tangents(self, x: Buffer, t: Buffer) -> Buffer:
        """Forward ops, each followed by the product of its Jacobian with the tangent of its input."""
        values: list[Value] = []
        for node in self.graph.nodes:
            source = Value(x) if node.sources[0] == INPUT else values[node.sources[0]]
            layer = node.layer
            values.append(self.forward_node(node, source))
            if isinstance(layer, Linear):
                out = self.buffer(node.outputs)
                b, b_stride = self.weight(node)
                self.op("product", t, out, b=b, b_stride=b_stride)
                t = out
            elif not self.does_nothing(layer):
                y = values[-1].buffer
                self.op(OPS[layer.kind].jvp, t, t, y=y.address, y_stride=y.stride)
        return t


def transposed_copies(graph: Graph, parameters: Block, arena: Arena, *, to_input: bool) -> dict[int, int]:
    """Room for the transposed weights of every layer whose input needs a cotangent: node -> address."""
    in_line = LINE // parameters.dtype.itemsize
    out: dict[int, int] = {}
    linear = [node for node in graph.nodes if isinstance(node.layer, Linear)]
    for node in linear if to_input else linear[1:]:
        panels = -(-node.inputs // in_line)
        lines = -(-node.outputs // in_line) * in_line
        out[node.index] = arena.take(panels * lines * LINE)
    return out
