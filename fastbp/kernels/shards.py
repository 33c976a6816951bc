"""Shards: a batch is cut into 2ᵏ runs of rows, each sum over its rows is a sum for each of them, added in pairs.

    shard s of S    rows B s // S to B (s + 1) // S of the batch
    its sum         one chain, in row order
    the batch's     ((s0 + s1) + (s2 + s3)) + ...        a binary tree over the shards' numbers

So several processes may compute a batch together, to the bit as one does: each takes shards that are a subtree. Without
a cut there is one shard, and its chain is the sum.

A tree needs little room: while shards are done in their order, those sums that wait for their other half are as many as
the shard's number has ones. They stand level by level in the worker's scratch.
"""

from __future__ import annotations

from fastbp.kernels.flags import inlined
from fastbp.kernels.lines import add, magnitude_bits
from fastbp.kernels.memory import fill, load, load_bits, store
from fastbp.kernels.vector import LINE


@inlined
def shard_count(head):
    """How many shards this plan has to do."""
    return max(head.data.own, 1)


@inlined
def first_row(head, k, rows):
    """The first of this plan's `rows` that is in its shard k; their number where there is no such shard."""
    data = head.data
    if data.own <= 1:
        return rows if k > 0 else 0
    whole, cuts = data.together, data.cuts
    return (whole * (data.shard + k) >> cuts) - (whole * data.shard >> cuts)


@inlined
def whole_batch(head, rows):
    """The rows of the batch on all ranks, of which this one has some."""
    return max(rows, head.data.together)


@inlined
def clear_lines(base, lines, z):
    for o in range(0, lines * LINE, LINE):
        store(base + o, fill(z))


@inlined
def merged(base, step, level, k, lines, largest, z):
    """Add what shard k has completed, its own sums standing at `level`; the level of the next shard's."""
    done = k + 1
    while done & 1 == 0:
        upper = base + level * step
        lower = upper - step
        top = load_bits(largest, z)
        for o in range(0, lines * LINE, LINE):
            line = add(load(lower + o, z), load(upper + o, z))
            top = magnitude_bits(top, line)
            store(lower + o, line)
        store(largest, top)
        level -= 1
        done >>= 1
    return level + 1
