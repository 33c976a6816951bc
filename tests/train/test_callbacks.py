"""Callbacks: what each does to a fit, when it does it, and what it leaves alone."""

import types

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.train import callbacks as module
from fastbp.train import held_out as measuring
from fastbp.train.calls import Pace
from tests.model.chains import DTYPES, data

every_dtype = pytest.mark.parametrize("dtype", DTYPES)

ROWS, BATCH, A_PASS = 50, 8, 7


def trainer(dtype="float32", loss="cross_entropy", layers=None, **settings):
    layers = layers or [fb.Linear(9), fb.Tanh(), fb.Linear(4)]
    net = fb.Network(layers, inputs=5, seed=1, dtype=dtype)
    return fb.Trainer(net, loss=loss, **{"optimizer": fb.Adam(1e-2), "batch_size": BATCH, **settings})


def setting(*args, loss="cross_entropy", **settings):
    training = trainer(*args, loss=loss, **settings)
    return training, *data(training.net, ROWS, loss), data(training.net, 20, loss, seed=2)


def measured(monkeypatch, losses=None, metrics=None):
    """Make what validation finds these numbers, one an epoch."""
    if losses is not None:
        left = iter(losses)
        monkeypatch.setattr(fb.Network, "evaluate_checked", lambda self, *_: next(left))
    if metrics is not None:
        numbers = iter([0.0, *metrics])  # the first is taken before anything is trained
        monkeypatch.setattr(measuring, "evaluate", lambda *_, **__: next(numbers))


# Early stopping


@pytest.mark.parametrize(
    ("metric", "mode", "values", "best"),
    [
        ("accuracy", "auto", [0.5, 0.7, 0.6, 0.7, 0.9], 1),
        ("accuracy", "max", [0.5, 0.7, 0.6, 0.7, 0.9], 1),
        ("accuracy", "min", [0.5, 0.4, 0.6, 0.4, 0.1], 1),
        ("rmse", "auto", [3.0, 2.0, 2.5, 2.0, 0.0], 1),
        ("rmse", "min", [3.0, 2.0, 2.5, 2.0, 0.0], 1),
        ("r2", "auto", [-3.0, -2.0, -2.5, -2.0, 1.0], 1),
        ("log_loss", "auto", [0.9, 0.8, 0.9, 0.8, 0.1], 1),
        ("top_3", "auto", [0.5, 0.7, 0.6, 0.7, 0.9], 1),
    ],
)
def test_the_better_way_is_known_for_every_metric(metric, mode, values, best, monkeypatch):
    measured(monkeypatch, metrics=values)
    training, X, y, held_out = setting(loss="mse" if metric in ("rmse", "r2") else "cross_entropy")
    stop = fb.EarlyStopping(2, monitor=f"val_{metric}", mode=mode)
    history = training.fit(X, y, epochs=5, validation=held_out, metrics=[metric], callbacks=[stop])
    assert history[f"val_{metric}"] == values[:4]
    assert (stop.best_epoch, stop.best) == (best + 1, values[best])
    assert history.stopped == f"`val_{metric}` did not improve for 2 epochs"


@pytest.mark.parametrize("monitor", ["val_loss", "loss"])
def test_a_loss_that_rises_is_better_where_mode_says_so(monitor, monkeypatch):
    measured(monkeypatch, [1.0, 2.0, 3.0, 2.5, 2.6])
    training, X, y, held_out = setting(optimizer=fb.SGD(1.0 if monitor == "loss" else 1e-3))
    stop = fb.EarlyStopping(2, monitor=monitor, mode="max")
    history = training.fit(X, y, epochs=5, validation=held_out, callbacks=[stop])
    assert stop.best_epoch == int(np.argmax(history[monitor])) + 1


@pytest.mark.parametrize(("patience", "epochs"), [(0, 2), (1, 2), (2, 3)])
def test_no_patience_ends_as_one_epoch_of_it_does(patience, epochs, monkeypatch):
    measured(monkeypatch, [1.0] * 9)
    training, X, y, held_out = setting()
    history = training.fit(X, y, epochs=9, validation=held_out, callbacks=[fb.EarlyStopping(patience)])
    assert len(history.loss) == epochs


def test_min_delta_counts_towards_what_is_better(monkeypatch):
    measured(monkeypatch, metrics=[0.5, 0.55, 0.59, 0.65, 0.7])
    training, X, y, held_out = setting()
    stop = fb.EarlyStopping(3, min_delta=0.1, monitor="val_accuracy")
    training.fit(X, y, epochs=5, validation=held_out, metrics=["accuracy"], callbacks=[stop])
    assert (stop.best_epoch, stop.best) == (4, 0.65)


