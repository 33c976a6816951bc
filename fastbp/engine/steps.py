"""What happens between phases: the loss, the check that nothing overflows, where a batch, a step and a pass end."""

from __future__ import annotations

from math import sqrt

from fastbp.kernels import layout as at
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.memory import (
    bytes_of,
    call_kernel,
    get,
    get_double,
    get_index,
    get_real,
    put,
    put_double,
)
from fastbp.kernels.philox import shuffle
from fastbp.kernels.updates import DOWN

# Of float32 and of float64:
SMALL = 2.0**-60, 2.0**-600  # a factor below which it may be subnormal
CALM = 2.0**100, 2.0**960  # twice as much, added to any number, rounds to one that is finite


@inlined
def worker_of(head, t):
    return get(head, at.WORKERS) + t * get(head, at.WORKER_BYTES)


@inlined
def largest_of(head, op):
    """The largest magnitude that an op wrote in this batch, over all workers, as bits."""
    top = 0
    for t in range(get(head, at.THREADS)):
        top = max(top, get(worker_of(head, t), at.MAGNITUDES + op))
    return top


@inlined
def number_of(bits, head, z):
    """The magnitude whose bits these are; infinity for all that is not finite."""
    if bits >= get(head, at.FINITE):
        return 1e400
    scratch = head + at.SPARE * at.WORD
    put(scratch, 0, bits)
    return float(get_real(scratch, z))


@inlined
def sum_loss(head, z):
    """Add up the rows' losses in row order; returns and keeps the loss of the batch."""
    item = bytes_of(z)
    total = 0.0
    for r in range(get(head, at.ROWS)):
        total += float(get_real(get(head, at.ROW_LOSS) + r * item, z))
    loss = total * get_double(head, at.LOSS_SCALE)
    put_double(head, at.LOSS, loss)
    return loss


@inlined
def end_backward(head, z):
    """Take the loss and see whether every gradient is certain to be finite.

    |dW| <= B max|x| max|dz|, so two magnitudes that were gathered on the way bound a layer's gradient. Only where the
    bound is too large to tell are the gradients themselves looked at before any is applied, and running statistics
    before any has learned: x has the magnitudes of what they learn.
    """
    calm = CALM[0] if bytes_of(z) == 4 else CALM[1]
    rows = get(head, at.ROWS)
    loss = sum_loss(head, z)
    certain = loss - loss == 0.0
    limit = get_double(head, at.LIMIT)
    top = get_double(head, at.GRADIENT)
    for i in range(get(head, at.LAYER_COUNT)):
        layer = get(head, at.LAYERS) + i * (at.LAYER_WORDS * at.WORD)
        source = get(layer, at.LAYER_X_OP)
        bits = get(head, at.INPUT_MAX) if source < 0 else largest_of(head, source)
        number = number_of(bits, head, z)
        if get(layer, at.LAYER_RUNNING_MEAN) != 0 and not number < calm:
            certain = False
        x = 2.0 * (number * get_double(layer, at.LAYER_X_SCALE) + get_double(layer, at.LAYER_X_OFFSET))
        d = 2.0 * number_of(largest_of(head, get(layer, at.LAYER_D_OP)), head, z)
        bound = rows * x * d
        if not bound < limit:
            certain = False
        top = max(top, bound)
    put_double(head, at.GRADIENT, top if certain else 1e400)
    return certain


@inlined
def update_is_certain(head, z):
    """Whether all that the update writes is certain to be finite; where not even the bounds are known they are taken.

    A plan that updates nothing has nothing to fear. Slopes of penalties are known only where gradients wait.
    """
    if get(head, at.BOUND) == 0:
        return True
    limit = get_double(head, at.LIMIT)
    certain = False
    known = get(head, at.PENALISED) == 0 or get(head, at.STAGED) != 0
    if known and get_double(head, at.GRADIENT) < 1e400:
        call_kernel(get(head, at.BOUND), head, 0, 0, 0, z)
        certain = get_double(head, at.WORST) < limit
        if not certain:
            renew_bounds(head, z)
            call_kernel(get(head, at.BOUND), head, 0, 0, 0, z)
            certain = get_double(head, at.WORST) < limit
    for i in range(at.BOUND_COUNT):
        put_double(head, at.BOUNDS + i, get_double(head, at.NEXT_BOUNDS + i) if certain else 1e400)
    put(head, at.TRIED, get(head, at.TRIED) + (0 if certain else 1))
    return certain


@inlined
def note_penalties(head, z):
    """Let GRADIENT bound the gradients to which penalties were added, too."""
    top = 0
    for t in range(get(head, at.THREADS)):
        top = max(top, get(worker_of(head, t), at.STEEPEST))
    put_double(head, at.GRADIENT, max(get_double(head, at.GRADIENT), number_of(top, head, z)))


