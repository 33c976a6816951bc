"""`python -m bench ranks`: a step by several processes of MPI beside one process, and what the exchange takes of it.

Each turn is a launch of its own, and turns alternate. One process is on all threads, without shards and with as many
as there are ranks at most; ranks share the threads. Nothing is printed unless those with the same shards have the same
bits. `add` is gradients, losses and statistics, `largest` the magnitudes, both with the waiting for the slowest rank.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import cases, machine, report
from bench.check import RefusedError
from bench.timing import contest

SECONDS = 2.0  # of a turn
HEAD = (
    "net, batch",
    "processes",
    "threads of each",
    "shards",
    "ms a step",
    "of one",
    "MB sent",
    "add, ms",
    "largest, ms",
)


@dataclass(frozen=True)
class Side:
    """A number of processes, threads of each, and shards."""

    ranks: int
    threads: int
    shards: int


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="python -m bench ranks", description="Time ranks of MPI.")
    options.add_argument("--cases", default="2048x4-10", help="cases whose name contains one of these")
    options.add_argument("--ranks", default="1,2,4", help="numbers of ranks (default: 1,2,4)")
    options.add_argument("--rounds", type=int, default=3, help="turns of each (default: 3)")
    options.add_argument("--seconds", type=float, default=SECONDS, help="of a turn (default: 2)")
    return options


def sides(counts: list[int], cpus: int) -> list[Side]:
    """One process without shards, and each number of ranks.

    >>> sides([1, 2], 2)
    [Side(ranks=1, threads=2, shards=1), Side(ranks=1, threads=2, shards=2), Side(ranks=2, threads=1, shards=2)]
    """
    most = max(counts)
    return [Side(1, cpus, 1), *(Side(count, max(1, cpus // count), most) for count in sorted({1, *counts}))]


def launcher() -> str | None:
    """The `mpiexec` of this environment, or of the system."""
    own = [Path(sys.executable).with_name(name) for name in ("mpiexec", "mpirun")]
    return next((str(path) for path in own if path.exists()), shutil.which("mpiexec"))


def turn(case: cases.Case, side: Side, seconds: float) -> dict[str, Any]:
    """What a launch found."""
    command = [sys.executable, "-m", "bench.rank_worker", case.name, str(side.shards), str(side.threads), str(seconds)]
    if side.ranks > 1:
        command = [str(launcher()), "-n", str(side.ranks), *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"{side} of {case.name} failed: {done.stderr[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(case: cases.Case, chosen: list[Side], rounds: int, seconds: float) -> list[str]:
    """The rows of one case."""
    took: dict[int, list[dict[str, Any]]] = {number: [] for number in range(len(chosen))}

    def timed(number: int) -> float:
        took[number].append(turn(case, chosen[number], seconds))
        return float(took[number][-1]["seconds"])

    micros = contest({number: lambda number=number: timed(number) for number in took}, rounds)
    digests = {(side.shards, one["digest"]) for side, found in zip(chosen, took.values(), strict=True) for one in found}
    if len(digests) > len({side.shards for side in chosen}):
        raise RefusedError(f"{case.name}: ranks have other bits than one process")
    rows = []
    for number, side in enumerate(chosen):
        ratios = [own / one for own, one in zip(micros[number], micros[0], strict=True)]
        parts = [statistics.median(one[part] for one in took[number]) for part in ("bytes", "add", "largest")]
        scaled = [part * scale for part, scale in zip(parts, (1e-6, 1e3, 1e3), strict=True)]
        own = [report.spread([one / 1e3 for one in micros[number]]), report.spread(ratios)]
        more = [report.digits(part) if side.ranks > 1 else "" for part in scaled]
        rows.append(report.row([case.title, *map(str, (side.ranks, side.threads, side.shards)), *own, *more]))
    return rows


def main(arguments: list[str]) -> int:
    """Run the command."""
    given = parser().parse_args(arguments)
    counts = [int(text) for text in given.ranks.split(",")]
    if max(counts) > 1 and launcher() is None:
        parser().error("there must be an `mpiexec`: `pip install mpi4py mpich`")
    print(report.header(machine.facts(machine.cpus())), end="\n\n")
    print(report.row(list(HEAD), head=True), flush=True)
    try:
        for case in cases.named(given.cases.split(",")):
            for line in measure(case, sides(counts, machine.cpus()), given.rounds, given.seconds):
                print(line, flush=True)
    except RefusedError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0
