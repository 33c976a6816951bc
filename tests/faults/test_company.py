"""What else happens in the process: callbacks that train, errors and signals anywhere, threads, event loops, other
threading layers and masks. What is trained has the bits that it has alone.

Forks and pools of processes are in `test_forks.py`, what readers see beside a writer in `test_torn.py`.
"""

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from tests.faults.server import WHOLE

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((96, 6)).astype("f4"), np.arange(96) % 3
WORDS = {"ema": 0.9, "clip_norm": 1.0, "accumulate": 2}


def trainer(seed=1, threads=1, **words):
    net = fb.Network([fb.Linear(12), fb.BatchNorm(), fb.Tanh(), fb.Dropout(0.1), fb.Linear(3)], inputs=6, seed=seed)
    return fb.Trainer(net, batch_size=16, threads=threads, **words)


def digest(of):
    """All that the next step of a trainer depends on, but for its place."""
    averages = [of.averaged.flat] if "ema" in repr(of._given) or of._average is not None else []
    numbers = [*of.net.arrays().values(), *averages]
    return of.steps_done, hashlib.sha256(b"".join(a.tobytes() for a in numbers)).hexdigest()[:12]


# Callbacks that use the trainer they are called by


def at_epoch(number, call):
    """A callback that does something once."""

    def hook(trainer, history):
        if len(history.loss) == number:
            call(trainer)

    return hook


def fit_inside(depth):
    """A fit whose callback fits, and so on."""
    return lambda t: t.fit(X[:40], Y[:40], 2, callbacks=[at_epoch(1, fit_inside(depth - 1))] if depth else [])


NESTED = {
    "step": lambda t: t.step(X[:16], Y[:16]),
    "run": lambda t: t.run(X, Y, 3),
    "run-on-other-rows": lambda t: t.run(X[:30], Y[:30], 3),
    "fit": fit_inside(0),
    "fit-in-fit": fit_inside(1),
    "five-fits-deep": fit_inside(4),
    "predict": lambda t: (t.net.predict(X), t.averaged.predict(X)),
    "evaluate": lambda t: t.net.evaluate(X, Y),
    "gradients": lambda t: t.net.loss_and_gradients(X, Y, training=True),
    "assign": lambda t: setattr(t.net, "flat", 0.5 * t.net.flat),
    "assign-an-average": lambda t: setattr(t.averaged, "flat", 0.5 * t.averaged.flat),
    "rate": lambda t: setattr(t, "optimizer", fb.Adam(1e-2)),
    "snapshot": lambda t: t.restore(t.snapshot()),
    "another": lambda t: trainer(5, ema=0.5).fit(X, Y, 2),
}
HARMLESS = ("predict", "evaluate", "gradients", "snapshot", "another")


@pytest.mark.parametrize("name", NESTED)
def test_a_callback_may_use_its_trainer_and_the_fit_goes_on(name):
    """As the same calls do one after another: a pass that is left begins anew with the next."""
    nested = trainer(**WORDS)
    nested.fit(X, Y, 3, callbacks=[at_epoch(2, NESTED[name])])
    flat = trainer(**WORDS)
    flat.fit(X, Y, 2)
    if not name.startswith(("fit", "five")):
        NESTED[name](flat)
        flat.fit(X, Y, 1)
        assert digest(nested) == digest(flat)
    again = trainer(threads=2, **WORDS)
    again.fit(X, Y, 3, callbacks=[at_epoch(2, NESTED[name])])
    assert digest(again) == digest(nested)
    if name in HARMLESS:
        plain = trainer(**WORDS)
        plain.fit(X, Y, 3)
        assert digest(plain) == digest(nested)
    assert all(np.isfinite(array).all() for array in nested.net.arrays().values())


