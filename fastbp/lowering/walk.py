"""Lowering: from the graph's nodes to op records over buffers.

`Lowering` walks the nodes forwards and, for plans with a backward pass, in reverse; the rule of each layer (`rules.py`)
appends its ops. In reverse, a node's cotangent is the sum over its readers. Nothing runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastbp.engine import ops
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import Op
from fastbp.kernels.records import Learned, Trained
from fastbp.lowering.buffers import Buffer, Records, Value
from fastbp.lowering.gate_rules import added
from fastbp.lowering.rule import Use
from fastbp.lowering.rules import rule_of
from fastbp.spec.graph import INPUT, Graph, Node


def computing(graph: Graph) -> tuple[Node, ...]:
    """The nodes without the one that joins several outputs."""
    return graph.nodes if len(graph.heads) == 1 else graph.nodes[:-1]


class Lowering(Records):
    """Writes the op records of one plan, node by node.

    Attributes
    ----------
    turn : int
        When ops that are written now take their turn among those of members, see `by_members`.
    """

    turn = 0

    def __init__(self, *given: Any, **words: Any) -> None:
        super().__init__(*given, **words)
        self._turns: list[int] = []

    def op(self, kernel: str, source: ops.Buffer, target: ops.Buffer, op: Op) -> int:
        self._turns.append(self.turn)
        return super().op(kernel, source, target, op)

    def by_members(self) -> None:
        """Let a member go through its ops, there and back, before the next begins: its rows stay in cache."""
        self.ops = [op for _, op in sorted(zip(self._turns, self.ops, strict=True), key=lambda pair: pair[0])]

    def _back(self, node: Node | None) -> int:
        """The turn of ops on the way back from a node: its member's, or behind all members."""
        return 1 + node.member if node is not None and node.members > 1 else len(self.graph.nodes)

    def forward(self, x: Buffer, *, joined: bool = True) -> list[Use]:
        """Ops of every node in order; returns their outputs. Without `joined`, several outputs stay separate."""
        uses: list[Use] = []
        readers = self.graph.readers()
        for node in self.graph.nodes if joined else computing(self.graph):
            uses.append(self._forward(node, x, uses, readers))
        return uses

    def _forward(self, node: Node, x: Buffer, uses: list[Use], readers: list[int]) -> Use:
        self.turn = 1 + node.member if node.members > 1 else 0
        use = Use(node, tuple(Value(x) if s == INPUT else uses[s].value for s in node.sources))
        value = rule_of(node.layer).forward(self, use)
        use.value = replace(value, alone=value.alone and readers[node.index] < 2)
        return use

    def backward(self, uses: list[Use], seeds: dict[int, Buffer], *, to_input: bool) -> Buffer | None:
        """Ops of the backward pass from the cotangents of some nodes.

        Each layer's input and cotangent are recorded for the weight sweep. With `to_input` the pass ends at the
        network's input, whose cotangent is returned, otherwise at the first trained layers.
        """
        wanted, readers = self.wanted(to_input), self.graph.readers()
        found = dict(seeds)
        for use in reversed(uses):
            node, rule = use.node, rule_of(use.layer)
            d = found.pop(node.index, None)
            if d is None or not wanted[node.index]:
                continue
            self.turn = self._back(node)
            use.wanted = tuple(wanted[source] for source in node.sources)
            if self.is_trained(node):
                rule.note(self, use, d)
            if not any(use.wanted):
                continue
            if rule.multiplies:
                use.mask = self._mask(use, uses, readers)
            for source, part in zip(node.sources, rule.backward_all(self, use, d), strict=True):
                if part is not None and wanted[source]:
                    self.turn = self._back(None if source == INPUT else self.graph.nodes[source])
                    found[source] = added(self, found[source], part) if source in found else part
        self.in_order()
        return found.get(INPUT)

    def wanted(self, to_input: bool) -> dict[int, bool]:
        """Which cotangents are used: those of trained nodes, and of nodes that depend on one."""
        out = {INPUT: to_input}
        for node in self.graph.nodes:
            out[node.index] = self.is_trained(node) or any(out[source] for source in node.sources)
        return out

    def _mask(self, use: Use, uses: list[Use], readers: list[int]) -> Value | None:
        """The output of a relu before this product, if not read elsewhere: its mask becomes the product's epilogue."""
        origin = use.node.sources[0]
        while origin != INPUT and readers[origin] == 1:
            layer = uses[origin].layer
            if layer.kind == "relu":
                self.masked.add(origin)
                return uses[origin].value
            if not rule_of(layer).does_nothing(self, layer):
                return None
            origin = uses[origin].node.sources[0]
        return None

    def tangents(self, x: Buffer, t: Buffer) -> Buffer:
        """Forward ops, each followed by its jvp."""
        uses: list[Use] = []
        readers = self.graph.readers()
        found = {INPUT: t}
        for node in self.graph.nodes:
            uses.append(self._forward(node, x, uses, readers))
            ts = [found[source] for source in node.sources]
            found[node.index] = rule_of(node.layer).tangent_all(self, uses[-1], ts)
        return found[len(self.graph.nodes) - 1]

    def transpose(self, *, to_input: bool) -> None:
        """Allocate transposed weights for every matrix whose input needs a cotangent."""
        wanted = self.wanted(to_input)
        for node in self.graph.nodes:
            if wanted[node.index]:
                self._transpose_stacks(node)
            needed = rule_of(node.layer).needs_transposed(self, node, wanted[node.sources[0]])
            if needed and "weight" not in node.layer.own and node.home not in self.transposed:
                panels = -(-node.inputs // self.in_line)
                lines = -(-node.outputs // self.in_line) * self.in_line
                place = self.arena.take(panels * lines * LINE)
                slot = self.parameters.slots[node.parameter("weight")]
                self.transposed[node.home] = place
                self.names[place] = f"{node.parameter('weight')}ᵀ"
                weight = Learned(offset=slot.offset, stride=slot.stride)
                layer = Trained(node=node.index, inputs=node.inputs, panels=slot.panels, weight=weight)
                layer.transposed = self.transposed_of(node)
                self.transposes.append(layer)

    def _transpose_stacks(self, node: Node) -> None:
        """The same for a layer's stacks of matrices."""
        for part in node.layer.draws(node.inputs):
            name = node.parameter(part)
            slot = self.parameters.slots[name]
            if len(slot.shape) != 3 or name in self.transposed:
                continue
            panels, lines = slot.lines // self.in_line, slot.panels * self.in_line
            self.transposed[name] = self.arena.take(slot.count * panels * lines * LINE)
            for i, matrix in enumerate(self.transposed_stack(node, part)):
                weight = Learned(offset=slot.offset + i * slot.each, stride=slot.stride)
                layer = Trained(node=node.index, inputs=slot.rows, panels=slot.panels, weight=weight)
                layer.transposed = matrix
                self.names[matrix.start] = f"{name}[{i}]ᵀ"
                self.transposes.append(layer)
