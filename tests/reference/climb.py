"""The rungs that every differentiable twin climbs, whatever it is differentiated in.

An op here is three functions of `wrt`, the arrays that it is differentiated in: forward(*wrt) -> y,
vjp(dy, *wrt) -> one cotangent for each, jvp(*tangents, *wrt) -> ty.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

TOLERANCE = {"float32": 2e-6, "float64": 1e-12}
DIFFERENCES = 1e-8  # of central differences in float64 with a step of 1e-5, relative to the terms
STEP = 1e-5


class Op(NamedTuple):
    forward: Callable[..., Any]
    vjp: Callable[..., Any]
    jvp: Callable[..., Any]


def close(actual, expected, terms=1.0, rtol=1e-12):
    """Equal in float64 but for rounding of terms of size `terms`."""
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-14 * terms)


def climb(op: Op, wrt: tuple, rng: np.random.Generator) -> None:
    """Derivatives are those of central differences, adjoint to each other, and leave their inputs alone."""
    before = [w.copy() for w in wrt]
    t = tuple(rng.standard_normal(w.shape) for w in wrt)
    y = op.forward(*wrt)
    u = rng.standard_normal(y.shape)
    above, below = (op.forward(*(w + h * tw for w, tw in zip(wrt, t, strict=True))) for h in (STEP, -STEP))
    slope, ty, cotangents = (above - below) / (2 * STEP), op.jvp(*t, *wrt), op.vjp(u, *wrt)
    assert ty.shape == y.shape
    assert [c.shape for c in cotangents] == [w.shape for w in wrt]
    np.testing.assert_allclose(ty, slope, rtol=DIFFERENCES, atol=DIFFERENCES)
    pulled = sum(np.sum(c * tw) for c, tw in zip(cotangents, t, strict=True))
    size = sum(np.sum(np.abs(c * tw)) for c, tw in zip(cotangents, t, strict=True)) + np.sum(np.abs(u * ty))
    assert abs(pulled - np.sum(u * slope)) <= DIFFERENCES * max(size, 1)
    assert abs(pulled - np.sum(u * ty)) <= 1e-14 * max(size, 1)
    assert all(np.array_equal(w, b) for w, b in zip(wrt, before, strict=True))


def follows_torch(op: Op, wrt: tuple, theirs: Callable[..., Any], rng: np.random.Generator) -> None:
    """Outputs and cotangents are those of torch and its autograd."""
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(w.copy()).requires_grad_() for w in wrt]
    expected, y = theirs(*tensors), op.forward(*wrt)
    u = rng.standard_normal(y.shape)
    close(y, expected.detach().numpy())
    expected.backward(torch.from_numpy(u))
    for c, tensor in zip(op.vjp(u, *wrt), tensors, strict=True):
        close(c, tensor.grad.numpy(), terms=max(1.0, float(np.abs(c).max(initial=0))))
