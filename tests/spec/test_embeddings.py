"""Layers that embed numbers: their settings, what they draw, and how they stand in networks, files and tables."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, ConfigTypeError
from fastbp.spec.embeddings import EMBEDDERS, PBLD, CosineEmbedding, CosineNumbers, PBLDNumbers

LAYERS = PBLD, CosineEmbedding
every_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda made: made.__name__)
WRONG = [
    ({"columns": []}, ConfigTypeError, "columns` must be a list of columns, or None for all, got `[]`"),
    ({"columns": "01"}, ConfigTypeError, "columns` must be a list of columns, or None for all, got `'01'`"),
    ({"columns": [0, -1]}, ConfigError, "columns[1]` must be at least 0, got `-1`"),
    ({"columns": [2, 0, 2]}, ConfigError, "columns` must name each column once, got `2` twice"),
    ({"frequencies": 0}, ConfigError, "frequencies` must be at least 1, got `0`"),
    ({"sigma": 0}, ConfigError, "sigma` must be above 0, got `0.0`"),
]


@pytest.mark.parametrize(("settings", "error", "message"), WRONG)
@every_layer
def test_settings_that_are_none_are_refused(layer, settings, error, message):
    with pytest.raises(error) as found:
        layer(**settings)
    assert str(found.value) == f"`{layer.__name__}.{message}"


@every_layer
def test_columns_must_be_there(layer):
    with pytest.raises(ConfigError) as found:
        fb.Network([layer([3])], inputs=3)
    assert str(found.value) == f"`{layer.__name__}.columns` must be below 3, the inputs, got `3`"


@every_layer
def test_all_columns_are_those_in_order(layer):
    some, every = (fb.Network([of], inputs=3, seed=4) for of in (layer([0, 1, 2]), layer()))
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert some.predict(x).tobytes() == every.predict(x).tobytes()


@every_layer
def test_what_is_embedded_is_in_the_order_of_the_columns(layer):
    net, x = fb.Network([layer([2, 0])], inputs=3, seed=4), np.random.default_rng(0).normal(size=(5, 3))
    rng = np.random.default_rng(1)
    for name, array in net.parameters.items():
        net.parameters[name] = rng.normal(size=array.shape)
    other = fb.Network([layer([0, 2])], inputs=3)
    for name, array in net.parameters.items():
        other.parameters[name] = array[::-1]
    y, z = net.predict(x), other.predict(x)
    half = (y.shape[1] - 3) // 2
    assert np.array_equal(y[:, :half], z[:, half : 2 * half])
    assert np.array_equal(y[:, half : 2 * half], z[:, :half])
    assert np.array_equal(y[:, -3:], x.astype(np.float32))


def test_pbld_is_drawn_as_in_its_recipe():
    p = fb.Network([PBLD(frequencies=400, sigma=0.1)], inputs=50, seed=1).parameters
    assert abs(p["0.frequency"].std() / 0.1 - 1.0) < 0.02
    for part, end in (("phase", np.pi), ("weight", 1 / 20), ("bias", 1 / 20)):
        array = p[f"0.{part}"]
        assert 0.95 * end < np.abs(array).max() <= end * (1 + 1e-6)
        assert abs(array.std() / end * np.sqrt(3.0) - 1.0) < 0.1


def test_cosine_is_drawn_as_in_its_recipe():
    net = fb.Network([CosineEmbedding(frequencies=400, sigma=5.0)], inputs=50, seed=1)
    p = net.parameters
    assert 14.0 < np.abs(p["0.frequency"]).max() <= 15.0 * (1 + 1e-6)
    assert not any(p[f"0.{part}"].any() for part in ("phase", "weight", "bias"))
    x = np.random.default_rng(0).normal(size=(5, 50)).astype(np.float32)
    y = net.predict(x)
    assert not y[:, :-50].any()
    assert np.array_equal(y[:, -50:], x)


@every_layer
def test_decay_is_of_weights_alone(layer):
    net = fb.Network([layer(), fb.Linear(1)], inputs=2)
    assert net.graph.decaying() == ({"0.weight", "1.weight"} if layer is PBLD else {"1.weight"})


@every_layer
def test_each_array_has_its_own_rate_and_may_stand_still(layer):
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.ones((40, 1))
    names = ("frequency", "phase", "weight", "bias")
    for still in names:
        net = fb.Network([layer(), fb.Linear(1)], inputs=3, seed=1)
        rng = np.random.default_rng(1)
        for name, array in net.parameters.items():
            net.parameters[name] = 0.3 * rng.normal(size=array.shape)
        before = {name: net.parameters[f"0.{name}"] for name in names}
        factors = {f"0.{name}": 0.5 for name in names}
        fb.Trainer(net, loss="mse", optimizer=fb.SGD(0.1), frozen=[f"0.{still}"], lr_factors=factors).run(x, y, steps=1)
        half = {name: net.parameters[f"0.{name}"] - before[name] for name in names}
        assert {name for name in names if half[name].any()} == {*names} - {still}
        for name, array in before.items():
            net.parameters[f"0.{name}"] = array
        assert not any((net.parameters[f"0.{name}"] - before[name]).any() for name in names)


@every_layer
def test_it_is_pickled_and_saved_as_it_is(layer, tmp_path):
    net = fb.Network([layer([1]), fb.Linear(2)], inputs=2, seed=3)
    net.save(tmp_path / "net.fastbp")
    again = fb.load(tmp_path / "net.fastbp")
    assert again.graph == net.graph
    assert again.flat.tobytes() == net.flat.tobytes()
    assert again.parameters["0.frequency"].shape == (1, 16)


@pytest.mark.parametrize("made", [PBLDNumbers(frequencies=5, sigma=2.0), CosineNumbers(frequencies=5)])
def test_numbers_behind_an_embedding_of_codes_have_other_places(made):
    layer = made.layer(None, [1, 4], [0, 2])
    assert layer.columns == (0, 2)
    assert layer.frequencies == 5
    assert made.layer(None, [], [0]) is None
    assert EMBEDDERS[made.kind] is type(made)
