"""Philox4x32-10: four random 32-bit words as a pure function of a counter and a key.

Ten rounds of two 32 x 32 -> 64 bit products; the key grows by the golden ratio and √3 - 1 each round (Salmon, Moraes,
Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011). Words are held in int64, so that no sign gets in
the way.
"""

from __future__ import annotations

from fastbp.kernels.flags import inlined
from fastbp.kernels.memory import get_index, put_index

INIT, SHUFFLE, DROPOUT = 0, 1, 2
LOW = 0xFFFFFFFF


@inlined
def multiply(a, b):
    """The high and low words of a 64-bit product of two 32-bit words."""
    product = a * b  # wraps, and the mask takes the copies of its sign away
    return (product >> 32) & LOW, product & LOW


@inlined
def philox(c0, c1, c2, c3, k0, k1):
    """The four words of counter (c0, c1, c2, c3) under key (k0, k1)."""
    for _ in range(10):
        high0, low0 = multiply(0xD2511F53, c0)
        high1, low1 = multiply(0xCD9E8D57, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 = (k0 + 0x9E3779B9) & LOW
        k1 = (k1 + 0xBB67AE85) & LOW
    return c0, c1, c2, c3


@inlined
def shuffle(order, rows, seed, epoch):
    """Write a permutation of 0 .. rows - 1 to the uint32 words at `order`: Fisher and Yates, from the last row down."""
    for i in range(rows):
        put_index(order, i, i)
    k0 = seed & LOW
    k1 = (seed >> 32) & LOW
    w0 = w1 = w2 = w3 = 0
    for draw in range(rows - 1):
        if draw & 3 == 0:
            w0, w1, w2, w3 = philox(draw >> 2, epoch, 0, SHUFFLE, k0, k1)
        word = w0
        w0 = w1
        w1 = w2
        w2 = w3
        i = rows - 1 - draw
        high, _ = multiply(i + 1, word)
        other = get_index(order, high)
        put_index(order, high, get_index(order, i))
        put_index(order, i, other)
