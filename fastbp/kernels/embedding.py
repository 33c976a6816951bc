"""Embedding: columns of X that hold codes are replaced by rows of learned tables; the other columns pass on.

    forward   y = [x of the other columns, T1[c1], T2[c2], ...]         c_j = the code in its column of x
    vjp       dx = dy for the other columns, 0 for codes                dT[v] = Σ over the rows b with c_b = v of dy[b]
    jvp       ty = [tx of the other columns, 0]

T[c] is a choice of rows, a product with a one-hot matrix of which only the ones are ever looked at; so is its adjoint.
Only rows of T that occur in the batch have a gradient, are updated, and have their moments moved: work goes with the
batch, not with the table. What pads a row of a table in memory is zero and stays zero.
"""

from __future__ import annotations

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.lines import add, add_product, keep_largest, magnitude_bits, note_line, times
from fastbp.kernels.memory import as_real, bytes_of, call_kernel, fill, get_real, load, put_real, store, zero_bits
from fastbp.kernels.ops import EmbeddingOp
from fastbp.kernels.records import Tile, TrainedTable
from fastbp.kernels.shards import clear_lines, first_row, shard_count
from fastbp.kernels.updates import apply_kept
from fastbp.kernels.vector import LINE
from fastbp.kernels.weights import add_penalty, average, found_bad, hand_over
from fastbp.kernels.words import at

NOT_A_NUMBER = float("nan")

embedding_layer = at(TrainedTable)


@inlined
def place(base, stride, r, column, z):
    """Where the number of one row and column stands in panels."""
    item = bytes_of(z)
    in_line = LINE // item
    return base + column // in_line * stride + r * LINE + column % in_line * item


@kernel(EmbeddingOp)
def embedding_forward(op, me, r0, r1, z):
    """The columns of A in their new places, codes as rows of their tables; a code that is none gives NaN."""
    # A: (rows, F) in   C: (rows, N) out
    a, a_stride = op.a.start, op.a.stride
    c, c_stride = op.c.start, op.c.stride
    panels = op.panels
    seen = zero_bits(z)
    for r in range(r0, r1):
        store(c + (panels - 1) * c_stride + r * LINE, fill(z))
        for number in range(op.count):
            column = op.tables[number]
            x = get_real(place(a, a_stride, r, column.source, z), z)
            to = column.target
            if column.table.start == 0:
                put_real(place(c, c_stride, r, to, z), x)
                continue
            known = x >= 0.0 and x < column.rows
            row = int(x) if known else 0
            for j in range(column.width):
                value = get_real(place(column.table.start, column.table.stride, row, j, z), z)
                put_real(place(c, c_stride, r, to + j, z), value if known else as_real(NOT_A_NUMBER, z))
        for panel in range(panels):
            seen = magnitude_bits(seen, load(c + panel * c_stride + r * LINE, z))
    keep_largest(op, me, seen)


@inlined
def pass_on(back, op, r0, r1, z):
    """Numbers of columns that are no codes between their two places, zeros everywhere else."""
    a, a_stride = op.a.start, op.a.stride
    c, c_stride = op.c.start, op.c.stride
    for r in range(r0, r1):
        for panel in range(op.panels):
            store(c + panel * c_stride + r * LINE, fill(z))
        for number in range(op.count):
            column = op.tables[number]
            if column.table.start == 0:
                source, target = column.source, column.target
                if back:
                    source, target = target, source
                put_real(place(c, c_stride, r, target, z), get_real(place(a, a_stride, r, source, z), z))


@kernel(EmbeddingOp)
def embedding_vjp(op, me, r0, r1, z):
    # A: dy (rows, N) in   C: dx (rows, F) out
    pass_on(True, op, r0, r1, z)


@kernel(EmbeddingOp)
def embedding_jvp(op, me, r0, r1, z):
    # A: tx (rows, F) in   C: ty (rows, N) out
    pass_on(False, op, r0, r1, z)


@inlined
def begin_list(rows):
    rows.serial = rows.serial + 1
    rows.count = 0


@inlined
def is_new(rows, row):
    """Note that a row has occurred; says whether for the first time."""
    if rows.stamps[row] == rows.serial:
        return False
    rows.stamps[row] = rows.serial
    rows.rows[rows.count] = row
    rows.count = rows.count + 1
    return True


@inlined
def sum_rows(layer, seen, sums, first, end, z):
    """Gradients of the rows of a table that occur in some rows of the batch, in their order."""
    stride = layer.weight.stride
    begin_list(seen)
    for b in range(first, end):
        code = get_real(place(layer.x.start, layer.x.stride, b, layer.column, z), z)
        if not (code >= 0 and code < layer.inputs):
            continue  # the row's outputs are NaN, and with them the loss: nothing of this is applied
        row = int(code)
        if is_new(seen, row):
            for panel in range(layer.panels):
                store(sums + panel * stride + row * LINE, fill(z))
        for j in range(layer.width):
            at = place(sums, stride, row, j, z)
            d = place(layer.d.start, layer.d.stride, b, layer.first + j, z)
            put_real(at, get_real(at, z) + get_real(d, z))


@inlined
def add_row(layer, row, target, source, z):
    """Add what stands at `source` of one row of the table, or zero if that is 0."""
    for panel in range(layer.panels):
        o = panel * layer.weight.stride + row * LINE
        other = fill(z)
        if source != 0:
            other = load(source + o, z)
        store(target + o, add(load(target + o, z), other))


