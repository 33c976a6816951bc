"""A traced function shown gate by gate, forward and backward, as a table."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.autodiff.function import Traced, Traces
from fastbp.autodiff.program import Program
from fastbp.autodiff.walk import adjoints
from fastbp.errors import ConfigTypeError, ShapeError


@dataclass
class Shown:
    """One gate with its value and its adjoint, the derivative of the result in it.

    `name` is an argument's own or a letter with a number; `inputs` are names, or numbers where they are constant.
    """

    name: str
    gate: str
    inputs: list[str]
    value: Any
    adjoint: Any
    used: bool


def known_of(function: Traced) -> dict[str, Any]:
    """The declared arguments of a function and their defaults; `inspect.Parameter.empty` if there is none."""
    try:
        kinds = inspect.signature(function.function).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {p.name: p.default for p in kinds if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)}


def arguments_of(function: Traced, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[list[str], list[Any]]:
    """Names and values of positional and named arguments; those with defaults may be left out."""
    known = known_of(function)
    names = list(known)
    if not named:
        return [names[i] if i < len(names) else f"x{i}" for i in range(len(args))], list(args)
    rest = names[len(args) :]
    last = max((i for i, n in enumerate(rest) if n in named or known[n] is inspect.Parameter.empty), default=-1)
    used = {n: named.get(n, known[n]) for n in rest[: last + 1]}
    if not set(named) <= set(rest) or any(v is inspect.Parameter.empty for v in used.values()):
        wanted, got = (", ".join(f"`{n}`" for n in group) or "none" for group in (rest, named))
        raise ConfigTypeError(f"values must be given for {wanted}, got {got}")
    return names[: len(args) + len(used)], [*args, *used.values()]


def steps_of(function: Traced, args: tuple[Any, ...], named: dict[str, Any]) -> list[Shown]:
    """The gates of a function at a point, in the order they are computed; the result is the last."""
    names, given = arguments_of(function, args, named)
    values, traces = function._values(given)
    g = traces.graph
    if not traces.single or g.shape(traces.outputs[0]) != ():
        shown = ", ".join(f"`{shape}`" for shape in traces.shapes)
        raise ShapeError(f"the result must be one number to be shown, got shape {shown}")
    (output,) = traces.outputs
    with function._lock:
        found = adjoints(g, [(output, g.constant(1.0))], traces.arguments)
    needed = set(g.needed([output]))
    order = [n for n in sorted({*needed, *traces.arguments}) if g.value_of(n) is None]
    back = [n for n in order if n in found]
    computed = Program(g, traces.arguments, [*order, *(found[n] for n in back)])(values)
    value = dict(zip(order, computed, strict=False))
    adjoint = dict(zip(back, computed[len(order) :], strict=True))
    nothing = {n: np.zeros(g.nodes[n].shape) if g.nodes[n].shape else 0.0 for n in order}
    return _shown(traces, names, order, value, {**nothing, **adjoint}, needed)


def outline_of(function: Traced) -> list[Shown]:
    """The gates of the function's last trace, with their shapes in the place of values; none before a call."""
    if not function._traces:
        return []
    with function._lock:
        traces = list(function._traces.values())[-1]
        g, names = traces.graph, list(known_of(function))
        needed = set(g.needed(traces.outputs))
        order = [n for n in sorted({*needed, *traces.arguments}) if g.value_of(n) is None]
        shapes = {n: "×".join(map(str, g.nodes[n].shape)) for n in order}
        names += [f"x{i}" for i in range(len(names), len(traces.arguments))]
        return _shown(traces, names[: len(traces.arguments)], order, shapes, dict.fromkeys(order, ""), needed)


def _shown(
    traces: Traces,
    names: list[str],
    order: list[int],
    values: dict[int, Any],
    adjoints: dict[int, Any],
    needed: set[int],
) -> list[Shown]:
    """Gates in this order by their names."""
    g = traces.graph
    called = dict(zip(traces.arguments, names, strict=True))
    out = []
    for n in order:
        node = g.nodes[n]
        called.setdefault(n, f"v{n}")
        inputs = [called[i] if i in called else short(g.value_of(i)) for i in node.inputs]
        out.append(Shown(called[n], node.gate, inputs, values[n], adjoints[n], n in needed))
    return out


def short(value: Any) -> str:
    """A number in a few digits; an array's shape and norm; a text as it is."""
    if isinstance(value, str):
        return value
    array = np.asarray(value, np.float64)
    if array.ndim == 0:
        return f"{float(array):.4g}"
    return f"{'×'.join(map(str, array.shape))}, norm {float(np.sqrt((array * array).sum())):.3g}"


def table(rows: list[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def explain(function: Traced, args: tuple[Any, ...], named: dict[str, Any]) -> str:
    """The forward pass in order, then the backward pass in its order, as a table."""
    steps = steps_of(function, args, named)
    rows = [("forward", "gate", "of", "value")]
    rows += [(s.name, s.gate, ", ".join(s.inputs), short(s.value)) for s in steps]
    users: dict[str, list[str]] = {s.name: [] for s in steps}
    for s in steps:
        for i in dict.fromkeys(s.inputs):
            users.get(i, []).append(s.name)
    back = [("backward", "gate", "from", "adjoint")]
    back += [
        (s.name, s.gate, ", ".join(users[s.name]) or "the result", short(s.adjoint)) for s in reversed(steps) if s.used
    ]
    unused = [f"the result does not depend on {s.name}: its gradient is zero" for s in steps if not s.used]
    return "\n".join([*table(rows), "", *table(back), *unused])
