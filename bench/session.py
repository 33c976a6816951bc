"""One bench session: the workers that stay alive through it, and what happens to each case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

from bench import check, timing
from bench.calls import Call
from bench.cases import Case
from bench.remote import Remote
from bench.timing import Duel, Spread
from bench.worker import split

Start = Callable[..., Remote]


@dataclass(frozen=True)
class Entry:
    """What one contender did in a case: microseconds per step or call, and of training two losses and its teams."""

    name: str
    threads: int
    steps: int
    micros: list[float]
    loss_compared: float | None = None
    loss_timed: float | None = None
    teams: list[int] = field(default_factory=list)

    @property
    def team(self) -> int:
        """How many threads it took most often."""
        return max(sorted(set(self.teams)), key=self.teams.count) if self.teams else self.threads


@dataclass(frozen=True)
class Choice:
    """What the choice of a team costs: microseconds per step of it, and of teams of fixed sizes in the same rounds."""

    chosen: list[float]
    fixed: dict[int, list[float]]

    @property
    def best(self) -> int:
        """The size whose median is the least."""
        return min(self.fixed, key=lambda size: Spread.of(self.fixed[size]).median)

    @property
    def ratios(self) -> list[float]:
        """The time of the chosen team over that of the best one, round by round."""
        return [mine / best for mine, best in zip(self.chosen, self.fixed[self.best], strict=True)]


@dataclass(frozen=True)
class Result:
    """A case that was timed, ours first among the entries; `duels` has a key for each rival.

    `peaks` are GFLOP/s by number of cores, the larger of those just before and behind the case: a neighbour on the host
    that takes a core for a moment makes one of them too small.
    """

    case: Case | Call
    entries: list[Entry]
    duels: dict[str, Duel]
    peaks: dict[int, float] = field(default_factory=dict)
    choice: Choice | None = None

    @property
    def ours(self) -> Entry:
        return self.entries[0]

    def gflops(self, entry: Entry) -> float:
        """GFLOP/s at the median."""
        return self.case.flops / Spread.of(entry.micros).median / 1e3

    def share_of_peak(self) -> float:
        """Our GFLOP/s over the peak of as many cores as we took."""
        return self.gflops(self.ours) / self.peaks[self.ours.team]

    def to_json(self) -> dict[str, Any]:
        """Everything that was measured, as plain data."""
        case = {**asdict(self.case), "kind": self.case.kind, "name": self.case.name, "flops": self.case.flops}
        if isinstance(self.case, Case):
            case["bytes"] = self.case.bytes
        entries = [{**asdict(entry), "gflops": self.gflops(entry)} for entry in self.entries]
        duels = {name: {**asdict(duel), "ratios": duel.ratios} for name, duel in self.duels.items()}
        choice = self.choice and {**asdict(self.choice), "best": self.choice.best, "ratios": self.choice.ratios}
        return {"case": case, "contenders": entries, "duels": duels, "peaks": self.peaks, "choice": choice}


class Session:
    """Workers for ours and for each rival at each number of threads it is tried with.

    Parameters
    ----------
    kind : {"train", "predict"}
    rivals : names of the rivals
    threads : the most threads that ours may use and that a rival is tried with
    rounds : turns of each contender in a duel
    ours : the contender that the rivals are compared with
    start : makes the worker of a contender with so many threads
    """

    def __init__(
        self,
        kind: str,
        rivals: Sequence[str],
        threads: int,
        rounds: int,
        ours: str = "fastbp",
        start: Start = Remote,
    ) -> None:
        self.kind, self.rounds, self.start = kind, rounds, start
        self._workers: list[Remote] = []
        counts = timing.thread_counts(threads)
        self.ours = self._start(ours, threads)
        self.rivals = {name: [self._start(name, t) for t in counts] for name in rivals}
        # Trainers choose a team; predictions take what they are given where they are large enough.
        self.fixed = {t: self._start(ours, t, "all") for t in counts if kind == Case.kind}

    def _start(self, name: str, threads: int, team: str = "auto") -> Remote:
        try:
            self._workers.append(self.start(self.kind, name, threads, team))
        except BaseException:
            self.close()
            raise
        return self._workers[-1]

    @property
    def versions(self) -> dict[str, str]:
        """The versions of every library in the session."""
        return {key: value for worker in self._workers for key, value in worker.versions.items()}

    def peaks(self) -> dict[int, float]:
        """The peak of one core, and of as many as there are threads for."""
        return {count: self.ours.peak(count) for count in timing.thread_counts(self.ours.threads)}

    def measure(self, case: Case | Call) -> Result:
        """Tune the rivals' threads, compare all outputs, and only then time; RefusedError if they differ."""
        arrays = split(self.kind, case.arrays())
        chosen = [self.ours]
        steps: dict[str, int] = {}
        for candidates in [[self.ours], *self.rivals.values()]:
            paces = []
            for worker in candidates:
                worker.prepare(case, *arrays)
                paces.append(worker.pace())
            best = min(range(len(paces)), key=lambda k: paces[k].seconds)
            steps[candidates[best].name] = paces[best].steps
            if candidates[best] is not self.ours:
                chosen.append(candidates[best])
        contenders: dict[str, Any] = {worker.name: worker for worker in chosen}
        agreed: dict[str, float] = {}
        if isinstance(case, Case):
            agreed = check.compare(contenders, case, *arrays)
        else:
            check.compare_answers(contenders, case, *arrays)
        for worker in chosen:
            worker.prepare(case, *arrays)
        last: dict[str, float | None] = {}
        teams: dict[str, list[int]] = {}

        def turn(worker: Remote) -> float:
            taken = worker.turn(steps[worker.name])
            last[worker.name] = taken.loss
            teams.setdefault(worker.name, []).append(taken.team)
            return taken.seconds

        before = self.peaks()
        ours = partial(turn, self.ours)
        duels = {w.name: timing.duel(ours, partial(turn, w), self.rounds) for w in chosen[1:]}
        micros = {name: d.theirs for name, d in duels.items()}
        micros[self.ours.name] = [t for d in duels.values() for t in d.ours]
        entries = [
            Entry(w.name, w.threads, steps[w.name], micros[w.name], agreed.get(w.name), last[w.name], teams[w.name])
            for w in chosen
        ]
        peaks = {count: max(before[count], peak) for count, peak in self.peaks().items()}
        return Result(case, entries, duels, peaks, self.choice(case, arrays, steps[self.ours.name]))

    def choice(self, case: Case | Call, arrays: tuple[Any, ...], steps: int) -> Choice | None:
        """Time the team that ours chooses beside teams of each fixed size; None where there is nothing to choose."""
        if len(self.fixed) < 2:
            return None
        for worker in self.fixed.values():
            worker.prepare(case, *arrays)
        workers = {0: self.ours, **self.fixed}
        took = timing.contest(
            {size: partial(seconds_of, worker, steps) for size, worker in workers.items()}, self.rounds
        )
        return Choice(took.pop(0), took)

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


def seconds_of(worker: Remote, steps: int) -> float:
    """The seconds that each step of a turn took."""
    return worker.turn(steps).seconds
