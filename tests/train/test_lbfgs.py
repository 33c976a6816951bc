"""L-BFGS: it finds minima, penalty and weights included, and tells and obeys what a fit does."""

import csv
import sys
import types

import numpy as np
import pytest

import fastbp as fb
from fastbp.train import callbacks as module
from tests.model.chains import DTYPES, data

pytest.importorskip("scipy")

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def network(loss="mse", dtype="float64", layers=None, inputs=3):
    outputs = 4 if loss == "cross_entropy" else 2
    return fb.Network(layers or [fb.Linear(5), fb.Tanh(), fb.Linear(outputs)], inputs=inputs, seed=1, dtype=dtype)


def setting(loss="mse", dtype="float64", rows=60, **settings):
    net = network(loss, dtype)
    return fb.LBFGS(net, loss=loss, **settings), *data(net, rows, loss), data(net, 20, loss, seed=2)


def slope(training, X, y, decays, weights=None):
    """The gradient of loss and penalty, by name; `decays` has the λ of each parameter."""
    net = training.net
    _, gradients = net.loss_and_gradients(X, y, training.loss, weights)
    return {name: g + decays.get(name, 0.0) * net.parameters[name] for name, g in gradients.items()}


def steepest(slopes):
    return max(float(np.abs(g).max()) for g in slopes.values())


# Minima


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_smooth_function_is_learned(dtype):
    X = np.linspace(-1, 1, 64)[:, None]
    y = np.sin(3 * X)
    net = fb.Network([fb.Linear(8), fb.Tanh(), fb.Linear(1)], inputs=1, seed=0, dtype=dtype)
    history = fb.LBFGS(net, loss="mse").fit(X, y, epochs=300)
    assert history.loss[-1] < (1e-5 if dtype == "float64" else 1e-3)
    assert np.abs(net.predict(X) - y).max() < (0.02 if dtype == "float64" else 0.1)


@every_dtype
def test_classes_are_learned(dtype):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 3)) + 4 * np.repeat(np.eye(3), 30, axis=0)
    y = np.repeat([0, 1, 2], 30)
    net = fb.Network([fb.Linear(6), fb.Tanh(), fb.Linear(3)], inputs=3, seed=0, dtype=dtype)
    history = fb.LBFGS(net, weight_decay=1e-3).fit(X, y, epochs=200)
    assert (net.predict(X).argmax(axis=1) == y).mean() > 0.97
    assert history.loss[-1] < 0.1


def test_a_linear_network_finds_the_least_squares():
    net = network(layers=[fb.Linear(2)])
    X, y = data(net, 60, "mse")
    training = fb.LBFGS(net, loss="mse", tolerance=1e-12)
    training.fit(X, y, epochs=200)
    design = np.column_stack([X, np.ones(60)])
    best, *_ = np.linalg.lstsq(design, y, rcond=None)
    np.testing.assert_allclose(net.parameters["0.weight"], best[:3], rtol=0, atol=1e-9)
    np.testing.assert_allclose(net.parameters["0.bias"], best[3], rtol=0, atol=1e-9)


