"""The loops that walk a plan: row sweep, weight sweep, and what happens between them.

A plan is a list of phases, a phase a list of independent tasks. Each thread runs `work`: it takes the tasks of the
phase that are its own, then those of threads that are late; the one that completes the last task ends the phase and
announces the next. So a chunk of steps is one parallel region whatever the number of steps, a barrier costs two cache
lines between cores instead of a launch, and a thread that never arrives only means that the others do its tasks: the
loops are right under every threading layer, also where tasks of a region run one after another.

Every task owns what it writes, and each sum has one order, so no bit depends on who did what.
"""

from __future__ import annotations

from fastbp.kernels import layout as at
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.memory import (
    atomic_add,
    atomic_load,
    atomic_store,
    atomic_swap,
    bytes_of,
    call_kernel,
    flush_subnormals,
    get,
    get_double,
    get_real,
    give_way,
    put,
    put_double,
    restore_rounding,
    spin_hint,
)
from fastbp.kernels.philox import shuffle

PATIENCE = 4000  # looks at a word before a waiting thread offers its core to others, about 50 µs


@inlined
def worker_of(head, t):
    return get(head, at.WORKERS) + t * get(head, at.WORKER_BYTES)


@inlined
def run_task(head, phase, t, task, z):
    """One task of a phase, on worker t."""
    me = worker_of(head, t)
    if get(phase, at.PHASE_KIND) == at.WEIGHT_PHASE:
        tile = get(head, at.TILES) + task * (at.TILE_WORDS * at.WORD)
        call_kernel(get(phase, at.PHASE_OPS), tile, me, 0, get(head, at.ROWS), z)
        return
    groups = get(phase, at.PHASE_GROUPS)
    size = get(phase, at.PHASE_BLOCK)
    block = task // groups
    group = task - block * groups
    r0 = block * size
    r1 = min(r0 + size, get(head, at.ROWS))
    if get(phase, at.PHASE_LOCAL) != 0:
        put(me, at.SHIFT, r0 - t * size)
        r1 -= r0 - t * size
        r0 = t * size
    if r0 >= r1:
        return
    count = get(phase, at.PHASE_OP_COUNT)
    op = get(phase, at.PHASE_OPS) + group * count * (at.OP_WORDS * at.WORD)
    for _ in range(count):
        call_kernel(get(op, at.KERNEL), op, me, r0, r1, z)
        op += at.OP_WORDS * at.WORD


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
    """Add up the rows' losses in row order; returns and keeps their mean."""
    item = bytes_of(z)
    total = 0.0
    for r in range(get(head, at.ROWS)):
        total += float(get_real(get(head, at.ROW_LOSS) + r * item, z))
    loss = total * get_double(head, at.INVERSE_ROWS)
    put_double(head, at.LOSS, loss)
    return loss


@inlined
def end_backward(head, z):
    """Take the loss and see whether every gradient is certain to be finite.

    |dW| <= B max|x| max|dz|, so two magnitudes that were gathered on the way bound a layer's gradient, and with the
    learning rate its step. Only where the bound is too large to tell are the gradients themselves looked at before any
    is applied.
    """
    rows = get(head, at.ROWS)
    loss = sum_loss(head, z)
    certain = loss - loss == 0.0
    limit = get_double(head, at.LIMIT)
    rate = max(1.0, get_double(head, at.RATE))
    for i in range(get(head, at.LAYER_COUNT)):
        layer = get(head, at.LAYERS) + i * (at.LAYER_WORDS * at.WORD)
        source = get(layer, at.LAYER_X_OP)
        bits = get(head, at.INPUT_MAX) if source < 0 else largest_of(head, source)
        x = (2.0 * number_of(bits, head, z) + 2.0) * get_double(layer, at.LAYER_X_SCALE)
        d = 2.0 * number_of(largest_of(head, get(layer, at.LAYER_D_OP)), head, z)
        if not rows * x * d * rate < limit:
            certain = False
    return certain


