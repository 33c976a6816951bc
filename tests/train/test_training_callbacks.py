"""Callbacks that train the trainer they are called by: the fit keeps its rows, place and schedule."""

import copy
import hashlib

import numpy as np
import pytest

import fastbp as fb
from fastbp.spec.coded import Coded
from fastbp.train.calls import Pace

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((96, 6)).astype("f4"), np.arange(96) % 3
CODES = Coded(np.hstack([X[:20, :2], RNG.integers(0, 5, (20, 1))]).astype("f4"), (0, 0, 4))  # read by another plan
OWN = slice(0, 40)
OWN_X, OWN_Y = X[OWN], Y[OWN]


def trainer(**words):
    net = fb.Network([fb.Linear(12), fb.BatchNorm(), fb.Tanh(), fb.Dropout(0.1), fb.Linear(3)], inputs=6, seed=1)
    return fb.Trainer(net, **words)


def digest(of):
    return of.steps_done, hashlib.sha256(of.net.flat.tobytes() + of.net.states.flat().tobytes()).hexdigest()


# Three steps each.
OTHERS = {
    "more rows": lambda t: t.run(X, Y, 3),
    "fewer rows": lambda t: t.run(X[:20], Y[:20], 3),
    "as many other rows": lambda t: t.run(X[48:88], Y[48:88], 3),
    "the same rows": lambda t: t.run(OWN_X, OWN_Y, 3),
    "rows with codes": lambda t: t.run(CODES, Y[:20], 3),
    "a fit": lambda t: t.fit(X[:20], Y[:20], 3),
}


@pytest.fixture
def a_step_a_call(monkeypatch):
    monkeypatch.setattr(Pace, "steps", lambda self: 1)


class Teaching(fb.Callback):
    """Trains on other rows behind a step, and may end the fit with an error."""

    def __init__(self, others, at, error=None):
        self.train, self.at, self.error = OTHERS[others], at, error

    def chunk(self, trainer, history):
        if trainer.steps_done == self.at:
            self.train(trainer)
            self.history = history
            if self.error is not None:
                raise self.error

    epoch = chunk


class Copying(fb.Callback):
    """Copies trainer and history behind a step."""

    def __init__(self, at):
        self.at, self.found = at, None

    def chunk(self, trainer, history):
        if trainer.steps_done == self.at:
            self.found = copy.deepcopy((trainer, history))

    epoch = chunk


every_other = pytest.mark.parametrize("others", OTHERS)
every_batch = pytest.mark.parametrize("batch", [32, 64])  # two steps an epoch, or one, and another plan for more rows


@pytest.mark.usefixtures("a_step_a_call")
@pytest.mark.parametrize("at", [1, 2, 4])
@every_batch
@every_other
def test_a_callback_that_trains_on_other_rows_leaves_the_fit_its_own(others, batch, at):
    """It comes behind an epoch or into one, which then begins anew."""
    nested, flat = trainer(batch_size=batch), trainer(batch_size=batch)
    history = nested.fit(OWN_X, OWN_Y, 5, callbacks=[Teaching(others, at)])
    flat.run(OWN_X, OWN_Y, at)
    OTHERS[others](flat)
    left = flat.fit(OWN_X, OWN_Y, 5 - at * batch // 64).loss
    assert history.loss[-len(left) :] == left
    assert digest(nested) == digest(flat)


@pytest.mark.usefixtures("a_step_a_call")
@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("behind", [0, 1])
@every_batch
@every_other
def test_a_fit_is_copied_where_it_stands_behind_a_callback_that_trains_on_other_rows(others, batch, at, behind):
    """In the same call of callbacks, and within the next epoch."""
    midway, whole = Copying(at + 3 + behind), trainer(batch_size=batch, schedule=fb.Cosine())
    history = whole.fit(OWN_X, OWN_Y, 4, callbacks=[Teaching(others, at), midway])
    again, begun = midway.found
    again.fit(OWN_X, OWN_Y, 4, history=begun)
    assert (begun.loss, begun.lr) == (history.loss, history.lr)
    assert digest(again) == digest(whole)


@pytest.mark.usefixtures("a_step_a_call")
@every_batch
@every_other
def test_a_fit_that_a_callback_leaves_behind_training_on_other_rows_is_gone_on_with(others, batch):
    whole, left = (trainer(batch_size=batch, schedule=fb.Cosine()) for _ in range(2))
    history = whole.fit(OWN_X, OWN_Y, 4, callbacks=[Teaching(others, 2)])
    leaving = Teaching(others, 2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        left.fit(OWN_X, OWN_Y, 4, callbacks=[leaving])
    left.fit(OWN_X, OWN_Y, 4, history=leaving.history)
    assert leaving.history.loss == history.loss
    assert digest(left) == digest(whole)


def test_an_optimizer_that_a_callback_sets_behind_training_on_more_rows_is_that_of_the_fit():
    other = fb.Adam(1e-2, betas=(0.5, 0.6))

    def teach(trainer):
        trainer.run(X, Y, 3)
        trainer.optimizer = other

    nested, flat = trainer(batch_size=64), trainer(batch_size=64)
    nested.fit(OWN_X, OWN_Y, 4, callbacks=[lambda t, h: teach(t) if len(h.loss) == 2 else None])
    flat.fit(OWN_X, OWN_Y, 2)
    teach(flat)
    flat.fit(OWN_X, OWN_Y, 2)
    assert digest(nested) == digest(flat)
