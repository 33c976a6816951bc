"""The weight half of the linear layer's vjp: dW = xᵀ dz and db = Σ_b dz, tile by tile, with the update behind it.

    vjp   dW[i, o] = Σ_b x[b, i] dz[b, o]        the outer products u xᵀ of all rows, added in row order
          db[o]    = Σ_b dz[b, o]

Where several layers share W each has its own x and dz, and dW is the sum over all of them: their records are linked.

z = x W + b depends on W[i, o] only through z[b, o], with derivative x[b, i]. A task owns a tile of W (and the biases
above it): it reduces the whole batch into its worker's scratch, hands the finished lines to the optimiser's kernel
while they are in cache, and renews the transposed copy of that tile, which the next step's dz Wᵀ reads.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastbp.kernels.ahead import ask_to_write
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.lines import add, largest_lane, magnitude_bits, note_line
from fastbp.kernels.memory import (
    as_real,
    bytes_of,
    call_kernel,
    fill,
    load,
    load_bits,
    load_from,
    store,
    store_to,
    zero_bits,
)
from fastbp.kernels.records import TRYING, Tile, Trained
from fastbp.kernels.reduction import reduce_panels
from fastbp.kernels.shards import clear_lines, first_row, merged, shard_count
from fastbp.kernels.tile import DEPTH, RUN, TILE_N
from fastbp.kernels.vector import I32, I64, LINE, V, VectorType, vector_function
from fastbp.kernels.words import exists, same


@vector_function
def within(g: V, limit: V) -> V:
    """g, brought to the nearest of ±limit where it is outside."""
    return g.gt(limit).select(limit, g.lt(-limit).select(-limit, g))


@vector_function
def towards(mean: V, p: V, keep: V) -> V:
    """keep mean + (1 - keep) p; p itself for keep = 0."""
    return (mean - p).fma(keep, p)


@intrinsic
def transpose_block(typing_context, source, target, z):
    """Write the transpose of the P x P block of lines at `source` to the lines at `target`."""
    line = VectorType(z).llvm()

    def generate(context, builder, signature, args):
        lanes = line.count
        rows = [load_from(builder, builder.add(args[0], ir.Constant(I64, LINE * i)), line) for i in range(lanes)]
        # Log2 P rounds: round s swaps the off-diagonal s x s blocks of every 2s x 2s block.
        size = lanes // 2
        while size:
            swapped = list(rows)
            low = [j if not j & size else j - size + lanes for j in range(lanes)]
            high = [j + size if not j & size else j + lanes for j in range(lanes)]
            for i in range(lanes):
                if not i & size:
                    pair = rows[i], rows[i + size]
                    for at, order in ((i, low), (i + size, high)):
                        indices = ir.Constant(ir.VectorType(I32, lanes), order)
                        swapped[at] = builder.shuffle_vector(*pair, indices)
            rows = swapped
            size //= 2
        for i, row in enumerate(rows):
            store_to(builder, builder.add(args[1], ir.Constant(I64, LINE * i)), row)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, z), generate


@inlined
def reduce_bias(d, first, end, out, begun, largest, z):
    """One line of db: the sum of lines, top to bottom, and of what is at `out` where that is begun."""
    total = load(out, z) if begun else fill(z)
    for b in range(first, end):
        total = add(total, load(d + b * LINE, z))
    note_line(largest, total, z)
    store(out, total)


@inlined
def add_penalty(head, me, learned, gradients, offset, lines, z):
    """Point the worker at gradient lines and add the slope of their penalty, if there is one; note the largest then."""
    me.gradients = gradients
    if learned.penalty != 0:
        call_kernel(learned.penalty, head, me, offset, lines, z)
        call_kernel(head.data.scan, gradients, me.scanned, 0, lines * LINE // bytes_of(z), z)
        me.steepest = max(me.steepest, me.scanned[0])


@inlined
def hand_over(head, me, learned, gradients, offset, lines, z):
    """Give finished gradient lines to the optimiser: the parameters they belong to begin at `offset`.

    While other ranks have their parts of them, they are left for these.
    """
    if head.step.partial != 0:
        out = head.update.partials + offset
        for o in range(0, lines * LINE, LINE):
            store(out + o, load(gradients + o, z))
        return
    add_penalty(head, me, learned, gradients, offset, lines, z)
    if head.update.staged != 0:
        call_kernel(head.update.optimizer, head, me, offset, lines, z)
    else:
        apply(head.update.optimizer, head, me, learned, offset, lines, z)


@inlined
def apply(function, head, me, learned, offset, lines, z):
    """Update the parameters at `offset` from the worker's gradients, or copies of them while it is only tried."""
    me.rate, me.decay, me.stretch = learned.rate, learned.decay, learned.stretch
    if head.update.clip_value > 0.0:
        limit = as_real(head.update.clip_value, z)
        g = me.gradients
        for o in range(0, lines * LINE, LINE):
            store(g + o, within(load(g + o, z), limit))
    if head.step.checking != 0:
        call_kernel(head.update.attempt, head, me, offset, lines, z)
        return
    call_kernel(function, head, me, offset, lines, z)
    average(head, offset, lines, z)


