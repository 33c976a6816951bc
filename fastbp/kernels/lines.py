"""Arithmetic on lines, by name, and the one way in which a line is summed: what the kernels of rows share."""

from __future__ import annotations

from fastbp.kernels.flags import inlined
from fastbp.kernels.memory import bytes_of, keep_first, load, load_bits, store, zero_bits
from fastbp.kernels.vector import LINE, V, vector_function


@vector_function
def add(a: V, b: V) -> V:
    return a + b


@vector_function
def subtract(a: V, b: V) -> V:
    return a - b


@vector_function
def times(a: V, b: V) -> V:
    return a * b


@vector_function
def add_product(total: V, a: V, b: V) -> V:
    """total + a b with one rounding."""
    return a.fma(b, total)


@vector_function
def larger(a: V, b: V) -> V:
    """Lane by lane the larger; a NaN in either stays."""
    return a.isnan().select(a, a.ge(b).select(a, b))


@vector_function(scalar=True)
def largest(a: V) -> V:
    return a.reduce(lambda x, y: x.isnan().select(x, x.ge(y).select(x, y)))


@vector_function(scalar=True)
def total(a: V) -> V:
    return a.reduce(lambda x, y: x + y)


@vector_function(scalar=True)
def largest_lane(line: V) -> V:
    """The largest of a line's integers."""
    return line.reduce(lambda a, b: a.umax(b))


@vector_function
def magnitude_bits(seen: V, line: V) -> V:
    """Lane by lane the larger of the integers seen and the bits of |line|.

    Ordered as integers these are ordered as magnitudes, NaN and inf above all.
    """
    mask = (1 << (seen.kind.element.width - 1)) - 1
    return seen.umax(line.bits() & mask)


@inlined
def valid_lanes(panel, width, in_line):
    """How many lanes of this panel hold numbers."""
    return min(in_line, width - panel * in_line)


@inlined
def line_of(op, base, stride, r, panel, z):
    """One panel's line of row r, with zeros for what is padding."""
    count = valid_lanes(panel, op.width, LINE // bytes_of(z))
    return keep_first(load(base + panel * stride + r * LINE, z), count, z)


@inlined
def note_line(largest, line, z):
    """Gather the magnitudes of a line at `largest`."""
    store(largest, magnitude_bits(load_bits(largest, z), line))


@inlined
def note_lines(largest, source, lines, z):
    """Gather the magnitudes of many lines at `largest`."""
    seen = load_bits(largest, z)
    for o in range(0, lines * LINE, LINE):
        seen = magnitude_bits(seen, load(source + o, z))
    store(largest, seen)


@inlined
def note_magnitude(op, me, z):
    """Keep the magnitude gathered in the worker's line as this op's largest, and clear the line."""
    line = me.largest
    keep_largest(op, me, load_bits(line, z))
    store(line, zero_bits(z))


@inlined
def keep_largest(op, me, line):
    """Keep the largest of a line of magnitudes as this op's, if it is."""
    top = largest_lane(line)
    if top > me.magnitudes[op.number]:
        me.magnitudes[op.number] = top
