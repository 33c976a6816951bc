"""Data, networks and settings of the tests of packs.

`python -m tests.train.packs [THREADS]` prints the lanes of this process and a digest of every member that is trained.
"""

from __future__ import annotations

import hashlib
import sys
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


def wide(count: int, dtype: str = "float32") -> list[fb.Network]:
    """Networks that take a team of threads, at batches of 64."""
    chain = [fb.Linear(128), fb.Tanh(), fb.Dropout(0.1), fb.Linear(128), fb.ReLU(), fb.Linear(CLASSES)]
    return [fb.Network(chain, inputs=INPUTS, seed=seed, dtype=dtype) for seed in range(count)]


def digest(net: fb.Network) -> str:
    """Of parameters and running statistics."""
    return hashlib.sha256(net.flat.tobytes() + net.states.flat().tobytes()).hexdigest()


def samples() -> list[Any]:
    """Rows of each member: a part, all in another order, and samples in which rows occur twice."""
    random = np.random.default_rng(5)
    parts = [np.arange(0, ROWS, 2), random.permutation(ROWS)]
    return parts + [random.integers(0, ROWS, size=size) for size in (ROWS, 40, 1)]


SETTINGS: dict[str, dict[str, Any]] = {
    "one setting": {"batch_size": 32, "optimizer": fb.AdamW(lr=0.01), "seed": [7] * 5},
    "several": {
        "batch_size": [1, 16, 64, 33, 500],
        "optimizer": [fb.Adam(lr=0.01 / (i + 1)) for i in range(5)],
        "schedule": [None, fb.Cosine(steps=60), fb.Step(every=3), None, fb.Polynomial(steps=50)],
        "clip_norm": [None, 0.1, None, 1.0, None],
        "clip_value": [0.01, None, None, None, None],
        "accumulate": [1, 1, 3, 1, 2],
        "ema": [None, 0.9, None, None, 0.5],
    },
    "some rows": {"batch_size": 24, "rows": samples()},
}


def trained(threads: int = 2) -> list[str]:
    """Digests of all members after a run and a fit, with each of the settings in both precisions."""
    X, y = data()
    found = []
    for dtype in ("float32", "float64"):
        for settings in SETTINGS.values():
            pack = fb.Pack(networks(dtype), threads=threads, **settings)
            pack.run(X, y, steps=37)
            pack.fit(X, y, epochs=2, validation=(X, y))
            found += [digest(net) for net in pack.members]
        for count in (1, 2):  # of members with teams, where there are more threads
            pack = fb.Pack(wide(count, dtype), threads=threads, batch_size=64)
            pack.run(X, y, steps=13)
            pack.fit(X, y, epochs=2, validation=(X, y))
            found += [digest(net) for net in pack.members]
    return found


if __name__ == "__main__":
    from fastbp.kernels.levels import level

    print(level().lanes, *trained(*map(int, sys.argv[1:])))
