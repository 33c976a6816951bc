"""Large groups of gates are cut among threads: the bits of one thread, from the same memory, and only where it pays."""

import os
import signal
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

import fastbp as fb
from fastbp.autodiff import shares
from fastbp.engine import threads as team
from fastbp.engine.memory import view
from fastbp.kernels.ops import NumberGateOp, Op
from fastbp.model import traced
from fastbp.model.traced import HessianProgram
from tests.autodiff.ladder import LADDER, arguments

SHAPE = 1213, 83  # a prime number of rows, and panels beyond the last pair
DTYPES = ["float32", "float64"]


@pytest.fixture
def on(monkeypatch):
    """Sets how many threads there are; the list it returns gets the number of every launch."""
    launched, run = [], team.run

    def noted(head, zero, threads, real):
        launched.append(threads)
        run(head, zero, threads, real)

    def set_to(count):
        monkeypatch.setattr(team, "default_threads", lambda: count)
        launched.clear()
        return launched

    monkeypatch.setattr(team, "run", noted)
    return set_to


def programs(F):
    return next(iter(F._traces.values())).programs


def tasks(program):
    return [phase.task_count for phase in program._shares.phases.records]


def same_on_all(on, function, dtype, call):
    """The same bytes on 1, 2 and 3 threads; returns the function as three have run it."""
    found = []
    for threads in (1, 2, 3):
        launched, F = on(threads), fb.trace(function, dtype=dtype)
        found.append([np.asarray(value).tobytes() for value in call(F)])
        assert set(launched) == ({threads} if threads > 1 else set())
    assert found[0] == found[1] == found[2]
    return F


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LADDER)
def test_every_gate_has_the_same_bits_on_any_number_of_threads(name, dtype, on):
    given = [x.astype(dtype) for x in arguments(name, SHAPE)]

    def call(F):
        value = np.asarray(F(*given))
        return value, *F.vjp(given, np.cos(value) if value.shape else 1.5)

    F = same_on_all(on, LADDER[name].function, dtype, call)
    assert all(max(tasks(program)) > 1 for program in programs(F).values())


def layers(X, W, b, V):
    """Rows that are normalised between two products, and a loss."""
    z = np.tanh(X @ W + b)
    z = (z - z.mean(axis=1, keepdims=True)) / np.sqrt((z * z).mean(axis=1, keepdims=True) + 0.1)
    y = np.concatenate([z, z[:, ::3] * X[:, :1]], axis=1) @ V
    return np.sum(y * y * np.mean(y, axis=0)) / len(X) + np.max(z)


def weights(dtype, rows=301):
    rng = np.random.default_rng(rows)
    return [rng.normal(size=shape).astype(dtype) for shape in ((rows, 70), (70, 150), (150,), (200, 65))]


@pytest.mark.parametrize("dtype", DTYPES)
def test_derivatives_have_the_same_bits_on_any_number_of_threads(dtype, on):
    given = weights(dtype)

    def call(F):
        return F(*given), *F.gradient(*given), F.jvp(given, given), *F.hessian_vector(given, given)

    F = same_on_all(on, layers, dtype, call)
    kinds = programs(F)
    assert set(kinds) == {"value", "gradient", "jvp", "hessian_vector"}
    assert all(max(tasks(program)) == 3 for program in kinds.values())


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_with_the_hessian_have_the_same_bits_on_any_number_of_threads(dtype, on, monkeypatch):
    made, found = [], []
    monkeypatch.setattr(traced, "HessianProgram", lambda *of: made.append(HessianProgram(*of)) or made[-1])
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(211, 40)), np.arange(211) % 7
    for threads in (1, 2, 3):
        launched = on(threads)
        net = fb.Network([fb.Linear(90), fb.GELU(), fb.LayerNorm(), fb.Linear(7)], inputs=40, seed=2, dtype=dtype)
        v = np.cos(np.arange(net.flat.size)).astype(dtype)
        found.append(net.hessian_vector(X, y, v).tobytes())
        assert launched == ([threads] if threads > 1 else [])
    assert found[0] == found[1] == found[2]
    assert tasks(made[-1]._program).count(3) > 4


def test_more_phases_than_a_head_can_number_run_one_after_another(on):
    def deep(x):
        for _ in range(150):
            x = x + 1e-3 * np.sum(np.sin(x), axis=1, keepdims=True)
        return x

    F = same_on_all(on, deep, "float32", lambda F: [F(weights("float32", 2000)[0])])
    assert len(tasks(programs(F)["value"])) > shares.MAX_PHASES