def test_a_linear_network_with_decay_finds_the_ridge_of_weighted_rows():
    """Σ ω |z - t|² / (2 Σ ω) + λ/2 |W|² has a closed form; the bias is not in the penalty."""
    net = network(layers=[fb.Linear(2)])
    X, y = data(net, 60, "mse")
    weights = np.random.default_rng(3).random(60)
    fb.LBFGS(net, loss="mse", weight_decay=0.3, tolerance=1e-12).fit(X, y, 200, sample_weight=weights)
    share = weights / weights.sum()  # two outputs: the loss of a row is |z - t|² / 2, its gradient z - t
    centred_X, centred_y = X - share @ X, y - share @ y
    W = np.linalg.solve(
        centred_X.T @ (share[:, None] * centred_X) + 0.3 * np.eye(3), centred_X.T @ (share[:, None] * centred_y)
    )
    np.testing.assert_allclose(net.parameters["0.weight"], W, rtol=0, atol=1e-9)
    np.testing.assert_allclose(net.parameters["0.bias"], share @ y - share @ X @ W, rtol=0, atol=1e-9)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("decay_all", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_penalty_are_flat_at_the_end(weighted, decay_all, loss):
    training, X, y, _ = setting(loss, weight_decay=0.02, decay_all=decay_all, tolerance=1e-7)
    weights = np.random.default_rng(3).random(60) if weighted else None
    before = training.net.flat
    history = training.fit(X, y, 3000, sample_weight=weights)
    decays = {name: 0.02 for name in training.net.parameters if decay_all or name.endswith("weight")}
    assert history.stopped == "the gradient is small"
    assert steepest(slope(training, X, y, decays, weights)) <= 1e-7
    assert steepest(slope(training, X, y, {}, weights)) > 1e-4
    assert not np.array_equal(training.net.flat, before)
    assert np.isclose(history.loss[-1], training.net.evaluate(X, y, loss, weights), rtol=1e-12)


def test_a_reason_that_says_the_gradient_is_small_is_true():
    """In float32 a loss stops falling before its gradient is small."""
    training, X, y, _ = setting("mse", "float32", tolerance=1e-12)
    history = training.fit(X, y, epochs=5000)
    assert history.stopped
    assert steepest(slope(training, X, y, {})) > 1e-12
    assert history.stopped == "the loss cannot be made smaller"


@every_dtype
def test_the_loss_falls_in_every_iteration(dtype):
    training, X, y, _ = setting(dtype=dtype)
    history = training.fit(X, y, epochs=30)
    assert all(later <= sooner for sooner, later in zip(history.loss, history.loss[1:], strict=False))
    assert history.loss[-1] < 0.9 * history.loss[0]


@pytest.mark.parametrize("layers", [
    [fb.Linear(6), fb.LayerNorm(), fb.GELU(), fb.Linear(2)],
    [fb.Linear(6, ntk=True), fb.PReLU(), fb.Scale(), fb.Linear(2, bias=False)],
    [fb.Embedding({1: (4, 3)}), fb.Linear(6), fb.RMSNorm(), fb.SiLU(), fb.Linear(2)],
])  # fmt: skip
def test_parameters_of_every_kind_are_trained(layers):
    net = network(layers=layers)
    X, y = data(net, 40, "mse")
    X[:, 1] = np.arange(40) % 4
    before = {name: net.parameters[name] for name in net.parameters}
    start = net.evaluate(X, y, "mse")
    fb.LBFGS(net, loss="mse").fit(X, y, epochs=60)
    assert net.evaluate(X, y, "mse") < 0.7 * start
    assert all(not np.array_equal(net.parameters[name], a) for name, a in before.items())


def test_several_fits_go_on_from_where_the_last_ended():
    training, X, y, _ = setting()
    first, second = (training.fit(X, y, epochs=5) for _ in range(2))
    assert second.loss[-1] < first.loss[-1]
    assert training.steps_done == 10


# What a fit tells


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_a_history_tells_what_was_done(loss):
    training, X, y, held_out = setting(loss, weight_decay=0.01)
    metric = "rmse" if loss == "mse" else "accuracy"
    expected = []
    note = lambda trainer, history: expected.append((  # noqa: E731
        trainer.net.evaluate(X, y, loss), trainer.net.evaluate(*held_out, loss)
    ))  # fmt: skip
    history = training.fit(X, y, 8, held_out, callbacks=[note], metrics=[metric])
    np.testing.assert_allclose(history.loss, [own for own, _ in expected], rtol=1e-12)  # without the penalty
    assert history.val_loss == [other for _, other in expected]
    assert [len(history[name]) for name in ("loss", "val_loss", "lr", f"val_{metric}")] == [8] * 4
    assert (history.steps, training.steps_done, history.stopped) == (8, 8, "")
    assert history.samples >= 8 * 60
    assert history.samples % 60 == 0
    assert history.seconds > 0
    assert training.net.evaluate(X, y, loss) == expected[-1][0]
    outputs = training.net.predict(held_out[0])
    last = (
        np.sqrt(((outputs - held_out[1]) ** 2).mean(axis=0)).mean()
        if loss == "mse"
        else (outputs.argmax(1) == held_out[1]).mean()
    )
    assert np.isclose(history[f"val_{metric}"][-1], last)


def test_no_epochs_change_nothing():
    training, X, y, _ = setting()
    before = training.net.flat
    history = training.fit(X, y, epochs=0)
    assert (history.loss, history.steps, history.samples, history.stopped) == ([], 0, 0, "")
    assert np.array_equal(training.net.flat, before)


# Callbacks


def test_early_stopping_goes_back_to_the_best(monkeypatch):
    left = iter([3, 2, 1, 2, 2, 0])
    monkeypatch.setattr(fb.Network, "evaluate_checked", lambda self, *_: next(left))
    training, X, y, held_out = setting()
    seen = []
    note = lambda trainer, history: seen.append(trainer.net.flat)  # noqa: E731
    history = training.fit(X, y, 9, held_out, callbacks=[note, fb.EarlyStopping(2)])
    assert history.stopped == "`val_loss` did not improve for 2 epochs"
    assert len(history.loss) == 5
    assert np.array_equal(training.net.flat, seen[2])
    fresh = network()
    fresh.flat = seen[2]
    u = np.ones((60, 2))
    assert np.array_equal(training.net.vjp(X, u), fresh.vjp(X, u))


def test_a_time_budget_ends_it(monkeypatch):
    now = iter(range(10**6))
    monkeypatch.setattr(module, "time", types.SimpleNamespace(perf_counter=lambda: float(next(now))))
    training, X, y, held_out = setting()
    history = training.fit(X, y, 50, held_out, callbacks=[fb.TimeBudget(4)])
    assert history.stopped == "the time budget of 4 seconds is spent"
    assert [len(history[name]) for name in ("loss", "val_loss", "lr")] == [4] * 3


def test_files_are_written(tmp_path):
    training, X, y, held_out = setting()
    callbacks = [fb.CSVLogger(tmp_path / "log.csv"), fb.ModelCheckpoint(tmp_path / "{epoch}")]
    history = training.fit(X, y, 3, held_out, callbacks=callbacks, metrics=["r2"])
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("loss", "val_loss", "val_r2"):
        assert [float(row[name]) for row in rows] == history[name]
    assert [int(row["step"]) for row in rows] == [1, 2, 3]
    assert fb.load(tmp_path / "3").flat.tobytes() == training.net.flat.tobytes()
    assert fb.load(tmp_path / "1").evaluate(*held_out, loss="mse") == history.val_loss[0]


def test_a_callback_that_fails_leaves_the_last_iteration():
    training, X, y, _ = setting()
    seen, calls = [], []

    class Noting(fb.Callback):
        def epoch(self, trainer, history):
            seen.append(trainer.net.flat)
            if len(seen) == 3:
                raise ZeroDivisionError

        def end(self, trainer, history):
            calls.append("end")

    with pytest.raises(ZeroDivisionError):
        training.fit(X, y, 9, callbacks=[Noting()])
    assert np.array_equal(training.net.flat, seen[2])
    assert calls == ["end"]


def test_a_search_that_is_interrupted_leaves_the_last_iteration(monkeypatch):
    training, X, y, _ = setting()
    left, seen = iter(range(8)), [training.net.flat]
    once = fb.Network.loss_and_gradients

    def interrupted(self, *args):
        if next(left) == 7:
            raise KeyboardInterrupt
        return once(self, *args)

    monkeypatch.setattr(fb.Network, "loss_and_gradients", interrupted)
    with pytest.raises(KeyboardInterrupt):
        training.fit(X, y, 50, callbacks=[lambda trainer, history: seen.append(trainer.net.flat)])
    assert len(seen) > 2
    assert np.array_equal(training.net.flat, seen[-1])


def test_validation_and_files_change_no_bit(tmp_path):
    ways = []
    for watched in (False, True):
        training, X, y, held_out = setting()
        more = {"validation": held_out, "callbacks": [fb.JSONLogger(tmp_path / "log")], "metrics": ["mae"]}
        training.fit(X, y, 10, **(more if watched else {}))
        ways.append(training.net.flat.tobytes())
    assert ways[0] == ways[1]


# What is refused


def refused(kind, make, message):
    with pytest.raises(fb.FastbpError) as info:
        make()
    assert (type(info.value), str(info.value)) == (kind, message)


@pytest.mark.parametrize("layer", [fb.Dropout(0.2), fb.BatchNorm()])
def test_a_loss_that_changes_from_call_to_call_is_refused(layer):
    net = network(layers=[fb.Linear(4), layer, fb.Linear(2)])
    message = f"`net` must have the same loss at each call for L-BFGS, got one with `{layer!r}`"
    refused(fb.ConfigError, lambda: fb.LBFGS(net, loss="mse"), message)


@pytest.mark.parametrize("monitor", ["loss", "val_loss"])
def test_a_learning_rate_that_there_is_not_cannot_come_down(monitor):
    training, X, y, held_out = setting()
    before = training.net.flat
    message = "`ReduceLROnPlateau` needs a learning rate, which `LBFGS` has not"
    callbacks = [fb.ReduceLROnPlateau(monitor=monitor)]
    refused(fb.ConfigError, lambda: training.fit(X, y, 5, held_out, callbacks=callbacks), message)
    assert np.array_equal(training.net.flat, before)


@pytest.mark.parametrize("name", ["scipy", "scipy.optimize"])
def test_scipy_is_named_where_it_is_missing(name, monkeypatch):
    training, X, y, _ = setting()
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "scipy.optimize") if name == "scipy" else None
    message = '`LBFGS` needs SciPy, which is not installed\nhint: pip install "fastbp[lbfgs]"'
    refused(fb.DependencyError, lambda: training.fit(X, y), message)


