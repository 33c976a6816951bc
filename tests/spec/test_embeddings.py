"""Layers that embed numbers: their settings, what they draw, and how they stand in networks, files and tables."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine.memory import view
from fastbp.errors import ConfigError, ConfigTypeError
from fastbp.lowering.buffers import Records
from fastbp.spec.bins import PiecewiseLinearEmbedding, QuantileBins
from fastbp.spec.embeddings import (
    EMBEDDERS,
    PBLD,
    CosineEmbedding,
    CosineNumbers,
    PBLDNumbers,
    PeriodicEmbedding,
    PeriodicNumbers,
)
from fastbp.train.checkpoints import load_state, state_of

LAYERS = PBLD, CosineEmbedding, PeriodicEmbedding
EDGES = {2: [0.0, 1.0, 4.0], 0: [-1.0, 2.0]}
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
    kept = [1] if layer is PeriodicEmbedding else [0, 1, 2]
    half = (y.shape[1] - len(kept)) // 2
    assert np.array_equal(y[:, :half], z[:, half : 2 * half])
    assert np.array_equal(y[:, half : 2 * half], z[:, :half])
    assert np.array_equal(y[:, -len(kept) :], x.astype(np.float32)[:, kept])


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


def test_periodic_is_drawn_as_in_its_recipe():
    p = fb.Network([PeriodicEmbedding()], inputs=50, seed=1).parameters
    assert 0.028 < np.abs(p["0.frequency"]).max() <= 0.03 * (1 + 1e-6)
    for part in ("cosine", "sine", "bias"):
        assert 0.95 / np.sqrt(96) < np.abs(p[f"0.{part}"]).max() <= (1 + 1e-6) / np.sqrt(96)
    assert not np.array_equal(p["0.cosine"], p["0.sine"])


def test_a_piecewise_linear_embedding_begins_as_straight_lines():
    net = fb.Network([PiecewiseLinearEmbedding({0: [-1.0, 0.0, 2.0], 2: [0.0, 1.0]})], inputs=3, seed=1)
    p, x = net.parameters, np.random.default_rng(0).normal(size=(5, 3))
    assert not p["0.weight"].any()
    for part in ("slope", "bias"):
        assert 0.2 < np.abs(p[f"0.{part}"]).max() <= 0.25
    lines = [x[:, [c]] * p["0.slope"][i] + p["0.bias"][i] for i, c in enumerate((0, 2))]
    np.testing.assert_allclose(net.predict(x), np.hstack([*lines, x[:, [1]]]), rtol=1e-5, atol=1e-6)


def test_decay_is_of_matrices_alone():
    matrices = {
        "pbld": {"weight"},
        "cosine": set(),
        "periodic": {"cosine", "sine"},
        "piecewise_linear_embedding": {"weight"},
    }
    for layer in (*(made() for made in LAYERS), PiecewiseLinearEmbedding({0: [0.0, 1.0]})):
        net = fb.Network([layer, fb.Linear(1)], inputs=2)
        assert net.graph.decaying() == {"1.weight", *(f"0.{part}" for part in matrices[layer.kind])}


@pytest.mark.parametrize("made", [*(of() for of in LAYERS), PiecewiseLinearEmbedding(EDGES)], ids=lambda of: of.kind)
def test_each_array_has_its_own_rate_and_may_stand_still(made):
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.ones((40, 1))
    names = tuple(made.draws(3))
    for still in names:
        net = fb.Network([made, fb.Linear(1)], inputs=3, seed=1)
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
    assert again.parameters["0.frequency"].shape == (1, again.graph.nodes[0].layer.frequencies)


NUMBERS = [PBLDNumbers(frequencies=5, sigma=2.0), CosineNumbers(frequencies=5), PeriodicNumbers(frequencies=5)]


@pytest.mark.parametrize("made", NUMBERS)
def test_numbers_behind_an_embedding_of_codes_have_other_places(made):
    layer = made.layer(None, [1, 4], [0, 2])
    assert layer.columns == (0, 2)
    assert layer.frequencies == 5
    assert made.layer(None, [], [0]) is None
    assert EMBEDDERS[made.kind] is type(made)


def test_bins_of_numbers_may_be_embedded():
    X = np.random.default_rng(0).normal(size=(200, 4))
    X[:, 3] = X[:, 3] > 0
    plain = QuantileBins(5).layer(X, [1, 3], [0])
    made = QuantileBins(5, features=7).layer(X, [1, 3], [0])
    assert made == PiecewiseLinearEmbedding(plain.columns, 7)
    assert made != PiecewiseLinearEmbedding(plain.columns, 8)
    assert made != plain
    assert made.outputs(3) == 2 + 7


@pytest.mark.parametrize("features", [0, -1])
def test_features_of_bins_that_are_none_are_refused(features):
    for make, name in (
        (lambda f: QuantileBins(features=f), "QuantileBins"),
        (lambda f: PiecewiseLinearEmbedding(EDGES, f), "PiecewiseLinearEmbedding"),
    ):
        with pytest.raises(ConfigError) as found:
            make(features)
        assert str(found.value) == f"`{name}.features` must be at least 1, got `{features}`"


ALL = [*(of() for of in LAYERS), PBLD([1], frequencies=5, features=17), PiecewiseLinearEmbedding(EDGES, 5)]
every_kind = pytest.mark.parametrize("layer", ALL, ids=str)


def rows(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(40, 3)), rng.normal(size=(40, 2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_kind
def test_what_pads_stacks_of_parameters_is_zero_and_stays_zero(layer, dtype, monkeypatch):
    """Whatever stood in the memory of buffers before."""
    put = Records.put

    def filled(lo, *args):
        put(lo, *args)
        for b in lo.buffers:
            view(b.address, (b.panels * b.stride // lo.itemsize,), lo.parameters.dtype)[:] = 7.0

    monkeypatch.setattr(Records, "put", filled)
    net = fb.Network([fb.Linear(3), layer, fb.Linear(40), fb.Tanh(), fb.Linear(2)], inputs=3, seed=1, dtype=dtype)
    fb.Trainer(net, loss="mse", optimizer=fb.AdamW(0.05), batch_size=16, clip_norm=0.5).fit(*rows(), epochs=4)
    block = net.parameters.block
    memory = view(block.address, (block.size // net.dtype.itemsize,), net.dtype)
    assert np.count_nonzero(memory) == np.count_nonzero(net.flat)


@every_kind
def test_members_of_packs_have_the_bits_of_networks_alone(layer):
    X, y = rows()
    made = [fb.Network([layer, fb.Linear(9), fb.Tanh(), fb.Linear(2)], inputs=3, seed=seed) for seed in (1, 2)]
    rates = [fb.Adam(lr) for lr in (0.01, 0.1)]
    fb.Pack(made, loss="mse", optimizer=rates, batch_size=16, threads=2).fit(X, y, epochs=3)
    for net, lr in zip(made, (0.01, 0.1), strict=True):
        alone = fb.Network([layer, fb.Linear(9), fb.Tanh(), fb.Linear(2)], inputs=3, seed=net.seed)
        fb.Trainer(alone, loss="mse", batch_size=16, optimizer=fb.Adam(lr), seed=net.seed).fit(X, y, epochs=3)
        assert alone.flat.tobytes() == net.flat.tobytes()


@every_kind
def test_training_goes_on_from_a_checkpoint_with_the_same_bits(layer):
    X, y = rows()

    def trainer():
        net = fb.Network([layer, fb.Linear(9), fb.Tanh(), fb.Linear(2)], inputs=3, seed=1)
        return fb.Trainer(net, loss="mse", optimizer=fb.Adam(0.01), batch_size=16)

    whole, first, second = trainer(), trainer(), trainer()
    whole.fit(X, y, epochs=4)
    history = first.fit(X, y, epochs=2)
    load_state(second, *state_of(first))
    second.fit(X, y, epochs=4, history=history)
    assert second.net.flat.tobytes() == whole.net.flat.tobytes()
