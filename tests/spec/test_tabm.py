"""TabM of hidden layers: which layers these become, in configurations, estimators and presets."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.config.build import layers_of, plan_of
from fastbp.config.presets import Known, presets
from fastbp.config.presets.tabm import batch_of
from fastbp.config.text import parse
from fastbp.errors import ConfigError
from fastbp.spec.catalogue import loss_of
from fastbp.spec.members import average_for
from fastbp.spec.tabm import chunks_behind, of_members

HIDDEN = [fb.Linear(8), fb.ReLU(), fb.Dropout(0.1), fb.Linear(6), fb.ReLU()]


def test_mini_has_one_scale_in_front_of_hidden_layers_as_they_are():
    found = of_members(HIDDEN, fb.Linear(3), 4, mini=True, average="softmax", chunks=[1, 2])
    assert found == [fb.Members(4, "softmax"), fb.MemberScale("signs", [1, 2]), *HIDDEN, fb.MemberLinear(3)]


def test_only_the_first_adapters_are_random_and_normal_where_numbers_are_embedded():
    hidden = [fb.Linear(8, init="zeros"), *HIDDEN[1:3], fb.Linear(6, bias_init="ones"), fb.ReLU()]
    last = fb.Linear(1, init="zeros", bias_init="ones")
    found = of_members(hidden, last, 4, mini=False, average="values", embedded=True, chunks=[3])
    first = fb.AdaptedLinear(8, adapter="normal", chunks=[3], init="zeros")
    second = fb.AdaptedLinear(6, bias_init="ones")
    last = fb.MemberLinear(1, init="zeros", bias_init="ones")
    assert found == [fb.Members(4), first, *HIDDEN[1:3], second, fb.ReLU(), last]


@pytest.mark.parametrize(
    ("layers", "chunks", "inputs", "expected"),
    [
        ([], [1, 3, 1], 5, [1, 3, 1]),
        ([fb.Embedding({3: (9, 4), 0: (2, 2)})], [1, 2, 1, 1], 5, [2, 1, 4, 2]),
        ([fb.PiecewiseLinear({1: [0, 1, 2], 0: [0, 1]})], [1, 1, 2], 4, [1, 1, 2, 2, 1]),
        ([fb.PiecewiseLinearEmbedding({1: [0.0, 1.0, 2.0]}, 5)], [1, 1, 2], 4, [5, 1, 2]),
        ([fb.PBLD([0, 2], features=4)], [1, 1, 1], 3, [4, 4, 1, 1, 1]),
        ([fb.CosineEmbedding(frequencies=7)], [1, 1], 2, [7, 7, 1, 1]),
        ([fb.PeriodicEmbedding([1], features=6)], [1, 1], 2, [6, 1]),
        ([fb.PeriodicEmbedding(features=6)], [1, 1], 2, [6, 6]),
        ([fb.Embedding({0: (3, 4)}), fb.PiecewiseLinear({0: [0, 1, 2]})], [1, 1], 2, [1, 4, 2]),
        ([fb.Linear(7)], [1, 1], 2, None),
    ],
)
def test_chunks_are_those_of_columns_behind_first_layers(layers, chunks, inputs, expected):
    assert chunks_behind(layers, chunks, inputs) == expected
    width = inputs
    for layer in layers:
        width = layer.outputs(width)
    assert expected is None or sum(expected) == width


@pytest.mark.parametrize(
    ("loss", "outputs", "average"),
    [
        ("cross_entropy", 3, "softmax"),
        ("cross_entropy", 1, "sigmoid"),
        ("binary_cross_entropy", 2, "sigmoid"),
        ("mse", 1, "values"),
        ("huber", 4, "values"),
    ],
)
def test_what_is_averaged_fits_the_loss(loss, outputs, average):
    assert average_for(loss, outputs) == average
    plan = plan_of(parse("data: {source: digits}\nnetwork: {hidden: [5], tabm: {k: 3}}"))
    graph = layers_of(plan, 4, outputs, {}, None, [1, 3], loss_of(loss))
    assert graph.members == fb.Members(3, average)
    assert graph.nodes[1].layer == fb.MemberScale(chunks=[1, 3])


def test_estimators_have_members_by_their_number_or_settings():
    X = np.random.default_rng(0).normal(size=(60, 3))
    net = fb.MLPRegressor((4,), tabm=3, epochs=1).fit(X, X[:, 0]).network_
    assert [type(layer).__name__ for layer in net.layers] == [
        *("Members", "MemberScale", "Linear", "ReLU", "MemberLinear"),
    ]
    found = fb.MLPClassifier((4,), tabm={"k": 3, "mini": False}, epochs=1).fit(X, X[:, 0] > 0)
    assert found.network_.graph.members == fb.Members(3, "softmax")
    assert found.network_.members(X).shape == (3, 60, 2)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tabm": True}, "`tabm` must be a whole number, or a dict with `k`, got `True`"),
        ({"tabm": {"n": 1}}, "`tabm` must be one of `k`, `mini`, got `n`"),
        ({"tabm": 1}, "`tabm.k` must be at least 2, got `1`"),
        ({"tabm": 2, "residual": True}, "`residual` must not be given with `tabm`, got `True`"),
        ({"tabm": 2, "norm": "batch_norm"}, "`norm` must not be given with `tabm`, got `batch_norm`"),
        ({"preset": "tabm-mini", "residual": True}, "`residual` must not be given with `tabm`, got `True`"),
        (
            {"preset": "realmlp-td", "tabm": 2},
            "`tabm` must be given with linear layers without `ntk`, got `ntk=True`",
        ),
        (
            {"hidden": [fb.Linear(4, init="std"), "relu"], "tabm": {"k": 2, "mini": False}},
            "`tabm` must be given with parameters that do not go by rows, as each member has others, got `std`",
        ),
    ],
)
def test_estimators_refuse_what_cannot_be(settings, said):
    with pytest.raises(ConfigError) as caught:
        fb.MLPRegressor(**{"hidden": (4,), "epochs": 1, **settings}).fit(np.eye(8), np.arange(8.0))
    assert str(caught.value) == said


def test_presets_are_the_published_settings():
    known = Known("numbers", 20_000, 1, 8)
    mini, full = (presets()[name].keys(known) for name in ("tabm-mini", "tabm"))
    assert mini["network"]["hidden"] == [512, 512]
    assert mini["network"]["embed_numbers"] == {"name": "piecewise_linear", "bins": 48, "features": 16}
    assert full["network"]["hidden"] == [512, 512, 512]
    assert full["network"]["tabm"] == {"k": 32, "mini": False}
    for keys in (mini, full):
        assert keys["trainer"]["optimizer"] == {"name": "adamw", "lr": 2e-3, "weight_decay": 3e-4}
        assert (keys["trainer"]["batch_size"], keys["trainer"]["monitor"]) == (256, "val_rmse")
    assert presets()["tabm-mini"].keys(Known("classes", 500, 2, 0))["network"]["hidden"] == [512] * 3
    assert presets()["tabm"].keys(Known("classes", 500, 2, 3))["trainer"]["monitor"] == "val_accuracy"
    sizes = [2_799, 2_800, 4_500, 6_400, 32_000, 108_000]
    assert [batch_of(rows) for rows in sizes] == [32, 64, 128, 256, 512, 1024]