def test_callbacks_that_call_themselves_end_in_one_error_and_training_goes_on():
    deep = trainer()

    def again(t, history):
        t.fit(X, Y, 1, callbacks=[again])

    with pytest.raises(RecursionError):
        deep.fit(X, Y, 1, callbacks=[again])
    assert deep.steps_done % 6 == 0
    other = trainer()
    other.fit(X, Y, deep.steps_done // 6)
    assert digest(deep) == digest(other)
    deep.run(X, Y, 5)
    other.run(X, Y, 5)
    assert digest(deep) == digest(other)


class Odd(BaseException):
    """Nothing that anybody expects."""


ERRORS = [ValueError, MemoryError, StopIteration, GeneratorExit, KeyboardInterrupt, SystemExit, RecursionError]
ERRORS += [asyncio.CancelledError, Odd, fb.DivergedError]


@pytest.mark.parametrize("when", ["begin", "chunk", "epoch", "end"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_whatever_a_callback_raises_comes_out_and_training_goes_on(error, when, monkeypatch):
    monkeypatch.setattr("fastbp.train.calls.Pace.steps", lambda self: 2)

    class Raising(fb.Callback):
        left = {"begin": 1, "chunk": 2, "epoch": 2, "end": 1}[when]

    raised = error("m", 3, "0") if error is fb.DivergedError else error("m")

    def hook(self, *_):
        self.left -= 1
        if self.left == 0:
            raise raised

    setattr(Raising, when, hook)
    broken, whole = trainer(**WORDS), trainer(**WORDS)
    with pytest.raises(error) as info:
        broken.fit(X, Y, 3, callbacks=[Raising()])
    assert info.value is raised
    done = broken.steps_done
    assert done == {"begin": 0, "chunk": 5, "epoch": 6, "end": 9}[when]
    whole.run(X, Y, done)
    assert digest(broken) == digest(whole)
    for each in (broken, whole):
        each.fit(X, Y, 2)
    assert digest(broken) == digest(whole)


# Threads of Python and event loops


def in_threads(*calls):
    """What calls return that begin at once."""
    found, gate = [None] * len(calls), threading.Barrier(len(calls))

    def work(i):
        gate.wait(60)
        try:
            found[i] = calls[i]()
        except BaseException as error:
            found[i] = error

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a thread hangs"
    return found


def fitted(seed, threads=1):
    one = trainer(seed, threads, **WORDS)
    return one.fit(X, Y, 4, validation=(X, Y), metrics=["accuracy"]).val_loss, digest(one)


def test_many_networks_are_trained_at_once_with_the_bits_of_each_alone():
    alone = [fitted(seed) for seed in range(12)]
    assert in_threads(*[lambda seed=seed: fitted(seed, 1 + seed % 3) for seed in range(12)]) == alone
    assert len({bits for _, bits in alone}) == 12


def test_many_threads_ask_a_network_that_trains_and_it_has_the_bits_that_it_has_alone():
    beside, alone = trainer(**WORDS), trainer(**WORDS)
    alone.run(X, Y, 300)
    ended, asked = threading.Event(), []

    def train():
        try:
            while beside.steps_done < 300 or len(asked) < 100:
                if beside.steps_done < 300:
                    beside.run(X, Y, 3)
        finally:
            ended.set()

    def ask(i):
        net = beside.net if i % 2 else beside.averaged
        while not ended.is_set():
            found = (net.predict(X[: 1 + i]), net.evaluate(X, Y), net.jacobian(X[:2]), net.flat)
            assert all(np.isfinite(a).all() for a in found)
            asked.append(i)

    assert in_threads(train, *[lambda i=i: ask(i) for i in range(7)]) == [None] * 8
    assert beside.steps_done == 300
    assert digest(beside) == digest(alone)


def test_one_trainer_that_several_threads_train_takes_one_step_after_another():
    shared, alone = trainer(**WORDS), trainer(**WORDS)
    in_threads(*[lambda: [shared.run(X, Y, 3) for _ in range(20)] for _ in range(4)])
    for _ in range(80):
        alone.run(X, Y, 3)
    assert digest(shared) == digest(alone)


def test_an_event_loop_trains_several_at_once():
    async def main():
        return await asyncio.gather(*[asyncio.to_thread(fitted, seed) for seed in range(6)])

    assert asyncio.run(main()) == [fitted(seed) for seed in range(6)]


def test_a_training_that_is_cancelled_in_an_event_loop_ends_where_it_is_told_to():
    """Cancelling leaves the thread at work, which a callback may end; then the trainer goes on."""
    one, alone = trainer(**WORDS), trainer(**WORDS)
    begun, cancelled = threading.Event(), threading.Event()

    def hook(trainer, history):
        begun.set()
        assert cancelled.wait(60)
        history.stopped = "cancelled"

    async def main():
        task = asyncio.create_task(asyncio.to_thread(one.fit, X, Y, 1000, callbacks=[hook]))
        assert await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(one.step, X[:4], Y[:4]), 0.05)  # waits for its turn
        cancelled.set()

    asyncio.run(main())  # which waits for its threads
    alone.fit(X, Y, 1)
    alone.step(X[:4], Y[:4])
    assert digest(one) == digest(alone)


# Processes of their own: signals, layers, masks


BEGIN = """
import os, signal, sys, threading, time
import numpy as np, fastbp as fb
from tests.faults.test_company import X, Y, digest, trainer, fitted, WORDS
"""


def run(code, *arguments, timeout=120, **variables):
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code, *arguments],
        cwd=ROOT,
        env={**os.environ, "FASTBP_QUIET": "1", **variables},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


# A thread waits until the call is under way and sends the signal; again, should Python have had to ignore it.
INTERRUPTED = """
way, threads, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rows, labels = np.tile(X, (200, 1)), np.tile(Y, 200)
one, alone = trainer(threads=threads, **WORDS), trainer(**WORDS)
expected = one.net.predict(rows).tobytes(), one.net.evaluate(rows, labels)
one.net.loss_and_gradients(rows, labels)
inside, ended = threading.Event(), threading.Event()

def ask(call):
    def asking():
        while True:
            call()
    return asking

calls = {
    "fit": lambda: one.fit(rows, labels, 10**9),
    "run": lambda: one.run(rows, labels, 10**9),
    "step": ask(lambda: one.step(X, Y)),
    "predict": ask(lambda: one.net.predict(rows)),
    "evaluate": ask(lambda: one.net.evaluate(rows, labels)),
    "gradients": ask(lambda: one.net.loss_and_gradients(rows, labels)),
}
trains = way in ("fit", "run", "step")

def interrupt(steps):
    inside.wait()
    while trains and one.steps_done <= steps:
        time.sleep(0.0005)
    while not ended.is_set():
        os.kill(os.getpid(), signal.SIGINT)
        ended.wait(10)

answered = 0
for number in range(times):
    inside.clear()
    ended.clear()
    steps = one.steps_done
    sender = threading.Thread(target=interrupt, args=(steps + number % 3,))
    sender.start()
    try:
        inside.set()
        calls[way]()
    except KeyboardInterrupt:
        ended.set()
        answered += 1
    sender.join()
    if way == "fit":
        alone.fit(rows, labels, 0)
    if way == "step":
        for _ in range(one.steps_done - steps):
            alone.step(X, Y)
    elif trains:
        alone.run(rows, labels, one.steps_done - steps)
same = expected == (one.net.predict(rows).tobytes(), one.net.evaluate(rows, labels))
for each in (one, alone):
    each.run(X, Y, 20)
    each.fit(X, Y, 2)
print(answered, trains or same, digest(one) == digest(alone))
"""


INTERRUPTIONS = [("fit", 2), ("run", 1), ("step", 1), ("predict", 2)]
INTERRUPTIONS += [("fit", 1), ("run", 2), ("evaluate", 2), ("gradients", 2)] if WHOLE else []


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize(("way", "threads"), INTERRUPTIONS)
def test_ctrl_c_again_and_again_leaves_what_goes_on_with_the_right_bits(way, threads):
    times = 100 if WHOLE else 12
    variables = {"FASTBP_NUM_THREADS": str(threads)}
    assert run(INTERRUPTED, way, str(threads), str(times), **variables) == [f"{times} True True"]


LAYER = """
import numba
wide, labels = np.random.default_rng(1).standard_normal((512, 64)).astype("f4"), np.arange(512) % 10
def train(threads):
    net = fb.mlp([64, 300, 10], dropout=0.1)
    fb.Trainer(net, batch_size=128, threads=threads).run(wide, labels, 10)
    return net.flat.tobytes()
"""
SENTENCE = "`NUMBA_THREADING_LAYER` must be one that Numba can load, got `{}`"


@pytest.mark.parametrize("layer", ["omp", "workqueue", "foo", *(["tbb", ""] if WHOLE else [])])
def test_each_threading_layer_gives_the_same_bits_or_a_sentence(layer):
    code = (
        LAYER
        + """
alone = train(1)
try:
    print(train(2) == alone, numba.threading_layer())
except fb.ConfigError as error:
    print(error)
    print(train(1) == alone)
print(fb.mlp([64, 300, 10]).predict(wide, threads=1).shape)
"""
    )
    first, *others = run(code, NUMBA_THREADING_LAYER=layer)
    assert others[-1] == "(512, 10)"
    if first == SENTENCE.format(layer):
        assert layer in ("tbb", "foo", "", "omp")
        assert others[0] == "True"
    else:
        assert first.split()[0] == "True"
        assert first.split()[1] == layer


def test_more_threads_than_processors_give_the_same_bits():
    code = LAYER + "print(len({train(t) for t in (1, 2, 3, 8, 64)}), fb.Trainer(fb.mlp([2, 2])).threads)"
    assert run(code, FASTBP_NUM_THREADS="64") == ["1 64"]


masks = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="masks are Linux's")


