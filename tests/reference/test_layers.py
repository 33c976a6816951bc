"""Layers against sums over indices, differences and torch."""

import numpy as np
import pytest

from fastbp import reference
from tests.reference.climb import Op, climb, close, follows_torch

SHAPES = [(0, 3), (1, 1), (1, 7), (7, 1), (6, 13)]  # rows, features
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
TABLES = {3: (5, 2), 0: (3, 4)}  # column: codes, width; not in the order of the columns

LINEAR = {
    "linear": Op(
        reference.linear_forward,
        lambda dz, x, W, b: reference.linear_vjp(dz, x, W),
        lambda tx, tW, tb, x, W, b: reference.linear_jvp(tx, W) + reference.linear_forward(x, tW, tb),
    ),
    "ntk": Op(
        reference.ntk_forward,
        lambda dz, x, W, b: reference.ntk_vjp(dz, x, W),
        lambda tx, tW, tb, x, W, b: reference.ntk_jvp(tx, W) + reference.ntk_forward(x, tW, tb),
    ),
}
PARAMETRIC = Op(
    lambda x, a: reference.parametric_forward(x, np.tanh(x), a),
    lambda dy, x, a: reference.parametric_vjp(dy, dy * (1 - np.tanh(x) ** 2), x, np.tanh(x), a),
    lambda tx, ta, x, a: reference.parametric_jvp(tx, tx * (1 - np.tanh(x) ** 2), ta, x, np.tanh(x), a),
)
SHARED = {
    "scale": Op(reference.scale_forward, reference.scale_vjp, reference.scale_jvp),
    "prelu": Op(reference.prelu_forward, reference.prelu_vjp, reference.prelu_jvp),
}


def off_the_kink(rng, shape):
    x = rng.standard_normal(shape)
    return x + 0.01 * np.sign(x)


@pytest.mark.parametrize("outputs", [1, 5])
@pytest.mark.parametrize("name", LINEAR)
@every_shape
def test_a_product_climbs(rng, name, shape, outputs):
    wrt = tuple(rng.standard_normal(s) for s in [shape, (shape[1], outputs), (outputs,)])
    climb(LINEAR[name], wrt, rng)
    root = 1 if name == "linear" else shape[1] ** 0.5
    follows_torch(LINEAR[name], wrt, lambda x, W, b: (x / root) @ W + b, rng)


def test_an_ntk_layer_of_unit_weights_keeps_the_size_of_its_input(rng):
    z = reference.ntk_forward(rng.standard_normal((200, 400)), rng.standard_normal((400, 300)), np.zeros(300))
    assert abs(z.std() - 1) < 0.05


@pytest.mark.parametrize("shared", ["features", "all"])
@pytest.mark.parametrize("name", SHARED)
@every_shape
def test_a_factor_or_a_slope_climbs_whoever_shares_it(rng, name, shape, shared):
    wrt = off_the_kink(rng, shape), rng.standard_normal(shape[1] if shared == "features" else 1)
    climb(SHARED[name], wrt, rng)


@every_shape
def test_a_parametric_activation_climbs(rng, shape):
    wrt = rng.standard_normal(shape), rng.standard_normal(shape[1])
    climb(PARAMETRIC, wrt, rng)
    follows_torch(PARAMETRIC, wrt, lambda x, a: x + a * (x.tanh() - x), rng)


@pytest.mark.parametrize("shared", ["features", "all"])
@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_a_factor_or_a_slope_follows_torch_at_the_kink_too(rng, name, shape, shared):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal(shape)
    x.flat[::3] = 0
    parameter = rng.standard_normal(shape[1] if shared == "features" else 1)
    theirs = {"scale": lambda x, s: x * s, "prelu": torch.nn.functional.prelu}[name]
    follows_torch(SHARED[name], (x, parameter), theirs, rng)