@inlined
def first_bad_layer(head):
    """1 + the first layer that any worker found not finite; 0 if none did."""
    bad = 0
    for t in range(get(head, at.THREADS)):
        found = get(worker_of(head, t), at.BAD_LAYER)
        if found > 0 and (bad == 0 or found < bad):
            bad = found
    return bad


@inlined
def first_bad_output(head):
    """1 + the first layer whose output was not finite; 0 if the loss alone was not."""
    for i in range(1, get(head, at.LAYER_COUNT)):
        layer = get(head, at.LAYERS) + i * (at.LAYER_WORDS * at.WORD)
        source = get(layer, at.LAYER_X_OP)
        if source >= 0 and largest_of(head, source) >= get(head, at.FINITE):
            return get(layer - at.LAYER_WORDS * at.WORD, at.LAYER_NODE) + 1
    last = get(head, at.LAYERS) + (get(head, at.LAYER_COUNT) - 1) * (at.LAYER_WORDS * at.WORD)
    return get(last, at.LAYER_NODE) + 1


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
    put_double(head, at.INVERSE_ROWS, 1.0 / rows)
    put(head, at.INDEX, order + 4 * cursor if order != 0 else 0)
    put(head, at.CHECKING, 0)
    for t in range(get(head, at.THREADS)):
        me = worker_of(head, t)
        put(me, at.SHIFT, 0 if order != 0 else cursor)
        put(me, at.BAD_LAYER, 0)
        for op in range(get(head, at.MAGNITUDE_COUNT)):
            put(me, at.MAGNITUDES + op, 0)
    rate = get_double(get(head, at.RATES), get(head, at.RATE_AT))
    put_double(head, at.RATE, rate)
    put_double(head, at.FACTORS, rate)
    call_kernel(get(head, at.OPTIMIZER_PLAN), head, 0, 0, 0, z)


@inlined
def end_step(head):
    """Count the step; say whether the call goes on."""
    rows = get(head, at.ROWS)
    put(head, at.STEP, get(head, at.STEP) + 1)
    put(head, at.STEPS_LEFT, get(head, at.STEPS_LEFT) - 1)
    put(head, at.RATE_AT, get(head, at.RATE_AT) + 1)
    put_double(head, at.PASS_LOSS, get_double(head, at.PASS_LOSS) + get_double(head, at.LOSS) * rows)
    put(head, at.PASS_ROWS, get(head, at.PASS_ROWS) + rows)
    cursor = get(head, at.CURSOR) + rows
    if cursor >= get(head, at.TOTAL):
        cursor = 0
        put(head, at.EPOCH, get(head, at.EPOCH) + 1)
        ended = get(head, at.PASS_AT)
        put_double(get(head, at.PASSES), ended, get_double(head, at.PASS_LOSS) / get(head, at.PASS_ROWS))
        put(head, at.PASS_AT, ended + 1)
        put_double(head, at.PASS_LOSS, 0.0)
        put(head, at.PASS_ROWS, 0)
    put(head, at.CURSOR, cursor)
    return get(head, at.STEPS_LEFT) > 0 and get(head, at.PASS_AT) < get(head, at.PASS_LIMIT)


@inlined
def task_count(head, phase):
    """Tasks of a phase: row blocks times column groups, or weight tiles."""
    if get(phase, at.PHASE_KIND) == at.WEIGHT_PHASE:
        return get(head, at.TILE_COUNT)
    size = get(phase, at.PHASE_BLOCK)
    return (get(head, at.ROWS) + size - 1) // size * get(phase, at.PHASE_GROUPS)


