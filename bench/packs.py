"""What a pack brings: many networks trained by one `fb.Pack`, and one after another by a `fb.Trainer` each, in turns.

Both begin with the same networks and take the same steps, and nothing is printed unless all parameters are equal, to
the bit, before the first turn and behind the last. Where the nets are folds, each is trained on all rows but its own.

Rivals train as many nets of the same sizes from the same weights, each in a process of its own, and are compared with
the pack as the rivals of one net are: a loop over PyTorch's, and JAX with the nets as an axis of its arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np

import fastbp as fb
from bench import cases, report, timing
from bench.cases import Array, Case, Many
from bench.check import RefusedError
from bench.remote import Remote
from bench.session import Session
from bench.timing import Duel

MEMBERS = {"17-64-64-6": 64, "2-16-16-1": 256, "100-256x3-10": 5}
FOLDS = ("100-256x3-10",)  # of which the members are folds
FIRST_STEPS = 20  # before the first comparison
LEAST_STEPS = 200  # of each network in a turn: a portion may be over when hardly more than calls has been timed


@dataclass(frozen=True)
class Packed:
    """Microseconds per step of a network, round by round: of the pack, and one by one; and rivals' times over ours."""

    case: Case
    members: int
    pack: list[float]
    alone: list[float]
    rivals: dict[str, Duel] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """The time one by one over that of the pack, round by round."""
        return [alone / pack for alone, pack in zip(self.alone, self.pack, strict=True)]

    def to_json(self) -> dict[str, object]:
        own = {"case": self.case.name, "batch": self.case.batch, "members": self.members}
        rivals = {name: {**asdict(duel), "ratios": duel.ratios} for name, duel in self.rivals.items()}
        return own | {"pack micros": self.pack, "alone micros": self.alone, "ratios": self.ratios, "rivals": rivals}


def chosen(substrings: Sequence[str]) -> list[Case]:
    """The cases of packs whose name contains one of the substrings; all of them where there are none.

    >>> [case.name for case in chosen(["2-16"])]
    ['2-16-16-1']
    """
    return [case for case in cases.named(substrings) if case.name in MEMBERS]


def network(case: Case, seed: int) -> fb.Network:
    """A member."""
    return fb.mlp(list(case.sizes), seed=seed)


def measure(
    case: Case,
    members: int,
    threads: int,
    rounds: int,
    rivals: Sequence[str] = (),
    start: Callable[..., Remote] = Remote,
) -> Packed:
    """Time a pack, its members one by one, and rivals; RefusedError if they differ."""
    X, y = cases.data(case)
    settings = {"loss": case.loss, "batch_size": case.batch, "threads": threads, "optimizer": fb.Adam(lr=case.lr)}
    rows = rows_of(case, len(X), members)
    pack = fb.Pack([network(case, seed) for seed in range(members)], rows=rows, **settings)
    trainers = [fb.Trainer(network(case, seed), **settings) for seed in range(members)]
    own = [(X, y) if rows is None else (X[rows[i]], y[rows[i]]) for i in range(members)]

    def together(steps: int) -> None:
        pack.run(X, y, steps)

    def one_by_one(steps: int) -> None:
        for trainer, (x, t) in zip(trainers, own, strict=True):
            trainer.run(x, t, steps)

    together(FIRST_STEPS)
    one_by_one(FIRST_STEPS)
    same(case, pack, trainers)
    spare = fb.Pack(network(case, 0), n=members, rows=rows, **settings)  # so that both sides take the same steps
    steps = max(LEAST_STEPS, timing.pace(partial(spare.run, X, y)).steps)
    sides: dict[int, Callable[[], float]] = {
        i: partial(timing.turn, run, steps) for i, run in enumerate((together, one_by_one))
    }
    took = timing.contest(sides, rounds)
    same(case, pack, trainers)
    mine, alone = ([micros / members for micros in took[i]] for i in (0, 1))
    return Packed(case, members, mine, alone, {} if rows else duels(case, members, threads, rounds, rivals, start))


def rows_of(case: Case, rows: int, members: int) -> list[Array] | None:
    """The rows of each member: of folds, all that are not its own."""
    if case.name not in FOLDS:
        return None
    order = np.random.default_rng(0).permutation(rows)
    folds = np.array_split(order, members)
    return [np.concatenate(folds[:i] + folds[i + 1 :]) for i in range(members)]


def duels(
    case: Case, members: int, threads: int, rounds: int, rivals: Sequence[str], start: Callable[..., Remote]
) -> dict[str, Duel]:
    """The turns of a pack and of each rival."""
    if not rivals:
        return {}
    with Session(Many.kind, rivals, threads, rounds, start=start) as session:
        return session.measure(Many.of(case, members)).duels


def same(case: Case, pack: fb.Pack, trainers: Sequence[fb.Trainer]) -> None:
    """Refuse members that differ from what was trained alone."""
    for i, (member, trainer) in enumerate(zip(pack.members, trainers, strict=True)):
        if not np.array_equal(member.flat, trainer.net.flat):
            raise RefusedError(f"{case.name}: member {i} of the pack differs from the network that was trained alone")


def head(rivals: Sequence[str] = ()) -> str:
    """The head of the table."""
    cells = ["nets, batch", "pack, µs a step of a net", "one by one, µs", "one by one / pack"]
    return report.row([*cells, *[f"{name} / pack" for name in rivals]], head=True)


def row(found: Packed, rivals: Sequence[str] = ()) -> str:
    """Times and their ratios."""
    what = f"{found.members} {'folds of' if found.case.name in FOLDS else 'x'} {found.case.name}"
    cells = [f"{what}, {found.case.batch}", *map(report.spread, (found.pack, found.alone))]
    cells.append(report.spread(found.ratios, bold=True))
    more = [report.spread(found.rivals[name].ratios) if name in found.rivals else "" for name in rivals]
    return report.row([*cells, *more])