@every_dtype
def test_the_best_running_statistics_and_averages_come_back_too(dtype, monkeypatch):
    measured(monkeypatch, [3.0, 1.0, 2.0, 2.0, 2.0])
    layers = [fb.Linear(9), fb.BatchNorm(), fb.ReLU(), fb.Linear(4)]
    training, X, y, held_out = setting(dtype, layers=layers, ema=0.9)
    seen = []

    def note(trainer, history):
        net = trainer.net
        seen.append((net.flat, net.states.flat(), trainer.averaged.flat, net.predict(X), trainer.averaged.predict(X)))

    training.fit(X, y, epochs=9, validation=held_out, callbacks=[note, fb.EarlyStopping(3)])
    assert len(seen) == 5
    note(training, None)
    for now, best, last in zip(seen[-1], seen[1], seen[4], strict=True):
        assert np.array_equal(now, best)
        assert not np.array_equal(now, last)


def test_training_goes_on_from_the_best_parameters(monkeypatch):
    """A transposed copy of weights that were put back must not be one of the weights before."""
    measured(monkeypatch, [1.0, 2.0])
    training, X, y, held_out = setting("float64", optimizer=fb.SGD(0.5), batch_size=ROWS)
    seen = []
    note = lambda trainer, history: seen.append(trainer.net.flat)  # noqa: E731
    training.fit(X, y, epochs=2, validation=held_out, callbacks=[note, fb.EarlyStopping(1)])
    other = trainer("float64", optimizer=fb.SGD(0.5), batch_size=ROWS)
    other.net.flat = seen[0]
    for each in (training, other):
        each.run(X, y, steps=1)
    np.testing.assert_allclose(training.net.flat, other.net.flat, rtol=1e-11)


# Learning rates that come down


def rates(values, monkeypatch, monitor="val_loss", optimizer=None, schedule=None, **settings):
    """History.lr of a fit that validates to these values."""
    metric = monitor.removeprefix("val_")
    named = [] if monitor == "val_loss" else [metric]
    measured(monkeypatch, *([values] if not named else [None, values]))
    training, X, y, held_out = setting(optimizer=optimizer or fb.SGD(1.0 / 64), schedule=schedule)
    reduce = fb.ReduceLROnPlateau(**{"factor": 0.5, "min_delta": 0.0, "monitor": monitor, **settings})
    history = training.fit(X, y, epochs=len(values), validation=held_out, metrics=named, callbacks=[reduce])
    return [64 * lr for lr in history.lr], training


@pytest.mark.parametrize(
    ("settings", "values", "expected"),
    [
        ({"patience": 2}, [3, 3, 3, 3, 3, 3, 3], [1, 1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"patience": 2}, [3, 3, 2, 2, 1, 1, 0], [1] * 7),
        ({"patience": 2}, [3, 3, 2, 2, 2, 2, 1], [1, 1, 1, 1, 1, 0.5, 0.5]),
        ({"patience": 1}, [3, 3, 3, 3], [1, 1, 0.5, 0.25]),
        ({"patience": 0}, [3, 3, 3, 3], [1, 1, 0.5, 0.25]),
        ({"patience": 1}, [3, np.nan, 3, 2], [1, 1, 0.5, 0.25]),
        ({"patience": 1, "factor": 0.25}, [3, 3, 3], [1, 1, 0.25]),
        ({"patience": 1, "cooldown": 2}, [3] * 8, [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]),
        ({"patience": 2, "cooldown": 1}, [3] * 8, [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]),
        ({"patience": 1, "cooldown": 2}, [3, 3, 2, 2, 2, 2], [1, 1, 0.5, 0.5, 0.5, 0.25]),
        ({"patience": 1, "min_lr": 0.3 / 64}, [3] * 5, [1, 1, 0.5, 0.3, 0.3]),
        ({"patience": 1, "min_lr": 5.0}, [3] * 4, [1, 1, 1, 1]),
        ({"patience": 1, "min_delta": 0.1}, [3, 2.95, 2.85, 2.85], [1, 1, 0.5, 0.5]),
        ({"patience": 1, "mode": "max"}, [3, 4, 4, 5], [1, 1, 1, 0.5]),
        ({"patience": 1, "monitor": "val_accuracy"}, [0.3, 0.4, 0.4, 0.5], [1, 1, 1, 0.5]),
    ],
)
def test_the_rate_comes_down_after_epochs_without_improvement(settings, values, expected, monkeypatch):
    found, training = rates(values, monkeypatch, **settings)
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    assert training.optimizer.lr <= found[-1] / 64


