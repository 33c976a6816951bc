"""Piecewise linear layers: their settings, and bins chosen by rows."""

import json

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, ConfigTypeError, DivergedError
from fastbp.spec.bins import PiecewiseLinear, QuantileBins, edges_of
from fastbp.spec.coded import Coded

EDGES = {2: [0.0, 1.0, 4.0], 0: [-1.0, 2.0]}
WRONG = [
    ({}, ConfigTypeError, "`PiecewiseLinear.columns` must be a dict of column to edges, got `{}`"),
    ([0.0, 1.0], ConfigTypeError, "`PiecewiseLinear.columns` must be a dict of column to edges, got `[0.0, 1.0]`"),
    ({-1: [0.0, 1.0]}, ConfigError, "`PiecewiseLinear.columns` must be at least 0, got `-1`"),
    (
        {1: [0.0, 1.0], "1": [0.0, 1.0]},
        ConfigError,
        "`PiecewiseLinear.columns` must name each column once, got `1` twice",
    ),
    ({1: [0.0]}, ConfigTypeError, "`PiecewiseLinear.columns[1]` must be a list of at least two edges, got `[0.0]`"),
    ({1: "01"}, ConfigTypeError, "`PiecewiseLinear.columns[1]` must be a list of at least two edges, got `'01'`"),
    ({1: [0.0, 2.0, 2.0]}, ConfigError, "`PiecewiseLinear.columns[1]` must rise from edge to edge, got `2` after `2`"),
    ({1: [0.0, np.inf]}, ConfigError, "`PiecewiseLinear.columns[1][1]` must be finite, got `inf`"),
    ({1: [0.0, "a"]}, ConfigTypeError, "`PiecewiseLinear.columns[1][1]` must be a number, got `'a'`"),
]


@pytest.mark.parametrize(("columns", "error", "message"), WRONG)
def test_edges_that_are_none_are_refused(columns, error, message):
    with pytest.raises(error) as found:
        PiecewiseLinear(columns)
    assert str(found.value) == message


@pytest.mark.parametrize(
    ("dtype", "edges", "shown"),
    [
        ("float32", [0.0, 1.0, 1.0 + 1e-9], "`1` and `1`"),
        ("float32", [-3e38, 3e38], "`-3e+38` and `3e+38`"),
        ("float32", [0.0, 1e-40], "`0` and `1e-40`"),
        ("float64", [-1.5e308, 1.5e308], "`-1.5e+308` and `1.5e+308`"),
    ],
)
def test_edges_that_a_networks_numbers_do_not_hold_apart_are_refused(dtype, edges, shown):
    layers = [PiecewiseLinear({0: edges}), fb.Linear(1)]
    with pytest.raises(ConfigError) as found:
        fb.Network(layers, inputs=1, dtype=dtype)
    assert str(found.value) == f"`PiecewiseLinear.columns[0]` must have edges that {dtype} holds apart, got {shown}"
    if dtype == "float32":
        assert fb.Network(layers, inputs=1, dtype="float64").predict([[0.5]]).shape == (1, 1)


def test_a_column_beyond_the_inputs_is_refused():
    with pytest.raises(ConfigError) as found:
        fb.Network([PiecewiseLinear(EDGES), fb.Linear(1)], inputs=2)
    assert str(found.value) == "`PiecewiseLinear.columns` must be below 2, the inputs, got `2`"


def test_its_outputs_are_the_columns_and_then_the_bins_in_the_order_of_the_dict():
    net = fb.Network([PiecewiseLinear(EDGES)], inputs=3)
    x = np.array([[0.5, 9.0, 2.5], [5.0, 9.0, -2.0], [-1.0, 9.0, 1.0], [2.0, 9.0, 10.0]])
    assert net.predict(x).tolist() == [
        [0.5, 9.0, 2.5, 1.0, 0.5, 0.5],
        [5.0, 9.0, -2.0, -2.0, 0.0, 2.0],
        [-1.0, 9.0, 1.0, 1.0, 0.0, 0.0],
        [2.0, 9.0, 10.0, 1.0, 3.0, 1.0],
    ]


