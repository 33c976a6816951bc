"""The entries that Python calls. They are small: large functions are called through addresses in the plan's head."""

from __future__ import annotations

from numba import prange, types

from fastbp.kernels.memory import atomic_add, call_kernel, flush_subnormals, restore_rounding
from fastbp.kernels.ops import RowsOp
from fastbp.kernels.records import Head, Task
from fastbp.kernels.words import at, words_at
from fastbp.sweeps.probes import fma_chains, hand_over  # noqa: F401

head_at, rows_at, task_at = at(Head), at(RowsOp), at(Task)


def invoke(function, op, me, r0, r1, z):
    """Call any kernel."""
    call_kernel(function, op, me, r0, r1, z)


def run_serial(plan, z):
    """Run the plan at this address on the calling thread."""
    head = head_at(plan)
    call_kernel(head.team.begin, head, 0, 0, 0, z)
    call_kernel(head.team.work, head, 0, 0, 0, z)


def run_parallel(plan, z):
    """Run the plan at this address on its threads: one parallel region, one iteration a worker."""
    head = head_at(plan)
    call_kernel(head.team.begin, head, 0, 0, 0, z)
    function, threads = head.team.work, head.team.threads
    for t in prange(threads):
        call_kernel(function, plan, t, 0, 0, z)


def run_many(places, count, ticket, threads, z):
    """Run many plans: a thread takes the next of `count` places when it is through with its last.

    A place is the address of a plan and a worker of its team; the places of a team stand side by side. Who takes one
    that comes too late, since others have done its tasks, finds the plan at its end.
    """
    words = words_at(places)
    for place in range(0, 2 * count, 2):
        if words[place + 1] == 0:
            head = head_at(words[place])
            if head.team.threads > 1:
                call_kernel(head.team.begin, head, 0, 0, 0, z)
    for _ in prange(threads):
        words = words_at(places)
        turn = atomic_add(words_at(ticket), 1)
        while turn < count:
            head = head_at(words[2 * turn])
            if head.team.threads == 1:
                call_kernel(head.team.begin, head, 0, 0, 0, z)
            call_kernel(head.team.work, head, words[2 * turn + 1], 0, 0, z)
            turn = atomic_add(words_at(ticket), 1)


def predict_rows(plan, x, y, z):
    """Run a plan of row phases on the calling thread, from the rows of x to the rows of y."""
    head = head_at(plan)
    gather, scatter = rows_at(head.ops), rows_at(head.ops[head.op_count - 1])
    gather.a.start = x.ctypes.data
    scatter.c.start = y.ctypes.data
    head.data.rows = x.shape[0] * head.data.repeats
    call_kernel(head.team.begin, head, 0, 0, 0, z)
    call_kernel(head.team.work, head, 0, 0, 0, z)


def product_rows(plan, second, x, other, y, z):
    """The same for products of Jacobians at the rows of x with the rows of `other`, which the op at `second` reads."""
    head = head_at(plan)
    gather, scatter = rows_at(head.ops), rows_at(head.ops[head.op_count - 1])
    gather.a.start = x.ctypes.data
    rows_at(second).a.start = other.ctypes.data
    scatter.c.start = y.ctypes.data
    head.data.rows = x.shape[0]
    call_kernel(head.team.begin, head, 0, 0, 0, z)
    call_kernel(head.team.work, head, 0, 0, 0, z)


USED, NOT_FINITE, BAD_TARGETS, DIVERGED = 0, 1, 2, 3


def step_batch(plan, x, y, rate, step, seed, z):
    """One training step on the rows of x, on the calling thread; y is one int64 a row, or rows of numbers.

    Returns a status. The first problem ends it before anything but fields of the plan is written.
    """
    head = head_at(plan)
    rows = x.shape[0]
    result = head.spare
    call_kernel(head.data.scan, x.ctypes.data, result, 0, x.size, z)
    top = result[0]
    if top >= head.step.finite:
        return NOT_FINITE
    first, last, least = 0, y.size, head.step.finite
    if y.ndim == 1:
        first, last, least = rows, head.data.outputs, 0
    call_kernel(head.data.scan_targets, y.ctypes.data, result, first, last, z)
    if result[0] >= least:
        return BAD_TARGETS
    rows_at(head.ops).a.start = x.ctypes.data
    head.loss_op.targets.start = y.ctypes.data
    head.data.largest = top
    head.data.total = rows
    head.data.order = 0
    head.data.shuffle = 0
    head.data.weights = 0
    head.data.normalisers = 0
    head.data.cursor = 0
    head.step.number = step
    head.data.seed = seed
    head.step.left = 1
    head.step.epochs = 1
    head.team.threads = 1
    head.step.rates[0] = rate
    call_kernel(head.team.begin, head, 0, 0, 0, z)
    call_kernel(head.team.work, head, 0, 0, 0, z)
    return DIVERGED if head.step.status != 0 else USED


def run_task(task, me, z):
    """Do one task on the calling thread."""
    state = flush_subnormals()
    task = task_at(task)
    call_kernel(task.kernel, task, me, 0, 0, z)
    restore_rounding(state)


def signature(name, real):
    """The Numba signature of an entry."""
    number = types.float32 if real == "float32" else types.float64
    rows = types.Array(number, 2, "C", readonly=True)
    if name == "invoke":
        return types.void(*[types.int64] * 5, number)
    if name == "run_task":
        return types.void(*[types.int64] * 2, number)
    if name == "run_many":
        return types.void(*[types.int64] * 4, number)
    if name == "predict_rows":
        return types.void(types.int64, rows, types.Array(number, 2, "C"), number)
    if name == "product_rows":
        return types.void(types.int64, types.int64, rows, rows, types.Array(number, 2, "C"), number)
    if name == "step_batch":
        return types.int64(types.int64, rows, rows, types.float64, types.int64, types.int64, number)
    if name == "step_batch_labels":
        labels = types.Array(types.int64, 1, "C", readonly=True)
        return types.int64(types.int64, rows, labels, types.float64, types.int64, types.int64, number)
    if name == "fma_chains":
        return types.void(types.int64, types.int64, number)
    if name == "hand_over":
        return types.int64(*[types.int64] * 3, number)
    return types.void(types.int64, number)


step_batch_labels = step_batch
