"""Memory that compiled code writes: aligned to lines, never moved, freed with its owner."""

from __future__ import annotations

import ctypes
import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import brief
from fastbp.kernels.fields import LINE

HUGE = 1 << 21  # a large page, requested for slabs of at least this size
SLAB = 1 << 16
# Private: a forked child must not write into its parent's networks, and only private memory gets large pages.
PRIVATE: dict[str, int] = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


class Arena:
    """Allocates zeroed, line-aligned memory and owns it.

    Small blocks share slabs; large ones begin at different lines of a page, because operands whose addresses differ by
    a multiple of 4 KiB map to the same cache sets of L1.
    """

    def __init__(self) -> None:
        self._blocks: list[Any] = []
        self._views: list[NDArray[np.uint8]] = []
        self._at = self._end = 0
        self.bytes = 0

    def _map(self, size: int) -> int:
        huge = size >= HUGE
        try:
            block = mmap.mmap(-1, size + (HUGE if huge else 0), **PRIVATE)
        except (OSError, OverflowError, ValueError):
            raise MemoryError(f"there is no room for `{brief(size, limit=40)}` bytes of buffers") from None
        if huge and hasattr(mmap, "MADV_HUGEPAGE"):
            block.madvise(mmap.MADV_HUGEPAGE)
        view = np.frombuffer(block, np.uint8)
        self._blocks.append(block)
        self._views.append(view)
        address = int(view.ctypes.data)
        return address + -address % (HUGE if huge else LINE)

    def take(self, size: int) -> int:
        """Return the address of `size` zeroed bytes."""
        lines = -(-max(size, 1) // LINE)
        size = (lines + 4 + lines % 2) * LINE
        self.bytes += size
        if size > SLAB // 2:
            stagger = 5 * len(self._blocks) % 64 * LINE
            return self._map(size + stagger) + stagger
        if self._at + size > self._end:
            self._at = self._map(SLAB)
            self._end = self._at + SLAB
        address = self._at
        self._at += size
        return address


def view(address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array over an arena's memory; the caller keeps the arena alive."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    raw = (ctypes.c_char * max(size, 1)).from_address(address)
    return np.ndarray(shape, kind, raw)  # one object besides `raw`; a plan has dozens of views