def test_at_an_edge_the_slope_is_that_of_the_bin_above():
    net = fb.Network([PiecewiseLinear({0: [0.0, 1.0, 5.0]})], inputs=1, dtype="float64")
    slopes = net.jacobian(np.array([[-7.0], [0.0], [0.5], [1.0], [5.0], [50.0]]))[:, :, 0]
    first, second = [1.0, 1.0, 0.0], [1.0, 0.0, 0.25]
    assert slopes.tolist() == [first, first, first, second, second, second]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_no_number_stays_none_and_others_of_its_row_too(dtype):
    net = fb.Network([PiecewiseLinear({0: [0.0, 1.0, 2.0]})], inputs=2, dtype=dtype)
    x = np.array([[np.nan, 3.0], [0.5, 3.0]])
    nan, ones = np.nan, np.ones((2, 4))
    same = np.testing.assert_array_equal
    same(net.predict(x), [[nan, 3.0, nan, nan], [0.5, 3.0, 0.5, 0.0]])
    same(net.jvp(x, ones[:, :2]), [[1.0, 1.0, nan, nan], [1.0, 1.0, 1.0, 0.0]])
    same(net.vjp(x, ones), [[nan, 1.0], [2.0, 1.0]])
    assert net.jvp(x[1:], np.full((1, 2), nan))[0, 3] == 0.0  # of a bin that x is not in


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinite_numbers_are_in_the_first_and_the_last_bin(dtype):
    net = fb.Network([PiecewiseLinear({0: [0.0, 1.0, 5.0]})], inputs=1, dtype=dtype)
    x, inf = np.array([[-np.inf], [np.inf]]), np.inf
    assert net.predict(x).tolist() == [[-inf, -inf, 0.0], [inf, 1.0, inf]]
    assert net.jvp(x, np.ones((2, 1))).tolist() == [[1.0, 1.0, 0.0], [1.0, 0.0, 0.25]]
    assert net.vjp(x, np.ones((2, 3))).tolist() == [[2.0], [1.25]]


def test_it_is_the_same_in_a_file_and_as_data(tmp_path):
    layer = PiecewiseLinear(EDGES)
    assert PiecewiseLinear.from_plain(json.loads(json.dumps(layer.plain()))) == layer
    assert hash(PiecewiseLinear(dict(EDGES))) == hash(layer)
    net = fb.Network([layer, fb.Linear(2)], inputs=3, seed=1)
    net.save(tmp_path / "net.safetensors")
    again, x = fb.load(tmp_path / "net.safetensors"), np.random.default_rng(0).normal(size=(9, 3))
    assert again.graph == net.graph
    assert again.predict(x).tobytes() == net.predict(x).tobytes()


def test_layers_whose_columns_are_in_another_order_are_others():
    other = PiecewiseLinear(dict(reversed(EDGES.items())))
    assert other != PiecewiseLinear(EDGES)
    assert PiecewiseLinear(dict(EDGES)) == PiecewiseLinear(EDGES) != EDGES
    assert fb.Embedding({0: (3, 2), 1: (4, 5)}) != fb.Embedding({1: (4, 5), 0: (3, 2)})
    assert fb.Embedding({0: (3, 2)}) == fb.Embedding({"0": [3, 2]}) != fb.Embedding({0: (3, 2)}, "zeros")
    assert fb.Embedding({0: (3, 2)}) != PiecewiseLinear({0: (2.0, 3.0)})


