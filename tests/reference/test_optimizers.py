"""Optimisers against Python floats and torch.optim; clipping."""

import math

import numpy as np
import pytest

from fastbp import reference
from tests.reference.climb import TOLERANCE, close

CASES = [
    ("sgd", {"lr": 0.1}),
    ("sgd", {"lr": 0.1, "momentum": 0.9}),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("adam", {}),
    ("adam", {"lr": 0.02, "betas": (0.5, 0.8), "eps": 0.1}),
    ("adam", {"lr": 0.02, "betas": (0.5, 0.6), "amsgrad": True}),
    ("adamw", {"weight_decay": 0.0}),
    ("adamw", {"lr": 0.02, "betas": (0.5, 0.6), "amsgrad": True, "weight_decay": 0.0}),
    ("nadam", {}),
    ("nadam", {"lr": 0.02, "betas": (0.7, 0.8), "momentum_decay": 0.1}),
    ("radam", {}),
    ("radam", {"lr": 0.02, "betas": (0.7, 0.8)}),
    ("radam", {"lr": 0.02, "betas": (0.7, 0.5)}),
    ("adagrad", {}),
    ("adagrad", {"lr": 0.1, "lr_decay": 0.2, "initial": 0.3, "eps": 1e-3}),
    ("adadelta", {}),
    ("adadelta", {"lr": 0.5, "rho": 0.6, "eps": 1e-3}),
    ("rmsprop", {}),
    ("rmsprop", {"lr": 0.02, "alpha": 0.7, "eps": 1e-3, "momentum": 0.8}),
    ("rmsprop", {"centered": True}),
    ("rmsprop", {"lr": 0.02, "alpha": 0.7, "momentum": 0.8, "centered": True}),
]
THEIR_NAMES = {
    "sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "nadam": "NAdam", "radam": "RAdam", "adagrad": "Adagrad",
    "adadelta": "Adadelta", "rmsprop": "RMSprop",
}  # fmt: skip
named = lambda value: value if isinstance(value, str) else "-".join(map(str, value)) or "default"  # noqa: E731


@pytest.fixture
def torch():
    """torch with a default dtype in which NAdam's product of momenta is as exact as ours."""
    torch = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


@pytest.mark.parametrize("decay", ["none", "l2", "decoupled"])
@pytest.mark.parametrize(("name", "settings"), CASES, ids=named)
def test_fifteen_steps_follow_torch(rng, torch, name, settings, decay):
    theta, state = rng.standard_normal(7), {}
    theirs = torch.from_numpy(theta.copy()).requires_grad_()
    ours = {**settings, **({} if decay == "none" else {"weight_decay": 0.2, "decoupled": decay == "decoupled"})}
    their_settings = {**settings, **({"weight_decay": 0.2} if decay == "l2" else {})}
    if "initial" in their_settings:
        their_settings["initial_accumulator_value"] = their_settings.pop("initial")
    kind = THEIR_NAMES["adam" if name == "adamw" else name]  # the decoupled decay is done below
    if name == "adamw" and decay != "l2":
        their_settings.pop("weight_decay")
    optimizer = getattr(torch.optim, kind)([theirs], **their_settings)
    for t in range(15):
        g = rng.standard_normal(7) / (1 + t)
        g[0] = 0.0
        theta, state = getattr(reference, name)(theta, g, state, **ours)
        if decay == "decoupled":
            with torch.no_grad():
                theirs.mul_(1 - 0.2 * optimizer.param_groups[0]["lr"])
        theirs.grad = torch.from_numpy(g)
        optimizer.step()
        close(theta, theirs.detach().numpy())


@pytest.mark.parametrize("name", ["adamw", "nadam", "radam"])
def test_decoupled_decay_is_torchs_own(rng, torch, name):
    theta, state = rng.standard_normal(7), {}
    theirs = torch.from_numpy(theta.copy()).requires_grad_()
    settings = {"lr": 0.05, "weight_decay": 0.3}
    more = {} if name == "adamw" else {"decoupled_weight_decay": True}
    optimizer = getattr(torch.optim, THEIR_NAMES[name])([theirs], **settings, **more)
    for _ in range(10):
        g = rng.standard_normal(7)
        theta, state = getattr(reference, name)(theta, g, state, **settings, decoupled=True)
        theirs.grad = torch.from_numpy(g)
        optimizer.step()
    close(theta, theirs.detach().numpy())


def test_the_defaults_are_torchs(torch):
    import inspect

    for name, theirs in THEIR_NAMES.items():
        ours = inspect.signature(getattr(reference, name)).parameters
        defaults = inspect.signature(getattr(torch.optim, theirs)).parameters
        for setting in set(ours) & set(defaults):
            assert name == "sgd" or ours[setting].default == defaults[setting].default, (name, setting)


def python_lion(theta, gradients, lr, beta1, beta2, weight_decay):
    m = 0.0
    for g in gradients:
        theta -= lr * weight_decay * theta
        c = beta1 * m + (1 - beta1) * g
        theta -= lr * ((c > 0) - (c < 0))
        m = beta2 * m + (1 - beta2) * g
    return theta


def python_sgd(theta, gradients, lr, momentum):
    m = 0.0
    for g in gradients:
        m = momentum * m + g
        theta -= lr * m
    return theta


