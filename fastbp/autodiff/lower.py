"""Lowering: from the nodes of a graph to ops over buffers.

Broadcasting to an elementwise gate is free: strides of 0 read a number as one line for all, a row as one line per
panel, a column as one panel for all. A reshape that keeps the bytes, such as a vector to one row, is no op.

In x W + b, if nothing else reads x W, product and sum are one `product` op, as in a layer; so a traced layer has the
bits of the layer. For the same reason xᵀ u is `gate_outer`, the sum of a weight sweep.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from fastbp.autodiff.graph import GATES, Graph, Node, rows_and_width
from fastbp.engine.memory import Arena
from fastbp.engine.ops import Buffer, Ops
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import GateOp, NumberGateOp, Op, OuterOp, ProductOp, RowsOp, SumOp, TakeOp

# Ops that go over the rows of A; all others go over those of C.
OVER_A = ("scatter", "gate_outer", "gate_sum_all", "gate_sum_rows", "gate_sum_columns", "gate_transpose")


class Lowering(Ops):
    """The ops of a program.

    Parameters
    ----------
    graph : Graph
    inputs, outputs : list of int
        Nodes.

    Attributes
    ----------
    ops, once : list of Op
        What runs in every call, and what is constant and runs once.
    matrices_in, matrices_out : list
        Ops that read or write the caller's arrays, and which arrays.
    vectors_in, vectors_out : list
        Buffers of vectors, and which of the caller's arrays they are.
    """

    def __init__(self, graph: Graph, inputs: list[int], outputs: list[int], arena: Arena) -> None:
        super().__init__(arena, graph.dtype)
        self.graph = graph
        self.once: list[Any] = []
        self.constants: list[tuple[Buffer, Any]] = []
        self.numbers = [n for n in inputs if graph.shape(n) == ()]
        self.number_outputs = [i for i, n in enumerate(outputs) if graph.shape(n) == ()]
        self.matrices_in: list[tuple[Any, int]] = []
        self.matrices_out: list[tuple[Any, int]] = []
        self.vectors_in: list[tuple[Buffer, int]] = []
        self.vectors_out: list[tuple[Buffer, int]] = []
        self._inputs = {n: i for i, n in enumerate(inputs)}
        self._values: dict[int, Buffer] = {}
        self._columns: dict[int, Buffer] = {}
        self._once: set[int] = set()  # constant nodes
        # Numbers come in as float64 and go out as reals, one line each, in one buffer.
        self.arguments = self.new(max(len(self.numbers), 1), 1, held=True)
        self.results = self.new(max(len(self.number_outputs), 1), 1, held=True)
        if self.numbers:
            self._op("gate_fill", self.of_user(1), self.arguments, GateOp())
        order = graph.needed(outputs)
        users = Counter(i for n in order for i in graph.nodes[n].inputs)
        users.update(outputs)
        self._biased = self._with_bias(order, users)
        left = {n: outputs.count(n) for n in outputs}
        for number in order:
            node = graph.nodes[number]
            if all(i in self._once for i in node.inputs) and number not in self._inputs:
                self._once.add(number)
            if number not in self._values and not self._waits(node):
                self._lower(node)
            if number in left and number in self._values:
                self._put_out(number, outputs)
                del left[number]
        for number in left:
            self._put_out(number, outputs)

    # Buffers of values.

    def buffer(self, shape: tuple[int, ...], held: bool = False) -> Buffer:
        found: Buffer = self.new(*rows_and_width(shape), held=held)
        return found

    def whole(self, number: int) -> Buffer:
        """A value materialised as a matrix."""
        if number not in self._values:
            node = self.graph.nodes[number]
            match node.gate:
                case "argument":
                    self._bring_in(node)
                case "constant":
                    self._values[number] = self.buffer(node.shape, held=True)
                    self.constants.append((self._values[number], self.graph.value_of(number)))
                case "spread":
                    self._spread_out(node)
                case "reshape" | "tied":
                    self._values[number] = self.whole(node.inputs[0])
                case "transpose":
                    self._transpose(node)
                case _:
                    raise AssertionError(node)
        return self._values[number]

    def view(self, number: int) -> Buffer:
        """A value as an elementwise gate reads it."""
        node = self.graph.nodes[number]
        if node.gate != "spread" or number in self._values:
            return self.whole(number)
        source = node.inputs[0]
        (rows, width), (all_rows, all_width) = map(rows_and_width, (self.graph.shape(source), node.shape))
        if (rows, width) == (all_rows, all_width):
            return self.whole(source)
        if self.graph.shape(source) == ():
            return replace(self.whole(source), stride=0, row=0)
        if width == 1:
            return self._column(source, rows)
        return replace(self.whole(source), row=0)

    def _column(self, source: int, rows: int) -> Buffer:
        """One panel with each row's number in all lanes."""
        if source not in self._columns:
            once = source in self._once
            lines = self.new(rows, self.in_line, held=once)
            self._op("gate_repeat", self.whole(source), lines, GateOp(), once)
            self._columns[source] = replace(lines, stride=0, row=LINE if rows > 1 else 0)
        return self._columns[source]

    def _is_once(self, *numbers: int) -> bool:
        return all(n in self._once for n in numbers)

    def _bring_in(self, node: Node) -> None:
        which = self._inputs[node.number]
        if node.shape == ():
            self._values[node.number] = line(self.arguments, self.numbers.index(node.number))
            return
        vector = rows_and_width(node.shape)[0] == 1
        self._values[node.number] = out = self.buffer(node.shape, held=vector)
        if vector:
            self.vectors_in.append((out, which))
        else:
            self.matrices_in.append((self._op("gather", self.of_user(out.width), out, RowsOp()), which))

    def _put_out(self, number: int, outputs: list[int]) -> None:
        for i in (i for i, n in enumerate(outputs) if n == number):
            source = self.whole(number)
            if self.graph.shape(number) == ():
                target = line(self.results, self.number_outputs.index(i))
                self._op("gate_copy", source, target, NumberGateOp())
            elif source.rows == 1:
                self.held.add(source.number)
                self.vectors_out.append((source, i))
            else:
                op = self._op("scatter", source, self.of_user(source.width), RowsOp())
                self.matrices_out.append((op, i))

    # Ops.

    def _op(self, kernel: str, source: Buffer, target: Buffer, op: Op, once: bool = False) -> Op:
        self.op(kernel, source, target, op)
        op.rows = (source if kernel in OVER_A else target).rows
        op.number = 0  # nobody asks how large what it wrote is
        if once:
            self.once.append(self.ops.pop())
        return op

    def _waits(self, node: Node) -> bool:
        """Whether a node is lowered lazily, by the op that reads it."""
        if node.gate in ("argument", "constant", "spread", "transpose", "tied") or node.number in self._biased.values():
            return True
        return node.gate == "reshape" and self._same_bytes(node)

    def _same_bytes(self, node: Node) -> bool:
        """Whether a reshape keeps the bytes; a number fills every lane of its line, other values do not."""
        shape = self.graph.shape(node.inputs[0])
        return rows_and_width(shape) == rows_and_width(node.shape) and (node.shape != () or shape == ())

    def _under_names(self, number: int) -> int:
        """The node that owns these bytes."""
        node = self.graph.nodes[number]
        while node.gate == "reshape" and self._same_bytes(node):
            node = self.graph.nodes[node.inputs[0]]
        return node.number

    def _with_bias(self, order: list[int], users: Counter[int]) -> dict[int, int]:
        """Node of a sum -> its product to which a bias is added, if nothing else reads that."""
        found: dict[int, int] = {}
        for number in order:
            node = self.graph.nodes[number]
            if node.gate != "add":
                continue
            for first, second in (node.inputs, node.inputs[::-1]):
                product = self._under_names(first)
                alone = users[first] == 1 and users[product] == 1
                inside = self.graph.nodes[product]
                if inside.gate == "matmul" and alone and self._is_row(second, node.shape):
                    if self.graph.nodes[inside.inputs[0]].gate != "transpose":
                        found[number] = product
                    break
        return found

    def _is_row(self, number: int, shape: tuple[int, ...]) -> bool:
        """Whether a value is one row, broadcast over a matrix."""
        node = self.graph.nodes[number]
        rows, width = rows_and_width(shape)
        source = self.graph.shape(node.inputs[0]) if node.gate == "spread" else node.shape
        return rows_and_width(source) == (1, width) and (width > 1 or rows == 1) and (source != () or shape == ())

    def _lower(self, node: Node) -> None:
        once = node.number in self._once
        gate = GATES[node.gate]
        if node.number in self._biased:
            (bias,) = (i for i in node.inputs if self._under_names(i) != self._biased[node.number])
            inside = self.graph.nodes[self._biased[node.number]]
            row = self.graph.nodes[bias].inputs[0] if self.graph.nodes[bias].gate == "spread" else bias
            self._product(node, inside, once, bias=self.whole(row).address)
        elif gate.elementwise:
            source, *others = (self.view(i) for i in node.inputs)
            self._values[node.number] = out = self.buffer(node.shape, once)
            op = NumberGateOp(**dict(zip("by", others, strict=False)))
            self._op(gate.kernels[0], source, out, op, once)
        elif node.gate == "matmul":
            self._product(node, node, once)
        else:
            getattr(self, f"_{node.gate}")(node, once)

    def _product(self, node: Node, inside: Node, once: bool, **bias: int) -> None:
        x, y = inside.inputs
        left = self.graph.nodes[x]
        outer = left.gate == "transpose" and x not in self._values
        source, other = self.whole(left.inputs[0] if outer else x), self.whole(y)
        self._values[node.number] = out = self.buffer(node.shape, once)
        if outer:
            self._op("gate_outer", source, out, OuterOp(b=other), once)
        else:
            self._op("product", source, out, ProductOp(b=other, **bias), once)

    def _to(self, kernel: str, node: Node, once: bool, op: Op) -> None:
        """An op from a node's first input to the node."""
        source = self.whole(node.inputs[0])
        self._values[node.number] = out = self.buffer(node.shape, once)
        self._op(kernel, source, out, op, once)

    def _sum(self, node: Node, once: bool) -> None:
        if node.shape and node.note != (0,):
            self._to("gate_sum_columns", node, once, GateOp())
        else:
            self._to("gate_sum_rows" if node.shape else "gate_sum_all", node, once, SumOp())

    def _reshape(self, node: Node, once: bool) -> None:
        if not node.shape:
            self._to("gate_repeat", node, once, GateOp())
        else:
            self._to("gate_reshape", node, once, GateOp(part_width=rows_and_width(node.shape)[1]))

    def _take(self, node: Node, once: bool) -> None:
        self._to("gate_take", node, once, TakeOp(**_places(node.note)))

    def _place(self, node: Node, once: bool) -> None:
        self.whole(node.inputs[0])  # first
        self._to("gate_place", node, once, TakeOp(b=self.view(node.inputs[1]), **_places(node.note)))

    def _transpose(self, node: Node) -> None:
        self._to("gate_transpose", node, self._is_once(*node.inputs), GateOp())

    def _spread_out(self, node: Node) -> None:
        """Materialise a broadcast value, for an op that needs all of it."""
        source, once = self.view(node.number), self._is_once(*node.inputs)
        if source.rows == rows_and_width(node.shape)[0] and source.stride and source.row:
            self._values[node.number] = source
            return
        out = self.buffer(node.shape, once)
        self._op("gate_copy", source, out, NumberGateOp(), once)
        self._values[node.number] = out


def line(whole: Buffer, at: int) -> Buffer:
    """One line of a buffer that has a number per row."""
    return replace(whole, address=whole.address + at * LINE, stride=LINE, rows=1)


def _places(note: tuple[tuple[int, int, int], tuple[int, int, int]]) -> dict[str, int]:
    (row, row_jump, rows), (column, column_jump, columns) = note
    begins = {"row_begin": row, "row_jump": row_jump, "column_begin": column, "column_jump": column_jump}
    return {**begins, "part_rows": rows, "part_width": columns}
