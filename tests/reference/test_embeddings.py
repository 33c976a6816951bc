"""The twins of what embeds numbers: derivatives, shapes, and what the makers of the recipes compute."""

import numpy as np
import pytest

from fastbp import reference
from tests.reference.climb import Op, climb, close

COLUMNS = [3, 0]
NAMES = ("frequency", "phase", "weight", "bias")


def pbld_of(rng, rows, waves=5, features=2):
    """x and the parameters of two of its four columns; waves are long enough for central differences."""
    shapes = (rows, 4), (2, waves), (2, waves), (2, waves, features), (2, features)
    x, w, *others = (rng.normal(size=shape) for shape in shapes)
    return x, 0.2 * w, *others


@pytest.mark.parametrize("rows", [0, 1, 2, 31])
def test_pbld_climbs_in_the_numbers(rng, rows):
    x, w, b, W, beta = pbld_of(rng, rows)
    found = Op(
        lambda x: reference.pbld_forward(x, w, b, W, beta, COLUMNS),
        lambda dy, x: reference.pbld_vjp(dy, x, w, b, W, COLUMNS)[:1],
        lambda tx, x: reference.pbld_jvp(tx, x, w, b, W, COLUMNS),
    )
    climb(found, (x,), rng)


@pytest.mark.parametrize("rows", [0, 1, 2, 31])
def test_cosine_climbs_in_the_numbers(rng, rows):
    x, w, b, _, _ = pbld_of(rng, rows)
    a, c = rng.normal(size=(2, 2, 5))
    found = Op(
        lambda x: reference.cosine_forward(x, w, b, a, c, COLUMNS),
        lambda dy, x: reference.cosine_vjp(dy, x, w, b, a, COLUMNS)[:1],
        lambda tx, x: reference.cosine_jvp(tx, x, w, b, a, COLUMNS),
    )
    climb(found, (x,), rng)


def slopes(of, parts, u):
    """Central differences of u · of(*parts) in each number of each part."""
    found = []
    for i, part in enumerate(parts):
        out = np.zeros(part.shape)
        for at in np.ndindex(part.shape):
            sides = []
            for h in (1e-5, -1e-5):
                moved = [p.copy() for p in parts]
                moved[i][at] += h
                sides.append((u * of(*moved)).sum())
            out[at] = (sides[0] - sides[1]) / 2e-5
        found.append(out)
    return found


@pytest.mark.parametrize("part", range(4), ids=NAMES)
def test_gradients_of_pblds_parameters_are_central_differences(rng, part):
    x, *parts = pbld_of(rng, 6)
    u = rng.normal(size=(6, 2 * 2 + 4))
    found = reference.pbld_vjp(u, x, *parts[:3], COLUMNS)[1:]
    expected = slopes(lambda *p: reference.pbld_forward(x, *p, COLUMNS), parts, u)
    np.testing.assert_allclose(found[part], expected[part], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("part", range(4), ids=NAMES)
def test_gradients_of_cosines_parameters_are_central_differences(rng, part):
    x, w, b, _, _ = pbld_of(rng, 6)
    parts = [w, b, *rng.normal(size=(2, 2, 5))]
    u = rng.normal(size=(6, 2 * 5 + 4))
    found = reference.cosine_vjp(u, x, *parts[:3], COLUMNS)[1:]
    expected = slopes(lambda *p: reference.cosine_forward(x, *p, COLUMNS), parts, u)
    np.testing.assert_allclose(found[part], expected[part], rtol=1e-7, atol=1e-6)


def test_numbers_without_embedding_stand_behind_those_with_it(rng):
    x, w, b, W, beta = pbld_of(rng, 3)
    y = reference.pbld_forward(x, w, b, W, beta, COLUMNS)
    assert y.shape == (3, 8)
    np.testing.assert_array_equal(y[:, 4:], x)
    close(y[:, :2], np.cos(2 * np.pi * x[:, 3:] * w[0] + b[0]) @ W[0] + beta[0])
    close(y[:, 2:4], np.cos(2 * np.pi * x[:, :1] * w[1] + b[1]) @ W[1] + beta[1])


@pytest.mark.parametrize("name", ["wave_cosine", "wave_sine"])
def test_the_slope_of_a_wave_is_a_central_difference(rng, name):
    wave, x = getattr(reference, f"{name}_forward"), rng.normal(size=(3, 4))
    slope = (wave(x + 1e-5, 2.5)[0] - wave(x - 1e-5, 2.5)[0]) / 2e-5
    np.testing.assert_allclose(wave(x, 2.5)[1], slope, rtol=1e-8, atol=1e-8)


def test_pbld_is_realmlps(rng):
    """pytabkit's layer with the same numbers, and torch's derivatives of it."""
    torch = pytest.importorskip("torch")
    nn = pytest.importorskip("pytabkit.models.nn_models.nn")
    base = pytest.importorskip("pytabkit.models.nn_models.base")
    x, w, b, W, beta = pbld_of(rng, 7, waves=16, features=3)
    w, b, W, beta = (np.repeat(part, 2, axis=0) for part in (w, b, W, beta))
    u = rng.normal(size=(7, 4 * 3 + 4))
    fitter = nn.PLREmbeddingsFactory(plr_use_densenet=True, plr_use_cos_bias=True, plr_act_name="linear")
    theirs = [torch.tensor(part[:, None] if part.ndim == 2 else part) for part in (w, b, W, beta)]
    variables = [base.Variable(part, hyper_factors={}) for part in theirs]
    names = "weight_1", "bias_1", "weight_2", "bias_2"
    layer = nn.PLREmbeddingsLayerCosBias(
        fitter=fitter, plr_act_name="linear", plr_use_densenet=True, **dict(zip(names, variables, strict=True))
    )
    X = torch.tensor(x, requires_grad=True)
    y = layer.forward_cont(X)
    close(reference.pbld_forward(x, w, b, W, beta, range(4)), y.detach().numpy())
    (y * torch.tensor(u)).sum().backward()
    found = reference.pbld_vjp(u, x, w, b, W, list(range(4)))
    for mine, of in zip(found, [X, *variables], strict=True):
        close(mine.reshape(of.grad.shape), of.grad.numpy(), terms=1e3)
