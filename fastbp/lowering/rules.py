"""Rules of layers: forward, backward and tangent ops, and records for the weight sweep. The registry names kernels."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np

from fastbp.engine.plan import Table
from fastbp.kernels.fields import WORD
from fastbp.kernels.ops import (
    EPILOGUE_RELU,
    EPILOGUE_RELU_VJP,
    BinsOp,
    CodedOp,
    DropoutOp,
    ElementwiseOp,
    EmbeddingOp,
    GainedOp,
    ProductOp,
)
from fastbp.kernels.records import Column, RowList, Trained, TrainedCodes, TrainedTable
from fastbp.lowering.buffers import Buffer, Records, Value
from fastbp.lowering.column_rules import (
    ColumnsRule,
    bins_op,
    cosine,
    pbld,
    periodic,
    piecewise_linear_embedding,
)
from fastbp.lowering.gate_rules import (
    AffineRule,
    ConcatRule,
    PairRule,
    ReciprocalRule,
    RepeatRule,
    SliceRule,
    SumRule,
    pair,
)
from fastbp.lowering.member_rules import AdaptedLinearRule, MembersRule
from fastbp.lowering.norm_rules import BatchNormRule, RowNormRule, SoftmaxRule
from fastbp.lowering.registry import OPS
from fastbp.lowering.rule import Rule, Use
from fastbp.spec.coded import columns_of
from fastbp.spec.formulas import activation_kernels
from fastbp.spec.graph import INPUT, Node
from fastbp.spec.layers import Layer


class LinearRule(Rule):
    multiplies = True

    def forward(self, lo: Records, use: Use) -> Value:
        node = use.node
        if self._is_coded(lo, node):
            columns = Table.of(lo.arena, Column, columns_of(lo.counts)).address
            weight, bias = lo.matrix(node, "weight"), lo.place(node, "bias")
            product = CodedOp(b=weight, bias=bias, tables=columns, count=len(lo.counts))
            return Value(lo.made("coded_product", use.x, node.outputs, product), places={"tables": columns})
        x = self._scaled(lo, node, use.x) if self._is_ntk(node) else use.x
        dense = ProductOp(b=lo.matrix(node, "weight"), bias=lo.place(node, "bias"))
        return Value(lo.made("product", x, node.outputs, dense), saved=x)

    @staticmethod
    def _is_ntk(node: Node) -> bool:
        return bool(getattr(node.layer, "ntk", False))

    @staticmethod
    def _is_coded(lo: Records, node: Node) -> bool:
        """Whether it multiplies rows with codes."""
        return bool(lo.counts) and node.sources == (INPUT,)

    def _scaled(self, lo: Records, node: Node, x: Buffer) -> Buffer:
        """x / √I, for the NTK parametrisation."""
        out = lo.made("multiply_forward", x, node.inputs, ElementwiseOp(setting_1=1.0 / sqrt(node.inputs)))
        return replace(out, wrote=x.wrote, scale=x.scale, offset=x.offset)

    def note(self, lo: Records, use: Use, d: Buffer) -> None:
        x = use.value.saved or use.x
        if lo.treatment[use.node.parameter("weight")] is None:
            lo.record(use.node, "columns", x, d, ("weight", "bias"), use.value.buffer)
        elif self._is_coded(lo, use.node):
            codes = TrainedCodes(tables=use.value.places["tables"], count=len(lo.counts))
            lo.record(use.node, "coded_weights", x, d, ("weight", "bias"), use.value.buffer, codes)
        else:
            layer = Trained(transposed=lo.transposed_of(use.node))
            lo.record(use.node, "weights", x, d, ("weight", "bias"), use.value.buffer, layer)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        """dx = dz Wᵀ; if x is a relu's output, the relu's mask is the product's epilogue."""
        product = ProductOp(b=lo.transposed_of(use.node))
        if use.mask is not None:
            product.epilogue, product.y = EPILOGUE_RELU_VJP, use.mask.buffer
        out = lo.made("product", d, use.node.inputs, product)
        if self._is_ntk(use.node):
            lo.op("multiply_forward", out, out, ElementwiseOp(setting_1=1.0 / sqrt(use.node.inputs)))
        return out

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        if self._is_ntk(use.node):
            t = self._scaled(lo, use.node, t)
        return lo.made("product", t, use.node.outputs, ProductOp(b=lo.matrix(use.node, "weight")))


