"""One bench session: the workers that stay alive through it, and what happens to each case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from types import TracebackType
from typing import Any

from bench import cases, check, timing
from bench.cases import Case
from bench.remote import Remote
from bench.timing import Duel, Spread


@dataclass(frozen=True)
class Entry:
    """What one contender did in a case: microseconds per step, and the two losses that are printed."""

    name: str
    threads: int
    steps: int
    micros: list[float]
    loss_compared: float
    loss_timed: float


@dataclass(frozen=True)
class Result:
    """A case that was timed, ours first among the entries; `duels` has a key for each rival."""

    case: Case
    entries: list[Entry]
    duels: dict[str, Duel]

    @property
    def ours(self) -> Entry:
        return self.entries[0]

    def gflops(self, entry: Entry) -> float:
        """GFLOP/s at the median."""
        return self.case.flops / Spread.of(entry.micros).median / 1e3

    def to_json(self) -> dict[str, Any]:
        """Everything that was measured, as plain data."""
        case = {**asdict(self.case), "flops": self.case.flops, "bytes": self.case.bytes}
        entries = [{**asdict(entry), "gflops": self.gflops(entry)} for entry in self.entries]
        duels = {name: {**asdict(duel), "ratios": duel.ratios} for name, duel in self.duels.items()}
        return {"case": case, "contenders": entries, "duels": duels}


class Session:
    """Workers for ours and for each rival at each number of threads it is tried with.

    Parameters
    ----------
    rivals : names of the rivals
    threads : the threads ours uses, and the most a rival is tried with
    rounds : turns of each contender in a duel
    ours : the contender that the rivals are compared with
    start : makes the worker of a contender with so many threads
    """

    def __init__(
        self,
        rivals: Sequence[str],
        threads: int,
        rounds: int,
        ours: str = "fastbp",
        start: Callable[[str, int], Remote] = Remote,
    ) -> None:
        self.rounds = rounds
        self.start = start
        self._workers: list[Remote] = []
        self.ours = self._start(ours, threads)
        self.rivals = {name: [self._start(name, t) for t in timing.thread_counts(threads)] for name in rivals}

    def _start(self, name: str, threads: int) -> Remote:
        try:
            self._workers.append(self.start(name, threads))
        except BaseException:
            self.close()
            raise
        return self._workers[-1]

    @property
    def versions(self) -> dict[str, str]:
        """The versions of every library in the session."""
        return {key: value for worker in self._workers for key, value in worker.versions.items()}

    def measure(self, case: Case) -> Result:
        """Tune the rivals' threads, compare all outputs, and only then time; RefusedError if they differ."""
        weights, (X, y) = cases.initial_weights(case), cases.data(case)
        chosen = [self.ours]
        steps: dict[str, int] = {}
        for candidates in [[self.ours], *self.rivals.values()]:
            paces = []
            for worker in candidates:
                worker.prepare(case, weights, X, y)
                paces.append(worker.pace())
            best = min(range(len(paces)), key=lambda k: paces[k].seconds)
            steps[candidates[best].name] = paces[best].steps
            if candidates[best] is not self.ours:
                chosen.append(candidates[best])
        agreed = check.compare({worker.name: worker for worker in chosen}, case, weights, X, y)
        for worker in chosen:
            worker.prepare(case, weights, X, y)
        last: dict[str, float] = {}

        def turn(worker: Remote) -> float:
            taken = worker.turn(steps[worker.name])
            last[worker.name] = taken.loss
            return taken.seconds

        ours = partial(turn, self.ours)
        duels = {w.name: timing.duel(ours, partial(turn, w), self.rounds) for w in chosen[1:]}
        micros = {name: d.theirs for name, d in duels.items()}
        micros[self.ours.name] = [t for d in duels.values() for t in d.ours]
        entries = [
            Entry(w.name, w.threads, steps[w.name], micros[w.name], agreed[w.name], last[w.name]) for w in chosen
        ]
        return Result(case, entries, duels)

    def close(self) -> None:
        """End every worker."""
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
