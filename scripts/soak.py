"""An hour of everything, with what it holds at the end of each minute; run by scripts/soak.

A process that lives long makes networks, trainers, functions and files and lets go of them. Memory, descriptors,
threads and mappings must stay where they are after the first minutes, and a step as fast as it was.
"""

from __future__ import annotations

import copy
import os
import pickle
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastbp as fb

ROW = "{:>8} {:>10} {:>9} {:>12} {:>8} {:>9} {:>12} {:>9}"
GROWTH = 1.10  # of resident memory from the second tenth of the time to the end
FASTEST = 2.0  # times the time of a step at first, which a later median may take


def held() -> tuple[int, int, int, int]:
    """Resident KiB, descriptors, threads, mappings."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    maps = Path("/proc/self/maps").read_text().count("\n")
    return int(status["VmRSS"].split()[0]), len(os.listdir("/proc/self/fd")), int(status["Threads"]), maps


def network(rng: random.Random) -> Any:
    """One of many: other sizes, layers, seeds and precisions."""
    layers: list[Any] = []
    for _ in range(rng.randint(1, 3)):
        layers += [fb.Linear(rng.randint(1, 70)), rng.choice([fb.ReLU(), fb.Tanh(), fb.GELU(), fb.BatchNorm()])]
    layers += [fb.Dropout(0.2), fb.Linear(3)]
    return fb.Network(layers, inputs=5, seed=rng.randint(0, 2**31), dtype=rng.choice(["float32", "float64"]))


def round_of_everything(rng: random.Random, folder: str) -> None:
    """What a program might do with one network."""
    rows = rng.randint(10, 300)
    X = np.random.default_rng(rows).normal(size=(rows, 5))
    y = np.arange(rows) % 3
    net = network(rng)
    settings: dict[str, Any] = {"threads": rng.choice([None, 1, 2]), "batch_size": rng.randint(1, 64)}
    settings |= rng.choice([{}, {"ema": 0.9}, {"clip_norm": 1.0}, {"accumulate": 2}])
    trainer = fb.Trainer(net, optimizer=rng.choice([fb.Adam(1e-3), fb.SGD(1e-2), fb.Lion(1e-4)]), **settings)
    trainer.fit(X, y, epochs=2, validation=(X, y), metrics=["accuracy"], callbacks=[fb.EarlyStopping(patience=5)])
    trainer.run(X, y, steps=rng.randint(1, 20))
    trainer.step(X[:8], y[:8])
    net.predict(X)
    net.jacobian(X[:3])
    net.vjp(X[:4], np.ones((4, 3)))
    net.loss_and_gradients(X, y, fb.CrossEntropy(label_smoothing=rng.random() / 2))
    path = Path(folder) / "net.safetensors"
    net.save(path)
    again = fb.load(path)
    assert again.predict(X).tobytes() == pickle.loads(pickle.dumps(net)).predict(X).tobytes()
    copy.deepcopy(again).flat = net.flat
    width = rng.randint(1, 40)
    fb.trace(lambda v: fb.tanh(v * v).sum()).gradient(np.linspace(-1.0, 1.0, width))
    other = threading.Thread(target=lambda: again.predict(X))
    other.start()
    other.join()


def speed(trainer: Any, X: Any, y: Any) -> float:
    """Microseconds a step, the median of several."""
    found = []
    for _ in range(9):
        begun = time.perf_counter()
        trainer.run(X, y, steps=200)
        found.append((time.perf_counter() - begun) / 200 * 1e6)
    return float(np.median(found))


def main(minutes: float) -> int:
    rng = random.Random(0)
    X, y = fb.data.digits("train")
    trainer = fb.Trainer(fb.mlp([64, 64, 10]), batch_size=32, threads=1)
    begun = last = time.perf_counter()
    rounds = 0
    seen: list[tuple[float, int, int, int, int, float]] = []
    print(ROW.format("minutes", "rounds", "MiB", "descriptors", "threads", "mappings", "µs a step", ""), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        while (now := time.perf_counter()) - begun < 60 * minutes:
            round_of_everything(rng, folder)
            rounds += 1
            if now - last >= max(1.0, 60 * minutes / 60):
                last = now
                resident, descriptors, threads, maps = held()
                seen.append(((now - begun) / 60, resident, descriptors, threads, maps, speed(trainer, X, y)))
                at, *_, step = seen[-1]
                cells = (f"{at:.2f}", rounds, f"{resident / 1024:.1f}", descriptors, threads, maps, f"{step:.2f}", "")
                print(ROW.format(*cells), flush=True)
    if len(seen) < 20:
        print("too short to say whether anything grows")
        return 0
    first, end = seen[len(seen) // 5 :][:5], seen[-5:]
    least = [("descriptors", 2, 1.0), ("threads", 3, 1.0), ("mappings", 4, GROWTH), ("memory", 1, GROWTH)]
    grown = [name for name, i, limit in least if min(row[i] for row in end) > limit * min(row[i] for row in first)]
    if np.median([row[5] for row in seen[-5:]]) > FASTEST * np.median([row[5] for row in seen[:5]]):
        grown.append("the time of a step")
    print(f"grown: {', '.join(grown)}" if grown else "nothing has grown")
    return bool(grown)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if sys.argv[1:] else 60.0))
