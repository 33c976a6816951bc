"""Settings of trainers and packs that stay as they were given: read, and never assigned in silence."""

import copy
import functools
import inspect
import pickle

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError
from fastbp.train.settled import OF_A_PACK, STAY

X, y = np.zeros((4, 2)), np.zeros((4, 1))


def trainer(**settings):
    return fb.Trainer(fb.mlp([2, 3, 1]), loss="mse", **settings)


def pack():
    return fb.Pack(fb.mlp([2, 3, 1]), n=2, loss="mse")


def said(one, name, value):
    with pytest.raises(ConfigError) as error:
        setattr(one, name, value)
    return str(error.value)


@pytest.mark.parametrize("name", STAY)
def test_a_setting_of_a_trainer_is_not_assigned_in_silence(name):
    must = "must be given when the trainer is made, and stays"
    assert said(trainer(), name, 0.5) == f"`Trainer.{name}` {must}, got `0.5`"


@pytest.mark.parametrize("name", sorted(OF_A_PACK - {"lr", "optimizer"}))
def test_a_setting_of_a_pack_is_not_assigned_in_silence(name):
    assert said(pack(), name, 0.5) == f"`Pack.{name}` must be given when the pack is made, and stays, got `0.5`"


def test_learning_rates_are_those_of_optimisers():
    assert said(trainer(), "lr", 1e-4) == (
        "`Trainer.lr` cannot be assigned, but `optimizer` can\n"
        "hint: `trainer.optimizer = dataclasses.replace(trainer.optimizer, lr=1e-4)` keeps moments"
    )
    for name in ("lr", "optimizer"):
        assert said(pack(), name, fb.Adam()) == (
            f"`Pack.{name}` cannot be assigned, but `optimizers` can\n"
            "hint: `pack.optimizers = [fb.Adam(lr=lr) for lr in rates]` keeps moments"
        )


def test_every_argument_is_a_property_or_refused():
    for one, left in ((trainer(), {"net", "shards", "comm"}), (pack(), {"nets", "n"})):
        for name in inspect.signature(type(one)).parameters.keys() - left:
            own = getattr(type(one), name, None)
            if not (isinstance(own, property) and own.fset):
                with pytest.raises((ConfigError, AttributeError)):
                    setattr(one, name, 3)


def test_settings_of_a_trainer_can_be_read():
    given = {"schedule": fb.Cosine(), "clip_norm": 0.5, "accumulate": 2, "ema": 0.9, "frozen": ["0"], "drop_last": True}
    given |= {"lr_factors": {"2": 0.5}, "decay_factors": {"2": 2.0}, "schedules": {"weight_decay": fb.Cosine()}}
    one = trainer(optimizer=fb.AdamW(lr=0.25), **given)
    for same in (one, copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert {name: getattr(same, name) for name in given} == given
        assert same.lr == 0.25
        assert same.clip_value is None
        assert same.penalty is None


def test_attributes_of_a_subclass_are_its_own():
    class Own(fb.Trainer):
        def __init__(self, net, lr):
            self.lr = lr
            super().__init__(net, loss="mse", clip_norm=0.5)
            self.schedule = "mine"

    class OwnPack(fb.Pack):
        def __init__(self, seed):
            self.seed = seed
            super().__init__(fb.mlp([2, 3, 1]), n=2, loss="mse")

    one = Own(fb.mlp([2, 3, 1]), 0.25)
    one.fit(X, y, 1)
    assert (one.lr, one.schedule, one.clip_norm) == (0.25, "mine", 0.5)
    assert OwnPack(7).seed == 7


def test_decorated_functions_are_asked_for_their_own_arguments():
    seen = []

    def of_a_history(history):
        seen.append(len(history.loss))

    @functools.wraps(of_a_history)
    def inner(trainer, history):
        of_a_history(history)

    @functools.wraps(np.hypot)
    def squares(z, t):
        return (z - t) * (z - t)

    fb.Trainer(fb.mlp([2, 3, 1]), loss=fb.loss(squares)).fit(X, y, 2, callbacks=[inner])
    assert seen == [1, 2]


def test_what_is_ones_own_is_kept():
    one = trainer()
    one.run_name = "a"
    assert pickle.loads(pickle.dumps(one)).run_name == "a"
