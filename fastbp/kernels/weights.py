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

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.layout import (
    ATTEMPT,
    AVERAGE,
    AVERAGE_KEEP,
    BAD_LAYER,
    CHECKING,
    CLIP_VALUE,
    EPILOGUE_NONE,
    FINITE,
    HEAD,
    LARGEST_LINE,
    LAYER_BIAS,
    LAYER_BIAS_DECAY,
    LAYER_BIAS_RATE,
    LAYER_D,
    LAYER_D_STRIDE,
    LAYER_DECAY,
    LAYER_INPUTS,
    LAYER_MORE,
    LAYER_NODE,
    LAYER_OFFSET,
    LAYER_PENALTY,
    LAYER_RATE,
    LAYER_STRIDE,
    LAYER_TRANSPOSED,
    LAYER_TRANSPOSED_STRIDE,
    LAYER_X,
    LAYER_X_STRIDE,
    OPTIMIZER,
    PARAMETERS,
    RUNS,
    SCAN,
    SCANNED,
    SCRATCH,
    SLOT_DECAY,
    SLOT_RATE,
    STAGED,
    STEEPEST,
    STEP,
    TILE_I0,
    TILE_I1,
    TILE_LAYER,
    TILE_P0,
    TILE_P1,
    TRYING,
    WORD,
    ZERO_LINE,
)
from fastbp.kernels.lines import add, largest_lane, note_line
from fastbp.kernels.memory import (
    as_real,
    bytes_of,
    call_kernel,
    fill,
    get,
    get_double,
    load,
    load_bits,
    load_from,
    put,
    store,
    store_to,
    zero_bits,
)
from fastbp.kernels.tile import COLUMNS, TILE_M, TILE_N, tile
from fastbp.kernels.vector import I32, I64, LINE, V, VectorType, vector_function

# Rows of the batch reduced in one go: 256 lines of one input panel and two cotangent panels are 48 KiB, about L1.
DEPTH = 256


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
def reduce_panels(n, x, x_stride, d, d_stride, me, i0, i1, out, out_stride, b0, count, begun, z):
    """n panels of dW for inputs i0 to i1, of `count` rows from b0 on, added to the lines at `out` if they are begun."""
    # x: (B, I) in   d: (B, n panels) in   out: (n, i1 - i0) lines in and out
    item = bytes_of(z)
    in_line = LINE // item
    x += b0 * LINE
    d += b0 * LINE
    largest = me + LARGEST_LINE * WORD
    start = me + ZERO_LINE * WORD
    start_row = 0
    start_panel = 0
    start_step = 0
    if begun:
        start = out
        start_row = LINE
        start_panel = out_stride
        start_step = LINE
    i = i0
    while i + TILE_M <= i1:
        a = x + i // in_line * x_stride + i % in_line * item
        o = (i - i0) * LINE
        tile(
            z, TILE_M, n, COLUMNS, a, 0, d, d_stride, out + o, out_stride, count,
            start + (i - i0) * start_step, start_row, start_panel, EPILOGUE_NONE, 0, 0, largest,
        )  # fmt: skip
        i += TILE_M
    if TILE_M > 4 and i + 4 <= i1:
        a = x + i // in_line * x_stride + i % in_line * item
        o = (i - i0) * LINE
        tile(
            z, 4, n, COLUMNS, a, 0, d, d_stride, out + o, out_stride, count,
            start + (i - i0) * start_step, start_row, start_panel, EPILOGUE_NONE, 0, 0, largest,
        )  # fmt: skip
        i += 4
    if i + 2 <= i1:
        a = x + i // in_line * x_stride + i % in_line * item
        o = (i - i0) * LINE
        tile(
            z, 2, n, COLUMNS, a, 0, d, d_stride, out + o, out_stride, count,
            start + (i - i0) * start_step, start_row, start_panel, EPILOGUE_NONE, 0, 0, largest,
        )  # fmt: skip
        i += 2
    if i < i1:
        a = x + i // in_line * x_stride + i % in_line * item
        o = (i - i0) * LINE
        tile(
            z, 1, n, COLUMNS, a, 0, d, d_stride, out + o, out_stride, count,
            start + (i - i0) * start_step, start_row, start_panel, EPILOGUE_NONE, 0, 0, largest,
        )  # fmt: skip


