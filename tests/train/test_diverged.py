"""Runs that leave the finite numbers: stopped before the bad update, with the step and the layer named."""

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.engine.memory import view
from fastbp.errors import DivergedError
from fastbp.kernels.fields import LINE_WORDS
from fastbp.lowering import plans
from fastbp.train import calls, stepping
from tests.model.chains import DTYPES, data

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
# The square of HALF is finite, HALF times MORE is not.
HALF = {"float32": 1e19, "float64": 1e150}
MORE = {"float32": 1e20, "float64": 1e160}


def diverge(call):
    with pytest.raises(DivergedError) as info:
        call()
    return info.value


def message(loss, step, layer, net):
    return (
        f"loss or gradients must be finite, got `{loss}` as loss at step `{step}`, first in layer `{layer}`"
        f" ({net.layers[layer]}); the parameters are those before that step"
    )


def no_bias(dtype, *weights, between=(fb.ReLU,)):
    """Linear layers of one unit and no bias with these weights, and layers between each two."""
    layers = [fb.Linear(1, bias=False)]
    for _ in weights[1:]:
        layers += [*(make() for make in between), fb.Linear(1, bias=False)]
    net = fb.Network(layers, inputs=1, dtype=dtype)
    net.flat = weights
    return net


# Runs that blow up by themselves


def optimizers(dtype):
    """Rates at which a linear network with a squared loss blows up within a few hundred steps."""
    large = HALF[dtype] / 1e3  # Adam's steps have one size
    return {
        "sgd": fb.SGD(5.0),
        "momentum": fb.SGD(2.0, momentum=0.9),
        "adam": fb.Adam(large),
        "adamw": fb.AdamW(large, weight_decay=1 / large),
    }


def runaway(dtype, optimizer, threads):
    net = fb.mlp([5, 17, 9, 3], activation="identity", dtype=dtype, dropout=0.2, seed=3)
    rule = optimizers(dtype)[optimizer]
    return net, fb.Trainer(net, loss="mse", optimizer=rule, batch_size=8, threads=threads)


@every_dtype
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_parameters_are_those_before_the_bad_step(optimizer, threads, dtype, monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    net, trainer = runaway(dtype, optimizer, threads)
    X, y = data(net, 30, "mse")
    error = diverge(lambda: trainer.run(X, y, steps=5000))
    assert 0 < error.step < 5000
    assert trainer.steps_done == error.step
    assert np.isfinite(net.flat).all()
    again, other = runaway(dtype, optimizer, 1)
    other.run(X, y, steps=error.step)
    assert net.flat.tobytes() == again.flat.tobytes()
    second = diverge(lambda: other.run(X, y, steps=1))
    assert (str(second), second.step, second.layer) == (str(error), error.step, error.layer)
    assert net.flat.tobytes() == again.flat.tobytes()


@every_dtype
@pytest.mark.parametrize("way", ["step", "fit"])
def test_step_and_fit_stop_at_the_same_step_as_run(way, dtype):
    found = []
    for each in ("run", way):
        net, trainer = runaway(dtype, "sgd", 1)
        X, y = data(net, 8, "mse")

        def steps(trainer=trainer, X=X, y=y):
            for epoch in range(5000):
                rows = reference.permutation(8, trainer.seed, epoch)
                trainer.step(X[rows], y[rows])

        calls = {
            "run": lambda trainer=trainer, X=X, y=y: trainer.run(X, y, steps=5000),
            "fit": lambda trainer=trainer, X=X, y=y: trainer.fit(X, y, epochs=5000),
            "step": steps,
        }
        error = diverge(calls[each])
        assert trainer.steps_done == error.step
        found.append((str(error), error.step, error.layer, net.flat.tobytes()))
    assert found[0] == found[1]


@every_dtype
def test_training_goes_on_after_its_cause_is_gone(dtype):
    net, trainer = runaway(dtype, "sgd", 1)
    X, y = data(net, 30, "mse")
    diverge(lambda: trainer.run(X, y, steps=5000))
    net.flat = fb.mlp([5, 17, 9, 3], seed=4).flat
    trainer.optimizer = fb.SGD(1e-3)
    before, weights = trainer.steps_done, net.flat
    assert np.isfinite(trainer.run(X, y, steps=10).loss).all()
    assert trainer.steps_done == before + 10
    assert not np.array_equal(net.flat, weights)


# The layer that is named


@every_dtype
@pytest.mark.parametrize("bad", [0, 1, 2, 3])
@pytest.mark.parametrize("fast", [False, True], ids=["first", "later"])
def test_the_first_layer_whose_output_overflows_is_named(bad, fast, dtype):
    between = (fb.Identity, fb.ReLU)
    net = no_bias(dtype, 1.0, 1.0, 1.0, 1.0, between=between)
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(1e-30))
    if fast:
        trainer.step(np.ones((1, 1), dtype), np.zeros((1, 1), dtype))
    net.parameters[f"{3 * bad}.weight"] = [[np.finfo(dtype).max / 2]]
    before = net.flat
    error = diverge(lambda: trainer.step(np.full((1, 1), 4, dtype), np.zeros((1, 1), dtype)))
    assert (error.step, error.layer) == (int(fast), str(3 * bad))
    assert str(error) == message("inf", int(fast), 3 * bad, net)
    assert net.flat.tobytes() == before.tobytes()


