"""Forks beside threads that load, compile, train and predict: a child ends, with the right bits or `ForkError`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are POSIX's")

BEGIN = """
import hashlib, os, signal, sys, threading, time
import numpy as np, fastbp as fb
from fastbp.errors import ForkError

rng = np.random.default_rng(0)
X, y = rng.standard_normal((256, 16)).astype("f4"), np.arange(256) % 4

def network():
    return fb.mlp([16, 24, 4], seed=3)

def digest(net):
    return hashlib.sha256(net.flat.tobytes()).hexdigest()[:8]

def train(net=None):
    net = net or network()
    loss = fb.Trainer(net, batch_size=32, threads=1).run(X, y, 10).loss[-1]
    return digest(net), loss, float(net.predict(X[:3]).sum())

def in_a_child(call):
    "What a call gives in a fork; the alarm ends a child that hangs."
    out, into = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(30)
        try:
            answer = str(call())
        except ForkError as error:
            answer = f"ForkError: {error}"
        except BaseException as error:
            answer = f"wrong: {type(error).__name__}: {error}"
        os.write(into, answer.encode())
        os._exit(0)
    os.close(into)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(out) as found:
        return found.read() if status == 0 else f"wrong: the child ended with {status}"

class Beside:
    "A thread that does something again and again."
    def __init__(self, call):
        self.ended, self.errors, self.count = False, [], 0
        self.thread = threading.Thread(target=self.run, args=(call,))
    def run(self, call):
        try:
            while not self.ended:
                call()
                self.count += 1
        except BaseException as error:
            self.errors.append(error)
    def __enter__(self):
        self.thread.start()
        return self
    def __exit__(self, *error):
        self.ended = True
        self.thread.join()
        assert not self.errors, self.errors
"""
IN_USE = "worked on this {}, which may be half written here"


def run(code, timeout=240, **variables):
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        cwd=ROOT,
        env={**os.environ, "FASTBP_QUIET": "1", **variables},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_fork_while_another_thread_imports_loads_and_trains_for_the_first_time():
    code = """
delays = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9]
thread = threading.Thread(target=train)
begun = time.monotonic()
thread.start()
found = []
for delay in delays:
    time.sleep(max(0.0, begun + delay - time.monotonic()))
    found.append(in_a_child(train))
thread.join()
expected = str(train())
print(*[answer for answer in found if answer != expected], sep="\\n")
"""
    assert run(code) == [""]


def test_a_fork_while_another_thread_compiles_into_an_empty_folder(tmp_path):
    code = """
from fastbp.engine.compiler import compilations
def look():
    X, y = [[1, 2], [3, float("nan")]], [0, 1]
    try:
        fb.mlp([2, 3, 3]).loss_and_gradients(X, y)
    except fb.DataError as error:
        return str(error)
thread = threading.Thread(target=look)
thread.start()
found = []
while thread.is_alive() or not found:
    found.append(in_a_child(look))
    time.sleep(0.2)
thread.join()
print(len(found), set(found) == {look()}, set(found))
print(*compilations())
"""
    first, second = run(code, FASTBP_CACHE_DIR=str(tmp_path))
    assert first.split()[1] == "True", first
    assert "scan_reals-float32" in second.split()  # a child may have been faster with the others


def test_a_fork_while_another_thread_compiles_something_else_with_numba():
    code = """
import numba
network().predict(X)
def compiled():
    numba.njit(lambda x: x * 2 + 1)(3)
expected = str(train())
with Beside(compiled) as beside:
    found = [in_a_child(train) for _ in range(4)]
print(set(found) == {expected}, set(found), beside.count > 0)
"""
    found = run(code)
    assert found[0].split()[0] == "True", found


def test_another_network_works_in_a_child_whose_parent_trains_and_the_one_that_is_trained_is_whole_or_refused():
    code = """
expected = str(train())
net = fb.mlp([16, 256, 256, 4], seed=3)
trainer = fb.Trainer(net, batch_size=64, threads=1)
twin = fb.mlp([16, 256, 256, 4], seed=3)
with Beside(lambda: trainer.run(X, y, 3)) as beside:
    others = [in_a_child(train) for _ in range(15)]
    same = [in_a_child(lambda: (net.predict(X[:1]), digest(net))[1]) for _ in range(25)]
    trainers = [in_a_child(lambda: trainer.step(X, y)) for _ in range(5)]
other = fb.Trainer(twin, batch_size=64, threads=1)
known = {digest(twin)}
for _ in range(trainer.steps_done):
    other.run(X, y, 1)
    known.add(digest(twin))
print(set(others) == {expected})
print(all(found in known or found.startswith("ForkError") for found in same), len(same))
print({found for found in same if found not in known and not found.startswith("ForkError")})
print(next((found for found in same if found.startswith("ForkError")), "none"))
print(trainers[0])
print(trainer.step(X, y) > 0)
"""
    found = run(code)
    assert found[0] == "True"
    assert found[1] == "True 25"
    assert found[2] == "set()"
    assert IN_USE.format("trainer") in "\n".join(found)
    assert found[-1] == "True"


def test_a_network_that_another_thread_only_asks_works_in_a_child():
    code = """
net, rows = fb.mlp([16, 400, 400, 4], seed=3), np.ones((4000, 16), "f4")
def ask():
    return [hashlib.sha256(a.tobytes()).hexdigest()[:8] for a in (net.predict(rows, threads=1), net.jacobian(X[:2]))]
expected = str(ask())
with Beside(ask):
    found = [in_a_child(ask) for _ in range(15)]
