"""Schedules against torch's at every step, against their formulas, and against being cut anywhere."""

import hashlib
from dataclasses import MISSING, fields
from inspect import getdoc

import numpy as np
import pytest

from fastbp.errors import ConfigError, ConfigTypeError
from fastbp.train import schedules as s

STEPS = 200

# Every schedule, with settings of its own, none of them a default.
SOME = {
    "constant": s.Constant(),
    "step": s.Step(7, gamma=0.7),
    "multi_step": s.MultiStep([3, 50, 51, 120], gamma=0.3),
    "exponential": s.Exponential(0.97),
    "polynomial": s.Polynomial(power=1.7, end=0.05, steps=150),
    "cosine": s.Cosine(end=0.05, steps=150),
    "cosine_restarts": s.CosineRestarts(10, multiply=2, end=0.05),
    "one_cycle": s.OneCycle(warm=0.4, div=10.0, final_div=100.0, steps=150),
    "cos_log4": s.CosLog4(steps=150),
    "flat_cosine": s.FlatCosine(flat=0.4, end=0.05, steps=150),
}
TIMED = [kind for kind, schedule in SOME.items() if hasattr(schedule, "steps")]

every_schedule = pytest.mark.parametrize("kind", SOME)


def changed(schedule, **settings):
    return type(schedule)(**{**schedule.settings(), **settings})


def test_every_schedule_is_among_those_tested():
    assert {kind: type(schedule) for kind, schedule in SOME.items()} == s.SCHEDULES


# Against torch


