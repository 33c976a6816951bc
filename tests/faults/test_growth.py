"""What a long process asks for, one thing after another, does not stay in its memory."""

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine.recent import Recent
from fastbp.model import network

ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from Linux's /proc")
X = np.random.default_rng(0).standard_normal((8, 6)).astype("f4")
Y = np.arange(8) % 3

BEGIN = """
import gc, os, numpy as np, fastbp as fb

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

def growth(calls, warm, count):
    "MiB, descriptors and threads that so many calls added, after some before."
    for i in range(warm):
        calls(i)
    before = resident(), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    for i in range(warm, warm + count):
        calls(i)
    after = resident(), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    return [b - a for a, b in zip(before, after)]
"""


def growth(code, warm, count):
    done = subprocess.run(
        [sys.executable, "-c", f"{BEGIN}{code}\nprint(*growth(call, {warm}, {count}))"],
        cwd=ROOT,
        env={**os.environ, "FASTBP_QUIET": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [float(number) for number in done.stdout.split()]


# What is kept


def test_what_was_used_last_is_found_and_what_was_not_is_forgotten():
    recent = Recent(4)
    for i in range(100):
        recent[i] = str(i)
        assert recent.find(0) == "0"
        assert all(recent.find(j) == str(j) for j in range(max(0, i - 2), i + 1))
        assert len(recent) + len(recent._old) <= 8
    assert recent.find(50) is None
    recent.clear()
    assert (recent.find(99), len(recent), recent._old) == (None, 0, {})


def test_plans_of_losses_are_forgotten_with_their_memory_and_made_again_with_the_same_bits():
    net = fb.mlp([6, 5, 3], seed=1)
    losses = [fb.CrossEntropy(class_weights={2: float(k)}) for k in range(1, 31)]

    def asked(loss):
        found, gradients = net.loss_and_gradients(X, Y, loss)
        return found, net.evaluate(X, Y, loss), {name: array.tobytes() for name, array in gradients.items()}

    gc.disable()
    try:
        first = [asked(loss) for loss in losses[:1]]
        arena = weakref.ref(next(iter(net._plans.values())).arena)
        first += [asked(loss) for loss in losses[1:]]
        assert len(net._plans) + len(net._plans._old) <= 2 * network.PLANS
        assert arena() is None
    finally:
        gc.enable()
    assert [asked(loss) for loss in losses] == first


def test_hessians_of_many_numbers_of_rows_are_forgotten():
    net = fb.mlp([6, 2, 3], activation="tanh", dtype="float64")
    v = np.ones_like(net.flat)
    first = net.hessian_vector(X[:1], Y[:1], v)
    for rows in range(1, 9):
        for loss in ("cross_entropy", fb.CrossEntropy(label_smoothing=0.1), fb.CrossEntropy(label_smoothing=0.2)):
            net.hessian_vector(X[:rows], Y[:rows], v, loss=loss)
    assert len(net._plans) + len(net._plans._old) <= 2 * network.PLANS
    assert net.hessian_vector(X[:1], Y[:1], v).tobytes() == first.tobytes()


def test_a_traced_function_forgets_shapes_and_traces_them_again_with_the_same_bits():
    seen = []

    def sums(x):
        seen.append(x.shape)
        return np.sum(x * x)

    function = fb.trace(sums)
    first = [function.value_and_gradient(np.arange(float(n))) for n in range(1, 300)]
    assert len(function._traces) + len(function._traces._old) <= 128
    assert len(seen) == 299
    again = [function.value_and_gradient(np.arange(float(n))) for n in range(1, 300)]
    assert all(a == b and (c[0] == d[0]).all() for (a, c), (b, d) in zip(first, again, strict=True))


@pytest.mark.parametrize("made", ["plan", "program", "network"])
def test_memory_goes_with_its_owner_at_once(made):
    gc.collect()
    gc.disable()
    try:
        net = fb.mlp([6, 5, 3])
        function = fb.trace(lambda x: np.sum(x * x))
        net.predict(X), function(np.ones(3))
        owners = {
            "plan": net._predict_plan,
            "network": net.parameters.block,
            "program": next(iter(function._traces.values())).program("value"),
        }
        arena = owners[made]._arena if made == "network" else owners[made].arena
        memory = weakref.ref(arena)
        del owners, arena, net, function
        assert memory() is None
    finally:
        gc.enable()


# Resident memory


@linux
def test_many_losses_on_one_network_leave_memory_flat():
    code = """
net, X, y = fb.mlp([784, 512, 256, 10]), np.ones((512, 784), "f4"), np.arange(512) % 10
def call(i):
    net.evaluate(X, y, fb.CrossEntropy(class_weights={2: 1.0 + i}))
"""
    memory, descriptors, threads = growth(code, 20, 40)
    assert memory < 60.0  # 280 if all were kept
    assert descriptors == threads == 0


@linux
def test_many_shapes_of_one_function_leave_memory_flat():
    code = """
F = fb.trace(lambda x: np.sum(np.tanh(x) * x))
def call(i):
    F.gradient(np.ones(i + 1))
"""
    memory, *_ = growth(code, 200, 800)
    assert memory < 15.0  # 37 if all were kept


@linux
def test_fits_of_many_networks_leave_memory_descriptors_and_threads_flat():
    code = """
X, rng = np.ones((256, 32), "f4"), np.random.default_rng(0)
def call(i):
    net = fb.mlp([32, 40 + i % 17, 10], dropout=0.1, dtype=("float32", "float64")[i % 2])
    trainer = fb.Trainer(net, ema=0.9, batch_size=64, threads=2)
    y = np.arange(256) % 10
    trainer.fit(X, y, 2, validation=(X, y), metrics=["accuracy"], callbacks=[fb.EarlyStopping(2)])
    net.jacobian(X[:3])
"""
    memory, descriptors, threads = growth(code, 20, 60)
    assert memory < 12.0
    assert descriptors == threads == 0


@linux
def test_the_measure_of_this_file_sees_what_grows():
    code = """
kept = []
def call(i):
    kept.append(np.ones(2**18))
    kept.append(open(os.devnull))
"""
    memory, descriptors, _ = growth(code, 2, 10)
    assert memory > 15.0
    assert descriptors == 10.0
