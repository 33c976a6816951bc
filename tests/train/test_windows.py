"""Rows that stay in files: every row once an epoch, in an order of seed and epoch, with the bits of rows in memory."""

import copy

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import CheckpointError, ConfigError, DataError, ShapeError
from fastbp.model import feed as feeds
from fastbp.model.feed import Feed
from fastbp.numerics.windows import Order, permutation
from fastbp.spec.coded import Coded
from fastbp.spec.windows import Source, Windows
from fastbp.train.checkpoints import load_state, state_of

ROWS = 997


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """X and y in memory, and the same in files."""
    folder = tmp_path_factory.mktemp("rows")
    draw = np.random.default_rng(0)
    X = draw.normal(size=(ROWS, 5)).astype(np.float32)
    y = (X[:, :1] * X[:, 1:2]).astype(np.float32)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    return X, y, np.load(folder / "X.npy", mmap_mode="r"), np.load(folder / "y.npy", mmap_mode="r")


def trained(X, y, epochs=3, weights=None, validation=None, **settings):
    net = fb.mlp([X.shape[1], 8, 1], seed=3, dropout=0.1)
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.Adam(lr=0.01), **{"batch_size": 20, **settings})
    history = trainer.fit(X, y, epochs=epochs, sample_weight=weights, validation=validation)
    return net.flat, history.loss, history.val_loss


@pytest.mark.parametrize(("block", "window"), [(3, 1), (7, 3), (64, 4), (100, 2), (5000, 1)])
@pytest.mark.parametrize("unit", [1, 13, 64, 2000])
def test_segments_have_each_row_once_an_epoch_and_cut_no_batch(rows, block, window, unit):
    numbers = np.arange(ROWS, dtype=np.float32)[:, None]
    net = fb.mlp([1, 2, 1], seed=0)
    feed = Feed(net, fb.MSE(), Windows(numbers, block, window), -numbers, None, unit, 5)
    epochs = []
    for epoch in (0, 1):
        at, found = 0, []
        while at < ROWS:
            segment = feed.segment(epoch, at)
            assert segment.first == at
            assert segment.end == ROWS or segment.end % unit == 0
            np.testing.assert_array_equal(segment.x, -segment.targets.array)
            found += segment.x[:, 0].tolist()
            at = segment.end
        assert sorted(found) == numbers[:, 0].tolist()
        epochs.append(found)
    assert epochs[0] != epochs[1]
    # any part is known without the others, from the middle of a segment too
    middle = feed.segment(1, ROWS // 2)
    assert middle.first <= ROWS // 2 < middle.end
    assert middle.x[:, 0].tolist() == epochs[1][middle.first : middle.end]


def test_rows_of_a_window_are_those_of_its_blocks():
    order = Order(1000, 32, 4, 9, 2)
    blocks = order.shuffled()
    assert sorted(blocks.tolist()) == list(range(32))
    starts = order.starts(blocks)
    assert starts[-1] == 1000
    assert order.within(0, 100).tolist() != order.within(1, 100).tolist()
    assert order.within(0, 100).tolist() != Order(1000, 32, 4, 9, 3).within(0, 100).tolist()
    short = int(np.flatnonzero(blocks == 31)[0]) // 4
    assert [int(n) for n in np.diff(starts)] == [128 - 24 * (i == short) for i in range(8)]


def test_a_permutation_is_of_seed_epoch_and_part():
    first = permutation(500, 1, 2, 3)
    assert sorted(first.tolist()) == list(range(500))
    assert first.tolist() == permutation(500, 1, 2, 3).tolist()
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (1 + 2**32, 2, 3)):
        assert first.tolist() != permutation(500, *other).tolist()
    places = np.array([permutation(10, seed, 0, 0)[0] for seed in range(2000)])
    assert np.bincount(places).min() > 150
    # written down: a changed order is a change for users
    assert permutation(12, 0, 0, 0).tolist() == KNOWN


KNOWN = [6, 4, 3, 11, 8, 2, 0, 10, 9, 5, 7, 1]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "settings", [{}, {"accumulate": 3}, {"drop_last": True}, {"batch_size": 300}, {"batch_size": 5000}]
)
def test_rows_in_files_train_as_the_same_in_memory_in_that_order(rows, settings, threads):
    X, y, mapped, targets = rows
    words = {**settings, "threads": threads}
    found = trained(Windows(mapped, 50, 3), targets, **words)
    again = trained(Windows(X, 50, 3), y, **words)
    np.testing.assert_array_equal(found[0], again[0])
    assert found[1] == again[1]