def python_adam(theta, gradients, lr, beta1, beta2, eps, weight_decay):
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        theta *= 1 - lr * weight_decay
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta -= lr * m_hat / (math.sqrt(v_hat) + eps)
    return theta


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("optimizer", "options", "expected"),
    [
        (reference.sgd, {"lr": np.float64(0.1)}, lambda p, g: python_sgd(p, g, 0.1, 0.0)),
        (reference.sgd, {"lr": np.float64(0.1), "momentum": 0.9}, lambda p, g: python_sgd(p, g, 0.1, 0.9)),
        (reference.adam, {}, lambda p, g: python_adam(p, g, 1e-3, 0.9, 0.999, 1e-8, 0.0)),
        (
            reference.adam,
            {"lr": np.float64(0.02), "betas": (0.5, 0.8), "eps": 0.1},
            lambda p, g: python_adam(p, g, 0.02, 0.5, 0.8, 0.1, 0.0),
        ),
        (reference.adamw, {}, lambda p, g: python_adam(p, g, 1e-3, 0.9, 0.999, 1e-8, 0.01)),
        (
            reference.adamw,
            {"lr": np.float64(0.02), "weight_decay": 0.5},
            lambda p, g: python_adam(p, g, 0.02, 0.9, 0.999, 1e-8, 0.5),
        ),
        (reference.lion, {}, lambda p, g: python_lion(p, g, 1e-4, 0.9, 0.99, 0.0)),
        (
            reference.lion,
            {"lr": np.float64(0.02), "betas": (0.3, 0.8), "weight_decay": 0.5},
            lambda p, g: python_lion(p, g, 0.02, 0.3, 0.8, 0.5),
        ),
    ],
    ids=["sgd", "momentum", "adam", "adam-options", "adamw", "adamw-options", "lion", "lion-options"],
)
def test_an_optimiser_follows_its_formula_in_python_floats(rng, optimizer, options, expected, dtype):
    theta = rng.standard_normal(3).astype(dtype)
    gradients = rng.standard_normal((6, 3)).astype(dtype)
    start, given, state = theta.tolist(), gradients.copy(), {}
    untouched = theta
    for g in gradients:
        theta, state = optimizer(theta, g, state, **options)
    assert theta.dtype == dtype
    assert all(value.dtype == dtype for value in state.values() if isinstance(value, np.ndarray))
    want = [expected(start[i], given[:, i].tolist()) for i in range(3)]
    assert np.allclose(theta, want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert untouched.tolist() == start
    assert np.array_equal(gradients, given)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "settings"), [*CASES, ("lion", {})], ids=named)
def test_an_optimiser_keeps_dtypes_and_leaves_its_inputs_alone(rng, name, settings, dtype):
    theta, state = rng.standard_normal(5).astype(dtype), {}
    for _ in range(8):
        g = rng.standard_normal(5).astype(dtype)
        given = [theta.copy(), g.copy(), {k: np.copy(v) for k, v in state.items()}]
        after, next_state = getattr(reference, name)(theta, g, state, **{"weight_decay": 0.1, **settings})
        assert np.array_equal(theta, given[0])
        assert np.array_equal(g, given[1])
        assert all(np.array_equal(state[k], v) for k, v in given[2].items())
        theta, state = after, next_state
        assert theta.dtype == dtype
        assert all(value.dtype == dtype for value in state.values() if isinstance(value, np.ndarray))


def test_a_gradient_of_zero_moves_nothing():
    theta = np.array([1.0, -2.0])
    for name in [*THEIR_NAMES, "lion"]:
        settings = {"lr": 0.1} if name == "sgd" else {"weight_decay": 0.0}
        after, _ = getattr(reference, name)(theta, np.zeros(2), {}, **settings)
        assert after.tolist() == [1, -2], name


@pytest.mark.parametrize("limit", [0.1, 3.0, 1e3])
def test_clipping_follows_torch(rng, torch, limit):
    gradients = [rng.standard_normal(shape) for shape in [(3, 4), (4,), (0,), (1,)]]
    given = [g.copy() for g in gradients]
    for by in ("norm", "value"):
        theirs = [torch.zeros(g.shape, requires_grad=True) for g in gradients]
        for tensor, g in zip(theirs, gradients, strict=True):
            tensor.grad = torch.from_numpy(g.copy())
        if by == "norm":
            clipped, norm = reference.clip_norm(gradients, limit)
            close(norm, torch.nn.utils.clip_grad_norm_(theirs, limit).item())
        else:
            clipped = reference.clip_value(gradients, limit)
            torch.nn.utils.clip_grad_value_(theirs, limit)
        for g, tensor in zip(clipped, theirs, strict=True):
            close(g, tensor.grad.numpy())
    assert all(np.array_equal(g, before) for g, before in zip(gradients, given, strict=True))


@pytest.mark.parametrize("power", [0, 520, 1000, 1020])
def test_gradients_without_a_square_are_clipped_as_others_are(power):
    g = np.ldexp(np.array([3.0, 4.0]), power)
    (clipped,), norm = reference.clip_norm([g], 1e-3)
    assert norm == np.ldexp(5.0, power)
    np.testing.assert_allclose(clipped, [0.6e-3, 0.8e-3], rtol=1e-6)
    (same,), _ = reference.clip_norm([g], 1e308)
    assert np.array_equal(same, g)


def test_clipping_keeps_the_dtype_and_lets_nan_travel():
    gradients = [np.array([3.0, np.nan], "f"), np.array([4.0], "f")]
    clipped, norm = reference.clip_norm(gradients, 1.0)
    assert math.isnan(norm)
    assert all(np.isnan(g).all() and g.dtype == np.float32 for g in clipped)
    (g,) = reference.clip_value(gradients[:1], 1.0)
    assert g.dtype == np.float32
    assert g[0] == 1
    assert np.isnan(g[1])
