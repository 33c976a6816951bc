"""Gates: what joins two signals into one or takes one apart, none with parameters.

**Of two signals** x, y (B, N), number by number. Every Jacobian is diagonal, so vjp and jvp are products:
    z = x y    dx = dz ∘ y, dy = dz ∘ x    and    tz = tx ∘ y + ty ∘ x.

**Of columns.** Joining, cutting, summing and repeating are linear maps of a row: y = x Aᵀ for an A of zeros and ones or
of 1/N. Their jvp is the map itself and their vjp its transpose, dx = dy A: what is cut out gets its cotangent back in
place, what is repeated gets the sum.

A signal that goes into several gates gets the sum of their cotangents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def add_forward(x: Array, y: Array) -> Array:
    """z = x + y."""
    return np.asarray(x + y)


def add_vjp(dz: Array) -> tuple[Array, Array]:
    """Pull dz back to (dx, dy) = (dz, dz)."""
    return dz.copy(), dz.copy()


def add_jvp(tx: Array, ty: Array) -> Array:
    """Push both tangents forward: tz = tx + ty."""
    return np.asarray(tx + ty)


def subtract_forward(x: Array, y: Array) -> Array:
    """z = x - y."""
    return np.asarray(x - y)


def subtract_vjp(dz: Array) -> tuple[Array, Array]:
    """Pull dz back to (dx, dy) = (dz, -dz)."""
    return dz.copy(), -dz


def subtract_jvp(tx: Array, ty: Array) -> Array:
    """Push both tangents forward: tz = tx - ty."""
    return np.asarray(tx - ty)


def multiply_forward(x: Array, y: Array) -> Array:
    """z = x ∘ y."""
    return np.asarray(x * y)


def multiply_vjp(dz: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Pull dz back to (dx, dy) = (dz ∘ y, dz ∘ x).

    Examples
    --------
    The square as a product of x with itself: the cotangents of both uses add up to 2 x.

    >>> x = np.array([[1.0, 3.0]])
    >>> dx, dy = multiply_vjp(np.ones((1, 2)), x, x)
    >>> (dx + dy).tolist()
    [[2.0, 6.0]]
    """
    return np.asarray(dz * y), np.asarray(dz * x)


def multiply_jvp(tx: Array, ty: Array, x: Array, y: Array) -> Array:
    """Push both tangents forward: tz = tx ∘ y + ty ∘ x."""
    return np.asarray(tx * y + ty * x)


def divide_forward(x: Array, y: Array) -> Array:
    """z = x / y."""
    return np.asarray(x / y)


def divide_vjp(dz: Array, y: Array, z: Array) -> tuple[Array, Array]:
    """Pull dz back to (dx, dy) = (dz / y, -(dz / y) ∘ z), since ∂z/∂y = -x / y² = -z / y."""
    dx = dz / y
    return dx, -(dx * z)


def divide_jvp(tx: Array, ty: Array, y: Array, z: Array) -> Array:
    """Push both tangents forward: tz = (tx - z ∘ ty) / y."""
    return np.asarray((tx - z * ty) / y)


def affine_forward(x: Array, a: float, b: float) -> Array:
    """y = a x + b with numbers that are not learned."""
    return np.asarray(x * x.dtype.type(a) + x.dtype.type(b))


def affine_vjp(dy: Array, a: float) -> Array:
    """Pull dy back to dx = a dy."""
    return np.asarray(dy * dy.dtype.type(a))


affine_jvp = affine_vjp


def reciprocal_forward(x: Array, a: float) -> Array:
    """y = a / x."""
    return np.asarray(x.dtype.type(a) / x)


def reciprocal_vjp(dy: Array, x: Array, a: float) -> Array:
    """Pull dy back to dx = -a dy / x²."""
    return np.asarray(-(x.dtype.type(a) / x / x) * dy)


reciprocal_jvp = reciprocal_vjp


def concat_forward(xs: Sequence[Array]) -> Array:
    """z = [x, y, ...]: the features of several signals, one behind the other."""
    return np.concatenate(xs, axis=1)


def concat_vjp(dz: Array, widths: Sequence[int]) -> list[Array]:
    """Pull dz back to each signal's columns of it.

    Examples
    --------
    >>> [dx.tolist() for dx in concat_vjp(np.array([[1.0, 2.0, 3.0]]), (1, 2))]
    [[[1.0]], [[2.0, 3.0]]]
    """
    return [part.copy() for part in np.split(dz, np.cumsum(widths)[:-1], axis=1)]


concat_jvp = concat_forward


def slice_forward(x: Array, start: int, stop: int) -> Array:
    """y = x[:, start:stop]."""
    return x[:, start:stop].copy()


def slice_vjp(dy: Array, width: int, start: int, stop: int) -> Array:
    """Pull dy back to those columns of dx (B, width), zero in the others."""
    dx = np.zeros((len(dy), width), dy.dtype)
    dx[:, start:stop] = dy
    return dx


slice_jvp = slice_forward


def sum_forward(x: Array) -> Array:
    """y = Σ_n x_n, one number a row: (B, N) to (B, 1)."""
    return np.asarray(x.sum(axis=1, keepdims=True))


def sum_vjp(dy: Array, width: int) -> Array:
    """Pull dy (B, 1) back to dx_n = dy for every n."""
    return np.repeat(dy, width, axis=1)


sum_jvp = sum_forward


def mean_forward(x: Array) -> Array:
    """y = Σ_n x_n / N, one number a row: (B, N) to (B, 1)."""
    return np.asarray(x.mean(axis=1, keepdims=True))


def mean_vjp(dy: Array, width: int) -> Array:
    """Pull dy (B, 1) back to dx_n = dy / N for every n."""
    return np.repeat(dy / dy.dtype.type(width), width, axis=1)


mean_jvp = mean_forward


def repeat_forward(x: Array, width: int) -> Array:
    """y_n = x for every n: (B, 1) to (B, width)."""
    return np.repeat(x, width, axis=1)


def repeat_vjp(dy: Array) -> Array:
    """Pull dy (B, N) back to dx = Σ_n dy_n."""
    return np.asarray(dy.sum(axis=1, keepdims=True))


repeat_jvp = repeat_forward
