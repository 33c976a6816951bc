"""Networks that are graphs, with data for them: what tests of their structure and of their training share."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastbp as fb

RNG = np.random.default_rng(0)
X, Z = RNG.normal(size=(90, 7)), RNG.normal(size=(90, 3))
CLASSES, NUMBERS = np.arange(90) % 4, RNG.normal(size=(90, 2))


def residual(blocks: int = 2, width: int = 19, tail: int = 4) -> Any:
    """Signals of a network with residual blocks."""
    x = fb.Input(7)
    h = fb.Linear(width)(x)
    for _ in range(blocks):
        h = h + fb.Linear(width)(fb.ReLU()(fb.LayerNorm()(h)))
    return x, fb.Linear(tail)(h)


def two_ways(dtype: str = "float64", seed: int = 3) -> fb.Network:
    """Two inputs, two outputs, a shared layer, dropout and batch norm in branches."""
    x, z = fb.Input(7, name="x"), fb.Input(3, name="z")
    again = fb.Linear(16)
    h = again(fb.Tanh()(again(fb.Linear(16)(x), name="again")))
    g = fb.Dropout(0.2)(fb.ReLU()(fb.BatchNorm()(fb.Linear(16)(z))))
    both = h * fb.Sigmoid()(g) + h
    outputs = [fb.Linear(4)(both), fb.Linear(2)(fb.concat([both, g]))]
    return fb.Network(inputs=[x, z], outputs=outputs, seed=seed, dtype=dtype)


JOINT = fb.JointLoss(["cross_entropy", "mse"], weights=[1.0, 0.5])


def bits(net: fb.Network) -> bytes:
    return net.flat.tobytes() + net.states.flat().tobytes()
