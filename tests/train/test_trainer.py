"""Steps, runs and fits against the NumPy twin, from the same initial parameters over the same batches and masks."""

import pickle
from functools import partial

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.engine import threads as team
from tests.model.chains import DTYPES, build, data, flat, held, twin

# After 120 steps, absolute.
TOLERANCE = {"float32": 2e-4, "float64": 1e-9}
OPTIMIZERS = {
    "sgd": (fb.SGD(0.1), partial(reference.sgd, lr=0.1)),
    "momentum": (fb.SGD(0.02, momentum=0.9), partial(reference.sgd, lr=0.02, momentum=0.9)),
    "adam": (fb.Adam(2e-3), partial(reference.adam, lr=2e-3)),
    "adam-settings": (
        fb.Adam(2e-3, betas=(0.7, 0.95), eps=1e-4),
        partial(reference.adam, lr=2e-3, betas=(0.7, 0.95), eps=1e-4),
    ),
    "adamw": (fb.AdamW(2e-3, weight_decay=0.1, decay_all=True), partial(reference.adamw, lr=2e-3, weight_decay=0.1)),
}
TRAINED = ["L", "LrL", "LtdL", "dLsLt", "rLdL", "LridLdL", "tLrL", "LLd", "ddLsLs"]

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)
every_loss = pytest.mark.parametrize("loss", ["cross_entropy", "mse"])


def pair(code, dtype, loss="cross_entropy", optimizer="adam", batch_size=16, **settings):
    """A trainer, and its twin and the twin's update."""
    rule, slow_rule = OPTIMIZERS[optimizer]
    net = build(code, 1, dtype, outputs=4)
    slow = twin(net, loss)
    trainer = fb.Trainer(net, loss=loss, optimizer=rule, batch_size=batch_size, **settings)
    return trainer, slow, held(net, slow, slow_rule)


def assert_follows(trainer, slow):
    assert trainer.steps_done == slow.steps_done
    apart = np.abs(trainer.net.flat - flat(trainer.net, slow)).max()
    assert apart < TOLERANCE[trainer.net.dtype.name]


def assert_losses(actual, expected, dtype):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE[dtype])


def pass_means(losses, rows, batch_size):
    """The means of passes, from the losses of their batches."""
    sizes = [min(batch_size, rows - i) for i in range(0, rows, batch_size)]
    passes = [losses[i : i + len(sizes)] for i in range(0, len(losses), len(sizes))]
    return [np.average(part, weights=sizes[: len(part)]) for part in passes]


# Following the twin


@every_dtype
@every_loss
@every_optimizer
@pytest.mark.parametrize("code", TRAINED)
def test_run_follows_the_twin(code, optimizer, loss, dtype):
    trainer, slow, rule = pair(code, dtype, loss, optimizer)
    X, y = data(trainer.net, 50, loss)  # so the last batch of a pass has two rows
    start = trainer.net.flat
    losses = slow.run(X, y, 120, 16, trainer.seed, rule)
    history = trainer.run(X, y, steps=120)
    assert_follows(trainer, slow)
    assert_losses(history.loss, pass_means(losses, 50, 16), dtype)
    assert np.abs(trainer.net.flat - start).max() > 100 * TOLERANCE[dtype]  # there was something to follow


@every_dtype
@every_loss
@every_optimizer
def test_step_follows_the_twin(optimizer, loss, dtype):
    trainer, slow, rule = pair("LtdLrL", dtype, loss, optimizer, seed=9)
    for i in range(110):
        rows = 1 + (7 * i) % 40  # fewer and more than batch_size
        X, y = data(trainer.net, rows, loss, seed=i)
        assert_losses(trainer.step(X, y), slow.step(X, y, rule, 9), dtype)
    assert_follows(trainer, slow)


@every_dtype
@every_loss
def test_fit_follows_the_twin(loss, dtype):
    trainer, slow, rule = pair("LsdLtL", dtype, loss, batch_size=11)
    X, y = data(trainer.net, 40, loss)
    losses = slow.run(X, y, 27 * 4, 11, trainer.seed, rule)
    history = trainer.fit(X, y, epochs=27)
    assert_follows(trainer, slow)
    assert_losses(history.loss, pass_means(losses, 40, 11), dtype)


def test_threads_that_are_assigned_take_the_next_steps_and_change_no_bit(monkeypatch):
    used, teams = [], []
    monkeypatch.setattr(team, "run", lambda *a, run=team.run: (used.append(a[2]), run(*a)))
    X, y = np.random.default_rng(0).normal(size=(244, 512)).astype(np.float32), np.arange(244) % 10
    trainers = [fb.Trainer(fb.mlp([512, 512, 10], seed=1, dropout=0.1), batch_size=61, threads=3) for _ in range(2)]
    losses = []
    for number, trainer in enumerate(trainers):
        done = list(trainer.run(X, y, steps=3).loss)  # within an epoch of four
        trainer.step(X[:61], y[:61])
        for threads in (1, 2):
            if number:
                trainer.threads = threads
                used.clear()
            done += trainer.run(X, y, steps=3).loss
            done.append(trainer.step(X[:61], y[:61]))
            teams.append(max(used))
        losses.append(done)
    assert losses[0] == losses[1]
    assert teams[2:] == [1, 2]
    assert trainers[1].threads == pickle.loads(pickle.dumps(trainers[1])).threads == 2
    with pytest.raises(fb.ConfigError):
        trainers[1].threads = 0
    assert trainers[1].threads == 2


