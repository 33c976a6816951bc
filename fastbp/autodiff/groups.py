"""Groups: steps that run block by block of rows together, so that intermediate values stay in L1.

Consecutive elementwise steps on matrices of one size form a group. A space used by a single group is *inside*: its
buffer holds one block and is overwritten by the next. Every other step is a group of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from fastbp.autodiff.lower import Space, Step
from fastbp.engine.memory import Arena
from fastbp.kernels.fields import LINE

L1_LINES = 384  # of a block of rows, over all spaces of a group: 24 KiB
PRODUCT_ROWS = 64  # rows of a product that stay in L2


class Group:
    """Steps, their rows, and the rows of a block.

    Attributes
    ----------
    flat : bool
        Whether they run over all lines of a space, rather than over rows panel by panel.
    """

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        first = steps[0]
        self.elementwise = first.elementwise
        self.flat = self.elementwise and all(v.flat for step in steps for v in step.views)
        self.rows, self.panels = first.rows, 1
        if first.target is not None and self.elementwise:
            self.rows = first.target.lines if self.flat else first.target.rows
            self.panels = 1 if self.flat else first.target.panels
        self.block = min(PRODUCT_ROWS, self.rows) if first.kernel == "product" else self.rows
        self.slots: dict[int, int] = {}  # id of a space inside -> number of its block buffer
        self.count = 0  # of these blocks
        self.address = 0  # of the first

    def spaces(self) -> set[int]:
        found = {id(v.space) for step in self.steps for v in step.views}
        return found | {id(step.target) for step in self.steps if step.target is not None}

    def take_in(self, inside: set[int], arena: Arena) -> None:
        """Choose the block size, and assign buffers to the spaces inside, by liveness."""
        last = {id(v.space): step for step in self.steps for v in step.views}
        free: list[int] = []
        for step in self.steps:
            free += [self.slots[i] for i in {id(v.space) for v in step.views} if i in inside and last[i] is step]
            if id(step.target) in inside:
                self.count += not free
                self.slots[id(step.target)] = free.pop() if free else self.count - 1
        all_spaces = len(self.spaces() - inside) + self.count
        self.block = min(self.rows, max(8 if self.flat else 1, L1_LINES // all_spaces // self.panels))
        if self.count:
            self.address = arena.take(self.count * self.panels * self.stride)

    @property
    def stride(self) -> int:
        """The panel stride of spaces inside."""
        return (self.block | 1) * LINE

    def place(self, space: Space) -> tuple[int, int, int]:
        """Address and stride of a space, and the bytes to go back per row before the block."""
        slot = self.slots.get(id(space))
        if slot is None:
            return space.address, space.stride, 0
        return self.address + slot * self.panels * self.stride, self.stride, LINE


def scheduled(steps: list[Step]) -> list[Step]:
    """The steps reordered for long groups: a step that fits no group is delayed until its result is read.

    So the sum before a gradient does not split the elementwise gates around it.
    """
    out: list[Step] = []
    late: list[Step] = []
    written: set[int] = set()  # by delayed steps
    size: tuple[int, int] | None = None  # of the group at the end of `out`
    for step in steps:
        joins = _size(step) == size is not None
        if joins and any(id(v.space) in written for v in step.views):
            out += late
            late, written, size = [], set(), None
        if joins or size is None:
            out.append(step)
            size = _size(step)
        else:
            late.append(step)
            written.add(id(step.target))
    return out + late


def grouped(steps: list[Step]) -> list[Group]:
    """Groups of steps, in order."""
    out: list[list[Step]] = []
    for step in steps:
        if out and _size(step) == _size(out[-1][0]) is not None:
            out[-1].append(step)
        else:
            out.append([step])
    return [Group(group) for group in out]


def _size(step: Step) -> tuple[int, int] | None:
    return (step.target.rows, step.target.panels) if step.elementwise and step.target is not None else None


def place(groups: list[Group], pinned: Iterable[Space], arena: Arena) -> None:
    """Give every space an address; a dead one is reused for the next of its size."""
    steps = [step for group in groups for step in group.steps]
    users: defaultdict[int, set[int]] = defaultdict(set)
    for number, group in enumerate(groups):
        for which in group.spaces():
            users[which].add(number)
    held = {id(s.target) for s in steps if s.target is not None and not s.target.pinned}
    inside: set[int] = set()
    for number, group in enumerate(groups):
        if group.elementwise:
            own = {i for i in group.spaces() & held if users[i] == {number}}
            group.take_in(own, arena)
            inside |= own
    free: defaultdict[int, list[int]] = defaultdict(list)
    last = {id(v.space): step for step in steps for v in step.views}

    def put(space: Space) -> None:
        if space.whole is None and not space.address and id(space) not in inside:
            found = free[space.lines]
            space.address = found.pop() if found and not space.pinned else arena.take(space.lines * LINE)

    def leave(space: Space) -> None:
        if not space.pinned and id(space) not in inside:
            free[space.lines].append(space.address)

    for space in pinned:
        put(space)
    for step in steps:
        if step.target is not None and not step.elementwise:
            put(step.target)
        for space in {id(v.space): v.space for v in step.views}.values():
            put(space)
            if last[id(space)] is step and not step.once:
                leave(space)
        if step.target is not None:
            put(step.target)
            if id(step.target) not in last:
                leave(step.target)
    for step in steps:
        for space in (*(v.space for v in step.views), *([] if step.target is None else [step.target])):
            if space.whole is not None:
                space.address = space.whole.address + space.at * LINE
