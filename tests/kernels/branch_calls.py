"""What `calls` is, for kernels of columns between branches, of whole Jacobians and of several losses."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import layout as at
from tests.kernels.calls import point
from tests.kernels.harness import Array, Machine, Panels, double

PAIRS = {
    "branch_add": lambda x, y: x + y,
    "branch_subtract": lambda x, y: x - y,
    "branch_product": lambda x, y: x * y,
    "branch_divide": lambda x, y: x / y,
    "branch_minus_product": lambda x, y: -(x * y),
}
ALONE = ("branch_affine", "branch_times", "branch_over", "branch_over_slope")


def copy(
    m: Machine, x: Array, first: int, to: int, count: int, width: int, r0: int = 0, r1: int | None = None
) -> Panels:
    """Columns of x from `first` on to those from `to` on of a matrix of `width`, the others of which stay poison."""
    r1 = len(x) if r1 is None else r1
    source, target = m.given("a", x), m.panels("c", len(x), width)
    columns = np.arange(target.count * m.in_line).reshape(target.count, 1, m.in_line)
    rows = np.arange(target.content.shape[1])[:, None]
    target.may = (to <= columns) & (columns < to + count) & (r0 <= rows) & (rows < r1)
    target.must = target.may
    words = {"copy_from": first, "copy_to": to, "copy_count": count, "panels": target.count, "width": source.width}
    places = {"a": source.address, "a_stride": source.stride, "c": target.address, "c_stride": target.stride}
    m.run("branch_copy", r0, r1, **words, **places)
    return target


def clear(m: Machine, rows: int, width: int, r0: int = 0, r1: int | None = None) -> Panels:
    """A matrix of zeros."""
    target = m.panels("c", rows, width)
    r1 = rows if r1 is None else r1
    m.writes(target, r0, r1)
    m.run("branch_clear", r0, r1, c=target.address, c_stride=target.stride, panels=target.count)
    return target


def row_sum(m: Machine, x: Array, factor: float, r0: int = 0, r1: int | None = None) -> Panels:
    """The sum of each row times a factor; what pads x is NaN."""
    source, target = m.given("a", x, padding=np.nan), m.panels("c", len(x), 1)
    m.op("branch_row_sum", source, target, r0, len(x) if r1 is None else r1, setting_1=double(factor))
    return target


def repeat(m: Machine, x: Array, width: int, factor: float, r0: int = 0, r1: int | None = None) -> Panels:
    """One number a row, times a factor, in `width` columns."""
    source, target = m.given("a", x, padding=np.nan), m.panels("c", len(x), width)
    words = {"setting_1": double(factor), "copy_count": width}
    m.op("branch_repeat", source, target, r0, len(x) if r1 is None else r1, **words)
    return target


def gather_repeated(m: Machine, X: Array, count: int, rows: int, shift: int = 0) -> Panels:
    """C[r] = X[(r + shift) // count]."""
    width = X.shape[1]
    source, target = m.user("X", X), m.panels("c", rows, width)
    point(m, None, shift)
    m.writes(target, 0, rows)
    words = {"a": source.address, "a_stride": width * X.itemsize, "width": width, "copy_count": count}
    m.run("gather_repeated", 0, rows, c=target.address, c_stride=target.stride, **words)
    return target


def unit_rows(m: Machine, rows: int, width: int, column: int = -1, shift: int = 0) -> Panels:
    """Rows with a 1 in one column: in `column`, or in that of their own number."""
    target = m.panels("c", rows, width)
    point(m, None, shift)
    m.writes(target, 0, rows)
    words = {"copy_from": column, "copy_count": width, "panels": target.count}
    m.run("unit_rows", 0, rows, c=target.address, c_stride=target.stride, **words)
    return target


def scatter_columns(m: Machine, x: Array, columns: int, shift: int = 0) -> Array:
    """Rows as columns of matrices, `columns` of each: (matrices, width, columns), the first `shift` columns poison."""
    rows, width = x.shape
    matrices = -(-(rows + shift) // columns)
    source = m.given("a", x)
    target = m.user_output("Y", matrices * width * columns)
    number = np.arange(matrices)[:, None, None] * columns + np.arange(columns)
    own = np.broadcast_to((shift <= number) & (number < shift + rows), (matrices, width, columns)).ravel()
    target.must[:] = target.may[:] = own
    m.set(m.worker, shift=shift)
    words = {"a": source.address, "a_stride": source.stride, "width": width, "copy_count": columns}
    m.run("scatter_columns", 0, rows, c=target.address, **words)
    return target.numbers().reshape(matrices, width, columns)


def join_losses(m: Machine, losses: Array, before: Array, weight: float, index: int, last: bool) -> tuple[Array, Array]:
    """What SUMS and ROW_LOSS hold after the loss of output number `index` has joined."""
    rows = len(losses)
    row_loss, sums = (m.user_output(name, rows) for name in ("row loss", "sums"))
    for buffer, numbers, changed in ((row_loss, losses, last), (sums, before, True)):
        buffer.content.view(m.dtype)[...] = numbers
        buffer.must[:], buffer.may[:] = False, changed
    m.set(m.head, row_loss=row_loss.address)
    words = {"sums": sums.address, "setting_1": double(weight), "first_panel": index, "shared": int(last)}
    m.call("join_losses", m.address_of(m.record(at.OP_WORDS, **words)), 0, rows)
    return sums.numbers(), row_loss.numbers()
