"""The loops that walk a plan: row sweep, weight sweep, and what happens between them.

A plan is a list of phases, a phase a list of independent tasks. Each thread runs `work`: it takes the tasks of the
phase that are its own, then those of threads that are late; the one that completes the last task ends the phase and
announces the next. So a chunk of steps is one parallel region whatever the number of steps, a barrier costs two cache
lines between cores instead of a launch, and a thread that never arrives only means that the others do its tasks: the
loops are right under every threading layer, also where tasks of a region run one after another.

Every task owns what it writes, and each sum has one order, so no bit depends on who did what.
"""

from __future__ import annotations

from fastbp.engine.steps import (
    clip_norm,
    end_backward,
    end_batch,
    end_step,
    note_penalties,
    problem,
    put_back,
    sum_loss,
    update_is_certain,
    worker_of,
)
from fastbp.kernels import layout as at
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.memory import (
    atomic_add,
    atomic_load,
    atomic_store,
    atomic_swap,
    call_kernel,
    flush_subnormals,
    get,
    give_way,
    put,
    restore_rounding,
    spin_hint,
)

PATIENCE = 4000  # looks at a word before a waiting thread offers its core to others, about 50 µs


@inlined
def run_task(head, phase, t, task, z):
    """One task of a phase, on worker t."""
    me = worker_of(head, t)
    if get(phase, at.PHASE_KIND) == at.TASK_PHASE:
        record = get(phase, at.PHASE_TASKS) + task * (at.TILE_WORDS * at.WORD)
        call_kernel(get(record, at.TILE_KERNEL), record, me, 0, get(head, at.ROWS), z)
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
def task_count(head, phase):
    """Tasks of a phase: row blocks times column groups, or records."""
    if get(phase, at.PHASE_KIND) == at.TASK_PHASE:
        return get(phase, at.PHASE_TASK_COUNT)
    size = get(phase, at.PHASE_BLOCK)
    return (get(head, at.ROWS) + size - 1) // size * get(phase, at.PHASE_GROUPS)


@inlined
def next_phase(head, index, z):
    """End phase `index`; return the index of the one that follows, or STOPPED."""
    phase = get(head, at.PHASES) + index * (at.PHASE_WORDS * at.WORD)
    end = get(phase, at.PHASE_END)
    if end == at.END_BACKWARD:
        certain = end_backward(head, z)
        staged = get(head, at.STAGED) != 0
        if not staged:
            certain = update_is_certain(head, z) and certain
        if certain:
            return index + 2  # past the phase that checks
        put(head, at.CHECKING, at.LOOKING if staged else at.TRYING)
        return index + 1
    if end == at.END_CHECK:
        status = problem(head)
        if status != 0:
            put(head, at.STATUS, status)
            put_back(head)
            return at.STOPPED
        put(head, at.CHECKING, 0)
        return index + 1
    if end == at.END_GRADIENTS:
        note_penalties(head, z)
    if end == at.END_GRADIENTS and get(head, at.MICRO) + 1 < get(head, at.GROUP):
        end_batch(head)
        put(head, at.MICRO, get(head, at.MICRO) + 1)
        call_kernel(get(head, at.BEGIN_BATCH), head, 0, 0, 0, z)
        return 0
    if end == at.END_NORM:
        clip_norm(head, z)
    if end == at.END_NORM or (end == at.END_GRADIENTS and get(head, at.NORM_COUNT) == 0):
        if update_is_certain(head, z):
            return index + 2  # past the phase that tries the update
        put(head, at.CHECKING, at.TRYING)
    if end == at.END_LOSS:
        sum_loss(head, z)
    if end == at.END_STEP or end == at.END_LOSS:
        end_batch(head)
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
    put(head, at.MICRO, 0)
    if get(head, at.TRAINING) != 0:
        call_kernel(get(head, at.BEGIN_BATCH), head, 0, 0, 0, z)
    atomic_store(head + at.NOW * at.WORD, announcement(head, 1, 0))