@masks
def test_a_mask_of_one_processor_before_the_start_is_one_thread():
    code = """
mask = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, mask[:1])
one = fb.Trainer(fb.mlp([64, 300, 10])).threads
"""
    code += LAYER + "print(one, train(2) == train(1))"
    assert run(code, FASTBP_NUM_THREADS="") == ["1 True"]


@masks
def test_a_mask_that_changes_while_several_threads_train_changes_no_bit():
    code = (
        LAYER
        + """
mask, ended, changed = sorted(os.sched_getaffinity(0)), threading.Event(), 0
alone = train(1)
def change():
    global changed
    while not ended.is_set():
        for processors in (mask[:1], mask[-1:], mask):
            for thread in os.listdir("/proc/self/task"):
                try:
                    os.sched_setaffinity(int(thread), processors)
                except ProcessLookupError:
                    pass
        changed += 1
thread = threading.Thread(target=change)
thread.start()
found = set()
while changed < 20 or len(found) < 1:
    found.add(train(2))
ended.set()
thread.join()
print(found == {alone})
"""
    )
    assert run(code) == ["True"]


def test_workers_of_joblib_train_with_the_same_bits():
    pytest.importorskip("joblib", reason="joblib comes with scikit-learn")
    code = """
import joblib
from tests.faults import test_company
seeds = range(3)
alone = [fitted(seed) for seed in seeds]
for backend in ("loky", "threading"):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        print(joblib.Parallel()(joblib.delayed(test_company.fitted)(seed) for seed in seeds) == alone)
"""
    assert run(code, PYTHONWARNINGS="ignore") == ["True", "True"]


