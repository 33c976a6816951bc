"""Groups: ops that run block by block of rows together, so that intermediate values stay in L1.

Consecutive elementwise ops on matrices of one size form a group. A buffer used by a single group is *inside*: its
memory holds one block and is overwritten by the next. Every other op is a group of its own.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from fastbp.autodiff.lower import Lowering
from fastbp.engine.memory import Arena
from fastbp.engine.ops import Ops, number_of, numbers_in
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import OpGroup

L1_LINES = 384  # of a block of rows, over all buffers of a group: 24 KiB
PRODUCT_ROWS = 64  # rows of a product that stay in L2


class Group:
    """Ops, their rows, and the rows of a block.

    Attributes
    ----------
    flat : bool
        Whether they run over all lines of a buffer, rather than over rows panel by panel.
    """

    def __init__(self, ops: list[Any]) -> None:
        self.ops = ops
        first = ops[0]
        self.elementwise = first.elementwise
        self.flat = self.elementwise and all(_is_flat(op, part) for op in ops for part in (op.a, op.b, op.y))
        self.rows, self.panels = first.rows, first.panels if self.elementwise else 1
        if self.flat:
            self.rows, self.panels = first.panels * first.c.stride // LINE, 1
            for op in ops:
                op.panels = 1
        self.block = min(PRODUCT_ROWS, self.rows) if first.name == "product" else self.rows
        self.used: set[int] = set().union(*map(numbers_in, ops))
        self.count = 0  # of blocks inside
        self.inside = self.size = 0  # where these are, and the bytes of each
        self.address = 0  # of the ops, once they are in memory

    def take_in(self, inside: set[int], lowered: Ops) -> None:
        """Choose the block size, and give memory for one block to the buffers inside, by liveness."""
        places = lowered.places(self.ops, range(len(self.ops)), inside)
        blocks = list(dict.fromkeys(places.values()))
        self.count = len(blocks)
        lines = L1_LINES // (len(self.used - inside) + self.count) // self.panels
        self.block = min(self.rows, max(8 if self.flat else 1, lines))
        stride = (self.block | 1) * LINE
        self.size = self.panels * stride
        self.inside = lowered.arena.take(self.count * self.size) if blocks else 0
        for op in self.ops:
            for part in (op.a, op.b, op.y, op.c):
                place = places.get(number_of(part.start))
                if place is not None:
                    part.start, part.back = self.inside + blocks.index(place) * self.size, LINE
                    part.stride = stride if part.stride else 0

    def again(self, arena: Arena) -> list[Any]:
        """The ops, with other memory for the blocks inside."""
        moved = arena.take(self.count * self.size) - self.inside
        found = [op.copy() for op in self.ops]
        for op in found:
            for part in (op.a, op.b, op.y, op.c):
                part.start += moved if part.back else 0
        return found

    def record(self, ops: int, begin: int = 0, end: int = 0) -> OpGroup:
        """Some of the rows, or all, as compiled code reads it; `ops` is where its ops are."""
        return OpGroup(ops=ops, count=len(self.ops), begin=begin, end=end or self.rows, block=self.block)


def _is_flat(op: Any, part: Any) -> bool:
    """Whether an operand is read as consecutive lines, or as one line for all."""
    return not part.start or (part.stride, part.row) in ((0, 0), (op.c.stride, LINE))


def scheduled(ops: list[Any]) -> list[Any]:
    """The ops reordered for long groups: an op that fits no group is delayed until its result is read.

    So the sum before a gradient does not split the elementwise gates around it.
    """
    out: list[Any] = []
    late: list[Any] = []
    written: set[int] = set()  # by delayed ops
    size: tuple[int, int] | None = None  # of the group at the end of `out`
    for op in ops:
        joins = _size(op) == size is not None
        if joins and numbers_in(op) & written:
            out += late
            late, written, size = [], set(), None
        if joins or size is None:
            out.append(op)
            size = _size(op)
        else:
            late.append(op)
            written.add(number_of(op.c.start))
    return out + late


def grouped(ops: list[Any]) -> list[Group]:
    """Groups of ops, in order."""
    out: list[list[Any]] = []
    for op in ops:
        if out and _size(op) == _size(out[-1][0]) is not None:
            out[-1].append(op)
        else:
            out.append([op])
    return [Group(group) for group in out]


def _size(op: Any) -> tuple[int, int] | None:
    return (op.rows, op.panels) if op.elementwise else None


def place(groups: list[Group], lowered: Lowering) -> None:
    """Give memory to every buffer; a dead one's is that of the next that fits, in a later group."""
    ops = [op for group in groups for op in group.ops]
    times = Counter(number for group in groups for number in group.used)
    alone = {number for number, count in times.items() if count == 1} - lowered.held
    for group in groups:
        if group.elementwise:
            group.take_in(group.used & alone, lowered)
    moments = [number for number, group in enumerate(groups) for _ in group.ops]
    lowered.settle(lowered.places(ops, moments, times.keys() - lowered.held), ops)
