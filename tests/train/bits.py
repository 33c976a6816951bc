"""Trains the networks of `test_bits` in a process of its own and prints digests of their parameters as JSON.

Data come from Philox and are short binary fractions, so that neither NumPy's generators nor a libm can change them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any

import numpy as np

import fastbp as fb
from fastbp import reference
from fastbp.engine import threads as team
from fastbp.kernels.records import ROW_PHASE
from fastbp.lowering import plans
from tests.train import first_step

STEPS = 200
DTYPES = ["float32", "float64"]

# small   needs no second thread, and gets one only because the caller of `digests` asks for it
# wide    fused phases: the activations of 127 rows, a prime, outweigh the weights
# heavy   layered phases: the weights outweigh the activations of 17 rows
SIZES = {"small": (7, 50, 13), "wide": (20, 400, 127), "heavy": (300, 60, 17)}


def layers(name: str) -> list[Any]:
    if name == "small":
        return [fb.Linear(16), fb.ReLU(), fb.Dropout(0.3), fb.Linear(33), fb.Tanh(), fb.Linear(5)]
    if name == "wide":
        return [fb.Linear(300), fb.ReLU(), fb.Linear(300), fb.Sigmoid(), fb.Dropout(0.1), fb.Linear(7)]
    return [fb.Dropout(0.2), fb.Linear(300), fb.Tanh(), fb.Linear(150, bias=False), fb.ReLU(), fb.Linear(9)]


TRAINING = {
    "small": ("cross_entropy", fb.Adam(1e-2)),
    "wide": ("mse", fb.SGD(0.1, momentum=0.9)),
    "heavy": ("cross_entropy", fb.AdamW(1e-3, decay_all=True)),
}


def fractions(count: int, stream: int) -> Any:
    """Numbers in [-1, 1) of 12 bits."""
    return (reference.philox_stream(count, seed=11, purpose=7, c1=stream) >> 20).astype(np.float64) / 2048 - 1


def data(name: str, outputs: int) -> tuple[Any, Any]:
    inputs, rows, _ = SIZES[name]
    X = fractions(rows * inputs, 0).reshape(rows, inputs)
    y = fractions(rows * outputs, 1).reshape(rows, outputs)
    return X, (y if TRAINING[name][0] == "mse" else y.argmax(axis=1))


def trainer(name: str, dtype: str, threads: int) -> fb.Trainer:
    inputs, _, batch = SIZES[name]
    net = fb.Network(layers(name), inputs=inputs, seed=2**33 + 5, dtype=dtype)
    loss, optimizer = TRAINING[name]
    return fb.Trainer(net, loss=loss, optimizer=optimizer, batch_size=batch, threads=threads)


def digest(net: fb.Network) -> str:
    return hashlib.sha256(net.flat.astype(net.dtype.newbyteorder("<")).tobytes()).hexdigest()


def train(name: str, dtype: str, threads: int, calls: int = 1) -> str:
    """Digest of the parameters after STEPS steps in so many calls of `run`."""
    one = trainer(name, dtype, threads)
    X, y = data(name, one.net.outputs)
    for _ in range(calls):
        one.run(X, y, steps=STEPS // calls)
    return digest(one.net)


def case(name: str, dtype: str) -> tuple[fb.Trainer, Any, Any]:
    """A trainer that has not begun, with its data."""
    one = trainer(name, dtype, threads=1)
    return one, *data(name, one.net.outputs)


def cases() -> dict[str, tuple[fb.Trainer, Any, Any]]:
    return {f"{name} {dtype}": case(name, dtype) for name in SIZES for dtype in DTYPES}


def is_layered(name: str) -> bool:
    """Whether two threads take a network's layers one by one."""
    one = trainer(name, "float32", threads=2)
    plan = one._plan(one.batch_size)  # kept, because the records lie in its memory
    return sum(phase.kind == ROW_PHASE for phase in plan.phases.records) > 1


def digests(serial_work: int) -> dict[str, Any]:
    """Name, dtype and threads -> digest; and how many threads the calls used."""
    import numba

    plans.SERIAL_WORK = serial_work
    os.environ["FASTBP_TEAM"] = "all"
    run, used = team.run, set()

    def noted(head: int, zero: Any, threads: int, real: str) -> None:
        used.add(threads)
        run(head, zero, threads, real)

    team.run = noted
    found: dict[str, Any] = {}
    for name in SIZES:
        for dtype in DTYPES:
            for threads in (1, 2, 3):
                used.clear()
                found[f"{name} {dtype} {threads}"] = train(name, dtype, threads)
                found[f"{name} {dtype} {threads} used"] = sorted(used)
    team.run = run
    found["explained"] = {name: first_step.explained(name, *of) for name, of in cases().items()}
    found["layer"] = numba.threading_layer()
    return found


if __name__ == "__main__":
    json.dump(digests(int(sys.argv[1])), sys.stdout)
