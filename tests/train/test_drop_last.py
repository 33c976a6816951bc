"""Epochs that end where fewer rows are left than a batch has, and epochs that are equally good."""

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.errors import PlanError
from fastbp.train.callbacks import Monitor

X, Y = np.random.default_rng(0).normal(size=(50, 4)), np.arange(50) % 3
WORDS = {"batch_size": 8, "drop_last": True, "seed": 5, "optimizer": fb.SGD(0.1)}


def network(seed=1):
    return fb.Network([fb.Linear(6), fb.Tanh(), fb.Linear(3)], inputs=4, seed=seed, dtype="float64")


def by_steps(net, rows, steps, batch=8):
    """The same, batch by batch, in the order of each epoch."""
    trainer, each = fb.Trainer(net, optimizer=fb.SGD(0.1)), len(rows) // batch
    for step in range(steps):
        order = reference.permutation(len(rows), 5, step // each)
        taken = rows[order[step % each * batch :][:batch]]
        trainer.step(X[taken], Y[taken])
    return net


@pytest.mark.parametrize("rows", [50, 48, 9, 8])
def test_each_epoch_has_whole_batches_of_an_order_of_all_rows(rows):
    trainer = fb.Trainer(network(), **WORDS)
    history = trainer.fit(X[:rows], Y[:rows], epochs=3)
    assert (history.steps, history.samples, len(history.loss)) == (3 * (rows // 8), 3 * (rows // 8 * 8), 3)
    np.testing.assert_array_equal(trainer.net.flat, by_steps(network(), np.arange(rows), 3 * (rows // 8)).flat)


def test_rows_that_are_fewer_than_a_batch_are_one():
    history = fb.Trainer(network(), **WORDS).fit(X[:5], Y[:5], epochs=2)
    assert (history.steps, history.samples) == (2, 10)


def test_runs_and_packs_drop_them_too():
    rows = np.arange(3, 40)
    pack = fb.Pack([network(1), network(2)], rows=[rows, rows[:20]], **{**WORDS, "seed": [5, 5]})
    pack.fit(X, Y, epochs=2)
    for seed, own, net in zip((1, 2), (rows, rows[:20]), pack.members, strict=True):
        np.testing.assert_array_equal(net.flat, by_steps(network(seed), own, 2 * (len(own) // 8)).flat)
    trainer = fb.Trainer(network(), **WORDS)
    trainer.run(X[:20], Y[:20], steps=5)
    np.testing.assert_array_equal(trainer.net.flat, by_steps(network(), np.arange(20), 5).flat)


def test_a_schedule_ends_with_the_last_whole_batch():
    trainer = fb.Trainer(network(), schedule="cosine", **WORDS)
    history = trainer.fit(X, Y, epochs=2)
    assert history.lr[-1] == 0.1 * fb.Cosine(steps=12).factors(11, 1)[0]


def test_groups_of_batches_end_with_their_epoch():
    history = fb.Trainer(network(), accumulate=4, **WORDS).fit(X, Y, epochs=2)
    assert history.steps == 4


def test_a_check_of_every_op_knows_of_rows_that_are_left_out(monkeypatch):
    monkeypatch.setenv("FASTBP_PLAN", "check")
    trainer = fb.Trainer(network(), **WORDS)
    trainer.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(trainer.net.flat, by_steps(network(), np.arange(50), 12).flat)
    plan = trainer._batch_plan
    plan.head.data.dropped = 1
    with pytest.raises(PlanError, match="the number of rows that an epoch leaves out"):
        plan.steps(1, 1, 1)


class Scripted(fb.Callback):
    """Puts numbers in the place of those that were measured."""

    def __init__(self, values):
        self.values = values

    def epoch(self, trainer, history):
        history.val_loss[-1] = self.values[len(history.val_loss) - 1]


@pytest.mark.parametrize(("ties", "best"), [("first", 2), ("last", 4)])
def test_ties_go_to_the_first_or_the_last(ties, best):
    stop = fb.EarlyStopping(patience=10, ties=ties)
    trainer = fb.Trainer(network(), **WORDS)
    trainer.fit(X, Y, epochs=5, validation=(X, Y), callbacks=[Scripted([3.0, 1.0, 2.0, 1.0, float("nan")]), stop])
    assert (stop.best_epoch, stop.best) == (best, 1.0)


def test_an_equal_epoch_is_no_worse_where_ties_go_to_the_last():
    stopped = []
    for ties in ("first", "last"):
        trainer = fb.Trainer(network(), **WORDS)
        hooks = [Scripted([1.0] * 9), fb.EarlyStopping(patience=2, ties=ties)]
        stopped.append(len(trainer.fit(X, Y, epochs=6, validation=(X, Y), callbacks=hooks).loss))
    assert stopped == [3, 6]


def test_more_is_better_of_some_measures_with_ties_too():
    monitor = Monitor("x", "val_accuracy", "max", ties="last")
    history = fb.History(metrics={"val_accuracy": []})
    trainer = fb.Trainer(network())
    monitor.begin(trainer, history)
    found = []
    for value in (0.5, 0.5, 0.4, 0.6, 0.6):
        history.metrics["val_accuracy"].append(value)
        found.append(monitor.improved(history))
    assert found == [True, True, False, True, True]
