"""The kernels of gates: one function for each kind of call, and the cases of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from inspect import signature
from typing import Any

import numpy as np

from fastbp.kernels.fields import LINE
from fastbp.kernels.gates import FORMULAS
from fastbp.kernels.records import Operand
from tests.kernels.harness import DEPTHS, SHAPES, Array, Machine, Panels

INPUTS = {name: len(signature(formula).parameters) for name, formula in FORMULAS.items()}
# How an operand is repeated: not, one row for all, one panel for all, one line for all.
REPEATED = ("", "row", "column", "number")
OPERANDS = ("a", "b", "y")


def elementwise(
    m: Machine,
    name: str,
    operands: list[Array],
    r0: int = 0,
    r1: int | None = None,
    over: bool = False,
    repeated: tuple[str, ...] = (),
) -> Panels:
    """C = f(A), f(A, B) or f(A, B, Y); the shape is that of the first operand, and with `over` C is A."""
    read: dict[str, Operand] = {}
    for letter, values, how in zip(OPERANDS, operands, (*repeated, "", "", ""), strict=False):
        given = m.given(letter, kept(values, how, m.in_line))
        stride, row = 0 if how in ("column", "number") else given.stride, 0 if how in ("row", "number") else LINE
        read[letter] = Operand(start=given.address, stride=stride, row=row)
        source = given if letter == "a" else source  # noqa: F821
    rows, width = operands[0].shape
    target = source if over else m.panels("c", rows, width)
    r1 = rows if r1 is None else r1
    m.writes(target, r0, r1, over=over)
    m.run(f"gate_{name}", r0, r1, **read, c=target, panels=target.count)
    return target


def row_by_row(given: Panels) -> Operand:
    """An operand that is not repeated."""
    return Operand(start=given.address, stride=given.stride, row=LINE)


def kept(values: Array, how: str, in_line: int) -> Array:
    """What is in memory of an operand that is repeated."""
    if how == "row":
        return values[:1]
    if how == "column":
        return np.repeat(values[:, :1], in_line, axis=1)
    return np.full((1, in_line), values[0, 0]) if how == "number" else values


def spread(values: Array, how: str) -> Array:
    """An operand as it is read."""
    part = {"row": values[:1], "column": values[:, :1], "number": values[:1, :1]}.get(how, values)
    return np.broadcast_to(part, values.shape)


def numbers_only(target: Panels, wanted: Array | None = None) -> None:
    """Expect the numbers of a matrix to be written, all or some, and not its padding."""
    mask = np.zeros((target.rows, target.count * target.content.shape[2]), bool)
    mask[:, : target.width] = True if wanted is None else wanted
    blocks = mask.reshape(target.rows, target.count, -1).transpose(1, 0, 2)
    target.must[:, : target.rows] = target.may[:, : target.rows] = blocks


def structure(
    m: Machine, name: str, x: Array, shape: tuple[int, int], whole_lines: bool, r1: int, **values: Any
) -> Panels:
    """A kernel from one matrix to another, whose padding is NaN."""
    source, target = m.given("a", x, padding=np.nan), m.panels("c", *shape)
    if whole_lines:
        m.writes(target, 0, shape[0])
    else:
        numbers_only(target)
    sizes = {"width": source.width, "panels": target.count}
    m.run(f"gate_{name}", 0, r1, a=row_by_row(source), c=target, **sizes, **values)
    return target


def fill(m: Machine, values: Array) -> Panels:
    source, target = m.user("a", values.astype(np.float64)), m.panels("c", len(values), m.in_line)
    m.writes(target, 0, len(values))
    m.run("gate_fill", 0, len(values), a=Operand(start=source.address), c=target)
    return target


def repeat(m: Machine, x: Array, width: int) -> Panels:
    return structure(m, "repeat", x[:, :1], (len(x), width), True, len(x))


def sum_rows(m: Machine, x: Array) -> Panels:
    return structure(m, "sum_rows", x, (1, x.shape[1]), True, len(x))


def sum_columns(m: Machine, x: Array) -> Panels:
    return structure(m, "sum_columns", x, (1, max(len(x), 1)), False, len(x)) if len(x) else sum_rows(m, x)


def sum_all(m: Machine, x: Array) -> Panels:
    return structure(m, "sum_all", x, (1, m.in_line), True, len(x))


def reshape(m: Machine, x: Array, shape: tuple[int, int]) -> Panels:
    return structure(m, "reshape", x, shape, False, shape[0], part_width=shape[1])


def transpose(m: Machine, x: Array) -> Panels:
    return structure(m, "transpose", x, x.shape[::-1], False, len(x))


Range = tuple[int, int, int]


def places(rows: Range, columns: Range) -> dict[str, int]:
    out = {"row_begin": rows[0], "row_jump": rows[1], "part_rows": rows[2]}
    return out | {"column_begin": columns[0], "column_jump": columns[1], "part_width": columns[2]}


def take(m: Machine, x: Array, rows: Range, columns: Range) -> Panels:
    return structure(m, "take", x, (rows[2], columns[2]), False, rows[2], **places(rows, columns))


def place(m: Machine, part: Array, base: Array, rows: Range, columns: Range, r0: int = 0) -> Panels:
    """All rows, or those from one on."""
    source, under, target = m.given("a", part, padding=np.nan), m.given("b", base), m.panels("c", *base.shape)
    m.writes(target, r0, len(base))
    operands = {"a": source, "b": row_by_row(under), "c": target, "panels": target.count}
    m.run("gate_place", r0, len(base), **operands, **places(rows, columns))
    return target


def outer(m: Machine, x: Array, u: Array) -> Panels:
    source, cotangent = m.given("a", x, padding=np.nan), m.given("b", u)
    target = m.panels("c", x.shape[1], u.shape[1])
    m.writes(target, 0, x.shape[1])
    m.run("gate_outer", 0, len(x), a=source, b=cotangent, c=target, width=source.width, panels=target.count)
    return target


def cases(dtype: str, normal: Any) -> Iterator[tuple[str, tuple[int, ...], Any]]:
    """(kernel, shape, run) for every kernel of a gate; `normal` makes the numbers."""
    for number, shape in enumerate(SHAPES):
        x, y = normal(dtype, *shape), normal(dtype, *shape, 1)[:, :, 0]
        c = (x > 0).astype(dtype)
        how = REPEATED[number % 4] if shape[0] else ""
        for name, count in INPUTS.items():
            given = [x] if count == 1 else [x, y] if count == 2 else [c, x, y]
            views = ("",) * (count - 1) + (how if count > 1 else "",)
            run = lambda m, n=name, g=given, v=views: [elementwise(m, n, g, repeated=v).lines()]  # noqa: E731
            yield f"gate_{name}", shape, run
        rows, width = shape
        yield "gate_fill", shape, lambda m, x=x: [fill(m, x.ravel()).lines()]
        yield "gate_repeat", shape, lambda m, x=x, w=width: [repeat(m, x, w).lines()]
        yield "gate_sum_rows", shape, lambda m, x=x: [sum_rows(m, x).lines()]
        yield "gate_sum_all", shape, lambda m, x=x: [sum_all(m, x).lines()]
        if not rows:
            continue
        yield "gate_sum_columns", shape, lambda m, x=x: [sum_columns(m, x).read()]
        yield "gate_transpose", shape, lambda m, x=x: [transpose(m, x).read()]
        yield "gate_reshape", shape, lambda m, x=x: [reshape(m, x, x.shape[::-1]).read()]
        picked = (rows - 1, -2, (rows + 1) // 2), (width // 2, 1, width - width // 2)
        yield "gate_take", shape, lambda m, x=x, p=picked: [take(m, x, *p).read()]
        part = y[: picked[0][2], : picked[1][2]]
        yield "gate_place", shape, lambda m, x=x, y=part, p=picked: [place(m, y, x, *p).lines()]
        some = partial(place, part=part, base=x, rows=picked[0], columns=picked[1])
        yield "gate_place", shape, lambda m, f=some, r=rows // 2: [f(m, r0=r).lines()]
        yield "gate_outer", shape, lambda m, x=x, y=y: [outer(m, x, y).lines()]
    for rows in DEPTHS:
        x, u = normal(dtype, rows, 17), normal(dtype, rows, 9)
        yield "gate_outer", (rows, 17, 9), lambda m, x=x, u=u: [outer(m, x, u).lines()]
