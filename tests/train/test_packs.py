"""Packs: every member has the bits that it would have alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine.threads import processors
from fastbp.kernels.levels import level
from fastbp.train.calls import CALL_SECONDS
from fastbp.train.catalogue import OPTIMIZERS
from fastbp.train.checkpoints import load_state, state_of
from tests.train.packs import CHAINS, CLASSES, INPUTS, ROWS, SETTINGS, data, digest, networks, samples, trained

ROOT = Path(__file__).parents[2]
QUIET = {**os.environ, "FASTBP_QUIET": "1"}
LANES = level().lanes


def alone(settings: dict[str, Any], i: int, net: fb.Network) -> tuple[fb.Trainer, Any]:
    """The trainer of one member, and the rows that it trains on."""
    own = {name: value[i] if isinstance(value, list) else value for name, value in settings.items()}
    rows = own.pop("rows", np.arange(ROWS))
    return fb.Trainer(net, threads=1, **own), rows


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", SETTINGS)
def test_members_have_the_bits_of_networks_that_are_trained_alone(name: str, threads: int) -> None:
    X, y = data()
    settings = SETTINGS[name]
    pack = fb.Pack(networks(), threads=threads, **settings)
    losses = pack.run(X, y, steps=37)
    histories = pack.fit(X, y, epochs=3)
    last = pack.step(X[:11], y[:11])
    for i, net in enumerate(networks()):
        trainer, rows = alone(settings, i, net)
        first = trainer.run(X[rows], y[rows], steps=37)
        history = trainer.fit(X[rows], y[rows], epochs=3)
        assert trainer.step(X[:11], y[:11]) == last[i]
        assert digest(net) == digest(pack.members[i]), f"member {i}"
        assert digest(trainer.evaluated) == digest(pack.evaluated[i])
        assert losses[i] == first.loss[-1]
        assert histories[i].loss == history.loss
        assert histories[i].lr == history.lr
        assert (histories[i].steps, histories[i].samples) == (history.steps, history.samples)


def test_weights_of_rows_and_classes_go_with_the_rows_of_each() -> None:
    X, y = data()
    weights, rows = np.random.default_rng(2).uniform(0.1, 3.0, size=ROWS), samples()
    loss = fb.CrossEntropy(class_weights={0: 3.0, 2: 0.5}, label_smoothing=0.1)
    pack = fb.Pack(networks(), loss=loss, batch_size=16, rows=rows, threads=2)
    losses = pack.run(X, y, 30, sample_weight=weights)
    pack.fit(X, y, 2, sample_weight=weights, validation=(X, y, weights), patience=1)
    for i, net in enumerate(networks()):
        trainer = fb.Trainer(net, loss=loss, batch_size=16, threads=1)
        own = X[rows[i]], y[rows[i]]
        assert trainer.run(*own, 30, sample_weight=weights[rows[i]]).loss[-1] == losses[i]
        stop = fb.EarlyStopping(1)
        trainer.fit(*own, 2, (X, y, weights), [stop], sample_weight=weights[rows[i]])
        assert digest(net) == digest(pack.members[i]), f"member {i}"


@pytest.mark.parametrize("weight", ["balanced", {1: 3.0, 2: 0.25}])
@pytest.mark.parametrize("own_rows", [False, True])
def test_weights_by_class_are_those_of_the_rows_of_each(own_rows: bool, weight: Any) -> None:
    """In training only: the loss on held-out rows has none."""
    X, y = data()
    rows = [*samples()[:4], np.flatnonzero(y > 0)]
    held_out = [np.arange(i, ROWS, 5) for i in range(5)]
    pack = fb.Pack(networks(), batch_size=16, rows=rows if own_rows else None, threads=2)
    histories = pack.fit(X, y, 3, sample_weight=weight, validation_rows=held_out)
    for i, net in enumerate(networks()):
        own = rows[i] if own_rows else np.arange(ROWS)
        validation = X[held_out[i]], y[held_out[i]]
        trainer = fb.Trainer(net, batch_size=16, threads=1)
        found = trainer.fit(X[own], y[own], 3, validation, sample_weight=weight)
        assert (histories[i].loss, histories[i].val_loss) == (found.loss, found.val_loss)
        assert digest(net) == digest(pack.members[i]), f"member {i}"


def test_a_class_that_a_member_has_no_row_of_may_have_a_weight() -> None:
    X, y = data()
    rows = np.flatnonzero(y > 0)
    pack, same = (fb.Pack(networks()[:1], rows=[rows]) for _ in range(2))
    pack.fit(X, y, 2, sample_weight={0: 7.0, 1: 3.0})
    same.fit(X, y, 2, sample_weight={1: 3.0})
    assert digest(pack.members[0]) == digest(same.members[0])


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_optimizer_has_the_same_bits_in_a_pack(kind: str, dtype: str) -> None:
    X, y = data()
    pack = fb.Pack(networks(dtype), optimizer=kind, batch_size=20, threads=2)
    pack.run(X, y, steps=30)
    for i, net in enumerate(networks(dtype)):
        fb.Trainer(net, optimizer=kind, batch_size=20, threads=1).run(X, y, steps=30)
        assert digest(net) == digest(pack.members[i]), f"member {i}"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("own_rows", [False, True])
def test_members_leave_when_their_patience_is_over_and_the_others_go_on(own_rows: bool, threads: int) -> None:
    X, y = data()
    held, patience = np.arange(100, ROWS), [1, 2, None, 3, 5]
    chosen = [np.arange(i, ROWS, 5) for i in range(5)]
    settings: dict[str, Any] = {"batch_size": 16, "optimizer": fb.Adam(lr=0.05), "ema": [None, 0.5, None, None, 0.9]}
    pack = fb.Pack(networks(), threads=threads, **settings)
    validation: dict[str, Any] = {"validation_rows": chosen} if own_rows else {"validation": (X[held], y[held])}
    histories = pack.fit(
        X[:100] if not own_rows else X, y[:100] if not own_rows else y, 12, patience=patience, **validation
    )
    lengths = {len(history.loss) for history in histories}
    assert len(lengths) > 2, "the members must leave at different times"
    for i, net in enumerate(networks()):
        trainer, _ = alone(settings, i, net)
        rows, held_out = (np.arange(ROWS), chosen[i]) if own_rows else (np.arange(100), held)
        stop = [] if patience[i] is None else [fb.EarlyStopping(patience[i])]
        found = trainer.fit(X[rows], y[rows], 12, validation=(X[held_out], y[held_out]), callbacks=stop)
        assert digest(net) == digest(pack.members[i]), f"member {i}"
        assert histories[i].loss == found.loss
        assert histories[i].val_loss == found.val_loss
        assert histories[i].stopped == found.stopped
        assert (histories[i].steps, histories[i].samples) == (found.steps, found.samples)


def test_without_validation_patience_watches_the_training_loss() -> None:
    X, y = data()
    pack = fb.Pack(networks(), optimizer=fb.Adam(lr=0.3), threads=2)
    histories = pack.fit(X, y, 20, patience=2)
    for history, net in zip(histories, networks(), strict=True):
        stop = fb.EarlyStopping(2, monitor="loss")
        found = fb.Trainer(net, optimizer=fb.Adam(lr=0.3), threads=1).fit(X, y, 20, callbacks=[stop])
        assert (history.loss, history.stopped) == (found.loss, found.stopped)
    assert any(history.stopped for history in histories)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_member_that_diverges_stops_alone_and_says_so(threads: int) -> None:
    X, y = data()
    targets = np.eye(CLASSES)[y]
    rates = [0.01, 1e30, 0.02, 0.01, 0.01]
    settings = {"loss": "mse", "optimizer": [fb.SGD(lr) for lr in rates]}
    pack = fb.Pack(networks(), threads=threads, **settings)  # type: ignore[arg-type]
    with pytest.warns(RuntimeWarning) as said:
        losses = pack.run(X, targets, steps=50)
    with pytest.warns(RuntimeWarning) as said_of_fit:
        fb.Pack(networks(), loss="mse", optimizer=fb.SGD(1e30)).fit(X, targets, epochs=2)
    assert said_of_fit[0].filename == __file__
    assert str(said_of_fit[0].message).startswith("`members[0]` (and 4 more, see `histories`) stopped: ")
    assert np.isfinite(losses).tolist() == [True, False, True, True, True]
    stops = [history.stopped for history in pack.histories]
    for i, net in enumerate(networks()):
        trainer, _ = alone(settings, i, net)
        if i == 1:
            with pytest.raises(fb.DivergedError) as error:
                trainer.run(X, targets, steps=50)
            assert stops[i] == str(error.value)
            assert [str(one.message) for one in said] == [f"`members[1]` stopped: {error.value}"]
            assert said[0].filename == __file__
        else:
            trainer.run(X, targets, steps=50)
            assert stops[i] == ""
        assert pack.steps_done[i] == trainer.steps_done
        assert digest(net) == digest(pack.members[i]), f"member {i}"


@pytest.mark.parametrize("lanes", [8, 4])
def test_fewer_lanes_give_members_the_same_bits(lanes: int) -> None:
    environment = {**os.environ, "FASTBP_LANES": str(lanes), "FASTBP_QUIET": "1"}
    command = [sys.executable, "-m", "tests.train.packs"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    used, *found = done.stdout.split()
    assert int(used) == min(lanes, LANES)
    assert found == trained()


BUSY = """
import sys
print(flush=True)
while True:
    pass
