"""From `hidden` and what goes between to a network."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

import fastbp as fb
from fastbp.sklearn import MLPRegressor

X = np.random.default_rng(1).normal(size=(40, 8))
KW = {"epochs": 1, "random_state": 3, "scale": "none", "scale_target": False}


def kinds(**settings):
    return [layer.kind for layer in MLPRegressor(**KW, **settings).fit(X, X[:, 0]).network_.layers]


def test_each_width_has_its_norm_activation_and_dropout():
    block = ["linear", "layer_norm", "gelu", "dropout"]
    assert kinds(hidden=(8, 8), norm="layer_norm", activation="gelu", dropout=0.2) == [*block, *block, "linear"]
    assert kinds(hidden=4) == kinds(hidden=np.array([4])) == ["linear", "relu", "linear"]
    assert kinds(hidden=()) == ["linear"]


def test_each_width_may_have_an_activation_of_its_own():
    assert kinds(hidden=(8, 4), activation=["tanh", fb.GELU()]) == ["linear", "tanh", "linear", "gelu", "linear"]
    for given, message in (
        (["tanh"], "`activation` must have one for each of the 2 hidden layers, got 1"),
        (["tanh", "nothing"], "`activation[1]` must be one of `identity`, "),
    ):
        with pytest.raises(fb.ConfigError) as info:
            kinds(hidden=(8, 4), activation=given)
        assert str(info.value).startswith(message)


def test_layers_are_given_as_such_or_as_in_a_configuration():
    assert kinds(hidden=[fb.Linear(4), fb.Tanh()]) == kinds(hidden=[{"name": "linear", "features": 4}, "tanh"])


def test_residual_layers_add_what_they_get_where_widths_are_equal():
    found = MLPRegressor((8, 8, 4), residual=True, **KW).fit(X, X[:, 0]).network_
    h = x = fb.Input(8)
    for width in (8, 8, 4):
        before, h = h, fb.relu(fb.Linear(width)(h))
        h = before + h if width == 8 else h
    net = fb.Network(inputs=x, outputs=fb.Linear(1)(h))
    net.flat = found.flat
    assert net.predict(X).tobytes() == found.predict(X).tobytes()