def test_an_improvement_within_the_usual_min_delta_is_none(monkeypatch):
    measured(monkeypatch, [1.0, 0.99995, 0.9998])
    training, X, y, held_out = setting(optimizer=fb.SGD(0.5))
    history = training.fit(X, y, epochs=3, validation=held_out, callbacks=[fb.ReduceLROnPlateau(patience=1)])
    assert history.lr == [0.5, 0.5, 0.05]


def test_the_rate_of_a_schedule_comes_down_with_it(monkeypatch):
    schedule = fb.Cosine(steps=40, warmup=3)
    found, _ = rates([3] * 5, monkeypatch, patience=1, schedule=schedule)
    factors = schedule.factors(0, 35)[A_PASS - 1 :: A_PASS]
    np.testing.assert_allclose(found, factors * [1, 1, 0.5, 0.25, 0.125], rtol=1e-14)


def test_the_optimiser_keeps_the_smaller_rate_and_a_new_fit_counts_anew(monkeypatch):
    training, X, y, held_out = setting(optimizer=fb.AdamW(0.5, weight_decay=0.25))
    reduce, found = fb.ReduceLROnPlateau(0.5, patience=2, min_delta=0.0), []
    for values in ([3, 3, 3], [9, 9, 9], [9, 9]):
        measured(monkeypatch, values)
        found.append(training.fit(X, y, epochs=len(values), validation=held_out, callbacks=[reduce]).lr)
    assert found == [[0.5] * 3, [0.25] * 3, [0.125] * 2]
    assert training.optimizer == fb.AdamW(0.125, weight_decay=0.25)


@pytest.mark.parametrize("rule", ["adam", "nadam", "sgd"])
def test_moments_stay_as_they_are_when_the_rate_comes_down(rule, monkeypatch):
    measured(monkeypatch, [3.0] * 4)
    own = {"momentum": 0.9} if rule == "sgd" else {}
    optimizer = {"adam": fb.Adam, "nadam": fb.NAdam, "sgd": fb.SGD}[rule](1e-2, **own)
    training, X, y, held_out = setting("float64", optimizer=optimizer)
    first, second = (training.net.parameters[f"{node}.weight"] for node in (0, 2))
    biases = (training.net.parameters[f"{node}.bias"] for node in (0, 2))
    slow = reference.MLP([("linear", first, next(biases)), ("tanh",), ("linear", second, next(biases))])
    reduce = fb.ReduceLROnPlateau(0.5, patience=1)
    training.fit(X, y, epochs=4, validation=held_out, callbacks=[reduce])
    for lr, epochs in ((1e-2, 2), (5e-3, 1), (2.5e-3, 1)):
        update = lambda *now, lr=lr: getattr(reference, rule)(*now, lr=lr, **own)  # noqa: E731
        slow.run(X, y, epochs * A_PASS, BATCH, 1, update)
    np.testing.assert_allclose(training.net.flat, slow.theta, rtol=1e-10, atol=1e-13)


# Time


def clock(monkeypatch, steps=3):
    """A clock that a look moves on by a second, and calls of so many steps."""
    now = iter(range(10**6))
    monkeypatch.setattr(module, "time", types.SimpleNamespace(perf_counter=lambda: float(next(now))))
    monkeypatch.setattr(Pace, "steps", lambda self: steps)


@every_dtype
@pytest.mark.parametrize("more", [{}, {"ema": 0.9, "clip_norm": 0.1}], ids=["plain", "with-options"])
@pytest.mark.parametrize(
    ("seconds", "steps", "epochs", "samples"),
    [(1, 3, 1, 24), (3, 7, 1, 50), (5, 13, 2, 98), (6, 14, 2, 100), (0.5, 3, 1, 24)],
)
def test_a_fit_ends_between_two_calls_when_its_time_is_over(seconds, steps, epochs, samples, more, dtype, monkeypatch):
    clock(monkeypatch)
    training, X, y, held_out = setting(
        dtype, layers=[fb.Linear(9), fb.BatchNorm(), fb.Dropout(0.2), fb.Linear(4)], **more
    )
    other = trainer(dtype, layers=training.net.layers, **more)
    for each in (training, other):
        each.run(X, y, steps=A_PASS)
    after = training.fit(X, y, 9, held_out, callbacks=[fb.TimeBudget(seconds)], metrics=["accuracy"])
    run = other.run(X, y, steps=steps)
    assert after.stopped == f"the time budget of {seconds} seconds is spent"
    assert [len(after[name]) for name in ("loss", "val_loss", "lr", "val_accuracy")] == [epochs] * 4
    assert (after.steps, after.samples, training.steps_done) == (steps, samples, A_PASS + steps)
    assert after.loss == run.loss
    assert training.net.flat.tobytes() == other.net.flat.tobytes()
    assert training.net.states.flat().tobytes() == other.net.states.flat().tobytes()
    assert after.val_loss[-1] == training.evaluated.evaluate(*held_out)
    assert run.samples == samples


