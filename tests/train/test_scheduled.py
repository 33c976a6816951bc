"""Schedules of dropout, weight decay and label smoothing: steps beside those of trainers that were told each number."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

import fastbp as fb
from fastbp.config.build import plan_of
from fastbp.config.schema import Schedules
from fastbp.config.text import parse
from fastbp.engine.memory import view
from fastbp.errors import ConfigError, ConfigTypeError, PlanError
from fastbp.lowering.update import SCHEDULED
from fastbp.train.schedules import OTHERS
from tests.model.chains import DTYPES

STEPS = 12
RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(16, 5)), np.arange(16) % 4
P = RNG.dirichlet(np.ones(4), size=16)
SCHEDULE = fb.FlatCosine(flat=0.25, end=0.1, steps=STEPS)
FACTORS = SCHEDULE.factors(0, STEPS)
ALL = {"dropout": SCHEDULE, "weight_decay": fb.CosLog4(steps=STEPS), "label_smoothing": fb.Cosine(steps=STEPS)}

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def network(p=0.4, dtype="float64", seed=3):
    layers = [fb.Linear(40), fb.Tanh(), fb.Dropout(p), fb.Linear(17), fb.ReLU(), fb.Dropout(p / 2), fb.Linear(4)]
    return fb.Network(layers, inputs=5, seed=seed, dtype=dtype)


def trainer(net=None, **words):
    loss = fb.CrossEntropy(label_smoothing=0.2, class_weights=[1.0, 2.0, 0.5, 1.5])
    return fb.Trainer(net or network(), **{"loss": loss, "optimizer": fb.AdamW(0.02, weight_decay=0.3), **words})


def copy_of(net, other):
    for name in net.parameters:
        other.parameters[name] = net.parameters[name]


def test_plans_have_a_place_for_all_that_has_a_schedule():
    assert tuple(SCHEDULED) == OTHERS == tuple(Schedules.__struct_fields__)


@every_dtype
def test_dropout_drops_as_with_the_probability_of_each_step(dtype):
    net = network(dtype=dtype)
    scheduled = trainer(net, schedules={"dropout": SCHEDULE}, optimizer=fb.SGD(0.3))
    for t in range(STEPS):
        other = network(0.4 * FACTORS[t], dtype)
        copy_of(net, other)
        told = trainer(other, optimizer=fb.SGD(0.3))
        told.steps_done = t
        assert scheduled.step(X, LABELS) == told.step(X, LABELS)
        np.testing.assert_array_equal(net.flat, other.flat)


@every_dtype
@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("words", [{}, {"clip_norm": 0.1, "ema": 0.5}])
def test_weights_decay_as_with_the_weight_decay_of_each_step(dtype, decoupled, words):
    optimizer = fb.Adam(0.02, weight_decay=0.3, decoupled=decoupled)
    told, scheduled = (trainer(network(dtype=dtype), optimizer=optimizer, **words) for _ in range(2))
    scheduled = trainer(network(dtype=dtype), optimizer=optimizer, schedules={"weight_decay": SCHEDULE}, **words)
    for t in range(STEPS):
        told.optimizer = replace(optimizer, weight_decay=0.3 * FACTORS[t])
        assert told.step(X, LABELS) == scheduled.step(X, LABELS)
        np.testing.assert_array_equal(told.net.flat, scheduled.net.flat)


@every_dtype
@pytest.mark.parametrize("y", [LABELS, P], ids=["labels", "probabilities"])
def test_labels_are_smoothed_as_with_the_label_smoothing_of_each_step(dtype, y):
    net = network(0.0, dtype)
    scheduled = trainer(net, schedules={"label_smoothing": SCHEDULE}, optimizer=fb.SGD(0.3))
    off = 32 * np.finfo(dtype).eps
    for t in range(STEPS):
        other = network(0.0, dtype)
        copy_of(net, other)
        told = trainer(other, optimizer=fb.SGD(0.3), loss=replace(scheduled.loss, label_smoothing=0.2 * FACTORS[t]))
        assert scheduled.step(X, y) == pytest.approx(told.step(X, y), rel=float(off))
        np.testing.assert_allclose(net.flat, other.flat, rtol=0, atol=4 * off)


def test_an_end_that_is_not_given_is_that_of_the_fit_or_run():
    ended, known = (trainer(schedules={"weight_decay": one}) for one in ("cosine", fb.Cosine(steps=STEPS)))
    for one in (ended, known):
        one.fit(X, LABELS, epochs=STEPS)
    assert ended.net.flat.tobytes() == known.net.flat.tobytes()
    with pytest.raises(ConfigError, match=r"`Cosine\.steps` must be given if the length of the run is unknown"):
        ended.step(X, LABELS)


def test_calls_of_many_steps_take_the_factor_of_each():
    whole, single, alone = (trainer(schedules=ALL, threads=threads) for threads in (2, 2, 1))
    whole.fit(X, LABELS, epochs=STEPS)
    alone.fit(X, LABELS, epochs=STEPS)
    for _ in range(STEPS):
        single.run(X, LABELS, steps=1)
    assert whole.net.flat.tobytes() == single.net.flat.tobytes() == alone.net.flat.tobytes()


def test_a_trainer_that_went_through_a_pickle_goes_on_in_its_schedules():
    whole, part = trainer(schedules=ALL), trainer(schedules=ALL)
    whole.run(X, LABELS, steps=STEPS)
    part.run(X, LABELS, steps=5)
    part = pickle.loads(pickle.dumps(part))
    part.run(X, LABELS, steps=STEPS - 5)
    assert part.net.flat.tobytes() == whole.net.flat.tobytes()


def test_members_of_a_pack_have_them_too_and_files_keep_them(tmp_path):
    nets = [network(seed=seed) for seed in (1, 2, 3)]
    words = {"loss": fb.CrossEntropy(label_smoothing=0.2), "optimizer": fb.AdamW(0.02, weight_decay=0.3)}
    pack = fb.Pack(nets, schedules=ALL, **words)
    pack.run(X, LABELS, steps=5)
    pack.save(tmp_path / "pack")
    again = fb.load(tmp_path / "pack")
    again.run(X, LABELS, steps=STEPS - 5)
    for seed, net in zip((1, 2, 3), again.members, strict=True):
        alone = trainer(network(seed=seed), schedules=ALL, **words)
        alone.run(X, LABELS, steps=STEPS)
        assert net.flat.tobytes() == alone.net.flat.tobytes()


def test_validation_is_without_factors():
    """The loss is that of the settings, to the last epoch."""
    one = trainer(schedules=ALL)
    history = one.fit(X, LABELS, epochs=STEPS, validation=(X, LABELS))
    smooth = np.eye(4)[LABELS] * 0.8 + 0.05
    weights = np.array([1.0, 2.0, 0.5, 1.5])
    rows = -(weights * smooth * np.log(one.net.predict_proba(X))).sum(1)
    assert history.val_loss[-1] == pytest.approx(rows.sum() / weights[LABELS].sum(), rel=1e-12)


BAD = {
    "lr": ({"lr": "cosine"}, "`schedules` must be one of `dropout`, `weight_decay`, `label_smoothing`, got `lr`"),
    "grows": (
        {"dropout": fb.Exponential(1.01)},
        "`schedules.dropout` must have no factor above 1, got `Exponential(warmup=0, gamma=1.01)`",
    ),
    "begins high": (
        {"label_smoothing": fb.OneCycle(div=0.5)},
        "`schedules.label_smoothing` must have no factor above 1,"
        " got `OneCycle(warmup=0, warm=0.3, div=0.5, final_div=10000.0, steps=None)`",
    ),
    "needs a setting": (
        {"dropout": "step"},
        "`schedules.dropout` must have `every`, such as `fb.Step(every=...)`, got `step` alone",
    ),
    "no dict": ("cosine", "`schedules` must be a dict of what to schedule, got `'cosine'`"),
    "no schedule": ({"dropout": 1}, "`schedules.dropout` must be a schedule such as `fb.Cosine()`, got `1`"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_schedule_of_these_is_refused(case):
    with pytest.raises((ConfigError, ConfigTypeError)) as error:
        trainer(schedules=BAD[case][0])
    assert str(error.value).split("\n")[0] == BAD[case][1]


def test_a_loss_without_label_smoothing_is_refused():
    message = (
        "`schedules.label_smoothing` must be of a loss that smooths labels, such as"
        " `fb.CrossEntropy(label_smoothing=0.1)`, got `mse`"
    )
    with pytest.raises(ConfigError) as error:
        trainer(loss="mse", schedules={"label_smoothing": "cosine"})
    assert str(error.value) == message


IDLE = {  # what has nothing to schedule, and the keys of a file with the same
    "dropout": (
        lambda words: fb.Trainer(fb.mlp([5, 8, 4]), **words),
        "network: {layers: [{name: linear, features: 8}, relu, {name: linear, features: 4}]}\ntrainer: {",
        "no layer is `dropout`",
    ),
    "weight_decay": (
        lambda words: fb.Trainer(network(), optimizer="adam", **words),
        "trainer: {optimizer: adam, ",
        "`optimizer.weight_decay` is 0",
    ),
    "label_smoothing": (
        lambda words: fb.Pack(network(), n=2, loss="cross_entropy", **words),
        "trainer: {loss: cross_entropy, ",
        "`loss.label_smoothing` is 0",
    ),
}


@pytest.mark.parametrize("name", IDLE)
def test_schedules_of_nothing_are_refused_in_the_words_of_a_file(name):
    make, text, where = IDLE[name]
    message = f"`schedules.{name}` must be left out where {where}, got `cosine`"
    with pytest.raises(ConfigError) as error:
        make({"schedules": {name: "cosine"}})
    assert str(error.value) == message
    with pytest.raises(ConfigError) as error:
        plan_of(parse(f"data: {{source: digits}}\n{text}schedules: {{{name}: cosine}}}}\n"))
    said = str(error.value).partition(": ")[2]
    assert said.replace("`trainer.", "`") == message


def test_what_was_scheduled_and_is_no_more_is_copied_and_saved_as_it_is(tmp_path):
    one = trainer(schedules=ALL)
    one.optimizer = fb.AdamW(0.02, weight_decay=0.0)
    again = pickle.loads(pickle.dumps(one))
    assert one.step(X, LABELS) == again.step(X, LABELS)
    assert again.net.flat.tobytes() == one.net.flat.tobytes()
    pack = fb.Pack(network(), n=2, loss=one.loss, optimizer=fb.AdamW(0.02, weight_decay=0.3), schedules=ALL)
    pack.optimizers = fb.AdamW(0.02, weight_decay=0.0)
    pack.save(tmp_path / "p.safetensors")
    loaded = fb.load(tmp_path / "p.safetensors")
    assert loaded.step(X, LABELS).tolist() == pack.step(X, LABELS).tolist()


def test_a_check_of_every_op_knows_the_factors(monkeypatch):
    monkeypatch.setenv("FASTBP_PLAN", "check")
    checked, plain = trainer(schedules=ALL), trainer(schedules=ALL)
    for y in (LABELS, P):
        checked.run(X, y, steps=STEPS)
    monkeypatch.delenv("FASTBP_PLAN")
    for y in (LABELS, P):
        plain.run(X, y, steps=STEPS)
    assert checked.net.flat.tobytes() == plain.net.flat.tobytes()


@pytest.mark.parametrize("name", ALL)
def test_a_check_of_every_op_finds_another_factor(monkeypatch, name):
    monkeypatch.setenv("FASTBP_PLAN", "check")
    one = trainer(schedules=ALL)
    one.run(X, LABELS, steps=2)
    plan = one._batch_plan
    other = view(plan.arena.take(plan.CALL * 8), (plan.CALL,), np.float64)
    other[:] = 0.123
    monkeypatch.setitem(plan.factors, name, other)
    with pytest.raises(PlanError, match=f"factors of {name} in the head"):
        one.run(X, LABELS, steps=2)