ENVIRONMENT = {
    ("FASTBP_LANES", "7"): "`FASTBP_LANES` must be one of `4`, `8`, `16`, got `7`",
    ("FASTBP_NUM_THREADS", "abc"): "`FASTBP_NUM_THREADS` must be a whole number, got `abc`",
    ("FASTBP_NUM_THREADS", "9" * 5000): "`FASTBP_NUM_THREADS` must be between 1 and 256, got `" + "9" * 100 + "`",
}


@pytest.mark.parametrize(("name", "value"), ENVIRONMENT, ids=lambda text: text[:30])
def test_a_variable_that_cannot_be_used_is_answered_in_a_sentence(name, value):
    code = """
import fastbp as fb, numpy as np
try:
    fb.Trainer(fb.mlp([64, 400, 10]), batch_size=512).run(np.ones((512, 64)), np.arange(512) % 10, 5)
except fb.ConfigError as error:
    print(error)
"""
    variables = {"FASTBP_QUIET": "1", "FASTBP_NUM_THREADS": "2", name: value}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, ENVIRONMENT[name, value]), done.stderr[-2000:]


def test_numba_that_is_told_not_to_compile_computes_the_same_bits():
    code = "print(fitted(1)[1] == ({}, {!r}))".format(*fitted(1)[1])
    assert run(code, NUMBA_DISABLE_JIT="1") == ["True"]