print(set(found) == {expected}, set(found))
"""
    (found,) = run(code)
    assert found.startswith("True"), found


def test_a_network_that_was_half_written_stays_refused_in_a_child_of_the_child():
    code = """
net = network()
begun, go_on = threading.Event(), threading.Event()
def write():
    with net.parameters.changing():
        begun.set()
        go_on.wait()
thread = threading.Thread(target=write)
thread.start()
begun.wait()
calls = {
    "predict": lambda: net.predict(X[:1]), "flat": lambda: net.flat, "read": lambda: net.parameters["0.bias"],
    "write": lambda: net.parameters.set_flat(np.zeros(net.parameters.count)), "save": lambda: net.save("/dev/null"),
    "train": lambda: fb.Trainer(net).step(X[:4], y[:4]), "grandchild": lambda: in_a_child(lambda: net.flat),
}
for name, call in calls.items():
    print(name, in_a_child(call).splitlines()[0])
go_on.set()
thread.join()
print(in_a_child(lambda: train(net)) == str(train(net)))
"""
    *found, after = run(code)
    message = (
        "ForkError: this process was forked while another thread of its parent worked on this network, which may be"
        " half written here"
    )
    assert {line.split(" ", 1)[1] for line in found} == {message}
    assert len(found) == 7
    assert after == "True"


def test_a_thread_forks_and_a_callback_forks_and_both_sides_go_on():
    code = """
found = []
expected = str(train())
thread = threading.Thread(target=lambda: found.append(in_a_child(train)))
thread.start()
thread.join()
net = network()
trainer = fb.Trainer(net, batch_size=32, threads=1)
def fork(trainer, history):
    if len(history.loss) == 2:
        found.append(in_a_child(lambda: (trainer.run(X, y, 4), digest(net))[1]))
        found.append((trainer.run(X, y, 4), digest(net))[1])
trainer.fit(X, y, 3, callbacks=[fork])
print(found[0] == expected, found[1] == found[2], trainer.steps_done)
"""
    assert run(code) == ["True True 28"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes_work_beside_a_thread_that_trains(method, tmp_path):
    code = """
if __name__ == "__main__":
    import concurrent.futures, multiprocessing
    method = sys.argv[1]
    if method not in multiprocessing.get_all_start_methods():
        print("True True")
        sys.exit()
    context = multiprocessing.get_context(method)
    expected = train()
    trainer = fb.Trainer(network(), threads=1)
    with Beside(lambda: trainer.run(X, y, 50)):
        with context.Pool(1) as pool:
            first = pool.map_async(train, [None] * 2).get(60)
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            second = [f.result(60) for f in [pool.submit(train) for _ in range(2)]]
    print(set(first) == {expected}, set(second) == {expected})
"""
    file = tmp_path / "main.py"
    file.write_text(BEGIN + code)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(file), method],
        env={**os.environ, "PYTHONPATH": path, "FASTBP_QUIET": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True"]


def test_a_fork_does_not_wait_for_ever_and_its_child_has_no_use_for_machine_code_then():
    code = """
from fastbp.engine import forks
forks.PATIENCE = 0.5
expected = str(train())
begun, go_on = threading.Event(), threading.Event()
def compile_long():
    with forks.CODE:
        begun.set()
        go_on.wait()
thread = threading.Thread(target=compile_long)
thread.start()
begun.wait()
before = time.monotonic()
print(in_a_child(train).splitlines()[0])
print(time.monotonic() - before < 10.0)
go_on.set()
thread.join()
print(in_a_child(train) == expected)
"""
    assert run(code) == [
        "ForkError: this process was forked while another thread of its parent worked on its machine code, which may be"
        " half written here",
        "True",
        "True",
    ]


@pytest.mark.parametrize("held", ["CODE", "IMPORTS"])
def test_ctrl_c_while_a_fork_waits_leaves_no_lock_held_on_either_side(held):
    code = f"""
from fastbp.engine import forks
expected = train()
main, holds, told = threading.main_thread().ident, threading.Event(), threading.Event()
def waits():
    frame = sys._current_frames()[main]
    while frame is not None and frame.f_code.co_name != "_before":
        frame = frame.f_back
    return frame is not None
def hold():
    with forks.{held}:
        holds.set()
        while not waits():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)
        told.wait()
other = threading.Thread(target=hold)
other.start()
holds.wait()
out, into = os.pipe()
try:
    child = os.fork()
    if not child:
        signal.alarm(30)
        try:
            os.write(into, str(train()).encode())
        except ForkError:
            os.write(into, b"ForkError")
        os._exit(0)
    for _ in range(10000):
        time.sleep(0.001)
except KeyboardInterrupt:
    print("interrupted")
os.close(into)
status = os.waitstatus_to_exitcode(os.wait()[1])
print(status, os.fdopen(out).read() in ("ForkError", str(expected)))
told.set()
other.join()
taken = []
third = threading.Thread(target=lambda: taken.extend(one.acquire(timeout=5) for one in (forks.CODE, forks.IMPORTS)))
third.start()
third.join()
print(taken)
"""
    assert run(code) == ["interrupted", "0 True", "[True, True]"]


def test_the_checks_of_this_file_see_a_child_that_hangs():
    code = """
lock = threading.Lock()
lock.acquire()
signal.alarm = lambda seconds, alarm=signal.alarm: alarm(1)
print(in_a_child(lock.acquire))
"""
    assert run(code) == [f"wrong: the child ended with {-signal.SIGALRM}"]