# Where one thread is better.


@pytest.mark.parametrize("rows", [1, 16, 60])
def test_small_programs_stay_on_one_thread(rows, on):
    launched = on(3)
    fb.trace(lambda x: np.sum(x * x)).gradient(np.ones((rows, 30)))
    assert launched == []


def test_small_groups_between_large_ones_are_one_task(on):
    on(3)
    X = weights("float64", 3000)[0]
    F = fb.trace(lambda X: np.sum(np.exp(X) * np.sin(np.mean(np.exp(X)))))
    F(X)
    # Numbers in, rows in and exp; the mean and its sine; the product; its sum and the way out.
    assert tasks(programs(F)["value"]) == [3, 3, 1, 3, 1]


def test_the_calling_thread_alone_is_alone(on):
    launched, given = on(3), weights("float64")
    F = fb.trace(layers)
    with team.alone():
        F(*given)
    assert launched == []
    F(*given)
    assert launched == [3]


def test_by_default_the_work_says_how_many_threads(on, monkeypatch):
    monkeypatch.setattr(team, "fixed", lambda: False)
    launched = on(8)
    F, X = fb.trace(lambda x: x @ x.T), np.ones((160, 64))
    F(X)
    work = programs(F)["value"]._work
    assert launched == [work // shares.THREAD_WORK] == [3]
    team.default_threads = lambda: 2
    F(X)
    assert launched == [3, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are POSIX's")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_of_a_fork_goes_on_with_one_thread(on):
    launched, given = on(2), weights("float64")
    F = fb.trace(layers)
    expected = np.float64(F(*given)).tobytes()
    assert launched == [2]
    out, into = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            os.write(into, np.float64(F(*given)).tobytes() + bytes(launched))
        finally:
            os._exit(0)
    os.close(into)
    os.waitpid(child, 0)
    with os.fdopen(out, "rb") as found:
        assert found.read() == expected + bytes([2])


# What it takes.


def test_a_call_on_threads_allocates_nothing(on):
    on(3)
    given = weights("float64")
    F = fb.trace(layers)
    results = F.gradient(*given)  # to which the program goes on writing
    program = programs(F)["gradient"]

    def peak(calls):
        tracemalloc.start()
        for _ in range(calls):
            program._go()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    was_on = _nrt_python.memsys_stats_enabled()
    _nrt_python.memsys_enable_stats()
    held, before = program.arena.bytes, rtsys.get_allocation_stats().alloc
    peak(10)
    few, many = peak(10), peak(100)
    after = rtsys.get_allocation_stats().alloc
    if not was_on:
        _nrt_python.memsys_disable_stats()
    assert (after, program.arena.bytes) == (before, held)
    assert many < few + 2048
    assert all(isinstance(result, np.ndarray) for result in results)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("total", [1, 15, 16, 17, 47, 48, 100, 1501])
def test_parts_are_whole_steps_and_of_about_one_size(total, count):
    edges = shares._edges(total, count, 16)
    assert (edges[0], edges[-1]) == (0, total)
    assert all(at % 16 == 0 for at in edges[:-1])
    sizes = np.diff(edges)
    assert (sizes > 0).all()
    assert sizes.max() <= total / count + 16


def test_memory_inside_a_group_is_the_tasks_own(on):
    """Addresses of what holds one block of rows: no two tasks share any."""
    on(3)
    X = weights("float64", 3000)[0]
    F = fb.trace(lambda X: np.exp(np.sin(X) * X) + np.cos(X))
    with pytest.MonkeyPatch.context() as patch:
        cut, seen = shares.cut, []
        patch.setattr(shares, "cut", lambda *of: seen.append((of[0], cut(*of))) or seen[-1][1])
        F(X)
    (group, parts) = next((group, parts) for group, parts in seen if group.count)
    assert len(parts) == 3
    inside = []
    for part in parts:
        ops = view(int(part.words[0]), (part.count, Op.size), np.int64)
        operands = [getattr(NumberGateOp(words), name) for words in ops for name in "abyc"]
        inside.append({operand.start for operand in operands if operand.back})
    assert [len(places) for places in inside] == [group.count] * 3
    ends = [sorted((min(places), max(places) + group.size)) for places in inside]
    assert all(before[1] <= after[0] for before, after in pairwise(sorted(ends)))