def test_it_shows_edges_where_they_are_few_and_counts_where_they_are_many():
    assert eval(repr(PiecewiseLinear(EDGES)), {"PiecewiseLinear": PiecewiseLinear}) == PiecewiseLinear(EDGES)
    assert repr(PiecewiseLinear({0: range(12)})) == f"PiecewiseLinear(columns={ {0: [float(i) for i in range(12)]} })"
    assert repr(PiecewiseLinear({0: range(13)})) == "PiecewiseLinear(1 column, 12 bins)"
    assert repr(PiecewiseLinear({0: range(30), 4: [0, 1]})) == "PiecewiseLinear(2 columns, 30 bins)"


def test_it_learns_what_bends_where_a_linear_layer_alone_cannot():
    x = np.linspace(-2.0, 2.0, 201)[:, None]
    y, found = np.abs(x) + 3.0 * (x > 1.0) * (x - 1.0), []
    for first in ([], [PiecewiseLinear({0: [-2.0, 0.0, 1.0, 2.0]})]):
        net = fb.Network([*first, fb.Linear(1)], inputs=1, seed=0, dtype="float64")
        fb.Trainer(net, "mse", fb.Adam(0.05), batch_size=201).run(x, y, steps=2000)
        found.append(net.loss_and_gradients(x, y, "mse")[0])
    assert found[0] > 0.5
    assert found[1] < 1e-6


# Bins by rows


def test_edges_are_quantiles_of_which_equal_ones_are_one():
    assert edges_of(np.arange(101.0), 4) == (0.0, 25.0, 50.0, 75.0, 100.0)
    assert edges_of(np.array([3.0] * 90 + [0.0, 5.0, 6.0, 7.0, 9.0]), 4) == (0.0, 3.0, 9.0)
    assert edges_of(np.array([3.0, 0.0, 5.0, 9.0, 7.0]), 4) == (0.0, 3.0, 5.0, 7.0, 9.0)
    assert edges_of(np.array([2.0, 2.0, 6.0, 6.0]), 4) == (2.0, 6.0)
    assert edges_of(np.ones(5), 4) == (1.0,)
    assert edges_of(np.arange(101.0)[::-1].astype("f"), 3) == edges_of(np.arange(101.0).astype("f"), 3)


def test_numbers_that_many_rows_share_are_edges_and_the_others_have_bins_of_their_own():
    x = np.concatenate([np.zeros(900), np.arange(1.0, 101.0)])
    assert edges_of(x, 10) == (0.0, 100.0)
    assert edges_of(x, 10, least=10) == (0.0, 1.0, *np.arange(12.0, 101.0, 11.0))
    assert edges_of(x, 10, least=25) == (0.0, 1.0, 25.0, 50.0, 75.0, 100.0)
    assert edges_of(x, 10, least=101) == (0.0, 100.0)  # too few for a bin
    assert edges_of(np.arange(101.0), 4, least=1) == edges_of(np.arange(101.0), 4)
    x = np.concatenate([np.zeros(1000), np.repeat(np.arange(1.0, 41.0), 5)])
    assert len(edges_of(x, 48, least=30)) == 1 + 1 + 200 // 30  # of rows that few share, too, there are few bins
    rng = np.random.default_rng(0)
    for bins in (2, 3, 7, 48):
        for values in (1, 2, 5, 40, 400):
            x = np.sort(rng.zipf(1.5, 3000) % values).astype(np.float32)
            edges = edges_of(x, bins, least=20)
            assert len(edges) <= bins + 1
            assert set(edges) <= set(x.tolist())
            assert len(edges) >= min(len(np.unique(x)), 2)


def test_bins_beside_shared_numbers_each_has_the_least_rows():
    x = np.concatenate([np.zeros(5000), np.random.default_rng(1).lognormal(size=640)])
    edges = edges_of(x, 48, least=40)
    counts = np.histogram(x[x > 0.0], edges[1:])[0]
    assert len(counts) == 16
    assert counts.min() >= 39  # edges are rows, too