@every_dtype
def test_a_loss_that_overflows_alone_is_blamed_on_no_layer_before_the_last(dtype):
    net = no_bias(dtype, 1.0, MORE[dtype])
    error = diverge(lambda: fb.Trainer(net, loss="mse").step([[1.0]], [[0.0]]))
    assert error.layer in ("2", "loss")
    assert error.step == 0


@every_dtype
@pytest.mark.parametrize("layer", [0, 2])
def test_a_gradient_that_overflows_under_a_finite_loss_is_found(layer, dtype):
    half, more = HALF[dtype], MORE[dtype]
    # Either way z = half, so that the loss, half², and dz = 2 half are finite. One product of the walk back is not:
    # dW = x dh with x = more and dh = dz half, or dW = h dz with h = more.
    x, weights = (more, (1 / more, half)) if layer == 0 else (1.0, (more, half / more))
    net = no_bias(dtype, *weights, between=(fb.Identity,))
    before = net.flat
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(1e-3))
    X, y = np.full((1, 1), x, dtype), np.zeros((1, 1), dtype)
    loss = net.evaluate(X, y, loss="mse")
    assert np.isfinite(loss)
    error = diverge(lambda: trainer.step(X, y))
    assert (error.step, error.layer, str(error)) == (0, str(layer), message(loss, 0, layer, net))
    assert net.flat.tobytes() == before.tobytes()


@every_dtype
@pytest.mark.parametrize("activation", [fb.Tanh, fb.Sigmoid])
@pytest.mark.parametrize("threads", [1, 2])
def test_nan_from_a_saturated_activation_under_a_finite_loss_is_found(activation, threads, dtype, monkeypatch):
    """Both hidden units are exactly 1, their terms cancel, and dh = dz Wᵀ = ±inf meets a derivative of 0."""
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    monkeypatch.setattr(stepping, "ONE_CALL_WORK", 0)
    more = 1e3 * MORE[dtype]
    net = fb.Network([fb.Linear(2), activation(), fb.Linear(1)], inputs=1, dtype=dtype)
    net.parameters.update(
        {"0.weight": [[more, more]], "0.bias": [0, 0], "2.weight": [[more], [-more]], "2.bias": [HALF[dtype]]}
    )
    before = net.flat
    X, y = np.ones((40, 1), dtype), np.zeros((40, 1), dtype)
    loss = net.evaluate(X, y, loss="mse")
    assert np.isfinite(loss)
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(1e-30), batch_size=40, threads=threads)
    for call in (lambda: trainer.run(X, y, steps=3), lambda: trainer.step(X, y), lambda: trainer.step(X, y)):
        error = diverge(call)
        assert (error.step, error.layer) == (0, "0")
        assert net.flat.tobytes() == before.tobytes()


@every_dtype
def test_an_overflow_by_dropout_that_a_relu_hides_is_found(dtype):
    """x / (1 - p) = inf, the relu turns -inf into 0 and the loss is finite, but dW = inf 0."""
    large = np.finfo(dtype).max / 4
    net = fb.Network([fb.Dropout(0.9), fb.Linear(1, bias=False), fb.ReLU(), fb.Linear(1)], inputs=1, dtype=dtype)
    net.parameters.update({"1.weight": [[-1.0]], "3.weight": [[1.0]], "3.bias": [0.5]})
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(1e-3))
    X, y = np.full((1, 1), large, dtype), np.zeros((1, 1), dtype)
    error = diverge(lambda: [trainer.step(X, y) for _ in range(200)])
    assert np.isfinite(net.flat).all()
    assert error.layer == "1"


