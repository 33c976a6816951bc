"""An optimiser's settings arrive in the fields of their names, in the record that its kernel reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp.kernels.optimizers import RULES
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.train.catalogue import OPTIMIZERS

# No two settings of an optimiser are the same number.
NUMBERS = {
    "weight_decay": 0.25,
    "momentum": 0.5,
    "lr_decay": 0.75,
    "alpha": 0.625,
    "rho": 0.375,
    "eps": 0.125,
    "betas": (0.0625, 0.1875),
    "momentum_decay": 0.3125,
    "muon_lr": 0.109375,
}
BRANCHES = {"sgd": {"nesterov": True}, "adam": {"amsgrad": True}, "rmsprop": {"centered": True}}
# Field of a record -> the setting that it has; others have the same name.
SETTING = {"decay": "weight_decay", "slowing": "lr_decay"}


def made(name: str, **branch: Any) -> Any:
    optimizer = OPTIMIZERS[name](lr=0.4375)
    return replace(optimizer, **{n: value for n, value in NUMBERS.items() if hasattr(optimizer, n)}, **branch)


def expected(optimizer: Any, field: str) -> float:
    if field == "decoupled":
        return float(getattr(optimizer, "decoupled", True))
    if field == "ratio":
        return float(optimizer.muon_lr / optimizer.lr)
    if field.startswith("beta_"):
        return float(optimizer.betas[int(field[-1]) - 1])
    return float(getattr(optimizer, SETTING.get(field, field), 0.0))


def record_of(plan: BatchPlan | None) -> Any:
    assert plan
    assert plan.update
    return RULES[plan.update.kernel].settings(plan.head.update.settings.view(np.int64)).copy()


def trainer_with(optimizer: Any) -> fb.Trainer:
    trainer = fb.Trainer(fb.Network([fb.Linear(2)], inputs=3, seed=0), "mse", optimizer, batch_size=4)
    trainer.run(np.ones((4, 3), np.float32), np.ones((4, 2), np.float32), 1)
    return trainer


CASES = [(name, branch) for name in OPTIMIZERS for branch in ({}, BRANCHES.get(name)) if branch is not None]


@pytest.mark.parametrize(("name", "branch"), CASES, ids=lambda part: part if isinstance(part, str) else "-".join(part))
def test_settings_arrive_in_the_fields_of_their_names(name: str, branch: dict[str, Any]) -> None:
    optimizer = made(name, **branch)
    record = record_of(trainer_with(optimizer)._batch_plan)
    for field in record.fields:
        assert getattr(record, field) == expected(optimizer, field), field


def test_every_optimizer_is_among_the_cases() -> None:
    without_momentum = {"sgd", "rmsprop", "rmsprop_centered"}  # read the records of those with it
    kernels = {made(name, **branch).kernel for name, branch in CASES}
    assert kernels | without_momentum | {"keep_gradients"} == set(RULES)


def test_an_optimizer_that_is_assigned_brings_its_settings() -> None:
    trainer = trainer_with(made("adam"))
    trainer.optimizer = replace(trainer.optimizer, eps=0.9375, betas=(0.8125, 0.5625))
    record = record_of(trainer._batch_plan)
    assert (record.eps, record.beta_1, record.beta_2) == (0.9375, 0.8125, 0.5625)


def test_a_setting_without_a_field_is_an_error() -> None:
    plan = trainer_with(made("lion"))._batch_plan
    assert plan
    assert plan.update
    with pytest.raises(AttributeError, match="eps"):
        plan.set_optimizer(replace(plan.update, settings={"beta_1": 0.5, "eps": 0.5}))
