"""Divergence: how a plan ensures that its next update stays finite, and the error if it would not.

Where bounds do not suffice, gradients are checked and the update is tried on copies, in one phase before the update;
with `clip_norm` or `accumulate` the trial is a phase of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastbp.engine.blocks import Block
from fastbp.engine.compiler import kernel_address
from fastbp.engine.memory import Arena
from fastbp.errors import DivergedError
from fastbp.kernels.optimizers import RULES
from fastbp.kernels.records import Head
from fastbp.lowering.buffers import Way
from fastbp.spec.graph import Graph


def guard(head: Head, kernel: str, ways: Iterable[Way | None], parameters: Block) -> None:
    """Enable the check that all this optimiser's kernel writes is certain to be finite."""
    real, trained = parameters.dtype.name, [way for way in ways if way is not None]
    update = head.update
    update.bound = kernel_address(RULES[kernel].bounds, real)
    update.rest = kernel_address("rest", real) if RULES[kernel].of_means else 0
    update.attempt = kernel_address("attempt", real)
    update.top_rate = max(way.rate for way in trained)
    update.top_decay = max(way.decay for way in trained)
    update.top_stretch = max(way.stretch for way in trained)
    update.penalised = any(way.penalty for way in trained)
    update.count = parameters.size // parameters.dtype.itemsize


def keep_states(head: Head, states: Block, arena: Arena) -> None:
    """Enable the copy of running statistics, which batches update before the step's update is tried."""
    head.update.states, head.update.state_bytes = states.address, states.size
    head.update.states_kept = arena.take(states.size)


def error_of(head: Head, graph: Graph, parameters: Block, loss: float) -> DivergedError | None:
    """The error for the `status` of a plan, or None."""
    status, step = head.step.status, head.step.number
    if status < 0:
        name = parameters.name_at(-status - 1)
        return DivergedError(
            f"parameters must stay finite, got an update of `{name}` at step `{step}` that overflows;"
            " the parameters are those before that step",
            step,
            name.rpartition(".")[0],
        )
    if status > 0:
        node = graph.nodes[status - 1]
        what = "loss, gradients and running statistics" if node.layer.kind == "batch_norm" else "loss or gradients"
        return DivergedError(
            f"{what} must be finite, got `{loss}` as loss at step `{step}`,"
            f" first in layer `{node.name}` ({node.layer}); the parameters are those before that step",
            step,
            node.name,
        )
    return None