@inlined
def renew_bounds(head, z):
    """Look at all parameters and moments for their bounds."""
    put(head, at.RENEWED, get(head, at.RENEWED) + 1)
    for i in range(4):  # the addresses of the moments stand behind that of the parameters
        put_double(head, at.BOUNDS + i, largest_in(get(head, at.PARAMETERS + i), head, z))
    average = largest_in(get(head, at.AVERAGE), head, z)
    put_double(head, at.BOUNDS, max(average, get_double(head, at.BOUNDS)))
    put_double(head, at.BOUNDS + 4, 0.0)
    if get(head, at.REST) != 0:
        call_kernel(get(head, at.REST), head, 0, 0, 0, z)


@inlined
def largest_in(block, head, z):
    """The largest magnitude in a block laid out as the parameters; 0 where there is none."""
    if block == 0:
        return 0.0
    found = head + at.SPARE * at.WORD
    call_kernel(get(head, at.SCAN), block, found, 0, get(head, at.PARAMETER_COUNT), z)
    return number_of(get(found, 0), head, z)


@inlined
def first_bad(head, word):
    """The first layer, or place, that any worker noted in this word, counted from 1; 0 if none did."""
    bad = 0
    for t in range(get(head, at.THREADS)):
        found = get(worker_of(head, t), word)
        if found > 0 and (bad == 0 or found < bad):
            bad = found
    return bad


@inlined
def problem(head):
    """What STATUS says of this step, now that gradients or its update were looked at."""
    loss = get_double(head, at.LOSS)
    if loss - loss != 0.0:
        return first_bad_output(head)
    bad = first_bad(head, at.BAD_LAYER)
    return bad if bad != 0 else -first_bad(head, at.BAD_PLACE)


@inlined
def first_bad_output(head):
    """1 + the first layer whose output was not finite; the last if the loss alone was not."""
    for i in range(get(head, at.LAYER_COUNT)):
        layer = get(head, at.LAYERS) + i * (at.LAYER_WORDS * at.WORD)
        if largest_of(head, get(layer, at.LAYER_OUT_OP)) >= get(head, at.FINITE):
            return get(layer, at.LAYER_NODE) + 1
    last = get(head, at.LAYERS) + (get(head, at.LAYER_COUNT) - 1) * (at.LAYER_WORDS * at.WORD)
    return get(last, at.LAYER_NODE) + 1


@inlined
def scale_loss(head, rows):
    """Say what the sum of this batch's losses is multiplied with, and what the batch counts for in its pass."""
    weight = float(rows)
    normalisers = get(head, at.NORMALISERS)
    if normalisers != 0:
        weight = 0.0
        index, first = get(head, at.INDEX), get(worker_of(head, 0), at.SHIFT)
        for r in range(rows):
            row = get_index(index, r + first) if index != 0 else r + first
            weight += get_double(normalisers, row)
    if get(head, at.SUMMED) != 0:
        put_double(head, at.LOSS_SCALE, 1.0)
        put_double(head, at.BATCH_WEIGHT, 1.0)
    else:
        put_double(head, at.LOSS_SCALE, 1.0 / weight if weight > 0.0 else 0.0)
        put_double(head, at.BATCH_WEIGHT, weight)


@kernel
def begin_batch(head, me, r0, r1, z):
    """Point at the next batch, shuffling first where a pass begins, and prepare the optimiser's factors."""
    total = get(head, at.TOTAL)
    cursor = get(head, at.CURSOR)
    order = get(head, at.ORDER)
    if cursor == 0 and get(head, at.SHUFFLE) != 0:
        shuffle(order, total, get(head, at.SEED), get(head, at.EPOCH))
    rows = min(get(head, at.BATCH), total - cursor)
    put(head, at.ROWS, rows)
    put(head, at.INDEX, order + 4 * cursor if order != 0 else 0)
    put(head, at.CHECKING, 0)
    for t in range(get(head, at.THREADS)):
        me = worker_of(head, t)
        put(me, at.SHIFT, 0 if order != 0 else cursor)
        put(me, at.BAD_LAYER, 0)
        put(me, at.BAD_PLACE, 0)
        put(me, at.STEEPEST, 0)
        for op in range(get(head, at.MAGNITUDE_COUNT)):
            put(me, at.MAGNITUDES + op, 0)
    scale_loss(head, rows)
    micro = get(head, at.MICRO)
    put(head, at.DRAW, get(head, at.STEP) * get(head, at.ACCUMULATE) + micro)
    if micro == 0:
        begin_step(head, total - cursor, z)


