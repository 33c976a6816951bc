"""One call of an op's kernel, as its twin sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.memory import view
from fastbp.kernels.fields import LINE
from fastbp.lowering.check.values import Output, natural, panels_at

Array = NDArray[Any]
Share = tuple[int, int]


@dataclass
class Call:
    """One call of an op's kernel.

    Attributes
    ----------
    op : Record
        The op as it was lowered, for all columns.
    given : Record
        The one that the kernel gets, for addresses of users' arrays, which are set before each run.
    names : dict
        What stands at an address.
    transposes : list of Trained
        Which weights have a transposed copy, and where.
    loss : Loss, optional
        What the op takes, if it is one of a loss.
    share : (int, int)
        The first panel that this call does, and the one behind the last.
    """

    plan: Any
    op: Any
    given: Any
    share: Share
    me: Any
    r0: int
    r1: int
    names: dict[int, str]
    transposes: list[Any]
    loss: Any = None

    def __post_init__(self) -> None:
        self.dtype = self.plan.parameters.dtype
        self.eps = float(np.finfo(self.dtype).eps)
        self.in_line = LINE // self.dtype.itemsize
        self.head = self.plan.head

        self.rows = self.r1 - self.r0
        self.first_lane = self.share[0] * self.in_line

    def real(self, number: float) -> float:
        """A number of the record as the kernel reads it."""
        return float(self.dtype.type(number))

    def valid(self, width: int) -> Array:
        """Which lanes of this call's panels hold numbers."""
        return np.arange(self.first_lane, self.share[1] * self.in_line) < width

    def memory(self, matrix: Any, share: Share | None = None) -> Array:
        """The rows of this call of a matrix, where they lie."""
        p0, p1 = share or self.share
        start = matrix.start + p0 * matrix.stride + self.r0 * LINE
        return panels_at(start, matrix.stride, p1 - p0, self.rows, self.dtype)

    def read(self, matrix: Any, width: int = 0) -> Array:
        """The numbers of a matrix in this call's panels, or in all panels of so many columns."""
        share = (0, -(-width // self.in_line)) if width else None
        found = natural(self.memory(matrix, share))
        return found[:, :width] if width else found

    def a(self) -> Array:
        return self.read(self.op.a)

    def y(self) -> Array:
        return self.read(self.op.y)

    def lines(self, address: int) -> Array:
        """The line of each of this call's panels, as one row."""
        p0, p1 = self.share
        return np.array(view(address + p0 * LINE, ((p1 - p0) * self.in_line,), self.dtype), np.float64)

    def named(self, matrix: Any) -> str:
        return "buffer " + self.names.get(matrix.start, "c").split()[0]

    def out(self, must: Array, bound: Any, field: str = "c", lanes: Array | None = None) -> Output:
        """This call's part of a result."""
        matrix = getattr(self.op, field)
        bound = np.broadcast_to(bound, must.shape)
        return Output(self.named(matrix), self.memory(matrix), must, bound, self.r0, self.first_lane, lanes)

    def whole(self, must: Array, bound: Any, width: int) -> Output:
        """The result in all panels of a matrix of so many columns, zeros behind them."""
        bound = np.broadcast_to(bound, must.shape)
        return self.out(self.padded(must, width), self.padded(bound, width))

    def padded(self, numbers: Array, width: int) -> Array:
        out = np.zeros((len(numbers), -(-width // self.in_line) * self.in_line))
        out[:, :width] = numbers
        return out

    def line_out(self, name: str, address: int, must: Array, bound: Any) -> Output:
        """A result of one line a panel."""
        p0, p1 = self.share
        memory = panels_at(address + p0 * LINE, LINE, p1 - p0, 1, self.dtype)
        return Output(name, memory, must[None], np.broadcast_to(bound, must.shape)[None], 0, self.first_lane)

    def row_out(self, name: str, address: int, must: Array, bound: Any) -> Output:
        """A result of one number a row."""
        memory = view(address + self.r0 * self.dtype.itemsize, (self.rows, 1), self.dtype)
        return Output(name, memory, must[:, None], np.broadcast_to(bound, must.shape)[:, None], self.r0)

    def numbers_of_rows(self, address: int) -> Array:
        """One number a row."""
        return np.array(view(address + self.r0 * self.dtype.itemsize, (self.rows,), self.dtype), np.float64)

    def user_rows(self) -> Array:
        """Which rows of users' arrays those of this call are."""
        rows: Array = np.arange(self.r0, self.r1) + self.me.shift
        index = self.head.data.index
        if not index:
            return rows
        return np.array(view(index, (int(rows.max()) + 1,), np.uint32)[rows], np.int64)

    def user(self, matrix: Any, rows: Array, width: int) -> Array:
        """Those rows of a row-major array of a user's."""
        first = int(rows.min())
        count, item = int(rows.max()) - first + 1, self.dtype.itemsize
        numbers = view(matrix.start + first * matrix.stride, ((count - 1) * matrix.stride // item + width,), self.dtype)
        found = np.lib.stride_tricks.as_strided(numbers, (count, width), (matrix.stride, item))
        return np.array(found[rows - first], np.float64)
