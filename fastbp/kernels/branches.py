"""Gates between the branches of a network: what joins two signals into one, and what takes one apart.

Every Jacobian here is diagonal in each of its inputs, a choice of columns, or a row of ones:

    add         z = x + y            vjp  dx = dz, dy = dz                  jvp  tz = tx + ty
    subtract    z = x - y            vjp  dx = dz, dy = -dz                 jvp  tz = tx - ty
    product     z = x ∘ y            vjp  dx = dz ∘ y, dy = dz ∘ x          jvp  tz = tx ∘ y + ty ∘ x
    divide      z = x / y            vjp  dx = dz / y, dy = -(dx ∘ z)       jvp  tz = (tx - z ∘ ty) / y
    affine      z = a x + b          vjp  dx = a dz                         jvp  tz = a tx
    over        z = a / x            vjp  dx = -(a / x / x) dz              jvp  the same product
    concat      z = [x, y]           vjp  dx, dy the columns of dz          jvp  tz = [tx, ty]
    slice       z = columns of x     vjp  dx = dz in its columns, else 0    jvp  tz = columns of tx
    row_sum     z = a Σ_n x_n        vjp  dx_n = a dz                       jvp  tz = a Σ_n tx_n
    repeat      z_n = x              vjp  dx = Σ_n dz_n                     jvp  tz_n = tx
    log_add_exp     z = log(exp x + exp y)   vjp  dx = dz ∘ exp(x - z), dy = dz ∘ exp(y - z)      jvp  the same products
    exp_difference  z = exp(x - y)           what those are multiplied with
    custom      y = f(x)             vjp  dx = dy ∘ f'(x), a product        jvp  ty = tx ∘ f'(x)

Where a signal goes into several layers its cotangents add: that sum is `branch_add` too. Lanes that are padding are
written as zero, since 0 / 0 there would be taken for a gradient that is not finite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastbp.kernels import functions
from fastbp.kernels.flags import kernel
from fastbp.kernels.lines import add, keep_largest, line_of, magnitude_bits, total, valid_lanes
from fastbp.kernels.memory import (
    as_real,
    bytes_of,
    fill,
    get_real,
    keep_first,
    load,
    load_first,
    store,
    store_first,
    zero_bits,
)
from fastbp.kernels.ops import ColumnsOp, ElementwiseOp
from fastbp.kernels.vector import LINE, V, vector_function

FORMULAS: dict[str, Callable[..., Any]] = {}  # by the name of a kernel, over its operands and settings


def of_two(name: str, formula: Callable[[V, V], V]) -> None:
    """Make the kernel `branch_<name>`: C = formula(A, Y), number by number."""
    FORMULAS[f"branch_{name}"] = formula
    of_line = vector_function(formula)

    def of_rows(op, me, r0, r1, z):
        # A, Y: (rows, N) in   C: (rows, N) out, may be A or Y
        in_line = LINE // bytes_of(z)
        top = zero_bits(z)
        for panel in range(op.panels):
            first = op.a.start + panel * op.a.stride
            second = op.y.start + panel * op.y.stride
            target = op.c.start + panel * op.c.stride
            count = valid_lanes(panel + op.first_panel, op.width, in_line)
            for o in range(r0 * LINE, r1 * LINE, LINE):
                out = keep_first(of_line(load(first + o, z), load(second + o, z)), count, z)
                top = magnitude_bits(top, out)
                store(target + o, out)
        keep_largest(op, me, top)

    of_rows.__name__ = f"branch_{name}"
    kernel(ElementwiseOp)(of_rows)


def of_one(name: str, formula: Callable[[V, V, V], V]) -> None:
    """Make the kernel `branch_<name>`: C = formula(A, `setting_1`, `setting_2`), number by number."""
    FORMULAS[f"branch_{name}"] = formula
    of_line = vector_function(formula)

    def of_rows(op, me, r0, r1, z):
        # A: (rows, N) in   C: (rows, N) out, may be A
        in_line = LINE // bytes_of(z)
        a, b = as_real(op.setting_1, z), as_real(op.setting_2, z)
        top = zero_bits(z)
        for panel in range(op.panels):
            source = op.a.start + panel * op.a.stride
            target = op.c.start + panel * op.c.stride
            count = valid_lanes(panel + op.first_panel, op.width, in_line)
            for o in range(r0 * LINE, r1 * LINE, LINE):
                out = keep_first(of_line(load(source + o, z), a, b), count, z)
                top = magnitude_bits(top, out)
                store(target + o, out)
        keep_largest(op, me, top)

    of_rows.__name__ = f"branch_{name}"
    kernel(ElementwiseOp)(of_rows)


def with_slope(name: str, formula: Callable[[V], tuple[V, V]]) -> None:
    """Make the kernel `branch_<name>`: C = f(A) and Y = f'(A), number by number, so that the vjp is one product."""
    FORMULAS[f"branch_{name}"] = formula
    of_line = vector_function(formula, count=2)

    def of_rows(op, me, r0, r1, z):
        # A: (rows, N) in   C, Y: (rows, N) out, C may be A
        in_line = LINE // bytes_of(z)
        top = zero_bits(z)
        for panel in range(op.panels):
            source = op.a.start + panel * op.a.stride
            target = op.c.start + panel * op.c.stride
            slopes = op.y.start + panel * op.y.stride
            count = valid_lanes(panel + op.first_panel, op.width, in_line)
            for o in range(r0 * LINE, r1 * LINE, LINE):
                y, slope = of_line(load(source + o, z))
                y = keep_first(y, count, z)
                top = magnitude_bits(top, y)
                store(target + o, y)
                store(slopes + o, keep_first(slope, count, z))
        keep_largest(op, me, top)

    of_rows.__name__ = f"branch_{name}"
    kernel(ElementwiseOp)(of_rows)


