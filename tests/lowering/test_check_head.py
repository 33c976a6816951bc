"""`FASTBP_PLAN=check`: a number of the head that the user did not set is named, and an address of something else."""

import ctypes
import re

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import PlanError
from fastbp.kernels.optimizers import RULES

pytestmark = pytest.mark.usefixtures("checked")
RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(45, 6)), RNG.normal(size=(45, 3))
LAYERS = [fb.Linear(20), fb.Tanh(), fb.Linear(3)]


def trained(**words):
    """A trainer after an epoch of three batches, the last of 5 rows, and its plan."""
    net = fb.Network(LAYERS, inputs=6, seed=0)
    optimizer = fb.AdamW(0.01, betas=(0.8, 0.95), weight_decay=0.25)
    trainer = fb.Trainer(net, loss="mse", optimizer=optimizer, batch_size=20, threads=2, **words)
    trainer.fit(X, Y, epochs=1, sample_weight=1.0 + np.arange(45) % 3)
    return trainer, trainer._batch_plan


def settings(plan):
    return RULES["adam"].settings(plan.head.update.settings.view(np.int64))


def moved(record, field):
    setattr(record, field, getattr(record, field) + 64)


# Where a number stands, what it is called, what it must be, and what it is made.
NUMBERS = {
    "beta_1": (settings, "the setting `beta_1` of `adam`", 0.8, 0.9),
    "eps": (settings, "the setting `eps` of `adam`", 1e-8, 1e-3),
    "decay": (settings, "the setting `decay` of `adam`", 0.25, 0.5),
    "decoupled": (settings, "the setting `decoupled` of `adam`", 1, 0),
    "average_keep": (lambda plan: plan.head.update, "the decay of the running average", 0.9, 0.8),
    "clip_value": (lambda plan: plan.head.update, "`clip_value`", 0, 1),
    "clip_norm": (lambda plan: plan.head.update, "`clip_norm`", 0.5, 1),
    "staged": (lambda plan: plan.head.update, "whether gradients wait", 1, 0),
    "top_rate": (lambda plan: plan.head.update, "the largest factor of the learning rate", 1, 0.5),
    "top_decay": (lambda plan: plan.head.update, "the largest factor of the weight decay", 1, 9),
    "penalised": (lambda plan: plan.head.update, "whether there are penalties", 0, 1),
    "accumulate": (lambda plan: plan.head.step, "the number of batches of a step", 2, 3),
    "summed": (lambda plan: plan.head.step, "whether the loss is a sum", 0, 1),
    "batch": (lambda plan: plan.head.data, "the number of rows of a batch", 20, 21),
}


@pytest.mark.parametrize("field", NUMBERS)
def test_a_number_that_the_user_did_not_set_is_named(field):
    plan = trained(ema=0.9, clip_norm=0.5, accumulate=2)[1]
    record_of, what, must, got = NUMBERS[field]
    setattr(record_of(plan), field, got)
    said = f"{what} in the head of `train, batch 20` must be {must}, got {got}"
    with pytest.raises(PlanError, match=f"^{re.escape(said)}$"):
        plan.steps(1, 1, 2)


ADDRESSES = {
    "the ops": lambda plan: moved(plan.head, "ops"),
    "the phases": lambda plan: moved(plan.head, "phases"),
    "the layers": lambda plan: moved(plan.head, "layers"),
    "the parameters": lambda plan: moved(plan.head.update.blocks, "parameters"),
    "moment 1": lambda plan: moved(plan.head.update.blocks, "moment_1"),
    "moment 2": lambda plan: moved(plan.head.update.blocks, "moment_2"),
    "moment 3": lambda plan: moved(plan.head.update.blocks, "moment_3"),
    "the running average": lambda plan: moved(plan.head.update.blocks, "average"),
    "the gradients that wait": lambda plan: moved(plan.head.update, "gradients"),
    "the learning rates": lambda plan: moved(plan.head.step, "rates"),
    "the losses of epochs": lambda plan: moved(plan.head.step, "losses"),
    "the rows": lambda plan: moved(plan.ops.records[0].a, "start"),
    "targets": lambda plan: moved(plan.ops.records[plan._loss_ops[0]].targets, "start"),
    "the weights of rows": lambda plan: moved(plan.head.data, "weights"),
    "the normalisers of rows": lambda plan: moved(plan.head.data, "normalisers"),
    "the order of the rows": lambda plan: moved(plan.head.data, "order"),
}


