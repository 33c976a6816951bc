"""Rules of gates, which join branches of a network or split them."""

from __future__ import annotations

from dataclasses import replace

from fastbp.kernels.ops import ColumnsOp, ElementwiseOp
from fastbp.lowering.buffers import Buffer, Records, Value
from fastbp.lowering.rule import Rule, Use


def known(out: Buffer, number: int, *, kept: bool = False) -> Buffer:
    """A buffer whose op records its magnitude."""
    return replace(out, wrote=number, scale=1.0, offset=1.0, kept=kept)


def pair(lo: Records, kernel: str, a: Buffer, b: Buffer, out: Buffer) -> Buffer:
    """out = a ∘ b, elementwise."""
    return known(out, lo.op(f"branch_{kernel}", a, out, ElementwiseOp(y=b)))


def added(lo: Records, a: Buffer, b: Buffer) -> Buffer:
    """a + b, in place if nothing else reads one of them."""
    out = a if not a.kept else b if not b.kept else lo.buffer(a.width)
    # The newer is the first operand, so that this op follows its op in the same columns.
    return pair(lo, "add", b, a, out)


def times(lo: Records, d: Buffer, factor: float, out: Buffer) -> Buffer:
    return known(out, lo.op("branch_times", d, out, ElementwiseOp(setting_1=factor)))


class PairRule(Rule):
    """Sums, differences, products and quotients of signals."""

    def forward(self, lo: Records, use: Use) -> Value:
        kind = {"multiply": "product"}.get(use.layer.kind, use.layer.kind)
        first, other, *rest = (source.buffer for source in use.sources)
        # The vjp of a sum or difference reads neither signal, so it may be computed in place.
        over = use.layer.kind in ("add", "subtract") and use.sources[0].free and first != other
        out = pair(lo, kind, first, other, first if over else lo.buffer(use.node.outputs))
        for more in rest:
            out = pair(lo, kind, out, more, out)
        return Value(out, free=use.layer.kind in ("add", "subtract"))

    def backward_all(self, lo: Records, use: Use, d: Buffer) -> list[Buffer | None]:
        kind = use.layer.kind
        if kind == "add":
            shared = replace(d, kept=d.kept or sum(use.wanted) > 1)
            return [shared] * len(use.sources)
        (x, y), (to_x, to_y) = (source.buffer for source in use.sources), use.wanted
        out: list[Buffer | None] = [None, None]
        if kind == "subtract":
            out[1] = times(lo, d, -1.0, lo.over(d, d.width) if not to_x else lo.buffer(d.width)) if to_y else None
            out[0] = d if to_x else None
        elif kind == "multiply":
            out[1] = (
                pair(lo, "product", d, x, lo.over(d, d.width) if not to_x else lo.buffer(d.width)) if to_y else None
            )
            out[0] = pair(lo, "product", d, y, lo.over(d, d.width)) if to_x else None
        else:
            over = pair(lo, "divide", d, y, lo.over(d, d.width))
            z = use.value.buffer
            if to_y:
                out[1] = pair(lo, "minus_product", over, z, lo.buffer(d.width) if to_x else over)
            out[0] = over if to_x else None
        return out

    def tangent_all(self, lo: Records, use: Use, ts: list[Buffer]) -> Buffer:
        kind = use.layer.kind
        if kind in ("add", "subtract"):
            out = pair(
                lo, kind, ts[0], ts[1], lo.over(ts[0], ts[0].width) if ts[0] != ts[1] else lo.buffer(ts[0].width)
            )
            for t in ts[2:]:
                out = pair(lo, kind, out, t, out)
            return out
        (x, y), (tx, ty) = (source.buffer for source in use.sources), ts
        if kind == "multiply":
            first = pair(lo, "product", tx, y, lo.buffer(tx.width))
            return pair(lo, "add", first, pair(lo, "product", ty, x, lo.buffer(tx.width)), first)
        moved = pair(lo, "product", ty, use.value.buffer, lo.buffer(ty.width))
        moved = pair(lo, "subtract", tx, moved, moved)
        return pair(lo, "divide", moved, y, moved)


