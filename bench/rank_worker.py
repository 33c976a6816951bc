"""Times steps of one case on the ranks that `mpiexec` started, or alone: what `bench/ranks.py` starts.

    python -m bench.rank_worker CASE SHARDS THREADS SECONDS

The first rank prints as JSON the seconds of a step, of the additions in it and of its looks at the largest numbers, the
bytes that it sends, and a digest of the parameters behind the first steps.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import fastbp as fb
from bench import cases
from bench.contenders.ours import names_of_chain

FIRST = 3  # steps behind which parameters are compared


class Watch:
    """Ranks, with the seconds that their calls take."""

    def __init__(self, ranks: Any) -> None:
        self.ranks = ranks
        self.seconds = {"add": 0.0, "largest": 0.0}
        for name in self.seconds:
            setattr(ranks, name, self._timed(name, getattr(ranks, name)))

    def _timed(self, name: str, call: Callable[[Any], None]) -> Callable[[Any], None]:
        def timed(array: Any) -> None:
            begun = time.perf_counter()
            call(array)
            self.seconds[name] += time.perf_counter() - begun

        return timed

    def reset(self) -> None:
        self.seconds = dict.fromkeys(self.seconds, 0.0)
        self.ranks.exchanged = 0


def main(name: str, shards: int, threads: int, seconds: float) -> None:
    """Train and print."""
    from fastbp.runs.launched import ranks_here

    case = next(case for case in cases.CASES if case.name == name)
    ranks = ranks_here()
    net = fb.mlp(list(case.sizes), activation="relu", seed=0)
    for parameter, value in zip(names_of_chain(len(case.layers)), cases.initial_weights(case), strict=True):
        net.parameters[parameter] = value
    X, y = cases.data(case)
    words: Any = {"shards": shards, "threads": threads, "comm": ranks}
    trainer = fb.Trainer(net, case.loss, fb.Adam(lr=case.lr), batch_size=case.batch, **words)
    trainer.run(X, y, steps=FIRST)
    digest = hashlib.sha256(net.flat.tobytes()).hexdigest()
    begun = time.perf_counter()
    trainer.run(X, y, steps=2)
    steps = max(2, int(seconds / ((time.perf_counter() - begun) / 2)))
    watch = None
    if ranks is not None:
        watch = Watch(ranks)
        steps = ranks.steps(steps)
        ranks.wait()
        watch.reset()
    begun = time.perf_counter()
    trainer.run(X, y, steps=steps)
    took = (time.perf_counter() - begun) / steps
    found = {"seconds": took, "digest": digest, "add": 0.0, "largest": 0.0, "bytes": 0.0}
    if ranks is not None and watch is not None:
        found |= {part: value / steps for part, value in watch.seconds.items()}
        found["bytes"] = ranks.exchanged / steps
    if ranks is None or ranks.rank == 0:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
