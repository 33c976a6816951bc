"""Ten thousand steps allocate no more than one: not in compiled code, not in Python, not behind either's back."""

import gc
import mmap
import os
import sys
import tracemalloc
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numba import cfunc, types
from numba.core.runtime import _nrt_python, rtsys

import fastbp as fb
from fastbp.lowering import plans
from fastbp.train import pack_calls
from tests.model.chains import DTYPES

STEPS = 10_000
RESIDENT = 256 * 1024  # bytes, the noise of a process: 26 bytes a step
TRACED = 2048  # bytes of Python objects: a fifth of a byte a step


@dataclass
class Growth:
    """What STEPS steps took more than none."""

    in_kernels: int  # allocations of Numba's runtime, freed or not
    resident: int  # bytes of the process
    traced: int  # bytes of Python objects at their peak, beyond those of a tenth of the steps


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def peak(call, steps):
    gc.collect()
    tracemalloc.start()
    try:
        call(steps)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def growth(call) -> Growth:
    """Measure `call(steps)`, which has warmed up before."""
    was_on = _nrt_python.memsys_stats_enabled()
    _nrt_python.memsys_enable_stats()
    try:
        allocations, bytes_before = rtsys.get_allocation_stats().alloc, resident()
        call(STEPS)
        bytes_after, more = resident(), rtsys.get_allocation_stats().alloc
    finally:
        if not was_on:
            _nrt_python.memsys_disable_stats()
    return Growth(more - allocations, bytes_after - bytes_before, peak(call, STEPS) - peak(call, STEPS // 10))


def assert_flat(call):
    call(STEPS)
    found = growth(call)
    assert found.in_kernels == 0
    assert found.resident < RESIDENT
    assert found.traced < TRACED


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from /proc")
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def trainer_of(dtype, threads=1, optimizer=None):
    net = fb.mlp([4, 8, 3], dropout=0.1, dtype=dtype)
    return fb.Trainer(net, batch_size=8, threads=threads, optimizer=optimizer)


def data(dtype, rows=8 * STEPS):
    """One pass is as long as a call: a history keeps a number a pass, and is meant to."""
    return np.linspace(-1, 1, 4 * rows, dtype=dtype).reshape(rows, 4), np.arange(rows) % 3


@linux
@every_dtype
@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_of_many_steps_takes_no_memory(threads, dtype, monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    trainer = trainer_of(dtype, threads)
    X, y = data(dtype)
    assert_flat(lambda steps: trainer.run(X, y, steps=steps))
    assert trainer.steps_done == 3 * STEPS + STEPS // 10


@linux
@every_dtype
def test_many_calls_of_step_take_no_memory(dtype):
    trainer = trainer_of(dtype)
    X, y = data(dtype, 8)

    def call(steps):
        for _ in range(steps):
            trainer.step(X, y)

    assert_flat(call)


@linux
@every_dtype
def test_many_predictions_and_products_take_no_memory(dtype):
    net = fb.mlp([4, 8, 4], dtype=dtype)
    X = data(dtype, 8)[0]
    out = np.empty_like(X)

    def call(steps):
        for _ in range(steps // 2):
            net.predict(X, out=out)
            net.vjp(X, out)

    assert_flat(call)


def residual(dtype):
    x = fb.Input(4)
    h = fb.Linear(8)(x)
    for _ in range(2):
        h = h + fb.Linear(8)(fb.ReLU()(fb.LayerNorm()(h)))
    return fb.Network(inputs=x, outputs=fb.Linear(3)(h), dtype=dtype)


@linux
@every_dtype
@pytest.mark.parametrize("threads", [1, 2])
def test_training_a_residual_network_takes_no_memory(threads, dtype, monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    trainer = fb.Trainer(residual(dtype), batch_size=8, threads=threads)
    X, y = data(dtype)
    assert_flat(lambda steps: trainer.run(X, y, steps=steps))


@linux
@every_dtype
def test_many_steps_of_several_outputs_take_no_memory(dtype):
    x = fb.Input(4)
    h = fb.Tanh()(fb.Linear(8)(x))
    net = fb.Network(inputs=x, outputs=[fb.Linear(3)(h), fb.Linear(1)(h)], dtype=dtype)
    trainer = fb.Trainer(net, ["cross_entropy", "mse"], batch_size=8)
    X, y = data(dtype)
    numbers = X[:, :1].copy()
    assert_flat(lambda steps: trainer.run(X, (y, numbers), steps=steps))


@linux
@every_dtype
@pytest.mark.parametrize("threads", [1, 2])
def test_many_steps_of_a_pack_take_no_memory(threads, dtype):
    pack = fb.Pack(fb.mlp([4, 8, 3], dropout=0.1, dtype=dtype), n=4, batch_size=8, threads=threads)
    X, y = data(dtype)
    assert_flat(lambda steps: pack.run(X, y, steps=steps))
    assert pack.steps_done == [3 * STEPS + STEPS // 10] * 4


@linux
@every_dtype
def test_many_steps_of_a_team_in_a_pack_take_no_memory(dtype, monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    pack = fb.Pack(fb.mlp([4, 8, 3], dropout=0.1, dtype=dtype), n=1, batch_size=8, threads=2)
    X, y = data(dtype)
    assert_flat(lambda steps: pack.run(X, y, steps=steps))
    plan = pack._members[0].trainer._batch_plan
    assert (plan.workers, plan.head.team.threads) == (2, 2)


@linux
@pytest.mark.parametrize("members", [1, 2])
def test_many_teams_of_a_region_take_no_memory(members, monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    monkeypatch.setattr(pack_calls, "CALL_SECONDS", 1e-9)
    pack = fb.Pack(fb.mlp([4, 8, 3]), n=members, batch_size=8, threads=2 * members)
    X, y = data("float32")
    call = lambda steps: pack.run(X, y, steps=steps)  # noqa: E731
    call(1000)
    assert peak(call, 1000) - peak(call, 100) < TRACED


@linux
def test_many_regions_of_a_pack_take_no_memory(monkeypatch):
    monkeypatch.setattr(pack_calls, "CALL_SECONDS", 1e-9)  # a step of each member, then bookkeeping
    monkeypatch.setattr(pack_calls, "SLICE_SECONDS", 1e-9)
    pack = fb.Pack(fb.mlp([4, 8, 3]), n=2, batch_size=8, threads=2)
    X, y = data("float32")
    call = lambda steps: pack.run(X, y, steps=steps)  # noqa: E731
    call(1000)
    assert peak(call, 1000) - peak(call, 100) < TRACED


@linux
@every_dtype
def test_trainers_give_their_memory_back(dtype):
    X, y = data(dtype, 64)

    def call(steps):
        for _ in range(steps // 200):
            net = fb.mlp([4, 300, 300, 3], dtype=dtype)  # 0.4 MB of parameters, and as much of each moment
            fb.Trainer(net, batch_size=64).run(X, y, steps=1)
            net.predict(X)
        gc.collect()

    call(2000)
    before = resident()
    call(STEPS)
    assert resident() - before < 8 * 2**20


# The checker can fail


@cache
def wasteful():
    """A kernel that allocates."""

    @cfunc(types.void(*[types.int64] * 4, types.float32))
    def kernel(head, me, r0, r1, z):
        scratch = np.empty(2 + (head & 1), np.float32)
        scratch[0] = z

    return kernel


@linux
def test_the_checker_sees_one_allocation_a_step_inside_the_sweeps():
    trainer = trainer_of("float32", optimizer=fb.SGD(1e-3))
    X, y = data("float32")
    trainer.run(X, y, steps=1)
    trainer._batch_plan.head.update.prepare = wasteful().address  # called once a step, before the update
    with pytest.raises(AssertionError, match=f"assert {STEPS} == "):
        assert_flat(lambda steps: trainer.run(X, y, steps=steps))


@linux
def test_the_checker_sees_one_allocation_a_step_in_the_region_of_a_pack():
    pack = fb.Pack(fb.mlp([4, 8, 3]), n=2, batch_size=8, threads=2, optimizer=fb.SGD(1e-3))
    X, y = data("float32")
    pack.run(X, y, steps=1)
    pack._members[1].trainer._batch_plan.head.update.prepare = wasteful().address
    with pytest.raises(AssertionError, match=f"assert {STEPS} == "):
        assert_flat(lambda steps: pack.run(X, y, steps=steps))


@linux
def test_the_checker_sees_objects_that_python_keeps():
    kept = []
    leaking = lambda steps: kept.extend(bytes(8) for _ in range(steps))  # noqa: E731
    assert growth(leaking).traced > 8 * STEPS // 2
    with pytest.raises(AssertionError, match="traced"):
        assert_flat(leaking)


@linux
def test_the_checker_sees_memory_that_nobody_counts():
    kept = []

    def leaking(steps):
        block = mmap.mmap(-1, 64 * steps)
        block.write(b"x" * (64 * steps))
        kept.append(block)

    assert growth(leaking).resident >= 64 * STEPS
    with pytest.raises(AssertionError, match="resident"):
        assert_flat(leaking)
