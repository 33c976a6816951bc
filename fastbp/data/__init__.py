"""Sample data: the handwritten digits that come with the package (see NOTICE.md)."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, ConfigTypeError, not_one_of

__all__ = ["digits"]

# The range of each part in the shuffled rows.
_PARTS = {"train": (0, 1197), "validation": (1197, 1497), "test": (1497, 1797)}


def digits(split: str | None = None, *, seed: SupportsIndex = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Load 1797 images of handwritten digits, 8 by 8 pixels, and their labels.

    Parameters
    ----------
    split : {"train", "validation", "test"}, optional
        Return only this part: 1197, 300 or 300 rows, drawn at random. The three parts share no row and
        together hold every row. By default all rows, in the order of the original file.
    seed : int, 0 <= seed < 2**32
        Which random split; the same seed gives the same rows on every machine. Not used without `split`.

    Returns
    -------
    X : float32 array, shape (rows, 64)
        The pixels row by row, 0 (paper) to 1 (ink) in steps of 1/16, so every value is exact.
    y : int64 array, shape (rows,)
        The digits, 0 to 9.

    Examples
    --------
    >>> import fastbp as fb
    >>> X, y = fb.data.digits()
    >>> X.shape, y.shape
    ((1797, 64), (1797,))
    >>> for row in X[10].reshape(8, 8):
    ...     print("".join("-:*#"[int(3 * pixel)] for pixel in row))
    ---:**--
    --*#:*:-
    --#:-::-
    --#--::-
    --#--::-
    --#--*--
    --**::--
    ---:*---
    >>> int(y[10])
    0
    >>> X, y = fb.data.digits("train")
    >>> len(y)
    1197
    """
    if split is not None and split not in tuple(_PARTS):
        raise not_one_of("split", split, _PARTS)
    table = np.load(Path(__file__).with_name("digits.npy"), allow_pickle=False)
    if split is not None:
        first, end = _PARTS[split]
        table = table[_permutation(len(table), seed)[first:end]]
    return table[:, :64] / np.float32(16), table[:, 64].astype(np.int64)


def _permutation(rows: int, seed: SupportsIndex) -> NDArray[np.int64]:
    try:
        number = operator.index(seed)
    except TypeError:
        raise ConfigTypeError("seed", "must be an integer", f"`{seed!r}`") from None
    if not 0 <= number < 2**32:
        raise ConfigError("seed", "must be at least 0 and below 2**32", f"`{number}`")
    # Not Generator: only RandomState's stream is guaranteed never to change between NumPy versions.
    return np.random.RandomState(number).permutation(rows)
