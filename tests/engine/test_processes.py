"""Forks, several threads of Python and Ctrl-C, each in a process of its own that is ended should it hang."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="forks and signals are POSIX's")

BEGIN = """
import hashlib, os, signal, sys, threading, time
import numpy as np, fastbp as fb
from fastbp.engine import threads as team

rng = np.random.default_rng(0)
X, y = rng.standard_normal((512, 64)).astype(np.float32), rng.integers(0, 10, 512)

def network(seed=0):
    return fb.mlp([64, 300, 10], dropout=0.1, seed=seed)

def train(seed=0, threads=2, steps=20):
    "A digest of the parameters after some steps, on enough work for a parallel region."
    net = network(seed)
    fb.Trainer(net, batch_size=128, threads=threads).run(X, y, steps)
    return hashlib.sha256(net.flat.tobytes()).hexdigest()[:8]

def started():
    return team._state["regions"]
"""


def finish(process, timeout=60):
    try:
        out, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail("the process hung")
    assert process.returncode == 0, errors
    return out.split("\n")[:-1]


def start(code, *args, **variables):
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + code, *args],
        cwd=ROOT,
        env={**os.environ, "FASTBP_QUIET": "1", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# Forks

FORK = """
def in_a_child(call):
    "What a call prints in a fork; the alarm ends a child that hangs."
    sys.stdout.flush()
    child = os.fork()
    if not child:
        signal.alarm(20)
        begun = time.monotonic()
        try:
            answer = call()
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        print(f"{time.monotonic() - begun:.3f} {answer}", flush=True)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


@posix
@pytest.mark.parametrize("handler", ["signal.SIG_DFL", "lambda *_: None"], ids=["plain", "with-a-handler"])
def test_a_fork_after_a_region_has_the_same_bits_promptly_and_its_parent_goes_on(handler):
    code = f"""
signal.signal(signal.SIGTERM, {handler})
before = train()
assert started()
print(in_a_child(train))
assert train() == before
print(before)
"""
    first, status, before = finish(start(FORK + code))
    seconds, child = first.split(" ", 1)
    assert [child, status] == [before, "0"]
    assert float(seconds) < 5.0


@posix
def test_a_fork_after_a_region_has_the_same_bits_where_it_needs_no_thread():
    code = """
def alone():
    net = fb.Network([fb.Linear(300), fb.SiLU(), fb.Linear(10)], 64)  # whose kernels the parent has not loaded
    trainer = fb.Trainer(net, batch_size=128, threads=1)
    return trainer.step(X[:8], y[:8]), trainer.fit(X, y, 2).loss, float(net.predict(X, threads=1).sum())
train()
print(in_a_child(alone))
print(alone())
"""
    *first, status, expected = finish(start(FORK + code))
    assert status == "0"
    assert [found.split(" ", 1)[1] for found in first] == [expected]


@posix
def test_a_fork_before_any_region_trains_with_the_same_bits():
    code = """
network().predict(X[:4])
fb.Trainer(network(), threads=1).step(X, y)
assert not started()
print(in_a_child(train))
print(train())
"""
    first, status, expected = finish(start(FORK + code))
    assert status == "0"
    assert first.split(" ", 1)[1] == expected


