"""What the server runs beside commands: functions that write files, and look at what is left in their process."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np

import fastbp as fb
from fastbp.engine import cache

EPOCHS = 2
CONTENT = b"machine code" * 1000


def save(path: str, seed: int) -> None:
    fb.mlp([3, 40, 2], seed=seed).save(path)


def trainer() -> fb.Trainer:
    return fb.Trainer(fb.mlp([3, 5, 2], seed=4, dropout=0.2), loss="mse", batch_size=4, optimizer=fb.Adam(0.01))


def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, 3)).astype("f4"), rng.normal(size=(20, 2)).astype("f4")


def fit(folder: str) -> None:
    """Train with every callback that writes; where one fails, the trainer is as one that nothing happened to."""
    top = Path(folder)
    callbacks = [
        fb.CSVLogger(top / "log.csv"),
        fb.ModelCheckpoint(top / "net"),
        fb.JSONLogger(top / "log.jsonl", append=True),
        fb.ModelCheckpoint(top / "deep" / "{epoch}"),
    ]
    ours, (X, y) = trainer(), rows()
    try:
        ours.fit(X, y, EPOCHS, callbacks=callbacks)
    finally:
        assert ours.steps_done % 5 == 0
        other = trainer()
        other.fit(X, y, ours.steps_done // 5)
        for _ in range(2):
            assert ours.net.flat.tobytes() == other.net.flat.tobytes()
            ours.fit(X, y, 1)
            other.fit(X, y, 1)


def draw(path: str) -> None:
    fb.mlp([3, 40, 2]).draw().save(path)


def use_cache(folder: str) -> None:
    """Let the cache be another folder."""
    os.environ["FASTBP_CACHE_DIR"] = folder
    cache.folder.cache_clear()
    cache._warned.clear()


def keep(folder: str) -> None:
    """Write to the cache and read it; what goes wrong is one warning, and what is read is whole or nothing."""
    use_cache(folder)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            cache.write("thing", CONTENT)
            assert cache.read("thing") in (None, CONTENT)
    _warned(said)


def compile_formula(folder: str) -> None:
    """Compile something that only this folder may have; it is right whatever happens to the folder."""
    use_cache(folder)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        function = fb.trace(lambda x: x * 3 + np.tanh(x) * x)
        value, (slope,) = function.value_and_gradient(0.0)
        assert (float(value), float(slope)) == (0.0, 3.0)
    _warned(said)


def _warned(said: list[warnings.WarningMessage]) -> None:
    texts = [str(one.message) for one in said]
    assert len(texts) <= 1, texts
    assert all(text.startswith("fastbp cannot keep its compiled kernels: ") for text in texts), texts
