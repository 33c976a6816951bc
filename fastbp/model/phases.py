"""Phases: which ops make one task, how many tasks there are, and whose they are.

    fused     all ops of the row sweep are one phase; a task takes a block of rows through every layer and back, so that
              its activations stay in cache
    layered   each layer is a phase of its own, cut by rows and by columns: for batches with fewer row blocks than
              threads, and for weights that outweigh the activations

The weight sweep gives each thread the same columns of weights in every step. In layered phases the thread that updated
a column also multiplies with it, so that activations cross between cores instead of weights.

Either way every number is computed by the same chain of operations: what is chosen here changes no bit.
"""

from __future__ import annotations

from fastbp.engine.plan import Words
from fastbp.errors import ConfigError
from fastbp.kernels import layout as at
from fastbp.kernels.vector import LINE

# Where weights are this many times the activations, layered phases won: 784-128-10 at batch 64 took 74 instead of
# 84 µs, 784-512-256-10 at 128 769 instead of 831; below they lost (17-64-64-6 at 64, 100-256-256-256-10 at 256).
HEAVY = 3.0
LEAST_PANELS = 2  # of a column group: a product is fastest on pairs of panels
MOST_ROWS = 128  # of a block: its activations and the weights that pass by share L2
LEAST_ROWS = 16  # of a block: whole lines of row losses, and work enough to be worth a task


