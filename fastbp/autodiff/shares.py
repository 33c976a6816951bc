"""A program on several threads.

A large group is a phase of its own, cut into one task a thread: rows, or where rows are summed, panels of the sums. The
groups between two of these are one task, done by whichever thread comes first. What lives inside a group, a block of
rows, each of its tasks has for itself. No sum is cut, so no bit depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from fastbp.autodiff.groups import Group
from fastbp.autodiff.lower import OVER_A
from fastbp.engine import threads as teams
from fastbp.engine.compiler import kernel_address
from fastbp.engine.memory import Arena
from fastbp.engine.plan import Table, add_team, connect
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import GateTask, Op, OpGroup
from fastbp.kernels.records import END_NOTHING, MAX_PHASES, TASK_PHASE, Phase

# Multiplications of a task: two microseconds in float32 on an AVX-512 core, some times the way from phase to phase.
SHARE_WORK = 200_000
# Multiplications for each thread that is woken, which takes one or two microseconds.
THREAD_WORK = 500_000
# Multiplications that take as long as a sum of two numbers there; functions and copies take three to five times that.
GATE_WORK = 4
PRODUCTS = ("product", "gate_outer")
# Rows, so that no two tasks write to one line of a transposed matrix; and panels, of which products do two at a time.
ROWS, PANELS = 16, 2


def work_of(group: Group, in_line: int) -> int:
    """About as many multiplications as a group takes."""
    found: int = 0
    for op in group.ops:
        lanes = op.panels * in_line
        each = op.width * lanes if op.name in PRODUCTS else GATE_WORK * (op.width if op.name in OVER_A else lanes)
        found += group.rows * each
    return found


def count_of(group: Group, in_line: int, workers: int) -> int:
    """How many tasks a group is cut into."""
    op = group.ops[0]
    parts: int = op.panels // PANELS if op.whole_columns else group.rows // ROWS
    return max(1, min(workers, parts, work_of(group, in_line) // SHARE_WORK))


def cut_work(groups: Sequence[Group], in_line: int) -> int:
    """The work of the groups that are cut for several workers."""
    return sum(work_of(group, in_line) for group in groups if count_of(group, in_line, 2) > 1)


def team_size(work: int) -> int:
    """The threads for this much work in groups that are cut; one in a child of a fork, where no others are left."""
    if work == 0 or teams.is_forked():
        return 1
    most = teams.chosen(None)
    return most if teams.fixed() else max(1, min(most, work // THREAD_WORK))


def cut(group: Group, count: int, arena: Arena) -> list[OpGroup]:
    """A group in so many parts, of which no two write to the same place."""
    op = group.ops[0]
    if op.whole_columns and count > 1:
        parts = [op.columns(p0, p1) for p0, p1 in pairwise(_edges(op.panels, count, PANELS))]
        return [group.record(Table.of(arena, Op, [part]).address) for part in parts]
    found = []
    for begin, end in pairwise(_edges(group.rows, count, ROWS)):
        own = begin > 0 and group.count > 0
        ops = Table.of(arena, Op, group.again(arena)).address if own else group.address
        found.append(group.record(ops, begin, end))
    return found


def _edges(total: int, count: int, step: int) -> list[int]:
    """Where as many parts as possible, of about one size, begin and end: at multiples of a step."""
    return sorted({min(total, -(-total * i // (count * step)) * step) for i in range(count + 1)})


class Shares:
    """The groups of a program as phases of tasks.

    Parameters
    ----------
    groups : list of Group
    head : Table
        The program's, which gets a team of `workers`.
    """

    def __init__(self, groups: Sequence[Group], head: Table, arena: Arena, zero: Any, workers: int) -> None:
        self.head, self.zero, self.real, self.workers = head, zero, zero.dtype.name, workers
        add_team(arena, head, workers)
        connect(head.records[0], self.real)
        in_line = LINE // zero.itemsize
        phases: list[list[list[OpGroup]]] = []
        for group in groups:
            parts = cut(group, count_of(group, in_line, workers), arena)
            if len(parts) == 1 and phases and len(phases[-1]) == 1:
                phases[-1][0] += parts
            else:
                phases.append([[part] for part in parts] if len(parts) > 1 else [parts])
        self.phases = Table.of(arena, Phase, [self._phase(tasks, arena) for tasks in phases])

    def _phase(self, tasks: list[list[OpGroup]], arena: Arena) -> Phase:
        table = Table.of(arena, GateTask, [task_of(groups, arena, self.real) for groups in tasks])
        return Phase(kind=TASK_PHASE, end=END_NOTHING, tasks=table.address, task_count=len(tasks))

    def run(self, threads: int) -> None:
        """Run them on this many threads, at most `workers`."""
        head, count = self.head.records[0], len(self.phases.records)
        head.team.threads = min(threads, self.workers)
        for first in range(0, count, MAX_PHASES):
            head.phases, head.phase_count = self.phases.address_of(first), min(MAX_PHASES, count - first)
            teams.run(self.head.address, self.zero, head.team.threads, self.real)


def task_of(groups: Sequence[OpGroup], arena: Arena, real: str) -> GateTask:
    """These groups, one after another."""
    table = Table.of(arena, OpGroup, groups)
    return GateTask(kernel=kernel_address("gate_groups", real), groups=table.address, count=len(groups))
