"""From a graph to compiled code: one function, in which gates of one shape that follow each other share a loop.

Sums and matrix products add up in one fixed order, and exp, log, tanh and sigmoid are our own, so the bits do not
depend on the machine; sin and cos are the system's.
"""

from __future__ import annotations

from typing import Any

from fastbp.autodiff.gates import GATES
from fastbp.autodiff.graph import Graph, Node

EXPRESSIONS = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "power": "power({0}, {1})",
    "negate": "-{0}",
    "exp": "exp(fill({0}))",
    "log": "log(fill({0}))",
    "tanh": "tanh(fill({0}))",
    "sigmoid": "sigmoid(fill({0}))",
    "sqrt": "sqrt({0})",
    "sin": "sin({0})",
    "cos": "cos({0})",
    "abs": "abs({0})",
    "sign": "sign({0})",
    "maximum": "maximum({0}, {1})",
    "minimum": "minimum({0}, {1})",
    "where": "({1} if {0} != 0.0 else {2})",
    "greater": "(1.0 if {0} > {1} else 0.0)",
    "less": "(1.0 if {0} < {1} else 0.0)",
    "equal": "(1.0 if {0} == {1} else 0.0)",
}
WHOLE = {
    "sum": "sum_over({0}, {note})",
    "spread": "np.broadcast_to({0}, {note}).copy()",
    "reshape": "{0}.reshape({note})",
    "transpose": "{0}.T.copy()",
    "matmul": "matmul({0}, {1})",
}


def source_of(g: Graph, outputs: list[int], arguments: list[int]) -> tuple[str, dict[str, Any]]:
    """The text of a function of the arguments that returns the outputs, and the constants that it names."""
    order = [n for n in g.needed(outputs) if n not in arguments]
    constants: dict[str, Any] = {}
    names: dict[int, str] = {a: f"a{i}" for i, a in enumerate(arguments)}
    lines: list[str] = []
    used = _users(g, order, outputs)
    for number in order:
        value = g.value_of(number)
        if g.nodes[number].gate == "constant" and value is not None:
            names[number] = repr(float(value)) if value.shape == () else f"c{number}"
            if value.shape != ():
                constants[f"c{number}"] = value.copy()
    at = 0
    todo = [n for n in order if g.nodes[n].gate != "constant"]
    while at < len(todo):
        node = g.nodes[todo[at]]
        if node.shape == () or not _in_loop(g, node):
            lines.append(f"n{node.number} = {_alone(g, node, names)}")
            names[node.number] = f"n{node.number}"
            at += 1
            continue
        group = []
        while at < len(todo) and _in_loop(g, g.nodes[todo[at]]) and g.nodes[todo[at]].shape == node.shape:
            group.append(g.nodes[todo[at]])
            at += 1
        lines += _loop(g, group, names, used)
    results = ", ".join(_result(g, names, o) for o in outputs)
    body = "\n    ".join([*lines, f"return ({results},)"])
    return f"def traced({', '.join(f'a{i}' for i in range(len(arguments)))}):\n    {body}\n", constants


def _result(g: Graph, names: dict[int, str], number: int) -> str:
    name = names[number]
    return f"{name} + 0.0" if g.shape(number) == () else f"{name}.copy()"


def _in_loop(g: Graph, node: Node) -> bool:
    """Whether a gate is computed number by number; a number that is repeated only stands for itself there."""
    return GATES[node.gate].elementwise or (node.gate == "spread" and g.shape(node.inputs[0]) == ())


def _users(g: Graph, order: list[int], outputs: list[int]) -> dict[int, list[int]]:
    users: dict[int, list[int]] = {n: [] for n in range(len(g.nodes))}
    for number in order:
        for i in g.nodes[number].inputs:
            users[i].append(number)
    for o in outputs:
        users[o].append(-1)
    return users


def _alone(g: Graph, node: Node, names: dict[int, str]) -> str:
    inputs = [names[i] for i in node.inputs]
    if node.shape == () and node.gate in EXPRESSIONS:
        return EXPRESSIONS[node.gate].format(*inputs)
    if node.gate == "reshape" and node.shape == ():
        return f"{inputs[0]}.ravel()[0]" if g.shape(node.inputs[0]) != () else inputs[0]
    if node.gate == "reshape" and g.shape(node.inputs[0]) == ():
        return f"np.full({node.note}, {inputs[0]})"
    if node.gate == "sum" and node.shape == ():
        return f"sum_all({inputs[0]})"
    if node.gate == "sum":
        return _sum(g, node, inputs[0])
    return WHOLE[node.gate].format(*inputs, note=node.note)


def _sum(g: Graph, node: Node, name: str) -> str:
    """A sum over some axes, as one over the middle of three."""
    shape, axes = g.shape(node.inputs[0]), node.note
    first, last = axes[0], axes[-1]
    if axes != tuple(range(first, last + 1)):  # one axis after another, from behind
        out, left = name, list(shape)
        for axis in reversed(axes):
            before, size, after = _three(left, axis, axis)
            del left[axis]
            out = f"sum_middle({out}.reshape(({before}, {size}, {after}))).reshape({(*left,)})"
        return out
    before, size, after = _three(list(shape), first, last)
    return f"sum_middle({name}.reshape(({before}, {size}, {after}))).reshape({node.shape})"


def _three(shape: list[int], first: int, last: int) -> tuple[int, int, int]:
    sizes = [1, 1, 1]
    for i, size in enumerate(shape):
        sizes[0 if i < first else 1 if i <= last else 2] *= size
    return sizes[0], sizes[1], sizes[2]


def _loop(g: Graph, group: list[Node], names: dict[int, str], used: dict[int, list[int]]) -> list[str]:
    """One loop over a group; what others need of it goes into arrays."""
    inside = {node.number for node in group}
    lines: list[str] = []
    local: dict[int, str] = {}
    body: list[str] = []
    for node in group:
        operands = []
        for i in node.inputs:
            if i in local:
                operands.append(local[i])
            elif g.shape(i) == ():
                operands.append(names[i])
            else:
                operands.append(f"{names[i]}f[i]")
                line = f"{names[i]}f = {names[i]}.ravel()"
                if line not in lines:
                    lines.append(line)
        if node.gate == "spread":
            local[node.number] = operands[0]
        else:
            body.append(f"    x{node.number} = {EXPRESSIONS[node.gate].format(*operands)}")
            local[node.number] = f"x{node.number}"
        if any(user not in inside for user in used[node.number]):
            lines.append(f"n{node.number} = np.empty({node.shape})")
            lines.append(f"n{node.number}w = n{node.number}.ravel()")
            body.append(f"    n{node.number}w[i] = {local[node.number]}")
            names[node.number] = f"n{node.number}"
    size = 1
    for length in group[0].shape:
        size *= length
    return [*lines, f"for i in range({size}):", *body] if body else lines
