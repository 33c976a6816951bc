"""Random functions that move numbers about, at awkward sizes: values are NumPy's, and derivatives agree."""

import numpy as np
import pytest

import fastbp as fb


def halved(x):
    return x[1:, ::-1] if x.ndim == 2 and len(x) > 1 else x[..., ::-1] if x.ndim else x


def together(x, y, how):
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return np.exp(np.tanh(x))
    return how(x, y)


def squared(x):
    """x xᵀ where it is a matrix, the outer product of a short vector."""
    return x @ np.transpose(x) * 0.1 if x.ndim == 2 else np.outer(x, x) if x.ndim == 1 and x.size < 60 else x


MOVES = (
    lambda x, y: np.transpose(x) * 2.0,
    lambda x, y: np.sum(x, axis=0) if x.ndim else x * 2.0,
    lambda x, y: np.sum(x, axis=-1, keepdims=True) * 0.1 if x.ndim else np.sin(x),
    lambda x, y: x.reshape(-1) if x.ndim else x,
    lambda x, y: halved(x),
    lambda x, y: np.concatenate([x, x * 2.0], axis=-1) if x.ndim and x.shape[-1] < 80 else x,
    lambda x, y: squared(x),
    lambda x, y: np.transpose(x) @ x * 0.1 if x.ndim == 2 else x * x,
    lambda x, y: together(x, y, lambda x, y: x * y),
    lambda x, y: together(x, y, lambda x, y: x + y),
    lambda x, y: together(x, y, lambda x, y: np.where(x > y, x, y * 0.5)),
    lambda x, y: np.mean(x) * np.ones_like(x) + x,
    lambda x, y: x[0] if x.ndim else x,
)


def function(seed):
    def f(*args):
        rng = np.random.default_rng((seed, 1))
        values = list(args)
        for _ in range(12):
            x, y = (values[i] for i in rng.integers(len(values), size=2))
            values.append(np.tanh(MOVES[rng.integers(len(MOVES))](x, y)))
        return tuple(values[len(args) :])

    return f


@pytest.mark.parametrize("seed", range(60))
def test_a_random_function_has_numpys_values_and_its_derivatives_agree(seed):
    rng = np.random.default_rng(seed)
    shapes = tuple(rng.integers(1, 40, 2)), (int(rng.integers(1, 40)),), ()
    args, tangents = ([rng.normal(size=s) for s in shapes] for _ in range(2))
    f = function(seed)
    expected = f(*map(np.asarray, args))
    F = fb.trace(f)
    for ours, theirs in zip(F(*args), expected, strict=True):
        assert np.shape(ours) == np.shape(theirs)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)
    u = [rng.normal(size=np.shape(v)) for v in expected]
    pulled = sum(np.sum(p * t) for p, t in zip(F.vjp(args, u), tangents, strict=True))
    moved = sum(np.sum(c * m) for c, m in zip(u, F.jvp(args, tangents), strict=True))
    whole = fb.trace(lambda *a: sum(np.sum(v * c) for v, c in zip(f(*a), u, strict=True)))
    steepest = sum(np.sum(p * t) for p, t in zip(whole.gradient(*args), tangents, strict=True))
    ahead, behind = (f(*(a + h * t for a, t in zip(args, tangents, strict=True))) for h in (1e-6, -1e-6))
    difference = sum(np.sum(c * (p - q)) for c, p, q in zip(u, ahead, behind, strict=True)) / 2e-6
    assert abs(pulled - moved) < 1e-10 * (1.0 + abs(moved))
    assert abs(steepest - moved) < 1e-10 * (1.0 + abs(moved))
    assert abs(difference - moved) < 1e-4 * (1.0 + abs(moved))
