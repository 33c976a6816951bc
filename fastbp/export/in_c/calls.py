"""Ops as calls in C, kernel by kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.autodiff.fuse import fused
from fastbp.engine.memory import view
from fastbp.errors import ConfigError
from fastbp.export.in_c.library import in_blocks
from fastbp.export.in_c.program import Program, Step
from fastbp.export.in_c.source import Source
from fastbp.export.in_c.terms import literal
from fastbp.kernels import activations, branches, waves
from fastbp.kernels.fields import WORD
from fastbp.kernels.ops import EPILOGUE_RELU, EPILOGUE_RELU_VJP, Bins
from fastbp.kernels.records import Column
from fastbp.spec.formulas import TRACED

NORM_SLOPES = ("layer_norm_vjp", "rms_norm_vjp", "layer_norm_jvp", "rms_norm_jvp")
Call = Callable[["Calls", Any, Step], list[str]]
CALLS: dict[str, Call] = {}
FORMULAS: dict[str, tuple[Callable[..., Any], int]] = {
    **{name: (f, 2 if name.endswith("_vjp") else 1) for name, f in activations.FORMULAS.items()},
    "branch_affine": (branches.FORMULAS["branch_affine"], 1),
    "branch_times": (branches.FORMULAS["branch_times"], 1),
    "branch_over": (branches.FORMULAS["branch_over"], 1),
    "branch_over_slope": (branches.FORMULAS["branch_over_slope"], 1),
    **{
        f"branch_{name}": (branches.FORMULAS[f"branch_{name}"], 2)
        for name in ("add", "subtract", "product", "divide", "minus_product", "log_add_exp", "exp_difference")
    },
}


def call(*names: str) -> Callable[[Call], Call]:
    """Enter how the ops of these kernels are called."""

    def enter(function: Call) -> Call:
        CALLS.update(dict.fromkeys(names, function))
        return function

    return enter


class Calls:
    """Writes the steps of a program as calls of functions of a source."""

    def __init__(self, source: Source, program: Program) -> None:
        self.source, self.program = source, program
        slopes = [s.op for s in [*program.before, *program.within] if s.op.name in NORM_SLOPES]
        # The numbers that norms keep, by their address in the plan.
        self.sums = {sums: f"r{i}" for i, sums in enumerate(dict.fromkeys(op.sums for op in slopes))}

    def of(self, step: Step) -> list[str]:
        """The statements of a step."""
        name = step.op.name
        if name in FORMULAS:
            return self._elementwise(step, *FORMULAS[name])
        if name in TRACED:
            return self._custom(step)
        if name not in CALLS:
            raise ConfigError("model", "must be of layers that C is written for", f"the kernel `{name}`")
        return CALLS[name](self, step.op, step)

    def at(self, step: Step, field: str = "a") -> str:
        return self.program.text(step.places[field])

    def room(self, step: Step, field: str = "c") -> int:
        """How many numbers the op writes."""
        return self.program.room(step.places[field], step.op.panels)

    def real(self, number: float) -> str:
        return literal(number, self.source.real)

    def line(self, address: int, width: int, text: str = "") -> str:
        """A constant of a line a panel, or 0."""
        if not address:
            return "0"
        name, numbers = self.program.line(address, width)
        return self.source.constant(text or name, numbers)

    def weights(self, name: str, matrix: NDArray[Any]) -> str:
        """A constant of a matrix, in the order in which `product` reads it."""
        ends = np.cumsum(in_blocks(matrix.shape[1], self.program.lanes))
        blocks = [block.reshape(-1) for block in np.split(matrix, ends[:-1], axis=1)]
        return self.source.constant(name, np.concatenate(blocks).reshape(matrix.shape), ", by blocks of columns")

    def _elementwise(self, step: Step, formula: Callable[..., Any], operands: int) -> list[str]:
        settings = (step.op.setting_1, step.op.setting_2)
        extra = formula.__code__.co_argcount - operands
        name = self.source.elementwise(step.op.name, formula, operands, settings[:extra])
        operand = [self.at(step), *([self.at(step, "y")] if operands == 2 else [])]
        return [f"{name}({', '.join(operand)}, {self.room(step)}, {self.at(step, 'c')});"]

    def _custom(self, step: Step) -> list[str]:
        formula = fused(*TRACED[step.op.name]).formula
        name = self.source.elementwise(step.op.name, formula, 1, (), len(TRACED[step.op.name][2]))
        slope = [self.at(step, "y")] if "y" in step.places else []
        return [f"{name}({', '.join([self.at(step), str(self.room(step)), self.at(step, 'c'), *slope])});"]


@call("product")
def _product(calls: Calls, op: Any, step: Step) -> list[str]:
    name, weights = calls.program.matrix(op.b.start)
    inputs, outputs = op.width, min(weights.shape[1], calls.room(step))
    if weights.shape[0] != inputs:
        raise AssertionError(f"{name} has {weights.shape[0]} rows, not {inputs}")
    w = calls.weights(name, weights[:, :outputs])
    c = calls.at(step, "c")
    calls.source.need("product")
    lines = [f"product({calls.at(step)}, {w}, {calls.line(op.bias, outputs)}, {inputs}, {outputs}, {c});"]
    if op.epilogue == EPILOGUE_RELU:
        calls.source.need("relu_in_place")
        lines.append(f"relu_in_place({c}, {outputs});")
    elif op.epilogue == EPILOGUE_RELU_VJP:
        calls.source.need("mask_in_place")
        lines.append(f"mask_in_place({calls.at(step, 'y')}, {c}, {outputs});")
    return lines + _padding(calls, step, outputs)


def _padding(calls: Calls, step: Step, width: int) -> list[str]:
    """Zeros behind the numbers of a block that has panels of its own."""
    place = step.places["c"]
    rest = calls.room(step) - width
    if rest <= 0:
        return []
    calls.source.need("clear")
    return [f"clear({rest}, {calls.program.text(type(place)(place.buffer, place.first + width))});"]


@call("softmax_forward", "log_softmax_forward")
def _softmax(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need(op.name)
    return [f"{op.name}({calls.at(step)}, {op.width}, {calls.at(step, 'c')});"]


@call("softmax_vjp", "log_softmax_vjp", "log_softmax_jvp")
def _softmax_slope(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need(op.name)
    return [f"{op.name}({calls.at(step)}, {calls.at(step, 'y')}, {op.width}, {calls.at(step, 'c')});"]


@call("layer_norm_forward", "rms_norm_forward")
def _norm(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need("norm_forward")
    width, normal = op.width, calls.at(step, "y")
    kept = f"{calls.sums[op.sums]} = " if op.sums in calls.sums else ""
    given = f"{calls.at(step)}, {int(op.name == 'layer_norm_forward')}, {literal(op.eps, 'float64')}"
    lines = [f"{kept}norm_forward({given}, {calls.real(1.0 / width)}, {width}, {normal});"]
    return lines + _gained(calls, op, step, normal)


def _gained(calls: Calls, op: Any, step: Step, normal: str) -> list[str]:
    """The affine part of a norm, from n to C."""
    c, width = calls.at(step, "c"), op.width
    if c == normal and not op.gain and not op.shifts:
        return []
    calls.source.need("affine")
    return [f"affine({normal}, {calls.line(op.gain, width)}, {calls.line(op.shifts, width)}, {width}, {c});"]


@call(*NORM_SLOPES)
def _norm_slope(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need("norm_slope")
    kind, way = op.name.rsplit("_", 1)
    width = op.width
    given = f"{calls.at(step)}, {calls.at(step, 'y')}, {calls.line(op.gain, width)}"
    flags = f"{int(kind == 'layer_norm')}, {int(way == 'vjp')}, {calls.real(1.0 / width)}, {calls.sums[op.sums]}"
    return [f"norm_slope({given}, {flags}, {width}, {calls.at(step, 'c')});"]


def _inverse(calls: Calls, op: Any) -> Any:
    """1 / √(variance + ε), which the kernel computes from the same numbers."""
    _, variance = calls.program.line(op.variance, op.width)
    real = variance.dtype.type
    with np.errstate(all="ignore"):
        return real(1.0) / np.sqrt(variance + real(op.eps))


@call("batch_norm_forward")
def _batch_norm(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need("normalised")
    width, normal = op.width, calls.at(step, "y")
    name, _ = calls.program.line(op.variance, width)
    r = calls.source.constant(f"1 / sigma of {name}", _inverse(calls, op))
    lines = [f"normalised({calls.at(step)}, {calls.line(op.mean, width)}, {r}, {width}, {normal});"]
    return lines + _gained(calls, op, step, normal)


@call("batch_norm_slope")
def _batch_norm_slope(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need("scale")
    slope, width = _inverse(calls, op), op.width
    name, _ = calls.program.line(op.variance, width)
    if op.gain:
        slope = slope * calls.program.line(op.gain, width)[1]
    gain = calls.source.constant(f"slope of {name}", slope)
    return [f"scale({calls.at(step)}, {gain}, 0, {width}, {calls.at(step, 'c')});"]


@call("scale")
def _scale(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need("scale")
    width = calls.room(step)
    gain, shifts = calls.line(op.gain, width), calls.line(op.shifts, width)
    return [f"scale({calls.at(step)}, {gain}, {shifts}, {width}, {calls.at(step, 'c')});"]


@call("prelu", "parametric")
def _bent(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need(op.name)
    width = calls.room(step)
    gain = calls.line(op.gain, 1 if op.shared else width)
    saved = calls.at(step, "y")
    return [f"{op.name}({calls.at(step)}, {saved}, {gain}, {op.shared}, {width}, {calls.at(step, 'c')});"]


@call("branch_copy")
def _copy(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need("copy")
    a, c = step.places["a"], step.places["c"]
    begin, end = type(a)(a.buffer, a.first + op.first), type(c)(c.buffer, c.first + op.to)
    return [f"copy({calls.program.text(begin)}, {op.count}, {calls.program.text(end)});"]


@call("scatter")
def _scatter(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need("copy")
    return [f"copy({calls.at(step)}, {op.width}, out);"]


@call("branch_clear")
def _clear(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need("clear")
    return [f"clear({calls.room(step)}, {calls.at(step, 'c')});"]


@call("branch_row_sum")
def _row_sum(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need("sum_of")
    return [f"*({calls.at(step, 'c')}) = sum_of({calls.at(step)}, {op.width}) * {calls.real(op.factor)};"]


@call("branch_repeat")
def _repeat(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need("repeat")
    factor = f"{calls.source.need('one')}()" if op.factor == 1.0 else calls.real(op.factor)
    number = f"*({calls.at(step)}) * {factor}"
    return [f"repeat({number}, {op.count}, {calls.at(step, 'c')});", *_padding(calls, step, op.count)]


@call("wave_cosine")
def _wave(calls: Calls, op: Any, step: Step) -> list[str]:
    slope = "y" in step.places
    name, formula = ("wave_and_slope", waves.wave_and_slope) if slope else ("wave", waves.cosine)
    made = calls.source.elementwise(name, formula, 1, (op.setting_1,), 1 + slope)
    targets = [calls.at(step, "c"), *([calls.at(step, "y")] if slope else [])]
    return [f"{made}({calls.at(step)}, {calls.room(step)}, {', '.join(targets)});"]


def _columns(op: Any) -> list[Any]:
    return [Column(view(op.tables + i * Column.size * WORD, (Column.size,), np.int64)) for i in range(op.count)]


@call("embedding_forward")
def _embedding(calls: Calls, op: Any, step: Step) -> list[str]:
    lines = []
    a, c = calls.at(step), calls.at(step, "c")
    for column in _columns(op):
        if not column.table.start:
            lines.append(f"({c})[{column.target}] = ({a})[{column.source}];")
            continue
        calls.source.need("embedded")
        name, table = calls.program.matrix(column.table.start)
        t = calls.source.constant(name, table)
        code = f"({a})[{column.source}], {t}, {column.rows}, {column.width}"
        lines.append(f"embedded({code}, {c} + {column.target});")
    return lines


@call("embedding_vjp", "embedding_jvp")
def _passed(calls: Calls, op: Any, step: Step) -> list[str]:
    calls.source.need("clear")
    a, c = calls.at(step), calls.at(step, "c")
    lines = [f"clear({calls.room(step)}, {c});"]
    for column in _columns(op):
        if not column.table.start:
            to, source = column.target, column.source
            if op.name == "embedding_vjp":
                to, source = source, to
            lines.append(f"({c})[{to}] = ({a})[{source}];")
    return lines


def _bins(calls: Calls, op: Any) -> list[tuple[int, int, int, int, str]]:
    """Of each record its column, its panel, the lane of its first bin, how many bins it has, and their constant."""
    lanes, dtype = calls.program.lanes, calls.program.lowering.parameters.dtype
    found = []
    for i in range(op.count):
        bins: Any = Bins(view(op.bins + i * Bins.size * WORD, (Bins.size,), np.int64))
        lines = view(bins.lines, (4, lanes), dtype)
        there = np.flatnonzero(lines[1] > 0.0)
        first, count = int(there[0]), len(there)
        if there[-1] - first + 1 != count:
            raise AssertionError("bins of a line stand side by side")
        numbers = lines[:, first : first + count].copy()
        found.append((bins.source, bins.panel, first, count, calls.source.constant(f"bins of {bins.source}", numbers)))
    return found


def _passed_on(calls: Calls, op: Any, step: Step) -> list[str]:
    """The columns of the narrow side, and zeros behind them."""
    calls.source.need("clear")
    c, room = step.places["c"], calls.room(step)
    count = min(op.inputs, room)
    lines = []
    if count:
        calls.source.need("copy")
        lines.append(f"copy({calls.at(step)}, {count}, {calls.at(step, 'c')});")
    if room > count:
        lines.append(f"clear({room - count}, {calls.program.text(type(c)(c.buffer, c.first + count))});")
    return lines


@call("piecewise_linear_forward")
def _come(calls: Calls, op: Any, step: Step) -> list[str]:
    lines = _passed_on(calls, op, step)
    calls.source.need("risen")
    a, c, lanes = calls.at(step), calls.at(step, "c"), calls.program.lanes
    for source, panel, first, count, name in _bins(calls, op):
        lines.append(f"risen(({a})[{source}], {name}, {count}, {c} + {panel * lanes + first});")
    return lines


@call("piecewise_linear_vjp")
def _come_back(calls: Calls, op: Any, step: Step) -> list[str]:
    lines = _passed_on(calls, op, step)
    calls.source.need("bins_vjp")
    a, y, c, lanes = calls.at(step), calls.at(step, "y"), calls.at(step, "c"), calls.program.lanes
    for source, panel, first, count, name in _bins(calls, op):
        given = f"{a} + {panel * lanes + first}, ({y})[{source}], {name}, {count}, {first}"
        lines.append(f"({c})[{source}] = ({c})[{source}] + bins_vjp({given});")
    return lines


@call("piecewise_linear_jvp")
def _come_on(calls: Calls, op: Any, step: Step) -> list[str]:
    lines = _passed_on(calls, op, step)
    calls.source.need("bins_jvp")
    a, y, c, lanes = calls.at(step), calls.at(step, "y"), calls.at(step, "c"), calls.program.lanes
    for source, panel, first, count, name in _bins(calls, op):
        given = f"({a})[{source}], ({y})[{source}], {name}, {count}"
        lines.append(f"bins_jvp({given}, {c} + {panel * lanes + first});")
    return lines