@inlined
def begin_step(head, rows_left, z):
    """Prepare what all batches of a step share."""
    batch = get(head, at.BATCH)
    group = min(get(head, at.ACCUMULATE), (rows_left + batch - 1) // batch)
    put(head, at.GROUP, group)
    put_double(head, at.GROUP_SCALE, 1.0 / group)
    put_double(head, at.CLIP_POWER, 1.0)
    put_double(head, at.CLIP_SCALE, 1.0)
    put_double(head, at.GRADIENT, 0.0)
    keep_place(head)
    rate = get_double(get(head, at.RATES), get(head, at.RATE_AT))
    put_double(head, at.FACTORS, rate)
    call_kernel(get(head, at.OPTIMIZER_PLAN), head, 0, 0, 0, z)


@inlined
def copy_lines(source, target, size):
    for o in range(0, size, at.WORD):
        put(target + o, 0, get(source + o, 0))


@inlined
def keep_place(head):
    """Note what a step changes before it is known that it is taken: its place, and running statistics."""
    put(head, at.PLACE_KEPT, get(head, at.CURSOR))
    put(head, at.PLACE_KEPT + 1, get(head, at.PASS_ROWS))
    put(head, at.PLACE_KEPT + 2, get(head, at.PASS_LOSS))
    put(head, at.PLACE_KEPT + 3, get(head, at.PASS_WEIGHT))
    copy_lines(get(head, at.STATES), get(head, at.STATES_KEPT), get(head, at.STATE_BYTES))


@inlined
def put_back(head):
    """Undo that, since the step is not taken."""
    put(head, at.CURSOR, get(head, at.PLACE_KEPT))
    put(head, at.PASS_ROWS, get(head, at.PLACE_KEPT + 1))
    put(head, at.PASS_LOSS, get(head, at.PLACE_KEPT + 2))
    put(head, at.PASS_WEIGHT, get(head, at.PLACE_KEPT + 3))
    copy_lines(get(head, at.STATES_KEPT), get(head, at.STATES), get(head, at.STATE_BYTES))


@inlined
def end_batch(head):
    """Account for a batch, and for its pass where that is complete."""
    rows = get(head, at.ROWS)
    weight = get_double(head, at.BATCH_WEIGHT)
    put_double(head, at.PASS_LOSS, get_double(head, at.PASS_LOSS) + get_double(head, at.LOSS) * weight)
    put_double(head, at.PASS_WEIGHT, get_double(head, at.PASS_WEIGHT) + weight)
    put(head, at.PASS_ROWS, get(head, at.PASS_ROWS) + rows)
    cursor = get(head, at.CURSOR) + rows
    if cursor >= get(head, at.TOTAL):
        cursor = 0
        put(head, at.EPOCH, get(head, at.EPOCH) + 1)
        ended = get(head, at.PASS_AT)
        put_double(get(head, at.PASSES), ended, pass_loss(head))
        put(head, at.PASS_AT, ended + 1)
        put_double(head, at.PASS_LOSS, 0.0)
        put_double(head, at.PASS_WEIGHT, 0.0)
        put(head, at.PASS_ROWS, 0)
    put(head, at.CURSOR, cursor)


@inlined
def pass_loss(head):
    """The loss so far of the pass: a mean over its weights, or the sum."""
    weight = get_double(head, at.PASS_WEIGHT)
    if get(head, at.SUMMED) != 0:
        weight = 1.0
    return get_double(head, at.PASS_LOSS) / weight if weight > 0.0 else 0.0


@inlined
def end_step(head):
    """Count the step; say whether the call goes on."""
    put(head, at.STEP, get(head, at.STEP) + 1)
    put(head, at.STEPS_LEFT, get(head, at.STEPS_LEFT) - 1)
    put(head, at.RATE_AT, get(head, at.RATE_AT) + 1)
    put(head, at.MICRO, 0)
    return get(head, at.STEPS_LEFT) > 0 and get(head, at.PASS_AT) < get(head, at.PASS_LIMIT)


@inlined
def clip_norm(head, z):
    """From the sums of squares of all pieces to what gradients are multiplied with: see `updates.py`."""
    limit = get_double(head, at.CLIP_NORM)
    squares, scaled, down = 0.0, 0.0, 1.0
    for i in range(get(head, at.NORM_COUNT)):
        found = get_double(get(head, at.NORMS), i)
        if found < 0.0:
            squares = 1e400
            scaled -= found
        else:
            squares += found
            scaled += found * DOWN * DOWN
    norm = sqrt(squares) + 1e-6
    if not squares - squares == 0.0:
        norm, down = sqrt(scaled), DOWN
    power = SMALL[0] if bytes_of(z) == 4 else SMALL[1]
    factor = limit / norm * down
    put_double(head, at.CLIP_POWER, power if factor < power else 1.0)
    put_double(head, at.CLIP_SCALE, limit * (down / power) / norm if factor < power else min(1.0, factor))