def test_a_fit_that_was_cut_off_begins_a_new_epoch_when_it_goes_on(monkeypatch):
    clock(monkeypatch)
    training, X, y, _ = setting("float64")
    training.fit(X, y, 9, callbacks=[fb.TimeBudget(1)])
    assert training.fit(X, y, 2).samples == 2 * ROWS


def test_time_is_that_of_the_wall():
    training, X, y, held_out = setting()
    history = training.fit(X, y, 10**6, held_out, callbacks=[fb.TimeBudget(0.2)])
    assert history.stopped == "the time budget of 0.2 seconds is spent"
    assert 0.19 < history.seconds < 5.0  # the clock of the budget starts a little earlier


def test_a_reason_to_stop_stays_the_first(monkeypatch):
    clock(monkeypatch, steps=A_PASS)
    training, X, y, _ = setting()

    class Enough(fb.Callback):
        def epoch(self, trainer, history):
            history.stopped = history.stopped or "enough"

    assert training.fit(X, y, 9, callbacks=[Enough(), fb.TimeBudget(1)]).stopped == "enough"


# When each is called


class Noting(fb.Callback):
    def __init__(self, name, calls):
        self.name, self.calls = name, calls

    def begin(self, trainer, history):
        self.calls.append((self.name, "begin"))

    def chunk(self, trainer, history):
        self.calls.append((self.name, "chunk"))

    def epoch(self, trainer, history):
        self.calls.append((self.name, "epoch"))

    def end(self, trainer, history):
        self.calls.append((self.name, "end"))


def test_callbacks_are_called_in_the_order_of_their_list(monkeypatch):
    monkeypatch.setattr(Pace, "steps", lambda self: 4)
    training, X, y, _ = setting()
    calls = []
    function = lambda *_: calls.append(("f", "epoch"))  # noqa: E731
    training.fit(X, y, epochs=2, callbacks=[Noting("a", calls), function, Noting("b", calls)])
    both = lambda what: [("a", what), ("b", what)]  # noqa: E731
    epoch = [*both("chunk"), ("a", "epoch"), ("f", "epoch"), ("b", "epoch")]
    assert calls == both("begin") + epoch * 2 + both("end")


def test_what_can_be_called_is_a_function():
    class Counting:
        count = 0

        def __call__(self, trainer, history):
            self.count += 1

        def method(self, trainer, history):
            self.count += 10

    training, X, y, _ = setting()
    one = Counting()
    training.fit(X, y, epochs=2, callbacks=(one, one.method))
    assert one.count == 22


def test_a_callback_may_stop_a_fit_before_it_begins():
    class Never(fb.Callback):
        def begin(self, trainer, history):
            history.stopped = "not today"

    training, X, y, _ = setting()
    before = training.net.flat
    history = training.fit(X, y, epochs=3, callbacks=[Never()])
    assert (history.loss, history.stopped, training.steps_done) == ([], "not today", 0)
    assert np.array_equal(training.net.flat, before)


@pytest.mark.parametrize("when", ["chunk", "epoch"])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_every_callback_ends_when_one_fails(error, when):
    class Failing(fb.Callback):
        pass

    def fail(self, trainer, history):
        raise error

    setattr(Failing, when, fail)
    training, X, y, _ = setting()
    calls = []
    with pytest.raises(error):
        training.fit(X, y, epochs=3, callbacks=[Noting("a", calls), Failing(), Noting("b", calls)])
    assert calls[-2:] == [("a", "end"), ("b", "end")]


def test_every_callback_ends_where_another_cannot():
    class Failing(fb.Callback):
        def end(self, trainer, history):
            raise ZeroDivisionError

    training, X, y, _ = setting()
    calls = []
    with pytest.raises(ZeroDivisionError):
        training.fit(X, y, epochs=1, callbacks=[Failing(), Noting("b", calls)])
    assert calls[-1] == ("b", "end")
