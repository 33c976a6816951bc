"""Phases: the ops of a task, the number of tasks, and their owners.

    fused     all ops of the row sweep are one phase; a task takes a block of rows through every layer and back, so that
              its activations stay in cache
    layered   each layer is a phase of its own, cut by rows and by columns: for batches with fewer row blocks than
              threads, and for weights that outweigh the activations

The weight sweep gives each thread the same columns of weights in every step. In layered phases the thread that updated
a column also multiplies with it, so that activations move between cores instead of weights.

Either way every number is computed by the same chain of operations, to the bit.
"""

from __future__ import annotations

from typing import Any

from fastbp.errors import ConfigError
from fastbp.kernels.ops import ProductOp
from fastbp.kernels.records import MAX_PHASES, ROW_PHASE, TILE_INPUTS, TILE_PANELS, Phase, Trained, TrainedTable

# Where weights are this many times the activations, layered phases won: 784-128-10 at batch 64 took 74 instead of
# 84 µs, 784-512-256-10 at 128 769 instead of 831; below they lost (17-64-64-6 at 64, 100-256-256-256-10 at 256).
HEAVY = 3.0
LEAST_PANELS = 2  # of a column group: products are fastest on pairs of panels
MOST_ROWS = 128  # of a block: its activations and streamed weights share L2
LEAST_ROWS = 16  # of a block: whole lines of row losses, and enough work for a task


def row_block(batch: int, workers: int) -> int:
    """Rows of a task: enough tasks for all workers, in whole lines of row losses."""
    return min(MOST_ROWS, max(LEAST_ROWS, -(-batch // workers // LEAST_ROWS) * LEAST_ROWS))


def row_phases(ops: list[Any], batch: int, workers: int) -> tuple[list[Any], list[Phase]]:
    """The ops, perhaps cut by columns, and the consecutive row phases that run them.

    An op that needs whole columns is a phase of its own, cut by columns: a barrier between the rows before and after.
    """
    out: list[Any] = []
    phases: list[Phase] = []
    at_op = 0
    while at_op < len(ops):
        run = [ops[at_op]]
        if run[0].whole_columns:
            groups = max(1, min(workers, run[0].panels))
            cut = [run[0].columns(*_share(run[0].panels, group, groups)) for group in range(groups)]
            found = [_phase(1, groups, batch)]
        else:
            while at_op + len(run) < len(ops) and not ops[at_op + len(run)].whole_columns:
                run.append(ops[at_op + len(run)])
            cut, found = _rows(run, batch, workers)
        phases += found
        out += cut
        at_op += len(run)
    if len(phases) > MOST_PHASES:
        raise ConfigError("layers", f"must need at most {MOST_PHASES} phases of rows and columns", f"`{len(phases)}`")
    return out, phases


def moments_of(phases: list[Phase]) -> list[int]:
    """When each op as it was lowered runs on a row: one after another, but where columns are tasks, all of a phase."""
    found: list[int] = []
    for phase in phases:
        begin = found[-1] + 1 if found else 0
        found += [begin + (i if phase.groups == 1 else 0) for i in range(phase.op_count)]
    return found


MOST_PHASES = MAX_PHASES - 32  # the rest are for weights


def _share(panels: int, group: int, groups: int) -> tuple[int, int]:
    """The range of panels of a column group."""
    return panels * group // groups, panels * (group + 1) // groups


def _rows(ops: list[Any], batch: int, workers: int) -> tuple[list[Any], list[Phase]]:
    """Phases of ops with independent rows: fused or layered."""
    too_few_blocks = -(-batch // row_block(batch, workers)) < workers
    if workers > 1 and (too_few_blocks or batch < few_rows(ops)):
        cut = layered(ops, batch, workers)
        if len(cut[1]) < MOST_PHASES // 4:
            return cut
    return ops, [_phase(len(ops), 1, row_block(batch, workers))]


def few_rows(ops: list[Any]) -> float:
    """The number of rows below which weights outweigh activations."""
    products = _products(ops)
    weights = sum({op.b.start: op.width * op.panels for op in products}.values())
    return float(weights / (HEAVY * max(1, sum(op.panels for op in products))))


def _products(ops: list[Any]) -> list[Any]:
    return [op for op in ops if isinstance(op, ProductOp)]


def _phase(count: int, groups: int, block: int) -> Phase:
    return Phase(kind=ROW_PHASE, op_count=count, groups=groups, block=block)


def layered(ops: list[Any], batch: int, workers: int) -> tuple[list[Any], list[Phase]]:
    """One phase for each product and the elementwise ops behind it, in column groups; one for all between two.

    A product with too few columns for two groups is cut by rows, like what is between two.
    """
    out: list[Any] = []
    phases: list[Phase] = []
    block = min(MOST_ROWS, -(-batch // LEAST_ROWS) * LEAST_ROWS)
    blocks = -(-batch // block)

    def is_cut(op: Any) -> bool:
        return isinstance(op, ProductOp) and op.panels >= 2 * LEAST_PANELS

    at_op = 0
    while at_op < len(ops):
        together = [ops[at_op]]
        if is_cut(ops[at_op]):
            while at_op + len(together) < len(ops) and _goes_on(together[-1], ops[at_op + len(together)]):
                together.append(ops[at_op + len(together)])
            panels = together[0].panels
            groups = min(-(-workers // blocks), panels // LEAST_PANELS)
            phases.append(_phase(len(together), groups, block))
            for group in range(groups):
                out += [op.columns(*_share(panels, group, groups)) for op in together]
        else:
            while at_op + len(together) < len(ops) and not is_cut(ops[at_op + len(together)]):
                together.append(ops[at_op + len(together)])
            phases.append(_phase(len(together), 1, row_block(batch, workers)))
            out += together
        at_op += len(together)
    return out, phases


def _goes_on(before: Any, op: Any) -> bool:
    """Whether an op is elementwise on the output of the one before."""
    return bool(op.elementwise and op.a.start == before.c.start and op.panels == before.panels)


Extent = tuple[int, int, int, int, int]  # layer, first input, last input, first panel, last panel


def weight_tiles(layers: list[Trained], workers: int) -> list[list[Extent]]:
    """Every layer's weights cut into tiles, by worker.

    Shares are columns if there are enough, else blocks of inputs; they differ by a tile at most.
    """
    shares: list[list[Extent]] = [[] for _ in range(workers)]
    for index, layer in enumerate(layers):
        inputs, panels = layer.inputs, layer.panels
        if layer.shared or isinstance(layer, TrainedTable):  # in one piece
            shares[index % workers].append((index, 0, inputs, 0, panels))
            continue
        # As many column groups as workers, in pairs of panels if there are enough; then rows to match.
        wide = min(TILE_PANELS, max(1, panels // workers))
        wide -= wide % 2 if wide > 1 else 0
        groups = -(-panels // wide)
        cuts = max(-(-inputs // TILE_INPUTS), min(-(-4 * workers // groups), -(-inputs // 64)) if workers > 1 else 1)
        high = -(-inputs // cuts // 16) * 16
        tiles = [
            (index, i0, min(i0 + high, inputs), p0, min(p0 + wide, panels))
            for p0 in range(0, panels, wide)
            for i0 in range(0, inputs, high)
        ]
        for t in range(workers):
            # The worker with an extra tile changes from layer to layer.
            first = (t * len(tiles) + index % workers) // workers
            end = ((t + 1) * len(tiles) + index % workers) // workers
            shares[t] += tiles[first:end] if t + 1 < workers else tiles[first:]
    return shares
