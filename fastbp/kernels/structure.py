"""The gates of traced functions that move numbers or add them up: what each does to a matrix x of B rows, N features.

    fill         z = a number in every lane of a line              vjp  the sum
    repeat       z[b, :] = x[b, 0]                                 vjp  dx[b] = Σ_n dz[b, n]
    sum_rows     z[n] = Σ_b x[b, n]                                vjp  dx[b, n] = dz[n]
    sum_columns  z[b] = Σ_n x[b, n]                                vjp  dx[b, n] = dz[b]
    sum_all      z = Σ_b Σ_n x[b, n], in every lane                vjp  dx[b, n] = dz
    reshape      z holds the numbers of x, row after row           vjp  dz in the shape of x
    transpose    z[n, b] = x[b, n]                                 vjp  dx[b, n] = dz[n, b]
    take         z[b, n] = x[b₀ + b β, n₀ + n ν]                   vjp  dx is dz in these places and 0 elsewhere
    place        z = y, but x in the places that take reads        vjp  dx is dz taken there, dy is dz with 0 there
    outer        z[i, o] = Σ_b x[b, i] y[b, o]                     vjp  dx = y dzᵀ, dy = x dz

All are linear, so the jvp of each is the gate itself on tangents. Sums run in one order, rows from the top, panels from
the left, then the tree over a line; `outer` has the bits of the weight sweep. Padding is not read where it would
count, and holds anything afterwards.
"""

from __future__ import annotations

from fastbp.kernels.flags import kernel
from fastbp.kernels.lines import add, line_of, note_magnitude, total
from fastbp.kernels.memory import as_real, bytes_of, fill, get_real, load, put_real, store
from fastbp.kernels.ops import GateOp, OuterOp, SumOp, TakeOp
from fastbp.kernels.reduction import reduce_panels
from fastbp.kernels.tile import DEPTH, TILE_N
from fastbp.kernels.vector import LINE
from fastbp.kernels.weights import transpose_block
from fastbp.kernels.words import reals_at


@kernel(GateOp)
def gate_fill(op, me, r0, r1, z):
    """C[r] = the float64 at A + 8 r, in every lane."""
    for r in range(r0, r1):
        store(op.c.start + r * LINE, fill(as_real(reals_at(op.a.start)[r], z)))


@kernel(GateOp)
def gate_repeat(op, me, r0, r1, z):
    """C[r] = A[r, 0] in every lane of every panel."""
    for r in range(r0, r1):
        line = fill(get_real(op.a.start + r * op.a.row, z))
        for panel in range(op.panels):
            store(op.c.start + panel * op.c.stride + r * LINE, line)


@kernel(SumOp)
def gate_sum_rows(op, me, r0, r1, z):
    """One line a panel: the sum of rows r0 to r1."""
    for panel in range(op.panels):
        source = op.a.start + panel * op.a.stride
        out = fill(z)
        for r in range(r0, r1):
            out = add(out, load(source + r * LINE, z))
        store(op.c.start + panel * op.c.stride, out)