def by_torch(make, steps=STEPS):
    """The rates of torch's scheduler at every step, for a base rate of 1."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


TORCH = {
    "step": (s.Step(7, gamma=0.7), lambda S, o: S.StepLR(o, 7, gamma=0.7)),
    "step defaults": (s.Step(30), lambda S, o: S.StepLR(o, 30)),
    "multi_step": (s.MultiStep([3, 50, 51, 120], 0.3), lambda S, o: S.MultiStepLR(o, [3, 50, 51, 120], gamma=0.3)),
    "multi_step defaults": (s.MultiStep([60, 150]), lambda S, o: S.MultiStepLR(o, [60, 150])),
    "exponential": (s.Exponential(0.97), lambda S, o: S.ExponentialLR(o, 0.97)),
    "exponential up": (s.Exponential(1.03), lambda S, o: S.ExponentialLR(o, 1.03)),
    "polynomial": (s.Polynomial(steps=150), lambda S, o: S.PolynomialLR(o, 150)),
    "polynomial power": (s.Polynomial(1.7, steps=150), lambda S, o: S.PolynomialLR(o, 150, power=1.7)),
    "polynomial square": (s.Polynomial(2.0, steps=200), lambda S, o: S.PolynomialLR(o, 200, power=2.0)),
    "cosine": (s.Cosine(steps=200), lambda S, o: S.CosineAnnealingLR(o, 200)),
    "cosine end": (s.Cosine(end=0.1, steps=200), lambda S, o: S.CosineAnnealingLR(o, 200, eta_min=0.1)),
    "restarts": (s.CosineRestarts(17), lambda S, o: S.CosineAnnealingWarmRestarts(o, 17)),
    "restarts longer": (
        s.CosineRestarts(10, multiply=2, end=0.05),
        lambda S, o: S.CosineAnnealingWarmRestarts(o, 10, T_mult=2, eta_min=0.05),
    ),
    "restarts from 1": (s.CosineRestarts(1, multiply=3), lambda S, o: S.CosineAnnealingWarmRestarts(o, 1, T_mult=3)),
    "one_cycle": (
        s.OneCycle(steps=200),
        lambda S, o: S.OneCycleLR(o, max_lr=1.0, total_steps=200, cycle_momentum=False),
    ),
    "one_cycle settings": (
        s.OneCycle(warm=0.43, div=10.0, final_div=50.0, steps=200),
        lambda S, o: S.OneCycleLR(
            o, max_lr=1.0, total_steps=200, pct_start=0.43, div_factor=10.0, final_div_factor=50.0, cycle_momentum=False
        ),
    ),
    "one_cycle without a rise": (
        s.OneCycle(warm=0.0, steps=200),
        lambda S, o: S.OneCycleLR(o, max_lr=1.0, total_steps=200, pct_start=0.0, cycle_momentum=False),
    ),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # the last step of torch's own runs ends its cycle
@pytest.mark.parametrize("name", TORCH)
def test_factors_are_those_of_torch(name):
    schedule, make = TORCH[name]
    steps = STEPS - 1 if name.startswith("one_cycle") else STEPS
    expected = by_torch(make, steps)
    np.testing.assert_allclose(schedule.factors(0, steps), expected, rtol=1e-12, atol=1e-15)


WARM = {
    "constant": (s.Constant(warmup=20), lambda S, o: S.ConstantLR(o, factor=1.0)),
    "step": (s.Step(7, gamma=0.7, warmup=20), lambda S, o: S.StepLR(o, 7, gamma=0.7)),
    "exponential": (s.Exponential(0.97, warmup=20), lambda S, o: S.ExponentialLR(o, 0.97)),
    "polynomial": (s.Polynomial(steps=200, warmup=20), lambda S, o: S.PolynomialLR(o, 180)),
    "cosine": (s.Cosine(end=0.1, steps=200, warmup=20), lambda S, o: S.CosineAnnealingLR(o, 180, eta_min=0.1)),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own SequentialLR calls what torch warns of
@pytest.mark.parametrize("name", WARM)
def test_warm_up_is_that_of_torch(name):
    schedule, make = WARM[name]

    def warmed(S, o):
        linear = S.LinearLR(o, start_factor=1 / 20, end_factor=1.0, total_iters=19)
        return S.SequentialLR(o, [linear, make(S, o)], milestones=[20])

    np.testing.assert_allclose(schedule.factors(0, STEPS), by_torch(warmed), rtol=1e-12, atol=1e-15)


# Against formulas

t = np.arange(STEPS)
FORMULAS = {
    "constant": np.ones(STEPS),
    "step": 0.7 ** (t // 7),
    "multi_step": 0.3 ** np.array([sum(m <= step for m in (3, 50, 51, 120)) for step in t]),
    "exponential": 0.97**t,
    "polynomial": 0.05 + 0.95 * (1 - np.minimum(t, 150) / 150) ** 1.7,
    "cosine": 0.05 + 0.95 * (1 + np.cos(np.pi * np.minimum(t, 150) / 150)) / 2,
    "cosine_restarts": 0.05
    + 0.95 * (1 + np.cos(np.pi * np.concatenate([np.arange(10 * 2**i) / (10 * 2**i) for i in range(5)])[:STEPS])) / 2,
    "one_cycle": np.where(
        t < 59,
        0.1 + 0.9 * (1 - np.cos(np.pi * t / 59)) / 2,
        0.001 + 0.999 * (1 + np.cos(np.pi * (np.minimum(t, 149) - 59) / 90)) / 2,
    ),
    "cos_log4": (1 - np.cos(2 * np.pi * np.log2(1 + 15 * np.minimum(t, 150) / 150))) / 2,
    "flat_cosine": np.where(t < 60, 1, 0.05 + 0.95 * (1 + np.cos(np.pi * (np.minimum(t, 150) - 60) / 90)) / 2),
}


@every_schedule
def test_factors_are_those_of_the_formula(kind):
    np.testing.assert_allclose(SOME[kind].factors(0, STEPS), FORMULAS[kind], rtol=1e-12, atol=1e-12)


@every_schedule
def test_warm_up_is_a_line_and_then_the_schedule_begins(kind):
    plain, schedule = SOME[kind], changed(SOME[kind], warmup=30)
    if kind in TIMED:
        schedule = changed(schedule, steps=180)
    factors, own = schedule.factors(0, STEPS), plain.factors(0, STEPS)
    np.testing.assert_array_equal(factors[30:], own[: STEPS - 30])
    np.testing.assert_allclose(factors[:30], (np.arange(30) + 1) / 30 * own[0], rtol=1e-15)


# Properties


@every_schedule
@pytest.mark.parametrize("warmup", [0, 30])
def test_cutting_changes_no_bit(kind, warmup):
    schedule = changed(SOME[kind], warmup=warmup)
    whole = schedule.factors(0, 2 * STEPS)
    assert whole.dtype == np.float64
    assert whole.shape == (2 * STEPS,)
    for size in (1, 7, 64):
        parts = [schedule.factors(i, min(size, len(whole) - i)) for i in range(0, len(whole), size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()


@every_schedule
def test_no_steps_have_no_factors(kind):
    assert SOME[kind].factors(5, 0).shape == (0,)


@every_schedule
def test_factors_lie_between_0_and_1(kind):
    factors = SOME[kind].factors(0, 2 * STEPS)
    assert factors.min() >= 0
    assert factors.max() <= 1


@pytest.mark.parametrize("kind", ["step", "multi_step", "exponential", "polynomial", "cosine", "flat_cosine"])
def test_what_goes_down_never_goes_up(kind):
    factors = SOME[kind].factors(0, 2 * STEPS)
    assert factors[0] == 1.0
    assert (np.diff(factors) <= 0).all()


def test_one_cycle_goes_up_once_and_down_once():
    factors = SOME["one_cycle"].factors(0, 150)
    assert factors.argmax() == 59
    assert factors.max() == 1
    assert (np.diff(factors[:60]) > 0).all()
    assert (np.diff(factors[59:]) < 0).all()


@pytest.mark.parametrize("kind", TIMED)
def test_the_last_value_stays(kind):
    end = {"one_cycle": 0.001, "cos_log4": 0.0}.get(kind, 0.05)
    far = SOME[kind].factors(150, 500)
    np.testing.assert_array_equal(far, far[0])
    np.testing.assert_allclose(far[0], end, rtol=1e-15, atol=0)
    np.testing.assert_array_equal(SOME[kind].factors(2**52, 3), far[:3])


def test_restarts_are_found_far_away():
    assert s.CosineRestarts(1, multiply=2).factors(2**50 - 2, 3).round(6).tolist() == [0.0, 1.0, 1.0]
    assert s.CosineRestarts(2**53 - 1, multiply=2**53 - 1).factors(2**52, 1).round(6).tolist() == [0.5]


@pytest.mark.parametrize("warm", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_one_cycle_of_a_few_steps_is_finite_and_ends_at_its_end(steps, warm):
    factors = s.OneCycle(warm, steps=steps).factors(0, steps + 2)
    assert np.isfinite(factors).all()
    np.testing.assert_allclose(factors[steps - 1 :], 1 / 25 / 1e4, rtol=1e-12)


@pytest.mark.parametrize("kind", TIMED)
def test_the_length_may_come_from_the_run(kind):
    open_end = changed(SOME[kind], steps=None)
    np.testing.assert_array_equal(open_end.factors(0, STEPS, total=150), SOME[kind].factors(0, STEPS))
    np.testing.assert_array_equal(SOME[kind].factors(0, STEPS, total=77), SOME[kind].factors(0, STEPS))


@pytest.mark.parametrize("kind", TIMED)
def test_a_run_shorter_than_the_warm_up_is_all_warm_up(kind):
    schedule = changed(SOME[kind], steps=None, warmup=20)
    np.testing.assert_array_equal(schedule.factors(0, 10, total=10), schedule.factors(0, 10, total=20))


# The first digits of SHA-256 over the float64 factors of 400 steps.
DIGESTS = {
    "constant": "9498dac910b1db18",
    "step": "fda767049b5f0798",
    "multi_step": "3ee955c2f7af4df8",
    "exponential": "57f3b51cf98eda92",
    "polynomial": "0da9df364944d0b0",
    "cosine": "d45ff8f4b493b3b2",
    "cosine_restarts": "4577396473355095",
    "one_cycle": "eb84a2bf8d9d2565",
    "cos_log4": "25c08f6a61485312",
    "flat_cosine": "40b2776fbbe19716",
}


@every_schedule
def test_bits_are_those_of_every_machine(kind):
    assert hashlib.sha256(SOME[kind].factors(0, 400).tobytes()).hexdigest()[:16] == DIGESTS[kind]


# Settings


@every_schedule
def test_settings_make_the_schedule_again(kind):
    schedule = changed(SOME[kind], warmup=3)
    assert s.SCHEDULES[kind](**schedule.settings()) == schedule
    assert schedule.settings()["warmup"] == 3
    assert set(schedule.settings()) == {field.name for field in fields(schedule)}


@every_schedule
def test_every_schedule_says_what_it_is_and_shows_it(kind):
    assert ">>> " in (getdoc(s.SCHEDULES[kind]) or "")


DEFAULTS = {
    "constant": {"warmup": 0},
    "step": {"warmup": 0, "gamma": 0.1},
    "multi_step": {"warmup": 0, "gamma": 0.1},
    "exponential": {"warmup": 0},
    "polynomial": {"warmup": 0, "power": 1.0, "end": 0.0, "steps": None},
    "cosine": {"warmup": 0, "end": 0.0, "steps": None},
    "cosine_restarts": {"warmup": 0, "multiply": 1, "end": 0.0},
    "one_cycle": {"warmup": 0, "warm": 0.3, "div": 25.0, "final_div": 1e4, "steps": None},
    "cos_log4": {"warmup": 0, "steps": None},
    "flat_cosine": {"warmup": 0, "flat": 0.72, "end": 0.0, "steps": None},
}


@every_schedule
def test_defaults_are_as_promised(kind):
    given = {field.name: field.default for field in fields(s.SCHEDULES[kind]) if field.default is not MISSING}
    assert given == DEFAULTS[kind]


def refused(kind, make, message):
    with pytest.raises(kind) as info:
        make()
    assert type(info.value) is kind
    assert str(info.value) == message


BELOW_ONE = "must be at least 0 and below 1"
BAD = [
    (lambda: s.Constant(warmup=-1), "`Constant.warmup` must be at least 0, got `-1`"),
    (lambda: s.Constant(warmup=2**53), f"`Constant.warmup` must be below 2**53, got `{2**53}`"),
    (lambda: s.Step(0), "`Step.every` must be at least 1, got `0`"),
    (lambda: s.Step(10**30), f"`Step.every` must be below 2**53, got `{10**30}`"),
    (lambda: s.Step(1, gamma=0), "`Step.gamma` must be above 0, got `0.0`"),
    (lambda: s.Step(1, gamma=float("nan")), "`Step.gamma` must be finite, got `nan`"),
    (lambda: s.MultiStep([0]), "`MultiStep.milestones[0]` must be at least 1, got `0`"),
    (lambda: s.MultiStep([2, 5, 5]), "`MultiStep.milestones` must be ascending, got `[2, 5, 5]`"),
    (lambda: s.MultiStep([1], gamma=-1), "`MultiStep.gamma` must be above 0, got `-1.0`"),
    (lambda: s.Exponential(0.0), "`Exponential.gamma` must be above 0, got `0.0`"),
    (lambda: s.Polynomial(power=0), "`Polynomial.power` must be above 0, got `0.0`"),
    (lambda: s.Polynomial(end=-0.1), "`Polynomial.end` must be between 0 and 1, got `-0.1`"),
    (lambda: s.Polynomial(steps=0), "`Polynomial.steps` must be at least 1, got `0`"),
    (lambda: s.Cosine(end=1.5), "`Cosine.end` must be between 0 and 1, got `1.5`"),
    (lambda: s.Cosine(steps=0), "`Cosine.steps` must be at least 1, got `0`"),
    (lambda: s.Cosine(steps=10, warmup=10), "`Cosine.warmup` must be below `steps`, `10`, got `10`"),
    (lambda: s.CosineRestarts(0), "`CosineRestarts.first` must be at least 1, got `0`"),
    (lambda: s.CosineRestarts(1, multiply=0), "`CosineRestarts.multiply` must be at least 1, got `0`"),
    (lambda: s.CosineRestarts(1, end=2), "`CosineRestarts.end` must be between 0 and 1, got `2.0`"),
    (lambda: s.OneCycle(warm=1), f"`OneCycle.warm` {BELOW_ONE}, got `1.0`"),
    (lambda: s.OneCycle(div=0), "`OneCycle.div` must be above 0, got `0.0`"),
    (lambda: s.OneCycle(final_div=0), "`OneCycle.final_div` must be above 0, got `0.0`"),
    (lambda: s.OneCycle(steps=-3), "`OneCycle.steps` must be at least 1, got `-3`"),
    (lambda: s.CosLog4(0), "`CosLog4.steps` must be at least 1, got `0`"),
    (lambda: s.FlatCosine(flat=1), f"`FlatCosine.flat` {BELOW_ONE}, got `1.0`"),
    (lambda: s.FlatCosine(end=-1), "`FlatCosine.end` must be between 0 and 1, got `-1.0`"),
    (lambda: s.FlatCosine(steps=0), "`FlatCosine.steps` must be at least 1, got `0`"),
    (lambda: s.Constant().factors(-1, 2), "`first` must be at least 0, got `-1`"),
    (lambda: s.Constant().factors(0, -2), "`count` must be at least 0, got `-2`"),
    (lambda: s.Cosine().factors(0, 2, total=-1), "`total` must be at least 0, got `-1`"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message for _, message in BAD])
def test_a_setting_outside_its_domain_is_refused(make, message):
    refused(ConfigError, make, message)


WRONG = [
    (lambda: s.Constant(warmup=1.5), "`Constant.warmup` must be a whole number, got `1.5`"),
    (lambda: s.Step("3"), "`Step.every` must be a whole number, got `'3'`"),
    (lambda: s.Step(3, gamma="x"), "`Step.gamma` must be a number, got `'x'`"),
    (lambda: s.MultiStep(5), "`MultiStep.milestones` must be a list of whole numbers, got `5`"),
    (lambda: s.MultiStep("15"), "`MultiStep.milestones` must be a list of whole numbers, got `'15'`"),
    (lambda: s.MultiStep([1.5]), "`MultiStep.milestones[0]` must be a whole number, got `1.5`"),
    (lambda: s.Exponential(None), "`Exponential.gamma` must be a number, got `None`"),
    (lambda: s.Polynomial(power=True), "`Polynomial.power` must be a number, got `True`"),
    (lambda: s.Cosine(steps=2.0), "`Cosine.steps` must be a whole number, got `2.0`"),
    (lambda: s.CosineRestarts(first=None), "`CosineRestarts.first` must be a whole number, got `None`"),
    (lambda: s.CosineRestarts(2, multiply=1.5), "`CosineRestarts.multiply` must be a whole number, got `1.5`"),
    (lambda: s.OneCycle(warm="0.3"), "`OneCycle.warm` must be a number, got `'0.3'`"),
    (lambda: s.Constant().factors(0.0, 2), "`first` must be a whole number, got `0.0`"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_setting_of_the_wrong_type_is_refused(make, message):
    refused(ConfigTypeError, make, message)


@pytest.mark.parametrize("kind", TIMED)
def test_a_schedule_with_an_end_must_know_it(kind):
    schedule = changed(SOME[kind], steps=None)
    where = f"{type(schedule).__name__}.steps"
    message = f"`{where}` must be given if the length of the run is unknown, got `None`"
    refused(ConfigError, lambda: schedule.factors(0, 10), message)


def test_a_base_is_no_schedule():
    with pytest.raises(TypeError, match="Schedule is no schedule"):
        s.Schedule().factors(0, 1)
