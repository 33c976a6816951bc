"""What a fit tells and obeys: history, validation, callbacks, early stopping."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import DivergedError
from tests.model.chains import DTYPES, data

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def setting(dtype="float32", rows=40, **trainer):
    """A small net, its trainer, and rows with nothing to learn, so that the validation loss rises in time."""
    net = fb.mlp([5, 16, 3], activation="tanh", dtype=dtype)
    X, y = data(net, rows)
    held_out = data(net, 30, seed=2)
    return fb.Trainer(net, batch_size=16, **{"optimizer": fb.Adam(3e-2), **trainer}), X, y, held_out


class Recorder(fb.Callback):
    """Notes when it was called, and the parameters and losses it saw."""

    def __init__(self):
        self.calls = []
        self.weights = []

    def begin(self, trainer, history):
        self.calls.append(("begin", len(history.loss)))

    def epoch(self, trainer, history):
        self.calls.append(("epoch", len(history.loss)))
        self.weights.append(trainer.net.flat)

    def end(self, trainer, history):
        self.calls.append(("end", len(history.loss)))


# History


@every_dtype
def test_a_history_tells_what_was_done(dtype):
    trainer, X, y, held_out = setting(dtype)
    history = trainer.fit(X, y, epochs=4, validation=held_out)
    assert (len(history.loss), len(history.val_loss)) == (4, 4)
    assert (history.steps, history.samples, history.stopped) == (12, 160, "")
    assert history["loss"] is history.loss
    assert history["val_loss"] is history.val_loss
    assert history.best_epoch == int(np.argmin(history.val_loss)) + 1
    assert history.seconds > 0
    assert history.samples_per_second == history.samples / history.seconds
    assert repr(history) == (
        f"History(epochs=4, steps=12, loss={history.loss[-1]:.6g}, val_loss={history.val_loss[-1]:.6g},"
        f" seconds={history.seconds:.3g})"
    )
    with pytest.raises(KeyError, match="a history has `loss`, `val_loss`, `lr`, got `accuracy`"):
        history["accuracy"]


def test_each_history_is_of_its_own_call():
    trainer, X, y, _ = setting()
    first, second = trainer.fit(X, y, epochs=2), trainer.fit(X, y, epochs=3)
    assert (first.steps, second.steps, trainer.steps_done) == (6, 9, 15)
    assert (len(first.loss), len(second.loss)) == (2, 3)
    assert second.loss[-1] < first.loss[0]
    assert first.val_loss == []
    assert first.best_epoch == int(np.argmin(first.loss)) + 1


def test_the_samples_of_a_run_are_the_rows_it_trained_on():
    trainer, X, y, _ = setting(rows=40)
    assert [trainer.run(X, y, steps=steps).samples for steps in (1, 1, 1, 2, 1, 3, 4)] == [16, 16, 8, 32, 8, 40, 56]


def test_no_epochs_change_nothing():
    trainer, X, y, held_out = setting()
    before = trainer.net.flat
    recorder = Recorder()
    history = trainer.fit(X, y, epochs=0, validation=held_out, callbacks=[recorder])
    assert (history.loss, history.val_loss, history.steps, history.samples) == ([], [], 0, 0)
    assert history.best_epoch is None
    assert recorder.calls == [("begin", 0), ("end", 0)]
    assert np.array_equal(trainer.net.flat, before)


# Validation


@every_dtype
@pytest.mark.parametrize("rows", [1, 30, 700])
def test_the_validation_loss_is_what_evaluate_says_after_the_epoch(rows, dtype):
    trainer, X, y, _ = setting(dtype)
    held_out = data(trainer.net, rows, seed=2)
    expected = []
    note = lambda trainer, history: expected.append(trainer.net.evaluate(*held_out))  # noqa: E731
    history = trainer.fit(X, y, epochs=5, validation=held_out, callbacks=[note])
    assert history.val_loss == expected
    assert len(set(expected)) == 5


@every_dtype
def test_validation_changes_no_bit_of_the_training(dtype):
    ways = []
    for validate in (False, True):
        trainer, X, y, held_out = setting(dtype)
        trainer.fit(X, y, epochs=3, validation=held_out if validate else None)
        ways.append(trainer.net.flat.tobytes())
    assert ways[0] == ways[1]


# Callbacks


def test_callbacks_are_called_at_the_beginning_after_each_epoch_and_at_the_end():
    trainer, X, y, _ = setting()
    recorder, seen = Recorder(), []
    trainer.fit(X, y, epochs=2, callbacks=[recorder, lambda *now: seen.append(now)])
    assert recorder.calls == [("begin", 0), ("epoch", 1), ("epoch", 2), ("end", 2)]
    assert [(now is trainer, len(history.loss)) for now, history in seen] == [(True, 2), (True, 2)]
    assert np.array_equal(recorder.weights[-1], trainer.net.flat)


def test_a_callback_may_end_the_fit():
    trainer, X, y, _ = setting()

    def enough(trainer, history):
        if len(history.loss) == 3:
            history.stopped = "enough"

    history = trainer.fit(X, y, epochs=10, callbacks=[enough])
    assert (len(history.loss), history.steps, history.stopped) == (3, 9, "enough")


def test_callbacks_end_when_one_of_them_fails():
    trainer, X, y, _ = setting()
    recorder = Recorder()

    def fail(trainer, history):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trainer.fit(X, y, epochs=10, callbacks=[recorder, fail])
    assert recorder.calls == [("begin", 0), ("epoch", 1), ("end", 1)]


# Early stopping


def losses_of(values, monkeypatch):
    """Make the validation losses these, one an epoch."""
    left = iter(values)
    monkeypatch.setattr(fb.Network, "evaluate_checked", lambda self, *_: next(left))


@pytest.mark.parametrize(
    ("patience", "values", "epochs", "best"),
    [
        (1, [3, 2, 2.5, 1, 1, 1], 3, 1),
        (2, [3, 2, 2.5, 1, 1.5, 2, 0], 6, 3),
        (3, [3, 3, 3, 3, 0], 4, 0),
        (3, [3, 3, 3, 2, 2, 2, 2, 0], 7, 3),
        (5, [5, 4, 3, 2, 1], 5, 4),
    ],
)
def test_a_fit_stops_after_as_many_epochs_without_improvement_as_patience(patience, values, epochs, best, monkeypatch):
    losses_of(values, monkeypatch)
    trainer, X, y, held_out = setting()
    recorder = Recorder()
    stop = fb.EarlyStopping(patience)
    history = trainer.fit(X, y, epochs=len(values), validation=held_out, callbacks=[recorder, stop])
    assert history.val_loss == values[:epochs]
    assert (stop.best_epoch, stop.best) == (best + 1, values[best])
    assert history.stopped == (
        "" if epochs == len(values) else f"`val_loss` did not improve for {epochs - 1 - best} epochs"
    )
    assert trainer.net.flat.tobytes() == recorder.weights[best].tobytes()


@every_dtype
def test_the_best_parameters_come_back_for_every_derivative_too(dtype):
    trainer, X, y, held_out = setting(dtype)
    recorder = Recorder()
    history = trainer.fit(X, y, epochs=200, validation=held_out, callbacks=[recorder, fb.EarlyStopping(3)])
    best = history.best_epoch
    assert len(history.loss) == best + 3 < 200
    assert trainer.net.flat.tobytes() == recorder.weights[best - 1].tobytes()
    again = fb.mlp([5, 16, 3], activation="tanh", dtype=dtype)
    again.flat = recorder.weights[best - 1]
    u = data(again, 40, "mse")[1]
    assert np.array_equal(trainer.net.vjp(X, u), again.vjp(X, u))
    assert trainer.net.evaluate(*held_out) == history.val_loss[best - 1]


def test_the_last_parameters_stay_where_the_best_are_not_wanted_back(monkeypatch):
    losses_of([1, 2, 3, 4], monkeypatch)
    trainer, X, y, held_out = setting()
    recorder = Recorder()
    stop = fb.EarlyStopping(2, restore_best=False)
    history = trainer.fit(X, y, epochs=4, validation=held_out, callbacks=[recorder, stop])
    assert len(history.loss) == 3
    assert np.array_equal(trainer.net.flat, recorder.weights[-1])


def test_what_improves_less_than_min_delta_does_not_count(monkeypatch):
    losses_of([3.0, 2.95, 2.9, 2.8], monkeypatch)
    trainer, X, y, held_out = setting()
    history = trainer.fit(X, y, epochs=4, validation=held_out, callbacks=[fb.EarlyStopping(2, min_delta=0.15)])
    assert len(history.loss) == 3


def test_the_training_loss_may_be_watched():
    trainer, X, y, _ = setting(optimizer=fb.SGD(1e-30))
    history = trainer.fit(X, y, epochs=9, callbacks=[fb.EarlyStopping(2, monitor="loss", min_delta=1e-3)])
    assert len(history.loss) == 3
    assert history.stopped == "`loss` did not improve for 2 epochs"


def test_nan_is_no_improvement(monkeypatch):
    losses_of([np.nan, 2.0, np.nan, np.nan, 1.0], monkeypatch)
    trainer, X, y, held_out = setting()
    stop = fb.EarlyStopping(2)
    trainer.fit(X, y, epochs=5, validation=held_out, callbacks=[stop])
    assert (stop.best_epoch, stop.best) == (2, 2.0)


def test_an_early_stopping_may_be_used_again(monkeypatch):
    stop = fb.EarlyStopping(1)
    for values in ([1, 2], [5, 4, 6]):
        losses_of(values, monkeypatch)
        trainer, X, y, held_out = setting()
        assert trainer.fit(X, y, epochs=9, validation=held_out, callbacks=[stop]).val_loss == values


def test_a_fit_that_diverges_right_after_its_best_epoch_goes_back_to_it_too():
    trainer, X, y, _ = setting("float32", optimizer=fb.SGD(1e-2))
    recorder = Recorder()

    def break_off(trainer, history):
        if len(history.loss) == 2:
            trainer.optimizer = fb.SGD(3e38)

    callbacks = [recorder, fb.EarlyStopping(3, monitor="loss"), break_off]
    with pytest.raises(DivergedError):
        trainer.fit(X, y, epochs=9, callbacks=callbacks)
    assert len(recorder.weights) == 2
    assert np.array_equal(trainer.net.flat, recorder.weights[1])
