"""Activations against formulas in Python floats, differences and torch."""

import math

import numpy as np
import pytest

from fastbp import reference
from fastbp.autodiff.expression import parse
from fastbp.spec.catalogue import ACTIVATIONS
from tests.reference.climb import TOLERANCE, Op, climb, close, follows_torch

CASES = [
    *((name,) for name in reference.ACTIVATIONS),
    ("leaky_relu", 0.0),
    ("leaky_relu", 0.3),
    ("elu", 0.5),
    ("softplus", 3.0),
    ("hardtanh", -0.5, 2.0),
]
KINKS = [0.0, 1.0, -1.0, 3.0, -3.0, -0.5, 2.0]
BY_ROW = {"softmax", "log_softmax"}
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))


def activation(case: tuple) -> Op:
    """An activation as a function of x alone."""
    forward, vjp, jvp, saved = reference.ACTIVATIONS[case[0]]
    keep = {"x": lambda x: x, "y": lambda x: forward(x, *case[1:])}[saved]
    return Op(
        lambda x: forward(x, *case[1:]),
        lambda dy, x: (vjp(dy, keep(x), *case[1:]),),
        lambda tx, x: jvp(tx, keep(x), *case[1:]),
    )


def torch_activation(name):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    theirs = {
        "identity": lambda x: x * 1,
        "relu": F.relu,
        "leaky_relu": lambda x, slope=0.01: F.leaky_relu(x, slope),
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "elu": lambda x, alpha=1.0: F.elu(x, alpha),
        "selu": F.selu,
        "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "silu": F.silu,
        "mish": F.mish,
        "softplus": lambda x, beta=1.0: F.softplus(x, beta, threshold=1e6),
        "softsign": F.softsign,
        "hard_sigmoid": lambda x: F.relu6(x + 3) / 6,  # the derivative of F.hardsigmoid has float32's 1/6
        "hardtanh": lambda x, low=-1.0, high=1.0: F.hardtanh(x, low, high),
        "softmax": lambda x: F.softmax(x, 1),
        "log_softmax": lambda x: F.log_softmax(x, 1),
    }
    return theirs[name] if name in theirs else pytest.skip(f"torch has no {name}")


def logistic(v):
    return 0.5 + 0.5 * math.tanh(0.5 * v)


def normal(v):
    return 0.5 * math.erfc(-v / math.sqrt(2))


def softplus(v):
    return max(v, 0.0) + math.log1p(math.exp(-abs(v)))


IN_PYTHON = {
    "identity": lambda v: v,
    "relu": lambda v: max(v, 0.0),
    "leaky_relu": lambda v: v if v > 0 else 0.01 * v,
    "tanh": math.tanh,
    "sigmoid": logistic,
    "elu": lambda v: v if v > 0 else math.expm1(v),
    "selu": lambda v: 1.0507009873554805 * (v if v > 0 else 1.6732632423543772 * math.expm1(v)),
    "gelu": lambda v: v * normal(v),
    "gelu_tanh": lambda v: 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))),
    "silu": lambda v: v * logistic(v),
    "mish": lambda v: v * math.tanh(softplus(v)),
    "softplus": softplus,
    "softsign": lambda v: v / (1 + abs(v)),
    "hard_sigmoid": lambda v: min(max(v + 3, 0.0), 6.0) / 6,
    "hardtanh": lambda v: min(max(v, -1.0), 1.0),
}


def by_text(name):
    """The formula that second derivatives are taken of, of a number."""
    layer = ACTIVATIONS[name]()
    return lambda v: parse(layer.formula, ("x", "a", "b"))(v, *layer.constants())


IN_PYTHON |= {name: by_text(name) for name in reference.ACTIVATIONS if name not in {*IN_PYTHON, *BY_ROW}}


@every_case
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (7, 13)], ids=str)
def test_an_activation_climbs(rng, case, shape):
    x = 2 * rng.standard_normal(shape)
    for kink in KINKS:
        x[np.abs(x - kink) < 0.01] += 0.02
    climb(activation(case), (x,), rng)


@every_case
def test_an_activation_follows_torch_at_its_kinks_too(rng, case):
    x = np.concatenate([KINKS, np.linspace(-30, 30, 201), 3 * rng.standard_normal(72)]).reshape(-1, 20)
    theirs = torch_activation(case[0])
    follows_torch(activation(case), (x,), lambda x: theirs(x, *case[1:]), rng)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", IN_PYTHON)
def test_activations_keep_the_dtype_let_nan_travel_and_survive_extremes(name, dtype):
    op = activation((name,))
    x = np.array([-1e4, -1.0, 0.0, 1.0, 1e4, np.nan], dtype)
    y = op.forward(x)
    assert y.dtype == op.vjp(x, x)[0].dtype == op.jvp(x, x).dtype == dtype
    expected = [IN_PYTHON[name](v) for v in x[:5].tolist()]
    assert np.allclose(y[:5], expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert np.isnan(y[5])
    assert np.isfinite(op.vjp(np.ones(5, dtype), x[:5])[0]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(BY_ROW))
def test_a_softmax_keeps_the_dtype_lets_nan_travel_in_its_row_and_survives_extremes(name, dtype):
    op = activation((name,))
    x = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1.0, np.nan, 0.0]], dtype)
    y = op.forward(x)
    assert y.dtype == op.vjp(x, x)[0].dtype == op.jvp(x, x).dtype == dtype
    p = y[:2] if name == "softmax" else np.exp(y[:2])
    assert np.allclose(p, [[1, 0, 0], [1 / 3] * 3], rtol=TOLERANCE[dtype])
    assert np.isnan(y[2]).all()
    assert all(np.isfinite(a).all() for a in (y[:2], op.vjp(x[:2], x[:2])[0], op.jvp(x[:2], x[:2])))


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_the_table_holds_the_functions_of_that_name(name):
    entry = reference.ACTIVATIONS[name]
    assert entry[:3] == tuple(getattr(reference, f"{name}_{part}") for part in ("forward", "vjp", "jvp"))
    assert entry.saved in ("x", "y")


def normal_tail(v):
    """Φ(v) for v << 0 by Laplace's continued fraction, exp(-v²/2) / √(2π) / (-v + 1 / (-v + 2 / (-v + ...)))."""
    fraction = -v
    for k in range(300, 0, -1):
        fraction = -v + k / fraction
    return math.exp(-0.5 * v * v) / math.sqrt(2 * math.pi) / fraction


@pytest.mark.parametrize("x", [-5.0, -12.0, -30.0])
def test_lower_tails_keep_every_digit(x):
    at = np.array([x])
    close(reference.gelu_forward(at), x * normal_tail(x), terms=0)
    close(reference.silu_forward(at), x * math.exp(x) / (1 + math.exp(x)), terms=0)
    close(reference.mish_forward(at), x * math.tanh(math.log1p(math.exp(x))), terms=0)
    close(reference.softplus_forward(at), math.log1p(math.exp(x)), terms=0)
    # 1 + tanh u = 2 / (1 + exp(-2u))
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    close(reference.gelu_tanh_forward(at), x / (1 + math.exp(-2 * u)) if u > -350 else 0.0, terms=0)


def test_relu_has_no_slope_at_zero():
    y = reference.relu_forward(np.array([-2.0, 0.0, 3.0]))
    assert reference.relu_vjp(np.full(3, 5.0), y).tolist() == [0, 0, 5]
    assert reference.relu_jvp(np.full(3, 5.0), y).tolist() == [0, 0, 5]
