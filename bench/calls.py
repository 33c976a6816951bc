"""Calls of a trained net as data: how many rows, how they lie in memory, and whether the caller brings a buffer.

Flops of a call are 2 rows I O for each layer; activations and biases are left out, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bench.cases import Case, initial_weights

Array = npt.NDArray[Any]

FEW_ROWS = 512  # of the data set of small calls, which take one portion of it after another


@dataclass(frozen=True)
class Call:
    """`predict` of a relu net, again and again on rows of one number.

    Attributes
    ----------
    sizes : tuple of int
        Widths, the inputs first. Relu stands between the layers, not after the last.
    rows : int
        Rows of a call.
    out : bool
        Whether the caller brings the buffer of the outputs. Rivals that cannot write into one return their own.
    turned : bool
        Whether the rows are those of a table that is stored column by column, so that neighbours in a row lie `rows`
        numbers apart.
    """

    kind: ClassVar[str] = "predict"
    unit: ClassVar[str] = "call"

    sizes: tuple[int, ...]
    rows: int
    out: bool = False
    turned: bool = False

    @property
    def name(self) -> str:
        many = "1 row" if self.rows == 1 else f"{self.rows} rows"
        return "-".join(map(str, self.sizes)) + f", {many}{', out=' * self.out}{' by columns' * self.turned}"

    title = name

    @property
    def flops(self) -> int:
        """Flops of one call."""
        return 2 * self.rows * sum(i * o for i, o in zip(self.sizes[:-1], self.sizes[1:], strict=True))

    def arrays(self) -> list[Array]:
        """The weights [W, b, W, b, ...], then X: (rows, I) float32 of a whole number of calls."""
        return [*initial_weights(Case(self.name, self.sizes, 1)), self.data()]

    def data(self, seed: int = 0) -> Array:
        rows, random = self.rows * max(1, FEW_ROWS // self.rows), np.random.default_rng([seed, 3])
        if self.turned:
            return random.standard_normal((self.sizes[0], rows), dtype=np.float32).T
        return random.standard_normal((rows, self.sizes[0]), dtype=np.float32)


SMALL, LARGE = (17, 64, 64, 6), (784, 512, 256, 10)
CALLS = (
    *(Call(sizes, rows, out) for sizes in (SMALL, LARGE) for rows, out in [(1, False), (1, True), (32, False)]),
    Call(SMALL, 1_000_000, turned=True),  # of 784 columns that would be 3 GB for every contender
)


def named(substrings: Sequence[str]) -> list[Call]:
    """Return the calls whose name contains one of the substrings; all of them when there are none.

    >>> [call.name for call in named(["17-64-64-6, 1 row"])]
    ['17-64-64-6, 1 row', '17-64-64-6, 1 row, out=']
    """
    return [call for call in CALLS if not substrings or any(part in call.name for part in substrings)]
