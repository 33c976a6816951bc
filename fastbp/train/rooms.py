"""Memory that all ranks of a machine see, in which their sums are added without a copy.

Each rank adds a range of all parts and puts the total in all of them. Sums are there within a step only, so plans whose
sums take as many bytes share a room.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.fields import LINE

MEMORY = "/dev/shm"  # where Linux has files that are memory; what is written beyond its end kills a process
SPARE = 1 << 24  # bytes that are left there


def has_room(size: int) -> bool:
    """Whether processes may share so many bytes."""
    try:
        free = os.statvfs(MEMORY)
    except (OSError, AttributeError):
        return False
    return free.f_bavail * free.f_frsize >= size + SPARE


class Room(NamedTuple):
    """One such piece of memory."""

    window: Any
    address: int
    users: WeakSet[Any]


class Rooms:
    """The rooms of the ranks of a communicator.

    Parameters
    ----------
    mpi, comm : module, mpi4py.MPI.Comm
    agree : callable
        The largest of each number over all ranks.

    Attributes
    ----------
    by_address : dict
        The parts of all ranks, by the address of this one's.
    """

    def __init__(self, mpi: Any, comm: Any, agree: Callable[..., list[int]]) -> None:
        self._mpi, self._comm, self._agree = mpi, comm, agree
        self._by_size: dict[int, Room] = {}
        self.by_address: dict[int, list[NDArray[Any]]] = {}

    def take(self, size: int, user: object) -> int:
        """The address of this rank's part; 0 where there is no room. All ranks ask for the same sizes in turn."""
        if size not in self._by_size:
            self._free()
            if self._agree(not has_room(size * self._comm.Get_size()))[0]:
                return 0
            self._add(size)
        self._by_size[size].users.add(user)
        return self._by_size[size].address

    def _add(self, size: int) -> None:
        window = self._mpi.Win.Allocate_shared(size + LINE, 1, comm=self._comm)
        ranks = range(self._comm.Get_size())
        whole = [np.frombuffer(window.Shared_query(rank)[0], np.uint8) for rank in ranks]
        parts = [each[-each.ctypes.data % LINE :][:size] for each in whole]
        own = parts[self._comm.Get_rank()]
        own[:] = 0
        self._by_size[size] = Room(window, own.ctypes.data, WeakSet())
        self.by_address[own.ctypes.data] = parts

    def _free(self) -> None:
        """Give back what nobody uses any more on any rank, which all do at the same time."""
        if not self._by_size:
            return
        used = self._agree(*(len(room.users) > 0 for room in self._by_size.values()))
        for size, stays in zip(list(self._by_size), used, strict=True):
            if not stays:
                room = self._by_size.pop(size)
                del self.by_address[room.address]
                room.window.Free()
