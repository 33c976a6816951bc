"""Validation by ranks: each measures its part of the rows, and all have every bit of what one would.

A loss is a sum over blocks of rows, in their order; a rank has the losses of its blocks, all get those of all, and add
them in that order. Outputs of rows depend on no other rows, so each rank predicts its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.user_rows import counts_for
from fastbp.model.feed import Feed
from fastbp.model.network import EVALUATION_ROWS, Network
from fastbp.train.held_out import HeldOut
from fastbp.train.ranks import Ranks


@dataclass(frozen=True)
class HeldTogether(HeldOut):
    """Validation rows of several ranks."""

    ranks: Ranks = field(kw_only=True)
    plans: dict[int, BatchPlan] = field(default_factory=dict, kw_only=True)

    def loss_of(self, net: Network) -> float:
        if isinstance(self.checked[0], Feed):  # rows that stay in files are read by each rank
            return super().loss_of(net)
        blocks = -(-len(self.checked[0]) // EVALUATION_ROWS)
        cuts = self._cuts(blocks)
        found = np.zeros((blocks, 2))  # loss and weight of each block
        self._measure(net, range(cuts[self.ranks.rank], cuts[self.ranks.rank + 1]), found)
        self.ranks.gather(found, [2 * cut for cut in cuts])
        loss = weight = 0.0
        for own_loss, own_weight in found.tolist():
            loss += own_loss * own_weight
            weight += own_weight
        if self.loss.reduction == "sum":
            return loss
        return loss / weight if weight > 0.0 else 0.0

    def _measure(self, net: Network, blocks: range, found: NDArray[np.float64]) -> None:
        x, t, top = self.checked
        with net.lock:
            plan = self.plans.get(id(net))
            if plan is None:
                plan = net._batch_plan(EVALUATION_ROWS, self.loss, None, False, counts_for(net.graph, x))
                self.plans[id(net)] = plan
            plan.bind(x, t, top)
            for block in blocks:
                plan.head.data.cursor = block * EVALUATION_ROWS
                plan.steps(1, 1, self.pace.threads)
                found[block] = plan.loss, plan.head.step.weight

    def outputs_of(self, net: Network) -> Any:
        x = self.rows()
        cuts, outputs = self._cuts(len(x)), np.zeros((len(x), net.outputs), net.dtype)
        first, last = cuts[self.ranks.rank : self.ranks.rank + 2]
        if first < last:
            outputs[first:last] = net.predict(x[first:last], threads=self.pace.threads)
        self.ranks.gather(outputs, [net.outputs * cut for cut in cuts])
        return outputs

    def _cuts(self, count: int) -> list[int]:
        """Where the parts of the ranks begin and end among so many."""
        return [count * rank // self.ranks.count for rank in range(self.ranks.count + 1)]
