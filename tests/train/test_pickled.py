"""Trainers that are pickled, copied and sent to other processes go on with the same bits."""

import concurrent.futures
import copy
import multiprocessing
import pickle

import numpy as np
import pytest

import fastbp as fb
from fastbp.spec.coded import Coded
from fastbp.train.calls import Pace

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


class Interrupting(fb.Callback):
    """Copies trainer and history within an epoch, or ends the fit there."""

    def __init__(self, at, way=None):
        self.at, self.way, self.copies = at, way, None

    def chunk(self, trainer, history):
        if trainer.steps_done >= self.at and self.copies is None:
            self.copies = trainer, history
            if self.way is None:
                raise KeyboardInterrupt
            self.copies = self.way((trainer, history))


@pytest.fixture
def short_calls(monkeypatch):
    """Calls of seven steps, however fast they are."""
    monkeypatch.setattr(Pace, "steps", lambda self: 7)


MIDWAY = {
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": fb.AdamW(lr=1e-2, amsgrad=True)},
    "momentum": {"optimizer": fb.SGD(lr=0.05, momentum=0.9, nesterov=True)},
    "rmsprop": {"optimizer": fb.RMSprop(momentum=0.5, centered=True)},
    "adagrad": {"optimizer": "adagrad"},
    "everything": SETTINGS["everything"],
    "cosine-of-the-fit": {"schedule": fb.Cosine(warmup=5), "accumulate": 2},
}