@pytest.mark.parametrize("name", SHARED)
def test_parameters_of_layers_keep_the_dtype_and_let_nan_travel(rng, name):
    x, parameter = rng.standard_normal((4, 3)).astype("f"), np.full(1, 0.5, "f")
    x[0, 0] = np.nan
    op = SHARED[name]
    y = op.forward(x, parameter)
    assert np.isnan(y[0, 0])
    assert np.isfinite(y[1:]).all()
    made = [y, *op.vjp(x, x, parameter), op.jvp(x, parameter, x, parameter)]
    assert {a.dtype for a in made} == {np.dtype("float32")}


def codes_and_tables(rng, rows):
    """Five columns, of which the last and the first but one hold codes, one of them twice."""
    x = rng.standard_normal((rows, 5))
    tables = {c: rng.standard_normal(shape) for c, shape in TABLES.items()}
    for c, (codes, _) in TABLES.items():
        x[:, c] = rng.integers(0, codes, rows)
    return x, tables


def embedding(x) -> Op:
    """An embedding of fixed codes, as a function of the other columns and of the tables."""
    whole = lambda others: np.insert(others, [0, 2], x[:, [0, 3]], axis=1)  # noqa: E731
    named = lambda tables: dict(zip(TABLES, tables, strict=True))  # noqa: E731

    def vjp(dy, others, *tables):
        dx, dtables = reference.embedding_vjp(dy, whole(others), named(tables))
        assert not dx[:, list(TABLES)].any()
        assert list(dtables) == list(TABLES)
        return np.delete(dx, list(TABLES), axis=1), *dtables.values()

    return Op(
        lambda others, *tables: reference.embedding_forward(whole(others), named(tables)),
        vjp,
        lambda t, t3, t0, others, *tables: reference.embedding_jvp(
            whole(t), named((t3, t0)), whole(others), named(tables)
        ),
    )


@pytest.mark.parametrize("rows", [0, 1, 2, 31])
def test_an_embedding_climbs_and_follows_torch(rng, rows):
    torch = pytest.importorskip("torch")
    x, tables = codes_and_tables(rng, rows)
    wrt = np.delete(x, list(TABLES), axis=1), *tables.values()
    codes = {c: torch.from_numpy(x[:, c].astype(np.int64)) for c in TABLES}
    climb(embedding(x), wrt, rng)
    look_up = torch.nn.functional.embedding
    follows_torch(
        embedding(x), wrt, lambda o, t3, t0: torch.cat([o, look_up(codes[3], t3), look_up(codes[0], t0)], 1), rng
    )


def test_an_embedding_puts_the_other_columns_first_then_rows_in_the_order_of_the_tables(rng):
    x, tables = codes_and_tables(rng, 9)
    y = reference.embedding_forward(x, tables)
    assert y.shape == (9, 3 + 2 + 4)
    for row, out in zip(x, y, strict=True):
        assert out.tolist() == [row[1], row[2], row[4], *tables[3][int(row[3])], *tables[0][int(row[0])]]


def test_an_embedding_may_have_nothing_but_codes():
    x, tables = np.array([[1.0], [0.0], [1.0]]), {0: np.array([[1.0, 2.0], [3.0, 4.0]])}
    assert reference.embedding_forward(x, tables).tolist() == [[3, 4], [1, 2], [3, 4]]
    dx, dtables = reference.embedding_vjp(np.ones((3, 2)), x, tables)
    assert dx.tolist() == [[0], [0], [0]]
    assert dtables[0].tolist() == [[1, 1], [2, 2]]


def bins_of_columns(rng):
    """Edges of three of five columns, of which one has a single bin."""
    return {3: np.sort(rng.standard_normal(7)), 0: np.array([-0.5, 0.5]), 1: np.array([-1.0, 0.0, 0.25])}


@pytest.mark.parametrize("rows", [0, 1, 2, 31])
def test_a_piecewise_linear_layer_climbs(rng, rows):
    edges = bins_of_columns(rng)
    found = Op(
        lambda x: reference.piecewise_linear_forward(x, edges),
        lambda dy, x: (reference.piecewise_linear_vjp(dy, x, edges),),
        lambda tx, x: reference.piecewise_linear_jvp(tx, x, edges),
    )
    climb(found, (rng.standard_normal((rows, 5)),), rng)


