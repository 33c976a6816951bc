"""Draws of settings and rows: pure functions of a seed, a member and a name, with the same bits on every machine.

    word       64 bits of Philox under counter (member, hash of the name), and under (position, member, fold) for rows
    below n    floor(word n / 2⁶⁴) in whole numbers
    between    a + u (b - a),  u = (the upper 52 bits + ½) / 2⁵²
    log        exp(log a + u (log b - log a)), between a and b

A draw depends on no other: more members, and other names beside it, leave it as it is.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from fastbp.numerics.exact import exp, log
from fastbp.numerics.philox import words

SPACE, BOOTSTRAP = 10, 11  # purposes of the random numbers


def _key(seed: int) -> tuple[int, int]:
    return seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF


def word(seed: int, member: int, name: str) -> int:
    """64 random bits of a member for a name.

    Examples
    --------
    >>> word(0, 0, "trainer.optimizer.lr") != word(0, 1, "trainer.optimizer.lr")
    True
    """
    hashed = hashlib.blake2b(name.encode(), digest_size=8).digest()
    counter = np.zeros((4, 1), np.uint64)
    counter[:, 0] = member, int.from_bytes(hashed[:4], "little"), int.from_bytes(hashed[4:], "little"), SPACE
    high, low = (int(one[0]) for one in words(counter, _key(seed))[:2])
    return high << 32 | low


def below(bits: int, count: int) -> int:
    """A whole number from 0 to `count` - 1.

    Examples
    --------
    >>> below(0, 3), below(2**63, 3), below(2**64 - 1, 3)
    (0, 1, 2)
    """
    return bits * count >> 64


def between(bits: int, low: float, high: float) -> float:
    """A number between two others.

    Examples
    --------
    >>> between(2**63, 0.0, 0.5)
    0.25000000000000006
    """
    return min(max(low + _unit(bits) * (high - low), low), high)


def log_between(bits: int, low: float, high: float) -> float:
    """A number between two others above 0, whose logarithm is evenly spread.

    Examples
    --------
    >>> f"{log_between(2**63, 1e-4, 1e-2):.6g}"
    '0.001'
    """
    first, last = log([low, high]).tolist()
    return min(max(float(exp(first + _unit(bits) * (last - first))), low), high)


def _unit(bits: int) -> float:
    return float((bits >> 12) + 0.5) * 2.0**-52


def bootstrap(rows: int, count: int, seed: int, member: int, fold: int) -> NDArray[np.int64]:
    """`count` of the numbers below `rows`, each drawn from all of them.

    Examples
    --------
    >>> drawn = bootstrap(100, 1000, seed=0, member=0, fold=0)
    >>> len(drawn), int(drawn.min()) >= 0, int(drawn.max()) < 100
    (1000, True, True)
    """
    counter = np.zeros((4, count), np.uint64)
    counter[0] = np.arange(count)
    counter[1], counter[2], counter[3] = member, fold, BOOTSTRAP
    found: NDArray[np.int64] = (words(counter, _key(seed))[0] * np.uint64(rows) >> np.uint64(32)).astype(np.int64)
    return found
