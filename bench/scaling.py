"""How training gets faster with threads: the same case on 1, 2, 4, 8 and 16, in turns, each as often as the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from bench import check, report, timing
from bench.cases import Case
from bench.remote import Remote
from bench.session import seconds_of
from bench.worker import split

COUNTS = (1, 2, 4, 8, 16)


def counts(most: int) -> list[int]:
    """The numbers of threads to compare on so many processors.

    >>> counts(2), counts(12)
    ([1, 2], [1, 2, 4, 8])
    """
    return [count for count in COUNTS if count <= most]


@dataclass(frozen=True)
class Scaling:
    """Microseconds per step of one contender by number of threads, round by round."""

    case: Case
    name: str
    micros: dict[int, list[float]]

    def speedup(self, count: int) -> list[float]:
        """The time of one thread over that of `count`, round by round."""
        return [one / many for one, many in zip(self.micros[1], self.micros[count], strict=True)]

    def to_json(self) -> dict[str, object]:
        speedups = {count: self.speedup(count) for count in self.micros}
        return {"case": self.case.name, "contender": self.name, "micros": self.micros, "speedups": speedups}


def measure(
    name: str,
    chosen: Sequence[Case],
    most: int,
    rounds: int,
    start: Callable[..., Remote] = Remote,
) -> Iterator[Scaling]:
    """Time a contender in each case; RefusedError if what it computes depends on the number of threads.

    fastbp takes its choice of a team from so many threads at most, so more are never much slower.
    """
    workers: dict[int, Remote] = {}
    try:
        for count in counts(most):
            workers[count] = start("train", name, count)
        for case in chosen:
            arrays = split(case.kind, case.arrays())
            check.compare({f"{name} on {count}": worker for count, worker in workers.items()}, case, *arrays)
            sides: dict[int, Callable[[], float]] = {}
            for count, worker in workers.items():
                worker.prepare(case, *arrays)
                sides[count] = partial(seconds_of, worker, worker.pace().steps)
            yield Scaling(case, name, timing.contest(sides, rounds))
    finally:
        for worker in workers.values():
            worker.close()


def head(most: int) -> str:
    """The head of the table."""
    return report.row(
        ["net, batch", "contender", "1 thread, µs", *[f"{count} threads" for count in counts(most)[1:]]], head=True
    )


def row(found: Scaling) -> str:
    """The time of one thread, and how many times as fast more are."""
    more = [report.spread(found.speedup(count)) for count in found.micros if count > 1]
    return report.row([found.case.title, found.name, report.spread(found.micros[1]), *more])
