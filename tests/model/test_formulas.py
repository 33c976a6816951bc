"""The text of a formula, its kernel and its NumPy twin say the same, and so do their derivatives."""

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.reference import activations as twins
from fastbp.spec.activations import Activation
from fastbp.spec.catalogue import ACTIVATIONS, LOSSES, loss_of

SETTINGS = {
    "leaky_relu": [{"negative_slope": 0.3}],
    "elu": [{"alpha": 1.7}],
    "gelu": [{"approximate": "tanh"}],
    "softplus": [{"beta": 2.5}],
    "hardtanh": [{"min_val": -0.4, "max_val": 1.3}],
}
PLAIN = {name: made for name, made in ACTIVATIONS.items() if isinstance(made, type) and issubclass(made, Activation)}
CASES = [made(**words) for name, made in PLAIN.items() for words in ({}, *SETTINGS.get(name, ()))]
X = np.concatenate([np.linspace(-30.0, 30.0, 241) + 0.01, [-1e-3, 1e-3, -700.0, 700.0]])
NUMBERS = [fb.MSE(), fb.HalfMSE(), fb.MAE(), fb.Huber(0.7), fb.Quantile(0.3), fb.LogCosh(), fb.Poisson()]
NUMBERS += [fb.BinaryCrossEntropy(), fb.BinaryCrossEntropy(pos_weight=[2.0, 0.5, 1.0])]
NUMBERS += [made() for made in LOSSES.values() if made.formula and made not in map(type, NUMBERS)]
TWINS = [loss.kind for loss in NUMBERS if "labels" not in loss.tasks]


def alone(layer):
    return fb.Network([layer], inputs=len(X), dtype="float64")


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("layer", CASES, ids=repr)
def test_an_activation_is_its_text_and_so_is_its_slope(layer):
    net, ones = alone(layer), np.ones((1, len(X)))
    found = fb.trace(lambda x: layer.traced(x), dtype="float64")
    close(net.predict(X[None])[0], found(X))
    slope = fb.trace(lambda x: layer.traced(x).sum(), dtype="float64").gradient(X)[0]
    close(net.vjp(X[None], ones)[0], slope)


@pytest.mark.parametrize("layer", CASES, ids=repr)
def test_an_activation_is_its_twin(layer):
    twin = getattr(twins, f"{layer.op}_forward")
    settings = [float(v) for v in vars(layer).values() if not isinstance(v, str)]
    close(alone(layer).predict(X[None])[0], twin(X, *settings))


def test_a_text_that_is_another_is_found(monkeypatch):
    monkeypatch.setattr(fb.Tanh, "formula", "x / (1 + abs(x))")
    found = fb.trace(lambda x: fb.Tanh().traced(x), dtype="float64")(X)
    with pytest.raises(AssertionError):
        close(alone(fb.Tanh()).predict(X[None])[0], found)


def rows(loss):
    rng = np.random.default_rng(0)
    z, t = rng.normal(size=(2, 9, 3)) * 2.0
    if "labels" in loss.tasks:
        t = (t > 0.0).astype(float)
    return z, np.abs(t) if loss.limited else t


@pytest.mark.parametrize("loss", NUMBERS, ids=repr)
def test_a_loss_of_numbers_is_its_text_and_so_are_its_gradients(loss):
    z, t = rows(loss)
    net = fb.Network([fb.Scale()], inputs=3, dtype="float64")
    total = fb.trace(lambda z: loss.of_rows(z, t).sum() * (1.0 / len(t)), dtype="float64")
    close(net.evaluate(z, t, loss), total(z))
    value, gradients = net.loss_and_gradients(z, t, loss)
    close(value, total(z))
    close(gradients["0.weight"], (total.gradient(z)[0] * z).sum(axis=0))  # of a scale that is 1


@pytest.mark.parametrize("name", TWINS)
def test_a_loss_of_numbers_is_its_twin(name):
    loss = loss_of(name)
    z, t = rows(loss)
    twin = getattr(reference, f"{name}_rows")
    net = fb.Network([fb.Identity()], inputs=3, dtype="float64")
    close(net.evaluate(z, t, loss), twin(z, t).mean())
