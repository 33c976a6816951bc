"""Philox4x32-10 in NumPy, for what is drawn before anything is compiled; the kernels' own is in `kernels/philox.py`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INIT = 0
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def words(counter: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint64]:
    """Four words of every counter, one counter a column of a (4, n) array."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0 = c0 * np.uint64(0xD2511F53)
        p1 = c2 * np.uint64(0xCD9E8D57)
        c0, c1 = (p1 >> _32) ^ c1 ^ np.uint64(k0), p1 & _LOW
        c2, c3 = (p0 >> _32) ^ c3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3])


def uniform(count: int, seed: int, tensor: int) -> NDArray[np.float64]:
    """`count` numbers in (0, 1) for the initial values of a tensor."""
    blocks = -(-count // 4)
    counter = np.zeros((4, blocks), np.uint64)
    counter[0] = np.arange(blocks)
    counter[2] = tensor
    counter[3] = INIT
    drawn = words(counter, (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF))
    return _between_0_and_1(drawn.T.ravel()[:count])


def uniform_at(index: NDArray[np.int64], seed: int, tensor: int, attempt: int = 0) -> NDArray[np.float64]:
    """Numbers `index` of a tensor's stream: those of `uniform`, and with an `attempt` above 0 those of another."""
    counter = np.zeros((4, len(index)), np.uint64)
    counter[0] = index >> 2
    counter[1] = attempt
    counter[2] = tensor
    counter[3] = INIT
    drawn = words(counter, (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF))
    return _between_0_and_1(drawn[index & 3, np.arange(len(index))])


def _between_0_and_1(drawn: NDArray[np.uint64]) -> NDArray[np.float64]:
    return (drawn.astype(np.float64) + 0.5) * 2.0**-32