@every_dtype
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_step_that_overflows_under_a_finite_gradient_is_not_taken(momentum, dtype):
    net = fb.Network([fb.Linear(1)], inputs=1, dtype=dtype)
    before = net.flat
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(float(np.finfo(dtype).max), momentum))
    error = diverge(lambda: trainer.step([[10.0]], [[100.0]]))
    assert (error.step, error.layer) == (0, "0")
    assert net.flat.tobytes() == before.tobytes()


@every_dtype
def test_evaluating_tells_what_the_loss_is_and_raises_nothing(dtype):
    net = no_bias(dtype, 1.0, MORE[dtype])
    assert net.evaluate([[1.0]], [[0.0]], loss="mse") == np.inf


# Large but finite


def forced(trainer, limit):
    """Make every bound on gradients too large to tell, or never; both plans are there after a call of each."""
    for plan in (trainer._batch_plan, trainer._step_plan):
        plan.head.step.limit = limit


@every_dtype
@pytest.mark.parametrize("optimizer", [fb.SGD(0.05), fb.SGD(0.01, 0.9), fb.Adam(), fb.AdamW()])
@pytest.mark.parametrize("threads", [1, 2])
def test_looking_at_every_gradient_changes_no_bit(optimizer, threads, dtype, monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    monkeypatch.setattr(stepping, "ONE_CALL_WORK", 0)
    found = []
    for limit in (0.0, np.inf):
        net = fb.mlp([5, 33, 17, 3], activation="tanh", dtype=dtype, dropout=0.2)
        trainer = fb.Trainer(net, optimizer=optimizer, batch_size=32, threads=threads)
        X, y = data(net, 75)
        trainer.run(X, y, steps=1)
        trainer.step(X[:32], y[:32])
        forced(trainer, limit)
        losses = trainer.run(X, y, steps=60).loss
        losses += [trainer.step(X[:32], y[:32]) for _ in range(4)]
        found.append((losses, net.flat.tobytes()))
    assert found[0] == found[1]


def phases_done(trainer):
    """Phases of the last call, as the tickets of its workers number them."""
    lines = view(trainer._batch_plan.head.team.tickets, (trainer._batch_plan.workers, LINE_WORDS), np.int64)
    return int(lines[:, 0].max()) >> 24


@every_dtype
def test_values_near_the_square_root_of_the_largest_train_as_small_ones_do(dtype, monkeypatch):
    """Without biases X, targets and rate scaled by s, s and 1/s² give the same weights, exactly for a power of two."""
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    monkeypatch.setattr(calls, "CALL_SECONDS", 1e9)  # one call for the first step, one for all that follow
    scale = {"float32": 2.0**60, "float64": 2.0**498}[dtype]
    found, phases = [], []
    for s in (1.0, scale):
        layers = [fb.Linear(17, bias=False), fb.ReLU(), fb.Linear(3, bias=False)]
        net = fb.Network(layers, inputs=5, dtype=dtype, seed=1)
        X, y = (np.ascontiguousarray(a * net.dtype.type(s)) for a in data(net, 64, "mse"))
        trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(2.0**-5 / s**2), batch_size=32, threads=2)
        history = trainer.run(X, y, steps=40)
        found.append(([loss / s**2 for loss in history.loss], net.flat.tobytes()))
        phases.append(phases_done(trainer))
        assert np.abs(X).max() > 2 * s
    assert found[0] == found[1]
    assert phases[1] == phases[0] + 39  # each step of the large run had one phase more, the one that checks


@every_dtype
def test_one_weight_at_large_values_has_the_bits_of_the_twin(dtype):
    """Every number is a power of two or a short sum of them, so that the twin rounds nothing either."""
    large = {"float32": 2.0**60, "float64": 2.0**505}[dtype]
    net = no_bias(dtype, 0.0)
    slow = reference.MLP([("linear", np.zeros((1, 1), dtype), np.zeros(1, dtype))], "mse")
    rate = large**-2 / 8
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(rate))
    X = y = np.full((1, 1), large, dtype)
    for _ in range(8):
        mask = np.array([1, 0], dtype)  # the twin's bias stays zero
        expected = slow.step(X, y, lambda p, g, state, mask=mask: reference.sgd(p, g * mask, state, lr=rate))
        assert trainer.step(X, y) == expected
        assert net.flat[0] == slow.theta[0]
    assert net.flat[0] == 1 - 0.75**8