@kernel(GateOp)
def gate_sum_columns(op, me, r0, r1, z):
    """C[0, r] = the sum of row r; C has one row."""
    in_line = LINE // bytes_of(z)
    base, stride = op.a.start, op.a.stride
    panels = (op.width + in_line - 1) // in_line
    for r in range(r0, r1):
        out = fill(z)
        for panel in range(panels):
            out = add(out, line_of(op, base, stride, r, panel, z))
        put_real(op.c.start + r // in_line * op.c.stride + r % in_line * bytes_of(z), total(out))


@kernel(SumOp)
def gate_sum_all(op, me, r0, r1, z):
    """One line: the sum of all numbers of rows r0 to r1 in every lane."""
    in_line = LINE // bytes_of(z)
    base, stride = op.a.start, op.a.stride
    out = fill(z)
    for panel in range((op.width + in_line - 1) // in_line):
        for r in range(r0, r1):
            out = add(out, line_of(op, base, stride, r, panel, z))
    store(op.c.start, fill(total(out)))


@kernel(GateOp)
def gate_reshape(op, me, r0, r1, z):
    """Rows r0 to r1 of C, `part_width` wide, from A, `width` wide."""
    in_line = LINE // bytes_of(z)
    item = bytes_of(z)
    width, wanted = op.width, op.part_width
    at = r0 * wanted
    row = at // width
    column = at - row * width
    for r in range(r0, r1):
        for j in range(wanted):
            source = op.a.start + column // in_line * op.a.stride + row * LINE + column % in_line * item
            target = op.c.start + j // in_line * op.c.stride + r * LINE + j % in_line * item
            put_real(target, get_real(source, z))
            column += 1
            if column == width:
                column = 0
                row += 1


@kernel(GateOp)
def gate_transpose(op, me, r0, r1, z):
    """Columns r0 to r1 of C are rows r0 to r1 of A; r0 is a multiple of P."""
    in_line = LINE // bytes_of(z)
    item = bytes_of(z)
    width = op.width
    for panel in range((width + in_line - 1) // in_line):
        columns = min(in_line, width - panel * in_line)
        for r in range(r0, r1, in_line):
            rows = min(in_line, r1 - r)
            source = op.a.start + panel * op.a.stride + r * LINE
            target = op.c.start + r // in_line * op.c.stride + panel * in_line * LINE
            if rows == in_line and columns == in_line:
                transpose_block(source, target, z)
            else:
                for i in range(rows):
                    for j in range(columns):
                        put_real(target + j * LINE + i * item, get_real(source + i * LINE + j * item, z))


@kernel(TakeOp)
def gate_take(op, me, r0, r1, z):
    """C[r, j] = A[`row_begin` + r `row_jump`, `column_begin` + j `column_jump`] for `part_width` columns."""
    in_line = LINE // bytes_of(z)
    item = bytes_of(z)
    begin, jump = op.column_begin, op.column_jump
    for r in range(r0, r1):
        source = op.a.start + (op.row_begin + r * op.row_jump) * LINE
        for j in range(op.part_width):
            column = begin + j * jump
            number = get_real(source + column // in_line * op.a.stride + column % in_line * item, z)
            put_real(op.c.start + j // in_line * op.c.stride + r * LINE + j % in_line * item, number)


@kernel(TakeOp)
def gate_place(op, me, r0, r1, z):
    """C = B for rows r0 to r1, but A, `part_rows` by `part_width`, in the places that `take` reads."""
    in_line = LINE // bytes_of(z)
    item = bytes_of(z)
    for panel in range(op.panels):
        source = op.b.start + panel * op.b.stride
        for r in range(r0, r1):
            store(op.c.start + panel * op.c.stride + r * LINE, load(source + r * op.b.row, z))
    begin, jump = op.column_begin, op.column_jump
    for i in range(op.part_rows):
        row = op.row_begin + i * op.row_jump
        if r0 <= row and row < r1:
            target = op.c.start + row * LINE
            for j in range(op.part_width):
                column = begin + j * jump
                number = get_real(op.a.start + j // in_line * op.a.stride + i * LINE + j % in_line * item, z)
                put_real(target + column // in_line * op.c.stride + column % in_line * item, number)


@kernel(OuterOp)
def gate_outer(op, me, r0, r1, z):
    """C = Aᵀ B over rows r0 = 0 to r1: `width` rows of `panels` panels."""
    a, a_stride = op.a.start, op.a.stride
    b, b_stride = op.b.start, op.b.stride
    c_stride = op.c.stride
    panels = op.panels
    for b0 in range(0, r1, DEPTH):
        count = min(DEPTH, r1 - b0)
        panel = 0
        while panel < panels:
            out = op.c.start + panel * c_stride
            d = b + panel * b_stride
            if TILE_N > 1 and panel + TILE_N <= panels:
                reduce_panels(
                    TILE_N, a, a_stride, d, b_stride, me, 0, op.width, out, c_stride, b0, count, b0 > 0,
                    -1, 0, 0, 0, z,
                )  # fmt: skip
                panel += TILE_N
            else:
                reduce_panels(
                    1, a, a_stride, d, b_stride, me, 0, op.width, out, c_stride, b0, count, b0 > 0,
                    -1, 0, 0, 0, z,
                )  # fmt: skip
                panel += 1
    note_magnitude(op, me, z)