class ElementwiseRule(Rule):
    def _op(self, layer: Any, **words: Any) -> ElementwiseOp:
        first, second = layer.constants()
        return ElementwiseOp(setting_1=first, setting_2=second, **words)

    def forward(self, lo: Records, use: Use) -> Value:
        layer: Any = use.layer
        last = lo.ops[-1]
        x = use.x
        if layer.kind == "relu" and use.sources[0].alone and isinstance(last, ProductOp) and last.c.start == x.address:
            last.epilogue = EPILOGUE_RELU
            return Value(x)
        op = OPS[layer.op]
        out = lo.made(op.forward, x, use.node.outputs, self._op(layer))
        offset = layer.growth * x.offset + layer.offset
        out = replace(out, wrote=x.wrote, scale=x.scale * layer.growth, offset=offset)
        return Value(out, saved=x if op.saves == "input" else out)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        if use.node.index in lo.masked:
            return replace(d, scale=d.scale * use.layer.slope)
        return self._sloped(lo, use, d, OPS[use.layer.op].vjp)

    def _sloped(self, lo: Records, use: Use, d: Buffer, kernel: str) -> Buffer:
        """d times the derivative."""
        out = lo.made(kernel, d, d.width, self._op(use.layer, y=use.saved))
        return replace(out, wrote=d.wrote, scale=d.scale * use.layer.slope, offset=d.offset)

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return self._sloped(lo, use, t, OPS[use.layer.op].jvp)


class CustomRule(Rule):
    """A custom activation, whose kernels are made on first use."""

    def forward(self, lo: Records, use: Use) -> Value:
        alone, with_slope = activation_kernels(use.layer.formula)
        if not lo.keeping:
            return Value(lo.made(f"branch_{alone}", use.x, use.node.outputs, ElementwiseOp()))
        slope = lo.buffer(use.node.outputs)
        return Value(lo.made(f"branch_{with_slope}", use.x, use.node.outputs, ElementwiseOp(y=slope)), saved=slope)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return pair(lo, "product", d, use.saved)

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return self.backward(lo, use, t)


class DropoutRule(Rule):
    def does_nothing(self, lo: Records, layer: Any) -> bool:
        return not lo.training

    def _drop(self, lo: Records, node: Node, source: Buffer) -> Buffer:
        p = node.layer.p  # type: ignore[attr-defined]
        chance = min(round(p * 2**32), 2**32 - 1)
        part = 1.0 / (1.0 - p)
        out = lo.made("dropout", source, source.width, DropoutOp(chance=chance, scale=part, p=p, node=node.index))
        return replace(out, wrote=source.wrote, scale=source.scale * part, offset=source.offset * part)

    def forward(self, lo: Records, use: Use) -> Value:
        if not lo.training:
            return use.sources[0]
        return Value(self._drop(lo, use.node, use.x))

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return self._drop(lo, use.node, d) if lo.training else d


class ScaleRule(Rule):
    def forward(self, lo: Records, use: Use) -> Value:
        return Value(self.tangent(lo, use, use.x), saved=use.x)

    def note(self, lo: Records, use: Use, d: Buffer) -> None:
        lo.record(use.node, "columns", use.x, d, ("weight", ""), use.value.buffer)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return self.tangent(lo, use, d)

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return lo.made("scale", t, use.node.outputs, GainedOp(gain=lo.place(use.node, "weight")))


class PReLURule(Rule):
    def _bend(self, lo: Records, node: Node, x: Buffer, a: Buffer) -> Buffer:
        shared = int(not node.layer.per_feature)  # type: ignore[attr-defined]
        op = GainedOp(gain=lo.place(node, "weight"), shared=shared, y=x)
        return lo.made("prelu", a, node.outputs, op)

    def forward(self, lo: Records, use: Use) -> Value:
        return Value(self._bend(lo, use.node, use.x, use.x))

    def note(self, lo: Records, use: Use, d: Buffer) -> None:
        shared = int(not use.layer.per_feature)
        if shared:  # its gradient is the sum over all columns
            d = replace(d, scale=d.scale * use.node.outputs)
        lo.record(use.node, "prelu_columns", use.x, d, ("weight", ""), use.value.buffer, Trained(shared=shared))

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return self.tangent(lo, use, d)

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return self._bend(lo, use.node, use.x, t)


class ParametricRule(Rule):
    """x and what an activation makes of it, mixed column by column."""

    def _mixed(self, lo: Records, use: Use, a: Buffer, f: Buffer) -> Buffer:
        return lo.made("parametric", a, a.width, GainedOp(gain=lo.place(use.node, "weight"), y=f))

    def forward(self, lo: Records, use: Use) -> Value:
        # The activation's input is read again, so it takes no other's place.
        use.inner = Use(replace(use.node, layer=use.layer.activation), (replace(use.sources[0], alone=False),))
        use.inner.value = rule_of(use.inner.layer).forward(lo, use.inner)
        made = use.inner.value.buffer
        apart = pair(lo, "subtract", made, use.x) if lo.keeping else None
        return Value(self._mixed(lo, use, use.x, made), saved=apart)

    def note(self, lo: Records, use: Use, d: Buffer) -> None:
        lo.record(use.node, "columns", use.saved, d, ("weight", ""), use.value.buffer)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return self._mixed(lo, use, d, rule_of(use.inner.layer).backward(lo, use.inner, d))

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return self._mixed(lo, use, t, rule_of(use.inner.layer).tangent(lo, use.inner, t))


