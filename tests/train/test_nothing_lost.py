"""What a fit must not lose or spoil, where layers have more than weights."""

import copy
import pickle

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, DivergedError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 3)).astype(np.float32)
Y = RNG.integers(0, 3, 64)


def test_a_variance_that_overflows_stops_the_run_and_teaches_the_running_statistics_nothing():
    net = fb.Network([fb.Linear(4), fb.BatchNorm(), fb.Linear(3)], inputs=3)
    trainer = fb.Trainer(net, batch_size=64)
    far = X.copy()
    far[5] *= 1e20
    before = net.flat, net.states.flat()
    with pytest.raises(DivergedError) as info:
        trainer.fit(far, Y, 1)
    assert info.value.layer == "1"
    assert np.array_equal(before[0], net.flat)
    assert np.array_equal(before[1], net.states.flat())


@pytest.mark.parametrize("code", [5.0, 7.0, 1e6, -1.0, np.nan])
def test_codes_that_change_while_it_runs_write_nowhere(code):
    net = fb.Network([fb.Embedding({0: (5, 2)}), fb.Linear(3)], inputs=3)
    rows = X.copy()
    rows[:, 0] = np.arange(64) % 5

    def spoil(trainer, history):
        rows[:, 0] = code

    with pytest.raises(DivergedError) as info:
        fb.Trainer(net).fit(rows, Y, 3, callbacks=[spoil])
    assert info.value.layer == "0"
    assert np.isfinite(net.flat).all()


def test_the_average_of_what_is_frozen_is_what_it_is():
    net = fb.Network([fb.Linear(4), fb.Tanh(), fb.Linear(3)], inputs=3)
    trainer = fb.Trainer(net, ema=0.9, frozen=["0"])
    net.flat = np.linspace(-1.0, 1.0, net.flat.size)
    trainer.fit(X, Y)
    assert np.array_equal(trainer.averaged.parameters["0.weight"], net.parameters["0.weight"])


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_what_a_network_says_about_itself_goes_with_it(way):
    net = fb.mlp([3, 4, 3])
    net.about = {"recipe": {"loss": "mse"}}
    assert way(net).about == net.about


def test_callbacks_that_have_begun_end_where_a_later_one_refuses():
    class Noting(fb.Callback):
        ended = 0

        def end(self, trainer, history):
            self.ended += 1

    first, last = Noting(), Noting()
    with pytest.raises(ConfigError):
        fb.Trainer(fb.mlp([3, 3])).fit(X, Y, callbacks=[first, fb.EarlyStopping(), last])
    assert (first.ended, last.ended) == (1, 0)


@pytest.mark.parametrize("layer", [fb.BatchNorm, fb.LayerNorm, fb.RMSNorm])
def test_a_number_of_features_in_the_place_of_epsilon_is_refused(layer):
    with pytest.raises(ConfigError) as info:
        layer(128)
    assert str(info.value) == (
        f"`{layer.__name__}.eps` must be above 0 and below 1, got `128.0`\n"
        "hint: the number of features is that of the layer before"
    )


def test_a_sigmoid_below_a_loss_that_does_it_itself_is_refused():
    net = fb.Network([fb.Linear(2), fb.Sigmoid()], inputs=3)
    with pytest.raises(ConfigError) as info:
        fb.Trainer(net, loss="binary_cross_entropy")
    assert str(info.value) == (
        "`loss` binary_cross_entropy takes logits and does the sigmoid itself, got a network that ends in Sigmoid\n"
        "hint: leave Sigmoid out"
    )


def test_more_categories_than_float32_can_count_are_refused():
    with pytest.raises(ConfigError) as info:
        fb.Network([fb.Embedding({0: (2**24 + 1, 1)})], inputs=1)
    assert str(info.value) == (
        "`Embedding.columns[0]` must have at most 2**24 categories in float32, got `16777217`\n"
        'hint: dtype="float64" holds larger codes'
    )
