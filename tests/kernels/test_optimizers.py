"""Optimisers against their twins over several steps: all of the registry, every setting that has a branch."""

import numpy as np
import pytest

from fastbp import reference
from fastbp.kernels.optimizers import RULES
from fastbp.train.catalogue import OPTIMIZERS
from tests.kernels import calls
from tests.kernels.every_kernel import normal
from tests.kernels.harness import DTYPES, SIZES, Machine, assert_close, same_bits

STEPS = 6
# Name -> settings of the twin and of the class, each a case; of one that is not here the first step's rate.
SETTINGS = {
    "sgd": [
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
        {"lr": 0.1, "weight_decay": 0.1, "decoupled": True},
    ],
    "adam": [
        {"lr": 0.1, "amsgrad": True, "betas": (0.5, 0.5)},
        {"lr": 0.1, "weight_decay": 0.1},
        {"lr": 0.1},
        {"lr": 1e-3, "betas": (0.5, 0.9), "eps": 1e-3},
        {"lr": 0.1, "betas": (0.0, 0.9)},
    ],
    "adamw": [{"lr": 0.1}, {"lr": 0.1, "weight_decay": 0.0}, {"lr": 0.1, "weight_decay": 0.5}],
    "adagrad": [{"lr": 0.1}, {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1}],
    "rmsprop": [
        {"lr": 0.1},
        {"lr": 0.1, "alpha": 0.5, "momentum": 0.9},
        {"lr": 0.1, "alpha": 0.5, "eps": 1e-2, "centered": True},
        {"lr": 0.1, "alpha": 0.5, "eps": 1e-2, "centered": True, "momentum": 0.5, "weight_decay": 0.1},
    ],
    "nadam": [{"lr": 0.1}, {"lr": 0.1, "momentum_decay": 0.1, "weight_decay": 0.1, "decoupled": True}],
    "radam": [{"lr": 0.1}, {"lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.1}],
    "adadelta": [{"lr": 1.0}, {"lr": 0.5, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1}],
    "lion": [{"lr": 0.1}, {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.1}],
    "muon": [{"lr": 0.1}, {"lr": 0.1, "muon_lr": 7.0, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.5}],
}
SETTINGS = {name: SETTINGS.get(name, [{"lr": 0.1}]) for name in OPTIMIZERS}
# Kernel -> what the twin calls its moments, in the kernel's order; of others, the order of the twin's state.
MOMENTS = {
    "sgd": "",
    "momentum": "m",
    "nesterov": "m",
    "adagrad": "v",
    "rmsprop": "v",
    "rmsprop_momentum": "v m",
    "rmsprop_centered": "v mean",
    "rmsprop_centered_momentum": "v mean m",
    "adam": "m v",
    "adam_amsgrad": "m v v_max",
    "nadam": "m v",
    "radam": "m v",
    "adadelta": "v u",
    "lion": "m",
    "muon": "m v",
}
# How many times the tolerance a move may be off. What radam trusts is the rest of two numbers near 2000, minus 4, and
# one of them is a quotient by 1 - β2ᵗ, which has lost eight bits itself.
CONDITION = {"radam": 1024}
CASES = [(name, settings) for name, all_settings in SETTINGS.items() for settings in all_settings]

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_optimizer = pytest.mark.parametrize(
    ("name", "settings"), CASES, ids=lambda part: part if isinstance(part, str) else str(list(part.values()))
)


def optimizer(name, settings):
    made = OPTIMIZERS[name](**settings)
    return calls.optimizer_of(made)


def gradients(dtype, size):
    """One a step, over many magnitudes and with zeros."""
    rng = np.random.default_rng(size)
    for _ in range(STEPS):
        g = rng.normal(size=size) * 10.0 ** rng.integers(-6, 3, size)
        g[::5] = 0.0
        yield g.astype(dtype)


def test_every_rule_is_among_the_cases():
    assert {optimizer(name, settings).kernel for name, settings in CASES} == set(RULES) - {"keep_gradients"}


@pytest.mark.parametrize("size", [*SIZES, 600])
@every_optimizer
@every_dtype
def test_several_steps_follow_the_twin(dtype, name, settings, size):
    how, twin = optimizer(name, settings), getattr(reference, name)
    theta = normal(dtype, size)
    state = [theta, *(np.zeros_like(theta) for _ in range(how.moments))]
    expected, expected_state = theta.astype(np.float64), {}
    moved, terms, largest = np.abs(expected), {}, {}
    for step, g in enumerate(gradients(dtype, size)):
        state = [a[:size] for a in calls.update(Machine(dtype), how, state, g, settings["lr"], step)]
        before = expected
        expected, expected_state = twin(expected, g.astype(np.float64), expected_state, **settings)
        moved = moved + CONDITION.get(name, 1) * np.abs(expected - before)
        assert_close(state[0], expected, moved, "update", dtype)
        _, terms = twin(moved, np.abs(g).astype(np.float64), terms, **settings)
        for actual, key in zip(state[1:], MOMENTS.get(how.kernel, " ".join(expected_state)).split(), strict=True):
            largest[key] = np.maximum(largest.get(key, 0.0), terms[key])
            assert_close(actual, expected_state[key], largest[key], "update", dtype)


@every_optimizer
@every_dtype
def test_padding_stays_zero(dtype, name, settings):
    how = optimizer(name, settings)
    theta, g = normal(dtype, 5), normal(dtype, 5, 1)[:, 0]
    state = [theta, *(np.zeros_like(theta) for _ in range(how.moments))]
    for values in calls.update(Machine(dtype), how, state, g, settings["lr"]):
        assert values.size > 5
        assert not values[5:].any()


@every_dtype
def test_kept_gradients_are_the_gradients(dtype):
    g = normal(dtype, 37)
    m = Machine(dtype)
    (kept,) = calls.update(m, calls.KEEP, [g], g)
    assert same_bits(kept[:37], g)
    assert m.overrun() == []


@every_dtype
def test_the_first_step_of_adam_is_the_rate_whatever_the_gradients_scale(dtype):
    g = np.array([1e-4, -1e-2, 1.0, -1e2, 1e4], dtype)
    (p, *_) = calls.update(Machine(dtype), optimizer("adam", {"lr": 0.5}), [0 * g, 0 * g, 0 * g], g, 0.5)
    exact = g.astype(np.float64)
    assert_close(p[:5], -0.5 * exact / (np.abs(exact) + 1e-8), 0.5, "update", dtype)


@pytest.mark.parametrize("step", [0, 1, 7, 1000, 10**6, 2**40])
@every_dtype
def test_the_bias_corrections_are_those_of_the_step(dtype, step):
    g, zeros = normal(dtype, 17), np.zeros(17, dtype)
    how = optimizer("adam", {"lr": 0.1})
    (p, *_) = calls.update(Machine(dtype), how, [zeros, zeros, zeros], g, 0.1, step)
    t = step + 1
    m, v = 0.1 * g.astype(np.float64), 0.001 * g.astype(np.float64) ** 2
    expected = -0.1 / (1 - 0.9**t) * m / (np.sqrt(v) / np.sqrt(1 - 0.999**t) + 1e-8)
    assert_close(p[:17], expected, np.abs(expected), "update", dtype)


@every_optimizer
@every_dtype
def test_a_nan_gradient_touches_its_own_parameter_only(dtype, name, settings):
    how = optimizer(name, settings)
    theta, g = normal(dtype, 17), normal(dtype, 17, 1)[:, 0]
    g[11] = np.nan
    state = [theta, *(np.zeros_like(theta) for _ in range(how.moments))]
    (p, *_) = calls.update(Machine(dtype), how, state, g, settings["lr"])
    assert np.isnan(p[:17]).tolist() == [i == 11 for i in range(17)]


@pytest.mark.parametrize("name", ["adam", "adamw"])
@every_dtype
def test_a_gradient_whose_square_overflows_moves_nothing(dtype, name):
    # v is infinite, so the step is m / inf = 0; the gradient itself is finite, and the sweeps apply it.
    g = np.array([4.0, -4.0, 1e4], dtype) * np.sqrt(np.finfo(dtype).max)
    theta = np.array([1.0, 2.0, 3.0], dtype)
    settings = {"lr": 0.5} if name == "adam" else {"lr": 0.5, "weight_decay": 0.0}
    (p, *_) = calls.update(Machine(dtype), optimizer(name, settings), [theta, 0 * theta, 0 * theta], g, 0.5)
    with np.errstate(over="ignore"):
        expected, _ = getattr(reference, name)(theta, g, {}, **settings)
    np.testing.assert_array_equal(p[:3], expected)


@pytest.mark.parametrize("magnitude", [1e-30, 1e-10, 1e10, 1e18])
@pytest.mark.parametrize("name", ["adam", "adamw"])
@every_dtype
def test_tiny_and_huge_gradients_follow_the_twin(dtype, name, magnitude):
    g = magnitude * np.sign(normal(dtype, 17))
    theta = normal(dtype, 17, 1)[:, 0]
    (p, *_) = calls.update(Machine(dtype), optimizer(name, {"lr": 0.1}), [theta, 0 * theta, 0 * theta], g, 0.1)
    expected, _ = getattr(reference, name)(theta.astype(np.float64), g.astype(np.float64), {}, lr=0.1)
    assert_close(p[:17], expected, np.abs(theta) + 0.1, "update", dtype)
