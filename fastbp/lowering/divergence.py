"""How a plan knows that its next update stays finite, and the error where it would not.

Of a step without `clip_norm` and `accumulate` the gradients are looked at, and the update is tried, in one phase before
the one that updates, both only where bounds do not tell; with them the update is tried in a phase of its own.
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
    """Let every step ask whether what this optimiser's kernel writes is certain to be finite."""
    real, trained = parameters.dtype.name, [way for way in ways if way is not None]
    update = head.update
    update.bound = kernel_address(RULES[kernel].bounds, real)
    update.rest = kernel_address("rest", real) if RULES[kernel].of_means else 0
    update.attempt = kernel_address("attempt", real)
    update.top_rate = max(way.rate for way in trained)
    update.top_decay = max(way.decay for way in trained)
    update.penalised = any(way.penalty for way in trained)
    update.count = parameters.size // parameters.dtype.itemsize


def keep_states(head: Head, states: Block, arena: Arena) -> None:
    """Let every step keep the running statistics that it finds, which its batches teach before its update is tried."""
    head.update.states, head.update.state_bytes = states.address, states.size
    head.update.states_kept = arena.take(states.size)


def error_of(head: Head, graph: Graph, parameters: Block, loss: float) -> DivergedError | None:
    """What to raise for the STATUS of a plan, if anything."""
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