def row_block(batch: int, workers: int) -> int:
    """Rows of a task: enough tasks for all workers, in whole lines of row losses."""
    return min(MOST_ROWS, max(LEAST_ROWS, -(-batch // workers // LEAST_ROWS) * LEAST_ROWS))


def row_phases(ops: list[Words], batch: int, workers: int) -> tuple[list[Words], list[Words]]:
    """The ops, cut where that is called for, and the row phases that run them; PHASE_OPS counts ops.

    An op that needs whole columns is a phase by itself, cut by columns: the rows before and behind it wait for it.
    """
    out: list[Words] = []
    phases: list[Words] = []
    at_op = 0
    while at_op < len(ops):
        run = [ops[at_op]]
        if at.COLUMNS in run[0]:
            groups = max(1, min(workers, run[0][at.PANELS]))
            cut = [_columns(run[0], *_share(run[0][at.PANELS], group, groups)) for group in range(groups)]
            found = [_phase(0, 1, groups, batch)]
        else:
            while at_op + len(run) < len(ops) and at.COLUMNS not in ops[at_op + len(run)]:
                run.append(ops[at_op + len(run)])
            cut, found = _rows(run, batch, workers)
        phases += [phase | {at.PHASE_OPS: phase[at.PHASE_OPS] + len(out)} for phase in found]
        out += cut
        at_op += len(run)
    if len(phases) > MOST_PHASES:
        raise ConfigError(f"`layers` must need at most {MOST_PHASES} phases of rows and columns, got `{len(phases)}`")
    return out, phases


MOST_PHASES = at.MAX_PHASES - 6  # those that are left are the weights'


def _share(panels: int, group: int, groups: int) -> tuple[int, int]:
    """The first panel of a group of columns, and the first behind it."""
    return panels * group // groups, panels * (group + 1) // groups


def _rows(ops: list[Words], batch: int, workers: int) -> tuple[list[Words], list[Words]]:
    """Phases of ops whose rows do not depend on each other: fused or layered."""
    products = [op for op in ops if at.B in op]
    weights = sum(op[at.WIDTH] * op[at.PANELS] for op in products)
    outputs = batch * sum(op[at.PANELS] for op in products)
    too_few_blocks = -(-batch // row_block(batch, workers)) < workers
    if workers > 1 and (too_few_blocks or weights > HEAVY * outputs):
        cut = layered(ops, batch, workers)
        if len(cut[1]) < MOST_PHASES // 4:
            return cut
    return ops, [_phase(0, len(ops), 1, row_block(batch, workers))]


def _phase(first: int, count: int, groups: int, block: int) -> Words:
    return {
        at.PHASE_KIND: at.ROW_PHASE,
        at.PHASE_OPS: first,
        at.PHASE_OP_COUNT: count,
        at.PHASE_GROUPS: groups,
        at.PHASE_BLOCK: block,
    }


def layered(ops: list[Words], batch: int, workers: int) -> tuple[list[Words], list[Words]]:
    """One phase for each product and the elementwise ops behind it, in column groups; one for each other op."""
    out: list[Words] = []
    phases: list[Words] = []
    at_op = 0
    while at_op < len(ops):
        together = [ops[at_op]]
        if at.B in ops[at_op]:
            while at_op + len(together) < len(ops) and _goes_on(together[-1], ops[at_op + len(together)]):
                together.append(ops[at_op + len(together)])
            panels = together[0][at.PANELS]
            block = min(MOST_ROWS, -(-batch // LEAST_ROWS) * LEAST_ROWS)
            blocks = -(-batch // block)
            groups = max(1, min(-(-workers // blocks), panels // LEAST_PANELS))
            phases.append(_phase(len(out), len(together), groups, block))
            for group in range(groups):
                out += [_columns(op, *_share(panels, group, groups)) for op in together]
        else:
            phases.append(_phase(len(out), 1, 1, row_block(batch, workers)))
            out.append(ops[at_op])
        at_op += len(together)
    return out, phases


def _goes_on(before: Words, op: Words) -> bool:
    """Whether an op takes what the one before put out, number by number."""
    return op.get(at.ELEMENTWISE, 0) == 1 and op[at.A] == before[at.C] and op[at.PANELS] == before[at.PANELS]


def _columns(op: Words, p0: int, p1: int) -> Words:
    """The same op for panels p0 to p1 of its result."""
    cut = dict(op)
    cut[at.PANELS] = p1 - p0
    cut[at.FIRST_PANEL] = p0
    cut[at.C] += p0 * op[at.C_STRIDE]
    if op.get(at.Y, 0):
        cut[at.Y] += p0 * op[at.Y_STRIDE]
    if at.B in op:
        cut[at.B] += p0 * op[at.B_STRIDE]
    else:
        cut[at.A] += p0 * op[at.A_STRIDE]
    for word in (at.BIAS, at.MEAN, at.VARIANCE, at.SUM_D, at.SUM_DX):
        if op.get(word, 0):
            cut[word] += p0 * LINE
    return cut


Tile = tuple[int, int, int, int, int]  # layer, first input, last input, first panel, last panel


def weight_tiles(layers: list[Words], workers: int) -> list[list[Tile]]:
    """Every layer's weights cut into tiles, and each worker's share of them.

    Shares are columns where there are enough of them, else blocks of inputs; they differ by a tile at most.
    """
    shares: list[list[Tile]] = [[] for _ in range(workers)]
    for index, layer in enumerate(layers):
        inputs, panels = layer[at.LAYER_INPUTS], layer[at.LAYER_PANELS]
        if layer.get(at.LAYER_SHARED, 0) or at.LAYER_COLUMN in layer:  # in one piece
            shares[index % workers].append((index, 0, inputs, 0, panels))
            continue
        # As many column groups as workers, in pairs of panels where that leaves nobody without; then rows to match.
        wide = min(at.TILE_PANELS, max(1, panels // workers))
        wide -= wide % 2 if wide > 1 else 0
        groups = -(-panels // wide)
        cuts = max(-(-inputs // at.TILE_INPUTS), min(-(-4 * workers // groups), -(-inputs // 64)) if workers > 1 else 1)
        high = -(-inputs // cuts // 16) * 16
        tiles = [
            (index, i0, min(i0 + high, inputs), p0, min(p0 + wide, panels))
            for p0 in range(0, panels, wide)
            for i0 in range(0, inputs, high)
        ]
        for t in range(workers):
            # The worker who gets more where tiles are odd is another in each layer.
            first = (t * len(tiles) + index % workers) // workers
            end = ((t + 1) * len(tiles) + index % workers) // workers
            shares[t] += tiles[first:end] if t + 1 < workers else tiles[first:]
    return shares
