"""Plain multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import DTypeLike

from fastbp.errors import ConfigError, ConfigTypeError, brief
from fastbp.model.network import Network
from fastbp.spec.catalogue import activation_named
from fastbp.spec.checks import chance, whole
from fastbp.spec.elsewhere import known_words
from fastbp.spec.layers import Dropout, Layer, Linear


@known_words
def mlp(
    sizes: Any,
    activation: Any = "relu",
    seed: int = 0,
    dtype: DTypeLike = "float32",
    dropout: float = 0.0,
) -> Network:
    """A chain of Linear layers, with an activation and optional dropout between them.

    Parameters
    ----------
    sizes : list of int
        Numbers of inputs, hidden features and outputs: at least two numbers.
    activation : str or Layer
        "relu", "gelu", "silu", "tanh" or another of `fastbp.spec.activations.ACTIVATIONS`; a formula such as
        "x * sigmoid(x)"; or an activation such as ``fb.LeakyReLU(0.1)`` or ``fb.activation(...)``.
    dropout : float, 0 <= dropout < 1

    Examples
    --------
    >>> import fastbp as fb
    >>> fb.mlp([64, 128, 10], activation="tanh")
    Network([Linear(features=128, bias=True), Tanh(), Linear(features=10, bias=True)], inputs=64, dtype='float32')
    """
    listed = isinstance(sizes, Sequence) and not isinstance(sizes, str | bytes)
    if not listed and getattr(sizes, "ndim", 0) != 1:
        raise ConfigTypeError("sizes", "must be a list of whole numbers", f"`{brief(sizes)}`")
    if len(sizes) < 2:
        raise ConfigError("sizes", "must have at least inputs and outputs", f"`{list(sizes)}`")
    made = activation if isinstance(activation, Layer) else activation_named("activation", activation)
    p = chance("dropout", dropout)
    widths = [whole(f"sizes[{i}]", size, 1) for i, size in enumerate(sizes)]
    layers: list[Layer] = []
    for width in widths[1:-1]:
        layers += [Linear(width), made]
        if p:
            layers.append(Dropout(p))
    return Network([*layers, Linear(widths[-1])], inputs=widths[0], seed=seed, dtype=dtype)
