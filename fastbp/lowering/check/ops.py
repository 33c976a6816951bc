"""The twin of every op's kernel: what a call has to write, from what it reads, in float64."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import reference
from fastbp.engine.memory import view
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import EPILOGUE_RELU, EPILOGUE_RELU_VJP
from fastbp.kernels.records import Column
from fastbp.lowering.check.call import Call
from fastbp.lowering.check.formulas import formula
from fastbp.lowering.check.values import Output, counts_at, natural, panels_at, summing
from fastbp.lowering.registry import OPS
from fastbp.spec.coded import Coded

Array = NDArray[Any]
Twin = Callable[[Call], list[Output]]

TWINS: dict[str, Twin] = {}


def twin(*names: str) -> Callable[[Twin], Twin]:
    """Enter the twin of kernels."""

    def enter(function: Twin) -> Twin:
        TWINS.update(dict.fromkeys(names, function))
        return function

    return enter


# --- users' rows -----------------------------------------------------------------------------------------------------


@twin("gather")
def gather(call: Call) -> list[Output]:
    width = call.op.width
    return [call.whole(call.user(call.given.a, call.user_rows(), width), 0.0, width)]


@twin("gather_coded")
def gather_coded(call: Call) -> list[Output]:
    given = call.given
    must = np.asarray(Coded(call.user(given.a, call.user_rows(), given.count), counts_at(given)))
    return [call.whole(must, 0.0, must.shape[1])]


@twin("coded_product")
def coded_product(call: Call) -> list[Output]:
    op = call.op
    x = np.asarray(Coded(call.read(op.a, op.count), counts_at(op)))
    W = natural(panels_at(op.b.start, op.b.stride, op.panels, x.shape[1], call.dtype))
    b = natural(panels_at(op.bias, LINE, op.panels, 1, call.dtype))[0] if op.bias else np.zeros(W.shape[1])
    must, size = reference.linear_forward(x, W, b), reference.linear_forward(np.abs(x), np.abs(W), np.abs(b))
    return [call.out(must, (summing(op.count) + 4.0) * call.eps * size)]


@twin("gather_repeated")
def gather_repeated(call: Call) -> list[Output]:
    width, rows = call.op.width, (np.arange(call.r0, call.r1) + call.me.shift) // call.op.count
    return [call.whole(call.user(call.given.a, rows, width), 0.0, width)]


@twin("unit_rows")
def unit_rows(call: Call) -> list[Output]:
    width, column = call.op.width, call.given.column
    rows = (np.arange(call.r0, call.r1) + call.me.shift) % call.op.count
    return [call.whole(np.eye(width)[rows if column < 0 else np.full(call.rows, column)], 0.0, width)]


@twin("scatter")
def scatter(call: Call) -> list[Output]:
    width, stride = call.op.width, call.op.c.stride
    memory = view(call.given.c.start + (call.r0 + call.me.shift) * stride, (call.rows, width), call.dtype)
    must = call.read(call.op.a, width)
    return [Output("`Y`", memory, must, np.zeros(must.shape), call.r0 + call.me.shift)]


@twin("scatter_columns")
def scatter_columns(call: Call) -> list[Output]:
    """Rows of one matrix after another are its columns; the first and the last matrix may be there in part."""
    width, count = call.op.width, call.op.count
    first = (call.r0 + call.me.shift) // count
    rows = np.arange(call.r0, call.r1) + call.me.shift - first * count
    matrices = int(rows[-1]) // count + 1
    item = call.dtype.itemsize
    start = call.given.c.start + first * count * width * item
    end = int(rows[-1]) % count + 1  # of the last matrix only so many columns
    size = (matrices - 1) * count * width + (width - 1) * count + end
    numbers = view(start, (size,), call.dtype)
    memory = np.lib.stride_tricks.as_strided(
        numbers, (matrices, width, count), (count * width * item, count * item, item)
    )
    found = call.read(call.op.a, width)
    out = []
    for matrix in range(matrices):
        chosen = rows // count == matrix
        columns = rows[chosen] % count
        part = memory[matrix][:, columns[0] : columns[-1] + 1]
        must = found[chosen].T
        out.append(Output(f"matrix {first + matrix} of `Y`", part, must, np.zeros(must.shape), 0, int(columns[0])))
    return out


# --- products --------------------------------------------------------------------------------------------------------


@twin("product")
def product(call: Call) -> list[Output]:
    op, width = call.op, call.op.width
    x, weight = call.read(op.a, width), weights_of(call)
    start = call.lines(op.bias) if op.bias else np.zeros(weight.shape[1])
    must = reference.linear_forward(x, weight, start)
    bound = (summing(width) + 4.0) * call.eps * reference.linear_forward(np.abs(x), np.abs(weight), np.abs(start))
    if op.epilogue == EPILOGUE_RELU:
        must = reference.relu_forward(must)
    elif op.epilogue == EPILOGUE_RELU_VJP:
        must, bound = (reference.relu_vjp(d, call.y()) for d in (must, bound))
    return [call.out(must, bound)]


def weights_of(call: Call) -> Array:
    """The weights of this call's columns; those that are read transposed come from where they are learned."""
    b, width = call.op.b, call.op.width
    p0, p1 = call.share
    of_transposed = next((t for t in call.transposes if t.transposed.start == b.start), None)
    if of_transposed is None:
        return natural(panels_at(b.start + p0 * b.stride, b.stride, p1 - p0, width, call.dtype))
    learned, in_line = of_transposed.weight, call.in_line
    lines = learned.stride // (in_line * call.dtype.itemsize)
    start = call.plan.parameters.address + learned.offset
    whole = natural(panels_at(start, learned.stride, of_transposed.panels, lines, call.dtype))
    return whole[p0 * in_line : p1 * in_line, :width].T


