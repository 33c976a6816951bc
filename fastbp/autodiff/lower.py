"""Lowering: from the nodes of a graph to steps over spaces, one for each op that will run.

A *space* is a panel matrix without an address yet; a *view* is how a step reads one. Broadcasting to an elementwise
gate is free: strides of 0 read a number as one line for all, a row as one line per panel, a column as one panel for
all. A reshape that keeps the bytes, such as a vector to one row, is no step.

In x W + b, if nothing else reads x W, product and sum are one `product` op, as in a layer; so a traced layer has the
bits of the layer. For the same reason xᵀ u is `gate_outer`, the sum of a weight sweep.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fastbp.autodiff.graph import GATES, Graph, Node, rows_and_width
from fastbp.kernels.fields import LINE


@dataclass(eq=False)
class Space:
    """A panel matrix to be placed; memory of `pinned` ones is never reused.

    A number may be line `at` of a `whole` space of numbers.
    """

    rows: int
    width: int
    panels: int
    pinned: bool = False
    address: int = 0
    whole: Space | None = None
    at: int = 0

    @property
    def stride(self) -> int:
        return LINE if self.rows == 1 else (self.rows | 1) * LINE

    @property
    def lines(self) -> int:
        return self.panels * self.stride // LINE


@dataclass(frozen=True)
class View:
    """How a space is read: strides of panels and rows; 0 repeats."""

    space: Space
    stride: int
    row: int

    @property
    def flat(self) -> bool:
        """Whether the space is read as consecutive lines, or as one line for all."""
        return (self.stride, self.row) in ((0, 0), (self.space.stride, LINE))


@dataclass(eq=False)
class Step:
    """One op: kernel, views A, B and Y, output, and other fields of its record."""

    kernel: str
    target: Space | None
    views: tuple[View, ...]
    rows: int
    elementwise: bool = False
    words: dict[str, int] = field(default_factory=dict)
    once: bool = False  # constant: runs once, when the program is made
    user: int | None = None  # number of the caller's array that is its A (gather) or C (scatter)
    number: int = 0  # of its record


class Lowering:
    """The steps of a program.

    Parameters
    ----------
    graph : Graph
    inputs, outputs : list of int
        Nodes.
    """

    def __init__(self, graph: Graph, inputs: list[int], outputs: list[int], in_line: int) -> None:
        self.graph = graph
        self.in_line = in_line
        self.steps: list[Step] = []
        self.constants: list[tuple[Space, Any]] = []
        self.numbers = [n for n in inputs if graph.shape(n) == ()]
        self.number_outputs = [i for i, n in enumerate(outputs) if graph.shape(n) == ()]
        self.vector_inputs: list[tuple[int, Space]] = []  # number of the input, and its space
        self.vector_outputs: dict[int, Space] = {}  # number of the output, and its space
        self._inputs = {n: i for i, n in enumerate(inputs)}
        self._spaces: dict[int, Space] = {}
        self._columns: dict[int, View] = {}
        self._once: set[int] = set()  # constant nodes
        # Numbers come in as float64 and go out as reals, one line each, in one space.
        self.arguments = Space(max(len(self.numbers), 1), 1, 1, pinned=True)
        self.results = Space(max(len(self.number_outputs), 1), 1, 1, pinned=True)
        order = graph.needed(outputs)
        users = Counter(i for n in order for i in graph.nodes[n].inputs)
        users.update(outputs)
        self._biased = self._with_bias(order, users)
        left = {n: outputs.count(n) for n in outputs}
        for number in order:
            node = graph.nodes[number]
            if all(i in self._once for i in node.inputs) and number not in self._inputs:
                self._once.add(number)
            if number not in self._spaces and not self._waits(node):
                self._lower(node)
            if number in left and number in self._spaces:
                self._put_out(number, outputs)
                del left[number]
        for number in left:
            self._put_out(number, outputs)

    # Spaces of values.

    def space(self, shape: tuple[int, ...], pinned: bool = False) -> Space:
        rows, width = rows_and_width(shape)
        return Space(rows, width, -(-width // self.in_line), pinned)

    def whole(self, number: int) -> View:
        """A value materialised as a matrix."""
        if number not in self._spaces:
            node = self.graph.nodes[number]
            match node.gate:
                case "argument":
                    self._bring_in(node)
                case "constant":
                    self._spaces[number] = space = self.space(node.shape, pinned=True)
                    self.constants.append((space, self.graph.value_of(number)))
                case "spread":
                    self._spread_out(node)
                case "reshape" | "tied":
                    self._spaces[number] = self.whole(node.inputs[0]).space
                case "transpose":
                    self._transpose(node)
                case _:
                    raise AssertionError(node)
        space = self._spaces[number]
        return View(space, space.stride, LINE)

    def view(self, number: int) -> View:
        """A value as an elementwise gate reads it."""
        node = self.graph.nodes[number]
        if node.gate != "spread" or number in self._spaces:
            return self.whole(number)
        source = node.inputs[0]
        (rows, width), (all_rows, all_width) = map(rows_and_width, (self.graph.shape(source), node.shape))
        if (rows, width) == (all_rows, all_width):
            return self.whole(source)
        if self.graph.shape(source) == ():
            return View(self.whole(source).space, 0, 0)
        if width == 1:
            return self._column(source, rows)
        return View(self.whole(source).space, self.whole(source).space.stride, 0)

    def _column(self, source: int, rows: int) -> View:
        """One panel with each row's number in all lanes."""
        if source not in self._columns:
            space = Space(rows, self.in_line, 1, pinned=source in self._once)
            self._step("gate_repeat", space, (self.whole(source),), rows, self._is_once(source))
            self._columns[source] = View(space, 0, LINE if rows > 1 else 0)
        return self._columns[source]

    def _is_once(self, *numbers: int) -> bool:
        return all(n in self._once for n in numbers)

    def _bring_in(self, node: Node) -> None:
        which = self._inputs[node.number]
        if node.shape == ():
            at = self.numbers.index(node.number)
            self._spaces[node.number] = line(self.arguments, at)
            return
        self._spaces[node.number] = space = self.space(node.shape)
        if space.rows == 1:
            space.pinned = True
            self.vector_inputs.append((which, space))
        else:
            self._step("gather", space, (), space.rows, False, user=which)

    def _put_out(self, number: int, outputs: list[int]) -> None:
        for i in (i for i, n in enumerate(outputs) if n == number):
            source = self.whole(number)
            space = source.space
            if self.graph.shape(number) == ():
                target = line(self.results, self.number_outputs.index(i))
                self._step("gate_copy", target, (source,), 1, False, elementwise=True)
            elif space.rows == 1:
                space.pinned = True
                self.vector_outputs[i] = space
            else:
                self._step("scatter", None, (source,), space.rows, False, user=i)

    # Steps.

    def _step(
        self, kernel: str, target: Space | None, views: tuple[View, ...], rows: int, once: bool, **more: Any
    ) -> None:
        named = {"elementwise": more.pop("elementwise", False), "user": more.pop("user", None)}
        self.steps.append(Step(kernel, target, views, rows, words=more, once=once, **named))

    def _waits(self, node: Node) -> bool:
        """Whether a node is lowered lazily, by the step that reads it."""
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
            self._product(node, inside, once, (self.whole(row),))
        elif gate.elementwise:
            views = tuple(self.view(i) for i in node.inputs)
            self._spaces[node.number] = space = self.space(node.shape, pinned=once)
            self._step(gate.kernels[0], space, views, space.rows, once, elementwise=True)
        elif node.gate == "matmul":
            self._product(node, node, once)
        else:
            getattr(self, f"_{node.gate}")(node, once)

    def _product(self, node: Node, inside: Node, once: bool, bias: tuple[View, ...] = ()) -> None:
        x, y = inside.inputs
        left = self.graph.nodes[x]
        if left.gate == "transpose" and x not in self._spaces:
            views = self.whole(left.inputs[0]), self.whole(y)
            kernel, rows = "gate_outer", views[0].space.rows
        else:
            views = self.whole(x), self.whole(y)
            kernel, rows = "product", views[0].space.rows
        self._spaces[node.number] = space = self.space(node.shape, pinned=once)
        self._step(kernel, space, (*views, *bias), rows, once)

    def _sum(self, node: Node, once: bool) -> None:
        source = self.whole(node.inputs[0])
        self._spaces[node.number] = space = self.space(node.shape, pinned=once)
        kernel = "gate_sum_all" if not node.shape else "gate_sum_rows" if node.note == (0,) else "gate_sum_columns"
        self._step(kernel, space, (source,), source.space.rows, once)

    def _reshape(self, node: Node, once: bool) -> None:
        source = self.whole(node.inputs[0])
        self._spaces[node.number] = space = self.space(node.shape, pinned=once)
        if not node.shape:
            self._step("gate_repeat", space, (source,), 1, once)
        else:
            self._step("gate_reshape", space, (source,), space.rows, once, part_width=space.width)

    def _take(self, node: Node, once: bool) -> None:
        source = self.whole(node.inputs[0])
        self._spaces[node.number] = space = self.space(node.shape, pinned=once)
        self._step("gate_take", space, (source,), space.rows, once, **_places(node.note))

    def _place(self, node: Node, once: bool) -> None:
        views = self.whole(node.inputs[0]), self.view(node.inputs[1])
        self._spaces[node.number] = space = self.space(node.shape, pinned=once)
        self._step("gate_place", space, views, space.rows, once, **_places(node.note))

    def _transpose(self, node: Node) -> None:
        source, once = self.whole(node.inputs[0]), self._is_once(*node.inputs)
        self._spaces[node.number] = space = self.space(node.shape, pinned=once)
        self._step("gate_transpose", space, (source,), source.space.rows, once)

    def _spread_out(self, node: Node) -> None:
        """Materialise a broadcast value, for a step that needs all of it."""
        source, once = self.view(node.number), self._is_once(*node.inputs)
        if source.space.rows == rows_and_width(node.shape)[0] and source.stride == source.space.stride and source.row:
            self._spaces[node.number] = source.space
            return
        space = self.space(node.shape, pinned=once)
        self._step("gate_copy", space, (source,), space.rows, once, elementwise=True)
        self._spaces[node.number] = space


def line(whole: Space, at: int) -> Space:
    """One line of a space that has a number per row."""
    return Space(1, 1, 1, pinned=True, whole=whole, at=at)


def _places(note: tuple[tuple[int, int, int], tuple[int, int, int]]) -> dict[str, int]:
    (row, row_jump, rows), (column, column_jump, columns) = note
    begins = {"row_begin": row, "row_jump": row_jump, "column_begin": column, "column_jump": column_jump}
    return {**begins, "part_rows": rows, "part_width": columns}
