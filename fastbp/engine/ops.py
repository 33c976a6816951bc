"""Ops over buffers: what networks and traced functions are lowered to.

A buffer is a panel matrix. While ops are written, each has a new one for its result, and that has no memory, only an
address from `UNPLACED` on. `settle` gives memory to all of them at once, when it is known who reads each last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.compiler import kernel_address
from fastbp.engine.memory import Arena
from fastbp.kernels.fields import LINE, Part, Record, Word
from fastbp.kernels.ops import Op

UNPLACED = 1 << 62
SHIFT = 40  # the bits for a place within a buffer


@dataclass(frozen=True)
class Buffer:
    """A panel matrix, or a user's array, as an op reads or writes it; a stride of 0 repeats a panel or a row."""

    address: int
    stride: int
    width: int
    panels: int
    rows: int = 0
    row: int = LINE  # bytes from one row to the next

    @property
    def number(self) -> int:
        return number_of(self.address)


def number_of(address: int) -> int:
    """The number of the buffer at an address, while it has no memory; negative for addresses in memory."""
    return (address - UNPLACED) >> SHIFT


class Ops:
    """The ops of a plan or program, in order, and their buffers."""

    kind: Any = Buffer

    def __init__(self, arena: Arena, dtype: np.dtype[Any]) -> None:
        self.arena = arena
        self.real = dtype.name
        self.itemsize = dtype.itemsize
        self.in_line = LINE // self.itemsize
        self.ops: list[Any] = []
        self.buffers: list[Any] = []
        self.held: set[int] = set()  # numbers of buffers that others read, too, after all ops
        self.addresses: NDArray[np.int64] = np.zeros(0, np.int64)  # of buffers, once they have memory

    def new(self, rows: int, width: int, *, held: bool = False) -> Any:
        """A new buffer; an odd number of lines per panel spreads panels over all sets of L1."""
        number = len(self.buffers)
        address, panels = UNPLACED + (number << SHIFT), -(-width // self.in_line)
        self.buffers.append(self.kind(address, (rows | 1) * LINE, width, panels, rows))
        if held:
            self.held.add(number)
        return self.buffers[-1]

    def of_user(self, width: int, *, columns: bool = False) -> Any:
        """A user's array, whose address each call sets: rows of this width, or columns of matrices."""
        return self.kind(0, 0 if columns else width * self.itemsize, width, -(-width // self.in_line))

    def op(self, kernel: str, source: Buffer, target: Buffer, op: Op) -> int:
        """Append an op that reads `source` and writes `target`; returns its number. `op` has its other fields."""
        record: Any = op
        number = len(self.ops)
        record.name, record.kernel, record.number = kernel, kernel_address(kernel, self.real), number
        record.a, record.width = source, source.width
        record.c, record.panels = target, target.panels
        self.ops.append(record)
        return number

    # Memory.

    def places(self, ops: Sequence[Op], moments: Sequence[int], among: set[int]) -> dict[int, int]:
        """Whose memory each of these buffers has: its own, or that of one which was last used before this moment.

        Nothing has that of a buffer that is held.

        The result of an op that works in place may also have the memory of an operand which it is the last to use,
        unless another op of this moment, one that does not, reads that.
        """
        used: list[tuple[Any, int, set[int]]] = [
            (op, moment, numbers_in(op) & among) for op, moment in zip(ops, moments, strict=True)
        ]
        last = {n: len(ops) if n in self.held else i for i, (_, _, now) in enumerate(used) for n in now}
        ends_at = [*moments, max(moments, default=0) + 1]
        whole = {(moment, n) for op, moment, now in used if not op.in_place for n in now - {number_of(op.c.start)}}
        found: dict[int, int] = {}
        until: dict[int, int] = {}  # memory -> the last moment of the buffer that has it
        size: dict[int, int] = {}  # and its panels
        for i, (op, moment, now) in enumerate(used):
            ends = [n for n in now & found.keys() if op.in_place and last[n] == i and (moment, n) not in whole]
            for number in sorted(now - found.keys()):
                stride, panels = self.buffers[number].stride, self.buffers[number].panels
                over = [n for n in ends if (self.buffers[n].stride, self.buffers[n].panels) == (stride, panels)][:1]
                ends = [n for n in ends if n not in over]
                free = [p for p in until if until[p] < moment and self.buffers[p].stride == stride]
                # The smallest that is large enough, else the largest, which grows.
                free.sort(key=lambda p: (size[p] < panels, abs(size[p] - panels)))
                found[number] = place = [*(found[n] for n in over), *free, number][0]
                until[place], size[place] = ends_at[last[number]], max(panels, size.get(place, 0))
        return found

    def settle(self, places: dict[int, int], records: Sequence[Record]) -> list[Any]:
        """Give memory to all buffers that are held or named, and put it into records; returns what has memory."""
        self.addresses = np.zeros(len(self.buffers), np.int64)
        whole: dict[int, Any] = {}
        numbers = sorted(self.held.union(*map(numbers_in, records)))
        for number in numbers:
            place, buffer = places.get(number, number), self.buffers[number]
            whole[place] = max(whole.get(place, buffer), buffer, key=lambda one: one.width)
        for place, buffer in whole.items():
            whole[place] = replace(buffer, address=self.arena.take(buffer.panels * buffer.stride))
        for number in numbers:
            self.addresses[number] = whole[places.get(number, number)].address
        for record in records:
            at, numbers_at, within = _unplaced(record)
            record.words[at] = self.addresses[numbers_at] + within
        return list(whole.values())

    def at(self, buffer: Buffer) -> int:
        """Where a buffer is, or a line of it."""
        return int(self.addresses[buffer.number]) + (buffer.address & ((1 << SHIFT) - 1))


@cache
def _words(kind: type[Record]) -> NDArray[np.int64]:
    """The offsets of the whole numbers in a record, some of which are addresses."""
    found: list[int] = []
    for field in kind.fields.values():
        if isinstance(field, Part):
            found += [field.offset + int(o) for o in _words(field.kind)]
        elif isinstance(field, Word):
            found.append(field.offset)
    return np.array(found, np.int64)


def _unplaced(record: Record) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where a record names buffers without memory: offsets of its words, numbers of the buffers, bytes within."""
    offsets = _words(type(record))
    words = record.words[offsets]
    found = words >= UNPLACED
    words = words[found] - UNPLACED
    return offsets[found], words >> SHIFT, words & ((1 << SHIFT) - 1)


def numbers_in(record: Record) -> set[int]:
    """The numbers of the buffers that a record names."""
    return set(_unplaced(record)[1].tolist())
