"""Threads that write parameters beside threads that read them: a reader sees one whole set, and no stale copy."""

import pickle
import sys
import threading
import time

import numpy as np
import pytest

import fastbp as fb

SECONDS = 0.6
X = np.random.default_rng(0).standard_normal((300, 32)).astype("f4")
Y = np.arange(300) % 5


@pytest.fixture(autouse=True)
def _threads_change_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def network():
    return fb.Network([fb.Linear(256), fb.BatchNorm(), fb.ReLU(), fb.Linear(300), fb.ReLU(), fb.Linear(5)], 32, seed=1)


def beside(write, read):
    """What reading gave, again and again, while another thread wrote."""
    found, errors, ended = [], [], threading.Event()

    def writing():
        try:
            while not ended.is_set():
                write()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=writing)
    thread.start()
    try:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until or len(found) < 3:
            found.append(read())
            assert not errors, errors
    finally:
        ended.set()
        thread.join()
    assert not errors, errors
    return found


def saved(net, tmp_path):
    net.save(tmp_path / "net.safetensors")
    return fb.load(tmp_path / "net.safetensors").flat


def joined(arrays, names):
    return np.concatenate([arrays[name].ravel() for name in names])


def snapshot(net, trainer):
    """What a snapshot holds."""
    (_, copy), *_ = trainer.snapshot()._pairs
    return net.parameters.flat(copy)


READERS = {
    "flat": lambda net, trainer, folder: net.flat,
    "arrays": lambda net, trainer, folder: joined(net.arrays(), net.parameters),
    "save": lambda net, trainer, folder: saved(net, folder),
    "pickle": lambda net, trainer, folder: pickle.loads(pickle.dumps(net)).flat,
    "pickled-trainer": lambda net, trainer, folder: pickle.loads(pickle.dumps(trainer)).net.flat,
    "snapshot": lambda net, trainer, folder: snapshot(net, trainer),
}
every_reader = pytest.mark.parametrize("reader", READERS)


@every_reader
def test_what_is_read_beside_assigning_is_one_of_the_sets_that_were_assigned(reader, tmp_path):
    net = network()
    trainer = fb.Trainer(net, threads=1)
    count = net.flat.size
    sets = [np.full(count, value, "f4") for value in (0.25, 0.5)]
    net.flat = sets[0]
    turn = iter(range(2**62))

    def write():
        net.flat = sets[next(turn) % 2]

    found = beside(write, lambda: READERS[reader](net, trainer, tmp_path))
    assert all(np.ptp(flat) == 0.0 and flat.size == count for flat in found)


@pytest.mark.parametrize("through", ["flat", "parameters", "restore"])
def test_a_prediction_beside_assigning_is_one_of_the_sets_that_were_assigned(through):
    net = network()
    trainer = fb.Trainer(net, threads=1)
    weights = [factor * net.parameters["3.weight"] for factor in (1.0, 0.5)]
    sets, expected, kept = [], [], []
    for weight in weights:
        net.parameters["3.weight"] = weight
        sets.append(net.flat)
        expected.append(net.predict(X, threads=1).tobytes())
        kept.append(trainer.snapshot())
    turn = iter(range(2**62))

    def write():
        which = next(turn) % 2
        if through == "flat":
            net.flat = sets[which]
        elif through == "parameters":
            net.parameters["3.weight"] = weights[which]
        else:
            trainer.restore(kept[which])

    found = beside(write, lambda: net.predict(X, threads=1).tobytes())
    assert set(found) <= set(expected)


@every_reader
def test_what_is_read_beside_training_is_what_a_step_left(reader, tmp_path):
    twin, known, trained = network(), {}, []
    other = fb.Trainer(twin, threads=1, optimizer=fb.SGD(lr=1e-3), ema=0.9)
    known[twin.flat.tobytes()] = 0

    def step():
        other.run(X, Y, 1)
        known[twin.flat.tobytes()] = other.steps_done

    net = network()
    trainer = fb.Trainer(net, threads=1, optimizer=fb.SGD(lr=1e-3), ema=0.9)

    def write():
        trainer.run(X, Y, 1)
        trained.append(1)
        if len(trained) > 300:
            time.sleep(0.01)

    found = beside(write, lambda: READERS[reader](net, trainer, tmp_path).tobytes())
    for _ in trained:
        step()
    assert all(flat in known for flat in found)


def test_the_average_beside_training_is_what_a_step_left():
    def trained():
        return fb.Trainer(network(), threads=1, optimizer=fb.SGD(lr=1e-3), ema=0.9, frozen=["3"])

    trainer, twin, steps = trained(), trained(), []

    def write():
        trainer.run(X, Y, 1)
        steps.append(1)
        if len(steps) > 300:
            time.sleep(0.01)

    found = beside(write, lambda: trainer.averaged.flat.tobytes())
    known = {twin.averaged.flat.tobytes()}
    for _ in steps:
        twin.run(X, Y, 1)
        known.add(twin.averaged.flat.tobytes())
    assert set(found) <= known


def test_no_assignment_of_two_threads_is_lost_and_no_transposed_copy_stays_stale():
    net = network()
    weights = [factor * net.parameters["3.weight"] for factor in (1.0, 0.5, 0.25)]
    u = np.ones((300, 5), "f4")
    versions, turn = net.parameters.version, iter(range(2**62))
    done = []

    def assign():
        net.parameters["3.weight"] = weights[next(turn) % 3]
        done.append(1)

    expected = []
    for weight in weights:
        net.parameters["3.weight"] = weight
        expected.append(net.vjp(X, u).tobytes())
    helper_ended = threading.Event()

    def helper():
        while not helper_ended.is_set():
            assign()

    thread = threading.Thread(target=helper)
    thread.start()
    try:
        found = beside(assign, lambda: net.vjp(X, u).tobytes())
    finally:
        helper_ended.set()
        thread.join()
    assert set(found) <= set(expected)
    assert net.parameters.version == versions + len(weights) + len(done)
    again = pickle.loads(pickle.dumps(net))
    assert again.vjp(X, u).tobytes() == net.vjp(X, u).tobytes()
