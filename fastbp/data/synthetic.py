"""Synthetic sets, pure functions of the seed: the same rows on every machine. Angles are turns, of 2π each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.numerics.exact import TWO_PI, sin_turns, turns

Array = NDArray[Any]


def spirals(rows: int, noise: float, classes: int, seed: int) -> tuple[Array, Array]:
    """Arms that wind around each other, one a class: radius t, angle 4t + 2πk/K."""
    rng = np.random.default_rng([seed, 1])
    y = np.arange(rows) % classes
    t = np.sqrt(rng.random(rows))
    cosine, sine = turns((4.0 * t + noise * rng.normal(size=rows)) / TWO_PI + y / classes)
    return np.stack([t * cosine, t * sine], 1), y


def moons(rows: int, noise: float, classes: int, seed: int) -> tuple[Array, Array]:
    """Two half circles that reach into each other."""
    rng = np.random.default_rng([seed, 2])
    y = np.arange(rows) % 2
    cosine, sine = turns(0.5 * rng.random(rows))
    x = np.where(y == 0, cosine, 1.0 - cosine)
    z = np.where(y == 0, sine, 0.5 - sine)
    return np.stack([x, z], 1) + noise * rng.normal(size=(rows, 2)), y


def blobs(rows: int, noise: float, classes: int, seed: int) -> tuple[Array, Array]:
    """Round clouds with random centres."""
    rng = np.random.default_rng([seed, 3])
    y = np.arange(rows) % classes
    centres = rng.uniform(-1.0, 1.0, size=(classes, 2))
    return centres[y] + noise * rng.normal(size=(rows, 2)), y


def friedman(rows: int, noise: float, classes: int, seed: int) -> tuple[Array, Array]:
    """Ten uniform features, five of them relevant: 10 sin(πx₀x₁) + 20 (x₂ - ½)² + 10 x₃ + 5 x₄ (Friedman, 1991)."""
    rng = np.random.default_rng([seed, 4])
    X = rng.random((rows, 10))
    y = 10.0 * sin_turns(0.5 * X[:, 0] * X[:, 1]) + 20.0 * (X[:, 2] - 0.5) ** 2 + 10.0 * X[:, 3] + 5.0 * X[:, 4]
    return X, y + noise * rng.normal(size=rows)


SYNTHETIC: dict[str, Callable[[int, float, int, int], tuple[Array, Array]]] = {
    "spirals": spirals,
    "moons": moons,
    "blobs": blobs,
    "friedman": friedman,
}
