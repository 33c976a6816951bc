"""What becomes of gradients: an optimiser's kernel and its settings, moments, limits and averages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastbp.engine.blocks import Block
from fastbp.kernels.records import END_CHECK, END_DIRECTIONS, END_GRADIENTS, END_NORM, END_NOTHING, END_STEP
from fastbp.lowering.buffers import Treatment

KEEP = "keep_gradients"
# What has a schedule besides the learning rate, and where its factors are, in the head's `step`.
SCHEDULED = {"dropout": "drops", "weight_decay": "decays", "label_smoothing": "smoothings"}


@dataclass(frozen=True)
class Update:
    """How gradients are used: an optimiser's kernel and what it needs.

    Attributes
    ----------
    kernel : str
        Name of the kernel that updates lines.
    settings : mapping
        Fields of the kernel's record of settings.
    moments : blocks
        What the kernel keeps for each parameter.
    gradients : Block, optional
        Buffer of gradients, if they are kept: for the user, a norm, a penalty, accumulation, or directions.
    directions : Block, optional
        Of matrices that step along orthogonal ones, those whose `treatment` has a stretch.
    average : Block, optional
        A running average of the parameters, with decay `average_keep`.
    clip_value, clip_norm : float
        Limits; 0 where there are none.
    accumulate : int
        Batches of a step.
    treatment : mapping, optional
        Which parameters are trained, and the factors of their learning rate and weight decay.
    scheduled : sequence of str
        What has factors of its own in each step: "dropout", "weight_decay", "label_smoothing".
    drop_last : bool
        Whether epochs end where fewer rows are left than a batch has.
    """

    kernel: str
    settings: Mapping[str, float] = field(default_factory=dict)
    moments: tuple[Block, ...] = ()
    gradients: Block | None = None
    directions: Block | None = None
    average: Block | None = None
    average_keep: float = 0.0
    clip_value: float = 0.0
    clip_norm: float = 0.0
    accumulate: int = 1
    treatment: Treatment | None = None
    scheduled: Sequence[str] = ()
    drop_last: bool = False

    @property
    def turned(self) -> list[str]:
        """The parameters that step along orthogonal matrices."""
        ways = self.treatment or {}
        return [name for name, way in ways.items() if way is not None and way.stretch] if self.directions else []

    @property
    def only_keeps(self) -> bool:
        """Whether gradients are only kept, without an update."""
        return self.kernel == KEEP


def task_ends(update: Update | None, directions: Any) -> list[int]:
    """The ends of the task phases: check, weight sweep, and with kept gradients norm, directions, trial, update."""
    assert update
    if update.gradients is None or update.only_keeps:
        return [END_CHECK, END_STEP]
    norm = [END_NORM] if update.clip_norm else []
    turns = [*[END_NOTHING] * (len(directions.phases) - 1), END_DIRECTIONS] if directions else []
    return [END_CHECK, END_GRADIENTS, *norm, *turns, END_CHECK, END_STEP]