def test_one_window_without_shuffles_is_what_rows_in_memory_are(rows, monkeypatch):
    """Batches, losses and epochs are counted as in memory: with the order of one, the bits of the other."""
    X, y, *_ = rows
    net = fb.mlp([5, 8, 1], seed=3)
    trainer = fb.Trainer(net, loss="mse", batch_size=20)
    trainer.fit(X, y, epochs=1)
    order = trainer._batch_plan._order.astype(np.int64)
    other = fb.mlp([5, 8, 1], seed=3)
    in_order = Windows(np.ascontiguousarray(X[order]), 64, 3)
    monkeypatch.setattr(Feed, "order", lambda feed, epoch: Order(len(feed), 64, 3, None, epoch))
    found = fb.Trainer(other, loss="mse", batch_size=20).fit(in_order, y[order], epochs=1)
    np.testing.assert_array_equal(net.flat, other.flat)
    assert found.steps == 50
    assert found.samples == ROWS


@pytest.mark.parametrize("block", [64, 5000])
def test_the_loss_of_validation_rows_has_the_bits_of_rows_in_memory(rows, block):
    X, y, mapped, targets = rows
    w = np.random.default_rng(1).uniform(size=ROWS)
    plain = trained(X, y, validation=(X, y, w))
    train = trained(X, y, validation=(Windows(mapped, block, 2), targets, w))
    assert plain[2] == train[2]


def test_weights_count(rows):
    _, _, mapped, targets = rows
    w = np.where(np.arange(ROWS) < 500, 0.0, 2.0)
    found = trained(Windows(mapped, 20, 1), targets, weights=w)
    assert found[1] != trained(Windows(mapped, 20, 1), targets)[1]
    assert found[1] == trained(Windows(mapped, 20, 1), targets, weights=1.0 * w)[1]
    same = trained(Windows(mapped, 20, 1), targets, weights=np.ones(ROWS))
    np.testing.assert_array_equal(same[0], trained(Windows(mapped, 20, 1), targets)[0])


def test_codes_stay_codes(rows):
    draw = np.random.default_rng(2)
    narrow = np.column_stack([draw.normal(size=ROWS), draw.integers(0, 13, ROWS)]).astype(np.float32)
    coded = Coded(narrow, (0, 12))
    y = rows[1]
    found = trained(Windows(coded, 50, 3), y, validation=(Windows(coded, 50, 3), y))
    full = np.asarray(coded)
    again = trained(Windows(full, 50, 3), y, validation=(full, y))
    np.testing.assert_allclose(found[1], again[1], rtol=1e-5)
    assert found[2] == trained(Windows(coded, 50, 3), y, validation=(coded, y))[2]


def test_parameters_that_begin_by_rows_begin_by_some_of_them(rows, monkeypatch):
    X, y, mapped, targets = rows

    def begun(X, y):
        net = fb.Network([fb.Linear(8, init="std", bias_init="he5"), fb.ReLU(), fb.Linear(1)], inputs=5, seed=0)
        fb.Trainer(net, loss="mse", optimizer=fb.SGD(lr=1e-9), batch_size=ROWS).fit(X, y)
        return net

    np.testing.assert_allclose(begun(Windows(mapped, 50, 3), targets).flat, begun(X, y).flat, rtol=1e-5)
    monkeypatch.setattr("fastbp.train.stepping.ROWS", 400)
    some = begun(Windows(mapped, 50, 3), targets)
    z = X @ some.parameters["0.weight"]
    np.testing.assert_allclose(z.std(axis=0), 1.0, atol=0.15)
    assert np.abs(z.std(axis=0) - 1.0).max() > 1e-3  # of other rows


class Stop(fb.Callback):
    """Ends a fit within its second epoch, and keeps what goes on."""

    def chunk(self, trainer, history):
        if history.loss and trainer._batch_plan.place[1] > 300:
            self.state, self.history = state_of(trainer), copy.deepcopy(history)
            raise KeyboardInterrupt


