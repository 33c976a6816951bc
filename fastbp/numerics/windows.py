"""The order of rows that stay in files: a pure function of (seed, epoch), any part of which is known by itself.

    blocks    of `block` rows each, the last may be shorter; their numbers are shuffled
    windows   of `window` blocks, as they come in that order; the rows of a window are shuffled

Every shuffle sorts 64 bits of Philox under counter (position / 2, epoch, 1 + window, purpose), 0 for that of blocks.
The low bits of each are its position, so no two are equal and no bit depends on how they are sorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.numerics.philox import words

WINDOWS = 12  # purpose of the random numbers
Array = NDArray[Any]


def permutation(count: int, seed: int, epoch: int, part: int) -> NDArray[np.int64]:
    """The numbers below `count` in an order of a seed, an epoch and a part of it.

    Examples
    --------
    >>> sorted(permutation(7, 0, 1, 2).tolist()), permutation(1, 0, 0, 0).tolist()
    ([0, 1, 2, 3, 4, 5, 6], [0])
    """
    counter = np.zeros((4, (count + 1) // 2), np.uint64)
    counter[0] = np.arange(counter.shape[1])
    counter[1], counter[2], counter[3] = epoch & 0xFFFFFFFF, part, WINDOWS
    high, low, *others = words(counter, (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF))
    keys = np.stack([high << np.uint64(32) | low, others[0] << np.uint64(32) | others[1]], axis=1).reshape(-1)[:count]
    bits = np.uint64(max(1, (count - 1).bit_length()))
    keys = keys >> bits << bits | np.arange(count, dtype=np.uint64)
    keys.sort()
    return (keys & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)


@dataclass(frozen=True)
class Order:
    """The order of `rows` in one epoch; without a `seed` they come as they are."""

    rows: int
    block: int
    window: int
    seed: int | None
    epoch: int

    @property
    def blocks(self) -> int:
        """How many there are."""
        return -(-self.rows // self.block)

    @property
    def windows(self) -> int:
        """How many there are."""
        return -(-self.blocks // self.window)

    def shuffled(self) -> Array:
        """The numbers of the blocks, in order."""
        if self.seed is None:
            return np.arange(self.blocks)
        return permutation(self.blocks, self.seed, self.epoch, 0)

    def of(self, blocks: Array) -> list[tuple[int, int]]:
        """The first row of each of some blocks, and the one behind its last."""
        return [(first, min(first + self.block, self.rows)) for first in (blocks * self.block).tolist()]

    def starts(self, blocks: Array) -> Array:
        """How many rows come before each window, and all."""
        short = self.blocks * self.block - self.rows
        sizes = np.where(blocks == self.blocks - 1, self.block - short, self.block)
        ends = np.cumsum(sizes)[np.minimum(np.arange(1, self.windows + 1) * self.window, self.blocks) - 1]
        return np.concatenate([[0], ends])

    def within(self, window: int, count: int) -> Array:
        """Which of the rows of a window, counted in the order of its blocks, come first, second, ..."""
        return np.arange(count) if self.seed is None else permutation(count, self.seed, self.epoch, 1 + window)