@inlined
def merge_rows(layer, level, k, z):
    """Add the rows of what shard k has completed; the level of the next shard's. See `merged`."""
    done = k + 1
    while done & 1 == 0:
        upper, lower = layer.batch_list[level], layer.batch_list[level - 1]
        source = layer.sums + level * layer.level
        target = source - layer.level
        for i in range(lower.count):
            row = lower.rows[i]
            if upper.stamps[row] == upper.serial:
                add_row(layer, row, target, source, z)
            else:
                add_row(layer, row, target, 0, z)
        for i in range(upper.count):
            row = upper.rows[i]
            if is_new(lower, row):
                for panel in range(layer.panels):
                    store(target + panel * layer.weight.stride + row * LINE, fill(z))
                add_row(layer, row, target, source, z)
        level -= 1
        done >>= 1
    return level + 1


@kernel(Tile)
def embedding_rows(task, me, r0, r1, z):
    """Gradients of the rows of one table that occur in the batch, in row order; then their update."""
    head = me.head
    layer = embedding_layer(task.layer)
    level = 0
    for shard in range(shard_count(head)):
        first, end = first_row(head, shard, r1), first_row(head, shard + 1, r1)
        sum_rows(layer, layer.batch_list[level], layer.sums + level * layer.level, first, end, z)
        level = merge_rows(layer, level, shard, z)
    if head.step.partial != 0:
        leave_rows(head, layer, z)
    else:
        deliver_rows(head, me, layer, z)


@inlined
def leave_rows(head, layer, z):
    """Leave the sums for the other ranks: of rows that did not occur here zeros."""
    seen = layer.batch_list
    for panel in range(layer.panels):
        o = panel * layer.weight.stride
        clear_lines(head.update.partials + layer.weight.offset + o, layer.inputs, z)
        for i in range(seen.count):
            at = o + seen.rows[i] * LINE
            store(head.update.partials + layer.weight.offset + at, load(layer.sums + at, z))


@kernel(Tile)
def embedding_taken(task, me, r0, r1, z):
    """Take over the rows of one table that all ranks have summed, as `batch_list` says; then their update."""
    layer = embedding_layer(task.layer)
    seen = layer.batch_list
    for i in range(seen.count):
        for panel in range(layer.panels):
            o = panel * layer.weight.stride + seen.rows[i] * LINE
            store(layer.sums + o, load(me.head.update.partials + layer.weight.offset + o, z))
    deliver_rows(me.head, me, layer, z)


@inlined
def deliver_rows(head, me, layer, z):
    """Hand over the sums of the rows that occurred, unless they are only looked at."""
    seen = layer.batch_list
    sums, stride = layer.sums, layer.weight.stride
    panels = layer.panels
    largest = me.largest
    for i in range(seen.count):
        row = seen.rows[i]
        for panel in range(panels):
            note_line(largest, load(sums + panel * stride + row * LINE, z), z)
    if found_bad(layer, head, me, largest, z):
        return
    if head.update.staged != 0:
        keep_rows(head, me, layer, seen, z)
        return
    for i in range(seen.count):
        for panel in range(panels):
            o = panel * stride + seen.rows[i] * LINE
            hand_over(head, me, layer.weight, sums + o, layer.weight.offset + o, 1, z)
    average_rest(head, me, layer, seen, z)


@inlined
def average_rest(head, me, layer, seen, z):
    """The running average goes on for the rows that did not occur, whose parameters stay as they are."""
    if head.update.blocks.average == 0:
        return
    for row in range(layer.inputs):
        if seen.stamps[row] != seen.serial:
            for panel in range(layer.panels):
                o = layer.weight.offset + panel * layer.weight.stride + row * LINE
                if head.step.checking != 0:
                    me.gradients = 0
                    call_kernel(head.update.attempt, head, me, o, 1, z)
                else:
                    average(head, o, 1, z)


@inlined
def keep_rows(head, me, layer, seen, z):
    """Add the batch's rows and their penalties to `gradients`, whose other rows are zero at the start of a step."""
    step = layer.step_list
    gradients = head.update.gradients + layer.weight.offset
    stride = layer.weight.stride
    part = as_real(head.step.group_part, z)
    if head.step.micro == 0:
        for i in range(step.count):
            for panel in range(layer.panels):
                store(gradients + panel * stride + step.rows[i] * LINE, fill(z))
        begin_list(step)
    for i in range(seen.count):
        row = seen.rows[i]
        first = is_new(step, row)
        for panel in range(layer.panels):
            o = panel * stride + row * LINE
            add_penalty(head, me, layer.weight, layer.sums + o, layer.weight.offset + o, 1, z)
            g = load(layer.sums + o, z)
            if first:
                store(gradients + o, times(g, part))
            else:
                store(gradients + o, add_product(load(gradients + o, z), g, part))


@kernel(Tile)
def embedding_update(task, me, r0, r1, z):
    """Apply the gradients of the rows of one table that occurred in this step."""
    head = me.head
    layer = embedding_layer(task.layer)
    step = layer.step_list
    for i in range(step.count):
        for panel in range(layer.panels):
            o = panel * layer.weight.stride + step.rows[i] * LINE
            apply_kept(head, me, layer.weight, layer.weight.offset + o, 1, z)
    average_rest(head, me, layer, step, z)