class EmbeddingRule(Rule):
    def _columns(self, lo: Records, node: Node) -> tuple[int, int]:
        """Address and number of the `Column` records."""
        layer: Any = node.layer
        plain = [c for c in range(node.inputs) if c not in layer.columns]
        found = [Column(source=column, target=to) for to, column in enumerate(plain)]
        to = len(plain)
        for column, (count, width) in layer.columns.items():
            table = lo.matrix(node, f"column{column}")
            found.append(Column(source=column, target=to, table=table, rows=count, width=width))
            to += width
        return Table.of(lo.arena, Column, found).address, node.inputs

    def forward(self, lo: Records, use: Use) -> Value:
        address, count = self._columns(lo, use.node)
        op = EmbeddingOp(tables=address, count=count)
        return Value(lo.made("embedding_forward", use.x, use.node.outputs, op), places={"tables": address})

    def note(self, lo: Records, use: Use, d: Buffer) -> None:
        layer: Any = use.layer
        first = use.node.inputs - len(layer.columns)
        for column, (count, width) in layer.columns.items():
            part = f"column{column}"
            slot = lo.parameters.slots[use.node.parameter(part)]
            levels = lo.levels  # of sums and their rows; the last list is of those of a step
            room = [
                RowList(stamps=lo.arena.take(count * WORD), rows=lo.arena.take(count * WORD)) for _ in range(levels + 1)
            ]
            lists = Table.of(lo.arena, RowList, room)
            known = replace(use.x, wrote=-1, scale=0.0, offset=1.0)
            if lo.treatment[use.node.parameter(part)] is not None:
                table = TrainedTable(column=column, first=first, width=width, sums=lo.arena.take(levels * slot.bytes))
                table.level = slot.bytes
                table.batch_list, table.step_list = lists.address_of(0), lists.address_of(levels)
                lo.record(use.node, "embedding_rows", known, d, (part, ""), use.value.buffer, table)
                table.panels = slot.panels
            first += width

    def _passed(self, lo: Records, use: Use, a: Buffer, width: int, kernel: str) -> Buffer:
        op = EmbeddingOp(tables=use.value.places["tables"], count=use.node.inputs)
        out = lo.made(kernel, a, width, op)
        return replace(out, wrote=a.wrote, scale=a.scale, offset=a.offset)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return self._passed(lo, use, d, use.node.inputs, "embedding_vjp")

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return self._passed(lo, use, t, use.node.outputs, "embedding_jvp")


class BinsRule(Rule):
    """A piecewise linear layer, whose bins lie in memory as lines of the panels that they write."""

    def _op(self, lo: Records, node: Node) -> BinsOp:
        layer: Any = node.layer
        counts = [len(edges) - 1 for edges in layer.columns.values()]
        places = node.inputs + np.cumsum([0, *counts])[:-1]
        return bins_op(lo, layer, node.inputs, places.tolist())

    def forward(self, lo: Records, use: Use) -> Value:
        op = self._op(lo, use.node)
        out = lo.made("piecewise_linear_forward", use.x, use.node.outputs, op)
        return Value(out, saved=use.x, places={"bins": op.bins, "count": op.count})

    def _sloped(self, lo: Records, use: Use, a: Buffer, width: int, kernel: str) -> Buffer:
        op = BinsOp(y=use.saved, inputs=use.node.inputs, **use.value.places)
        return lo.made(kernel, a, width, op)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return self._sloped(lo, use, d, use.node.inputs, "piecewise_linear_vjp")

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return self._sloped(lo, use, t, use.node.outputs, "piecewise_linear_jvp")


RULES: dict[str, Rule] = {
    "linear": LinearRule(),
    "identity": Rule(),
    "elementwise": ElementwiseRule(),
    "custom": CustomRule(),
    "noise": DropoutRule(),
    "scale": ScaleRule(),
    "prelu": PReLURule(),
    "parametric": ParametricRule(),
    "row_norm": RowNormRule(),
    "batch_norm": BatchNormRule(),
    "softmax": SoftmaxRule(),
    "embedding": EmbeddingRule(),
    "bins": BinsRule(),
    "adapted_linear": AdaptedLinearRule(),
    "members": MembersRule(),
    "pbld": ColumnsRule(pbld),
    "cosine": ColumnsRule(cosine),
    "periodic": ColumnsRule(periodic),
    "piecewise_linear_embedding": ColumnsRule(piecewise_linear_embedding),
    "pair": PairRule(),
    "concat": ConcatRule(),
    "slice": SliceRule(),
    "sum": SumRule(),
    "repeat": RepeatRule(),
    "affine": AffineRule(),
    "reciprocal": ReciprocalRule(),
}


def rule_of(layer: Layer) -> Rule:
    """The rule of a layer, by the family of its op."""
    return RULES[OPS[layer.op].family]
