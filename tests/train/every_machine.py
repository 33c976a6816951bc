"""One digest of training: the same whatever the processor is called, at every level, on any number of threads.

`python -m tests.train.every_machine [CPU]` prints the level of this process and a digest for 1, 2 and 3 threads. With
the name of a processor, kernels are made with LLVM's instructions and tuning for that one; this wants a cache of its
own.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import fastbp as fb
from fastbp.lowering import plans
from tests.train import first_step

THREADS = (1, 2, 3)


def networks(dtype: str, threads: int) -> Iterator[tuple[fb.Trainer, Any, Any]]:
    """A classifier and a regression with odd batches and rows."""
    rng = np.random.default_rng(5)
    X, t = rng.normal(size=(83, 19)), rng.normal(size=(83, 7))
    for loss, y, layers, batch in (
        ("cross_entropy", t.argmax(1), [fb.Linear(70), fb.ReLU(), fb.Dropout(0.2), fb.Linear(33), fb.Tanh()], 16),
        ("mse", t, [fb.Linear(37), fb.GELU(), fb.LayerNorm()], 5),
    ):
        net = fb.Network([*layers, fb.Linear(7)], inputs=19, seed=2, dtype=dtype)
        yield fb.Trainer(net, loss=loss, optimizer=fb.AdamW(lr=0.01), batch_size=batch, threads=threads), X, y


def cases() -> dict[str, tuple[fb.Trainer, Any, Any]]:
    return {f"network {i} {real}": of for real in ("float32", "float64") for i, of in enumerate(networks(real, 1))}


def explained() -> str:
    """The first op that differs from what was written down, of each network."""
    return "\n".join(f"{name}: {first_step.explained(name, *of)}" for name, of in cases().items())


def digest(threads: int) -> str:
    """Parameters and losses of them, in both precisions."""
    out = hashlib.sha256()
    for dtype in ("float32", "float64"):
        for trainer, X, y in networks(dtype, threads):
            net = trainer.net
            out.update(np.float64(trainer.run(X, y, steps=40).loss).tobytes())
            out.update(net.flat.astype(net.dtype.newbyteorder("<")).tobytes())
            out.update(net.predict(X, threads=threads).tobytes())
    return out.hexdigest()[:32]


if __name__ == "__main__":
    from fastbp.kernels import levels

    if sys.argv[1:]:
        levels._chosen[:] = [levels.level()._replace(cpu=sys.argv[1])]
    plans.SERIAL_WORK = 0  # however small a network is, its threads are used
    os.environ["FASTBP_TEAM"] = "all"
    print(levels.level().name, *(digest(threads) for threads in THREADS))
    print(explained(), file=sys.stderr)