def test_edges_lie_apart_in_the_numbers_of_the_rows():
    close = np.array([0.0, 1e-40, 1.0, 1.0 + 1e-9, 2.0], np.float32)
    assert edges_of(close, 4) == (0.0, 1.0, 2.0)
    far = edges_of(np.array([-3e38, 3e38, 3.1e38], np.float32), 2)
    assert far == tuple(np.array([-3e38, 3e38, 3.1e38], np.float32).tolist())


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_outer_bin_is_no_steep_way_on(sign):
    x = sign * np.array([0.0, 100.0, 200.0, 300.0, 300.001])
    assert edges_of(x, 4) == tuple(sorted(sign * np.array([0.0, 100.0, 200.0, 300.001])))
    x = sign * np.array([0.0, 100.0, 200.0, 300.0, 302.0])
    assert edges_of(x, 4) == tuple(sorted(x.tolist()))
    x = sign * np.array([0.0, 100.0, 100.001])  # two bins at least, where there are three numbers
    assert edges_of(x, 4) == tuple(sorted(x.tolist()))


def test_numbers_beyond_those_that_are_cut_off_are_predicted_by_the_slope_before():
    rng = np.random.default_rng(0)
    x = np.minimum(rng.exponential(0.3, 2000), 1.0)
    x = np.where((x == 1.0) & (rng.random(2000) < 0.5), 1.0 - 1e-5, x)[:, None].astype(np.float32)
    net = fb.Network([QuantileBins(48).layer(x, [0]), fb.Linear(32), fb.ReLU(), fb.Linear(1)], inputs=1, seed=0)
    fb.Trainer(net, "mse", fb.Adam(3e-3), batch_size=64).run(x, x, steps=1500)
    assert np.abs(net.predict([[1.0], [1.1]])[:, 0] - [1.0, 1.1]).max() < 0.1


def test_a_gradient_beyond_all_numbers_by_its_bin_stops_before_the_update():
    net = fb.Network([PiecewiseLinear({0: [0.0, 1e-37, 2e-37]}), fb.Linear(1)], inputs=1, seed=0)
    net.flat = np.zeros(4)
    trainer = fb.Trainer(net, "mse", fb.SGD(1e-3), batch_size=4)
    with pytest.raises(DivergedError):
        trainer.run(np.ones((4, 1)), np.full((4, 1), 1e4), steps=1)
    assert net.flat.tolist() == [0.0] * 4


def test_each_bin_has_as_many_rows():
    x = np.random.default_rng(0).lognormal(size=4800)
    assert set(np.histogram(x, edges_of(x, 48))[0].tolist()) <= {99, 100, 101}


def test_bins_are_of_numbers_with_three_values_behind_embeddings_of_codes():
    x = np.array([[0.0, 1.0, 5.0, 0.0], [1.0, 0.0, 6.0, 1.0], [2.0, 1.0, 7.0, 2.0]], np.float32)
    layer = QuantileBins(2).layer(x, [1, 2, 3], [0])
    assert layer == PiecewiseLinear({1: [5.0, 6.0, 7.0], 2: [0.0, 1.0, 2.0]})
    assert QuantileBins(2).layer(x, [1]) is None
    assert QuantileBins(2).layer(x, []) is None


def test_rows_with_codes_have_the_bins_of_rows_in_full():
    x = np.stack([np.arange(9.0), np.arange(9.0) % 4, np.arange(9.0) ** 2], axis=1)
    rows = Coded(x, (0, 3, 0))
    assert QuantileBins(3).layer(rows, [0, 4]) == QuantileBins(3).layer(np.asarray(rows), [0, 4])


@pytest.mark.parametrize(
    ("bins", "message"), [(1, "must be at least 2, got `1`"), (2.5, "must be a whole number, got `2.5`")]
)
def test_bins_are_two_at_least(bins, message):
    with pytest.raises(ConfigError) as found:
        QuantileBins(bins)
    assert str(found.value) == f"`QuantileBins.bins` {message}"
