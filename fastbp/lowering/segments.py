"""Plans over rows that stay in files: a segment of an epoch is in memory at a time, under its numbers in the epoch.

Rows come as they are, from an address at which row 0 of the epoch would stand; so cursor, losses and epochs are counted
as where all are in memory. What was read is alive as long as the plan's `data`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.kernels.fields import WORD
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.plans import loss_records
from fastbp.spec.losses import Targets


def bind_feed(plan: BatchPlan, feed: Any, training: bool) -> None:
    """Read the rows of a feed, epoch by epoch; the current epoch of the same feed continues."""
    rows, data = len(feed), plan.head.data
    if plan.feed is not feed:
        plan.new_epoch()
        plan.data, plan.feed, plan._order = None, feed, np.zeros(0, np.uint32)
    data.dropped = rows % plan.batch if training and plan.update.drop_last and rows > plan.batch else 0
    data.total, data.shuffle, data.chosen, data.order = rows - data.dropped, 0, 0, 0


def bind_segment(plan: BatchPlan, x: Any, y: Targets, top: int, first: int) -> None:
    """Read batches from these rows, the first of which is row `first` of the epoch."""
    plan.read_arrays(x, y, top)
    gather, data, plan.first = plan.ops.records[0], plan.head.data, first
    gather.a.start -= first * gather.a.stride
    for op in loss_records(plan):
        op.targets.start -= first * op.targets.stride
    for name in ("weights", "normalisers"):
        if getattr(y, name) is not None:
            setattr(data, name, getattr(y, name).ctypes.data - first * WORD)
