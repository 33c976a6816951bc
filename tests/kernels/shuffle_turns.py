"""A call of each kernel that makes directions orthogonal and moves numbers between lanes, beside its twin."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from fastbp.kernels.newton_schulz import BLOCK, TINY, A, B, C
from tests.kernels import turn_calls
from tests.kernels.harness import Array, Machine
from tests.kernels.shuffle_twin import Draw, Result, Twin, case, cut, fma, joined, products


def mean(old: Array, new: Array, part: float) -> Array:
    return fma(new - old, part, old)


@case("muon_momentum")
def momentum(m: Machine, d: Draw) -> Result:
    g, old = d.numbers(), d.numbers()
    actual = turn_calls.momentum(m, g, old)

    def expected(twin: Twin) -> tuple[Any, ...]:
        clipped, part = g * d.dtype.type(turn_calls.CLIP), 1.0 - turn_calls.MOMENTUM
        u = mean(mean(old, clipped, part), clipped, part)
        lines = cut(u)
        squares = [twin.total(products(panel, panel)) for panel in lines]
        return joined(lines), np.array(squares, np.float64)

    return tuple(actual), expected


@case("muon_begin")
def begin(m: Machine, d: Draw) -> Result:
    u = d.numbers(1 + d.below(d.width))
    actual = turn_calls.begin(m, u)

    def expected(twin: Twin) -> tuple[Any, ...]:
        total = 0.0
        for squares in turn_calls.squares_of(u, d.in_line):
            total += float(squares)
        x = u * d.dtype.type(1.0 / (sqrt(total) + TINY))
        if len(u) >= d.width:
            return (joined(cut(x)),)
        lines = np.zeros((-(-d.width // d.in_line) * d.in_line, len(u)), d.dtype)
        lines[: d.width] = twin.transposed(x)
        return (joined(cut(lines)),)

    return tuple(actual), expected


@case("muon_end")
def end(m: Machine, d: Draw) -> Result:
    x = d.patterns(d.width, 1 + d.below(3 * d.in_line))
    found = turn_calls.end(m, np.ascontiguousarray(x.T))[0][:, : d.width]
    return (np.ascontiguousarray(found),), lambda twin: (twin.transposed(x),)


def mirrored(twin: Twin, whole: Array) -> Array:
    """The matrix whose blocks left of the diagonal are images of those on the right."""
    out = whole.copy()
    for row in range(0, len(out), BLOCK):
        for column in range(row + BLOCK, len(out), BLOCK):
            out[column : column + BLOCK, row : row + BLOCK] = twin.transposed(
                whole[row : row + BLOCK, column : column + BLOCK]
            )
    return out


@case("muon_gram")
def gram(m: Machine, d: Draw) -> Result:
    x = d.numbers(width=BLOCK + d.width)
    actual = turn_calls.gram(m, x)
    return tuple(actual), lambda twin: (mirrored(twin, products(x[:, :, None], x[:, None, :])),)


@case("muon_factor")
def factor(m: Machine, d: Draw) -> Result:
    width = BLOCK + d.width
    s = d.numbers(width, width)
    s = np.triu(s) + np.triu(s, 1).T
    actual = turn_calls.factor(m, s)

    def expected(twin: Twin) -> tuple[Any, ...]:
        f = fma(products(s[:, :, None], s[:, None, :]), C, s * d.dtype.type(B))
        f[np.diag_indices(width)] += d.dtype.type(A)
        return (mirrored(twin, f),)

    return tuple(actual), expected
