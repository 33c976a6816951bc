"""Training steps timed alternately with the same steps in plain NumPy, after checking that both agree."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from fastbp import reference
from fastbp.errors import FastbpError
from fastbp.model.mlp import mlp
from fastbp.train.adam import Adam
from fastbp.train.trainer import Trainer

CASES = (([2, 16, 16, 1], 32), ([64, 128, 64, 10], 64), ([784, 128, 10], 64), ([784, 512, 256, 10], 128))
ROUNDS = 5


class Case(NamedTuple):
    """Median times of one step."""

    name: str
    microseconds: float
    numpy_microseconds: float
    ratio: float
    gflops: float


def measure(threads: int | None, seconds: float) -> list[Case]:
    """Time every case."""
    return [_case(sizes, batch, threads, seconds) for sizes, batch in CASES]


def _case(sizes: list[int], batch: int, threads: int | None, seconds: float) -> Case:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8 * batch, sizes[0])).astype(np.float32)
    regression = sizes[-1] == 1
    y: Any = X[:, :1].copy() if regression else rng.integers(0, sizes[-1], len(X))
    loss = "mse" if regression else "cross_entropy"
    net = mlp(sizes, seed=1)
    trainer = Trainer(net, loss=loss, optimizer=Adam(1e-3), batch_size=batch, threads=threads)
    twin = reference.MLP(_layers(net), loss)
    rule = partial(reference.adam, lr=1e-3)
    for i in range(3):
        rows = slice(i * batch, (i + 1) * batch)
        ours, theirs = trainer.step(X[rows], y[rows]), twin.step(X[rows], y[rows], rule, 0)
        if abs(ours - theirs) > 1e-4 * max(1.0, abs(theirs)):
            raise FastbpError(f"both must agree before they are timed, got losses `{ours}` and `{theirs}`")
    name = f"{'-'.join(map(str, sizes))}, {batch}"

    def run(steps: int) -> None:
        trainer.run(X, y, steps)

    def run_twin(steps: int) -> None:
        for i in range(steps):
            rows = slice(i % 8 * batch, (i % 8 + 1) * batch)
            twin.step(X[rows], y[rows], rule, 0)

    times: list[list[float]] = [[], []]
    counts = [_count(run, seconds), _count(run_twin, seconds)]
    for _ in range(ROUNDS):
        for which, (function, steps) in enumerate(zip((run, run_twin), counts, strict=True)):
            begun = time.perf_counter()
            function(steps)
            times[which].append((time.perf_counter() - begun) / steps * 1e6)
    mine, other = median(times[0]), median(times[1])
    ratio = median(b / a for a, b in zip(*times, strict=True))
    work = 6.0 * batch * sum(a * b for a, b in pairwise(sizes))
    return Case(name, mine, other, ratio, work / mine / 1e3)


def _count(function: Callable[[int], None], seconds: float) -> int:
    """Number of steps per turn."""
    function(2)
    begun = time.perf_counter()
    function(4)
    each = (time.perf_counter() - begun) / 4
    return max(4, int(seconds / ROUNDS / max(each, 1e-7)))


def _layers(net: Any) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for node in net.graph.nodes:
        if node.layer.kind == "linear":
            weight, bias = net.parameters[f"{node.index}.weight"], net.parameters[f"{node.index}.bias"]
            found.append(("linear", weight, bias))
        else:
            found.append((node.layer.kind,))
    return found
