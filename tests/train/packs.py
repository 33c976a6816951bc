"""Data and networks of the tests of packs."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

import fastbp as fb

ROWS, INPUTS, CLASSES = 150, 5, 4


def data(rows: int = ROWS, seed: int = 0) -> tuple[Any, Any]:
    """Rows whose first column is a category, and classes."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, INPUTS)).astype(np.float32)
    X[:, 0] = random.integers(0, 3, size=rows)
    return X, (X[:, 1:] @ random.normal(size=(INPUTS - 1, CLASSES))).argmax(axis=1)


CHAINS: dict[str, list[Any]] = {
    "plain": [fb.Linear(9), fb.ReLU(), fb.Linear(CLASSES)],
    "dropout": [fb.Linear(33), fb.Tanh(), fb.Dropout(0.3), fb.Linear(CLASSES)],
    "batch norm": [fb.Linear(16), fb.BatchNorm(), fb.SiLU(), fb.Linear(CLASSES)],
    "layer norm": [fb.Linear(17), fb.LayerNorm(), fb.GELU(), fb.Dropout(0.1), fb.Linear(CLASSES)],
    "embedding": [fb.Embedding({0: (3, 2)}), fb.Linear(12), fb.RMSNorm(), fb.PReLU(), fb.Linear(CLASSES)],
}


def networks(dtype: str = "float32") -> list[fb.Network]:
    return [fb.Network(chain, inputs=INPUTS, seed=seed, dtype=dtype) for seed, chain in enumerate(CHAINS.values())]


def digest(net: fb.Network) -> str:
    """Of parameters and running statistics."""
    return hashlib.sha256(net.flat.tobytes() + net.states.flat().tobytes()).hexdigest()
