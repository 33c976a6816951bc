"""Register tiles of other shapes, timed on this machine: rows and panels of a tile, and terms of a turn.

Every shape is a process of its own, which builds `product` and `weights` anew, compares them with NumPy and times them
on one core, best of several. A shape that is as good on all sizes and on processors of both makers is worth a change of
`fastbp/kernels/tile.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

SHAPES = [(8, 2, 1), (8, 2, 2), (8, 2, 4), (8, 2, 8), (8, 1, 4), (8, 3, 4), (4, 2, 4), (4, 4, 4), (16, 1, 4)]
# With 16 registers.
NARROW = [(4, 1, 1), (4, 1, 2), (4, 1, 4), (4, 1, 8), (6, 1, 2), (6, 1, 4), (8, 1, 4), (2, 2, 4), (2, 3, 4)]
SIZES = [(64, 64), (128, 128), (256, 256), (512, 512), (784, 128)]  # inputs and outputs
ROWS = 64
RATE = 0.01


def best_of(run: Callable[[], object], seconds: float) -> float:
    """Seconds of the fastest call, once what has to be compiled is."""
    run()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begun)
    return best


def measure(rows: int, panels: int, turn: int, seconds: float) -> None:
    """Print GFLOP/s of both kernels at every size, as JSON."""
    import numpy as np

    from fastbp.kernels import tile

    tile.TILE_M, tile.TILE_N, tile.MIXED = rows, panels, rows == 6
    tile.UNROLL, tile.RUN = turn, tile.DEPTH // turn
    import fastbp as fb
    from fastbp.engine import compiler
    from fastbp.engine.machine_code import object_of

    # What is shipped or kept has the usual shape, and answers are known of the usual code.
    compiler._object = lambda name, real, pipeline: object_of(
        *compiler._lowered(name, real), compiler._symbol(name, real), pipeline
    )
    rng = np.random.default_rng(0)
    found = {}
    for inputs, outputs in SIZES:
        net = fb.Network([fb.Linear(outputs)], inputs=inputs, seed=0)
        X = rng.normal(size=(ROWS, inputs)).astype("f4")
        out = np.zeros((ROWS, outputs), "f4")
        expected = X @ net.parameters["0.weight"] + net.parameters["0.bias"]
        assert np.allclose(net.predict(X, out=out, threads=1), expected, atol=1e-4)
        work = 2e-9 * ROWS * inputs * outputs
        forward = work / best_of(lambda net=net, X=X, out=out: net.predict(X, out=out, threads=1), seconds)
        trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(RATE), batch_size=ROWS, threads=1)
        y = np.zeros((ROWS, outputs), "f4")
        before = net.parameters["0.weight"]
        trainer.step(X, y)
        slope = X.T @ expected * (2.0 / expected.size)
        assert np.allclose(before - net.parameters["0.weight"], RATE * slope, atol=1e-4 * RATE)
        many, y = np.tile(X, (16, 1)), np.tile(y, (16, 1))
        both = 16 * 2 * work / best_of(lambda t=trainer, X=many, y=y: t.run(X, y, 16), seconds)
        found[f"{inputs}-{outputs}"] = forward, both
    print(json.dumps(found))


def main() -> None:
    if len(sys.argv) > 2:
        measure(*map(int, sys.argv[1:4]), float(sys.argv[4]))
        return
    from fastbp.kernels import levels

    seconds = "0.05" if "--quick" in sys.argv else "0.5"
    print(f"{levels.level().name}, one core, GFLOP/s of predict / of a step with SGD, {ROWS} rows")
    print("tile  turn" + "".join(f"{f'{i}-{o}':>16}" for i, o in SIZES))
    for shape in SHAPES if levels.level().lanes == 16 else NARROW:
        with tempfile.TemporaryDirectory() as folder:  # so that no proof of another shape is kept
            done = subprocess.run(
                [sys.executable, __file__, *map(str, shape), seconds],
                capture_output=True,
                text=True,
                env={**os.environ, "FASTBP_QUIET": "1", "FASTBP_CACHE_DIR": folder},
            )
        name = f"{shape[0]}x{shape[1]}".ljust(6) + str(shape[2]).rjust(4)
        if done.returncode:
            print(name, "is no good:", (done.stderr.strip().splitlines() or ["no reason given"])[-1][:90])
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(name + "".join(f"{f'{a:.0f} / {b:.0f}':>16}" for a, b in found.values()), flush=True)


if __name__ == "__main__":
    main()
