"""Norms and softmax as ops: layers in which the numbers of a row, or of a column, hang together."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import numpy as np

from fastbp.engine.plan import double
from fastbp.model.graph import Node
from fastbp.model.records import Buffer, Records, Value
from fastbp.model.registry import OPS
from fastbp.model.rule import Rule, target_for


class RowNormRule(Rule):
    """Layer norm and RMS norm."""

    def _words(self, lo: Records, node: Node, saved: Buffer, sums: int) -> dict[str, int]:
        layer: Any = node.layer
        eps = float(np.finfo(lo.parameters.dtype).eps) if layer.eps is None else layer.eps
        return {
            "y": saved.address,
            "y_stride": saved.stride,
            "sums": sums,
            "gain": lo.place(node, "weight"),
            "setting_1": double(eps),
        }

    def forward(self, lo: Records, node: Node, source: Value) -> Value:
        out = target_for(lo, node, source)
        apart = lo.keeping and lo.place(node, "weight") != 0
        saved = lo.buffer(node.outputs) if apart else out
        sums = lo.row_numbers()
        words = self._words(lo, node, saved, sums) | {"shifts": lo.place(node, "bias")}
        number = lo.op(OPS[node.layer.op].forward, source.buffer, out, **words)
        known = {"wrote": number, "scale": 1.0, "offset": 1.0}
        return Value(replace(out, **known), saved=replace(saved, **known), places={"sums": sums})  # type: ignore[arg-type]

    def note(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer) -> None:
        assert value.saved
        lo.record(node, "columns", value.saved, d, ("weight", "bias"), value.buffer)

    def _pulled(self, lo: Records, node: Node, value: Value, d: Buffer, kernel: str) -> Buffer:
        assert value.saved
        out = lo.buffer(node.outputs)
        number = lo.op(kernel, d, out, **self._words(lo, node, value.saved, value.places["sums"]))
        return replace(out, wrote=number)

    def backward(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer, values: list[Value]) -> Buffer:
        return self._pulled(lo, node, value, d, OPS[node.layer.op].vjp.split()[0])

    def tangent(self, lo: Records, node: Node, source: Value, value: Value, t: Buffer) -> Buffer:
        return self._pulled(lo, node, value, t, OPS[node.layer.op].jvp)


class BatchNormRule(Rule):
    """Two phases of columns while training: the statistics, and on the way back the sums of the cotangents."""

    def _words(self, lo: Records, node: Node, places: dict[str, int]) -> dict[str, int]:
        words = {"mean": places["mean"], "variance": places["variance"], "gain": lo.place(node, "weight")}
        return words | {"setting_1": double(node.layer.eps)}  # type: ignore[attr-defined]

    def forward(self, lo: Records, node: Node, source: Value) -> Value:
        x = source.buffer
        out = target_for(lo, node, source)
        saved = lo.buffer(node.outputs) if lo.keeping and lo.place(node, "weight") else out
        if lo.training:
            places = {name: lo.lines(x.panels) for name in ("mean", "variance", "sum_d", "sum_dx")}
            words = {"mean": places["mean"], "variance": places["variance"], "columns": 1}
            lo.op("batch_norm_statistics", x, x, **words)
        else:
            places = {"mean": lo.place(node, "running_mean"), "variance": lo.place(node, "running_var")}
        words = self._words(lo, node, places) | {"shifts": lo.place(node, "bias")}
        number = lo.op("batch_norm_forward", x, out, y=saved.address, y_stride=saved.stride, **words)
        known = {"wrote": number, "scale": 1.0, "offset": 1.0}
        return Value(replace(out, **known), saved=replace(saved, **known), places=places)  # type: ignore[arg-type]

    def note(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer) -> None:
        assert value.saved
        parts = "weight", "bias"
        if not lo.training:
            lo.record(node, "columns", value.saved, d, parts, value.buffer)
            return
        places, saved = value.places, value.saved
        sums = {name: places[name] for name in ("sum_d", "sum_dx")}
        lo.op("batch_norm_sums", d, d, y=saved.address, y_stride=saved.stride, columns=1, **sums)
        words = sums | {"mean": places["mean"], "variance": places["variance"]}
        words |= {
            f"running_{to}": lo.place(node, f"running_{of}") for to, of in (("mean", "mean"), ("variance", "var"))
        }
        momentum = double(node.layer.momentum)  # type: ignore[attr-defined]
        lo.record(node, "batch_norm_columns", saved, d, parts, value.buffer, momentum=momentum, **words)

    def backward(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer, values: list[Value]) -> Buffer:
        if not lo.training:
            return self.tangent(lo, node, source, value, d)
        assert value.saved
        out = lo.buffer(node.outputs)
        words = self._words(lo, node, value.places) | {n: value.places[n] for n in ("sum_d", "sum_dx")}
        saved = value.saved
        number = lo.op("batch_norm_vjp", d, out, y=saved.address, y_stride=saved.stride, **words)
        return replace(out, wrote=number)

    def tangent(self, lo: Records, node: Node, source: Value, value: Value, t: Buffer) -> Buffer:
        out = lo.buffer(node.outputs)
        number = lo.op("batch_norm_slope", t, out, **self._words(lo, node, value.places))
        return replace(out, wrote=number)


class SoftmaxRule(Rule):
    """Softmax and its logarithm."""

    def forward(self, lo: Records, node: Node, source: Value) -> Value:
        x = source.buffer
        out = x if source.free else lo.buffer(node.outputs)
        lo.op(OPS[node.layer.op].forward, x, out)
        if node.layer.kind == "softmax":
            return Value(replace(out, wrote=x.wrote, scale=0.0, offset=1.0))
        return Value(replace(out, wrote=x.wrote, scale=2.0 * x.scale, offset=2.0 * x.offset + log(node.inputs)))

    def backward(self, lo: Records, node: Node, source: Value, value: Value, d: Buffer, values: list[Value]) -> Buffer:
        y = value.buffer
        lo.op(OPS[node.layer.op].vjp, d, d, y=y.address, y_stride=y.stride)
        return replace(d, scale=d.scale * (node.inputs + 1.0))

    def tangent(self, lo: Records, node: Node, source: Value, value: Value, t: Buffer) -> Buffer:
        y = value.buffer
        lo.op(OPS[node.layer.op].jvp, t, t, y=y.address, y_stride=y.stride)
        return t