@posix
def test_the_fork_of_a_fork_has_the_same_bits_where_its_parent_has_started_threads():
    code = """
def child():
    print(in_a_child(train))
    return train()
before = train()
print(in_a_child(child), before)
"""
    *children, last = finish(start(FORK + code))
    status, before = last.split(" ")
    first, ended, second = (line.split(" ")[-1] for line in children)
    assert (first, ended, second, status) == (before, "0", before, "0")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_that_start_anew_train_with_the_same_bits(method, tmp_path):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("this platform has no forkserver")
    main = f"""
if __name__ == "__main__":
    import multiprocessing
    before = train()
    with multiprocessing.get_context("{method}").Pool(1) as pool:
        print(before, started(), *pool.map(train, [0]))
"""
    file = tmp_path / "main.py"
    file.write_text(BEGIN + main)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, str(file)],
        env={**os.environ, "PYTHONPATH": path, "FASTBP_QUIET": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    parent, regions, child = done.stdout.split()
    assert regions == "True"
    assert child == parent


# Threads of Python

TOGETHER = """
def together(*calls):
    "Results of calls that begin at the same time, each on a thread of its own."
    results, gate = [None] * len(calls), threading.Barrier(len(calls))
    def run(i):
        gate.wait()
        results[i] = calls[i]()
    workers = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results
"""


def layer(name):
    if name == "omp":
        pytest.importorskip("numba.np.ufunc.omppool", reason="numba has no OpenMP here")
    return {"NUMBA_THREADING_LAYER": name}


@pytest.mark.parametrize("name", ["omp", "workqueue"])
def test_threads_of_python_train_networks_at_once_with_the_same_bits(name):
    code = """
import numba
at_once = together(lambda: train(1, steps=100), lambda: train(2, steps=100))
print(numba.threading_layer())
print(at_once == [train(1, steps=100), train(2, steps=100)], len(set(at_once)))
"""
    assert finish(start(TOGETHER + code, **layer(name))) == [name, "True 2"]


@pytest.mark.parametrize("name", ["omp", "workqueue"])
def test_threads_of_python_ask_the_same_network_at_once(name):
    code = """
net = network()
parts = [rng.standard_normal((300 + i, 64)).astype(np.float32) for i in range(4)]
def ask(x):
    return [net.predict(x, threads=2).tobytes() for _ in range(20)]
at_once = together(*[lambda x=x: ask(x) for x in parts])
assert started()
print(all(set(found) == {network().predict(x, threads=1).tobytes()} for found, x in zip(at_once, parts)))
"""
    assert finish(start(TOGETHER + code, FASTBP_NUM_THREADS="2", **layer(name))) == ["True"]


def test_threads_of_python_take_steps_with_one_trainer_and_none_is_lost():
    code = """
trainer = fb.Trainer(network(), threads=2)
together(*[lambda: [trainer.step(X, y) for _ in range(25)]] * 4)
other = fb.Trainer(network(), threads=2)
for _ in range(100):
    other.step(X, y)
print(trainer.steps_done, trainer.net.flat.tobytes() == other.net.flat.tobytes())
"""
    assert finish(start(TOGETHER + code)) == ["100 True"]


@pytest.mark.parametrize("most", ["1", "2"])
def test_threads_that_numba_does_not_have_are_not_needed(most):
    code = "print(train(threads=3) == train(threads=1), started())"
    assert finish(start(code, NUMBA_NUM_THREADS=most)) == ["True True"]


# Ctrl-C

INTERRUPTED = """
way, threads = sys.argv[1], int(sys.argv[2])
net = network() if threads > 1 else fb.mlp([64, 16, 10], dropout=0.1)
other = fb.mlp([64, net.layers[0].features, 10], dropout=0.1)
trainer = fb.Trainer(net, batch_size=128, threads=threads)
fb.Trainer(fb.mlp([64, net.layers[0].features, 10]), batch_size=128, threads=threads).run(X, y, 2)  # loads all code
print("running", flush=True)
try:
    if way == "run":
        trainer.run(X, y, 10**9)
    else:
        trainer.fit(X, y, epochs=10**9)
except KeyboardInterrupt:
    print(time.time())
done = trainer.steps_done
again = fb.Trainer(other, batch_size=128, threads=threads)
again.run(X, y, done)
print(done > 0, bool(np.isfinite(net.flat).all()), net.flat.tobytes() == other.flat.tobytes())
print(trainer.run(X, y, 5).loss == again.run(X, y, 5).loss, net.flat.tobytes() == other.flat.tobytes())
"""


@posix
@pytest.mark.parametrize(("way", "threads"), [("run", "1"), ("run", "2"), ("fit", "2")])
def test_ctrl_c_is_answered_at_once_and_between_two_steps(way, threads):
    process = start(INTERRUPTED, way, threads)
    assert process.stdout.readline() == "running\n"
    time.sleep(0.4)  # long enough to be in the middle of compiled code
    begun = time.time()
    process.send_signal(signal.SIGINT)
    answered, state, after = finish(process)
    assert float(answered) - begun < 1.0
    assert state == "True True True"
    assert after == "True True"
