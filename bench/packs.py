"""What a pack brings: many networks trained by one `fb.Pack`, and one after another by a `fb.Trainer` each, in turns.

Both begin with the same networks and take the same steps, and nothing is printed unless all parameters are equal, to
the bit, before the first turn and behind the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

import fastbp as fb
from bench import cases, report, timing
from bench.cases import Case
from bench.check import RefusedError

MEMBERS = {"17-64-64-6": 64, "2-16-16-1": 256}
FIRST_STEPS = 20  # before the first comparison
LEAST_STEPS = 200  # of each network in a turn: a portion may be over when hardly more than calls has been timed


@dataclass(frozen=True)
class Packed:
    """Microseconds per step of a network, round by round: of the pack, and one by one."""

    case: Case
    members: int
    pack: list[float]
    alone: list[float]

    @property
    def ratios(self) -> list[float]:
        """The time one by one over that of the pack, round by round."""
        return [alone / pack for alone, pack in zip(self.alone, self.pack, strict=True)]

    def to_json(self) -> dict[str, object]:
        own = {"case": self.case.name, "batch": self.case.batch, "members": self.members}
        return own | {"pack micros": self.pack, "alone micros": self.alone, "ratios": self.ratios}


def chosen(substrings: Sequence[str]) -> list[Case]:
    """The cases of packs whose name contains one of the substrings; all of them where there are none.

    >>> [case.name for case in chosen(["2-16"])]
    ['2-16-16-1']
    """
    return [case for case in cases.named(substrings) if case.name in MEMBERS]


def network(case: Case, seed: int) -> fb.Network:
    """A member."""
    return fb.mlp(list(case.sizes), seed=seed)


def measure(case: Case, members: int, threads: int, rounds: int) -> Packed:
    """Time a pack and its members one by one; RefusedError if they differ."""
    X, y = cases.data(case)
    settings = {"loss": case.loss, "batch_size": case.batch, "threads": threads, "optimizer": fb.Adam(lr=case.lr)}
    pack = fb.Pack([network(case, seed) for seed in range(members)], **settings)
    trainers = [fb.Trainer(network(case, seed), **settings) for seed in range(members)]

    def together(steps: int) -> None:
        pack.run(X, y, steps)

    def one_by_one(steps: int) -> None:
        for trainer in trainers:
            trainer.run(X, y, steps)

    together(FIRST_STEPS)
    one_by_one(FIRST_STEPS)
    same(case, pack, trainers)
    spare = fb.Pack(network(case, 0), n=members, **settings)  # so that both sides take the same steps
    steps = max(LEAST_STEPS, timing.pace(partial(spare.run, X, y)).steps)
    sides: dict[int, Callable[[], float]] = {
        i: partial(timing.turn, run, steps) for i, run in enumerate((together, one_by_one))
    }
    took = timing.contest(sides, rounds)
    same(case, pack, trainers)
    return Packed(case, members, *([micros / members for micros in took[i]] for i in (0, 1)))


def same(case: Case, pack: fb.Pack, trainers: Sequence[fb.Trainer]) -> None:
    """Refuse members that differ from what was trained alone."""
    for i, (member, trainer) in enumerate(zip(pack.members, trainers, strict=True)):
        if not np.array_equal(member.flat, trainer.net.flat):
            raise RefusedError(f"{case.name}: member {i} of the pack differs from the network that was trained alone")


def head() -> str:
    """The head of the table."""
    return report.row(["nets, batch", "pack, µs a step of a net", "one by one, µs", "one by one / pack"], head=True)


def row(found: Packed) -> str:
    """Times and their ratio."""
    title = f"{found.members} x {found.case.name}, {found.case.batch}"
    return report.row([title, *map(report.spread, (found.pack, found.alone)), report.spread(found.ratios, bold=True)])