@inlined
def average(head, offset, lines, z):
    """Move the running average of the parameters at `offset`, if one is kept, towards them."""
    if head.update.blocks.average == 0:
        return
    keep = as_real(head.update.average_keep if head.step.number > 0 else 0.0, z)
    for o in range(offset, offset + lines * LINE, LINE):
        at = head.update.blocks.average + o
        store(at, towards(load(at, z), load(head.update.blocks.parameters + o, z), keep))


@inlined
def gradient_biases(layer, p0, p1, first, end, out, largest, z):
    """db of panels p0 to p1, of some rows, to the lines at `out`."""
    record = layer
    while exists(record):
        for panel in range(p0, p1):
            d = record.d.start + panel * record.d.stride
            reduce_bias(d, first, end, out + (panel - p0) * LINE, not same(record, layer), largest, z)
        record = record.more


@inlined
def found_bad(layer, head, me, largest, z):
    """During the check phase, record this layer if its gradient is not finite.

    Returns True if this was only a check, i.e. the caller must not update.
    """
    top = largest_lane(load_bits(largest, z))
    store(largest, zero_bits(z))
    if head.step.checking == 0 or head.step.partial != 0:
        return False
    bad = me.bad_layer
    node = layer.node + 1
    finite = top < head.step.finite
    if not finite and (bad == 0 or node < bad):
        me.bad_layer = node
    return not (finite and head.step.checking == TRYING)


@kernel(Tile)
def weights(task, me, r0, r1, z):
    """One tile of one layer: reduce rows r0 = 0 to r1 = B, then update, or only look for what would not be finite."""
    head = me.head
    layer = task.layer
    i0 = task.i0
    i1 = task.i1
    p0 = task.p0
    p1 = task.p1
    inputs = i1 - i0
    stride = inputs * LINE
    scratch = me.scratch
    largest = me.largest
    biased = i0 == 0 and layer.bias.offset >= 0
    lines = (p1 - p0) * (inputs + biased)
    updates = head.update.staged == 0 and head.step.checking == 0 and head.step.partial == 0
    updates = updates and layer.weight.offset >= 0
    shards = shard_count(head)
    level = 0
    for shard in range(shards):
        first, end = first_row(head, shard, r1), first_row(head, shard + 1, r1)
        sums = scratch + level * me.level
        if first == end:
            clear_lines(sums, lines, z)
        begun = False
        record = layer
        while exists(record):  # several where layers share these parameters
            x, x_stride, d_stride = record.x.start, record.x.stride, record.d.stride
            for b0 in range(first, end, DEPTH):
                count = min(DEPTH, end - b0)
                panel = p0
                while panel < p1:
                    wanted = -1  # where the parameters begin that are about to be written
                    if updates and b0 + count == r1 and not exists(record.more):
                        wanted = layer.weight.offset + panel * layer.weight.stride
                    x_next, d_next = 0, 0
                    run = (panel - p0) // TILE_N * RUN
                    if b0 + 2 * DEPTH <= end and run < DEPTH:
                        x_next = x + (b0 + DEPTH + run) * LINE
                    if panel + 2 * TILE_N <= p1:
                        d_next = record.d.start + (panel + TILE_N) * d_stride + b0 * LINE
                    elif b0 + 2 * DEPTH <= end:
                        d_next = record.d.start + p0 * d_stride + (b0 + DEPTH) * LINE
                    out = sums + (panel - p0) * stride
                    d = record.d.start + panel * d_stride
                    if TILE_N > 1 and panel + TILE_N <= p1:
                        reduce_panels(
                            TILE_N, x, x_stride, d, d_stride, me, i0, i1, out, stride, b0, count, begun,
                            wanted, layer.weight.stride, x_next, d_next, z,
                        )  # fmt: skip
                        panel += TILE_N
                    else:
                        reduce_panels(
                            1, x, x_stride, d, d_stride, me, i0, i1, out, stride, b0, count, begun,
                            wanted, layer.weight.stride, x_next, d_next, z,
                        )  # fmt: skip
                        panel += 1
                begun = True
            record = record.more
        if biased:
            gradient_biases(layer, p0, p1, first, end, sums + (p1 - p0) * stride, largest, z)
        level = merged(scratch, me.level, level, shard, lines, largest, z)
    deliver_tile(layer, head, me, i0, i1, p0, p1, z)


@inlined
def deliver_tile(layer, head, me, i0, i1, p0, p1, z):
    """Hand over the finished lines of a tile, its biases behind its weights, and renew its transposed copy."""
    stride = (i1 - i0) * LINE
    deliver_and_turn(layer, head, me, i0, i1, p0, p1, me.scratch, stride, me.scratch + (p1 - p0) * stride, z)


