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
from fastbp.kernels.layout import (
    A_STRIDE,
    ATTEMPT,
    AVERAGE,
    C_STRIDE,
    CHECKING,
    COLUMN_FROM,
    COLUMN_ROWS,
    COLUMN_STRIDE,
    COLUMN_TABLE,
    COLUMN_TO,
    COLUMN_WIDTH,
    COLUMN_WORDS,
    GRADIENTS,
    GROUP_SCALE,
    HEAD,
    LARGEST_LINE,
    LAYER_BATCH_LIST,
    LAYER_COLUMN,
    LAYER_D,
    LAYER_D_STRIDE,
    LAYER_DECAY,
    LAYER_FIRST,
    LAYER_INPUTS,
    LAYER_OFFSET,
    LAYER_PANELS,
    LAYER_RATE,
    LAYER_STEP_LIST,
    LAYER_STRIDE,
    LAYER_SUMS,
    LAYER_WIDTH,
    LAYER_X,
    LAYER_X_STRIDE,
    LIST_COUNT,
    LIST_ROWS,
    LIST_SERIAL,
    LIST_STAMPS,
    MICRO,
    PANELS,
    RUNS,
    STAGED,
    TABLE_COUNT,
    TABLES,
    TILE_LAYER,
    WORD,
    A,
    C,
)
from fastbp.kernels.lines import add_product, note_line, note_magnitude, times
from fastbp.kernels.memory import (
    as_real,
    bytes_of,
    call_kernel,
    fill,
    get,
    get_double,
    get_real,
    load,
    put,
    put_real,
    store,
)
from fastbp.kernels.updates import apply_kept
from fastbp.kernels.vector import LINE
from fastbp.kernels.weights import add_penalty, average, found_bad, hand_over

NOT_A_NUMBER = float("nan")


@inlined
def place(base, stride, r, column, z):
    """Where the number of one row and column stands in panels."""
    item = bytes_of(z)
    in_line = LINE // item
    return base + column // in_line * stride + r * LINE + column % in_line * item


@kernel
def embedding_forward(op, me, r0, r1, z):
    """The columns of A in their new places, codes as rows of their tables; a code that is none gives NaN."""
    # A: (rows, F) in   C: (rows, N) out
    a, a_stride = get(op, A), get(op, A_STRIDE)
    c, c_stride = get(op, C), get(op, C_STRIDE)
    panels = get(op, PANELS)
    largest = me + LARGEST_LINE * WORD
    for r in range(r0, r1):
        store(c + (panels - 1) * c_stride + r * LINE, fill(z))
        for number in range(get(op, TABLE_COUNT)):
            column = get(op, TABLES) + number * COLUMN_WORDS * WORD
            x = get_real(place(a, a_stride, r, get(column, COLUMN_FROM), z), z)
            to = get(column, COLUMN_TO)
            if get(column, COLUMN_TABLE) == 0:
                put_real(place(c, c_stride, r, to, z), x)
                continue
            known = x >= 0.0 and x < get(column, COLUMN_ROWS)
            row = int(x) if known else 0
            for j in range(get(column, COLUMN_WIDTH)):
                value = get_real(place(get(column, COLUMN_TABLE), get(column, COLUMN_STRIDE), row, j, z), z)
                put_real(place(c, c_stride, r, to + j, z), value if known else as_real(NOT_A_NUMBER, z))
        for panel in range(panels):
            note_line(largest, load(c + panel * c_stride + r * LINE, z), z)
    note_magnitude(op, me, z)


@inlined
def pass_on(back, op, r0, r1, z):
    """Numbers of columns that are no codes between their two places, zeros everywhere else."""
    a, a_stride = get(op, A), get(op, A_STRIDE)
    c, c_stride = get(op, C), get(op, C_STRIDE)
    for r in range(r0, r1):
        for panel in range(get(op, PANELS)):
            store(c + panel * c_stride + r * LINE, fill(z))
        for number in range(get(op, TABLE_COUNT)):
            column = get(op, TABLES) + number * COLUMN_WORDS * WORD
            if get(column, COLUMN_TABLE) == 0:
                source, target = get(column, COLUMN_FROM), get(column, COLUMN_TO)
                if back:
                    source, target = target, source
                put_real(place(c, c_stride, r, target, z), get_real(place(a, a_stride, r, source, z), z))


@kernel
def embedding_vjp(op, me, r0, r1, z):
    # A: dy (rows, N) in   C: dx (rows, F) out
    pass_on(True, op, r0, r1, z)


@kernel
def embedding_jvp(op, me, r0, r1, z):
    # A: tx (rows, F) in   C: ty (rows, N) out
    pass_on(False, op, r0, r1, z)


@inlined
def begin_list(rows):
    put(rows, LIST_SERIAL, get(rows, LIST_SERIAL) + 1)
    put(rows, LIST_COUNT, 0)


@inlined
def is_new(rows, row):
    """Note that a row has occurred; says whether for the first time."""
    if get(get(rows, LIST_STAMPS), row) == get(rows, LIST_SERIAL):
        return False
    put(get(rows, LIST_STAMPS), row, get(rows, LIST_SERIAL))
    put(get(rows, LIST_ROWS), get(rows, LIST_COUNT), row)
    put(rows, LIST_COUNT, get(rows, LIST_COUNT) + 1)
    return True


