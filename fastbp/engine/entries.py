"""The entries that Python calls. They are small: what takes long to compile is behind addresses in the plan's head."""

from __future__ import annotations

from numba import prange, types

from fastbp.kernels import layout as at
from fastbp.kernels.memory import call_kernel, flush_subnormals, get, put, put_double, restore_rounding


def invoke(function, op, me, r0, r1, z):
    """Call any kernel."""
    call_kernel(function, op, me, r0, r1, z)


def run_serial(head, z):
    """Run the plan at `head` on the calling thread."""
    call_kernel(get(head, at.BEGIN), head, 0, 0, 0, z)
    call_kernel(get(head, at.WORK), head, 0, 0, 0, z)


def run_parallel(head, z):
    """Run the plan at `head` on its threads: one parallel region, one iteration a worker."""
    call_kernel(get(head, at.BEGIN), head, 0, 0, 0, z)
    function = get(head, at.WORK)
    for t in prange(get(head, at.THREADS)):
        call_kernel(function, head, t, 0, 0, z)


def predict_rows(head, x, y, z):
    """Run a plan of row phases on the calling thread, from the rows of x to the rows of y."""
    gather = get(head, at.OPS)
    scatter = gather + (get(head, at.OP_COUNT) - 1) * (at.OP_WORDS * at.WORD)
    put(gather, at.A, x.ctypes.data)
    put(scatter, at.C, y.ctypes.data)
    put(head, at.ROWS, x.shape[0] * get(head, at.REPEATS))
    call_kernel(get(head, at.BEGIN), head, 0, 0, 0, z)
    call_kernel(get(head, at.WORK), head, 0, 0, 0, z)


def product_rows(head, second, x, other, y, z):
    """The same for products of Jacobians at the rows of x with the rows of `other`, which the op at `second` reads."""
    gather = get(head, at.OPS)
    scatter = gather + (get(head, at.OP_COUNT) - 1) * (at.OP_WORDS * at.WORD)
    put(gather, at.A, x.ctypes.data)
    put(second, at.A, other.ctypes.data)
    put(scatter, at.C, y.ctypes.data)
    put(head, at.ROWS, x.shape[0])
    call_kernel(get(head, at.BEGIN), head, 0, 0, 0, z)
    call_kernel(get(head, at.WORK), head, 0, 0, 0, z)


USED, NOT_FINITE, BAD_TARGETS, DIVERGED = 0, 1, 2, 3


def step_batch(head, x, y, rate, step, seed, z):
    """One training step on the rows of x, on the calling thread; y is one int64 a row, or rows of numbers.

    Says what became of it. The first problem ends it before anything is written but words of the plan.
    """
    rows = x.shape[0]
    result = head + at.SPARE * at.WORD
    call_kernel(get(head, at.SCAN), x.ctypes.data, result, 0, x.size, z)
    top = get(result, 0)
    if top >= get(head, at.FINITE):
        return NOT_FINITE
    first, last, least = 0, y.size, get(head, at.FINITE)
    if y.ndim == 1:
        first, last, least = rows, get(head, at.CLASSES), 0
    call_kernel(get(head, at.SCAN_TARGETS), y.ctypes.data, result, first, last, z)
    if get(result, 0) >= least:
        return BAD_TARGETS
    put(get(head, at.OPS), at.A, x.ctypes.data)
    put(get(head, at.LOSS_OP), at.TARGETS, y.ctypes.data)
    put(head, at.INPUT_MAX, top)
    put(head, at.TOTAL, rows)
    put(head, at.ORDER, 0)
    put(head, at.SHUFFLE, 0)
    put(head, at.WEIGHTS, 0)
    put(head, at.NORMALISERS, 0)
    put(head, at.CURSOR, 0)
    put(head, at.STEP, step)
    put(head, at.SEED, seed)
    put(head, at.STEPS_LEFT, 1)
    put(head, at.PASS_LIMIT, 1)
    put(head, at.THREADS, 1)
    put_double(get(head, at.RATES), 0, rate)
    call_kernel(get(head, at.BEGIN), head, 0, 0, 0, z)
    call_kernel(get(head, at.WORK), head, 0, 0, 0, z)
    return DIVERGED if get(head, at.STATUS) != 0 else USED


def run_groups(groups, count, me, z):
    """Run the groups of a traced function, one after another; the ops of a group a block of rows at a time."""
    state = flush_subnormals()
    for _ in range(count):
        ops, rows, block = get(groups, at.GROUP_OPS), get(groups, at.GROUP_ROWS), get(groups, at.GROUP_BLOCK)
        r0 = 0
        while r0 < rows:  # a range with a step that is not a constant could raise
            r1 = min(r0 + block, rows)
            op = ops
            for _ in range(get(groups, at.GROUP_COUNT)):
                call_kernel(get(op, at.KERNEL), op, me, r0, r1, z)
                op += at.OP_WORDS * at.WORD
            r0 = r1
        groups += at.GROUP_WORDS * at.WORD
    restore_rounding(state)


def signature(name, real):
    """The Numba signature of an entry."""
    number = types.float32 if real == "float32" else types.float64
    rows = types.Array(number, 2, "C", readonly=True)
    if name == "invoke":
        return types.void(*[types.int64] * 5, number)
    if name == "run_groups":
        return types.void(*[types.int64] * 3, number)
    if name == "predict_rows":
        return types.void(types.int64, rows, types.Array(number, 2, "C"), number)
    if name == "product_rows":
        return types.void(types.int64, types.int64, rows, rows, types.Array(number, 2, "C"), number)
    if name == "step_batch":
        return types.int64(types.int64, rows, rows, types.float64, types.int64, types.int64, number)
    if name == "step_batch_labels":
        labels = types.Array(types.int64, 1, "C", readonly=True)
        return types.int64(types.int64, rows, labels, types.float64, types.int64, types.int64, number)
    return types.void(types.int64, number)


step_batch_labels = step_batch
