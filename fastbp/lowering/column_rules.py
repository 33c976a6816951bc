"""Rules of layers that embed numbers: each column's numbers are in panels of their own, and go through some steps.

A step says what it makes of its operand, how a cotangent comes back through it, and how a tangent goes on. On the way
back it notes its parameters, so a layer of several steps is done with its gradients once a cotangent is through.

    spread    a column, so many times        blocks of x_f                      back: their sum
    affine    blocks times a line, and one more     w_f x + b_f                 back: times the line
    wave      the cosine of blocks                                              back: times the slope
    circle    their cosine and their sine                                       back: likewise
    binned    how far a column has come through its bins                        back: a slope of one of them
    product   each block with a matrix of its own   x_f W_f + b_f               back: with its transpose
    both      the sum of two such ways                                           back: the sum of theirs
    relu      what is above zero                                                 back: where that is
    joined    the blocks without their padding, and columns that pass on

The products of blocks are ops like any other, on views of panels, as are the tasks of their weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import pi
from typing import Any

import numpy as np

from fastbp.engine.memory import view
from fastbp.engine.plan import Table
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import Bins, BinsOp, ColumnsOp, ElementwiseOp, GainedOp, ProductOp
from fastbp.kernels.records import Matrix, Trained
from fastbp.lowering.buffers import Buffer, Records, Value
from fastbp.lowering.gate_rules import added, pair, times
from fastbp.lowering.rule import Rule, Use
from fastbp.spec.graph import Node


@dataclass(frozen=True)
class Blocks:
    """Numbers of some columns, so many of each, in panels of its own."""

    buffer: Buffer
    count: int
    width: int

    def of(self, buffer: Buffer) -> Blocks:
        """Another buffer that is laid out alike."""
        return replace(self, buffer=buffer)

    @property
    def panels(self) -> int:
        """Of one column."""
        return self.buffer.panels // self.count

    def each(self) -> list[Buffer]:
        """What each column has."""
        whole, size = self.buffer, self.panels * self.buffer.stride
        return [
            replace(whole, address=whole.address + i * size, panels=self.panels, width=self.width)
            for i in range(self.count)
        ]


@dataclass(frozen=True)
class Step:
    """What is made; from its cotangent that of the operand, where one is wanted; from a tangent that of the result."""

    out: Any
    back: Callable[[Any, bool], Any]
    push: Callable[[Any], Any]


def chained(*steps: Step) -> Step:
    """Steps one behind another."""

    def back(d: Any, wanted: bool) -> Any:
        for step in reversed(steps):
            d = step.back(d, wanted)
        return d

    def push(t: Any) -> Any:
        for step in steps:
            t = step.push(t)
        return t

    return Step(steps[-1].out, back, push)


def blocks(lo: Records, count: int, width: int) -> Blocks:
    """New blocks."""
    return Blocks(lo.buffer(count * -(-width // lo.in_line) * lo.in_line), count, width)


def trained(lo: Records, node: Node, *parts: str) -> bool:
    """Whether one of these parameters, "" for none, is trained."""
    return any(lo.treatment[node.parameter(part)] is not None for part in parts if part)


def spread(lo: Records, x: Buffer, columns: Sequence[int], width: int, factor: float = 1.0) -> Step:
    """Each of these columns, times a factor, so many times."""

    def repeated(a: Buffer) -> Blocks:
        out, first = blocks(lo, len(columns), width), len(lo.ops)
        for column, block in zip(columns, out.each(), strict=True):
            panel, lane = divmod(column, lo.in_line)
            one = replace(a, address=a.address + panel * a.stride + lane * lo.itemsize, panels=1, width=1)
            lo.ops[lo.op("branch_repeat", one, block, ColumnsOp(factor=factor, count=width))].number = first
        return out.of(replace(out.buffer, wrote=first))

    def back(d: Blocks, wanted: bool) -> Buffer | None:
        if not wanted:
            return None
        out = lo.buffer(x.width)
        lo.op("branch_clear", out, out, ColumnsOp())
        first = len(lo.ops)
        for column, block in zip(columns, d.each(), strict=True):
            total = lo.made("branch_row_sum", block, 1, ColumnsOp(factor=factor))
            lo.ops[lo.op("branch_copy", total, out, ColumnsOp(to=column, count=1))].number = first
        return replace(out, wrote=first)

    return Step(repeated(x), back, repeated)


def affine(lo: Records, node: Node, x: Blocks, gain: str, shift: str = "") -> Step:
    """x ∘ gain + shift, each a number for each of the blocks."""

    def scaled(a: Blocks, shifts: int = 0) -> Blocks:
        op = GainedOp(gain=lo.place(node, gain), shifts=shifts)
        return a.of(lo.made("scale", a.buffer, a.buffer.width, op))

    out = scaled(x, lo.place(node, shift) if shift else 0)

    def back(d: Blocks, wanted: bool) -> Blocks:
        if trained(lo, node, gain, shift):
            lo.record(node, "columns", x.buffer, d.buffer, (gain, shift), out.buffer)
        return scaled(d)

    return Step(out, back, scaled)


def wave(lo: Records, x: Blocks, factor: float = 1.0) -> Step:
    """The cosine of `factor` x."""
    slope = lo.buffer(x.buffer.width) if lo.keeping else None
    return _with_slope(lo, _cosine(lo, x, factor, slope), slope)


def circle(lo: Records, x: Blocks) -> tuple[Step, Step]:
    """The cosine and the sine of x, each of which is the slope of the other, but for a sign."""
    slope = lo.buffer(x.buffer.width)
    cosine = _cosine(lo, x, 1.0, slope)
    sine = x.of(replace(times(lo, slope, -1.0), scale=0.0, offset=1.0))
    return _with_slope(lo, cosine, slope), _with_slope(lo, sine, cosine.buffer)


def _cosine(lo: Records, x: Blocks, factor: float, slope: Buffer | None) -> Blocks:
    op = ElementwiseOp(setting_1=factor)
    if slope is not None:
        op.y = slope
    return x.of(replace(lo.made("wave_cosine", x.buffer, x.buffer.width, op), scale=0.0, offset=1.0))


def _with_slope(lo: Records, out: Blocks, slope: Buffer | None) -> Step:
    """What has been made, and products with its slope."""

    def sloped(d: Blocks) -> Blocks:
        assert slope is not None
        return d.of(pair(lo, "product", d.buffer, slope))

    return Step(out, lambda d, wanted: sloped(d), sloped)


def product(lo: Records, node: Node, x: Blocks, width: int, weight: str, bias: str = "") -> Step:
    """Each block times a matrix of its own."""
    slot = lo.parameters.slots[node.parameter(weight)]
    first = lo.place(node, weight)
    matrices = [Matrix(start=first + i * slot.pitch, stride=slot.stride) for i in range(x.count)]

    def multiplied(a: Blocks, b: list[Matrix], width: int, start: int = 0) -> Blocks:
        out, number = blocks(lo, a.count, width), len(lo.ops)
        for i, (one, matrix, target) in enumerate(zip(a.each(), b, out.each(), strict=True)):
            op = ProductOp(b=matrix, bias=start + i * out.panels * LINE if start else 0)
            lo.ops[lo.op("product", one, target, op)].number = number
        return out.of(replace(out.buffer, wrote=number))

    out = multiplied(x, matrices, width, lo.place(node, bias) if bias else 0)

    def back(d: Blocks, wanted: bool) -> Blocks:
        if trained(lo, node, bias):
            lo.record(node, "columns", x.buffer, d.buffer, ("", bias), out.buffer)
        across = [lo.transposed_of(node, weight, i) for i in range(x.count)]
        for i, (one, dy) in enumerate(zip(x.each(), d.each(), strict=True)) if trained(lo, node, weight) else ():
            layer = Trained(transposed=across[i])
            lo.record(node, "weights", one, dy, (weight, ""), out.buffer, layer, i)
        return multiplied(d, across, x.width)

    return Step(out, back, lambda t: multiplied(t, matrices, width))


def both(lo: Records, first: Step, second: Step) -> Step:
    """The sum of what two ways make of one operand."""

    def summed(a: Any, b: Any) -> Any:
        if isinstance(a, Blocks):
            return a.of(added(lo, a.buffer, b.buffer))
        return None if a is None else added(lo, a, b)

    def back(d: Blocks, wanted: bool) -> Any:
        return summed(first.back(d, wanted), second.back(d, wanted))

    return Step(summed(first.out, second.out), back, lambda t: summed(first.push(t), second.push(t)))


def relu(lo: Records, x: Blocks) -> Step:
    """max(0, x)."""
    out = x.of(lo.made("relu_forward", x.buffer, x.buffer.width, ElementwiseOp()))

    def sloped(d: Blocks) -> Blocks:
        return d.of(lo.made("relu_vjp", d.buffer, d.buffer.width, ElementwiseOp(y=out.buffer)))

    return Step(out, lambda d, wanted: sloped(d), sloped)


def binned(lo: Records, layer: Any, x: Buffer) -> Step:
    """How far each column has come through its bins, zeros behind the last."""
    widest = max(len(edges) for edges in layer.columns.values()) - 1
    out = blocks(lo, len(layer.columns), widest)
    places = [i * out.panels * lo.in_line for i in range(out.count)]
    op = bins_op(lo, layer, 0, places)
    out = out.of(replace(out.buffer, wrote=lo.op("piecewise_linear_forward", x, out.buffer, op)))

    def again() -> BinsOp:
        return BinsOp(y=x, bins=op.bins, count=op.count)

    def back(d: Blocks, wanted: bool) -> Buffer | None:
        return lo.made("piecewise_linear_vjp", d.buffer, x.width, again()) if wanted else None

    def push(t: Buffer) -> Blocks:
        made = blocks(lo, out.count, widest)
        return made.of(replace(made.buffer, wrote=lo.op("piecewise_linear_jvp", t, made.buffer, again())))

    return Step(out, back, push)


def bins_op(lo: Records, layer: Any, inputs: int, places: Sequence[int]) -> BinsOp:
    """The op of the bins of some columns, which stand from these places on; as many inputs pass on before them."""
    found = []
    for column, to in zip(layer.columns, places, strict=True):
        bins = layer.bins_of(column, lo.parameters.dtype)
        count = len(bins.first)
        for panel in range(to // lo.in_line, (to + count - 1) // lo.in_line + 1):
            lanes = np.arange(panel * lo.in_line, (panel + 1) * lo.in_line) - to
            there = (lanes >= 0) & (lanes < count)
            address = lo.lines(len(bins))
            lines = view(address, (len(bins), lo.in_line), lo.parameters.dtype)
            lines[:] = 0.0
            lines[:, there] = np.stack(bins)[:, lanes[there]]
            found.append(Bins(source=column, panel=panel, lines=address))
    return BinsOp(inputs=inputs, bins=Table.of(lo.arena, Bins, found).address, count=len(found))


def joined(lo: Records, made: Step, x: Buffer, kept: Sequence[int]) -> Step:
    """The blocks side by side, and behind them the columns of x that are kept."""
    width = made.out.width
    inside = made.out.count * width

    def beside(a: Blocks, b: Buffer) -> Buffer:
        out, first = lo.buffer(inside + len(kept)), len(lo.ops)
        for i, block in enumerate(a.each()):
            lo.op("branch_copy", block, out, ColumnsOp(to=i * width, count=width))
        for begin, end, to in runs(kept):
            lo.op("branch_copy", b, out, ColumnsOp(first=begin, to=inside + to, count=end - begin))
        for op in lo.ops[first:]:
            op.number = first  # one magnitude for all
        return replace(out, wrote=first)

    def back(d: Buffer, wanted: bool) -> Buffer | None:
        apart = blocks(lo, made.out.count, width)
        if width % lo.in_line:
            lo.op("branch_clear", apart.buffer, apart.buffer, ColumnsOp())
        first = len(lo.ops)
        for i, block in enumerate(apart.each()):
            lo.ops[lo.op("branch_copy", d, block, ColumnsOp(first=i * width, count=width))].number = first
        dx: Buffer | None = made.back(apart.of(replace(apart.buffer, wrote=first)), wanted)
        if dx is None or not kept:
            return dx
        passed = lo.buffer(x.width)
        lo.op("branch_clear", passed, passed, ColumnsOp())
        first = len(lo.ops)
        for begin, end, to in runs(kept):
            op = ColumnsOp(first=inside + to, to=begin, count=end - begin)
            lo.ops[lo.op("branch_copy", d, passed, op)].number = first
        return added(lo, dx, replace(passed, wrote=first))

    return Step(beside(made.out, x), back, lambda t: beside(made.push(t), t))


def runs(columns: Sequence[int]) -> list[tuple[int, int, int]]:
    """Columns as runs: the first of each, the one behind its last, and how many are before it."""
    found: list[tuple[int, int, int]] = []
    for i, column in enumerate(columns):
        if found and found[-1][1] == column:
            found[-1] = (found[-1][0], column + 1, found[-1][2])
        else:
            found.append((column, column + 1, i))
    return found


class ColumnsRule(Rule):
    """A layer of such steps."""

    def __init__(self, steps: Callable[[Records, Node, Buffer], Step]) -> None:
        self.steps = steps

    def transposed(self, lo: Records, node: Node, wanted: dict[int, bool]) -> tuple[str, ...]:
        shapes = {part: shape for part, (_, shape, _, _) in node.layer.draws(node.inputs).items()}
        return tuple(part for part, shape in shapes.items() if len(shape) == 3 and wanted[node.index])

    def forward(self, lo: Records, use: Use) -> Value:
        use.inner = self.steps(lo, use.node, use.x)
        return Value(use.inner.out)

    def note(self, lo: Records, use: Use, d: Buffer) -> None:
        use.pulled = use.inner.back(d, any(use.wanted))

    def backward(self, lo: Records, use: Use, d: Buffer) -> Buffer:
        return use.inner.back(d, True) if use.pulled is None else use.pulled

    def tangent(self, lo: Records, use: Use, t: Buffer) -> Buffer:
        return use.inner.push(t)  # type: ignore[no-any-return]


def pbld(lo: Records, node: Node, x: Buffer) -> Step:
    """[x_f's cos(2π w x + b) W + β, x]."""
    layer: Any = node.layer
    each = spread(lo, x, layer.of_inputs(node.inputs), layer.frequencies, 2.0 * pi)
    turned = affine(lo, node, each.out, "frequency", "phase")
    waves = wave(lo, turned.out)
    mixed = product(lo, node, waves.out, layer.features, "weight", "bias")
    return joined(lo, chained(each, turned, waves, mixed), x, range(node.inputs))


def cosine(lo: Records, node: Node, x: Buffer) -> Step:
    """[x_f's cos(2π (w x + b)) a + c, x]."""
    layer: Any = node.layer
    each = spread(lo, x, layer.of_inputs(node.inputs), layer.frequencies)
    turned = affine(lo, node, each.out, "frequency", "phase")
    waves = wave(lo, turned.out, 2.0 * pi)
    scaled = affine(lo, node, waves.out, "weight", "bias")
    return joined(lo, chained(each, turned, waves, scaled), x, range(node.inputs))


def periodic(lo: Records, node: Node, x: Buffer) -> Step:
    """[max(0, x_f's cos(2π w x) A + sin(2π w x) B + β), the other x]."""
    layer: Any = node.layer
    columns = layer.of_inputs(node.inputs)
    each = spread(lo, x, columns, layer.frequencies, 2.0 * pi)
    turned = affine(lo, node, each.out, "frequency")
    cosine, sine = circle(lo, turned.out)
    of_cosine = chained(cosine, product(lo, node, cosine.out, layer.features, "cosine", "bias"))
    of_sine = chained(sine, product(lo, node, sine.out, layer.features, "sine"))
    series = both(lo, of_cosine, of_sine)
    bent = relu(lo, series.out)
    return joined(lo, chained(each, turned, series, bent), x, others(node, columns))


def piecewise_linear_embedding(lo: Records, node: Node, x: Buffer) -> Step:
    """[w x_f + b + e V, the other x], e how far x_f has come through each of its bins."""
    layer: Any = node.layer
    columns = list(layer.columns)
    each = spread(lo, x, columns, layer.features)
    straight = affine(lo, node, each.out, "slope", "bias")
    come = binned(lo, layer, x)
    bent = product(lo, node, come.out, layer.features, "weight")
    made = both(lo, chained(each, straight), chained(come, bent))
    return joined(lo, made, x, others(node, columns))


def others(node: Node, columns: Sequence[int]) -> list[int]:
    """The columns of a node's input that are not among these."""
    return [column for column in range(node.inputs) if column not in columns]
