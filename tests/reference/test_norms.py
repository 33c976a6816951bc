"""Normalisation against its formula in scalar loops, differences and torch."""

import numpy as np
import pytest

from fastbp import reference
from tests.reference.climb import Op, climb, close, follows_torch

SHAPES = [(1, 1), (1, 7), (2, 3), (7, 1), (6, 13)]  # rows, features
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
NORMS = ("layer", "rms", "batch")
every_norm = pytest.mark.parametrize("name", NORMS)
IN_TORCH = [(n, s) for n in NORMS for s in SHAPES if not (n == "batch" and s[0] == 1)]  # torch refuses one row there
EPS = {"layer": 1e-5, "rms": 1e-3, "batch": 0.1}
WITH = {"layer": 2, "rms": 1, "batch": 2}  # g and b, or g alone


def norm(name: str) -> Op:
    """A norm as a function of x, g and b."""
    forward, vjp, jvp = (getattr(reference, f"{name}_norm_{part}") for part in ("forward", "vjp", "jvp"))
    eps = EPS[name]
    if WITH[name] == 1:
        return Op(
            lambda x, g: forward(x, g, eps),
            lambda dy, x, g: vjp(dy, x, g, eps),
            lambda tx, tg, x, g: jvp(tx, tg, x, g, eps),
        )
    return Op(
        lambda x, g, b: forward(x, g, b, eps),
        lambda dy, x, g, b: vjp(dy, x, g, eps),
        lambda tx, tg, tb, x, g, b: jvp(tx, tg, tb, x, g, eps),
    )


def torch_norm(name):
    torch = pytest.importorskip("torch")
    F, eps = torch.nn.functional, EPS[name]
    return {
        "layer": lambda x, g, b: F.layer_norm(x, x.shape[1:], g, b, eps),
        "rms": lambda x, g: F.rms_norm(x, x.shape[1:], g, eps),
        "batch": lambda x, g, b: F.batch_norm(x, None, None, g, b, training=True, eps=eps),
    }[name]


def point(rng, name, shape):
    return rng.standard_normal(shape) * 2 + 1, *(rng.standard_normal((WITH[name], shape[1])))


@every_norm
@pytest.mark.parametrize("shape", [(0, 3), *SHAPES], ids=str)
def test_a_norm_climbs(rng, name, shape):
    climb(norm(name), point(rng, name, shape), rng)


@pytest.mark.parametrize(("name", "shape"), IN_TORCH, ids=str)
def test_a_norm_follows_torch(rng, name, shape):
    follows_torch(norm(name), point(rng, name, shape), torch_norm(name), rng)


@every_norm
@pytest.mark.parametrize("shape", [(4, 5), (7, 3)], ids=str)
def test_a_norm_is_its_formula_one_row_or_feature_at_a_time(rng, name, shape):
    x, *parameters = point(rng, name, shape)
    y = norm(name).forward(x, *parameters)
    expected = np.empty(shape)
    for at in np.ndindex(*shape):
        along = x[:, at[1]] if name == "batch" else x[at[0]]
        mean = 0.0 if name == "rms" else sum(along) / len(along)
        variance = sum((v - mean) ** 2 for v in along) / len(along)
        expected[at] = (x[at] - mean) / (variance + EPS[name]) ** 0.5 * parameters[0][at[1]]
        expected[at] += parameters[1][at[1]] if name != "rms" else 0
    close(y, expected)


@every_norm
def test_a_norm_without_parameters_is_that_with_ones_and_zeros(rng, name):
    op, eps = norm(name), EPS[name]
    x, dy, tx = rng.standard_normal((3, 4, 5))
    forward, vjp, jvp = (getattr(reference, f"{name}_norm_{part}") for part in ("forward", "vjp", "jvp"))
    parameters = np.ones(5), np.zeros(5)
    neither = (None, None)[: WITH[name]]
    zeros = (np.zeros(5), np.zeros(5))[: WITH[name]]
    close(forward(x, *neither, eps), op.forward(x, *parameters[: WITH[name]]))
    for c, d in zip(vjp(dy, x, None, eps), op.vjp(dy, x, *parameters[: WITH[name]]), strict=True):
        close(c, d)
    close(jvp(tx, *neither, x, None, eps), op.jvp(tx, *zeros, x, *parameters[: WITH[name]]))


@every_norm
def test_a_norm_of_one_value_or_of_equal_ones_is_finite(name):
    op = norm(name)
    for x in (np.zeros((1, 1)), np.full((1, 1), 1e4), np.full((4, 3), -1e4)):
        parameters = np.ones((WITH[name], x.shape[1]))
        y = op.forward(x, *parameters)
        assert np.isfinite(y).all()
        assert all(np.isfinite(c).all() for c in op.vjp(y, x, *parameters))
        if name != "rms":
            assert (y == len(parameters) - 1).all()
            assert not op.vjp(np.ones_like(x), x, *parameters)[0].any()


@pytest.mark.parametrize("name", ["layer", "batch"])
def test_a_large_mean_costs_only_its_own_rounding(rng, name):
    x = rng.integers(-8, 9, (6, 6)).astype(float)
    op, parameters = norm(name), (np.ones(6), np.zeros(6))
    close(op.forward(x + 2.0**30, *parameters), op.forward(x, *parameters), terms=1e7)


@every_norm
def test_norms_keep_the_dtype(rng, name):
    x, *parameters = (a.astype("f") for a in point(rng, name, (6, 5)))
    op = norm(name)
    made = [op.forward(x, *parameters), *op.vjp(x, x, *parameters), op.jvp(x, *parameters, x, *parameters)]
    assert {a.dtype for a in made} == {np.dtype("float32")}


@pytest.mark.parametrize("momentum", [0.1, 0.5])
def test_running_statistics_follow_torch(rng, momentum):
    torch = pytest.importorskip("torch")
    layer = torch.nn.BatchNorm1d(4, momentum=momentum).double()
    mean, var = np.zeros(4), np.ones(4)
    for rows in (2, 7, 30):
        x = rng.standard_normal((rows, 4)) * 3 + 1
        layer(torch.from_numpy(x))
        mean, var = reference.batch_norm_statistics(x, mean, var, momentum)
        close(mean, layer.running_mean.numpy())
        close(var, layer.running_var.numpy())
    g, b, x = rng.standard_normal(4), rng.standard_normal(4), rng.standard_normal((5, 4))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(g))
        layer.bias.copy_(torch.from_numpy(b))
    y = reference.batch_norm_inference(x, g, b, mean, var)
    close(y, layer.eval()(torch.from_numpy(x)).detach().numpy())


@pytest.mark.parametrize("rows", [0, 1])
def test_running_statistics_stay_where_a_batch_has_no_variance(rows):
    mean, var = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    after = reference.batch_norm_statistics(np.full((rows, 2), 9.0), mean, var)
    assert [a.tolist() for a in after] == [[1, 2], [3, 4]]


def test_inference_without_parameters_is_the_bare_norm(rng):
    x, mean = rng.standard_normal((5, 3)), rng.standard_normal(3)
    var = rng.random(3) + 0.5
    close(reference.batch_norm_inference(x, None, None, mean, var, 0.25), (x - mean) / np.sqrt(var + 0.25))
