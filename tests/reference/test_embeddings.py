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


PARTS = ("frequency", "cosine", "sine", "bias")


def periodic_of(rng, rows, waves=5, features=3):
    x, w, _, A, beta = pbld_of(rng, rows, waves, features)
    return x, w, A, rng.normal(size=A.shape), beta


@pytest.mark.parametrize("rows", [0, 1, 2, 31])
def test_periodic_climbs_in_the_numbers(rng, rows):
    x, *parts = periodic_of(rng, rows)
    found = Op(
        lambda x: reference.periodic_forward(x, *parts, COLUMNS),
        lambda dy, x: reference.periodic_vjp(dy, x, *parts, COLUMNS)[:1],
        lambda tx, x: reference.periodic_jvp(tx, x, *parts, COLUMNS),
    )
    climb(found, (x,), rng)


@pytest.mark.parametrize("part", range(4), ids=PARTS)
def test_gradients_of_periodics_parameters_are_central_differences(rng, part):
    x, *parts = periodic_of(rng, 6)
    u = rng.normal(size=(6, 2 * 3 + 2))
    found = reference.periodic_vjp(u, x, *parts, COLUMNS)[1:]
    expected = slopes(lambda *p: reference.periodic_forward(x, *p, COLUMNS), parts, u)
    np.testing.assert_allclose(found[part], expected[part], rtol=1e-7, atol=1e-6)


EDGES = {3: np.array([-1.1, -0.2, 0.4, 1.3]), 0: np.array([-0.5, 0.5])}


def bins_of(rng, rows, features=2):
    """Numbers, and parameters of two columns, of which one has fewer bins than the other."""
    return tuple(rng.normal(size=shape) for shape in ((rows, 4), (2, features), (2, features), (2, 3, features)))


@pytest.mark.parametrize("rows", [0, 1, 2, 31])
def test_a_piecewise_linear_embedding_climbs_in_the_numbers(rng, rows):
    x, w, b, V = bins_of(rng, rows)
    found = Op(
        lambda x: reference.piecewise_linear_embedding_forward(x, EDGES, w, b, V),
        lambda dy, x: reference.piecewise_linear_embedding_vjp(dy, x, EDGES, w, V)[:1],
        lambda tx, x: reference.piecewise_linear_embedding_jvp(tx, x, EDGES, w, V),
    )
    climb(found, (x,), rng)


@pytest.mark.parametrize("part", range(3), ids=["slope", "bias", "weight"])
def test_gradients_of_its_parameters_are_central_differences(rng, part):
    x, *parts = bins_of(rng, 6)
    u = rng.normal(size=(6, 2 * 2 + 2))
    found = reference.piecewise_linear_embedding_vjp(u, x, EDGES, parts[0], parts[2])[1:]
    expected = slopes(lambda *p: reference.piecewise_linear_embedding_forward(x, EDGES, *p), parts, u)
    np.testing.assert_allclose(found[part], expected[part], rtol=1e-7, atol=1e-7)


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


def test_periodic_is_rtdls(rng):
    """The authors' layer with the same numbers, and torch's derivatives of it."""
    torch = pytest.importorskip("torch")
    rtdl = pytest.importorskip("rtdl_num_embeddings")
    shapes = (7, 3), (3, 6), (3, 6, 4), (3, 6, 4), (3, 4)
    x, w, A, B, beta = (rng.normal(size=shape) for shape in shapes)
    theirs = rtdl.PeriodicEmbeddings(3, 4, n_frequencies=6, frequency_init_scale=0.01, lite=False).double()
    with torch.no_grad():
        theirs.periodic.weight.copy_(torch.tensor(w))
        theirs.linear.weight.copy_(torch.tensor(np.concatenate([A, B], axis=1)))
        theirs.linear.bias.copy_(torch.tensor(beta))
    X, u = torch.tensor(x, requires_grad=True), rng.normal(size=(7, 12))
    y = theirs(X).flatten(1)
    columns = [0, 1, 2]
    close(reference.periodic_forward(x, w, A, B, beta, columns), y.detach().numpy())
    (y * torch.tensor(u)).sum().backward()
    dx, dw, dA, dB, dbeta = reference.periodic_vjp(u, x, w, A, B, beta, columns)
    of_linear = np.concatenate([dA, dB], axis=1)
    of = (X, dx), (theirs.periodic.weight, dw), (theirs.linear.weight, of_linear), (theirs.linear.bias, dbeta)
    for tensor, mine in of:
        close(mine, tensor.grad.numpy(), terms=1e3)


def test_a_piecewise_linear_embedding_is_rtdls(rng):
    """Version B with the same bins, as many in each column, and the same numbers; it keeps widths in float32."""
    torch = pytest.importorskip("torch")
    rtdl = pytest.importorskip("rtdl_num_embeddings")
    edges = {c: np.cumsum([-1.0, *rng.choice([0.25, 0.5, 1.0], 4)]) for c in range(3)}
    x, w, b, V = (rng.normal(size=shape) for shape in ((9, 3), (3, 4), (3, 4), (3, 4, 4)))
    theirs = rtdl.PiecewiseLinearEmbeddings(
        [torch.tensor(of) for of in edges.values()], 4, activation=False, version="B"
    ).double()
    assert not theirs.linear.weight.any()
    with torch.no_grad():
        theirs.linear0.weight.copy_(torch.tensor(w))
        theirs.linear0.bias.copy_(torch.tensor(b))
        theirs.linear.weight.copy_(torch.tensor(V))
    X, u = torch.tensor(x, requires_grad=True), rng.normal(size=(9, 12))
    y = theirs(X).flatten(1)
    close(reference.piecewise_linear_embedding_forward(x, edges, w, b, V), y.detach().numpy())
    (y * torch.tensor(u)).sum().backward()
    dx, dw, db, dV = reference.piecewise_linear_embedding_vjp(u, x, edges, w, V)
    for mine, of in ((dx, X), (dw, theirs.linear0.weight), (db, theirs.linear0.bias), (dV, theirs.linear.weight)):
        close(mine, of.grad.numpy(), terms=1e3)
