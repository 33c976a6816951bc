"""Plans for the loss on held-out rows, which the members of a pack take in turn.

What a small network computes for 512 rows is many times its parameters. So a plan belongs to no member: it has
parameters of its own, into which those of the member are copied whose turn it is. There are as many plans as calls in a
region, and more only where a member's rows take longer than a call.
"""

from __future__ import annotations

from typing import Any

from fastbp.engine.blocks import Block
from fastbp.errors import DivergedError
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.plans import team_sizes, work_of
from fastbp.lowering.user_rows import counts_for
from fastbp.model.network import EVALUATION_ROWS, Network
from fastbp.spec.losses import Loss
from fastbp.train.pack_calls import OP_WORK, Call


def blocks_of(net: Network) -> tuple[Block, Block]:
    """Parameters and running statistics."""
    return net.parameters.block, net.states.block


class Seats:
    """The plans of a pack that nobody has, by the graph that they are for.

    Parameters
    ----------
    loss : Loss
        That of all members.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        # By graph, workers and rows; members keep their graphs, so none has the number of an earlier one.
        self.free: dict[tuple[int, int, tuple[int, ...]], list[BatchPlan]] = {}

    def take(self, net: Network, workers: int, x: Any) -> BatchPlan:
        """A plan for a network like this one and such rows."""
        counts = counts_for(net.graph, x)
        free = self.free.setdefault((id(net.graph), workers, counts), [])
        if free:
            return free.pop()
        parameters, states = (Block(block.slots, block.dtype) for block in blocks_of(net))
        words: Any = {"batch": EVALUATION_ROWS, "loss": self.loss, "update": None, "training": False, "counts": counts}
        return BatchPlan(net.graph, parameters, states, workers, **words)

    def give(self, plan: BatchPlan) -> None:
        """Leave a plan to others."""
        self.free[id(plan.graph), plan.workers, plan.counts].append(plan)


class Validation(Call):
    """The loss of a network on held-out rows: its plan has one only where the call has been run.

    Parameters
    ----------
    bound : tuple
        Rows, targets, bits of the largest magnitude.
    chosen : array of uint32, optional
        Those of the rows that it is about.
    """

    plan: Any

    def __init__(self, net: Network, seats: Seats, bound: Any, chosen: Any) -> None:
        total = len(bound[0] if chosen is None else chosen)
        rows, steps = min(EVALUATION_ROWS, total), -(-total // EVALUATION_ROWS)
        super().__init__(net, None, steps, work_of(net.graph, rows) + OP_WORK * len(net.graph.nodes))
        self.work = work_of(net.graph, rows)
        self.seats, self.bound, self.chosen = seats, bound, chosen

    def share(self, threads: int, *, alone: bool, worth: bool) -> None:
        self.team = team_sizes(self.work, threads)[1]
        if self.plan is not None:
            self.team = min(self.team, self.plan.workers)

    def open(self) -> None:
        if self.plan is None:
            self.plan = self.seats.take(self.net, self.team, self.bound[0])
            self.plan.bind(*self.bound, chosen=self.chosen)
        for own, block in zip(self.plan.blocks, blocks_of(self.net), strict=True):
            own.copy_from(block)
        super().open()
        self.plan.prepare(self.steps, 1)

    def error(self) -> DivergedError | None:
        found: DivergedError | None = self.plan.error()
        return found
