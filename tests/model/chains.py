"""Chains of layers made from a code and a seed, and their twins in `fastbp.reference`.

A code is one letter a layer: L linear, r relu, t tanh, s sigmoid, i identity, d dropout. The seed chooses widths,
biases and dropout's p; widths lie on both sides of a line of lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastbp as fb
from fastbp import reference

Array = np.ndarray[Any, Any]

DTYPES = ["float32", "float64"]
WIDTHS = [1, 2, 3, 5, 7, 8, 9, 13, 16, 17, 31, 33]

# Beside the usual: activations first, last and twice, layers that do nothing in between, one layer alone.
CODES = [
    "L", "LL", "LrL", "LtL", "LsL", "LiL", "LrLtLsL", "rL", "tLrL", "sLLt", "dLrL", "iLi", "LrLr", "LtLs", "LrrL",
    "LrtL", "LtsrL", "LirL", "LriL", "LtitL", "LrdL", "LdrL", "LridL", "LdL", "LtLd", "ddLsL", "LLrLL", "rrLLi",
    "LrLrLrL", "sitrL",
]  # fmt: skip

# (relative, absolute) errors against the twin, whose sums run in another order.
TOLERANCE = {"float32": (2e-5, 4e-6), "float64": (1e-11, 1e-13)}

ACTIVATIONS = {"r": fb.ReLU, "t": fb.Tanh, "s": fb.Sigmoid, "i": fb.Identity}


def build(
    code: str, seed: int = 0, dtype: str = "float64", p: float | None = None, outputs: int | None = None
) -> fb.Network:
    """The network of a code; `p` is every dropout's, `outputs` the last linear layer's."""
    rng = np.random.default_rng([seed, *code.encode()])
    inputs = int(rng.choice(WIDTHS))
    layers: list[Any] = []
    for node, letter in enumerate(code):
        if letter == "L":
            last = outputs is not None and "L" not in code[node + 1 :]
            width = outputs if last else int(rng.choice(WIDTHS))
            layers.append(fb.Linear(width, bias=bool(rng.random() < 0.7)))
        elif letter == "d":
            layers.append(fb.Dropout(rng.uniform(0.1, 0.6) if p is None else p))
        else:
            layers.append(ACTIVATIONS[letter]())
    return fb.Network(layers, inputs=inputs, seed=seed, dtype=dtype)


def twin(net: fb.Network, loss: str = "cross_entropy") -> reference.MLP:
    """The same network in NumPy; where a layer has no biases its twin's are zero."""
    layers: list[tuple[Any, ...]] = []
    for node, layer in enumerate(net.layers):
        if isinstance(layer, fb.Linear):
            bias = net.parameters.get(f"{node}.bias", np.zeros(layer.features, net.dtype))
            layers.append(("linear", net.parameters[f"{node}.weight"], bias))
        else:
            layers.append((layer.kind, layer.p) if isinstance(layer, fb.Dropout) else (layer.kind,))
    return reference.MLP(layers, loss)


def flat(net: fb.Network, slow: reference.MLP) -> Array:
    """The twin's parameters as `net.flat` has them."""
    return np.concatenate([slow.parameters[name].ravel() for name in net.parameters])


def held(net: fb.Network, slow: reference.MLP, rule: Callable[..., Any]) -> Callable[..., Any]:
    """The update `rule` with the twin's biases that `net` has not held at zero; for twins of one block."""
    assert slow.theta.size <= reference.BLOCK
    there = [np.full(a.size, name in net.parameters) for name, a in slow.parameters.items()]
    mask = np.concatenate(there)
    return lambda theta, g, state: rule(theta, g * mask, state)


def data(net: fb.Network, rows: int, loss: str = "cross_entropy", seed: int = 1) -> tuple[Array, Array]:
    """Rows for a network, and what its loss wants of them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, net.inputs)).astype(net.dtype)
    if loss == "cross_entropy":
        return X, rng.integers(0, net.outputs, rows)
    return X, rng.standard_normal((rows, net.outputs)).astype(net.dtype)


def assert_close(actual: Any, expected: Any, dtype: Any, slack: float = 1.0) -> None:
    """Equal but for the order of sums."""
    relative, absolute = TOLERANCE[np.dtype(dtype).name]
    np.testing.assert_allclose(actual, expected, rtol=relative * slack, atol=absolute * slack)
