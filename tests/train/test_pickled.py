"""Trainers that are pickled, copied and sent to other processes go on with the same bits."""

import concurrent.futures
import copy
import multiprocessing
import pickle

import numpy as np
import pytest

import fastbp as fb

X = np.random.default_rng(0).standard_normal((70, 6)).astype("f4")
Y = np.arange(70) % 3

SETTINGS = {
    "plain": {},
    "everything": {
        "optimizer": fb.AdamW(lr=1e-2, weight_decay=0.1),
        "schedule": fb.Cosine(steps=60),
        "clip_norm": 0.5,
        "clip_value": 0.3,
        "accumulate": 2,
        "ema": 0.9,
        "lr_factors": {"0": 0.5},
        "decay_factors": {"0.weight": 2.0},
        "frozen": ["4.bias"],
        "seed": 5,
        "threads": 2,
    },
    "penalty-text": {"penalty": "1e-3 * abs(w)"},
    "penalty-function": {"penalty": lambda w: 1e-3 * w * w},
    "penalties": {"penalty": {"0": lambda w: 1e-3 * abs(w), "4.weight": "w * w"}},
    "loss": {"loss": fb.CrossEntropy(label_smoothing=0.1)},
    "function": {"loss": fb.CrossEntropy(class_weights={1: 2.0}), "optimizer": fb.Lion(lr=1e-3)},
}
WAYS = {"pickle": lambda trainer: pickle.loads(pickle.dumps(trainer)), "deepcopy": copy.deepcopy, "copy": copy.copy}


def trainer_of(settings):
    net = fb.Network([fb.Linear(9), fb.BatchNorm(), fb.ReLU(), fb.Dropout(0.2), fb.Linear(3)], 6, seed=2)
    return fb.Trainer(net, **{"batch_size": 16, **settings})


def bits(trainer):
    average = trainer.averaged.flat.tobytes() if trainer._average else b""
    return trainer.net.flat.tobytes(), trainer.net.states.flat().tobytes(), trainer.steps_done, average


def run(trainer):
    return trainer.run(X, Y, 7).loss


def step(trainer):
    return [trainer.step(X[:5], Y[:5]), trainer.step(X[:16], Y[:16])]


def fit(trainer):
    return trainer.fit(X, Y, 2).loss


def fewer(trainer):
    return trainer.run(X[:33], Y[:33], 4).loss


def nothing(trainer):
    return None


@pytest.mark.parametrize("before", [nothing, run, fit, step, fewer])
@pytest.mark.parametrize("after", [run, fit, step, fewer])
@pytest.mark.parametrize("way", WAYS)
def test_training_goes_on_with_the_same_bits_wherever_it_was(before, after, way):
    trainer = trainer_of(SETTINGS["plain"])
    before(trainer)
    again = WAYS[way](trainer)
    assert again.net is not trainer.net
    assert again._pace.sizes == trainer._pace.sizes
    state = bits(trainer)
    assert bits(again) == state
    assert after(again) == after(trainer)
    assert bits(again) == bits(trainer) != state
    assert after(again) == after(trainer)
    assert bits(again) == bits(trainer)


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_setting_goes_along(settings):
    trainer = trainer_of(SETTINGS[settings])
    run(trainer)
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(trainer))))
    assert repr(again) == repr(trainer)
    for way in (run, fit, step):
        assert way(again) == way(trainer)
        assert bits(again) == bits(trainer)


def test_an_optimizer_that_was_assigned_and_what_metrics_undo_go_along():
    trainer = trainer_of({})
    run(trainer)
    trainer.optimizer = fb.Adam(lr=0.5)
    trainer.units = (1.0, 2.0)
    again = pickle.loads(pickle.dumps(trainer))
    assert (again.optimizer, again.units) == (trainer.optimizer, trainer.units)


def test_a_fit_that_a_checkpoint_brought_back_goes_on_behind_a_pickle():
    trainers = [trainer_of({}) for _ in range(2)]
    histories = [trainer.fit(X, Y, 2) for trainer in trainers]
    from fastbp.train.checkpoints import load_state, state_of

    for trainer in trainers:
        load_state(trainer, *state_of(trainer))
    trainers[1] = pickle.loads(pickle.dumps(trainers[1]))
    losses = [t.fit(X, Y, 4, history=history).loss for t, history in zip(trainers, histories, strict=True)]
    assert losses[0] == losses[1]
    assert bits(trainers[0]) == bits(trainers[1])


def test_a_network_that_is_pickled_beside_its_trainer_stays_the_one_it_trains():
    trainer = trainer_of({})
    net, again = pickle.loads(pickle.dumps((trainer.net, trainer)))
    assert again.net is net


@pytest.mark.parametrize("way", WAYS)
def test_lbfgs_goes_along(way):
    pytest.importorskip("scipy")
    net = fb.mlp([6, 5, 3], activation="tanh", seed=1, dtype="float64")
    trainer = fb.LBFGS(net, weight_decay=0.1, decay_all=True, memory=4, tolerance=1e-6)
    trainer.fit(X, Y, 3)
    again = WAYS[way](trainer)
    assert (repr(again), again.steps_done, again.decay_all, again.tolerance) == (repr(trainer), 3, True, 1e-6)
    assert again.fit(X, Y, 3).loss == trainer.fit(X, Y, 3).loss
    assert again.net.flat.tobytes() == trainer.net.flat.tobytes()


@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
@pytest.mark.parametrize("of", ["parameters", "states"])
def test_parameters_are_copied_with_their_numbers_and_belong_to_nobody(of, through):
    net = trainer_of({}).net
    before = net.flat, net.states.flat()
    again = through(getattr(net, of))
    assert repr(again) == repr(getattr(net, of))
    assert all(np.array_equal(again[name], array) for name, array in getattr(net, of).items())
    again.set_flat(np.zeros(again.count))
    assert all(np.array_equal(a, b) for a, b in zip(before, (net.flat, net.states.flat()), strict=True))


@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_snapshot_is_not_copied(through):
    with pytest.raises(fb.FastbpError) as info:
        through(trainer_of({}).snapshot())
    assert str(info.value) == (
        "a snapshot cannot be pickled or copied, since only the trainer that took it can restore it"
    )
    assert isinstance(info.value, TypeError)


@pytest.mark.parametrize("other", [None, 3, "another's"])
def test_what_is_no_snapshot_of_its_own_is_refused_by_lbfgs_too(other):
    trainer = fb.LBFGS(fb.mlp([2, 1]), loss="mse")
    other = fb.LBFGS(fb.mlp([2, 1]), loss="mse").snapshot() if other == "another's" else other
    with pytest.raises(fb.ConfigError) as info:
        trainer.restore(other)
    assert str(info.value) == "`snapshot` must be one of this trainer's"


def trained(trainer):
    """Here, or in a process that starts anew."""
    run(trainer)
    return trainer


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_that_starts_anew_trains_on_and_sends_the_trainer_back(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("this platform has no forkserver")
    trainer = trainer_of({**SETTINGS["everything"], "penalty": lambda w: 1e-3 * w * w})
    run(trainer)
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        again = pool.submit(pickle_of_trained, pickle.dumps(trainer)).result(timeout=60)
    assert bits(pickle.loads(again)) == bits(trained(trainer))


def pickle_of_trained(content):
    return pickle.dumps(trained(pickle.loads(content)))
