"""The loops that walk a plan: row sweep, weight sweep, and what happens between them.

A plan is a list of phases, a phase a list of independent tasks. Each thread runs `work`: it takes its own tasks of the
phase, then steals those of late threads; the thread that completes the last task ends the phase and announces the next.
So any number of steps is one parallel region, a barrier costs two cache lines between cores instead of a launch, and if
a thread never arrives the others do its tasks: the loops are correct under every threading layer, even a sequential
one.

Every task owns what it writes, and each sum has one order, so no bit depends on the assignment of tasks.
"""

from __future__ import annotations

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.memory import (
    atomic_add,
    atomic_load,
    atomic_store,
    atomic_swap,
    call_kernel,
    flush_subnormals,
    give_way,
    restore_rounding,
    spin_hint,
)
from fastbp.kernels.ops import GateTask
from fastbp.kernels.records import (
    END_BACKWARD,
    END_CHECK,
    END_DIRECTIONS,
    END_GRADIENTS,
    END_LOSS,
    END_NORM,
    END_STEP,
    LOOKING,
    STOPPED,
    TASK_PHASE,
    TRYING,
    Head,
)
from fastbp.kernels.vector import LINE
from fastbp.kernels.words import exists, further
from fastbp.sweeps.transitions import (
    clip_norm,
    end_backward,
    end_batch,
    end_step,
    exchanged,
    note_penalties,
    problem,
    put_back,
    sum_loss,
    update_is_certain,
    worker_of,
)

PATIENCE = 4000  # polls before a waiting thread yields its core, about 50 µs


@inlined
def run_task(head, phase, t, task, z):
    """One task of a phase, on worker t."""
    me = worker_of(head, t)
    if phase.kind == TASK_PHASE:
        record = phase.tasks[task]
        call_kernel(record.kernel, record, me, 0, head.data.rows, z)
        return
    groups = phase.groups
    size = phase.block
    block = task // groups
    group = task - block * groups
    r0 = block * size
    r1 = min(r0 + size, head.data.rows)
    if phase.local != 0:
        me.shift = r0 - t * size
        r1 -= r0 - t * size
        r0 = t * size
    if r0 >= r1 and phase.sums == 0:
        return
    count = phase.op_count
    op = phase.ops[group * count]
    for _ in range(count):
        call_kernel(op.kernel, op, me, r0, r1, z)
        op = op[1]


@inlined
def task_count(head, phase):
    """Tasks of a phase: row blocks times column groups, or records."""
    if phase.kind == TASK_PHASE:
        return phase.task_count
    size = phase.block
    return max(1, (head.data.rows + size - 1) // size) * phase.groups


@inlined
def next_phase(head, index, z):
    """End phase `index`; return the index of the one that follows, or STOPPED."""
    phase = head.phases[index]
    end = phase.end
    if head.team.exchange != 0 and phase.sums != 0 and not exchanged(head, index, z):
        put_back(head)
        return STOPPED
    if end == END_BACKWARD:
        certain = end_backward(head, z)
        staged = head.update.staged != 0
        if not staged:
            certain = update_is_certain(head, z) and certain
        if certain:
            return index + 2  # skip the check phase
        head.step.checking = LOOKING if staged else TRYING
        return index + 1
    if end == END_CHECK:
        status = problem(head)
        if status != 0:
            head.step.status = status
            put_back(head)
            return STOPPED
        head.step.checking = 0
        return index + 1
    if end == END_GRADIENTS:
        note_penalties(head, z)
    if end == END_GRADIENTS and head.step.micro + 1 < head.step.group:
        end_batch(head)
        head.step.micro = head.step.micro + 1
        call_kernel(head.team.begin_batch, head, 0, 0, 0, z)
        return 0
    if end == END_NORM:
        clip_norm(head, z)
    if end == ready(head):
        if update_is_certain(head, z):
            return index + 2  # skip the trial phase
        head.step.checking = TRYING
    if end == END_LOSS:
        sum_loss(head, z)
    if end == END_STEP or end == END_LOSS:
        end_batch(head)
        if not end_step(head):
            return STOPPED
        call_kernel(head.team.begin_batch, head, 0, 0, 0, z)
        return 0
    return index + 1 if index + 1 < head.phase_count else STOPPED


@inlined
def ready(head):
    """The end of the last phase before an update that waits for all gradients."""
    if head.update.directions != 0:
        return END_DIRECTIONS
    return END_NORM if head.update.norm_count != 0 else END_GRADIENTS


@inlined
def announcement(head, serial, index):
    """A phase in one word: serial number, number of tasks, index."""
    if index == STOPPED:
        return STOPPED
    phase = head.phases[index]
    return (serial << 32) | (task_count(head, phase) << 8) | index


@inlined
def take(ticket, serial, count):
    """Take one of the `count` tasks of this ticket in phase `serial`; -1 if none is left.

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
    split = phase.split
    return split[t] if exists(split) else t * total // threads


@kernel(Head, None)
def work(head, t, r0, r1, z):
    """Run worker t until the plan has no steps left; r0 and r1 are not used."""
    state = flush_subnormals()
    threads = head.team.threads
    now = atomic_load(head.team.now)
    while now != STOPPED:
        serial = now >> 32
        total = (now >> 8) & 0xFFFFFF
        index = now & 0xFF
        phase = head.phases[index]
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
                ticket = further(head.team.tickets, owner * LINE)
                task = take(ticket, serial, count)
                while task >= 0:
                    run_task(head, phase, t, first + task, z)
                    finished += 1
                    task = take(ticket, serial, count)
        last = False
        if finished > 0:
            last = atomic_add(head.team.done, finished) + finished == total
        if last:
            head.team.done[0] = 0
            following = next_phase(head, index, z)
            now = announcement(head, serial + 1, following)
            atomic_store(head.team.now, now)
        else:
            me = worker_of(head, t)
            me.waits = me.waits + 1
            looks = 0
            seen = atomic_load(head.team.now)
            while seen == now:
                looks += 1
                if looks > PATIENCE:
                    give_way()
                else:
                    spin_hint()
                seen = atomic_load(head.team.now)
            now = seen
    restore_rounding(state)


@kernel(GateTask)
def gate_groups(task, me, r0, r1, z):
    """Run groups of a traced function; the ops of a group a block of rows at a time. r0 and r1 are not used."""
    group = task.groups
    for _ in range(task.count):
        first, end, block = group.begin, group.end, group.block
        while first < end:  # a range with a step that is not a constant could raise
            last = min(first + block, end)
            op = group.ops
            for _ in range(group.count):
                call_kernel(op.kernel, op, me, first, last, z)
                op = op[1]
            first = last
        group = group[1]


@kernel(Head)
def begin(head, me, r0, r1, z):
    """Announce the first phase; only `head` is used."""
    for t in range(head.team.threads):
        further(head.team.tickets, t * LINE)[0] = 0
    head.team.done[0] = 0
    head.step.status = 0
    head.step.ended = 0
    head.step.rate_at = 0
    head.step.micro = 0
    if head.training != 0:
        call_kernel(head.team.begin_batch, head, 0, 0, 0, z)
    atomic_store(head.team.now, announcement(head, 1, 0))
