"""Networks that the tests of `fb.export.c` share."""

from __future__ import annotations

import numpy as np

import fastbp as fb

RNG = np.random.default_rng(0)

NETWORKS = {
    "tanh": lambda dtype: fb.mlp([17, 64, 64, 6], activation="tanh", seed=0, dtype=dtype),
    "softmax": lambda dtype: fb.Network(
        [fb.Linear(33), fb.ReLU(), fb.Dropout(0.2), fb.Linear(20), fb.ReLU(), fb.Linear(37), fb.Softmax()],
        inputs=17,
        seed=1,
        dtype=dtype,
    ),
    "norms": lambda dtype: fb.Network(
        [
            *(fb.Linear(33), fb.LayerNorm(), fb.GELU(), fb.Linear(20), fb.RMSNorm(), fb.SiLU()),
            *(fb.Linear(21), fb.BatchNorm(), fb.PReLU(), fb.Linear(40), fb.LayerNorm(affine=False), fb.Linear(5)),
        ],
        inputs=3,
        seed=2,
        dtype=dtype,
    ),
}


def shaken(net):
    """Other parameters and statistics than those of the beginning."""
    net.flat = net.flat + 0.05 * RNG.normal(size=net.flat.shape)
    for name in net.states:
        net.states[name] = np.abs(RNG.normal(size=net.states[name].shape)) + 0.1
    return net