"""


def test_a_pack_beside_processes_that_take_every_processor_ends_with_the_same_bits() -> None:
    expected = trained()
    others = [subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) for _ in range(processors())]
    try:
        for other in others:
            assert other.stdout
            other.stdout.readline()
        command = [sys.executable, "-m", "tests.train.packs", str(2 * processors())]
        done = subprocess.run(command, cwd=ROOT, env=QUIET, capture_output=True, text=True, timeout=300)
    finally:
        for other in others:
            other.kill()
            other.communicate()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1:] == expected


@pytest.mark.skipif(not hasattr(signal, "SIGPROF"), reason="this system has no timers of processor time")
@pytest.mark.parametrize(("sizes", "members"), [([INPUTS, 64, CLASSES], 40), ([INPUTS, 256, 256, CLASSES], 1)])
def test_ctrl_c_is_answered_after_a_call(sizes: list[int], members: int) -> None:
    """In processor time of both threads, which a busy machine does not lengthen much: half of 20 ms of each, mostly.

    Of many members that take turns, and of one that both threads train.
    """
    X, y = data()
    pack = fb.Pack(fb.mlp(sizes), n=members, threads=2, batch_size=64)
    pack.run(X, y, steps=200)
    before, took = signal.signal(signal.SIGPROF, signal.default_int_handler), []
    try:
        for number in range(9):
            seconds = 0.05 + 0.007 * number  # somewhere in a call
            due = time.process_time() + seconds
            signal.setitimer(signal.ITIMER_PROF, seconds)
            with pytest.raises(KeyboardInterrupt):
                pack.run(X, y, steps=10**9)
            took.append(time.process_time() - due)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert np.median(took) < 2 * 0.05


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupted_pack_goes_on_with_the_same_bits(threads: int) -> None:
    X, y = data()
    pack = fb.Pack(networks(), threads=threads)
    pack.run(X, y, steps=1)
    before, begun = signal.signal(signal.SIGALRM, signal.default_int_handler), time.perf_counter()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            pack.run(X, y, steps=10**9)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.perf_counter() - begun < 5  # 0.3 s where nothing else runs
    done = pack.steps_done
    assert min(done) > 1
    pack.run(X, y, steps=10)
    for i, net in enumerate(networks()):
        fb.Trainer(net, threads=1).run(X, y, steps=done[i] + 10)
        assert digest(net) == digest(pack.members[i]), f"member {i}"


def test_a_call_is_bounded_however_many_members_there_are() -> None:
    """No region does more than its share, once it is known how long a step takes."""
    X, y = data()
    pack = fb.Pack(fb.mlp([INPUTS, 64, CLASSES]), n=40, threads=1)
    pack.run(X, y, steps=200)
    regions: list[float] = []
    learn = pack._turns.learn

    def noted(work: float, seconds: float) -> None:
        regions.append(seconds)
        learn(work, seconds)

    pack._turns.learn = noted  # type: ignore[method-assign]
    pack.run(X, y, steps=2000)
    assert len(regions) > 5
    assert np.median(regions) < 2.5 * CALL_SECONDS


def test_one_network_stands_for_n_of_following_seeds() -> None:
    X, y = data()
    net = fb.Network(CHAINS["dropout"], inputs=INPUTS, seed=2**64 - 2)
    before = digest(net)
    for pack, first in (
        (fb.Pack(net, n=3), net.seed),
        (fb.Pack(net, n=3, seed=11), 11),
        (fb.Pack(net, n=3, seed=[11, 12, 13]), 11),
    ):
        pack.run(X, y, steps=20)
        for i in range(3):
            other = fb.Network(CHAINS["dropout"], inputs=INPUTS, seed=(first + i) % 2**64)
            fb.Trainer(other, threads=1).run(X, y, steps=20)
            assert digest(other) == digest(pack.members[i])
    assert digest(net) == before


def test_a_seed_of_given_networks_counts_on_from_the_first() -> None:
    X, y = data()
    chain = CHAINS["dropout"]
    pack = fb.Pack([fb.Network(chain, inputs=INPUTS, seed=3) for _ in range(3)], seed=20)
    pack.run(X, y, steps=20)
    for i, member in enumerate(pack.members):
        net = fb.Network(chain, inputs=INPUTS, seed=3)
        fb.Trainer(net, seed=20 + i, threads=1).run(X, y, steps=20)
        assert digest(net) == digest(member)


def test_a_member_copies_what_another_has_learned() -> None:
    X, y = data()
    chain = CHAINS["batch norm"]
    settings: dict[str, Any] = {"optimizer": [fb.NAdam(lr=0.01), fb.NAdam(lr=0.02)], "ema": 0.9}
    settings["batch_size"] = [16, 40]  # so that they have taken different numbers of steps

    def made() -> list[fb.Network]:
        return [fb.Network(chain, inputs=INPUTS, seed=seed) for seed in range(2)]

    pack, pair = fb.Pack(made(), threads=2, **settings), [alone(settings, i, net)[0] for i, net in enumerate(made())]
    pack.fit(X, y, epochs=2)
    pack.run(X, y, steps=13)
    pack.copy_member(0, 1)
    pack.optimizers = [fb.NAdam(lr=0.01), fb.NAdam(lr=0.005)]
    assert digest(pack.members[0]) == digest(pack.members[1])
    pack.run(X, y, steps=13)
    for trainer in pair:
        trainer.fit(X, y, epochs=2)
        trainer.run(X, y, steps=13)
    arrays, numbers = state_of(pair[0])
    order, place = state_of(pair[1])[0]["order"], state_of(pair[1])[1]["place"]
    load_state(pair[1], {**arrays, "order": order}, {**numbers, "lr": 0.005, "place": place})
    for i, trainer in enumerate(pair):
        trainer.run(X, y, steps=13)
        assert digest(trainer.net) == digest(pack.members[i])
        assert digest(trainer.averaged) == digest(pack.evaluated[i])


MANY = """
import numpy as np
import fastbp as fb

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

X = np.linspace(-1, 1, 256, dtype=np.float32).reshape(128, 2)
y = X.sum(axis=1, keepdims=True)
fb.Pack(fb.mlp([2, 16, 16, 1]), n=2, loss="mse").run(X, y, steps=1)
before = resident()
pack = fb.Pack(fb.mlp([2, 16, 16, 1]), n=800, loss="mse")
first, last = pack.run(X, y, steps=1), pack.run(X, y, steps=100)
assert (last < first).all()
middle = resident()
V = np.linspace(-2, 2, 1024, dtype=np.float32).reshape(512, 2)
pack.fit(X, y, epochs=2, validation=(V, V.sum(axis=1, keepdims=True)))
print((middle - before) // 800, (resident() - middle) // 800)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the system does not say")
def test_ten_thousand_small_networks_fit_in_two_gigabytes() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "FASTBP_QUIET": "1"}
    done = subprocess.run([sys.executable, "-c", MANY], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    trained, validated = (10_000 * int(number) for number in done.stdout.split())
    assert trained < 2e9
    assert validated < 3e8
