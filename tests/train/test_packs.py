"""Packs: every member has the bits that it would have alone."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp.train.catalogue import OPTIMIZERS

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


def digests(pack: fb.Pack) -> list[str]:
    return [digest(net) for net in pack.members]


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


def alone(settings: dict[str, Any], i: int, net: fb.Network) -> tuple[fb.Trainer, Any]:
    """The trainer of one member, and the rows that it trains on."""
    own = {name: value[i] if isinstance(value, list) else value for name, value in settings.items()}
    rows = own.pop("rows", np.arange(ROWS))
    return fb.Trainer(net, threads=1, **own), rows


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", SETTINGS)
def test_members_have_the_bits_of_networks_that_are_trained_alone(name: str, threads: int) -> None:
    X, y = data()
    settings = SETTINGS[name]
    pack = fb.Pack(networks(), threads=threads, **settings)
    losses = pack.run(X, y, steps=37)
    histories = pack.fit(X, y, epochs=3)
    last = pack.step(X[:11], y[:11])
    for i, net in enumerate(networks()):
        trainer, rows = alone(settings, i, net)
        first = trainer.run(X[rows], y[rows], steps=37)
        history = trainer.fit(X[rows], y[rows], epochs=3)
        assert trainer.step(X[:11], y[:11]) == last[i]
        assert digest(net) == digest(pack.members[i]), f"member {i}"
        assert digest(trainer.evaluated) == digest(pack.evaluated[i])
        assert losses[i] == first.loss[-1]
        assert histories[i].loss == history.loss
        assert histories[i].lr == history.lr
        assert (histories[i].steps, histories[i].samples) == (history.steps, history.samples)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_optimizer_has_the_same_bits_in_a_pack(kind: str, dtype: str) -> None:
    X, y = data()
    pack = fb.Pack(networks(dtype), optimizer=kind, batch_size=20, threads=2)
    pack.run(X, y, steps=30)
    for i, net in enumerate(networks(dtype)):
        fb.Trainer(net, optimizer=kind, batch_size=20, threads=1).run(X, y, steps=30)
        assert digest(net) == digest(pack.members[i]), f"member {i}"
