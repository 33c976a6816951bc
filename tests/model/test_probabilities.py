"""Probabilities are those by which the losses measure, or those of the last layer."""

import copy

import numpy as np
import pytest

import fastbp as fb
from fastbp.numerics import likely

X = np.random.default_rng(0).standard_normal((7, 4))
LABELS = np.array([0, 2, 1, 1, 0, 2, 2])


def net_of(*end, outputs=3, dtype="float64"):
    net = fb.Network([fb.Linear(8), fb.Tanh(), fb.Linear(outputs), *end], inputs=4, seed=3, dtype=dtype)
    net.flat = 3.0 * net.flat
    return net


def test_those_of_cross_entropy_are_what_it_takes_the_logarithm_of():
    net = net_of()
    p = net.probabilities(X, loss="cross_entropy")
    assert p.sum(axis=1) == pytest.approx(1.0, abs=1e-15)
    each = [net.evaluate(X[i : i + 1], LABELS[i : i + 1]) for i in range(7)]
    assert -np.log(p[np.arange(7), LABELS]) == pytest.approx(each, abs=1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_one_output_is_two_classes(loss):
    net = net_of(outputs=1)
    p = net.probabilities(X, loss=loss)
    z = net.predict(X)[:, 0]
    assert p.shape == (7, 2)
    assert p[:, 1] == pytest.approx(1.0 / (1.0 + np.exp(-z)), abs=1e-15)
    assert p.sum(axis=1) == pytest.approx(1.0, abs=1e-15)


def test_several_labels_have_a_probability_each():
    net = net_of()
    p = net.probabilities(X, loss="binary_cross_entropy")
    T = (X[:, :3] > 0).astype(float)
    loss = -(T * np.log(p) + (1.0 - T) * np.log(1.0 - p)).mean()
    assert loss == pytest.approx(net.evaluate(X, T, "binary_cross_entropy"), abs=1e-12)


@pytest.mark.parametrize("end", [fb.Softmax(), fb.LogSoftmax(), fb.Sigmoid()], ids=lambda layer: layer.kind)
def test_a_last_layer_that_gives_them_needs_no_loss(end):
    logits, net = net_of(), net_of(end)
    loss = "binary_cross_entropy" if end.kind == "sigmoid" else "cross_entropy"
    assert net.probabilities(X) == pytest.approx(logits.probabilities(X, loss=loss), abs=1e-14)
    assert net.probabilities(X, loss="mse") == pytest.approx(net.probabilities(X), abs=0.0)


def test_a_last_sigmoid_of_one_output_is_two_classes():
    net = net_of(fb.Sigmoid(), outputs=1)
    assert net.probabilities(X)[:, 1] == pytest.approx(net.predict(X)[:, 0], abs=0.0)
    assert net.probabilities(X).sum(axis=1) == pytest.approx(1.0, abs=1e-15)


def test_the_loss_is_by_default_that_of_the_last_trainer_and_goes_along():
    net = net_of(outputs=3)
    fb.Trainer(net, loss="mse")
    trainer = fb.Trainer(net, loss="binary_cross_entropy", ema=0.5)
    wanted = net.probabilities(X, loss="binary_cross_entropy")
    assert np.array_equal(net.predict_proba(X), wanted)
    assert np.array_equal(copy.deepcopy(net).probabilities(X), wanted)
    assert np.array_equal(copy.deepcopy(trainer).net.probabilities(X), wanted)
    assert trainer.averaged.probabilities(X).shape == wanted.shape


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_large_outputs_are_certain_and_not_nan(loss):
    net = fb.Network([fb.Linear(2, init="ones")], inputs=1, dtype="float32")
    net.parameters["0.weight"] = [[1.0, -1.0]]
    p = net.probabilities([[1e30], [-1e30]], loss=loss)
    assert p.dtype == np.float32
    assert p.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_one_row_is_a_row():
    net = net_of()
    assert np.array_equal(net.probabilities(X[0], loss="cross_entropy"), net.probabilities(X[:1], loss="cross_entropy"))


def two_outputs():
    x = fb.Input(4)
    return fb.Network(inputs=x, outputs=[fb.Linear(2)(x), fb.Linear(3)(x)])


WHAT = "`loss` must be `cross_entropy` or `binary_cross_entropy` for outputs to be probabilities, got "
BAD = {
    "no-loss": (
        net_of,
        {},
        "`probabilities` needs `loss`, as no trainer was made for this network and its outputs may mean anything\n"
        'hint: `loss="cross_entropy"` takes them as logits',
    ),
    "numbers": (net_of, {"loss": "mse"}, WHAT + "`mse`"),
    "a-hinge": (net_of, {"loss": "multi_margin"}, WHAT + "`multi_margin`"),
    "several-outputs": (two_outputs, {}, "`probabilities` needs a network with one output, got 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_where_outputs_are_no_probabilities_one_sentence_says_so(case):
    make, words, message = BAD[case]
    with pytest.raises(fb.ConfigError) as info:
        make().probabilities(X, **words)
    assert str(info.value) == message


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_nothing_that_depends_on_the_machine_makes_them(loss, outputs, monkeypatch):
    net = net_of(outputs=outputs)
    z = net.predict(X)
    for name in ("exp", "exp2", "log", "log1p", "logaddexp", "sum"):
        monkeypatch.setattr(np, name, None)
    softmax, sigmoid = likely.softmax(z), likely.sigmoid(z)
    expected = softmax if loss == "cross_entropy" and outputs > 1 else sigmoid
    assert net.probabilities(X, loss=loss)[:, -outputs:].tolist() == expected.tolist()
