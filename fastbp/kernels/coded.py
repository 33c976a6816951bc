"""The first linear layer over rows with codes, each of which stands for columns of zeros and a one.

    forward   z  = b + Σ of the rows of W that are meant: x W[i] for a number x, W[first + c - 1] for a code c > 0
    vjp       dW[i] = Σ over the rows of the batch with a number x there of x dz, or with a 1 there of dz

The other terms of the products with one-hot columns are zeros. Those that are left are taken in the same order as
`products.py` and `weights.py` take all of them, so the results are the same. Rows of X need no cotangent.
"""

from __future__ import annotations

from fastbp.kernels.embedding import place
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.lines import add_product, keep_largest, magnitude_bits, note_lines
from fastbp.kernels.memory import as_real, fill, get_real, load, store, zero_bits
from fastbp.kernels.ops import CodedOp
from fastbp.kernels.records import Tile, TrainedCodes
from fastbp.kernels.shards import clear_lines, first_row, merged, shard_count
from fastbp.kernels.vector import LINE
from fastbp.kernels.weights import deliver_lines, gradient_biases
from fastbp.kernels.words import at

coded_layer = at(TrainedCodes)


@inlined
def place_of_one(column, x):
    """The column in full in which a number or code x is not zero; -1 if there is none."""
    if column.rows == 0:
        return column.target
    return column.target + int(x) - 1 if x >= 1.0 and x <= column.rows else -1


@kernel(CodedOp)
def coded_product(op, me, r0, r1, z):
    """C = start + A B for rows r0 to r1, where codes in A stand for columns."""
    # A: (rows, columns with codes) in   B: (panels, columns in full) lines in   C: (rows, panels) out
    a, a_stride = op.a.start, op.a.stride
    seen = zero_bits(z)
    for panel in range(op.panels):
        b = op.b.start + panel * op.b.stride
        c = op.c.start + panel * op.c.stride
        for r in range(r0, r1):
            total = load(op.bias + panel * LINE, z) if op.bias != 0 else fill(z)
            for number in range(op.count):
                column = op.tables[number]
                x = get_real(place(a, a_stride, r, column.source, z), z)
                i = place_of_one(column, x)
                if i >= 0:
                    factor = as_real(1.0, z) if column.rows != 0 else x
                    total = add_product(total, fill(factor), load(b + i * LINE, z))
            store(c + r * LINE, total)
            seen = magnitude_bits(seen, total)
    keep_largest(op, me, seen)


@kernel(Tile)
def coded_weights(task, me, r0, r1, z):
    """One tile of the layer: reduce rows r0 = 0 to r1 = B in their order, then update, or only look."""
    head = me.head
    layer = coded_layer(task.layer)
    i0, i1, p0, p1 = task.i0, task.i1, task.p0, task.p1
    inputs = i1 - i0
    stride = inputs * LINE
    scratch = me.scratch
    largest = me.largest
    biased = i0 == 0 and layer.bias.offset >= 0
    lines = (p1 - p0) * (inputs + biased)
    level = 0
    for shard in range(shard_count(head)):
        first, last = first_row(head, shard, r1), first_row(head, shard + 1, r1)
        sums = scratch + level * me.level
        clear_lines(sums, lines, z)
        for number in range(layer.count):
            column = layer.tables[number]
            end = column.target + max(column.rows, 1)
            if column.target >= i1 or end <= i0:
                continue
            for b in range(first, last):
                x = get_real(place(layer.x.start, layer.x.stride, b, column.source, z), z)
                i = place_of_one(column, x)
                if i < i0 or i >= i1:
                    continue
                factor = as_real(1.0, z) if column.rows != 0 else x
                for panel in range(p0, p1):
                    out = sums + (panel - p0) * stride + (i - i0) * LINE
                    d = load(layer.d.start + panel * layer.d.stride + b * LINE, z)
                    store(out, add_product(load(out, z), fill(factor), d))
        note_lines(largest, sums, (p1 - p0) * inputs, z)
        if biased:
            gradient_biases(task.layer, p0, p1, first, last, sums + (p1 - p0) * stride, largest, z)
        level = merged(scratch, me.level, level, shard, lines, largest, z)
    deliver_lines(layer, head, me, i0, i1, p0, p1, scratch, stride, scratch + (p1 - p0) * stride, z)
