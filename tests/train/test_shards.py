"""Shards: sums are trees over runs of rows, and any number of ranks that do them together has the same bits."""

import threading
from itertools import pairwise

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, DivergedError
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.spec.coded import Coded

ROWS, INPUTS, CLASSES = 300, 12, 3


class Others:
    """What ranks in threads of one process have in common."""

    def __init__(self, count):
        self.barrier, self.told = threading.Barrier(count, timeout=60), [None] * count


class Threads:
    """A rank that is a thread."""

    def __init__(self, others, rank):
        self.others, self.rank, self.count = others, rank, len(others.told)

    def all_of(self, array):
        self.others.told[self.rank] = array.copy()
        self.others.barrier.wait()
        found = [each.copy() for each in self.others.told]
        self.others.barrier.wait()
        return found

    def room(self, size, user):
        return 0

    def add(self, sums):
        parts = self.all_of(sums)
        while len(parts) > 1:
            parts = [a + b for a, b in zip(parts[::2], parts[1::2], strict=True)]
        sums[:] = parts[0]

    def largest(self, numbers):
        numbers[:] = np.max(self.all_of(numbers), axis=0)


class Ranked(fb.Trainer):
    """A trainer whose plans have ranks."""

    ranks = None

    def _plan(self, rows, counts=()):
        blocks = self.net.parameters.block, self.net.states.block
        words = {"loss": self._loss, "update": self._update, "training": True, "counts": counts}
        return BatchPlan(
            self.net.graph, *blocks, self.threads, batch=rows, shards=self._shards, ranks=self.ranks, **words
        )


def data(kind):
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(ROWS, INPUTS)).astype("f"), rng.integers(0, CLASSES, ROWS)
    if kind == "embedding":
        X[:, 0], X[:, 5] = rng.integers(0, 7, ROWS), rng.integers(0, 40, ROWS)
    if kind in CODED:
        X[:, 0], X[:, 2] = rng.integers(0, 7, ROWS), rng.integers(0, 40, ROWS)
        X = Coded(np.ascontiguousarray(X[:, :3]), (6, 0, 39))
    return (np.asarray(X) if kind == "in full" else X), y


CODED = {"codes", "in full"}


def shared():
    x = fb.Input(INPUTS)
    first, again = fb.Linear(INPUTS), fb.Linear(CLASSES)
    return fb.Network(inputs=x, outputs=again(first(fb.ReLU()(first(x)))), seed=1)


NETWORKS = {
    "chain": lambda: fb.mlp([INPUTS, 33, 17, CLASSES], seed=1),
    "norms": lambda: fb.Network(
        [fb.Linear(40), fb.BatchNorm(), fb.ReLU(), fb.Dropout(0.3), fb.Linear(17), fb.BatchNorm(), fb.Linear(CLASSES)],
        inputs=INPUTS,
        seed=1,
    ),
    "columns": lambda: fb.Network(
        [fb.Scale(), fb.Linear(33), fb.PReLU(), fb.LayerNorm(), fb.PReLU(per_feature=True), fb.Linear(CLASSES)],
        inputs=INPUTS,
        seed=1,
    ),
    "embedding": lambda: fb.Network(
        [fb.Embedding({0: (7, 3), 5: (40, 4)}), fb.Linear(20), fb.Tanh(), fb.Linear(CLASSES)], inputs=INPUTS, seed=1
    ),
    "members": lambda: fb.Network(
        [fb.PBLD([0, 1, 2]), fb.Members(3, "softmax"), fb.AdaptedLinear(16), fb.ReLU(), fb.MemberLinear(CLASSES)],
        inputs=INPUTS,
        seed=1,
    ),
    "shared": shared,
}


