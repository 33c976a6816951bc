"""Formulas of custom activations, losses and penalties: traced to gates, differentiated, and made kernels.

A function is stored as its gates, so it is saved, compared and compiled as data; equal formulas share one kernel, whose
name is a hash of the formula.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from inspect import signature
from typing import Any

import numpy as np

from fastbp.autodiff.expression import parse
from fastbp.autodiff.fuse import fused
from fastbp.autodiff.graph import GATES, Graph
from fastbp.autodiff.tracer import Tracer, gate, node_of
from fastbp.autodiff.walk import pull
from fastbp.errors import ConfigError, ConfigTypeError, brief
from fastbp.kernels import branches, losses, penalties
from fastbp.kernels.flags import KERNELS
from fastbp.kernels.gates import FORMULAS
from fastbp.spec.checks import takes

# ("argument",), ("constant", 0.5) and ("exp", 0), in which numbers are places in the list; the last is the result.
Gates = tuple[tuple[Any, ...], ...]
# By the name of a kernel that was made of a formula: its graph, the arguments and the outputs.
TRACED: dict[str, tuple[Graph, list[int], list[int]]] = {}


def formula_of(where: str, given: Any, names: Sequence[str]) -> str | Gates:
    """A formula as stored: text unchanged, a function as its gates."""
    if isinstance(given, str):
        _gates(where, parse(given, names, where), names)  # raises if it is no formula of these names
        return given
    if isinstance(given, list | tuple):
        return _from_data(where, given, len(names))
    if not callable(given) or not takes(given, len(names)):
        arguments = ", ".join(names)
        raise ConfigTypeError(where, f"must be a function of {arguments}, or a formula as text", f"`{brief(given)}`")
    return _gates(where, given, names)


def _gates(where: str, function: Callable[..., Any], names: Sequence[str]) -> Gates:
    """The gates of a function of numbers."""
    graph = Graph()
    arguments = [graph.argument(()) for _ in names]
    found = function(*(Tracer(graph, a) for a in arguments))
    if isinstance(found, tuple | list):
        raise ConfigTypeError(where, "must give one number", f"a {type(found).__name__}")
    output = node_of(graph, found)
    if graph.shape(output) != ():
        raise ConfigError(where, "must be elementwise", f"a result of shape `{graph.shape(output)}`")
    if arguments[0] not in graph.needed([output]):
        raise ConfigError(where, f"must depend on {names[0]}", "a constant")
    order = graph.needed([output])
    places = {a: i for i, a in enumerate(arguments)}
    gates: list[tuple[Any, ...]] = [("argument",)] * len(arguments)
    for number in order:
        if number in places:
            continue
        node = graph.nodes[number]
        places[number] = len(gates)
        value = graph.value_of(number)
        if node.gate == "constant" and value is not None:
            gates.append(("constant", float(value)))
        else:
            gates.append((node.gate, *(places[i] for i in node.inputs)))
    if places[output] != len(gates) - 1:  # an argument itself
        gates += [("constant", 1.0), ("multiply", places[output], len(gates))]
    return tuple(gates)


def _from_data(where: str, data: Sequence[Any], count: int) -> Gates:
    """Gates from a file."""
    gates: list[tuple[Any, ...]] = []
    for i, entry in enumerate(data):
        if not _is_gate(entry, i, count):
            raise ConfigError(where, "must be gates of this version", f"`{entry}`")
        gates.append(("constant", float(entry[1])) if entry[0] == "constant" else tuple(entry))
    if len(gates) <= count:
        raise ConfigError(where, "must be gates of this version", f"`{data}`")
    return tuple(gates)


def _is_gate(entry: Any, index: int, count: int) -> bool:
    """Whether an entry is an argument, a constant, or a gate of entries before it."""
    if not isinstance(entry, list | tuple) or not entry or not isinstance(entry[0], str):
        return False
    name, *rest = entry
    if index < count or name == "argument":
        return index < count and name == "argument" and not rest
    if name == "constant":
        return len(rest) == 1 and isinstance(rest[0], int | float)
    if name not in FORMULAS or name not in GATES or len(rest) != len(signature(FORMULAS[name]).parameters):
        return False
    return all(isinstance(place, int) and 0 <= place < index for place in rest)


def applied(formula: str | Gates, names: Sequence[str], *values: Any) -> Any:
    """The formula of traced values."""
    if isinstance(formula, str):
        return parse(formula, names)(*values)
    found = list(values)
    for name, *rest in formula[len(values) :]:
        found.append(rest[0] if name == "constant" else gate(name, *(found[i] for i in rest)))
    return found[-1]


def _traced(formula: str | Gates, names: Sequence[str]) -> tuple[Graph, list[int], int]:
    graph = Graph()
    arguments = [graph.argument(()) for _ in names]
    return graph, arguments, node_of(graph, applied(formula, names, *(Tracer(graph, a) for a in arguments)))


@cache
def activation_kernels(formula: str | Gates) -> tuple[str, str]:
    """Make the kernels of y = f(x), alone and with f'(x); returns their names."""
    graph, (x,), y = _traced(formula, ("x",))
    (slope,) = pull(graph, [(y, graph.constant(1.0))], [x])
    alone, both = fused(graph, [x], [y]), fused(graph, [x], [y, slope])
    names = f"custom_{alone.digest}", f"custom_slope_{both.digest}"
    TRACED[f"branch_{names[0]}"], TRACED[f"branch_{names[1]}"] = (graph, [x], [y]), (graph, [x], [y, slope])
    if f"branch_{names[0]}" not in KERNELS:
        branches.of_one(names[0], lambda x, a, b: alone.formula(x))
    if f"branch_{names[1]}" not in KERNELS:
        branches.with_slope(names[1], lambda x: both.formula(x))
    return names


@cache
def loss_kernel(formula: str | Gates) -> str:
    """Make the kernel of a loss; returns its name."""
    graph, (z, t), value = _traced(formula, ("z", "t"))
    (dz,) = pull(graph, [(value, graph.constant(1.0))], [z])
    both = fused(graph, [z, t], [value, dz])
    name = f"custom_loss_{both.digest}"
    TRACED[name] = graph, [z, t], [value, dz]
    if name not in KERNELS:
        losses.loss(name, lambda z, t, a: both.formula(z, t))
    return name


def penalty_kernel(given: Any) -> str:
    """Make the kernel of a penalty, a function of one parameter w; returns its name."""
    formula = formula_of("penalty", given, ("w",))
    graph, (w,), value = _traced(formula, ("w",))
    (slope,) = pull(graph, [(value, graph.constant(1.0))], [w])
    at_zero = _value(graph, slope, {w: np.zeros(())})
    if at_zero != 0.0:
        raise ConfigError("penalty", "must have a slope of 0 at w = 0", f"`{at_zero:g}`")
    of_slope = fused(graph, [w], [slope])
    name = f"custom_penalty_{of_slope.digest}"
    TRACED[name] = graph, [w], [slope]
    if name not in KERNELS:
        penalties.penalty(name, lambda p: of_slope.formula(p))
    return name


def _value(graph: Graph, number: int, known: dict[int, Any]) -> float:
    """The value of a node, by NumPy."""
    with np.errstate(all="ignore"):
        for at in graph.needed([number]):
            node = graph.nodes[at]
            if at not in known:
                constant = graph.value_of(at)
                inputs = (known[i] for i in node.inputs)
                known[at] = constant if constant is not None else GATES[node.gate].value(*inputs, note=node.note)
    return float(known[number])