@every_dtype
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_follow_the_twin_through_wide_layers(threads, dtype, monkeypatch):
    used = []
    monkeypatch.setattr(team, "run", lambda *a, run=team.run: (used.append(a[2]), run(*a)))
    net = fb.mlp([20, 150, 130, 4], activation="tanh", dropout=0.2, seed=3, dtype=dtype)
    slow = twin(net)
    X, y = data(net, 250)
    slow.run(X, y, 40, 61, 3, partial(reference.adam, lr=1e-3))
    trainer = fb.Trainer(net, batch_size=61, threads=threads)
    trainer.run(X, y, steps=40)
    assert_follows(trainer, slow)
    assert set(used) == {threads}


@every_dtype
def test_a_late_step_draws_its_masks_from_all_64_bits_of_its_number(dtype):
    trainer, slow, rule = pair("LtdL", dtype)
    trainer.steps_done = slow.steps_done = 2**32 + 5
    X, y = data(trainer.net, 16)
    assert_losses(trainer.step(X, y), slow.step(X, y, rule, trainer.seed), dtype)
    late = slow.forward(X, step=2**32 + 5, seed=trainer.seed)
    assert not np.allclose(late, slow.forward(X, step=5, seed=trainer.seed))


def test_the_seed_of_a_trainer_is_of_dropout_and_order_alone():
    nets = [fb.mlp([5, 33, 3], dropout=0.5, seed=4) for _ in range(3)]
    X, y = data(nets[0], 40)
    for net, seed in zip(nets, (None, 4, 5), strict=True):
        fb.Trainer(net, batch_size=8, seed=seed).run(X, y, steps=1)
    assert np.array_equal(nets[0].flat, nets[1].flat)
    assert not np.array_equal(nets[0].flat, nets[2].flat)


# One pass over several calls


@every_dtype
def test_run_goes_on_in_the_pass_where_it_stopped(dtype):
    trainer, slow, rule = pair("LtdL", dtype)
    X, y = data(trainer.net, 50)
    losses = slow.run(X, y, 60, 16, trainer.seed, rule)
    ended = []
    for steps in (1, 2, 3, 5, 7, 11, 13, 18):
        trainer.run(X, y, steps=steps)
        ended.append(trainer.steps_done)
    assert ended[-1] == 60
    assert_follows(trainer, slow)
    assert len(losses) == 60


@every_dtype
def test_a_pass_over_several_runs_has_the_mean_of_all_its_batches_at_its_end(dtype):
    trainer, slow, rule = pair("LtL", dtype)
    X, y = data(trainer.net, 50)
    losses = slow.run(X, y, 6, 16, trainer.seed, rule)
    found = [trainer.run(X, y, steps=steps).loss for steps in (1, 1, 2, 2)]
    sizes = [16, 16, 16, 2]
    expected = [[np.average(losses[:n], weights=sizes[:n])] for n in (1, 2, 4)]
    expected.append([np.average(losses[4:6], weights=sizes[:2])])
    for actual, mean in zip(found, expected, strict=True):
        assert_losses(actual, mean, dtype)


@every_dtype
def test_steps_between_runs_leave_the_order_of_their_batches_alone(dtype):
    trainer, slow, rule = pair("LtL", dtype)  # no dropout, whose masks count all steps
    X, y = data(trainer.net, 50)
    other, labels = data(trainer.net, 7, seed=8)
    order = [reference.permutation(50, trainer.seed, epoch) for epoch in range(4)]
    batches = [rows[i : i + 16] for rows in order for i in range(0, 50, 16)]
    for i in range(0, 15, 3):
        trainer.run(X, y, steps=3)
        for rows in batches[i : i + 3]:
            slow.step(X[rows], y[rows], rule)
        assert_losses(trainer.step(other, labels), slow.step(other, labels, rule), dtype)
    assert_follows(trainer, slow)


@every_dtype
def test_fit_begins_a_new_epoch(dtype):
    trainer, slow, rule = pair("LtL", dtype)
    X, y = data(trainer.net, 50)
    trainer.run(X, y, steps=2)
    history = trainer.fit(X, y, epochs=2)
    losses = []
    for epoch, batches in ((0, 2), (1, 4), (2, 4)):
        order = reference.permutation(50, trainer.seed, epoch)
        for i in range(batches):
            rows = order[16 * i : 16 * i + 16]
            losses.append(slow.step(X[rows], y[rows], rule))
    assert_follows(trainer, slow)
    assert_losses(history.loss, pass_means(losses[2:], 50, 16), dtype)


