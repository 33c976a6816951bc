"""Rules of members: their linear layers with adapters, and what they predict together.

A prediction is the mean of values, or the logits of the mean of probabilities.
With l_k the logarithms of member k's probabilities, and L = log Σ_k exp(l_k) - log K:

    values    y = Σ_k z_k / K                dz_k = dy / K
    softmax   l_k = log softmax(z_k), y = L  dl_k = dy ∘ exp(l_k - y) / K, then through log softmax
    sigmoid   a_k = log σ(z_k), b_k = log σ(-z_k), y = L(a) - L(b)
              dz_k = dy ∘ (exp(a_k - L(a) + b_k) + exp(b_k - L(b) + a_k)) / K,  as da_k = exp(b_k) dz
"""

from __future__ import annotations

from functools import partial, reduce
from math import log
from typing import Any

from fastbp.kernels.ops import ElementwiseOp, GainedOp, ProductOp, SoftmaxOp
from fastbp.kernels.records import Trained
from fastbp.lowering.buffers import Buffer, Records, Value
from fastbp.lowering.gate_rules import added, pair, times
from fastbp.lowering.rule import Rule, Use
from fastbp.spec.graph import Node


class AdaptedLinearRule(Rule):
    """z = s ∘ ((r ∘ x) W) + b: a scale, a product, a scale with a shift. What r learns from is the way back's own."""

    def needs_transposed(self, lo: Records, node: Node, wanted: bool) -> bool:
        return wanted or lo.treatment[node.parameter("r")] is not None

    def _scaled(self, lo: Records, use: Use, x: Buffer, part: str, shift: str = "") -> Buffer:
        shifts = lo.place(use.node, shift) if shift else 0
        return lo.made("scale", x, x.width, GainedOp(gain=lo.place(use.node, part), shifts=shifts))

    def forward(self, lo: Records, use: Use) -> Value:
        x = self._scaled(lo, use, use.x, "r")
        z = lo.made("product", x, use.node.outputs, ProductOp(b=lo.matrix(use.node, "weight")))
        return Value(self._scaled(lo, use, z, "s", "bias"), parts=(x, z))

    def note(self, lo: Records, use: Use, d: Buffer) -> None:
        (x, z), node, out = use.value.parts, use.node, use.value.buffer
        learns = {part: lo.learned(node, part).offset >= 0 for part in ("weight", "bias", "r", "s")}
        if learns["s"] or learns["bias"]:
            lo.record(node, "columns", z, d, ("s", "bias"), out)
        if not (learns["weight"] or learns["r"]):
            return
        dv = self._scaled(lo, use, d, "s")
        if learns["weight"]:
            lo.record(node, "weights", x, dv, ("weight", ""), out, Trained(transposed=lo.transposed_of(node)))
        if learns["r"]:
            use.inner = self._through(lo, use, dv)
            lo.record(node, "columns", use.x, use.inner, ("r", ""), out)

    def _through(self, lo: Records, use: Use, dv: Buffer) -> Buffer:
        return lo.made("product", dv, use.node.inputs, ProductOp(b=lo.transposed_of(use.node)))

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        du = self._through(lo, use, self._scaled(lo, use, d, "s")) if use.inner is None else use.inner
        return self._scaled(lo, use, du, "r")

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        t = self._scaled(lo, use, t, "r")
        t = lo.made("product", t, use.node.outputs, ProductOp(b=lo.matrix(use.node, "weight")))
        return self._scaled(lo, use, t, "s")


class MembersRule(Rule):
    """Each member reads the same rows; behind all of them, their mean."""

    def does_nothing(self, lo: Records, layer: Any) -> bool:
        return bool(layer.kind == "members")

    def forward(self, lo: Records, use: Use) -> Value:
        if self.does_nothing(lo, use.layer):
            return use.sources[0]
        zs, average = [source.buffer for source in use.sources], use.layer.average
        if average == "values":
            return Value(times(lo, reduce(partial(added, lo), zs), 1.0 / len(zs)))
        if average == "softmax":
            ls = tuple(lo.made("log_softmax_forward", z, z.width, SoftmaxOp()) for z in zs)
            return Value(self._mean_of_exp(lo, ls), parts=ls)
        above = tuple(times(lo, self._softplus(lo, times(lo, z, -1.0)), -1.0) for z in zs)
        below = tuple(times(lo, self._softplus(lo, z), -1.0) for z in zs)
        tops = self._mean_of_exp(lo, above), self._mean_of_exp(lo, below)
        return Value(pair(lo, "subtract", *tops), parts=(*tops, *above, *below))

    @staticmethod
    def _softplus(lo: Records, z: Buffer) -> Buffer:
        return lo.made("softplus_forward", z, z.width, ElementwiseOp(setting_1=1.0))

    @staticmethod
    def _mean_of_exp(lo: Records, ls: tuple[Buffer, ...]) -> Buffer:
        """log Σ exp(l) - log K."""
        summed = reduce(partial(pair, lo, "log_add_exp"), ls)
        op = ElementwiseOp(setting_1=1.0, setting_2=-log(len(ls)))
        return lo.made("branch_affine", summed, summed.width, op)

    def _slopes(self, lo: Records, use: Use) -> list[Buffer]:
        """What the output grows with each number of a member's, but for softmax of its l."""
        parts, count = use.value.parts, len(use.sources)
        if use.layer.average == "softmax":
            found = [pair(lo, "exp_difference", l, use.value.buffer) for l in parts]
        else:
            (above, below), rest = parts[:2], parts[2:]
            found = []
            for a, b in zip(rest[:count], rest[count:], strict=True):
                both = pair(lo, "add", a, b)
                slopes = [pair(lo, "exp_difference", both, top) for top in (above, below)]
                found.append(added(lo, *slopes))
        return [times(lo, slope, 1.0 / count) for slope in found]

    def backward_all(self, lo: Records, use: Use, d: Buffer) -> list[Buffer | None]:
        if self.does_nothing(lo, use.layer):
            return [d]
        if use.layer.average == "values":
            return [times(lo, d, 1.0 / len(use.sources))] * len(use.sources)
        found = [pair(lo, "product", d, slope) for slope in self._slopes(lo, use)]
        if use.layer.average == "sigmoid":
            return [*found]
        return [
            lo.made("log_softmax_vjp", dl, dl.width, SoftmaxOp(y=l))
            for dl, l in zip(found, use.value.parts, strict=True)
        ]

    def tangent_all(self, lo: Records, use: Use, ts: list[Buffer]) -> Buffer:
        if self.does_nothing(lo, use.layer):
            return ts[0]
        if use.layer.average == "values":
            return times(lo, reduce(partial(added, lo), ts), 1.0 / len(ts))
        if use.layer.average == "softmax":
            ts = [
                lo.made("log_softmax_jvp", t, t.width, SoftmaxOp(y=l)) for t, l in zip(ts, use.value.parts, strict=True)
            ]
        moved = [pair(lo, "product", t, slope) for t, slope in zip(ts, self._slopes(lo, use), strict=True)]
        return reduce(partial(added, lo), moved)