# --- number by number ------------------------------------------------------------------------------------------------

EXACT = ("relu", "hardtanh")
SUMS = ("gelu", "gelu_tanh", "silu", "mish", "selu", "elu", "softplus")  # whose terms cancel, slopes up to 1.8
ULPS = 6.0


def _settings(call: Call, function: Any) -> list[float]:
    """As many of the op's settings as the twin takes."""
    count = len(inspect.signature(function).parameters) - (2 if call.op.name.endswith("_vjp") else 1)
    return [call.real(call.op.setting_1), call.real(call.op.setting_2)][:count]


def _activation(name: str) -> None:
    forward, vjp = (getattr(reference, f"{name}_{part}") for part in ("forward", "vjp"))
    ulps = 0.0 if name in EXACT else ULPS

    def of_forward(call: Call) -> list[Output]:
        x = call.a()
        must = forward(x, *_settings(call, forward))
        return [call.out(must, ulps * call.eps * (np.abs(must) + (np.abs(x) if name in SUMS else 0.0)))]

    def of_vjp(call: Call) -> list[Output]:
        d, settings = call.a(), _settings(call, vjp)
        must = vjp(d, call.y(), *settings)
        slope = max([2.0 if name in SUMS else 1.0, *(abs(s) for s in settings)])
        return [call.out(must, ulps * call.eps * slope * np.abs(d))]

    twin(f"{name}_forward")(of_forward)
    twin(f"{name}_vjp")(of_vjp)


for _name, _op in OPS.items():
    if _op.family == "elementwise":
        _activation(_name)


@twin("multiply_forward")
def multiply(call: Call) -> list[Output]:
    must = reference.affine_vjp(call.a(), call.real(call.op.setting_1))
    return [call.out(must, call.eps * np.abs(must))]


@twin("branch_times")
def times(call: Call) -> list[Output]:
    must = reference.affine_vjp(call.a(), call.real(call.op.setting_1))
    return [masked(call, must, call.eps * np.abs(must))]


def masked(call: Call, must: Array, bound: Any) -> Output:
    """A result with zeros for padding."""
    valid = call.valid(call.op.width)
    return call.out(np.where(valid, must, 0.0), np.where(valid, bound, 0.0))


@twin("dropout")
def dropout(call: Call) -> list[Output]:
    op, head, lane = call.op, call.head, call.first_lane
    x, first = call.a(), call.r0 + call.me.shift
    p, scale = op.chance / 2**32, op.scale
    if head.step.drops:
        p = op.p * head.step.dropping
        scale = 1.0 / (1.0 - p)
    kept = reference.dropout_mask(first + call.rows, lane + x.shape[1], p, head.data.seed, head.step.draw, op.node)
    must = x * kept[first:, lane:] * scale
    return [call.out(must, 2.0 * call.eps * np.abs(must))]


@twin("scale")
def scale(call: Call) -> list[Output]:
    must = size = reference.scale_forward(call.a(), gain_of(call))
    if call.op.shifts:
        shifts = call.lines(call.op.shifts)
        must, size = must + shifts, np.abs(must) + np.abs(shifts)
    return [call.out(must, call.eps * np.abs(size))]


@twin("prelu")
def prelu(call: Call) -> list[Output]:
    must = reference.prelu_vjp(call.a(), call.y(), gain_of(call))[0]
    return [call.out(must, call.eps * np.abs(must))]


@twin("parametric")
def parametric(call: Call) -> list[Output]:
    x, f, a = call.a(), call.y(), gain_of(call)
    must = reference.parametric_forward(x, f, a)
    return [call.out(must, call.eps * (np.abs(must) + 2.0 * np.abs(a * (f - x))))]


def gain_of(call: Call) -> Array:
    if call.op.shared:
        return view(call.op.gain, (1,), call.dtype).astype(np.float64)
    return call.lines(call.op.gain)


# --- between branches ------------------------------------------------------------------------------------------------


def _pair(name: str, of: Callable[[Array, Array], Array]) -> None:
    def of_two(call: Call) -> list[Output]:
        must = of(call.a(), call.y())
        return [masked(call, must, call.eps * np.abs(must))]

    twin(f"branch_{name}")(of_two)


_pair("add", reference.add_forward)
_pair("subtract", reference.subtract_forward)
_pair("product", reference.multiply_forward)
_pair("divide", reference.divide_forward)
_pair("minus_product", lambda x, y: -reference.multiply_forward(x, y))


