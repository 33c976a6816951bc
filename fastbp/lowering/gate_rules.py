"""Rules of gates, which join branches of a network or split them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial, reduce

from fastbp.kernels.ops import ColumnsOp, ElementwiseOp
from fastbp.lowering.buffers import Buffer, Records, Value
from fastbp.lowering.rule import Rule, Use


def pair(lo: Records, kernel: str, a: Buffer, b: Buffer) -> Buffer:
    """a ∘ b, elementwise."""
    return lo.made(f"branch_{kernel}", a, a.width, ElementwiseOp(y=b))


def added(lo: Records, a: Buffer, b: Buffer) -> Buffer:
    """a + b; the newer is the first operand, so that this op follows its op in the same columns."""
    return pair(lo, "add", b, a)


def times(lo: Records, d: Buffer, factor: float) -> Buffer:
    return lo.made("branch_times", d, d.width, ElementwiseOp(setting_1=factor))


class PairRule(Rule):
    """Sums, differences, products and quotients of signals."""

    def forward(self, lo: Records, use: Use) -> Value:
        kind = {"multiply": "product"}.get(use.layer.kind, use.layer.kind)
        return Value(reduce(partial(pair, lo, kind), (source.buffer for source in use.sources)))

    def backward_all(self, lo: Records, use: Use, d: Buffer) -> list[Buffer | None]:
        kind = use.layer.kind
        if kind == "add":
            return [d] * len(use.sources)
        (x, y), (to_x, to_y) = (source.buffer for source in use.sources), use.wanted
        out: list[Buffer | None] = [None, None]
        if kind == "subtract":
            out[1] = times(lo, d, -1.0) if to_y else None
            out[0] = d if to_x else None
        elif kind == "multiply":
            out[1] = pair(lo, "product", d, x) if to_y else None
            out[0] = pair(lo, "product", d, y) if to_x else None
        else:
            over = pair(lo, "divide", d, y)
            out[1] = pair(lo, "minus_product", over, use.value.buffer) if to_y else None
            out[0] = over if to_x else None
        return out

    def tangent_all(self, lo: Records, use: Use, ts: list[Buffer]) -> Buffer:
        kind = use.layer.kind
        if kind in ("add", "subtract"):
            return reduce(partial(pair, lo, kind), ts)
        (x, y), (tx, ty) = (source.buffer for source in use.sources), ts
        if kind == "multiply":
            return pair(lo, "add", pair(lo, "product", tx, y), pair(lo, "product", ty, x))
        return pair(lo, "divide", pair(lo, "subtract", tx, pair(lo, "product", ty, use.value.buffer)), y)


def copied(lo: Records, source: Buffer, target: Buffer, to: int) -> int:
    """Copy all columns of `source` to those of `target` from `to` on; behind its last are zeros, as in all padding."""
    closes = to + source.width == target.width
    return lo.op("branch_copy", source, target, ColumnsOp(to=to, count=source.width, closes=closes))


def cut(lo: Records, source: Buffer, first: int, width: int) -> Buffer:
    return lo.made("branch_copy", source, width, ColumnsOp(first=first, count=width, closes=True))


class ConcatRule(Rule):
    def _joined(self, lo: Records, parts: list[Buffer]) -> Buffer:
        out, to = lo.buffer(sum(part.width for part in parts)), 0
        first = len(lo.ops)
        for part in parts:
            lo.ops[copied(lo, part, out, to)].number = first  # one magnitude for all
            to += part.width
        return replace(out, wrote=first)

    def forward(self, lo: Records, use: Use) -> Value:
        return Value(self._joined(lo, [source.buffer for source in use.sources]))

    def backward_all(self, lo: Records, use: Use, d: Buffer) -> list[Buffer | None]:
        out: list[Buffer | None] = []
        first = 0
        for width, wanted in zip(use.node.widths, use.wanted, strict=True):
            out.append(cut(lo, d, first, width) if wanted else None)
            first += width
        return out

    def tangent_all(self, lo: Records, use: Use, ts: list[Buffer]) -> Buffer:
        return self._joined(lo, ts)


class SliceRule(Rule):
    def forward(self, lo: Records, use: Use) -> Value:
        return Value(cut(lo, use.x, use.layer.start, use.node.outputs))

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        out = lo.buffer(use.node.inputs)
        lo.op("branch_clear", out, out, ColumnsOp())
        return replace(out, wrote=copied(lo, d, out, use.layer.start))

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return cut(lo, t, use.layer.start, use.node.outputs)


def row_sum(lo: Records, x: Buffer, factor: float) -> Buffer:
    return lo.made("branch_row_sum", x, 1, ColumnsOp(factor=factor))


def repeated(lo: Records, x: Buffer, width: int, factor: float) -> Buffer:
    return lo.made("branch_repeat", x, width, ColumnsOp(factor=factor, count=width))


class SumRule(Rule):
    """Sum and mean of a row."""

    def _factor(self, use: Use) -> float:
        return 1.0 if use.layer.kind == "sum" else 1.0 / use.node.inputs

    def forward(self, lo: Records, use: Use) -> Value:
        return Value(row_sum(lo, use.x, self._factor(use)))

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return repeated(lo, d, use.node.inputs, self._factor(use))

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return row_sum(lo, t, self._factor(use))


class RepeatRule(Rule):
    def forward(self, lo: Records, use: Use) -> Value:
        return Value(repeated(lo, use.x, use.node.outputs, 1.0))

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return row_sum(lo, d, 1.0)

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return repeated(lo, t, use.node.outputs, 1.0)


class AffineRule(Rule):
    def forward(self, lo: Records, use: Use) -> Value:
        op = ElementwiseOp(setting_1=use.layer.factor, setting_2=use.layer.shift)
        return Value(lo.made("branch_affine", use.x, use.node.outputs, op))

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return d if use.layer.factor == 1.0 else times(lo, d, use.layer.factor)

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return self.backward(lo, use, t)


class ReciprocalRule(Rule):
    def _over(self, lo: Records, use: Use, kernel: str) -> Buffer:
        return lo.made(kernel, use.x, use.node.outputs, ElementwiseOp(setting_1=use.layer.numerator))

    def forward(self, lo: Records, use: Use) -> Value:
        return Value(self._over(lo, use, "branch_over"))

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return pair(lo, "product", self._over(lo, use, "branch_over_slope"), d)

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return self.backward(lo, use, t)
