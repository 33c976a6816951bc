"""How a plan knows that its next update stays finite, and the error where it would not.

Of a step without `clip_norm` and `accumulate` the gradients are looked at, and the update is tried, in one phase before
the one that updates, both only where bounds do not tell; with them the update is tried in a phase of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastbp.engine.compiler import kernel_address
from fastbp.engine.memory import Arena
from fastbp.engine.panels import Block
from fastbp.engine.plan import Record, double
from fastbp.errors import DivergedError
from fastbp.kernels import layout as at
from fastbp.kernels.bounds import OF_MEANS, RULES
from fastbp.model.graph import Graph
from fastbp.model.records import Way


def guard(head: Record, kernel: str, ways: Iterable[Way | None], parameters: Block) -> None:
    """Let every step ask whether what this optimiser's kernel writes is certain to be finite."""
    real, trained = parameters.dtype.name, [way for way in ways if way is not None]
    head[at.BOUND], head[at.RULE] = kernel_address("bounds", real), RULES[kernel]
    head[at.REST] = kernel_address("rest", real) if kernel in OF_MEANS else 0
    head[at.ATTEMPT] = kernel_address("attempt", real)
    head[at.TOP_RATE] = double(max(way.rate for way in trained))
    head[at.TOP_DECAY] = double(max(way.decay for way in trained))
    head[at.PENALISED] = any(way.penalty for way in trained)
    head[at.PARAMETER_COUNT] = parameters.size // parameters.dtype.itemsize


def keep_states(head: Record, states: Block, arena: Arena) -> None:
    """Let every step keep the running statistics that it finds, which its batches teach before its update is tried."""
    head[at.STATES], head[at.STATE_BYTES] = states.address, states.size
    head[at.STATES_KEPT] = arena.take(states.size)


def error_of(head: Record, graph: Graph, parameters: Block, loss: float) -> DivergedError | None:
    """What to raise for the STATUS of a plan, if anything."""
    status, step = int(head[at.STATUS]), int(head[at.STEP])
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
