"""Gates as JavaScript: for each gate an expression of its inputs, or what is written instead.

A value has rows and columns, and stands in an array row by row, or in a variable if it is one number. What is read
once, by an expression of the same shape, is part of that expression; what only tells where numbers stand (`spread`,
`reshape`, `take`, `transpose`) becomes an index. So a layer is a product and a loop:

    product(v9, x, p_0_weight, 1, 2, 16);
    for (let c = 0; c < 16; c++) v11[c] = Math.tanh(v9[c] + p_0_bias[c]);

Numbers are computed in double precision whatever the network's are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.autodiff.graph import Graph, Node, rows_and_width
from fastbp.export.in_js.functions import FUNCTIONS
from fastbp.export.in_js.order import EACH, PREPARED, Given, Order
from fastbp.export.in_js.table import ELEMENTWISE, Formula
from fastbp.export.in_js.text import Expression, literal

STATEMENTS = 100  # of a function: engines of JavaScript compile none that are very long
LONGEST = 160  # characters of an expression that becomes part of another

Place = tuple[int, int]  # a stage, and which of its functions


PLACES = ("spread", "reshape", "take", "transpose")  # gates that become an index
WRITTEN = ("sum", "tied", "matmul", "place")  # gates that are always written


def _plus(first: int, step: int, index: str) -> str:
    """first + step · index, as a text."""
    if index.lstrip("-").isdigit():
        return str(first + step * int(index))
    inner = f"({index})" if " " in index else index
    scaled = index if step == 1 else f"{step} * {inner}"
    return scaled if first == 0 else f"{scaled} + {first}" if first > 0 else f"{scaled} - {-first}"


def _flat(r: str, c: str, width: int) -> str:
    """The place of row r and column c."""
    if r == "0":
        return c
    if r.isdigit():
        return _plus(int(r) * width, 1, c)
    row = r if width == 1 else f"{f'({r})' if ' ' in r else r} * {width}"
    return row if c == "0" else f"{row} + {c}"


def _loop(index: str, count: int) -> str:
    return f"for (let {index} = 0; {index} < {count}; {index}++) "


def _taken(total: Expression, one: Expression, joined: Formula) -> str:
    """The statement by which a number is joined with a total."""
    found = joined(total, one).text
    short = f"{total.text} + "
    return f"{total.text} += {found.removeprefix(short)};" if found.startswith(short) else f"{total.text} = {found};"


def _extreme(graph: Graph, node: Node) -> str:
    """Whether the value of a gate `tied` is a maximum or a minimum."""
    found = graph.nodes[node.inputs[0]]
    while found.gate == "reshape":
        found = graph.nodes[found.inputs[0]]
    return found.gate


class Code:
    """The JavaScript of some nodes of a graph, in functions of the four stages of `order.py`.

    Parameters
    ----------
    graph : Graph
    given : dict of int to Given
        By the nodes of arguments.
    found, each : list of int
        The nodes that are wanted of these stages.
    named : dict of int to str
        Variables of constants that have names.

    Attributes
    ----------
    names : list of str
        The arrays in which `found` and then `each` are.
    arrays : dict of str to int
        Those that the functions write, and their lengths.
    constants : dict of str to array
        Those that they read besides what is given.
    numbers : list of str
        Variables that several functions use.
    functions : set of str
        Of `FUNCTIONS`.
    stages : list of list of str
        The bodies of the functions of each stage.
    """

    def __init__(
        self,
        graph: Graph,
        given: dict[int, Given],
        found: Sequence[int],
        each: Sequence[int] = (),
        named: Mapping[int, str] | None = None,
    ) -> None:
        self.graph, self.given, self.named = graph, given, named or {}
        self.arrays: dict[str, int] = {}
        self.constants: dict[str, NDArray[Any]] = {}
        self.functions: set[str] = set()
        self.order = Order(graph, given, found, each)
        self._inputs, self._stage = self.order.inputs, self.order.stage
        self._names: dict[int, str] = {}  # of arrays and numbers that have been written, by node
        self._copies: dict[int, str] = {}  # arrays of what stands elsewhere in another order
        self._now = PREPARED
        self._home: dict[str, Place] = {}  # the function in which a number is
        self._reads: dict[str, set[Place]] = {}
        self._said: list[list[list[tuple[str, str]]]] = [[[]] for _ in range(EACH + 1)]
        for now in range(EACH + 1):
            self._now = now
            for number in self.order.nodes:
                if self._stage[number] == now and number not in given:
                    if len(self._said[now][-1]) >= STATEMENTS:
                        self._said[now].append([])
                    self._node(graph.nodes[number])
        self.names = [self.array(number) for number in (*found, *each)]
        shared = {name for name, home in self._home.items() if self._reads.get(name, set()) - {home}}
        self.numbers = sorted(shared, key=lambda name: int(name[1:]))
        self.stages = [[self._body(one, shared) for one in functions if one] for functions in self._said]

    # Expressions

    def at(self, number: int, r: str, c: str) -> Expression:
        """The number in row r and column c of a node."""
        node = self.graph.nodes[number]
        same = self._same(number)
        if same is not None:
            return literal(same)
        rows, width = rows_and_width(node.shape)
        if rows == 1:
            r = "0"
        if width == 1:
            c = "0"
        if number in self.order.turned:
            return self.at(self.order.turned[number], c, r)
        if number in self._names or number in self.given or node.gate == "constant":
            name = self._array_or_number(number)
            return Expression(name if self._single(number) else f"{name}[{_flat(r, c, width)}]")
        if node.gate == "take":
            rows_range, columns_range = node.note
            r, c = _plus(rows_range[0], rows_range[1], r), _plus(columns_range[0], columns_range[1], c)
            return self.at(self._inputs[node.number][0], r, c)
        if node.gate == "transpose":
            return self.at(self._inputs[node.number][0], c, r)
        if node.gate == "spread":
            return self.at(self._inputs[node.number][0], r, c)
        if node.gate == "reshape":
            return self._reshaped(node, r, c)
        if node.gate == "matmul":
            return self._outer_or_row(node, r, c)
        return ELEMENTWISE[node.gate](*(self.at(i, r, c) for i in self._inputs[node.number]))

    def _same(self, number: int) -> float | None:
        """The number of a constant whose elements are all equal."""
        found = self.graph.value_of(number)
        if found is None or not (found.size == 1 or (found == found.flat[0]).all()):
            return None
        return float(found.flat[0])

    def _reshaped(self, node: Node, r: str, c: str) -> Expression:
        (source,) = self._inputs[node.number]
        have, want = rows_and_width(self.graph.shape(source)), rows_and_width(node.shape)
        if have == want:
            return self.at(source, r, c)
        if have == want[::-1] and 1 in have:
            return self.at(source, c, r)
        return Expression(f"{self.array(source)}[{_flat(r, c, want[1])}]")

    def _outer_or_row(self, node: Node, r: str, c: str) -> Expression:
        """A product of a column and a row, or a row of a table by a code."""
        x, y = self._inputs[node.number]
        if self._is_code(x):
            width = node.shape[1]
            inside = self.given[x].name if width == 1 else f"{self.given[x].name} * {width} + {c}"
            return Expression(f"{self.array(y)}[{inside}]")
        return ELEMENTWISE["multiply"](self.at(x, r, "0"), self.at(y, "0", c))

    def _is_code(self, number: int) -> bool:
        return number in self.given and self.given[number].code

    def _single(self, number: int) -> bool:
        """Whether a node that has a name is in a variable."""
        return number not in self.given and rows_and_width(self.graph.shape(number)) == (1, 1)

    def _array_or_number(self, number: int) -> str:
        if number in self.given:
            return self.given[number].name
        if number not in self._names:
            self._constant(number)
        name = self._names[number]
        if self._single(number):
            self._read(name)
        return name

    def _constant(self, number: int) -> None:
        found = self.graph.value_of(number)
        assert found is not None
        self._names[number] = name = self.named.get(number, f"v{number}")
        self.constants[name] = found.ravel()

    def _read(self, name: str) -> None:
        self._reads.setdefault(name, set()).add(self._function())

    def array(self, number: int) -> str:
        """The array in which a node's numbers stand row by row."""
        node = self.graph.nodes[number]
        single = rows_and_width(node.shape) == (1, 1)
        if number in self.given:
            return self.given[number].name
        constant = node.gate == "constant" and number not in self.order.turned and self._same(number) is None
        if not single and (number in self._names or constant):
            return self._array_or_number(number)
        copied = self._copies.get(number)
        if copied is not None:
            return copied
        if node.gate == "reshape" and not single:
            return self.array(self._inputs[node.number][0])
        self._copies[number] = name = self._new(number, "a" if number in self._names else "")
        before, self._now = self._now, self._stage[number]
        self._loops(name, rows_and_width(node.shape), lambda r, c: self.at(number, r, c))
        self._now = before
        return name

    # Statements

    def _function(self) -> Place:
        return self._now, len(self._said[self._now]) - 1

    def _new(self, number: int, suffix: str = "") -> str:
        name = f"v{number}{suffix}"
        self.arrays[name] = int(np.prod(self.graph.shape(number)))
        return name

    def _say(self, text: str, number: str = "") -> None:
        """A statement; with a number it is what the variable of this name is."""
        self._said[self._now][-1].append((text, number))
        if number:
            self._home[number] = self._function()

    def _loops(self, name: str, size: tuple[int, int], of: Callable[[str, str], Expression]) -> None:
        """An array, number by number."""
        rows, width = size
        r, c = "r" if rows > 1 else "0", "c" if width > 1 else "0"
        found = of(r, c).text
        loops = "".join(_loop(v, n) for v, n in ((r, rows), (c, width)) if n > 1)
        self._say(f"{loops}{name}[{_flat(r, c, width)}] = {found};")

    def _node(self, node: Node) -> None:
        number = node.number
        if node.gate == "constant" or node.gate in PLACES or self._same(number) is not None:
            return
        if node.gate == "matmul" and self._is_code(self._inputs[node.number][0]):
            return
        if self._is_part(node):
            return
        size = rows_and_width(node.shape)
        if node.gate == "sum":
            self._over(node, 0.0, ELEMENTWISE["add"])
        elif node.gate == "tied":
            extreme = _extreme(self.graph, node)
            self._over(node, -np.inf if extreme == "maximum" else np.inf, ELEMENTWISE[extreme])
        elif node.gate == "place":
            self._place(node)
        elif node.gate == "matmul" and not self._is_plain(node):
            self._product(node)
        elif size == (1, 1):
            self._number(node, self._expression(node, "0", "0"))
        else:
            name = self._new(number)
            self._loops(name, size, lambda r, c: self._expression(node, r, c))
            self._names[number] = name
        self.functions |= {node.gate} & set(FUNCTIONS)

    def _expression(self, node: Node, r: str, c: str) -> Expression:
        """What a node is, as an expression."""
        if node.gate == "matmul":
            return self._outer_or_row(node, r, c)
        return ELEMENTWISE[node.gate](*(self.at(i, r, c) for i in self._inputs[node.number]))

    def _is_plain(self, node: Node) -> bool:
        """Whether each number of a node is an expression of one number of each input."""
        if node.gate == "matmul":
            return self.graph.shape(self._inputs[node.number][0])[1] == 1
        return node.gate in ELEMENTWISE

    def _is_part(self, node: Node) -> bool:
        """Whether a node becomes part of the expression of its only reader."""
        if self.order.count[node.number] != 1 or not self._is_plain(node):
            return False
        reader = self.order.reader.get(node.number)
        if reader is None or self._stage[reader] != self._stage[node.number]:
            return False
        by = self.graph.nodes[reader]
        if by.gate != "sum" and (not self._is_plain(by) or by.shape != node.shape):
            return False
        if len(self._expression(node, "r", "c").text) > LONGEST:
            return False
        self.functions |= {node.gate} & set(FUNCTIONS)
        return True

    def _number(self, node: Node, found: Expression) -> None:
        name = f"v{node.number}"
        self._say(f"{name} = {found.text};", name)
        self._names[node.number] = name

    def _over(self, node: Node, start: float, joined: Formula) -> None:
        """Numbers of some axes, one after another joined with those before."""
        (source,) = self._inputs[node.number]
        shape = self.graph.shape(source)
        rows, width = rows_and_width(shape)
        axes = {axis + 2 - len(shape) for axis in node.note}
        indices = [("r", rows, 0), ("c", width, 1)]
        over = [_loop(v, n) for v, n, axis in indices if n > 1 and axis in axes]
        kept = [(v, n) for v, n, axis in indices if n > 1 and axis not in axes]
        name = f"v{node.number}"
        one = self.at(source, "r" if rows > 1 else "0", "c" if width > 1 else "0")
        first = literal(start).text
        if not kept:
            self._say(f"{name} = {first};", name)
            self._say("".join(over) + _taken(Expression(name), one, joined))
            self._read(name)
        else:
            ((k, n),) = kept
            self._new(node.number)
            self._say(f"{name}.fill({first});")
            self._say(_loop(k, n) + "".join(over) + _taken(Expression(f"{name}[{k}]"), one, joined))
        self._names[node.number] = name

    def _place(self, node: Node) -> None:
        x, y = self._inputs[node.number]
        below, (rows, columns) = self.graph.nodes[y], node.note
        alone = self.order.count[y] == 1 and self._stage[y] == self._stage[node.number]
        if below.gate == "place" and alone:
            name = self._names[y]
        else:
            name = self._new(node.number)
            same = self._same(y)
            if same is not None:
                self._say(f"{name}.fill({literal(same).text});")
            else:
                self._loops(name, rows_and_width(node.shape), lambda r, c: self.at(y, r, c))
        width = rows_and_width(node.shape)[1]
        r, c = "r" if rows[2] > 1 else "0", "c" if columns[2] > 1 else "0"
        loops = "".join(_loop(v, n) for v, n in ((r, rows[2]), (c, columns[2])) if n > 1)
        to = _flat(_plus(rows[0], rows[1], r), _plus(columns[0], columns[1], c), width)
        self._say(f"{loops}{name}[{to}] = {self.at(x, r, c).text};")
        self._names[node.number] = name

    def _product(self, node: Node) -> None:
        x, y = self._inputs[node.number]
        turned = self._inputs[y][0] if self.graph.nodes[y].gate == "transpose" else self.order.turned.get(y)
        left, right = self.array(x), self.array(y if turned is None else turned)
        (rows, inner), columns = self.graph.shape(x), node.shape[1]
        function = "product" if turned is None else "productTransposed"
        self.functions.add(function)
        if rows_and_width(node.shape) == (1, 1):
            name = self._new(node.number, "a")
            self._say(f"{function}({name}, {left}, {right}, {rows}, {inner}, {columns});")
            self._number(node, Expression(f"{name}[0]"))
            return
        name = self._new(node.number)
        self._say(f"{function}({name}, {left}, {right}, {rows}, {inner}, {columns});")
        self._names[node.number] = name

    def _body(self, statements: list[tuple[str, str]], shared: set[str]) -> str:
        """The body of a function, which declares the numbers that only it uses."""
        lines = []
        for text, number in statements:
            changes = text in (f"{number} = 0;", f"{number} = -Infinity;", f"{number} = Infinity;")
            kind = "" if not number or number in shared else "let " if changes else "const "
            lines.append(f"  {kind}{text}")
        return "\n".join(lines)