@pytest.mark.parametrize("settings", [{}, {"accumulate": 2, "drop_last": True}])
def test_a_fit_goes_on_within_an_epoch(rows, settings, monkeypatch):
    _, _, mapped, targets = rows
    monkeypatch.setattr("fastbp.train.calls.Pace.steps", lambda pace: 3)

    def make():
        net = fb.mlp([5, 8, 1], seed=3, dropout=0.1)
        return net, fb.Trainer(net, loss="mse", batch_size=20, **settings)

    whole, trainer = make()
    wanted = trainer.fit(Windows(mapped, 50, 3), targets, epochs=3)
    stop, (_, trainer) = Stop(), make()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(Windows(mapped, 50, 3), targets, epochs=3, callbacks=[stop])
    net, trainer = make()
    load_state(trainer, *stop.state)
    found = trainer.fit(Windows(mapped, 50, 3), targets, epochs=3, history=stop.history)
    np.testing.assert_array_equal(net.flat, whole.flat)
    assert found.loss == wanted.loss
    _, trainer = make()
    load_state(trainer, *stop.state)
    with pytest.raises(CheckpointError, match="must go on with the windows of rows of its epoch, got 997 rows"):
        trainer.fit(rows[0], rows[1], epochs=3, history=copy.deepcopy(stop.history))


def test_sources_are_read_from_their_files(rows, tmp_path):
    mapped = rows[2]
    for array in (mapped, mapped[100:], mapped[5:50]):
        source = Source(array)
        assert source.path is not None
        out = source.room(7)
        source.read(3, out)
        np.testing.assert_array_equal(out, array[3:10])
        some = np.array([1, 2, 3, 9, 30])
        np.testing.assert_array_equal(source.some(some), array[some])
    assert Source(mapped[::2]).path is None  # in no order of the file
    np.testing.assert_array_equal(Source(mapped[::2]).some(np.array([4, 5])), mapped[8:12:2])
    np.save(tmp_path / "short.npy", rows[0])
    copied = np.load(tmp_path / "short.npy", mmap_mode="c")
    copied[3] = 5.0  # which the file does not have
    np.testing.assert_array_equal(Source(copied).some(np.array([3])), np.full((1, 5), 5.0))
    source = Source(np.load(tmp_path / "short.npy", mmap_mode="r"))
    with open(tmp_path / "short.npy", "r+b") as file:
        file.truncate(1000)
    with pytest.raises(DataError, match="must not change while it is trained on, but has become shorter"):
        source.read(0, source.room(ROWS))


def message(error, call):
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def test_what_cannot_be_is_refused_in_a_sentence(rows):
    X, y, *_ = rows
    bad = X.copy()
    bad[700, 2] = np.nan
    assert "`X` must be finite, got `nan`" in message(DataError, lambda: trained(Windows(bad, 50, 3), y))
    assert message(ConfigError, lambda: trained(Windows(X), y, validation=0.2)) == (
        "`validation` must be rows of their own where X is `Windows`, got `0.2`"
    )
    assert message(ConfigError, lambda: trained(Windows(X), y, weights="balanced")) == (
        "`sample_weight` must be an array where X is `Windows`, got `balanced`"
    )
    assert message(ShapeError, lambda: trained(Windows(X), y[:-1])) == (
        "`y` must have 997 rows, as X has, got shape `(996, 1)`"
    )
    assert message(ShapeError, lambda: Windows(X[0])).startswith("`X` must have shape `(rows, inputs)`")
    with pytest.raises(DataError, match="`sample_weight` must be at least 0"):
        trained(Windows(X, 50, 3), y, weights=np.where(np.arange(ROWS) == 900, -1.0, 1.0))
    assert feeds.Segment._fields[:3] == ("epoch", "first", "end")
    trainer = fb.Trainer(fb.mlp([5, 2, 1], seed=0), loss="mse")
    assert message(DataError, lambda: trainer.run(Windows(X), y, steps=1)) == (
        "`X` must be an array of numbers, got a `Windows`"
    )


def test_every_op_on_them_stands_beside_its_twin(rows, monkeypatch):
    monkeypatch.setenv("FASTBP_PLAN", "check")
    X, y, *_ = rows
    w = np.random.default_rng(1).uniform(size=ROWS)
    found = trained(Windows(X[:300], 50, 2), y[:300], 2, w[:300], (Windows(X[:300], 50, 2), y[:300], w[:300]))
    monkeypatch.delenv("FASTBP_PLAN")
    again = trained(Windows(X[:300], 50, 2), y[:300], 2, w[:300], (Windows(X[:300], 50, 2), y[:300], w[:300]))
    assert found[1:] == again[1:]