@twin("branch_log_add_exp")
def log_add_exp(call: Call) -> list[Output]:
    x, y = call.a(), call.y()
    must = np.logaddexp(x, y)
    return [masked(call, must, ULPS * call.eps * (np.abs(must) + np.abs(x) + np.abs(y) + 1.0))]


@twin("branch_exp_difference")
def exp_difference(call: Call) -> list[Output]:
    x, y = call.a(), call.y()
    must = np.exp(x - y)
    return [masked(call, must, call.eps * must * (ULPS + np.abs(x - y)))]


@twin("branch_affine")
def affine(call: Call) -> list[Output]:
    x, a, b = call.a(), call.real(call.op.setting_1), call.real(call.op.setting_2)
    must = reference.affine_forward(x, a, b)
    return [masked(call, must, call.eps * (np.abs(a * x) + abs(b)))]


@twin("branch_over")
def over(call: Call) -> list[Output]:
    must = reference.reciprocal_forward(call.a(), call.real(call.op.setting_1))
    return [masked(call, must, call.eps * np.abs(must))]


@twin("branch_over_slope")
def over_slope(call: Call) -> list[Output]:
    x = call.a()
    must = reference.reciprocal_vjp(np.ones(x.shape), x, call.real(call.op.setting_1))
    return [masked(call, must, 4.0 * call.eps * np.abs(must))]


@twin("branch_copy")
def copy(call: Call) -> list[Output]:
    op = call.op
    lanes, last = np.zeros(op.panels * call.in_line, bool), op.to + op.count
    must = np.zeros((call.rows, lanes.size))
    must[:, op.to : last] = call.read(op.a, op.first + op.count)[:, op.first :]
    lanes[op.to : -(-last // call.in_line) * call.in_line if op.closes else last] = True
    return [call.out(must, 0.0, lanes=lanes)]


@twin("branch_clear")
def clear(call: Call) -> list[Output]:
    return [call.out(np.zeros((call.rows, call.op.panels * call.in_line)), 0.0)]


@twin("branch_row_sum")
def row_sum(call: Call) -> list[Output]:
    x, factor = call.read(call.op.a, call.op.width), call.real(call.op.factor)
    must = reference.sum_forward(x) * factor
    bound = (summing(call.op.width) + 4.0) * call.eps * np.abs(factor) * reference.sum_forward(np.abs(x))
    return [call.whole(must, bound, 1)]


@twin("branch_repeat")
def repeat(call: Call) -> list[Output]:
    must = reference.repeat_forward(call.read(call.op.a, 1), call.op.count) * call.real(call.op.factor)
    return [call.whole(must, call.eps * np.abs(must), call.op.count)]


def custom(call: Call) -> list[Output]:
    """A user's formula, and where the record has room for it its slope."""
    found = formula(call.op.name, call.eps, call.a())
    valid = call.valid(call.op.width)
    return [
        call.out(np.where(valid, must, 0.0), np.where(valid, bound, 0.0), field)
        for field, (must, bound) in zip("cy", found, strict=False)
    ]


# --- embedding -------------------------------------------------------------------------------------------------------


def columns_of(call: Call) -> tuple[list[int], dict[int, Array]]:
    """Columns that are numbers, and the tables of those that are codes."""
    numbers, tables = [], {}
    for i in range(call.op.count):
        column = Column(view(call.op.tables + i * Column.size * 8, (Column.size,), np.int64))
        if not column.table.start:
            numbers.append(column.source)
            continue
        panels = -(-column.width // call.in_line)
        table = panels_at(column.table.start, column.table.stride, panels, column.rows, call.dtype)
        tables[column.source] = natural(table)[:, : column.width]
    return numbers, tables


@twin("embedding_forward")
def embedding_forward(call: Call) -> list[Output]:
    numbers, tables = columns_of(call)
    x = call.read(call.op.a, call.op.width)
    unknown = {c: ~((x[:, c] >= 0) & (x[:, c] < len(table))) for c, table in tables.items()}
    for c, rows in unknown.items():
        x[rows, c] = 0.0
    must, at = reference.embedding_forward(x, tables), len(numbers)
    for c, table in tables.items():
        must[unknown[c], at : at + table.shape[1]] = np.nan
        at += table.shape[1]
    return [call.whole(must, 0.0, must.shape[1])]


@twin("embedding_vjp")
def embedding_vjp(call: Call) -> list[Output]:
    _, tables = columns_of(call)
    dy = call.read(call.op.a, call.op.width)
    must = reference.embedding_vjp(dy, np.zeros((call.rows, call.op.count)), tables)[0]
    return [call.whole(must, 0.0, call.op.count)]


@twin("embedding_jvp")
def embedding_jvp(call: Call) -> list[Output]:
    _, tables = columns_of(call)
    tx = call.read(call.op.a, call.op.width)
    nothing = {c: np.zeros(table.shape) for c, table in tables.items()}
    must = reference.embedding_jvp(tx, nothing, np.zeros(tx.shape), tables)
    return [call.whole(must, 0.0, must.shape[1])]
