"""Bounds that trainers carry along: ordinary training never looks at an update, and nothing is beyond them."""

from dataclasses import replace

import numpy as np
import pytest

import fastbp as fb
from fastbp.lowering import plans
from fastbp.train.catalogue import OPTIMIZERS as KINDS
from fastbp.train.checkpoints import load_state, state_of
from tests.model import chains
from tests.model.chains import DTYPES
from tests.train.test_overflow import OPTIMIZERS, WORDS, X, Y, normed, state, training

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(autouse=True)
def no_call_is_too_small(monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)


def bounds(trainer):
    return trainer._batch_plan.head.update.now.each


def counts(trainer):
    update = trainer._batch_plan.head.update
    return update.renewed, update.tried


ORDINARY = [kind() for kind in KINDS.values()]


@every_dtype
@pytest.mark.parametrize("optimizer", [*ORDINARY, fb.Adam(weight_decay=0.01), fb.SGD(0.1, 0.9)], ids=str)
@pytest.mark.parametrize("words", [{}, WORDS["all"], {"penalty": "0.01*w*w"}], ids=["plain", "all", "penalty"])
def test_ordinary_training_never_looks_at_an_update(words, optimizer, dtype):
    trainer = training(dtype, optimizer, batch=64, **words)
    trainer.run(X, Y, steps=2000)
    renewed, tried = counts(trainer)
    assert tried == 0
    assert renewed <= (1 if optimizer.kind != "adadelta" else 30)


@every_dtype
def test_every_number_is_within_the_bounds_that_are_carried_along(dtype):
    trainer = normed(dtype, ema=0.9, clip_norm=1e3, optimizer=fb.Adam(0.1, amsgrad=True, weight_decay=0.1))
    for _ in range(30):
        trainer.run(X, Y, steps=10)
        arrays, _ = state_of(trainer)
        for i, kind in enumerate(("parameters", "moment 0", "moment 1", "moment 2")):
            tops = [np.abs(array).max() for name, array in arrays.items() if name.startswith(kind)]
            assert max(tops) <= bounds(trainer)[i]
        assert max(np.abs(a).max() for name, a in arrays.items() if name.startswith("average")) <= bounds(trainer)[0]
        assert gradients_hold(trainer)
    assert counts(trainer) == (1, 0)


def gradients_hold(trainer):
    """The gradients of the last step, which have waited, are within their bound."""
    bound = trainer._batch_plan.head.update.gradient
    kept = trainer._update.gradients
    return max(np.abs(kept.read(name)).max() for name in kept.slots) <= bound


LAYERS = {
    "prelu": [fb.PReLU()],
    "wide prelu": [fb.Linear(100), fb.PReLU()],
    "parametric": [fb.Linear(20), fb.Parametric("selu"), fb.Linear(9), fb.Parametric("sigmoid", init=-3.0)],
    "scale": [fb.Linear(40, ntk=True), fb.Scale()],
    "norms": [fb.Linear(30), fb.BatchNorm(), fb.Tanh(), fb.LayerNorm(), fb.RMSNorm()],
    "embedding": [fb.Embedding({0: (3, 9)}), fb.PReLU(per_feature=True)],
    "softmax": [fb.Linear(9), fb.Softmax(), fb.Linear(5), fb.LogSoftmax()],
    "dropout": [fb.Dropout(0.5), fb.Linear(9), fb.GELU(), fb.Dropout(0.9)],
}


@every_dtype
@pytest.mark.parametrize("penalty", [None, "100*w*w*w*w"])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_no_gradient_is_beyond_its_bound(layers, accumulate, penalty, dtype):
    net = fb.Network([*layers, fb.Linear(3)], inputs=5, dtype=dtype)
    rows = X.copy()
    rows[:, 0] = np.arange(64) % 3
    trainer = fb.Trainer(net, "mse", fb.SGD(1e-6), 16, clip_norm=1e9, accumulate=accumulate, penalty=penalty)
    for _ in range(8):
        trainer.run(rows, 1e3 * rows[:, :3], steps=1)
        assert gradients_hold(trainer)


@pytest.mark.parametrize("code", [code for code in chains.CODES if "L" in code])
def test_no_gradient_of_a_chain_is_beyond_its_bound(code):
    net = chains.build(code)
    rows, targets = chains.data(net, 37, "mse")
    trainer = fb.Trainer(net, "mse", fb.SGD(1e-3), 16, clip_norm=1e9)
    for _ in range(6):
        trainer.run(rows, targets, steps=1)
        assert gradients_hold(trainer)


WRITERS = {
    "flat": lambda net, trainer, large: setattr(net, "flat", large),
    "one": lambda net, trainer, large: net.parameters.update({"0.bias": large[:16]}),
    "state": lambda net, trainer, large: load_state(trainer, *trained_state(trainer, large)),
    "another": lambda net, trainer, large: another(net, large),
}


def trained_state(trainer, large):
    arrays, numbers = state_of(trainer)
    arrays["moment 0/0.bias"] = large[:16]
    return arrays, numbers


def another(net, large):
    """Another trainer of the same network, whose steps are large."""
    fb.Trainer(net, optimizer=fb.SGD(float(np.abs(large).max())), batch_size=64).run(X, Y, steps=1)


@every_dtype
@pytest.mark.parametrize("way", WRITERS)
def test_bounds_are_taken_anew_after_parameters_were_written(way, dtype):
    trainer = training(dtype, fb.Adam())
    trainer.run(X, Y, steps=2)
    trainer.step(X, Y)
    trainer.run(X, Y, steps=2)
    renewed, _ = counts(trainer)
    large = np.full(trainer.net.flat.size, 1e6, dtype)
    WRITERS[way](trainer.net, trainer, large)
    trainer.run(X, Y, steps=1)
    assert counts(trainer) == (renewed + 1, 0)
    assert bounds(trainer)[:2].max() > 1e5


@every_dtype
@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trying_every_update_changes_no_bit(name, words, dtype):
    found = []
    for limit in (0.0, np.inf):
        calm = {"weight_decay": 0.01, "lr": 0.01}
        trainer = training(dtype, replace(OPTIMIZERS[name], **calm), threads=2, **words)
        trainer.run(X, Y, steps=1)
        trainer._batch_plan.head.step.limit = limit
        losses = trainer.run(X, Y, steps=30).loss
        found.append((losses, state(trainer)))
        assert counts(trainer)[1] == (30 if limit == 0.0 else 0)
    assert found[0] == found[1]
