"""Custom activations and losses: functions or text, differentiated by the table of gates and compiled as one kernel.

A function is stored as its gates, so it is saved, compared and compiled as data; equal formulas share one kernel, whose
name is a hash of the formula.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any, ClassVar

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
from fastbp.spec.activations import Activation
from fastbp.spec.losses import Loss

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
    if not callable(given):
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


@dataclass(frozen=True, repr=False)
class Custom(Activation):
    """y = f(x), elementwise, for a custom function; see `fb.activation`.

    Parameters
    ----------
    formula : str
        Such as "x * tanh(log(1 + exp(x)))".
    """

    kind: ClassVar[str] = "custom"
    formula: Any  # type: ignore[misc]

    def traced(self, x: Any) -> Any:
        return applied(self.formula, ("x",), x)

    def __post_init__(self) -> None:
        object.__setattr__(self, "formula", formula_of("activation", self.formula, ("x",)))

    def __repr__(self) -> str:
        shown = repr(self.formula) if isinstance(self.formula, str) else f"<{len(self.formula) - 1} gates>"
        return f"activation({shown})"

    def plain(self) -> dict[str, Any]:
        return {"formula": self.formula if isinstance(self.formula, str) else [list(entry) for entry in self.formula]}

    settings = plain


@dataclass(frozen=True, repr=False)
class CustomLoss(Loss):
    """ℓ = Σ_n f(z_n, t_n) / N for a custom function; see `fb.loss`."""

    kind: ClassVar[str] = "custom"
    formula: Any  # type: ignore[misc]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "formula", formula_of("loss", self.formula, ("z", "t")))

    def __repr__(self) -> str:
        shown = repr(self.formula) if isinstance(self.formula, str) else f"<{len(self.formula) - 2} gates>"
        return f"loss({shown})"

    @property
    def named(self) -> Any:
        return self.formula

    @property
    def kernel(self) -> str:
        return loss_kernel(self.formula)

    def of_rows(self, z: Any, t: Any) -> Any:
        return applied(self.formula, ("z", "t"), z, t) * (1.0 / z.shape[1])


def activation(formula: Callable[[Any], Any] | str) -> Custom:
    """A custom activation, differentiated gate by gate and compiled as one formula.

    Parameters
    ----------
    formula : callable or str
        A function of one number x, such as ``lambda x: x * fb.sigmoid(2.0 * x)``, made of arithmetic, NumPy's functions
        and `fb.sigmoid`, `fb.relu` and the like; or the same as text, "x * sigmoid(2 * x)".

    Examples
    --------
    >>> import fastbp as fb
    >>> mish = fb.activation(lambda x: x * fb.tanh(fb.softplus(x)))
    >>> net = fb.Network([fb.Linear(8), mish, fb.Linear(1)], inputs=2, seed=0)
    >>> net.predict([[0.0, 1.0]]).shape
    (1, 1)
    """
    return Custom(formula)


def loss(formula: Callable[[Any, Any], Any] | str, reduction: str = "mean") -> CustomLoss:
    """A custom loss, differentiated gate by gate and compiled as one formula: the mean over outputs and rows.

    Parameters
    ----------
    formula : callable or str
        A function of two numbers, output and target, such as ``lambda z, t: np.abs(z - t) ** 3``;
        or the same as text, "abs(z - t) ** 3".
    reduction : {"mean", "sum"}
        Over the rows, as for other losses.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> quartic = fb.loss(lambda z, t: (z - t) ** 4)
    >>> net = fb.mlp([2, 8, 1], seed=0)
    >>> net.evaluate(np.zeros((3, 2)), np.ones((3, 1)), quartic) > 0.0
    True
    """
    return CustomLoss(formula, reduction=reduction)
