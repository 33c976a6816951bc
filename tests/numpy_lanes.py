"""The vectors of the kernels' formulas as NumPy arrays: the slow twin of `fastbp.kernels.vector.V`.

Every operation is rounded once, `fma` included, so a formula has the bits here that it has when compiled.
With `flush`, subnormals are read and written as zeros, as the processor does inside a sweep.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b and, exactly, what its rounding lost (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a b in float64 and, exactly, what its rounding lost (Dekker, Veltkamp)."""

    def halves(x: Array) -> tuple[Array, Array]:
        c = x * (2.0**27 + 1.0)
        high = c - (c - x)
        return high, x - high

    (ah, al), (bh, bl) = halves(a), halves(b)
    p = a * b
    return p, al * bl - (((p - ah * bh) - al * bh) - ah * bl)


def odd_sum(a: Array, b: Array) -> Array:
    """a + b in float64, or where that is inexact the neighbour ending in 1, safe to round again."""
    s, lost = two_sum(a, b)
    even = (s.view(np.uint64) & np.uint64(1)) == 0
    towards = np.where(lost > 0, np.inf, -np.inf)
    return np.where((lost != 0) & np.isfinite(s) & even, np.nextafter(s, towards), s)


def fused_multiply_add(a: Array, b: Array, c: Array) -> Array:
    """a b + c rounded once (Boldo and Melquiond 2008), unless the product leaves 1e-290 .. 1e290."""
    if a.dtype == np.float32:
        product = a.astype(np.float64) * b.astype(np.float64)  # 48 bits: exact
        return odd_sum(product, c.astype(np.float64)).astype(np.float32)
    high, low = two_product(a, b)
    sum_high, sum_low = two_sum(c, low)
    total_high, total_low = two_sum(high, sum_high)
    exact = total_high + odd_sum(total_low, sum_low)
    return np.where(np.isfinite(exact), exact, a * b + c)


class Lanes:
    """One vector: an array of float32, float64, uint32 or uint64, or a mask."""

    def __init__(self, array: Array, flush: bool = False) -> None:
        self.flush = flush
        self.array = self._flushed(np.asarray(array)) if flush else np.asarray(array)
        self.is_float32 = self.array.dtype == np.float32

    @staticmethod
    def _flushed(array: Array) -> Array:
        if array.dtype.kind != "f":
            return array
        zeros = np.copysign(array.dtype.type(0), array)
        return np.where(np.abs(array) < np.finfo(array.dtype).tiny, zeros, array)

    def _of(self, other: Any) -> Array:
        """The array of another vector, or a number in this vector's dtype."""
        if isinstance(other, Lanes):
            return other.array
        modulo = 1 << (8 * self.array.itemsize)
        return np.full_like(self.array, other if self.array.dtype.kind == "f" else other % modulo)

    def _apply(self, function: Any, *others: Any) -> Lanes:
        with np.errstate(all="ignore"):
            return Lanes(function(self.array, *(self._of(o) for o in others)), self.flush)

    def __add__(self, other: Any) -> Lanes:
        return self._apply(np.add, other)

    def __sub__(self, other: Any) -> Lanes:
        return self._apply(np.subtract, other)

    def __mul__(self, other: Any) -> Lanes:
        return self._apply(np.multiply, other)

    def __truediv__(self, other: Any) -> Lanes:
        return self._apply(np.divide, other)

    def __neg__(self) -> Lanes:
        return self._apply(np.negative)

    def __and__(self, other: Any) -> Lanes:
        return self._apply(np.bitwise_and, other)

    def __or__(self, other: Any) -> Lanes:
        return self._apply(np.bitwise_or, other)

    def __xor__(self, other: Any) -> Lanes:
        return self._apply(np.bitwise_xor, other)

    def __lshift__(self, other: Any) -> Lanes:
        return self._apply(np.left_shift, other)

    def __rshift__(self, other: Any) -> Lanes:
        return self._apply(np.right_shift, other)

    def sra(self, other: Any) -> Lanes:
        shifted = self.array.view(self._kind("i")) >> self._of(other).view(self._kind("i"))
        return Lanes(shifted.view(self.array.dtype), self.flush)

    def fma(self, factor: Any, addend: Any) -> Lanes:
        return self._apply(fused_multiply_add, factor, addend)

    def rint(self) -> Lanes:
        return self._apply(np.rint)

    def abs(self) -> Lanes:
        return self._apply(np.abs)

    def copysign(self, sign: Any) -> Lanes:
        return self._apply(np.copysign, sign)

    def lt(self, other: Any) -> Lanes:
        return self._apply(np.less, other)

    def le(self, other: Any) -> Lanes:
        return self._apply(np.less_equal, other)

    def gt(self, other: Any) -> Lanes:
        return self._apply(np.greater, other)

    def ge(self, other: Any) -> Lanes:
        return self._apply(np.greater_equal, other)

    def isnan(self) -> Lanes:
        return self._apply(np.isnan)

    def select(self, yes: Any, no: Any) -> Lanes:
        """Where this mask is set `yes`, elsewhere `no`; one of the two must be a vector."""
        vector = yes if isinstance(yes, Lanes) else no
        return Lanes(np.where(self.array, vector._of(yes), vector._of(no)), self.flush)

    def min(self, other: Any) -> Lanes:
        return self.lt(other).select(self, other)

    def max(self, other: Any) -> Lanes:
        return self.gt(other).select(self, other)

    def _kind(self, letter: str) -> str:
        return f"{letter}{self.array.itemsize}"

    def bits(self) -> Lanes:
        return Lanes(self.array.view(self._kind("u")), self.flush)

    def as_real(self) -> Lanes:
        return Lanes(self.array.view(self._kind("f")), self.flush)

    def to_int(self) -> Lanes:
        return self._apply(lambda x: x.astype(self._kind("i")).view(self._kind("u")))

    def to_real(self) -> Lanes:
        return Lanes(self.array.view(self._kind("i")).astype(self._kind("f")), self.flush)
