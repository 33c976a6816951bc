"""Penalties: what a user's function of the parameters adds to their gradients, and to nothing else."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, ConfigTypeError
from tests.model.chains import DTYPES

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 5)), RNG.normal(size=(50, 3))
LR = 0.1
SLOPES = {
    "0.1 * abs(w)": lambda w: 0.1 * np.sign(w),
    "0.05 * w ** 2": lambda w: 0.1 * w,
    "0.1 * (sqrt(w * w + 0.01) - 0.1)": lambda w: 0.1 * w / np.sqrt(w * w + 0.01),
}
STAGES = {"at once": {}, "clipped": {"clip_norm": 1e6}, "accumulated": {"accumulate": 2, "batch_size": 25}}


def net_of(dtype="float64"):
    return fb.Network([fb.Linear(21), fb.LayerNorm(), fb.Tanh(), fb.Linear(3)], inputs=5, dtype=dtype)


def stepped(net, **settings):
    """Parameters after one step of plain descent over all rows, and the gradients before it."""
    before, gradients = dict(net.parameters), net.loss_and_gradients(X, Y, "mse")[1]
    settings = {"batch_size": 50, **settings}
    history = fb.Trainer(net, loss="mse", optimizer=fb.SGD(LR), **settings).run(X, Y, steps=1)
    return before, gradients, net.parameters, history


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("formula", SLOPES)
def test_its_slope_joins_the_gradient_of_weights_and_of_nothing_else(formula, stage, dtype):
    before, gradients, after, _ = stepped(net_of(dtype), penalty=formula, **STAGES[stage])
    for name, value in after.items():
        slope = SLOPES[formula](before[name]) if name in ("0.weight", "3.weight") else 0.0
        expected = before[name] - LR * (gradients[name] + slope)
        assert np.abs(value - expected).max() < (1e-12 if dtype == "float64" else 1e-6)


def test_a_dict_names_layers_and_parameters_and_a_parameters_own_goes_first():
    before, gradients, after, _ = stepped(
        net_of(), penalty={"0": "0.2 * abs(w)", "0.bias": lambda w: w**4, "1": "w * w"}
    )
    slopes = {
        "0.weight": 0.2 * np.sign(before["0.weight"]),
        "0.bias": 4.0 * before["0.bias"] ** 3,
        "1.weight": 2.0 * before["1.weight"],
        "1.bias": 2.0 * before["1.bias"],
    }
    for name, value in after.items():
        expected = before[name] - LR * (gradients[name] + slopes.get(name, 0.0))
        assert np.abs(value - expected).max() < 1e-12


def test_the_loss_is_shown_without_it():
    losses = [stepped(net_of(), penalty=penalty)[3].loss for penalty in (None, "abs(w)")]
    assert losses[0] == losses[1]


def test_half_a_square_is_weight_decay():
    """g + λ w, which is what `weight_decay` of plain descent is."""
    found = []
    for words in ({"penalty": "0.025 * w ** 2"}, {}):
        net = net_of()
        optimizer = fb.SGD(LR, weight_decay=0.0 if words else 0.05)
        fb.Trainer(net, loss="mse", optimizer=optimizer, batch_size=10, **words).run(X, Y, steps=40)
        found.append(net.flat)
    assert np.abs(found[0] - found[1]).max() < 1e-13


def test_the_lasso_empties_weights_that_nothing_needs():
    rows = RNG.normal(size=(400, 8))
    y = rows[:, :1] * 2.0
    net = fb.Network([fb.Linear(1)], inputs=8)
    fb.Trainer(net, loss="mse", optimizer=fb.Adam(1e-2), batch_size=100, penalty="0.1 * abs(w)").fit(
        rows, y, epochs=200
    )
    weights = np.abs(net.parameters["0.weight"][:, 0])
    assert weights[0] > 1.5
    assert weights[1:].max() < 0.03


def test_tables_of_an_embedding_have_it_for_rows_that_occur():
    net = fb.Network([fb.Embedding({0: (4, 3)}), fb.Linear(1)], inputs=1, dtype="float64")
    before = net.parameters["0.column0"]
    codes = np.array([[0.0], [2.0]])
    gradients = net.loss_and_gradients(codes, [[0.0], [0.0]], "mse")[1]["0.column0"]
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(LR), penalty={"0": "w * w"})
    trainer.step(codes, [[0.0], [0.0]])
    expected = before - LR * (gradients + 2.0 * before)
    expected[[1, 3]] = before[[1, 3]]
    assert np.abs(net.parameters["0.column0"] - expected).max() < 1e-14


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads):
    found = []
    for count in (1, threads):
        net = fb.mlp([5, 64, 64, 3], seed=2)
        fb.Trainer(net, loss="mse", penalty="1e-3 * abs(w)", threads=count).run(X, Y, steps=30)
        found.append(net.flat.tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("penalty", "kind", "message"),
    [
        ("(w - 1) ** 2", ConfigError, "`penalty` must have a slope of 0 at w = 0, got `-2`"),
        ("sqrt(abs(w))", ConfigError, "`penalty` must have a slope of 0 at w = 0, got `nan`"),
        ("abs(x)", ConfigError, "`penalty` must use no names but `w`, got `x`"),
        (0.1, ConfigTypeError, "`penalty` must be a function of w, or a formula as text, got `0.1`"),
        (
            {"7": "abs(w)"},
            ConfigError,
            "`penalty` must name layers or parameters, `0.weight`, `0.bias`, `1.weight`, `1.bias`, `3.weight`,"
            " `3.bias`, got `7`",
        ),
    ],
)
def test_what_is_no_penalty_is_refused(penalty, kind, message):
    with pytest.raises(kind) as info:
        fb.Trainer(net_of(), loss="mse", penalty=penalty)
    assert str(info.value) == message


@pytest.mark.parametrize("stage", [{"clip_norm": 1e9}, {"accumulate": 2}], ids=str)
def test_rows_of_a_table_feel_it_also_where_gradients_wait(stage):
    rows = np.random.default_rng(0).normal(size=(8, 3))
    rows[:, 0] = np.arange(8) % 2
    found = []
    for words in ({}, stage):
        net = fb.Network([fb.Embedding({0: (3, 2)}), fb.Linear(2)], inputs=3, dtype="float64")
        fb.Trainer(net, "mse", fb.SGD(0.1), 8, penalty={"0": "w*w"}, **words).run(rows, rows[:, 1:], steps=3)
        found.append(net.flat)
    assert np.array_equal(*found)
