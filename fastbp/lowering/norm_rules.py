"""Rules of norms and softmax, in which the numbers of a row or column depend on each other."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import numpy as np

from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import BatchNormOp, BatchNormSumsOp, NormOp, SoftmaxOp
from fastbp.kernels.records import TrainedNorm
from fastbp.lowering.buffers import Buffer, Records, Value
from fastbp.lowering.registry import OPS
from fastbp.lowering.rule import Rule, Use
from fastbp.spec.graph import Node


class RowNormRule(Rule):
    """Layer norm and RMS norm."""

    def _op(self, lo: Records, node: Node, saved: Buffer, sums: int) -> NormOp:
        layer: Any = node.layer
        eps = float(np.finfo(lo.parameters.dtype).eps) if layer.eps is None else layer.eps
        return NormOp(y=saved, sums=sums, gain=lo.place(node, "weight"), eps=eps)

    def forward(self, lo: Records, use: Use) -> Value:
        out = lo.buffer(use.node.outputs)
        apart = lo.keeping and lo.place(use.node, "weight") != 0
        saved = lo.buffer(use.node.outputs) if apart else out
        sums = lo.row_numbers()
        op = self._op(lo, use.node, saved, sums)
        op.shifts = lo.place(use.node, "bias")
        number = lo.op(OPS[use.layer.op].forward, use.x, out, op)
        return Value(replace(out, wrote=number), saved=replace(saved, wrote=number), places={"sums": sums})

    def note(self, lo: Records, use: Use, d: Buffer) -> None:
        assert use.value.saved
        lo.record(use.node, "columns", use.value.saved, d, ("weight", "bias"), use.value.buffer)

    def _pulled(self, lo: Records, use: Use, d: Buffer, kernel: str) -> Buffer:
        assert use.value.saved
        op = self._op(lo, use.node, use.value.saved, use.value.places["sums"])
        return lo.made(kernel, d, use.node.outputs, op)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return self._pulled(lo, use, d, OPS[use.layer.op].vjp.split()[0])

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return self._pulled(lo, use, t, OPS[use.layer.op].jvp)


class BatchNormRule(Rule):
    """In training, two phases of columns: the statistics, and in the backward pass the sums of cotangents."""

    def _op(self, lo: Records, node: Node, places: dict[str, int], **words: Any) -> BatchNormOp:
        layer: Any = node.layer
        words |= {"mean": places["mean"], "variance": places["variance"], "gain": lo.place(node, "weight")}
        return BatchNormOp(eps=layer.eps, **words)

    def forward(self, lo: Records, use: Use) -> Value:
        x = use.x
        out = lo.buffer(use.node.outputs)
        saved = lo.buffer(use.node.outputs) if lo.keeping and lo.place(use.node, "weight") else out
        if lo.training:
            sums = lo.lines(2 * x.panels)  # side by side
            places = {"mean": lo.lines(x.panels), "variance": lo.lines(x.panels)}
            kernels = ["batch_norm_totals", "batch_norm_squares"] if lo.together else ["batch_norm_statistics"]
            for kernel in kernels:
                lo.op(kernel, x, x, BatchNormSumsOp(**places))
            places |= {"sum_d": sums, "sum_dx": sums + x.panels * LINE}
        else:
            places = {"mean": lo.place(use.node, "running_mean"), "variance": lo.place(use.node, "running_var")}
        op = self._op(lo, use.node, places, y=saved, shifts=lo.place(use.node, "bias"))
        number = lo.op("batch_norm_forward", x, out, op)
        return Value(replace(out, wrote=number), saved=replace(saved, wrote=number), places=places)

    def note(self, lo: Records, use: Use, d: Buffer) -> None:
        assert use.value.saved
        parts = "weight", "bias"
        if not lo.training:
            lo.record(use.node, "columns", use.value.saved, d, parts, use.value.buffer)
            return
        places, saved = use.value.places, use.value.saved
        sums = {name: places[name] for name in ("sum_d", "sum_dx")}
        lo.op("batch_norm_sums", d, d, BatchNormSumsOp(y=saved, **sums))
        layer = TrainedNorm(
            learns=1, mean=places["mean"], variance=places["variance"], momentum=use.layer.momentum, **sums
        )
        layer.running_mean = lo.place(use.node, "running_mean")
        layer.running_variance = lo.place(use.node, "running_var")
        lo.record(use.node, "batch_norm_columns", saved, d, parts, use.value.buffer, layer)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        if not lo.training:
            return self.tangent(lo, use, d)
        assert use.value.saved
        sums = {name: use.value.places[name] for name in ("sum_d", "sum_dx")}
        op = self._op(lo, use.node, use.value.places, y=use.value.saved, **sums)
        return lo.made("batch_norm_vjp", d, use.node.outputs, op)

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return lo.made("batch_norm_slope", t, use.node.outputs, self._op(lo, use.node, use.value.places))


class SoftmaxRule(Rule):
    """Softmax and its logarithm."""

    def forward(self, lo: Records, use: Use) -> Value:
        x = use.x
        out = lo.made(OPS[use.layer.op].forward, x, use.node.outputs, SoftmaxOp())
        if use.layer.kind == "softmax":
            return Value(replace(out, wrote=x.wrote, scale=0.0, offset=1.0))
        return Value(replace(out, wrote=x.wrote, scale=2.0 * x.scale, offset=2.0 * x.offset + log(use.node.inputs)))

    def _slope(self, lo: Records, use: Use, d: Buffer, kernel: str) -> Buffer:
        out = lo.made(kernel, d, d.width, SoftmaxOp(y=use.value.buffer))
        return replace(out, wrote=d.wrote, scale=d.scale * (use.node.inputs + 1.0), offset=d.offset)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return self._slope(lo, use, d, OPS[use.layer.op].vjp)

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return self._slope(lo, use, t, OPS[use.layer.op].jvp)
