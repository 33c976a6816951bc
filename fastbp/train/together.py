"""What ranks do together: Ctrl-C ends it on all at the same step, and one that fails alone ends all.

A rank that fails tells the others. Those that fail too, such as all for the same reason, hear of each other, and each
raises its error as it would alone. Those that do not are waiting for a sum that never comes: then the first of those
that failed says why, and ends all.
"""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import xxhash

from fastbp.engine import threads as team
from fastbp.errors import ConfigError
from fastbp.spec.graph_data import to_data
from fastbp.train.ranks import PATIENCE, Ranks, ranks_of

SAMPLE = 64  # rows of an array that ranks compare


class Together:
    """A trainer as far as it is one of several."""

    net: Any
    steps_done: int
    _ranks: Ranks | None

    def _chosen(self, threads: int | None) -> int:
        """The most threads of this process, by default its part of the processors."""
        return team.chosen(threads if self._ranks is None or threads is not None else self._ranks.threads)

    def _refuse_other_settings(self) -> None:
        """Raise on every rank if their trainers are not alike."""
        from fastbp.train.pickled import settings_of

        assert self._ranks is not None
        said = {name: value for name, value in settings_of(self).items() if name != "threads"}
        kind = to_data(self.net.graph), str(self.net.dtype)
        self._ranks.refuse_others(settings_hash({"fastbp": version(), "net": kind, **said}))
        self._ranks.refuse_others(self._state_hash())

    def _refuse_other_rows(self, x: Any, t: Any) -> None:
        """Raise on every rank if they do not have the same rows, and all that the next step depends on."""
        if self._ranks is None:
            return
        if t is None:  # rows that stay in files
            x, targets, weights = x.X.source.array, [x.y.array], [] if x.weights is None else [x.weights.array]
        else:
            targets = [part.array for part in t.parts or (t,)]
            weights = [array for array in (t.weights, t.normalisers) if array is not None]
        named = {"X": rows_hash(getattr(x, "narrow", x)), "y": 0, "sample_weight": 0, "steps_done": self.steps_done}
        named["y"] = _hash(repr([rows_hash(array) for array in targets]).encode())
        named["sample_weight"] = _hash(repr([rows_hash(array) for array in weights]).encode())
        self._ranks.refuse_others({**named, **self._state_hash()})

    def _state_hash(self) -> dict[str, int]:
        net = self.net
        return {"net.parameters": bytes_hash(net.flat), "net.states": bytes_hash(net.states.flat())}

    def _agree_to_stop(self, history: Any) -> None:
        """End the fit on all ranks if a callback has ended it on one, such as one that looks at the time."""
        if self._ranks is None:
            return
        first = self._ranks.agree(self._ranks.count - self._ranks.rank if history.stopped else 0)[0]
        if first and not history.stopped:
            history.stopped = f"rank {self._ranks.count - first} has stopped"


def with_ranks(comm: Any, shards: int) -> Ranks:
    """The ranks of a communicator, of which each gets shards."""
    ranks = ranks_of(comm)
    if ranks.count > shards:
        raise ConfigError("shards", f"must be at least {ranks.count}, the number of ranks", f"`{shards}`")
    return ranks


@contextmanager
def together(ranks: Any) -> Iterator[None]:
    """Inside is what all ranks do; without ranks, nothing is different."""
    if not isinstance(ranks, Ranks) or ranks.inside:
        yield
        return
    ranks.inside = True
    try:
        with _held(ranks):
            yield
    except BaseException as error:
        end_if_alone(ranks, error)
        raise
    finally:
        ranks.inside = False
    if ranks.interrupted:  # after the last moment at which all could have heard of it
        ranks.interrupted = False
        raise KeyboardInterrupt


@contextmanager
def _held(ranks: Ranks) -> Iterator[None]:
    """Ctrl-C is noted, where it would raise an error at any line; a second one does."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        ranks.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def end_if_alone(ranks: Ranks, error: BaseException, code: int = 1) -> int:
    """End all ranks, with one message, if not all have failed; otherwise returns the code of the first."""
    found = ranks.failed(code)
    if len(found) == ranks.count:
        return found[0]
    if ranks.rank == min(found):
        ranks.report(error)
    else:
        time.sleep(PATIENCE)  # the one that does is about to
    ranks.end(code)


def settings_hash(settings: dict[str, Any]) -> dict[str, int]:
    """A number for each setting, the same for equal ones in any process."""
    return {name: _hash(re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value)).encode()) for name, value in settings.items()}


def rows_hash(array: Any) -> int:
    """A number for the size and type of an array and some of its rows."""
    if array is None:
        return 0
    count = len(array)
    rows = np.linspace(0, max(count - 1, 0), min(count, SAMPLE)).astype(np.int64)
    some = np.ascontiguousarray(array[rows])
    return _hash(f"{array.shape} {array.dtype}".encode() + some.tobytes())


def bytes_hash(array: Any) -> int:
    """A number for every bit of an array."""
    return _hash(np.ascontiguousarray(array).data.cast("B"))


def _hash(data: Any) -> int:
    return xxhash.xxh3_64_intdigest(data) >> 1


def version() -> str:
    """The version of the package, which all ranks must have."""
    return str(sys.modules["fastbp"].__version__)