of_two("add", lambda x, y: x + y)
of_two("subtract", lambda x, y: x - y)
of_two("product", lambda x, y: x * y)
of_two("divide", lambda x, y: x / y)
of_two("minus_product", lambda x, y: -(x * y))
of_two("log_add_exp", lambda x, y: x.ge(y).select(x, y) + functions.log1p(functions.exp(-(x - y).abs())))
of_two("exp_difference", lambda x, y: functions.exp(x - y))
of_one("affine", lambda x, a, b: x.fma(a, b))
of_one("times", lambda x, a, b: x * a)
of_one("over", lambda x, a, b: a / x)
of_one("over_slope", lambda x, a, b: -(a / x / x))


@kernel(ColumnsOp)
def branch_copy(op, me, r0, r1, z):
    """`count` columns of A, from `first` on, to C from `to` on; other columns of C stay as they are, or where this
    `closes` C are zeros up to the end of a panel.
    """
    # A: (rows, ·) in   C: (rows, ·) in and out
    item = bytes_of(z)
    in_line = LINE // item
    top = zero_bits(z)
    at, to = op.first, op.to
    left = op.count
    while left > 0:  # a run of columns that both sides have in one panel
        count = min(left, min(in_line - at % in_line, in_line - to % in_line))
        source = op.a.start + at // in_line * op.a.stride + at % in_line * item
        target = op.c.start + to // in_line * op.c.stride + to % in_line * item
        for o in range(r0 * LINE, r1 * LINE, LINE):
            line = load_first(source + o, count, z)
            top = magnitude_bits(top, line)
            store_first(target + o, count, line)
        at += count
        to += count
        left -= count
    if op.closes != 0 and to % in_line > 0:
        target = op.c.start + to // in_line * op.c.stride + to % in_line * item
        for o in range(r0 * LINE, r1 * LINE, LINE):
            store_first(target + o, in_line - to % in_line, fill(z))
    keep_largest(op, me, top)


@kernel(ColumnsOp)
def branch_clear(op, me, r0, r1, z):
    """C = 0."""
    # C: (rows, N) out
    for panel in range(op.panels):
        target = op.c.start + panel * op.c.stride
        for o in range(r0 * LINE, r1 * LINE, LINE):
            store(target + o, fill(z))


@kernel(ColumnsOp)
def branch_row_sum(op, me, r0, r1, z):
    """C = `factor` Σ_n A_n, one number a row."""
    # A: (rows, N) in   C: (rows, 1) out
    in_line = LINE // bytes_of(z)
    factor = as_real(op.factor, z)
    panels = (op.width + in_line - 1) // in_line
    top = zero_bits(z)
    for r in range(r0, r1):
        summed = fill(z)
        for panel in range(panels):
            summed = add(summed, line_of(op, op.a.start, op.a.stride, r, panel, z))
        out = keep_first(fill(total(summed) * factor), 1, z)
        top = magnitude_bits(top, out)
        store(op.c.start + r * LINE, out)
    keep_largest(op, me, top)


@kernel(ColumnsOp)
def branch_repeat(op, me, r0, r1, z):
    """C_n = `factor` A for each of `count` columns, A one number a row."""
    # A: (rows, 1) in   C: (rows, N) out
    in_line = LINE // bytes_of(z)
    factor = as_real(op.factor, z)
    top = zero_bits(z)
    for panel in range(op.panels):
        target = op.c.start + panel * op.c.stride
        count = valid_lanes(panel, op.count, in_line)
        for r in range(r0, r1):
            out = keep_first(fill(get_real(op.a.start + r * LINE, z) * factor), count, z)
            top = magnitude_bits(top, out)
            store(target + r * LINE, out)
    keep_largest(op, me, top)
