"""`fastbp` with something wrong on one rank, as a program: mpiexec -n 4 python rank_failures.py WHAT train ..."""

from __future__ import annotations

import sys
from typing import Any

from mpi4py import MPI

from fastbp.cli.main import main
from fastbp.errors import FileError
from fastbp.runs import ranked, shared
from fastbp.runs.training import Training

RANK = MPI.COMM_WORLD.Get_rank()
EPOCH = 4


def memory(on: int) -> None:
    """There is no memory left on one rank."""
    whole = ranked.RankedTraining.epoch

    def epoch(self: Any, trainer: Any, history: Any) -> None:
        whole(self, trainer, history)
        if len(history.loss) == EPOCH and on == RANK:
            raise MemoryError

    ranked.RankedTraining.epoch = epoch  # type: ignore[method-assign]


def disk() -> None:
    """What the first rank writes at the end finds no place."""

    def finished(self: Any, history: Any) -> dict[str, Any]:
        raise FileError("`result.json` must be a file that can be written (No space left on device)")

    Training.finished = finished  # type: ignore[method-assign]


def reading() -> None:
    """Ctrl-C at once reaches the first while it reads its rows."""

    def read(plan: Any) -> Any:
        raise KeyboardInterrupt

    shared.subject_of = read


def message() -> None:
    """A message of one rank cannot be sent."""
    ranks = ranked.Ranks
    whole = ranks.add
    count = iter(range(10**9))

    def add(self: Any, sums: Any) -> None:
        if RANK == 1 and next(count) == 50:
            raise OSError("the wire is cut")
        whole(self, sums)

    ranks.add = add  # type: ignore[method-assign]


WHAT = {
    "memory": lambda: memory(2),
    "memory of the first": lambda: memory(0),
    "disk": disk,
    "message": message,
    "reading": reading,
}

if __name__ == "__main__":
    WHAT[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
