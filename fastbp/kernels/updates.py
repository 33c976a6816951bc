"""The update as a phase of its own, where all gradients are needed before the first is applied, or penalties are known
only with them.

    norm      s = Σ g²  over a piece of `gradients`, then  c = min(1, limit / (√Σ s + 1e-6))    (Pascanu et al., 2013)
    update    g ← c g, then the optimiser, tile by tile

Pieces are cut by the layout of `gradients` alone and their sums are added in order, so no bit depends on the threads.

Of a piece whose squares no float64 holds, s is -Σ (2⁻ᵏ g)², k = 600, and then the norm is taken of all 2⁻ᵏ g. Where
c < 2⁻ᵏ (k = 60 in float32) it might be subnormal, and a step nothing: there g ← (2⁻ᵏ g) (2ᵏ c). A power of two rounds
nothing, so both ways have the same bits wherever both are possible.
"""

from __future__ import annotations

from math import sqrt

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.lines import add_product, times, total
from fastbp.kernels.memory import as_real, bytes_of, fill, get_real, load, store
from fastbp.kernels.records import Piece, Tile
from fastbp.kernels.vector import LINE
from fastbp.kernels.weights import apply, transpose_tile

DOWN = 2.0**-600  # whose square, times the largest number's, is far from both ends of float64


@inlined
def times_squared(g, lines, power, z):
    """The sum of squares of lines of numbers, each times a power of two."""
    power = as_real(power, z)
    summed = fill(z)
    for o in range(0, lines * LINE, LINE):
        line = times(load(g + o, z), power)
        summed = add_product(summed, line, line)
    return float(total(summed))


@inlined
def squares_of(g, lines, z):
    """The sum of squares of lines of numbers; where no float64 holds it minus that of 2⁻ᵏ times them."""
    squares = times_squared(g, lines, 1.0, z)
    large = not squares - squares == 0.0
    if large and bytes_of(z) == 8:
        squares = -times_squared(g, lines, DOWN, z)
    elif large:  # for float32, not for float64
        squares = 0.0
        for o in range(0, lines * LINE, bytes_of(z)):
            number = 1.0 * get_real(g + o, z)  # a float64; `float` would leave it a float32
            squares += number * number
    return squares


@inlined
def root_of(squares, count):
    """The root of some such sums, added in their order, and the power of two by which it is to be taken."""
    whole, scaled = 0.0, 0.0
    for i in range(count):
        found = squares[i]
        if found < 0.0:
            whole = 1e400
            scaled -= found
        else:
            whole += found
            scaled += found * DOWN * DOWN
    if not whole - whole == 0.0:
        return sqrt(scaled), DOWN
    return sqrt(whole), 1.0


@kernel(Piece)
def norm(task, me, r0, r1, z):
    """The sum of squares of one piece of `gradients`."""
    head = me.head
    head.update.norms[task.number] = squares_of(head.update.gradients + task.first, task.lines, z)


@inlined
def apply_kept(head, me, learned, offset, lines, z):
    """Update parameters at `offset` from their gradients in `gradients`, of which a copy is clipped."""
    power, scale = as_real(head.update.clip_power, z), as_real(head.update.clip_scale, z)
    g = head.update.gradients + offset
    scratch = me.scratch
    for o in range(0, lines * LINE, LINE):
        store(scratch + o, times(times(load(g + o, z), power), scale))
    me.gradients = scratch
    apply(head.update.kernel, head, me, learned, offset, lines, z)


@kernel(Tile)
def update(task, me, r0, r1, z):
    """Apply the gradients of one tile, and renew its transposed copy; or only try to."""
    head = me.head
    layer = task.layer
    i0 = task.i0
    i1 = task.i1
    p0 = task.p0
    p1 = task.p1
    if layer.shared != 0:  # the sum over all panels is one number
        p1 = p0 + 1
    if layer.weight.offset >= 0:
        for panel in range(p0, p1):
            offset = layer.weight.offset + panel * layer.weight.stride + i0 * LINE
            apply_kept(head, me, layer.weight, offset, i1 - i0, z)
    if i0 == 0 and layer.bias.offset >= 0:
        apply_kept(head, me, layer.bias, layer.bias.offset + p0 * LINE, p1 - p0, z)
    if layer.transposed.start != 0 and head.step.checking == 0:
        transpose_tile(head, layer, i0, i1, p0, p1, z)