def many(seed=3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((400, 6)).astype("f4"), rng.integers(3, size=400)


def same_fit(trainers, histories, data, epochs=4, **more):
    for trainer, history in zip(trainers, histories, strict=True):
        trainer.fit(*data, epochs, history=history, **more)
    a, b = histories
    assert (a.loss, a.val_loss, a.lr, a.metrics, a.steps) == (b.loss, b.val_loss, b.lr, b.metrics, b.steps)
    assert a.samples == b.samples
    assert bits(trainers[0]) == bits(trainers[1])


@pytest.mark.usefixtures("short_calls")
@pytest.mark.parametrize("settings", MIDWAY)
@pytest.mark.parametrize("way", ["pickle", "deepcopy"])
def test_a_fit_that_is_copied_within_an_epoch_goes_on_with_the_same_bits(settings, way):
    data = many()
    more = {"validation": (X, Y), "metrics": ["accuracy"]}
    trainer = trainer_of({**MIDWAY[settings], "batch_size": 8})
    midway = Interrupting(70, WAYS[way])
    history = trainer.fit(*data, 4, callbacks=[midway], **more)
    again, begun = midway.copies
    assert again.steps_done % -(-50 // again._update.accumulate), "within an epoch"
    assert 0 < len(begun.loss) < 4
    same_fit([trainer, again], [history, begun], data, **more)


@pytest.mark.usefixtures("short_calls")
def test_a_fit_that_is_left_within_an_epoch_is_gone_on_with_by_it_and_its_pickle():
    data = many()
    whole, left = (trainer_of({"batch_size": 8, "ema": 0.9}) for _ in range(2))
    history = whole.fit(*data, 3)
    midway = Interrupting(70)
    with pytest.raises(KeyboardInterrupt):
        left.fit(*data, 3, callbacks=[midway])
    assert left.steps_done % 50
    again, begun = pickle.loads(pickle.dumps((left, midway.copies[1])))
    same_fit([whole, again], [history, begun], data, 3)
    same_fit([whole, left], [history, midway.copies[1]], data, 3)


@pytest.mark.usefixtures("short_calls")
def test_a_run_after_a_fit_that_was_left_begins_another_epoch():
    data = many()
    trainers = [trainer_of({"batch_size": 8}) for _ in range(2)]
    for trainer in trainers:
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(*data, 3, callbacks=[Interrupting(20)])
        trainer.run(*data, 3)
    losses = [
        trainers[0].fit(*data, 1, history=fb.History(first_step=trainers[0].steps_done)).loss,
        trainers[1].fit(*data, 1).loss,
    ]
    assert losses[0] == losses[1]
    assert bits(trainers[0]) == bits(trainers[1])


@pytest.mark.parametrize("way", WAYS)
def test_histories_and_callbacks_go_along_after_a_fit(way):
    callbacks = [fb.EarlyStopping(patience=2, min_delta=10.0), fb.ReduceLROnPlateau(patience=1)]
    trainer = trainer_of({})
    history = trainer.fit(X, Y, 6, validation=(X, Y), callbacks=callbacks)
    early, reducing, found = WAYS[way]([*callbacks, history])
    assert found == history
    assert len(found.loss) == 3
    assert (early.best, early.best_epoch) == (history.val_loss[0], 1)
    assert reducing.state() == callbacks[1].state()
    assert trainer.fit(X, Y, 1, validation=(X, Y), callbacks=[early, reducing]).loss  # and can be used again


class Own(fb.Trainer):
    def __init__(self, net, note):
        super().__init__(net, optimizer="sgd", batch_size=8)
        self.note = note


class OwnNetwork(fb.Network):
    def __init__(self, width):
        super().__init__([fb.Linear(width), fb.BatchNorm(), fb.Linear(3)], inputs=6)
        self.units = {"width": width}


@pytest.mark.parametrize("way", WAYS)
def test_subclasses_and_attributes_of_ones_own_go_along(way):
    trainer = Own(OwnNetwork(5), "mine")
    run(trainer)
    again = WAYS[way](trainer)
    assert (type(again), again.note, again.optimizer) == (Own, "mine", trainer.optimizer)
    assert (type(again.net), again.net.units, again.net.layers) == (OwnNetwork, {"width": 5}, trainer.net.layers)
    assert run(again) == run(trainer)
    assert bits(again) == bits(trainer)
    twice = WAYS[way](again)
    assert (twice.note, twice.net.units) == ("mine", {"width": 5})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_joblib_writes_networks_trainers_and_histories(dtype, tmp_path):
    joblib = pytest.importorskip("joblib")
    net = fb.Network([fb.Linear(9), fb.BatchNorm(), fb.ReLU(), fb.Linear(3)], 6, seed=2, dtype=dtype)
    net.about = {"note": "kept"}
    trainer = fb.Trainer(net, batch_size=16)
    history = trainer.fit(X, Y, 2)
    joblib.dump((net, trainer, history), tmp_path / "all.joblib")
    same, again, found = joblib.load(tmp_path / "all.joblib")
    assert again.net is same
    assert (same.about, same.dtype, same.seed, found) == (net.about, net.dtype, net.seed, history)
    assert np.array_equal(same.predict(X), net.predict(X))
    assert run(again) == run(trainer)
    assert bits(again) == bits(trainer)


def coded():
    random = np.random.default_rng(3)
    x = np.hstack([random.normal(size=(70, 2)), random.integers(0, 5, (70, 1))]).astype(np.float32)
    return Coded(x, (0, 0, 4))


@pytest.mark.parametrize("way", WAYS)
def test_an_epoch_over_rows_with_codes_is_gone_on_with(way):
    rows = coded()
    trainer = trainer_of({"accumulate": 2})
    trainer.run(rows, Y, 7)
    assert trainer._batch_plan.place == (2, 32)
    again = WAYS[way](trainer)
    assert again.run(rows, Y, 5).loss == trainer.run(rows, Y, 5).loss
    assert bits(again) == bits(trainer)


def test_rows_with_codes_go_on_in_the_epoch_of_the_same_rows_in_full():
    rows = coded()
    trainers = [trainer_of({}) for _ in range(2)]
    trainers[0].run(np.asarray(rows), Y, 7)
    trainers[1].run(rows, Y, 3)
    trainers[1].run(np.asarray(rows), Y, 1)
    trainers[1].run(rows, Y, 3)
    assert bits(trainers[0]) == bits(trainers[1])
    for trainer, again in zip(trainers, (np.asarray(rows), rows), strict=True):
        trainer.run(np.asarray(rows[:8]), Y[:8], 5)  # fewer than a batch has
        trainer.run(again, Y, 5)
    assert bits(trainers[0]) == bits(trainers[1])


@pytest.mark.parametrize("settings", [{"clip_norm": 0.01}, {"accumulate": 2, "clip_norm": 0.01}])
def test_rows_of_tables_that_another_call_saw_count_in_no_norm(settings):
    """Steps of growing batches and fits have plans of their own, whose gradients wait in one place."""

    def trained(passed):
        layers = [fb.Embedding({0: (40, 3)}), fb.Linear(9), fb.Tanh(), fb.Linear(3)]
        trainer = fb.Trainer(fb.Network(layers, 6, seed=2), batch_size=16, **settings)
        rows, found = X.copy(), []
        rows[:, 0] = np.random.default_rng(1).integers(0, 40, len(X))
        for first, end in ((0, 3), (10, 16), (20, 36), (0, 70), (40, 44)):
            if end - first == 70:
                trainer.fit(rows, Y, epochs=1)
            else:
                trainer.step(rows[first:end], Y[first:end])
            trainer = passed(trainer)
            found.append(bits(trainer))
        return found

    assert trained(lambda trainer: trainer) == trained(WAYS["pickle"])