@inlined
def hand_over_panel(head, me, layer, i0, i1, panel, gradients, z):
    if layer.weight.offset >= 0:
        offset = layer.weight.offset + panel * layer.weight.stride + i0 * LINE
        hand_over(head, me, layer.weight, gradients, offset, i1 - i0, z)


@inlined
def hand_over_biases(head, me, layer, i0, p0, p1, gradients, z):
    if i0 == 0 and layer.bias.offset >= 0:
        hand_over(head, me, layer.bias, gradients, layer.bias.offset + p0 * LINE, p1 - p0, z)


@inlined
def deliver_lines(layer, head, me, i0, i1, p0, p1, sums, stride, biases, z):
    """Hand over lines that stand at `sums`, a panel each `stride`, and at `biases`, unless they are only looked at."""
    if found_bad(layer, head, me, me.largest, z):
        return
    for panel in range(p0, p1):
        hand_over_panel(head, me, layer, i0, i1, panel, sums + (panel - p0) * stride, z)
    hand_over_biases(head, me, layer, i0, p0, p1, biases, z)


@inlined
def deliver_and_turn(layer, head, me, i0, i1, p0, p1, sums, stride, biases, z):
    """The same, and where there is a transposed copy, renew each panel's while its parameters are in L1."""
    if found_bad(layer, head, me, me.largest, z):
        return
    renewed = head.update.staged == 0 and head.step.checking == 0 and head.step.partial == 0
    renewed = renewed and layer.transposed.start != 0
    if renewed:
        in_line = LINE // bytes_of(z)
        turned = layer.transposed.start + i0 // in_line * layer.transposed.stride + p0 * in_line * LINE
        ask_to_write(turned, layer.transposed.stride, (i1 - i0 + in_line - 1) // in_line, in_line)
    for panel in range(p0, p1):
        hand_over_panel(head, me, layer, i0, i1, panel, sums + (panel - p0) * stride, z)
        if renewed:
            transpose_panel(head, layer, i0, i1, panel, p1, z)
    hand_over_biases(head, me, layer, i0, p0, p1, biases, z)


@inlined
def take_lines(source, target, lines, largest, z):
    """Copy lines and note their magnitudes."""
    seen = load_bits(largest, z)
    for o in range(0, lines * LINE, LINE):
        line = load(source + o, z)
        seen = magnitude_bits(seen, line)
        store(target + o, line)
    store(largest, seen)


@kernel(Tile)
def taken(task, me, r0, r1, z):
    """Take over one tile of the sums of all ranks; then the update. What only looks at them works on a copy."""
    head = me.head
    layer = task.layer
    i0 = task.i0
    i1 = task.i1
    p0 = task.p0
    p1 = task.p1
    if layer.shared != 0:  # the sum over all panels is one number
        p1 = p0 + 1
    inputs, stride = i1 - i0, layer.weight.stride
    sums = head.update.partials + layer.weight.offset + p0 * stride + i0 * LINE
    biases = head.update.partials + layer.bias.offset + p0 * LINE
    if head.step.checking == 0:
        deliver_and_turn(layer, head, me, i0, i1, p0, p1, sums, stride, biases, z)
        return
    scratch = me.scratch
    if layer.weight.offset >= 0:
        for panel in range(p0, p1):
            source = sums + (panel - p0) * stride
            take_lines(source, scratch + (panel - p0) * inputs * LINE, inputs, me.largest, z)
    if i0 == 0 and layer.bias.offset >= 0:
        take_lines(biases, scratch + (p1 - p0) * inputs * LINE, p1 - p0, me.largest, z)
    deliver_tile(layer, head, me, i0, i1, p0, p1, z)


@inlined
def transpose_tile(head, layer, i0, i1, p0, p1, z):
    """Renew the transposed copy of one tile; i0 is a multiple of P."""
    for panel in range(p0, p1):
        transpose_panel(head, layer, i0, i1, panel, p1, z)


@inlined
def transpose_panel(head, layer, i0, i1, panel, p1, z):
    """Renew the transposed copy of one panel of a tile, asking for the lines of the next panel's before p1."""
    in_line = LINE // bytes_of(z)
    source = head.update.blocks.parameters + layer.weight.offset + panel * layer.weight.stride
    stride = layer.transposed.stride
    target = layer.transposed.start + panel * in_line * LINE
    for i in range(i0, i1, in_line):
        to = target + i // in_line * stride
        if panel + 1 < p1:
            ask_to_write(to + in_line * LINE, stride, 1, in_line)
        transpose_block(source + i * LINE, to, z)


@kernel(Trained)
def transpose_weights(layer, me, r0, r1, z):
    """Renew the transposed copy of one whole layer, after its weights were written from Python."""
    if layer.transposed.start != 0:
        transpose_tile(me.head, layer, 0, layer.inputs, r0, r1, z)