def test_a_piecewise_linear_layer_is_bent_at_edges_and_goes_on_beyond_the_last(rng):
    edges = {0: np.array([0.0, 1.0, 3.0])}
    x = np.array([[-2.0], [0.0], [1.0], [2.0], [5.0]])
    y = reference.piecewise_linear_forward(x, edges)
    assert y[:, 1:].tolist() == [[-2.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.5], [1.0, 2.0]]
    slopes = reference.piecewise_linear_jvp(np.ones_like(x), x, edges)[:, 1:]
    assert slopes.tolist() == [[1.0, 0.0], [1.0, 0.0], [0.0, 0.5], [0.0, 0.5], [0.0, 0.5]]
    dy = np.array([[7.0, 1.0, 10.0]] * 5)
    assert reference.piecewise_linear_vjp(dy, x, edges)[:, 0].tolist() == [8.0, 8.0, 12.0, 12.0, 12.0]


def test_a_piecewise_linear_layer_keeps_the_dtype(rng):
    edges = {c: b.astype("f") for c, b in bins_of_columns(rng).items()}
    x = rng.standard_normal((4, 5)).astype("f")
    y = reference.piecewise_linear_forward(x, edges)
    found = y, reference.piecewise_linear_vjp(y, x, edges), reference.piecewise_linear_jvp(x, x, edges)
    assert {a.dtype for a in found} == {np.dtype("float32")}


def test_an_embedding_keeps_the_dtype(rng):
    x, tables = codes_and_tables(rng, 4)
    x, tables = x.astype("f"), {c: table.astype("f") for c, table in tables.items()}
    y = reference.embedding_forward(x, tables)
    dx, dtables = reference.embedding_vjp(y, x, tables)
    ty = reference.embedding_jvp(x, tables, x, tables)
    assert {a.dtype for a in (y, dx, ty, *dtables.values())} == {np.dtype("float32")}
    close(ty, y)


@pytest.mark.parametrize(("B", "I", "O"), [(0, 2, 3), (1, 1, 1), (4, 7, 3), (31, 16, 17)])
def test_linear_matches_sums_over_indices(rng, B, I, O):
    x, W, b, dz = (rng.standard_normal(shape) for shape in [(B, I), (I, O), (O,), (B, O)])
    dx, dW, db = reference.linear_vjp(dz, x, W)
    close = {"rtol": 1e-12, "atol": 1e-12}
    assert np.allclose(reference.linear_forward(x, W, b), np.einsum("bi,io->bo", x, W) + b, **close)
    assert np.allclose(reference.linear_jvp(x, W), np.einsum("bi,io->bo", x, W), **close)
    assert np.allclose(dx, np.einsum("bo,io->bi", dz, W), **close)
    assert np.allclose(dW, sum((np.outer(x[r], dz[r]) for r in range(B)), np.zeros((I, O))), **close)
    assert np.allclose(db, np.einsum("bo->o", dz), **close)


def test_linear_vjp_and_jvp_are_adjoint(rng):
    x, W, dz, tx = (rng.standard_normal(shape) for shape in [(5, 7), (7, 3), (5, 3), (5, 7)])
    dx, _, _ = reference.linear_vjp(dz, x, W)
    assert np.isclose(np.sum(dz * reference.linear_jvp(tx, W)), np.sum(dx * tx), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_scales_what_it_keeps_and_zeroes_the_rest(rng, dtype):
    x = rng.standard_normal((5, 6)).astype(dtype)
    kept = reference.dropout_mask(5, 6, 0.3, seed=0, step=0, node=1)
    for op in (reference.dropout_forward, reference.dropout_vjp, reference.dropout_jvp):
        y = op(x, kept, 0.3)
        assert y.dtype == dtype
        assert np.array_equal(y[kept], x[kept] * np.dtype(dtype).type(1 / (1 - 0.3)))
        assert not y[~kept].any()
