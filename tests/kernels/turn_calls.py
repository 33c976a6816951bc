"""What `calls` is, for the tasks by which directions become orthogonal: all tasks of one matrix."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from fastbp.kernels.newton_schulz import BLOCK
from fastbp.kernels.ops import Direction, ProductOp
from fastbp.kernels.optimizers.muon import MuonSettings
from tests.kernels.calls import Layer
from tests.kernels.harness import Array, Buffer, Machine, Panels

MOMENTUM = 0.95
CLIP = 0.5
# Either side of a panel, of a block of columns and of a product's depth; squares, and both ways of an oblong.
SHAPES = ((2, 2), (17, 3), (3, 17), (16, 16), (33, 40), (40, 33), (63, 5), (64, 64), (65, 66), (130, 70), (70, 300))
SIZES = ((1, 1), (7, 2), (8, 8), (15, 1), (17, 16), (33, 33), (63, 63), (64, 64), (65, 65), (260, 66), (300, 130))


def block(m: Machine, name: str, layer: Layer, matrix: Array) -> Buffer:
    """A matrix laid out as a parameter."""
    return m.line_numbers(name, layer.flat(matrix, None))


def directions(m: Machine, layer: Layer) -> Buffer:
    """A block that a call must fill, but for padding lines."""
    size = layer.flat(np.zeros((1, 1), m.dtype), None).size
    found = m.whole("directions", m.memory.lines(size // m.in_line), size, output=True)
    found.must = found.may = layer.written()
    m.head.update.directions = found.address
    return found


def record(m: Machine, layer: Layer, **values: Any) -> Direction:
    return m.record(Direction, stride=layer.lines * 64, inputs=layer.inputs, panels=layer.panels, **values)


def turn(m: Machine, kernel: str, matrix: Direction, **extent: int) -> None:
    m.run(kernel, 0, 0, matrix=m.address_of(matrix), **extent)


def momentum(m: Machine, g: Array, old: Array, clip_value: float = 0.0) -> list[Array]:
    """u, and the sums of squares."""
    layer = Layer(*g.shape, m.in_line, False)
    m.head.update.gradients = block(m, "gradients", layer, g).address
    m.head.update.blocks.moment_1 = block(m, "moment_1", layer, old).address
    m.head.update.clip_power, m.head.update.clip_scale, m.head.update.clip_value = 1.0, CLIP, clip_value
    MuonSettings(m.head.update.settings.view(np.int64), momentum=MOMENTUM)
    out = directions(m, layer)
    squares = m.user_output("squares", layer.panels, np.float64)
    matrix = record(m, layer, squares=squares.address)
    turn(m, "muon_momentum", matrix, p0=0, p1=layer.panels + m.more_behind)
    return [layer.natural(out.numbers())[0], squares.numbers()]


def squares_of(u: Array, in_line: int) -> Array:
    """Of each panel."""
    columns = [u[:, p : p + in_line] for p in range(0, u.shape[1], in_line)]
    return np.array([np.square(column, dtype=np.float64).sum() for column in columns])


def begin(m: Machine, u: Array) -> list[Array]:
    """X: u over its norm, as wide as it is narrow."""
    layer = Layer(*u.shape, m.in_line, False)
    m.head.update.directions = block(m, "directions", layer, u).address
    turned = u.shape[0] < u.shape[1]
    x = m.panels("x", layer.panels * m.in_line if turned else layer.inputs, min(u.shape))
    m.writes(x, 0, x.rows)
    squares = m.user("squares", squares_of(u, m.in_line))
    matrix = record(m, layer, turned=turned, forth=ProductOp(a=x), squares=squares.address)
    turn(m, "muon_begin", matrix, p0=0, p1=layer.panels + m.more_behind)
    return [x.lines()]


def pairs(width: int) -> Iterator[tuple[int, int]]:
    """Blocks on and right of the diagonal."""
    count = -(-width // BLOCK)
    return ((row, column) for row in range(count) for column in range(row, count))


def symmetric(m: Machine, name: str, width: int) -> Panels:
    """A square matrix that tasks must fill, and in whose last panel the mirror images of blocks may go on."""
    found = m.panels(name, -(-width // m.in_line) * m.in_line, width)
    m.writes(found, 0, found.rows, over=True)
    m.writes(found, 0, width)
    return found


def gram(m: Machine, x: Array) -> list[Array]:
    source, out = m.given("x", x), symmetric(m, "gram", x.shape[1])
    rows = len(x) + m.more_behind
    matrix = m.record(Direction, rows=rows, width=x.shape[1], gram=out, forth=ProductOp(a=source))
    for row, column in pairs(x.shape[1]):
        turn(m, "muon_gram", matrix, r0=row, r1=row + 1, p0=column, p1=column + 1)
    return [out.read()[: x.shape[1]]]


def factor(m: Machine, s: Array) -> list[Array]:
    width = len(s)
    source, out = m.given("s", s), symmetric(m, "factor", width)
    matrix = m.record(Direction, width=width + m.more_behind, gram=source, forth=ProductOp(b=out))
    for row, column in pairs(width):
        turn(m, "muon_factor", matrix, r0=row, r1=row + 1, p0=column, p1=column + 1)
    return [out.read()[:width]]


def product(m: Machine, x: Array, f: Array, cuts: tuple[int, ...] = (), swapped: bool = False) -> list[Array]:
    """X F, in tasks of rows between cuts."""
    source, by, out = m.given("x", x), m.given("f", f), m.panels("y", *x.shape)
    m.writes(out, 0, len(x))
    op = ProductOp(a=source, b=by, c=out, width=len(f), panels=by.count)
    matrix = m.record(Direction, **{"back" if swapped else "forth": op})
    for r0, r1 in pairwise((0, *cuts, len(x))):
        more = m.more_behind if r1 == len(x) else 0
        turn(m, "muon_product", matrix, swapped=swapped, r0=r0, r1=r1 + more, p0=0, p1=by.count)
    return [out.lines()]


def end(m: Machine, direction: Array) -> list[Array]:
    """The direction whose transpose X is."""
    layer = Layer(*direction.shape, m.in_line, False)
    outputs = direction.shape[1]
    x = np.zeros((layer.panels * m.in_line, layer.inputs), m.dtype)
    x[:outputs] = direction.T
    source, out = m.given("x", x), directions(m, layer)
    out.may = np.ones(out.may.shape, bool)  # whole blocks are transposed
    matrix = record(m, layer, turned=1, forth=ProductOp(a=source))
    turn(m, "muon_end", matrix, p0=0, p1=layer.panels + m.more_behind)
    return [layer.natural(out.numbers())[0]]


def cases(dtype: str, normal: Any) -> Iterator[tuple[str, tuple[int, ...], Any]]:
    for inputs, outputs in SHAPES:
        shape = inputs, outputs
        g, old = normal(dtype, *shape), normal(dtype, outputs, inputs).T.copy()
        yield "muon_momentum", shape, partial(momentum, g=g, old=old, clip_value=0.25 * (inputs % 2))
        yield "muon_begin", shape, partial(begin, u=g)
        yield "muon_end", shape, partial(end, direction=g)
    for rows, width in SIZES:
        x = normal(dtype, rows, width)
        s = normal(dtype, width, width)
        yield "muon_gram", (rows, width), partial(gram, x=x)
        yield "muon_factor", (width, width), partial(factor, s=s + s.T)
        yield "muon_product", (rows, width), partial(product, x=x, f=s, swapped=rows % 2 == 1)
