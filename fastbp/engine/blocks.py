"""Parameter-shaped storage: parameters, moments and gradients share one panel layout.

A weight of I inputs and O outputs is O / P panels of I lines (I rounded up to whole P x P blocks), a bias one line per
panel; padding is zero and stays zero. Of a stack, as of parameters of which each member of a network has its own, one
array stands behind the other. All blocks of a network have the same layout, so one byte offset is valid in every block.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.memory import Arena, view
from fastbp.errors import ConfigTypeError
from fastbp.kernels.fields import LINE


class Stack(tuple[int, ...]):
    """The shape of a stack of vectors or matrices: how many there are, and the shape of each.

    A vector or matrix of a stack is in memory as it would be alone, so that what is for one can be given any of it.
    """

    __slots__ = ()


class Slot:
    """The place of one parameter.

    Attributes
    ----------
    offset : bytes from the block's begin
    count, own : how many arrays there are, more than one in a stack, and the shape of each
    panels, rows, lines, width : of each array: its panels, its rows and the lines of a panel for them, its columns
    stride, pitch : bytes from one panel to the next, and from one array to the next
    size, bytes : of all
    """

    def __init__(self, shape: tuple[int, ...], offset: int, in_line: int) -> None:
        self.shape = shape
        self.offset = offset
        self.count, self.own = (shape[0], tuple(shape[1:])) if isinstance(shape, Stack) else (1, shape)
        self.panels = -(-self.own[-1] // in_line)
        self.rows = self.own[0] if len(self.own) == 2 else 1
        self.lines = -(-self.rows // in_line) * in_line if len(self.own) == 2 else 1
        self.width = self.own[-1]
        self.stride = self.lines * LINE
        self.pitch = self.panels * self.stride
        self.size = math.prod(shape)
        self.bytes = self.count * self.pitch


class Block:
    """Memory for one number per parameter, read and written as natural arrays."""

    def __init__(self, slots: dict[str, Slot], dtype: np.dtype[Any]) -> None:
        self.slots = slots
        self.dtype = dtype
        self.size = sum(slot.bytes for slot in slots.values())
        self._arena = Arena()
        self.address = self._arena.take(self.size)
        self._user: Any = lambda: None
        in_line = LINE // dtype.itemsize
        self._panels = {
            name: view(self.address + slot.offset, (slot.count, slot.panels, slot.lines, in_line), dtype)
            for name, slot in slots.items()
        }

    def clear_for(self, user: object) -> None:
        """Set all to zero if another used it last, who alone knows what it has left."""
        if self._user() is not user:
            self._user = weakref.ref(user)
            for panels in self._panels.values():
                panels[:] = 0

    def read(self, name: str) -> NDArray[Any]:
        """A copy of one parameter's numbers as a natural array."""
        slot = self.slots[name]
        flat = self._panels[name].transpose(0, 2, 1, 3).reshape(slot.count, slot.lines, -1)
        return flat[:, : slot.rows, : slot.width].reshape(slot.shape).copy()

    def write(self, name: str, values: NDArray[Any]) -> None:
        """Write one parameter's numbers."""
        slot = self.slots[name]
        panels = self._panels[name]
        padded = np.zeros((slot.count, slot.lines, slot.panels * panels.shape[3]), self.dtype)
        padded[:, : slot.rows, : slot.width] = values.reshape(slot.count, slot.rows, slot.width)
        panels[...] = padded.reshape(slot.count, slot.lines, slot.panels, -1).transpose(0, 2, 1, 3)

    def name_at(self, offset: int) -> str:
        """The parameter at this byte offset."""
        return next(name for name, slot in self.slots.items() if slot.offset <= offset < slot.offset + slot.bytes)

    def clear(self) -> None:
        """Set everything to zero."""
        view(self.address, (self.size,), np.uint8)[...] = 0

    def fill(self, number: float) -> None:
        """Set every number, padding too, to one value."""
        view(self.address, (self.size // self.dtype.itemsize,), self.dtype)[...] = number

    def copy_from(self, other: Block) -> None:
        """Copy all numbers of a block of the same layout."""
        target = view(self.address, (self.size,), np.uint8)
        target[...] = view(other.address, (self.size,), np.uint8)


def slots_of(shapes: dict[str, tuple[int, ...]], dtype: np.dtype[Any]) -> dict[str, Slot]:
    """Consecutive slots for parameters of these shapes."""
    out: dict[str, Slot] = {}
    offset = 0
    for name, shape in shapes.items():
        out[name] = Slot(shape, offset, LINE // dtype.itemsize)
        offset += out[name].bytes
    return out


class Snapshot:
    """The contents of several blocks at one moment."""

    def __init__(self, blocks: list[Block]) -> None:
        self._pairs = [(block, Block(block.slots, block.dtype)) for block in blocks]
        self.take()

    def __reduce__(self) -> Any:
        raise ConfigTypeError(
            "a snapshot cannot be pickled or copied, since only the trainer that took it can restore it"
        )

    def take(self) -> Snapshot:
        """Copy the blocks as they are now."""
        for block, copy in self._pairs:
            copy.copy_from(block)
        return self

    def has(self, block: Block) -> bool:
        """Whether it contains this block."""
        return any(own is block for own, _ in self._pairs)

    def put_back(self) -> None:
        """Restore the blocks."""
        for block, copy in self._pairs:
            block.copy_from(copy)
