"""Random numbers: Philox counters, initial parameters, the order of an epoch, the masks of dropout.

Every number is a pure function of a seed and of what it is for, so that any part of it can be made again alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

INIT, SHUFFLE, DROPOUT = 0, 1, 2  # the purpose, last word of every Philox counter
LOW = 0xFFFFFFFF


def philox4x32(counter: npt.ArrayLike, key: tuple[int, int]) -> Array:
    """Philox4x32-10: four random words for every counter, by ten rounds of multiply and mix.

    A round, with (hi, lo) the halves of the 64-bit products a = 0xD2511F53 c0 and b = 0xCD9E8D57 c2, is
    (c0, c1, c2, c3) <- (hi_b ^ c1 ^ k0, lo_b, hi_a ^ c3 ^ k1, lo_a); then k += (0x9E3779B9, 0xBB67AE85).

    Parameters
    ----------
    counter : (..., 4) integers in [0, 2**32)
    key : two integers in [0, 2**32)

    Returns
    -------
    (..., 4) uint32

    Examples
    --------
    >>> [f"{int(word):08x}" for word in philox4x32([0, 0, 0, 0], (0, 0))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    words = np.asarray(counter).astype(np.uint64)
    c0, c1, c2, c3 = (words[..., i] for i in range(4))
    half, low = np.uint64(32), np.uint64(LOW)
    for turn in range(10):
        k0 = np.uint64((key[0] + turn * 0x9E3779B9) & LOW)
        k1 = np.uint64((key[1] + turn * 0xBB67AE85) & LOW)
        a, b = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (b >> half) ^ c1 ^ k0, b & low, (a >> half) ^ c3 ^ k1, a & low
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def philox_stream(count: int, seed: int, purpose: int, c1: int = 0, c2: int = 0) -> Array:
    """Return words 0 .. count - 1 of one stream: word j is philox(j // 4, c1, c2, purpose)[j % 4]."""
    counter = np.zeros((-(-count // 4), 4), np.uint64)
    counter[:, 0] = np.arange(len(counter))
    counter[:, 1:] = c1, c2, purpose
    return philox4x32(counter, _halves(seed)).reshape(-1)[:count]


def _halves(number: int) -> tuple[int, int]:
    """The low and the high 32 bits."""
    return number & LOW, number >> 32 & LOW


def uniform_init(
    shape: tuple[int, ...], bound: float, seed: int, tensor: int, dtype: npt.DTypeLike = np.float32
) -> Array:
    """Draw one parameter tensor uniformly from (-bound, bound).

    Element j, row-major, is (2u - 1) bound with u = (word_j + 1/2) / 2**32, in float64, cast last.

    Parameters
    ----------
    shape : the natural shape, (I, O) of a weight or (O,) of a bias
    bound : float, > 0; 1/sqrt(I) for a linear layer
    tensor : 2 node for a weight, 2 node + 1 for a bias, `node` the index of the layer

    Examples
    --------
    >>> [round(float(w), 4) for w in uniform_init((3,), 1.0, seed=0, tensor=0)]
    [-0.2019, 0.761, 0.4714]
    """
    words = philox_stream(int(np.prod(shape)), seed, INIT, c2=tensor)
    u = (words + 0.5) * 2.0**-32
    return np.asarray(((2.0 * u - 1.0) * bound).reshape(shape), dtype)


def linear_init(
    inputs: int, outputs: int, node: int, seed: int = 0, dtype: npt.DTypeLike = np.float32
) -> tuple[str, Array, Array]:
    """Make the layer ("linear", W, b) at index `node`, W and b uniform in ±1/sqrt(inputs) as in PyTorch."""
    bound = 1.0 / float(inputs) ** 0.5
    weight = uniform_init((inputs, outputs), bound, seed, 2 * node, dtype)
    return "linear", weight, uniform_init((outputs,), bound, seed, 2 * node + 1, dtype)


def permutation(n: int, seed: int, epoch: int) -> Array:
    """Return the order of n rows in an epoch, by Fisher-Yates from the last row down.

    For i = n-1 .. 1 swap entries i and j = floor(word (i + 1) / 2**32), word number n - 1 - i of the stream.

    Examples
    --------
    >>> permutation(5, seed=0, epoch=0).tolist()
    [3, 1, 2, 4, 0]
    """
    words = philox_stream(max(n - 1, 0), seed, SHUFFLE, c1=epoch)
    partner = (words * np.arange(n, 1, -1, dtype=np.uint64)) >> np.uint64(32)
    order = list(range(n))
    for i, j in zip(range(n - 1, 0, -1), partner.tolist(), strict=True):
        order[i], order[j] = order[j], order[i]
    return np.array(order, np.int64)


def dropout_mask(rows: int, columns: int, p: float, seed: int, step: int, node: int) -> Array:
    """Say which elements dropout keeps: (rows, columns) bool, each True with probability 1 - p.

    Element (r, c) is kept if mix(mix(r ^ k0) ^ k1 ^ c) >= round(p 2**32), (k0, k1) the first words of
    philox(step low, step high, node, DROPOUT).

    Examples
    --------
    >>> dropout_mask(2, 4, p=0.5, seed=0, step=0, node=1).astype(int).tolist()
    [[0, 1, 0, 1], [0, 1, 1, 1]]
    """
    k0, k1 = philox4x32([*_halves(step), node, DROPOUT], _halves(seed))[:2]
    row_keys = _mix(np.arange(rows, dtype=np.uint32) ^ k0) ^ k1
    u = _mix(row_keys[:, None] ^ np.arange(columns, dtype=np.uint32))
    return u >= np.uint64(round(p * 2**32))


def _mix(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Scramble words: a bijection of uint32, so different columns of a row never share a draw."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))
