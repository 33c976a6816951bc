"""Plans for reading: what a network is lowered to for each purpose."""

from __future__ import annotations

from typing import Any

from fastbp.engine import threads as team
from fastbp.engine.blocks import Block
from fastbp.engine.plan import Plan
from fastbp.errors import not_one_of
from fastbp.kernels.optimizers import RULES
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.plans import ROW_BLOCK, RowPlan
from fastbp.lowering.update import KEEP, Update
from fastbp.spec.checks import whole
from fastbp.spec.joint_loss import loss_for_outputs

OF_ROWS = ("predict", "members", "vjp", "jvp", "rows", "columns", "gradient")
OF_BATCHES = ("evaluate", "train")


def plan(
    net: Any,
    kind: str,
    *,
    batch: int = ROW_BLOCK,
    loss: Any = "mse",
    optimizer: str = "sgd",
    clip_norm: bool = False,
    threads: int | None = None,
) -> Plan:
    """What a network is lowered to.

    Parameters
    ----------
    net : Network
    kind : {"predict", "members", "vjp", "jvp", "rows", "columns", "gradient", "evaluate", "train"}
        "members" is what each predicts, side by side; "rows" and "columns" are whole Jacobians, "gradient" is one row
        of one.
    batch : int
        Rows of a batch, for the last two kinds.
    loss : str or Loss
        For the last two kinds; a list for several outputs.
    optimizer : str
        The kernel of an optimiser, such as "adam", for training.
    clip_norm : bool
        Whether gradients are kept and their norm is clipped.
    threads : int, optional
        By default as many as for `Network.predict`.
    """
    if kind not in OF_ROWS + OF_BATCHES:
        raise not_one_of("kind", kind, OF_ROWS + OF_BATCHES)
    workers = team.chosen(threads)
    blocks = net.parameters.block, net.states.block
    if kind in OF_ROWS:
        return RowPlan(net.graph, *blocks, workers, kind)
    if optimizer not in RULES or optimizer == KEEP:
        raise not_one_of("optimizer", optimizer, tuple(name for name in RULES if name != KEEP))
    of, rows = loss_for_outputs(loss, net.graph.splits), whole("batch", batch, 1)
    if kind == "evaluate":
        return BatchPlan(net.graph, *blocks, workers, batch=rows, loss=of, update=None, training=False)
    slots = blocks[0].slots
    moments = tuple(Block(slots, net.dtype) for _ in range(RULES[optimizer].moments))
    waiting = Block(slots, net.dtype) if clip_norm else None
    update = Update(optimizer, moments=moments, gradients=waiting, clip_norm=float(clip_norm))
    return BatchPlan(net.graph, *blocks, workers, batch=rows, loss=of, update=update, training=True)