def test_other_rows_begin_a_new_epoch():
    trainer, slow, rule = pair("LtL", "float64")
    X, y = data(trainer.net, 50)
    for epoch, rows in enumerate((50, 30, 50)):
        trainer.run(X[:rows], y[:rows], steps=1)
        batch = reference.permutation(rows, trainer.seed, epoch)[:16]
        slow.step(X[batch], y[batch], rule)
    assert_follows(trainer, slow)


@every_dtype
def test_a_batch_may_be_larger_than_the_data(dtype):
    trainer, slow, rule = pair("LtdL", dtype, batch_size=500)
    X, y = data(trainer.net, 13)
    losses = slow.run(X, y, 20, 500, trainer.seed, rule)
    history = trainer.run(X, y, steps=20)
    assert_follows(trainer, slow)
    assert_losses(history.loss, losses, dtype)
    assert history.samples == 20 * 13


@every_dtype
def test_batches_of_one_row_are_batches(dtype):
    trainer, slow, rule = pair("LtdL", dtype, batch_size=1)
    X, y = data(trainer.net, 13)
    slow.run(X, y, 100, 1, trainer.seed, rule)
    trainer.run(X, y, steps=100)
    assert_follows(trainer, slow)


@every_dtype
@every_loss
def test_steps_over_the_batches_of_a_pass_have_the_bits_of_a_run(loss, dtype):
    nets = [build("LtdLrL", 1, dtype, outputs=4) for _ in range(2)]
    whole, single = (fb.Trainer(net, loss=loss, batch_size=16) for net in nets)
    X, y = data(nets[0], 50, loss)
    whole.run(X, y, steps=40)
    for epoch in range(10):
        order = reference.permutation(50, single.seed, epoch)
        for i in range(0, 50, 16):
            rows = order[i : i + 16]
            single.step(X[rows], y[rows])
    assert nets[0].flat.tobytes() == nets[1].flat.tobytes()


@every_dtype
@every_loss
def test_step_takes_whatever_numpy_can_read(loss, dtype):
    """Whichever way a step takes, fast for arrays as the kernels read them or through conversion."""
    X, y = data(build("LtL", 1, dtype, outputs=4), 12, loss)
    table = np.zeros((24, X.shape[1] + 9), dtype)
    table[::2, : X.shape[1]] = X
    thin = table[::2, : X.shape[1]]
    targets = np.asfortranarray(y) if loss == "mse" else y.astype(np.float64)
    swapped = y.astype(y.dtype.newbyteorder())
    forms = {
        "usual": (X, y),
        "lists": (X.tolist(), y.tolist()),
        "strided": (thin, y),
        "float64": (X.astype(np.float64), targets),
        "fortran": (np.asfortranarray(X), np.asarray(y)[:, None] if loss == "cross_entropy" else y),
        "swapped": (X.astype(X.dtype.newbyteorder()), swapped),
    }
    found = {}
    for name, (rows, wanted) in forms.items():
        net = build("LtL", 1, dtype, outputs=4)
        trainer = fb.Trainer(net, loss=loss, batch_size=12)
        for _ in range(3):
            trainer.step(rows, wanted)
        found[name] = net.flat.tobytes()
    assert all(bits == found["usual"] for bits in found.values()), [n for n in found if found[n] != found["usual"]]


@every_dtype
def test_targets_that_were_cut_from_a_table_leave_the_next_step_alone(dtype):
    """One row of a wider table counts as contiguous whatever its stride says."""
    nets = [build("LtL", 1, dtype, outputs=4) for _ in range(2)]
    X, y = data(nets[0], 12, "mse")
    table = np.zeros((12, 9), dtype)
    table[:, 3:7] = y
    for net, first in zip(nets, (y[:1], table[:1, 3:7]), strict=True):
        trainer = fb.Trainer(net, loss="mse", batch_size=12, threads=1)
        trainer.step(X[:1], first)
        trainer.step(X, y)
    assert np.array_equal(nets[0].flat, nets[1].flat)


def test_no_steps_change_nothing():
    trainer, *_ = pair("LtL", "float32")
    X, y = data(trainer.net, 50)
    before = trainer.net.flat
    history = trainer.run(X, y, steps=0)
    assert (history.loss, history.steps, history.samples) == ([], 0, 0)
    assert np.array_equal(trainer.net.flat, before)
    assert trainer.steps_done == 0


def test_training_leaves_its_data_alone():
    trainer, *_ = pair("tLtL", "float64", "mse")
    X, y = data(trainer.net, 50, "mse")
    kept = X.copy(), y.copy()
    for array in (X, y):
        array.flags.writeable = False
    trainer.step(X, y)
    trainer.step(X, y)
    trainer.run(X, y, steps=5)
    trainer.fit(X, y)
    assert np.array_equal(X, kept[0])
    assert np.array_equal(y, kept[1])


def test_a_snapshot_of_another_trainer_is_refused():
    first, second = (fb.Trainer(fb.mlp([3, 4, 2], seed=seed)) for seed in range(2))
    before = first.net.flat
    with pytest.raises(fb.ConfigError) as info:
        second.restore(first.snapshot())
    assert str(info.value) == "`snapshot` must be one of this trainer's"
    assert np.array_equal(first.net.flat, before)
