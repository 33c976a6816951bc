"""Probabilities of logits z, with the same bits on every machine: `exact` and sums from the first column to the last.

softmax       eᶻ / Σ eᶻ            with z - max z, so that nothing overflows
log_softmax   z - log Σ eᶻ
sigmoid       1 / (1 + e⁻ᶻ)        = e⁻ᵃ / (1 + e⁻ᵃ) for z < 0, with a = |z|
log_sigmoid   -log(1 + e⁻ᶻ)        = min(z, 0) - log(1 + e⁻ᵃ)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import DataError
from fastbp.numerics.exact import exp, log, log1p

Array = NDArray[Any]


def with_numbers(z: Array) -> Array:
    """Outputs, of which each is a number: where one is none, no class is the likeliest."""
    bad = int(np.isnan(z).any(axis=1).sum())
    if bad:
        rows = f"NaN in {bad} of {len(z)} row{'s' * (len(z) > 1)}"
        hint = "the network has no outputs where numbers are too large for it, as for the waves of `pbld`"
        raise DataError("outputs", "must be numbers for classes to be chosen", rows, hint)
    return z


def _shifted(z: Array) -> Array:
    # z: (rows, classes)
    z = np.asarray(z, np.float64)
    return np.asarray(z - z.max(axis=1, keepdims=True))


def _total(e: Array) -> Array:
    """Sums of rows in the order of columns, which `sum` does not promise."""
    return np.asarray(np.add.accumulate(e, axis=1)[:, -1:])


def softmax(z: Array) -> Array:
    """Probabilities of classes, (rows, classes).

    Examples
    --------
    >>> softmax([[0.0, 0.0], [1e9, 0.0]]).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    e = exp(_shifted(z))
    return np.asarray(e / _total(e))


def log_softmax(z: Array) -> Array:
    """Their logarithms, which do not become minus infinity.

    Examples
    --------
    >>> log_softmax([[0.0, 0.0], [1e9, 0.0]]).tolist()
    [[-0.6931471805599453, -0.6931471805599453], [0.0, -1000000000.0]]
    """
    z = _shifted(z)
    return np.asarray(z - log(_total(exp(z))))


def sigmoid(z: Array) -> Array:
    """The probability of each of several labels.

    Examples
    --------
    >>> sigmoid([0.0, -1e9, 1e9]).tolist()
    [0.5, 0.0, 1.0]
    """
    z = np.asarray(z, np.float64)
    small = exp(-np.abs(z))
    return np.where(z < 0.0, small, 1.0) / (1.0 + small)


def log_sigmoid(z: Array) -> Array:
    """Its logarithm, which does not become minus infinity.

    Examples
    --------
    >>> log_sigmoid([0.0, -1e9, 50.0]).tolist()
    [-0.6931471805599453, -1000000000.0, -1.9287498479639178e-22]
    """
    z = np.asarray(z, np.float64)
    return np.asarray(np.minimum(z, 0.0) - log1p(exp(-np.abs(z))))