def copied(lo: Records, source: Buffer, target: Buffer, first: int, to: int, count: int) -> int:
    """Columns of `source` from `first` on, to those of `target` from `to` on."""
    return lo.op("branch_copy", source, target, ColumnsOp(first=first, to=to, count=count))


class ConcatRule(Rule):
    def _joined(self, lo: Records, parts: list[Buffer]) -> Buffer:
        out, to = lo.buffer(sum(part.width for part in parts)), 0
        first = len(lo.ops)
        for part in parts:
            number = copied(lo, part, out, 0, to, part.width)
            lo.ops[number].number = first  # one magnitude for all
            to += part.width
        return known(out, first)

    def forward(self, lo: Records, use: Use) -> Value:
        return Value(self._joined(lo, [source.buffer for source in use.sources]), free=True)

    def backward_all(self, lo: Records, use: Use, d: Buffer) -> list[Buffer | None]:
        out: list[Buffer | None] = []
        first = 0
        for width, wanted in zip(use.node.widths, use.wanted, strict=True):
            part = lo.buffer(width) if wanted else None
            if part is not None:
                part = known(part, copied(lo, d, part, first, 0, width))
            out.append(part)
            first += width
        return out

    def tangent_all(self, lo: Records, use: Use, ts: list[Buffer]) -> Buffer:
        return self._joined(lo, ts)


class SliceRule(Rule):
    def _cut(self, lo: Records, use: Use, source: Buffer) -> Buffer:
        out = lo.buffer(use.node.outputs)
        return known(out, copied(lo, source, out, use.layer.start, 0, out.width))

    def forward(self, lo: Records, use: Use) -> Value:
        return Value(self._cut(lo, use, use.x), free=True)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        out = lo.buffer(use.node.inputs)
        lo.op("branch_clear", out, out, ColumnsOp())
        return known(out, copied(lo, d, out, 0, use.layer.start, d.width))

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return self._cut(lo, use, t)


def row_sum(lo: Records, x: Buffer, factor: float) -> Buffer:
    out = lo.buffer(1)
    return known(out, lo.op("branch_row_sum", x, out, ColumnsOp(factor=factor)))


def repeated(lo: Records, x: Buffer, width: int, factor: float) -> Buffer:
    out = lo.buffer(width)
    return known(out, lo.op("branch_repeat", x, out, ColumnsOp(factor=factor, count=width)))


class SumRule(Rule):
    """Sum and mean of a row."""

    def _factor(self, use: Use) -> float:
        return 1.0 if use.layer.kind == "sum" else 1.0 / use.node.inputs

    def forward(self, lo: Records, use: Use) -> Value:
        return Value(row_sum(lo, use.x, self._factor(use)), free=True)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return repeated(lo, d, use.node.inputs, self._factor(use))

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return row_sum(lo, t, self._factor(use))


class RepeatRule(Rule):
    def forward(self, lo: Records, use: Use) -> Value:
        return Value(repeated(lo, use.x, use.node.outputs, 1.0), free=True)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return row_sum(lo, d, 1.0)

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return repeated(lo, t, use.node.outputs, 1.0)


class AffineRule(Rule):
    def forward(self, lo: Records, use: Use) -> Value:
        out = use.x if use.sources[0].free else lo.buffer(use.node.outputs)
        op = ElementwiseOp(setting_1=use.layer.factor, setting_2=use.layer.shift)
        return Value(known(out, lo.op("branch_affine", use.x, out, op)), free=True)

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return d if use.layer.factor == 1.0 else times(lo, d, use.layer.factor, lo.over(d, d.width))

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return self.backward(lo, use, t)


class ReciprocalRule(Rule):
    def forward(self, lo: Records, use: Use) -> Value:
        out = lo.buffer(use.node.outputs)
        number = lo.op("branch_over", use.x, out, ElementwiseOp(setting_1=use.layer.numerator))
        return Value(known(out, number))

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        slope = lo.buffer(d.width)
        lo.op("branch_over_slope", use.x, slope, ElementwiseOp(setting_1=use.layer.numerator))
        return pair(lo, "product", slope, d, slope)

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return self.backward(lo, use, t)
