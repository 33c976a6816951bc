"""Processes of MPI that train one network: what they exchange in a step, and what they agree on between steps.

A sum over ranks is added in one binary tree over their numbers, ((r0 + r1) + (r2 + r3)) + ..., number by number in the
type of the array. What MPI calls a reduction is not used for it: its order may be another from call to call. Each rank
gets all partial sums of a range of its own and adds them; then all get all ranges. Where an array is small, everybody
gets everything and adds on its own, which takes one message less.

mpi4py is imported when ranks are made, not before.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastbp.engine import threads as team
from fastbp.errors import ConfigError, ConfigTypeError, DependencyError, FastbpError, brief, line
from fastbp.train.rooms import Rooms

Array = NDArray[Any]

SMALL = 1 << 17  # bytes of an array up to which everybody gets everything: 2 and 4 ranks, shared memory, two MPIs
BLOCK = 1 << 15  # numbers that are added at once, so that what is added stays in a core's cache
SPIN = 3e-4  # seconds of a look for messages without a pause, where every rank has a processor
NAP = 2e-5  # seconds between looks behind it
LONG_NAP = 1e-3  # seconds between looks, where one rank works and the others wait
PATIENCE = 2.0  # seconds that a rank which fails waits for the others to fail as well
AT_FIRST = 30.0  # the same, of a command whose ranks start at times that may be far apart
MOST_PROCESSORS = 4096

FAILED = 1  # tag of the message that a rank has failed
INSTALL = 'pip install "fastbp[mpi]"'


class Elsewhere(FastbpError):
    """This rank stops because another has failed."""


class Ranks:
    """The processes of a communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        It is duplicated, so that messages of others never meet ours.

    Attributes
    ----------
    rank, count : int
        The number of this one, from 0, and how many there are, which is a power of two.
    interrupted : bool
        Whether Ctrl-C is to end what goes on, once all know it.
    inside : bool
        Whether something goes on that all ranks do together.
    report : callable
        Says why this rank has failed, before it ends all.
    wish, granted : int
        What this rank would have all do, by a number above 0, and what all have agreed to do; 0 is nothing.
    threads : int
        How many threads a rank has by default.
    patience : float
        Seconds that this rank, if it fails, waits for the others to fail as well; few, once all were at one place.
    """

    def __init__(self, comm: Any) -> None:
        MPI = mpi()
        if not isinstance(comm, MPI.Intracomm):
            raise ConfigTypeError(
                "comm", "must be a communicator of mpi4py, such as `MPI.COMM_WORLD`", f"`{brief(comm)}`"
            )
        if MPI.Query_thread() < MPI.THREAD_SERIALIZED:
            level = {MPI.THREAD_SINGLE: "MPI_THREAD_SINGLE", MPI.THREAD_FUNNELED: "MPI_THREAD_FUNNELED"}
            must = "must be of an MPI that any thread may call, MPI_THREAD_SERIALIZED or MPI_THREAD_MULTIPLE"
            raise ConfigError("comm", must, f"`{level[MPI.Query_thread()]}`")
        self.rank, self.count = comm.Get_rank(), comm.Get_size()
        if self.count & (self.count - 1):
            raise ConfigError("comm", "must have 1, 2, 4, 8 or another power of two of ranks", f"`{self.count}`")
        self._mpi, self._comm, self._control = MPI, comm.Dup(), comm.Dup()
        self._room = np.empty(0, np.uint8)
        self._rooms: Rooms | None = None  # where all ranks are on one machine
        self.wish = self.granted = 0
        self.interrupted = self.inside = False
        self.patience = PATIENCE
        self.hint: str | None = None  # of what can be done once all have stopped
        self.report: Callable[[BaseException], None] = self._report
        self.exchanged = 0  # bytes that this rank has sent in sums and values
        self.threads, beside = self._share_of_processors()
        self._spin = SPIN if beside <= team.processors() else 0.0

    def __repr__(self) -> str:
        return f"Ranks(rank={self.rank}, count={self.count})"

    # Within a step

    def add(self, sums: Array) -> None:
        """Replace the partial sums of every rank by their total, in place."""
        if self.count == 1:
            return
        flat = _flat(sums)
        room = self._rooms.by_address.get(flat.ctypes.data) if self._rooms else None
        if room is not None:
            self._add_beside(room, flat)
            return
        if flat.nbytes <= SMALL:
            parts = self._parts(self.count, flat)
            self._wait(self._comm.Iallgather(flat, parts))
            self.exchanged += flat.nbytes * (self.count - 1)
            added(list(parts), flat)
            return
        cuts = self.cuts(len(flat))
        self.scatter_add(flat, cuts)
        self.gather(flat, cuts)

    def room(self, size: int, user: object) -> int:
        """The address of so many bytes of zeros in which sums are added without a copy; 0 where there is none.

        It is kept as long as any rank has a user of it. All ranks ask for the same ones.
        """
        if self.count == 1 or self._rooms is None or size <= SMALL:
            return 0
        return self._rooms.take(size, user)

    def _add_beside(self, room: list[Array], flat: Array) -> None:
        """Add parts that all ranks see: each the range of its own."""
        cuts = self.cuts(len(flat))
        own = slice(cuts[self.rank], cuts[self.rank + 1])
        parts = [view.view(flat.dtype)[: len(flat)] for view in room]
        self._comm.Barrier()  # all parts are there
        added([part[own] for part in parts], *(part[own] for part in parts))
        self._comm.Barrier()  # and all totals
        self.exchanged += (self.count - 1) * 2 * flat[own].nbytes

    def scatter_add(self, sums: Array, cuts: Sequence[int]) -> None:
        """Add the partial sums of all ranks in the range of each: this one gets the total of `cuts[rank:rank + 2]`.

        The rest of the array stays as it is.
        """
        if self.count == 1:
            return
        flat, rank = _flat(sums), self.rank
        own = flat[cuts[rank] : cuts[rank + 1]]
        parts: list[Array] = list(self._parts(self.count - 1, own))
        others = self._others()
        requests = [self._comm.Irecv(part, source=other) for part, other in zip(parts, others, strict=True)]
        for other in others:
            part = flat[cuts[other] : cuts[other + 1]]
            requests.append(self._comm.Isend(part, dest=other))
            self.exchanged += part.nbytes
        self._wait(*requests)
        by_rank = dict(zip(others, parts, strict=True)) | {rank: own}
        added([by_rank[i] for i in range(self.count)], own)

    def gather(self, values: Array, cuts: Sequence[int]) -> None:
        """Have every rank's range of an array on all, in place."""
        if self.count == 1:
            return
        flat, rank = _flat(values), self.rank
        own = flat[cuts[rank] : cuts[rank + 1]]
        others = self._others()
        requests = [self._comm.Irecv(flat[cuts[other] : cuts[other + 1]], source=other) for other in others]
        requests += [self._comm.Isend(own, dest=other) for other in others]
        self.exchanged += own.nbytes * len(others)
        self._wait(*requests)

    def largest(self, bits: Array) -> None:
        """Replace integers by their largest over all ranks, in place."""
        if self.count > 1:
            self._wait(self._comm.Iallreduce(self._mpi.IN_PLACE, bits, self._mpi.MAX))

    def _wait(self, *requests: Any) -> None:
        """Wait for messages: a moment on a processor, as MPI does, then asleep, as others may need it."""
        test = self._mpi.Request.Testall
        end = time.perf_counter() + self._spin
        while not test(requests):
            if time.perf_counter() > end:
                time.sleep(NAP)

    def cuts(self, size: int) -> list[int]:
        """Where the ranges of the ranks begin and end in an array of this size, on lines of 64 bytes."""
        share = -(-size // (16 * self.count)) * 16
        return [min(size, share * i) for i in range(self.count + 1)]

    def _others(self) -> list[int]:
        """The other ranks, from the next one on, so that not all begin with the same."""
        return [(self.rank + i) % self.count for i in range(1, self.count)]

    def _parts(self, count: int, like: Array) -> Array:
        """Room for `count` arrays like this one, which is used again and again."""
        size = count * like.nbytes
        if len(self._room) < size:
            self._room = np.empty(size, np.uint8)
        return self._room[:size].view(like.dtype).reshape(count, len(like))

    # Between steps

    def agree(self, *numbers: int) -> list[int]:
        """The largest of each number over all ranks."""
        found = np.array(numbers, np.int64)
        self.largest(found)
        return [int(number) for number in found]

    def told(self, text: str | None = None) -> str:
        """The text of the first rank, on all."""
        data = np.frombuffer((text or "").encode(), np.uint8).copy() if self.rank == 0 else np.empty(0, np.uint8)
        size = np.array([len(data)], np.int64)
        self._sleep_until(self._comm.Ibcast(size, root=0))
        if self.rank:
            data = np.empty(int(size[0]), np.uint8)
        self._sleep_until(self._comm.Ibcast(data, root=0))
        return data.tobytes().decode()

    def first(self, work: Callable[[], str]) -> str:
        """The text that `work` returns on the first rank, on all; if it fails there, others raise `Elsewhere`."""
        if self.rank:
            said = self.told()
            if not said:
                raise Elsewhere("the first rank failed")
            return said[1:]
        try:
            text = work()
        except BaseException:
            self.told("")
            raise
        self.told("=" + text)
        return text

    def steps(self, count: int) -> int:
        """How many steps all do next, which none finds too many; hears of wishes and of Ctrl-C on the way."""
        least, interrupted, self.granted = self.agree(-count, self.interrupted, self.wish)
        if interrupted:
            self.interrupted = False
            raise KeyboardInterrupt
        return -least

    def refuse_others(self, named: Mapping[str, int]) -> None:
        """Raise on every rank if they do not have the same number for each of some names, the same on all."""
        own = np.array([value & (2**63 - 1) for value in named.values()], np.int64)
        every = np.empty((self.count, len(own)), np.int64)
        self._wait(self._comm.Iallgather(own, every))
        self.patience = PATIENCE
        for name, values in zip(named, every.T, strict=True):
            for rank, value in enumerate(values):
                if value != values[0]:
                    raise ConfigError(name, "must be the same on every rank", f"another on rank {rank} than on rank 0")

    def wait(self) -> None:
        """Go on when all ranks have come here."""
        self._sleep_until(self._comm.Ibarrier())

    def _sleep_until(self, request: Any) -> None:
        """Wait for what may take long, without a processor."""
        while not request.Test():
            time.sleep(LONG_NAP)

    def _share_of_processors(self) -> tuple[int, int]:
        """This rank's part of its processors, or what the environment says of each; and how many share them."""
        node = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        mask = np.zeros(MOST_PROCESSORS, np.uint8)
        places = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        mask[[place for place in places if place < MOST_PROCESSORS]] = 1
        masks = np.empty((node.Get_size(), len(mask)), np.uint8)
        node.Allgather(mask, masks)
        if node.Get_size() == self.count:
            self._rooms = Rooms(self._mpi, self._comm, self.agree)
        node.Free()
        beside = int((masks & mask).any(axis=1).sum())
        if os.environ.get("FASTBP_NUM_THREADS", "").strip():
            return team.default_threads(), beside
        return max(1, team.processors() // max(beside, 1)), beside

    # When one fails

    def failed(self, code: int = 1) -> dict[int, int]:
        """Tell the others that this rank has failed, with a code of its own; returns the codes of those that have."""
        own = np.array([code], np.int64)
        requests = [self._control.Isend(own, dest=other, tag=FAILED) for other in self._others()]
        known, end, status = {self.rank: code}, time.monotonic() + self.patience, self._mpi.Status()
        while len(known) < self.count and time.monotonic() < end:
            if self._control.Iprobe(self._mpi.ANY_SOURCE, FAILED, status):
                other, found = status.Get_source(), np.empty(1, np.int64)
                self._control.Recv(found, other, FAILED)
                known[other] = int(found[0])
            else:
                time.sleep(0.001)
        if len(known) == self.count:
            self._mpi.Request.Waitall(requests)
        return known

    def _report(self, error: BaseException) -> None:
        """Why this rank has failed, as Python says it, and one sentence."""
        traceback.print_exception(error)
        name = type(error).__name__
        why = f"{name}: {error}" if str(error) else name
        print(line(f"fastbp: rank {self.rank} of {self.count} failed, so all stop: {why}"), file=sys.stderr, flush=True)

    def end(self, code: int) -> NoReturn:
        """End all ranks, wherever they are."""
        sys.stdout.flush()
        sys.stderr.flush()
        self._comm.Abort(code)
        raise SystemExit(code)  # where MPI lets go


def mpi() -> Any:
    """mpi4py's MPI."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise DependencyError(f"several ranks need `mpi4py` ({line(str(error))})", hint=f"`{INSTALL}`") from None
    return MPI


def ranks_of(comm: Any) -> Ranks:
    """The ranks of a communicator, the same object each time."""
    if isinstance(comm, Ranks):
        return comm
    MPI = mpi()
    if not isinstance(comm, MPI.Intracomm):
        return Ranks(comm)  # which refuses it
    key = _key()
    if comm.Get_attr(key) is None:
        comm.Set_attr(key, Ranks(comm))
    found: Ranks = comm.Get_attr(key)
    return found


@cache
def _key() -> int:
    """What ranks are known by to their communicator."""
    found: int = mpi().Comm.Create_keyval()
    return found


def _flat(array: Array) -> Array:
    """The numbers of an array in their order in memory."""
    flat = array.reshape(-1)
    assert np.shares_memory(flat, array) or not array.size
    return flat


def added(parts: Sequence[Array], *outs: Array) -> None:
    """Add arrays in a binary tree over their places; they may be written over, and `outs` may be some of them."""
    out, *others = outs
    with np.errstate(all="ignore"):  # whoever uses the total looks whether it is finite
        for at in range(0, len(out), BLOCK):
            to = slice(at, at + BLOCK)
            rows = [part[to] for part in parts]
            while len(rows) > 2:
                rows = [np.add(a, b, out=a) for a, b in zip(rows[::2], rows[1::2], strict=True)]
            np.add(rows[0], rows[1], out=out[to])
            for other in others:
                other[to] = out[to]