@inlined
def reduce_bias(d, rows, out, begun, largest, z):
    """One line of db: the sum of `rows` lines, top to bottom, and of what is at `out` where that is begun."""
    total = load(out, z) if begun else fill(z)
    for b in range(rows):
        total = add(total, load(d + b * LINE, z))
    note_line(largest, total, z)
    store(out, total)


@inlined
def add_penalty(head, me, decay, gradients, offset, lines, z):
    """Point RUNS at gradient lines and add the slope of their penalty, if there is one; note the largest then."""
    put(me, RUNS, gradients)
    penalty = get(decay, LAYER_PENALTY - LAYER_DECAY)
    if penalty != 0:
        call_kernel(penalty, head, me, offset, lines, z)
        call_kernel(get(head, SCAN), gradients, me + SCANNED * WORD, 0, lines * LINE // bytes_of(z), z)
        put(me, STEEPEST, max(get(me, STEEPEST), get(me, SCANNED)))


@inlined
def hand_over(head, me, rate, decay, gradients, offset, lines, z):
    """Give finished gradient lines to the optimiser: the parameters they belong to begin at `offset`.

    `rate` and `decay` are the addresses of the factors of these parameters.
    """
    add_penalty(head, me, decay, gradients, offset, lines, z)
    if get(head, STAGED) != 0:
        call_kernel(get(head, OPTIMIZER), head, me, offset, lines, z)
    else:
        apply(get(head, OPTIMIZER), head, me, rate, decay, offset, lines, z)


@inlined
def apply(function, head, me, rate, decay, offset, lines, z):
    """Update the parameters at `offset` from the gradients at RUNS, or copies of them while it is only tried."""
    put(me, SLOT_RATE, get(rate, 0))
    put(me, SLOT_DECAY, get(decay, 0))
    if get_double(head, CLIP_VALUE) > 0.0:
        limit = as_real(get_double(head, CLIP_VALUE), z)
        g = get(me, RUNS)
        for o in range(0, lines * LINE, LINE):
            store(g + o, within(load(g + o, z), limit))
    if get(head, CHECKING) != 0:
        call_kernel(get(head, ATTEMPT), head, me, offset, lines, z)
        return
    call_kernel(function, head, me, offset, lines, z)
    average(head, offset, lines, z)


@inlined
def average(head, offset, lines, z):
    """Move the running average of the parameters at `offset`, if one is kept, towards them."""
    if get(head, AVERAGE) == 0:
        return
    keep = as_real(get_double(head, AVERAGE_KEEP) if get(head, STEP) > 0 else 0.0, z)
    for o in range(offset, offset + lines * LINE, LINE):
        at = get(head, AVERAGE) + o
        store(at, towards(load(at, z), load(get(head, PARAMETERS) + o, z), keep))


@inlined
def gradient_biases(layer, p0, p1, rows, out, largest, z):
    """db of panels p0 to p1 to the lines at `out`."""
    record = layer
    while record != 0:
        for panel in range(p0, p1):
            d = get(record, LAYER_D) + panel * get(record, LAYER_D_STRIDE)
            reduce_bias(d, rows, out + (panel - p0) * LINE, record != layer, largest, z)
        record = get(record, LAYER_MORE)


@inlined
def found_bad(layer, head, me, largest, z):
    """While nothing is written: note this layer if a gradient is not finite; says whether that was all."""
    top = largest_lane(load_bits(largest, z))
    store(largest, zero_bits(z))
    if get(head, CHECKING) == 0:
        return False
    bad = get(me, BAD_LAYER)
    node = get(layer, LAYER_NODE) + 1
    finite = top < get(head, FINITE)
    if not finite and (bad == 0 or node < bad):
        put(me, BAD_LAYER, node)
    return not (finite and get(head, CHECKING) == TRYING)


@kernel
def weights(task, me, r0, r1, z):
    """One tile of one layer: reduce rows r0 = 0 to r1 = B, then update, or only look for what would not be finite."""
    head = get(me, HEAD)
    layer = get(task, TILE_LAYER)
    i0 = get(task, TILE_I0)
    i1 = get(task, TILE_I1)
    p0 = get(task, TILE_P0)
    p1 = get(task, TILE_P1)
    inputs = i1 - i0
    stride = inputs * LINE
    scratch = get(me, SCRATCH)
    largest = me + LARGEST_LINE * WORD
    record = layer
    begun = False
    while record != 0:  # several where layers share these parameters
        x, x_stride, d_stride = get(record, LAYER_X), get(record, LAYER_X_STRIDE), get(record, LAYER_D_STRIDE)
        for b0 in range(0, r1, DEPTH):
            count = min(DEPTH, r1 - b0)
            panel = p0
            while panel < p1:
                out = scratch + (panel - p0) * stride
                d = get(record, LAYER_D) + panel * d_stride
                if TILE_N > 1 and panel + TILE_N <= p1:
                    reduce_panels(TILE_N, x, x_stride, d, d_stride, me, i0, i1, out, stride, b0, count, begun, z)
                    panel += TILE_N
                else:
                    reduce_panels(1, x, x_stride, d, d_stride, me, i0, i1, out, stride, b0, count, begun, z)
                    panel += 1
            begun = True
        record = get(record, LAYER_MORE)
    biased = i0 == 0 and get(layer, LAYER_BIAS) >= 0
    biases = scratch + (p1 - p0) * stride
    if biased:
        gradient_biases(layer, p0, p1, r1, biases, largest, z)
    if found_bad(layer, head, me, largest, z):
        return
    first = get(layer, LAYER_OFFSET)
    panel_bytes = get(layer, LAYER_STRIDE)
    rate, decay = layer + LAYER_RATE * WORD, layer + LAYER_DECAY * WORD
    for panel in range(p0, p1):
        offset = first + panel * panel_bytes + i0 * LINE
        hand_over(head, me, rate, decay, scratch + (panel - p0) * stride, offset, inputs, z)
    if biased:
        rate, decay = layer + LAYER_BIAS_RATE * WORD, layer + LAYER_BIAS_DECAY * WORD
        hand_over(head, me, rate, decay, biases, get(layer, LAYER_BIAS) + p0 * LINE, p1 - p0, z)
    if get(layer, LAYER_TRANSPOSED) != 0 and get(head, STAGED) == 0 and get(head, CHECKING) == 0:
        transpose_tile(head, layer, i0, i1, p0, p1, z)


@inlined
def transpose_tile(head, layer, i0, i1, p0, p1, z):
    """Renew the transposed copy of one tile; i0 is a multiple of P."""
    in_line = LINE // bytes_of(z)
    source = get(head, PARAMETERS) + get(layer, LAYER_OFFSET)
    target = get(layer, LAYER_TRANSPOSED)
    for panel in range(p0, p1):
        for i in range(i0, i1, in_line):
            transpose_block(
                source + panel * get(layer, LAYER_STRIDE) + i * LINE,
                target + i // in_line * get(layer, LAYER_TRANSPOSED_STRIDE) + panel * in_line * LINE,
                z,
            )


@kernel
def transpose_weights(layer, me, r0, r1, z):
    """Renew the transposed copy of one whole layer, after somebody has written its weights."""
    if get(layer, LAYER_TRANSPOSED) != 0:
        transpose_tile(get(me, HEAD), layer, 0, get(layer, LAYER_INPUTS), r0, r1, z)