def trained(kind, shards, ranks=1, threads=1, epochs=2, batch=64, **settings):
    """Parameters, statistics, average and losses after some epochs, of each rank."""
    found, failures, others = [None] * ranks, [], Others(ranks)
    X, y = data(kind)

    def go(rank):
        try:
            net = fb.mlp([46, 19, CLASSES], seed=1) if kind in CODED else NETWORKS[kind]()
            trainer = Ranked(net, batch_size=batch, threads=threads, shards=shards, seed=3, **settings)
            trainer.ranks = Threads(others, rank) if ranks > 1 else None
            history = trainer.fit(X, y, epochs=epochs)
            parts = [net.flat, net.states.flat(), *([trainer.averaged.flat] if "ema" in settings else [])]
            found[rank] = [np.array(part) for part in parts] + [np.array(history.loss)]
        except BaseException as error:
            failures.append(error)
            others.barrier.abort()

    workers = [threading.Thread(target=go, args=(rank,)) for rank in range(ranks)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise next((e for e in failures if not isinstance(e, threading.BrokenBarrierError)), failures[0])
    return found


def same(some, others):
    return all(a.tobytes() == b.tobytes() for a, b in zip(some, others, strict=True))


SETTINGS = {
    "adam": {},
    "lion": {"optimizer": "lion"},
    "clipped": {"optimizer": "adam", "clip_norm": 0.05},
    "accumulated": {"optimizer": "sgd", "accumulate": 2, "ema": 0.9},
    "penalised": {"penalty": "1e-3 * abs(w)"},
    "muon": {"optimizer": "muon"},
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_any_number_of_ranks_has_the_same_bits(kind, settings):
    (alone,) = trained(kind, 4, **SETTINGS[settings])
    for ranks in (2, 4):
        for one in trained(kind, 4, ranks, **SETTINGS[settings]):
            assert same(one, alone)


@pytest.mark.parametrize("kind", NETWORKS)
def test_any_number_of_threads_has_the_same_bits(kind):
    (alone,) = trained(kind, 8)
    assert same(trained(kind, 8, threads=2)[0], alone)
    assert all(same(one, alone) for one in trained(kind, 8, 2, threads=2))


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 7, 64])
def test_short_batches_leave_shards_empty(rows):
    """The last batch of an epoch has fewer rows than there are shards, so that some ranks have none."""
    words = {"batch": ROWS - rows, "epochs": 2}
    for kind in ("norms", "embedding"):
        (alone,) = trained(kind, 8, **words)
        assert all(same(one, alone) for one in trained(kind, 8, 8, **words))
        assert np.isfinite(alone[0]).all()


@pytest.mark.parametrize("shards", [2, 4, 8, 16])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_a_tree_of_the_sums_of_runs_of_rows(shards, dtype):
    rng = np.random.default_rng(shards)
    X, y = rng.normal(size=(53, 6)).astype(dtype), rng.normal(size=(53, 2)).astype(dtype)
    net = fb.mlp([6, 19, 2], activation="tanh", seed=2, dtype=dtype)
    cuts = [53 * i // shards for i in range(shards + 1)]
    loss = fb.MSE(reduction="sum")
    parts = [
        [g.copy() for g in net.loss_and_gradients(X[a:b], y[a:b], loss=loss)[1].values()] for a, b in pairwise(cuts)
    ]
    while len(parts) > 1:
        parts = [[g + h for g, h in zip(a, b, strict=True)] for a, b in zip(parts[::2], parts[1::2], strict=True)]
    before = {name: np.array(p) for name, p in net.parameters.items()}
    trainer = fb.Trainer(net, loss=loss, optimizer=fb.SGD(lr=1.0), batch_size=53, threads=1, shards=shards)
    trainer.step(X, y)
    for (name, p), g in zip(before.items(), parts[0], strict=True):
        assert (np.asarray(net.parameters[name]) == p - g).all()


def test_one_shard_is_the_sum_of_all_rows_and_several_are_another():
    (plain,), (one,), (four,) = trained("chain", 1), trained("chain", 1, threads=2), trained("chain", 4)
    assert same(plain, one)
    assert not same(plain, four)
    np.testing.assert_allclose(plain[0], four[0], rtol=2e-3, atol=2e-4)


def test_what_is_not_finite_is_found_alike():
    def fails(ranks):
        with pytest.raises(DivergedError) as found:
            trained("chain", 4, ranks, optimizer=fb.SGD(lr=1e38), epochs=3)
        return str(found.value)

    assert fails(1) == fails(2) == fails(4)


@pytest.mark.parametrize("way", ["run", "step"])
def test_what_goes_wrong_between_ranks_ends_the_step(way):
    X, y = data("chain")
    net = NETWORKS["chain"]()
    trainer = Ranked(net, batch_size=64, threads=1, shards=4, seed=3)

    class Broken(Threads):
        broken = False

        def add(self, sums):
            if self.broken and len(sums) > 1:  # the loss comes through
                raise ConnectionError("no route to the other ranks")

        def largest(self, numbers):
            pass

    def step():
        return trainer.run(X, y, steps=1) if way == "run" else trainer.step(X[:64], y[:64])

    trainer.ranks = Broken(Others(2), 0)
    for _ in range(3):
        step()
    trainer.ranks.broken = True
    before = net.flat.copy()
    for _ in range(2):
        with pytest.raises(ConnectionError, match="no route"):
            step()
        assert (net.flat == before).all()
        assert trainer.steps_done == 3
    trainer.ranks.broken = False
    step()
    assert trainer.steps_done == 4


@pytest.mark.parametrize("shards", [0, -2, 3, 12, 8192])
def test_shards_are_a_power_of_two(shards):
    with pytest.raises(ConfigError, match="shards"):
        fb.Trainer(NETWORKS["chain"](), shards=shards)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_rows_with_codes_are_summed_as_rows_in_full(ranks):
    (full,) = trained("in full", 4)
    for one in trained("codes", 4, ranks):
        assert same(one, full)
