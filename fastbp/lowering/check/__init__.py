"""`FASTBP_PLAN=check`: every kernel that a plan runs stands beside its NumPy twin, on the same buffers.

What an op has to do is known twice: from the ops as they were lowered, and from the records that compiled code walks,
which are those ops cut into phases, blocks of rows and column groups. For each call of a kernel `fastbp.reference` says
what has to come out of what the first tell it to read, and where that has to stand. The first difference is raised as
a `PlanError` that names op, buffer, row and column.

    values      memory as arrays; what must be there, and how far from it rounding may be
    call        one call, as a twin sees it
    ops, norms, losses, formulas    the twin of every op's kernel
    rows        row phases: operands, results, and what nobody may touch
    gradients, updates, tasks       weight sweep, optimisers, penalties, and what is done once a batch
    head        what kernels and twins both read
    done        that each task is done once, and each gradient kept or applied
    watcher     callbacks in the place of kernels, and the error behind a call
"""

from __future__ import annotations

import os
from typing import Any

from fastbp.engine import proof
from fastbp.errors import ConfigError


def watcher_of(plan: Any, lowering: Any) -> Any:
    """What watches a plan, made of what was lowered; None unless the environment asks for it.

    Plans of proofs are not watched: what they are to find out is whether a kernel computes wrong numbers.
    """
    found = os.environ.get("FASTBP_PLAN", "")
    if found not in ("", "check"):
        raise ConfigError("FASTBP_PLAN", "must be `check` or not be set", f"`{found}`")
    if not found or proof.under_way():
        return None
    from fastbp.lowering.check.watcher import Watcher

    return Watcher(plan, lowering)