@inlined
def next_phase(head, index, z):
    """End phase `index`; return the index of the one that follows, or STOPPED."""
    phase = get(head, at.PHASES) + index * (at.PHASE_WORDS * at.WORD)
    end = get(phase, at.PHASE_END)
    if end == at.END_BACKWARD:
        if end_backward(head, z):
            return index + 2  # past the phase that checks
        put(head, at.CHECKING, 1)
        return index + 1
    if end == at.END_CHECK:
        loss = get_double(head, at.LOSS)
        bad = first_bad_layer(head)
        if loss - loss != 0.0:
            bad = first_bad_output(head)
        if bad != 0:
            put(head, at.STATUS, bad)
            return at.STOPPED
        put(head, at.CHECKING, 0)
        return index + 1
    if end == at.END_LOSS:
        sum_loss(head, z)
    if end == at.END_STEP or end == at.END_LOSS:
        if not end_step(head):
            return at.STOPPED
        call_kernel(get(head, at.BEGIN_BATCH), head, 0, 0, 0, z)
        return 0
    return index + 1 if index + 1 < get(head, at.PHASE_COUNT) else at.STOPPED


@inlined
def announcement(head, serial, index):
    """All that a thread must know of a phase in one word: its serial number, its number of tasks, its index."""
    if index == at.STOPPED:
        return at.STOPPED
    phase = get(head, at.PHASES) + index * (at.PHASE_WORDS * at.WORD)
    return (serial << 32) | (task_count(head, phase) << 8) | index


@inlined
def take(ticket, serial, count):
    """Take one of the `count` tasks behind this ticket in phase `serial`; -1 when there are none left.

    A ticket holds serial * 2**24 + tasks taken. One with an older serial has not been touched in this phase.
    """
    while True:
        seen = atomic_load(ticket)
        taken = seen & 0xFFFFFF
        if seen >> 24 != serial:
            if seen >> 24 > serial:
                return -1
            taken = 0
        if taken >= count:
            return -1
        if atomic_swap(ticket, seen, (serial << 24) + taken + 1):
            return taken


@inlined
def first_task(phase, t, total, threads):
    """The first of the tasks that belong to thread t; those of t - 1 end there."""
    split = get(phase, at.PHASE_SPLIT)
    return get(split, t) if split != 0 else t * total // threads


@kernel
def work(head, t, r0, r1, z):
    """Be worker t until the plan has run out of steps; r0 and r1 are not used."""
    state = flush_subnormals()
    threads = get(head, at.THREADS)
    now = atomic_load(head + at.NOW * at.WORD)
    while now != at.STOPPED:
        serial = now >> 32
        total = (now >> 8) & 0xFFFFFF
        index = now & 0xFF
        phase = get(head, at.PHASES) + index * (at.PHASE_WORDS * at.WORD)
        finished = 0
        if threads == 1:
            for task in range(total):
                run_task(head, phase, 0, task, z)
            finished = total
        else:
            for k in range(threads):
                owner = t + k
                if owner >= threads:
                    owner -= threads
                first = first_task(phase, owner, total, threads)
                count = first_task(phase, owner + 1, total, threads) - first
                ticket = head + (at.TICKETS + 8 * owner) * at.WORD
                task = take(ticket, serial, count)
                while task >= 0:
                    run_task(head, phase, t, first + task, z)
                    finished += 1
                    task = take(ticket, serial, count)
        last = False
        if finished > 0:
            last = atomic_add(head + at.DONE * at.WORD, finished) + finished == total
        if last:
            put(head, at.DONE, 0)
            following = next_phase(head, index, z)
            now = announcement(head, serial + 1, following)
            atomic_store(head + at.NOW * at.WORD, now)
        else:
            looks = 0
            seen = atomic_load(head + at.NOW * at.WORD)
            while seen == now:
                looks += 1
                if looks > PATIENCE:
                    give_way()
                else:
                    spin_hint()
                seen = atomic_load(head + at.NOW * at.WORD)
            now = seen
    restore_rounding(state)


@kernel
def begin(head, me, r0, r1, z):
    """Announce the first phase; only `head` is used."""
    for t in range(get(head, at.THREADS)):
        put(head, at.TICKETS + 8 * t, 0)
    put(head, at.DONE, 0)
    put(head, at.STATUS, 0)
    put(head, at.PASS_AT, 0)
    put(head, at.RATE_AT, 0)
    if get(head, at.TRAINING) != 0:
        call_kernel(get(head, at.BEGIN_BATCH), head, 0, 0, 0, z)
    atomic_store(head + at.NOW * at.WORD, announcement(head, 1, 0))