def test_a_network_whose_loss_overflows_is_not_left_with_numbers_that_are_not_finite():
    training, X, y, _ = setting(dtype="float32")
    training.fit(X * 1e18, y, epochs=20)
    assert np.isfinite(training.net.flat).all()


def test_a_start_whose_loss_is_not_finite_is_told_as_any_trainer_tells_it():
    training, X, y, _ = setting(dtype="float32")
    training.net.parameters["2.weight"] = np.full((5, 2), 3e38)
    before = training.net.flat
    with pytest.raises(fb.DivergedError):
        training.fit(X, y, epochs=5)
    assert np.array_equal(training.net.flat, before)


# What goes wrong


def test_a_penalty_past_all_numbers_stops_with_the_parameters_of_before():
    training, X, y, _ = setting(weight_decay=1e300)
    before = training.net.flat
    with pytest.raises(fb.DivergedError, match="steps must be finite; the parameters are those"):
        training.fit(X, y, epochs=3)
    np.testing.assert_array_equal(training.net.flat, before)


def test_no_error_of_a_callback_is_taken_for_a_wish_to_stop():
    class Leaves(fb.Callback):
        def epoch(self, trainer, history):
            raise StopIteration("mine")

    training, X, y, _ = setting()
    with pytest.raises(StopIteration, match="mine"):
        training.fit(X, y, epochs=3, callbacks=[Leaves()])