@pytest.mark.parametrize("what", ADDRESSES)
def test_an_address_of_something_else_is_named(what):
    plan = trained(ema=0.9, clip_norm=0.5, accumulate=2)[1]
    ADDRESSES[what](plan)
    said = rf"^the address of {what} in the head of `train, batch 20` must be (\S+), got (\S+)$"
    with pytest.raises(PlanError, match=said) as found:
        plan.steps(1, 1, 2)
    must, got = re.match(said, str(found.value)).groups()
    assert int(got, 16) == int(must, 16) + 64


def behind_prepare(plan, change):
    """Call `change(head)` behind the kernel that prepares a step; what is returned must be kept."""
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4, ctypes.c_float)
    prepare = kind(plan.head.update.prepare)

    def called(*given):
        prepare(*given)
        change(plan.head)

    made = kind(called)
    plan.head.update.prepare = ctypes.cast(made, ctypes.c_void_p).value
    return made


IN_A_STEP = {
    "the learning rate": (lambda head: head.update.factors.__setitem__(0, 0.02), "0.01", "0.02"),
    "the factor of the loss": (lambda head: setattr(head.step, "scale", 0.5), r"0\.02\d+", "0.5"),
    "the part of a batch": (lambda head: setattr(head.step, "group_part", 1.0), "0.5", "1"),
}


@pytest.mark.parametrize("what", IN_A_STEP)
def test_a_number_that_a_step_begins_with_is_named(what):
    plan = trained(accumulate=2)[1]
    make, must, got = IN_A_STEP[what]
    kept = behind_prepare(plan, make)
    said = rf"^{what} of step 2 of `train, batch 20` must be {must}, got {re.escape(got)}$"
    with pytest.raises(PlanError, match=said):
        plan.steps(1, 1, 2)
    assert kept


def test_the_rate_of_a_single_step_is_the_one_it_is_given():
    net = fb.Network(LAYERS, inputs=6, seed=0)
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.AdamW(0.01), batch_size=20, threads=1)
    x, y = X[:20].astype("float32"), Y[:20].astype("float32")
    trainer.step(x, y)
    kept = behind_prepare(trainer._step_plan, IN_A_STEP["the learning rate"][0])
    with pytest.raises(PlanError, match=r"^the learning rate of step 1 of `train, batch 20` must be 0\.01, got 0\.02$"):
        trainer.step(x, y)
    assert kept


def test_the_settings_of_another_optimizer_are_those_that_count():
    trainer, plan = trained()
    trainer.optimizer = fb.AdamW(0.03, betas=(0.7, 0.9), weight_decay=0.125)
    assert plan.update.settings["beta_1"] == 0.7
    trainer.run(X, Y, steps=2)
    settings(plan).beta_1 = 0.8
    with pytest.raises(PlanError, match=r"^the setting `beta_1` of `adam` in the head of .* must be 0\.7, got 0\.8$"):
        plan.steps(1, 1, 2)


@pytest.mark.parametrize("words", [{}, {"accumulate": 2}, {"accumulate": 3, "ema": 0.5}, {"clip_norm": 0.5}])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_part_of_an_epoch_passes(words, weighted):
    """Rates of a schedule, last batches that are short, and weights of which some are 0."""
    net = fb.Network(LAYERS, inputs=6, seed=0)
    trainer = fb.Trainer(net, loss="mse", batch_size=7, schedule=fb.Cosine(), threads=2, **words)
    weights = np.arange(45) % 3 if weighted else None
    trainer.fit(X, Y, epochs=3, sample_weight=weights)
    trainer.run(X, Y, steps=9, sample_weight=weights)
    trainer.run(X[:5], Y[:5], steps=3)  # fewer rows than a batch has
    assert np.isfinite(net.evaluate(X, Y, "mse"))


@pytest.mark.parametrize("field", ["chosen", "order"])
def test_the_rows_of_a_member_of_a_pack_are_those_that_were_chosen(field):
    net = fb.Network(LAYERS, inputs=6, seed=0)
    chosen = [np.arange(9), np.repeat(np.arange(40), 2)]
    pack = fb.Pack(net, n=2, loss="mse", batch_size=20, rows=chosen, threads=2)
    pack.run(X, Y, steps=9)
    pack.fit(X, Y, epochs=2, validation_rows=chosen[::-1], patience=1)
    plan = pack._members[1].seats.take(pack.members[1], 1, X)
    moved(plan.head.data, field)
    what = {"chosen": "the chosen rows", "order": "the order of the rows"}[field]
    with pytest.raises(PlanError, match=rf"^the address of {what} in the head of `evaluate, batch 512` must be "):
        plan.steps(1, 1, 1)
