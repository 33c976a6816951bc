"""Gates as nodes of ONNX: one table, and a few groups of gates that are one node there.

gates                                   node
x W + b                                 Gemm
the tree of a largest number, `tied`    ReduceMax, ReduceMin
x - log Σ exp x, and exp of it          LogSoftmax, Softmax
rows placed into zeros                  Concat, Pad
a code's row times a table              Gather
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastbp.autodiff.graph import Node
from fastbp.export.in_onnx.functions import FUNCTIONS
from fastbp.export.in_onnx.values import Value as Value
from fastbp.export.in_onnx.values import Values

SAME = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "power": "Pow",
    "negate": "Neg",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "sin": "Sin",
    "cos": "Cos",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "relu": "Relu",
    "abs": "Abs",
    "sign": "Sign",
    "maximum": "Max",
    "minimum": "Min",
}
COMPARED = {
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "equal": "Equal",
}
WIDTH_ONLY = ("reshape", "spread")  # gates that change shapes only


@dataclass(frozen=True)
class Form:
    """How a node of gates is written: what it needs, and what writes it."""

    needs: tuple[int, ...]
    write: Callable[[], Value]


class Writing(Values):
    """Writes gates into a graph of ONNX."""

    def write(self, wanted: Iterable[int]) -> None:
        """Write nodes and all that they need, beside `values` that are there."""
        wanted = list(wanted)
        reads = [self.gates.nodes[number].inputs for number in self.gates.needed(wanted)]
        for source in (source for inputs in (wanted, *reads) for source in inputs):
            self.readers[source] = self.readers.get(source, 0) + 1
        forms: dict[int, Form] = {}
        needed = {number for number in wanted if number not in self.values}
        for number in range(max(needed, default=-1), -1, -1):
            if number in needed and self.gates.value_of(number) is None:
                forms[number] = form = self._form(self.gates.nodes[number])
                needed.update(n for n in form.needs if n not in self.values)
        for number in sorted(forms):
            self.values[number] = forms[number].write()

    # How gates are written

    def _form(self, node: Node) -> Form:
        for group in (self._gemm, self._softmax, self._extreme, self._sum_of_places):
            found = group(node)
            if found is not None:
                return found
        if node.gate == "place":
            return self._placed(node)
        if node.gate == "take":
            return self._taken(node)
        if node.gate == "matmul":
            return self._product(node)
        if node.gate == "where":
            return Form(node.inputs, lambda: self._where(node))
        return Form(node.inputs, lambda: self._plain(node))

    def _joint(self, numbers: Iterable[int]) -> tuple[frozenset[int], int]:
        values = [self.value(number) for number in numbers]
        return frozenset().union(*(value.leads for value in values)), max(value.width for value in values)

    def _plain(self, node: Node) -> Value:
        """Elementwise gates, sums and what changes shapes only."""
        gate, source = node.gate, node.inputs[0]
        if gate in WIDTH_ONLY:
            shape = node.shape
            assert len(shape) < 2 or shape[0] == 1
            return self.values[source]
        if gate == "sum":
            return Value(self._summed(source), self.values[source].leads, 1)
        leads, width = self._joint(node.inputs)
        operands = [self.operand(number) for number in node.inputs]
        if self.plain and (gate in COMPARED or gate == "not_equal") and operands[0] != operands[1]:
            operands = [self.onnx.node("Sub", *operands), self.scalar(0.0)]
        if gate in COMPARED:
            return Value(self.onnx.node(COMPARED[gate], *operands), leads, width, True)
        if gate == "not_equal":
            return Value(self.onnx.node("Not", self.onnx.node("Equal", *operands)), leads, width, True)
        if gate in SAME:
            return Value(self.onnx.node(SAME[gate], *operands), leads, width)
        return Value(FUNCTIONS[gate](self, *operands), leads, width)

    def _summed(self, number: int) -> str:
        """The sum along the last axis."""
        if self.plain:
            ones = self.onnx.constant(np.ones((self.width(number), 1), self.gates.dtype), "ones")
            return self.onnx.node("MatMul", self.wide(number), ones)
        return self.onnx.node("ReduceSum", self.wide(number), self.numbers(self.axes), keepdims=1)

    def _where(self, node: Node) -> Value:
        condition, x, y = node.inputs
        leads, width = self._joint(node.inputs)
        found = self.value(condition)
        if found.truth:
            truth = found.name
        else:
            truth = self.onnx.node("Not", self.onnx.node("Equal", self.operand(condition), self.scalar(0.0)))
        return Value(self.onnx.node("Where", truth, self.operand(x), self.operand(y)), leads, width)

    def _sliced(self, name: str, first: int, step: int, count: int, width: int) -> str:
        end = first + step * count
        ends = end if end >= 0 else -width - 1
        numbers = [self.numbers(number) for number in (first, ends, self.axes, step)]
        return self.onnx.node("Slice", name, *numbers)

    def _taken(self, node: Node) -> Form:
        """Some columns, of the part that has them where parts were placed into a whole."""
        source = node.inputs[0]
        first, step, count = node.note[1]
        while (found := self._part(source, first, first + step * (count - 1))) is not None:
            source, first = found

        def write() -> Value:
            value = self.value(source)
            if value.width == 1 or (first, step, count) == (0, 1, value.width):
                return value
            name = self._sliced(self.operand(source), first, step, count, value.width)
            return replace(value, name=name, width=count, truth=False)

        return Form((source,) if self.gates.value_of(source) is None else (), write)

    def _part(self, number: int, first: int, last: int) -> tuple[int, int] | None:
        """The part of a whole that has columns `first` to `last`, or what lies beneath, and where they begin there."""
        node = self.gates.nodes[number]
        while node.gate == "place" and node.number not in self.values and node.note[1][1] == 1:
            begin, _, count = node.note[1]
            least, most = min(first, last), max(first, last)
            if begin <= least and most < begin + count:
                return node.inputs[0], first - begin
            if least < begin + count and begin <= most:
                return None
            node = self.gates.nodes[node.inputs[1]]
        return None if node.number == number else (node.number, first)

    def _product(self, node: Node) -> Form:
        x, y = node.inputs
        if x in self.codes:

            def chosen() -> Value:
                categories = np.arange(self.gates.shape(x)[1], dtype=self.gates.dtype)[None]
                away = self.onnx.node("Sub", self.codes[x], self.onnx.constant(categories))
                one = self.onnx.node("Cast", self.onnx.node("Equal", away, self.scalar(0.0)), to=self.type)
                return Value(self.onnx.node("MatMul", one, self.matrix(y)), frozenset({0}), node.shape[1])

            def gather() -> Value:
                rows = self.onnx.node("Gather", self.matrix(y), self.codes[x], axis=0)
                if self.axes > 1:
                    rows = self.onnx.node("Reshape", rows, self.numbers(0, *[1] * (self.axes - 1), node.shape[1]))
                return Value(rows, frozenset({0}), node.shape[1])

            return Form((), chosen if self.plain else gather)
        if self.gates.value_of(y) is None:  # a number times a row
            assert self.gates.shape(y)[0] == 1
            return Form(node.inputs, lambda: self._times(node))

        def product() -> Value:
            leads = self.value(x).leads
            return Value(self.onnx.node("MatMul", self.wide(x), self.matrix(y)), leads, node.shape[1])

        return Form((x,), product)

    def _times(self, node: Node) -> Value:
        leads, width = self._joint(node.inputs)
        return Value(self.onnx.node("Mul", *(self.operand(number) for number in node.inputs)), leads, width)

    def _gemm(self, node: Node) -> Form | None:
        """x W + b, where there are rows only."""
        if node.gate != "add" or self.axes != 1:
            return None
        for product, bias in (node.inputs, node.inputs[::-1]):
            of, b = self.gates.nodes[product], self.gates.value_of(bias)
            if of.gate != "matmul" or b is None or self.readers.get(product, 0) > 1 or product in self.values:
                continue
            x, W = of.inputs
            if x in self.codes or self.gates.value_of(W) is None or of.shape != node.shape:
                continue

            def write(x: int = x, W: int = W, b: Any = b, bias: int = bias) -> Value:
                row = self.onnx.constant(np.broadcast_to(b, node.shape)[0], self.called(bias))
                name = self.onnx.node("Gemm", self.wide(x), self.matrix(W), row)
                return Value(name, self.value(x).leads, node.shape[1])

            return Form((x,), write)
        return None

    def _bare(self, number: int) -> Node:
        """A node without what changes shapes only."""
        node = self.gates.nodes[number]
        while node.gate in WIDTH_ONLY:
            node = self.gates.nodes[node.inputs[0]]
        return node

    def _softmax(self, node: Node) -> Form | None:
        of = self._bare(node.inputs[0]) if node.gate == "exp" else node
        x = None if self.plain else self._log_softmax(of)
        if x is None or self.width(x) != self.width(node.number):
            return None
        op = "Softmax" if node.gate == "exp" else "LogSoftmax"

        def write() -> Value:
            return Value(self.onnx.node(op, self.wide(x), axis=self.axes), self.value(x).leads, self.width(x))

        return Form((x,), write)

    def _log_softmax(self, node: Node) -> int | None:
        """x, where a node is x - (max x + log Σ exp(x - max x))."""
        if node.gate != "subtract":
            return None
        x, total = node.inputs[0], self._bare(node.inputs[1])
        if total.gate != "add":
            return None
        for one, other in (total.inputs, total.inputs[::-1]):
            top, log = self._bare(one), self._bare(other)
            if top.gate != "tied" or log.gate != "log" or top.inputs[1] != x or self._reduced(top) != "ReduceMax":
                continue
            chain = log
            for gate in ("sum", "exp", "subtract"):
                chain = self._bare(chain.inputs[0])
                if chain.gate != gate:
                    break
            else:
                if chain.inputs[0] == x and self._bare(chain.inputs[1]).number == top.number:
                    return x
        return None

    def _reduced(self, node: Node) -> str | None:
        """What a `tied` node is the extreme by."""
        return {"maximum": "ReduceMax", "minimum": "ReduceMin"}.get(self._bare(node.inputs[0]).gate)

    def _extreme(self, node: Node) -> Form | None:
        if node.gate != "tied":
            return None
        op = None if self.plain else self._reduced(node)
        if op is None:
            return Form(node.inputs[:1], lambda: self.values[node.inputs[0]])
        x = node.inputs[1]

        def write() -> Value:
            name = self.wide(x)
            if self.onnx.opset < 18:
                name = self.onnx.node(op, name, axes=[self.axes], keepdims=1)
            else:
                name = self.onnx.node(op, name, self.numbers(self.axes), keepdims=1)
            return Value(name, self.value(x).leads, 1)

        return Form((x,), write)

    def _placed(self, node: Node) -> Form:
        """Parts that are placed into a whole, one upon another."""
        parts: list[tuple[int, int, int]] = []  # first, end, node
        at: Node = node
        while at.gate == "place" and at.number not in self.values:
            first, step, count = at.note[1]
            assert step == 1
            if any(first < end and begin < first + count for begin, end, _ in parts):
                break
            parts.append((first, first + count, at.inputs[0]))
            at = self.gates.nodes[at.inputs[1]]
        parts.sort()
        base = at.number
        needs = [number for *_, number in parts if self.gates.value_of(number) is None]
        return Form(
            (*needs, *([base] if self.gates.value_of(base) is None else [])), lambda: self._concat(node, parts, base)
        )

    def _sum_of_places(self, node: Node) -> Form | None:
        """A sum whose terms are parts placed into zeros, such as derivatives in many columns: wholes of many parts."""
        if node.gate != "add":
            return None
        terms, stack = [], [node.number]
        while stack:
            at = self.gates.nodes[stack.pop()]
            inside = at.number == node.number or (self.readers.get(at.number) == 1 and at.number not in self.values)
            if at.gate == "add" and inside and at.shape == node.shape:
                stack += at.inputs
            else:
                terms.append(at)
        wholes: list[list[tuple[int, int, int]]] = []
        others = []
        for term in terms:
            if term.gate != "place" or self.gates.value_of(term.inputs[1]) is None or term.number in self.values:
                others.append(term.number)
                continue
            first, _, count = term.note[1]
            part = first, first + count, term.inputs[0]
            into = next((w for w in wholes if all(e <= first or part[1] <= f for f, e, _ in w)), None)
            if into is None:
                wholes.append([part])
            else:
                into.append(part)
        if len(wholes) + len(others) == len(terms):  # no two are parts of one whole
            return None
        base = next(term.inputs[1] for term in terms if term.gate == "place" and term.number not in others)

        def write() -> Value:
            values = [self._concat(node, sorted(parts), base) for parts in wholes]
            values += [self.value(number) for number in others]
            names = [value.name for value in values[: len(wholes)]] + [self.operand(number) for number in others]
            total = names[0]
            for name in names[1:]:
                total = self.onnx.node("Add", total, name)
            leads = frozenset[int]().union(*(value.leads for value in values))
            return Value(total, leads, max(value.width for value in values))

        needs = [number for parts in wholes for *_, number in parts] + others
        return Form(tuple(number for number in needs if self.gates.value_of(number) is None), write)

    def _concat(self, node: Node, parts: list[tuple[int, int, int]], base: int) -> Value:
        width, under = self.width(node.number), self.gates.value_of(base)
        assert under is None or not under.any()
        of = [number for *_, number in parts] + ([base] if under is None else [])
        leads, _ = self._joint(of)
        pieces, done = [], 0
        bounds = [*(first for first, _, _ in parts[1:]), width]
        for (first, end, number), until in zip(parts, bounds, strict=True):
            if under is None and done < first:
                pieces.append(self._sliced(self.wide(base, leads), done, 1, first - done, width))
            piece = self.wide(number, leads)
            left, right = (first - done, until - end) if under is not None else (0, 0)
            if left or right:
                pads = [0] * self.axes + [left] + [0] * self.axes + [right]
                piece = self.onnx.node("Pad", piece, self.numbers(*pads))
            pieces.append(piece)
            done = until if under is not None else end
        if under is None and done < width:
            pieces.append(self._sliced(self.wide(base, leads), done, 1, width - done, width))
        name = self.onnx.node("Concat", *pieces, axis=self.axes) if len(pieces) > 1 else pieces[0]
        return Value(name, leads, width)
