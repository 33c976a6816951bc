"""What `calls` is, for kernels of columns between branches, of whole Jacobians and of several losses."""

from __future__ import annotations

import numpy as np

from fastbp.kernels import functions
from fastbp.kernels.records import Matrix
from tests.kernels.calls import point, rows_at
from tests.kernels.harness import Array, Machine, Panels
from tests.numpy_lanes import Lanes


def exp(x: Array) -> Array:
    """Our own, in NumPy."""
    return functions.exp(Lanes(x)).array


def log_add_exp(x: Array, y: Array) -> Array:
    return np.where(x >= y, x, y) + functions.log1p(Lanes(exp(-np.abs(x - y)))).array


PAIRS = {
    "branch_add": lambda x, y: x + y,
    "branch_subtract": lambda x, y: x - y,
    "branch_product": lambda x, y: x * y,
    "branch_divide": lambda x, y: x / y,
    "branch_minus_product": lambda x, y: -(x * y),
    "branch_log_add_exp": log_add_exp,
    "branch_exp_difference": lambda x, y: exp(x - y),
}
WAVES = ("wave_cosine",)
ALONE = ("branch_affine", "branch_times", "branch_over", "branch_over_slope")


def copy(
    m: Machine,
    x: Array,
    first: int,
    to: int,
    count: int,
    width: int,
    r0: int = 0,
    r1: int | None = None,
    closes: bool = False,
) -> Panels:
    """Columns of x from `first` on to those from `to` on of a matrix of `width`, the others of which stay poison.

    Where it `closes` the matrix, what is behind them in their last panel is written, too.
    """
    r1 = len(x) if r1 is None else r1
    source, target = m.given("a", x), m.panels("c", len(x), width)
    end = -(-(to + count) // m.in_line) * m.in_line if closes else to + count
    columns = np.arange(target.count * m.in_line).reshape(target.count, 1, m.in_line)
    rows = np.arange(target.content.shape[1])[:, None]
    target.may = (to <= columns) & (columns < end) & (r0 <= rows) & (rows < r1)
    target.must = target.may
    sizes = {"panels": target.count, "width": source.width}
    m.run("branch_copy", r0, r1, a=source, c=target, first=first, to=to, count=count, closes=closes, **sizes)
    return target


def wave(m: Machine, kernel: str, x: Array, factor: float, sloped: bool = True) -> list[Array]:
    """A wave, and its slope where that is asked for."""
    source, target = m.given("a", x), m.panels("c", *x.shape)
    saved = m.panels("y", *x.shape) if sloped else None
    if saved is not None:
        m.writes(saved, 0, len(x))
    m.op(kernel, source, target, 0, len(x), setting_1=factor, **({} if saved is None else {"y": saved}))
    return [target.lines(), *([] if saved is None else [saved.lines()])]


def clear(m: Machine, rows: int, width: int, r0: int = 0, r1: int | None = None) -> Panels:
    """A matrix of zeros."""
    target = m.panels("c", rows, width)
    r1 = rows if r1 is None else r1
    m.writes(target, r0, r1)
    m.run("branch_clear", r0, r1, c=target, panels=target.count)
    return target


def row_sum(m: Machine, x: Array, factor: float, r0: int = 0, r1: int | None = None) -> Panels:
    """The sum of each row times a factor; what pads x is NaN."""
    source, target = m.given("a", x, padding=np.nan), m.panels("c", len(x), 1)
    m.op("branch_row_sum", source, target, r0, len(x) if r1 is None else r1, factor=factor)
    return target


def repeat(m: Machine, x: Array, width: int, factor: float, r0: int = 0, r1: int | None = None) -> Panels:
    """One number a row, times a factor, in `width` columns."""
    source, target = m.given("a", x, padding=np.nan), m.panels("c", len(x), width)
    m.op("branch_repeat", source, target, r0, len(x) if r1 is None else r1, factor=factor, count=width)
    return target


def gather_repeated(m: Machine, X: Array, count: int, rows: int, shift: int = 0) -> Panels:
    """C[r] = X[(r + shift) // count]."""
    source, target = m.user("X", X), m.panels("c", rows, X.shape[1])
    point(m, None, shift)
    m.writes(target, 0, rows)
    m.run("gather_repeated", 0, rows, a=rows_at(source.address, X), c=target, width=X.shape[1], count=count)
    return target


def unit_rows(m: Machine, rows: int, width: int, column: int = -1, shift: int = 0) -> Panels:
    """Rows with a 1 in one column: in `column`, or in that of their own number."""
    target = m.panels("c", rows, width)
    point(m, None, shift)
    m.writes(target, 0, rows)
    m.run("unit_rows", 0, rows, c=target, panels=target.count, column=column, count=width)
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
    m.worker.shift = shift
    m.run("scatter_columns", 0, rows, a=source, c=Matrix(start=target.address), width=width, count=columns)
    return target.numbers().reshape(matrices, width, columns)


def join_losses(m: Machine, losses: Array, before: Array, weight: float, index: int, last: bool) -> tuple[Array, Array]:
    """The sums so far and the losses of rows after the loss of output number `index` has joined."""
    rows = len(losses)
    row_loss, sums = (m.user_output(name, rows) for name in ("row loss", "sums"))
    for buffer, numbers, changed in ((row_loss, losses, last), (sums, before, True)):
        buffer.content.view(m.dtype)[...] = numbers
        buffer.must[:], buffer.may[:] = False, changed
    m.head.step.row_loss = row_loss.address
    m.run("join_losses", 0, rows, sums=sums.address, weight=weight, output=index, last=last)
    return sums.numbers(), row_loss.numbers()
