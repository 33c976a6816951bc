"""Functions that NumPy lacks, for traced values, signals, numbers and arrays."""

from __future__ import annotations

from collections.abc import Callable
from math import erf as erf_of_number
from typing import Any

import numpy as np

from fastbp.errors import ConfigTypeError


def _sigmoid(x: Any) -> Any:
    """1 / (1 + w) or w / (1 + w), with w = exp(-|x|), which does not overflow."""
    w = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, w) / (1.0 + w)


def erf_of_array(x: Any) -> Any:
    """The standard library's, number by number."""
    return np.array([erf_of_number(v) for v in x.ravel().tolist()], x.dtype).reshape(x.shape)


def _apply(name: str, x: Any, plain: Callable[[Any], Any]) -> Any:
    """Apply a gate: traced to a tracer or signal, computed otherwise."""
    own = getattr(type(x), "_apply", None)
    if own is not None:
        return own(x, name)
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise ConfigTypeError(name, "must be given real numbers", f"dtype `{array.dtype}`")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    found = plain(array)
    return float(found) if np.ndim(x) == 0 and not isinstance(x, np.ndarray | np.generic) else found


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), of a traced value, a number or an array.

    Parameters
    ----------
    x : traced value, float or array

    Examples
    --------
    >>> import fastbp as fb
    >>> fb.sigmoid(0.0)
    0.5
    >>> fb.trace(lambda x: fb.sigmoid(3.0 * x)).gradient(0.0)
    (0.75,)
    """
    return _apply("sigmoid", x, _sigmoid)


def relu(x: Any) -> Any:
    """0 if x <= 0 else x, whose derivative at 0 is 0; of a traced value, a number or an array.

    Parameters
    ----------
    x : traced value, float or array

    Examples
    --------
    >>> import fastbp as fb
    >>> fb.relu(-2.0), fb.relu(3.0)
    (0.0, 3.0)
    >>> fb.trace(fb.relu).gradient(3.0)
    (1.0,)
    """
    return _apply("relu", x, lambda x: np.where(x <= 0.0, x.dtype.type(0), x))


def softplus(x: Any) -> Any:
    """log(1 + exp(x)) without overflow, of a traced value, a number or an array.

    Parameters
    ----------
    x : traced value, float or array

    Examples
    --------
    >>> import fastbp as fb
    >>> fb.softplus(1000.0)
    1000.0
    >>> fb.trace(fb.softplus).gradient(0.0)
    (0.5,)
    """
    return _apply("softplus", x, lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def tanh(x: Any) -> Any:
    """The hyperbolic tangent, of a traced value, a number or an array; `np.tanh` of a traced value is the same.

    Parameters
    ----------
    x : traced value, float or array

    Examples
    --------
    >>> import fastbp as fb
    >>> fb.tanh(0.0)
    0.0
    >>> fb.trace(fb.tanh).gradient(0.0)
    (1.0,)
    """
    return _apply("tanh", x, np.tanh)


def erf(x: Any) -> Any:
    """The error function, 2/√π times the integral of exp(-t²) from 0 to x, of a traced value, a number or an array.

    Parameters
    ----------
    x : traced value, float or array

    Examples
    --------
    >>> import fastbp as fb
    >>> round(fb.erf(1.0), 6)
    0.842701
    """
    return _apply("erf", x, erf_of_array)