@kernel
def embedding_rows(task, me, r0, r1, z):
    """Gradients of the rows of one table that occur in the batch, in row order; then their update."""
    head = get(me, HEAD)
    layer = get(task, TILE_LAYER)
    seen = get(layer, LAYER_BATCH_LIST)
    sums, stride = get(layer, LAYER_SUMS), get(layer, LAYER_STRIDE)
    panels = get(layer, LAYER_PANELS)
    begin_list(seen)
    for b in range(r1):
        code = get_real(place(get(layer, LAYER_X), get(layer, LAYER_X_STRIDE), b, get(layer, LAYER_COLUMN), z), z)
        if not (code >= 0 and code < get(layer, LAYER_INPUTS)):
            continue  # the row's outputs are NaN, and with them the loss: nothing of this is applied
        row = int(code)
        if is_new(seen, row):
            for panel in range(panels):
                store(sums + panel * stride + row * LINE, fill(z))
        for j in range(get(layer, LAYER_WIDTH)):
            at = place(sums, stride, row, j, z)
            d = place(get(layer, LAYER_D), get(layer, LAYER_D_STRIDE), b, get(layer, LAYER_FIRST) + j, z)
            put_real(at, get_real(at, z) + get_real(d, z))
    largest = me + LARGEST_LINE * WORD
    for i in range(get(seen, LIST_COUNT)):
        row = get(get(seen, LIST_ROWS), i)
        for panel in range(panels):
            note_line(largest, load(sums + panel * stride + row * LINE, z), z)
    if found_bad(layer, head, me, largest, z):
        return
    rate, decay = layer + LAYER_RATE * WORD, layer + LAYER_DECAY * WORD
    if get(head, STAGED) != 0:
        keep_rows(head, me, layer, decay, seen, z)
        return
    for i in range(get(seen, LIST_COUNT)):
        for panel in range(panels):
            o = panel * stride + get(get(seen, LIST_ROWS), i) * LINE
            hand_over(head, me, rate, decay, sums + o, get(layer, LAYER_OFFSET) + o, 1, z)
    average_rest(head, me, layer, seen, z)


@inlined
def average_rest(head, me, layer, seen, z):
    """The running average goes on for the rows that did not occur, whose parameters stay as they are."""
    if get(head, AVERAGE) == 0:
        return
    for row in range(get(layer, LAYER_INPUTS)):
        if get(get(seen, LIST_STAMPS), row) != get(seen, LIST_SERIAL):
            for panel in range(get(layer, LAYER_PANELS)):
                o = get(layer, LAYER_OFFSET) + panel * get(layer, LAYER_STRIDE) + row * LINE
                if get(head, CHECKING) != 0:
                    put(me, RUNS, 0)
                    call_kernel(get(head, ATTEMPT), head, me, o, 1, z)
                else:
                    average(head, o, 1, z)


@inlined
def keep_rows(head, me, layer, decay, seen, z):
    """Add the batch's rows and their penalties to GRADIENTS, in which rows are zero that did not occur in this step."""
    step = get(layer, LAYER_STEP_LIST)
    gradients = get(head, GRADIENTS) + get(layer, LAYER_OFFSET)
    stride = get(layer, LAYER_STRIDE)
    part = as_real(get_double(head, GROUP_SCALE), z)
    if get(head, MICRO) == 0:
        for i in range(get(step, LIST_COUNT)):
            for panel in range(get(layer, LAYER_PANELS)):
                store(gradients + panel * stride + get(get(step, LIST_ROWS), i) * LINE, fill(z))
        begin_list(step)
    for i in range(get(seen, LIST_COUNT)):
        row = get(get(seen, LIST_ROWS), i)
        first = is_new(step, row)
        for panel in range(get(layer, LAYER_PANELS)):
            o = panel * stride + row * LINE
            add_penalty(head, me, decay, get(layer, LAYER_SUMS) + o, get(layer, LAYER_OFFSET) + o, 1, z)
            g = load(get(layer, LAYER_SUMS) + o, z)
            if first:
                store(gradients + o, times(g, part))
            else:
                store(gradients + o, add_product(load(gradients + o, z), g, part))


@kernel
def embedding_update(task, me, r0, r1, z):
    """Apply the gradients of the rows of one table that occurred in this step."""
    head = get(me, HEAD)
    layer = get(task, TILE_LAYER)
    step = get(layer, LAYER_STEP_LIST)
    rate, decay = layer + LAYER_RATE * WORD, layer + LAYER_DECAY * WORD
    for i in range(get(step, LIST_COUNT)):
        for panel in range(get(layer, LAYER_PANELS)):
            o = panel * get(layer, LAYER_STRIDE) + get(get(step, LIST_ROWS), i) * LINE
            apply_kept(head, me, rate, decay, get(layer, LAYER_OFFSET) + o, 1, z)
    average_rest(head, me, layer, step, z)
