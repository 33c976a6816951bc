"""How each kind of layer becomes ops: forward, the cotangent's way back, the tangent's way forward, and what the weight
sweep has to know. Which kernels an op has stands in the registry.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

from fastbp.engine.plan import Table, double
from fastbp.kernels import layout as at
from fastbp.kernels.vector import LINE
from fastbp.model.graph import INPUT, Node
from fastbp.model.layers import Layer
from fastbp.model.norm_rules import BatchNormRule, RowNormRule, SoftmaxRule
from fastbp.model.records import Buffer, Records, Value
from fastbp.model.registry import OPS
from fastbp.model.rule import Rule, target_for


class LinearRule(Rule):
    def forward(self, lo: Records, node: Node, source: Value) -> Value:
        x = self._scaled(lo, node, source.buffer) if node.layer.ntk else source.buffer  # type: ignore[attr-defined]
        out = lo.buffer(node.outputs)
        slot = lo.parameters.slots[f"{node.index}.weight"]
        number = lo.op("product", x, out, b=lo.place(node, "weight"), b_stride=slot.stride, bias=lo.place(node, "bias"))
        return Value(replace(out, wrote=number), free=True, saved=x)

    def _scaled(self, lo: Records, node: Node, x: Buffer) -> Buffer:
        """x / √I, of the NTK parametrisation."""
        out = lo.buffer(node.inputs)
        lo.op("multiply_forward", x, out, setting_1=double(1.0 / sqrt(node.inputs)), elementwise=1)
        return replace(out, wrote=x.wrote, scale=x.scale, offset=x.offset)

    def note(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer) -> None:
        x = value.saved or source.buffer
        transposed = lo.transposed.get(node.index, 0)
        slot = lo.parameters.slots[f"{node.index}.weight"]
        words = {"transposed": transposed, "transposed_stride": slot.panels * lo.in_line * LINE}
        if lo.treatment[f"{node.index}.weight"] is None:
            lo.record(node, "columns", x, d, ("weight", "bias"), value.buffer)
        else:
            lo.record(node, "weights", x, d, ("weight", "bias"), value.buffer, **words)

    def backward(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer, values: list[Value]) -> Buffer:
        """dx = dz Wᵀ; where x is what a relu put out, the relu's mask is the product's epilogue."""
        out = lo.buffer(node.inputs)
        lines = -(-node.outputs // lo.in_line) * lo.in_line
        words = {"b": lo.transposed[node.index], "b_stride": lines * LINE}
        origin = node.sources[0]
        while origin != INPUT and rule_of(lo.graph.nodes[origin].layer).does_nothing(lo, lo.graph.nodes[origin].layer):
            origin = lo.graph.nodes[origin].sources[0]
        if origin != INPUT and lo.graph.nodes[origin].layer.kind == "relu":
            lo.masked.add(origin)
            y = values[origin].buffer
            words |= {"epilogue": at.EPILOGUE_RELU_VJP, "y": y.address, "y_stride": y.stride}
        number = lo.op("product", d, out, **words)
        if node.layer.ntk:  # type: ignore[attr-defined]
            lo.op("multiply_forward", out, out, setting_1=double(1.0 / sqrt(node.inputs)), elementwise=1)
        return replace(out, wrote=number)

    def tangent(self, lo: Records, node: Node, source: Value, value: Value, t: Buffer) -> Buffer:
        if node.layer.ntk:  # type: ignore[attr-defined]
            t = self._scaled(lo, node, t)
        out = lo.buffer(node.outputs)
        slot = lo.parameters.slots[f"{node.index}.weight"]
        lo.op("product", t, out, b=lo.place(node, "weight"), b_stride=slot.stride)
        return out


class ElementwiseRule(Rule):
    def _words(self, layer: Any) -> dict[str, int]:
        first, second = layer.constants()
        return {"setting_1": double(first), "setting_2": double(second), "elementwise": 1}

    def forward(self, lo: Records, node: Node, source: Value) -> Value:
        layer: Any = node.layer
        last = lo.ops[-1]
        x = source.buffer
        if layer.kind == "relu" and source.free and last[at.C] == x.address and at.B in last:
            last[at.EPILOGUE] = at.EPILOGUE_RELU
            return Value(x)
        op = OPS[layer.op]
        over = source.free and not (lo.keeping and op.saves == "input")
        out = x if over else lo.buffer(node.outputs)
        lo.op(op.forward, x, out, **self._words(layer))
        offset = layer.growth * x.offset + layer.offset
        out = replace(out, wrote=x.wrote, scale=x.scale * layer.growth, offset=offset)
        return Value(out, saved=x if op.saves == "input" else out)

    def backward(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer, values: list[Value]) -> Buffer:
        layer: Any = node.layer
        if node.index not in lo.masked:
            saved = value.saved or value.buffer
            lo.op(OPS[layer.op].vjp, d, d, y=saved.address, y_stride=saved.stride, **self._words(layer))
        return replace(d, scale=d.scale * layer.slope)

    def tangent(self, lo: Records, node: Node, source: Value, value: Value, t: Buffer) -> Buffer:
        saved = value.saved or value.buffer
        lo.op(OPS[node.layer.op].jvp, t, t, y=saved.address, y_stride=saved.stride, **self._words(node.layer))
        return t


class DropoutRule(Rule):
    def does_nothing(self, lo: Records, layer: Any) -> bool:
        return not lo.training

    def _drop(self, lo: Records, node: Node, source: Buffer, target: Buffer) -> Buffer:
        p = node.layer.p  # type: ignore[attr-defined]
        lo.op(
            "dropout",
            source,
            target,
            chance=min(round(p * 2**32), 2**32 - 1),
            scale=double(1.0 / (1.0 - p)),
            node=node.index,
            elementwise=1,
        )
        part = 1.0 / (1.0 - p)
        return replace(target, wrote=source.wrote, scale=source.scale * part, offset=source.offset * part)

    def forward(self, lo: Records, node: Node, source: Value) -> Value:
        if not lo.training:
            return source
        return Value(self._drop(lo, node, source.buffer, lo.buffer(node.outputs)))

    def backward(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer, values: list[Value]) -> Buffer:
        return self._drop(lo, node, d, d) if lo.training else d


class ScaleRule(Rule):
    def forward(self, lo: Records, node: Node, source: Value) -> Value:
        out = target_for(lo, node, source)
        number = lo.op("scale", source.buffer, out, gain=lo.place(node, "weight"))
        return Value(replace(out, wrote=number, scale=1.0, offset=1.0), saved=source.buffer)

    def note(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer) -> None:
        lo.record(node, "columns", source.buffer, d, ("weight", ""), value.buffer)

    def backward(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer, values: list[Value]) -> Buffer:
        return self.tangent(lo, node, source, value, d)

    def tangent(self, lo: Records, node: Node, source: Value, value: Value, t: Buffer) -> Buffer:
        out = lo.buffer(node.outputs)
        number = lo.op("scale", t, out, gain=lo.place(node, "weight"))
        return replace(out, wrote=number)


class PReLURule(Rule):
    def _bend(self, lo: Records, node: Node, x: Buffer, a: Buffer, out: Buffer) -> Buffer:
        shared = int(not node.layer.per_feature)  # type: ignore[attr-defined]
        words = {"gain": lo.place(node, "weight"), "shared": shared, "y": x.address, "y_stride": x.stride}
        return replace(out, wrote=lo.op("prelu", a, out, **words), scale=1.0, offset=1.0)

    def forward(self, lo: Records, node: Node, source: Value) -> Value:
        x = source.buffer
        return Value(self._bend(lo, node, x, x, target_for(lo, node, source)))

    def note(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer) -> None:
        shared = int(not node.layer.per_feature)  # type: ignore[attr-defined]
        lo.record(node, "prelu_columns", source.buffer, d, ("weight", ""), value.buffer, shared=shared)

    def backward(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer, values: list[Value]) -> Buffer:
        return self.tangent(lo, node, source, value, d)

    def tangent(self, lo: Records, node: Node, source: Value, value: Value, t: Buffer) -> Buffer:
        return self._bend(lo, node, source.buffer, t, lo.buffer(node.outputs))


class EmbeddingRule(Rule):
    def _columns(self, lo: Records, node: Node) -> tuple[int, int]:
        """Address and number of the records that say where each column goes."""
        layer: Any = node.layer
        plain = [c for c in range(node.inputs) if c not in layer.columns]
        table = Table(lo.arena, node.inputs, at.COLUMN_WORDS)
        for to, column in enumerate(plain):
            table.records[to, at.COLUMN_FROM], table.records[to, at.COLUMN_TO] = column, to
        to = len(plain)
        for number, (column, (count, width)) in enumerate(layer.columns.items(), len(plain)):
            slot = lo.parameters.slots[f"{node.index}.column{column}"]
            words = column, to, lo.parameters.address + slot.offset, slot.stride, count, width
            table.records[number, : len(words)] = words
            to += width
        return table.address, node.inputs

    def forward(self, lo: Records, node: Node, source: Value) -> Value:
        out = lo.buffer(node.outputs)
        address, count = self._columns(lo, node)
        number = lo.op("embedding_forward", source.buffer, out, tables=address, table_count=count)
        return Value(replace(out, wrote=number), places={"tables": address})

    def note(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer) -> None:
        layer: Any = node.layer
        first = node.inputs - len(layer.columns)
        for column, (count, width) in layer.columns.items():
            part = f"column{column}"
            slot = lo.parameters.slots[f"{node.index}.{part}"]
            lists = []
            for _ in range(2):
                rows = Table(lo.arena, 1, at.LIST_WORDS)
                rows.records[0, at.LIST_STAMPS] = lo.arena.take(count * at.WORD)
                rows.records[0, at.LIST_ROWS] = lo.arena.take(count * at.WORD)
                lists.append(rows.address)
            known = replace(source.buffer, wrote=-1, scale=0.0, offset=1.0)
            if lo.treatment[f"{node.index}.{part}"] is not None:
                words = {"column": column, "first": first, "width": width, "sums": lo.arena.take(slot.bytes)}
                words |= {"batch_list": lists[0], "step_list": lists[1], "panels": slot.panels}
                lo.record(node, "embedding_rows", known, d, (part, ""), value.buffer, **words)
            first += width

    def _passed(self, lo: Records, node: Node, value: Value, a: Buffer, width: int, kernel: str) -> Buffer:
        out = lo.buffer(width)
        lo.op(kernel, a, out, tables=value.places["tables"], table_count=node.inputs)
        return replace(out, wrote=a.wrote, scale=a.scale, offset=a.offset)

    def backward(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer, values: list[Value]) -> Buffer:
        return self._passed(lo, node, value, d, node.inputs, "embedding_vjp")

    def tangent(self, lo: Records, node: Node, source: Value, value: Value, t: Buffer) -> Buffer:
        return self._passed(lo, node, value, t, node.outputs, "embedding_jvp")


RULES: dict[str, Rule] = {
    "linear": LinearRule(),
    "identity": Rule(),
    "elementwise": ElementwiseRule(),
    "noise": DropoutRule(),
    "scale": ScaleRule(),
    "prelu": PReLURule(),
    "row_norm": RowNormRule(),
    "batch_norm": BatchNormRule(),
    "softmax": SoftmaxRule(),
    "embedding": EmbeddingRule(),
}


def rule_of(layer: Layer) -> Rule:
    """The rule of a layer, by the family of its op."""
    return RULES[OPS[layer.op].family]
