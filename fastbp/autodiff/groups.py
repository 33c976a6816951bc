"""Groups: steps that go over blocks of rows together, so that what passes between them stays in L1.

Neighbouring steps that work number by number on matrices of one size are a group. A space that only one group writes
and reads is *inside*: it holds one block, and the next block writes over it. Everything else is a group of one.
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
    """Steps, the rows they go over, and how many at a time.

    Attributes
    ----------
    flat : bool
        Whether they go over the lines of whole spaces rather than over rows, panel by panel.
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
        self.slots: dict[int, int] = {}  # spaces that are inside, by id -> which of the blocks
        self.count = 0  # of these blocks
        self.address = 0  # of the first

    def spaces(self) -> set[int]:
        found = {id(v.space) for step in self.steps for v in step.views}
        return found | {id(step.target) for step in self.steps if step.target is not None}

    def take_in(self, inside: set[int], arena: Arena) -> None:
        """Choose the block, and give what is inside its places; one that is read no more goes to the next."""
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
        """From panel to panel of what is inside."""
        return (self.block | 1) * LINE

    def place(self, space: Space) -> tuple[int, int, int]:
        """Address and stride of a space, and how far back its first row is for each row before the block's."""
        slot = self.slots.get(id(space))
        if slot is None:
            return space.address, space.stride, 0
        return self.address + slot * self.panels * self.stride, self.stride, LINE


def scheduled(steps: list[Step]) -> list[Step]:
    """The steps in an order that makes groups long: what does not belong to a group waits until its result is read.

    Such is the sum whose gradient follows: all gates before and behind it become one group.
    """
    out: list[Step] = []
    late: list[Step] = []
    written: set[int] = set()  # by those that wait
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
    """Groups of steps in their order."""
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
    """Give every space an address; one that no later step reads goes to the next of its size."""
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
