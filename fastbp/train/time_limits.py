"""Packs whose time is limited: networks one after another, and which of them are worth something when it is over."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from itertools import islice

from fastbp.errors import DivergedError
from fastbp.train.pack_calls import Work

Ended = tuple[bool, bool]  # of a network: whether it has an epoch, and whether it was trained to its end


def begun(work: Work) -> Work:
    """The same work, of which all is done now that comes before its first call: what is wrong is said, too."""
    first = next(work, None)

    def rest() -> Work:
        if first is None:
            return
        try:
            yield first
        except DivergedError as error:
            with contextlib.suppress(StopIteration):
                yield work.throw(error)
        yield from work

    return rest()


def in_turn(works: list[Work], lanes: int, alone: bool, over: Callable[[], bool] = lambda: False) -> list[list[Work]]:
    """The same works in stages, of which one begins to run when another has ended; perhaps the first is `alone`.

    So one has settled as soon as may be, by all threads, and most that are there at the end have. None but the first
    begins when the time is over.
    """
    waiting = iter(works)

    def lane(most: int | None = None) -> Work:
        for work in islice(waiting, most):
            try:
                if most is not None or not over():
                    yield from work
            finally:
                work.close()

    return [*([[lane(1)]] if alone else []), [lane() for _ in range(min(lanes, len(works)))]]


def compared(members: Sequence[Sequence[Ended]], cut: bool) -> tuple[list[int], list[int]]:
    """Which members can be compared, and on which folds: those that have an epoch on all.

    Where time was up before one had settled on all folds, it is the member that has on most, on these: what has not
    would make it worse than a network that was trained alone.
    """
    if cut and not any(all(there and settled for there, settled in each) for each in members):
        there = [[k for k, (there, _) in enumerate(each) if there] for each in members]
        ended = [[k for k in some if each[k][1]] for each, some in zip(members, there, strict=True)]
        found = ended if any(ended) else there
        most = max(range(len(found)), key=lambda i: len(found[i]))
        return [most], found[most]
    whole = [i for i, each in enumerate(members) if all(there for there, _ in each)]
    return whole, list(range(len(members[0])))
