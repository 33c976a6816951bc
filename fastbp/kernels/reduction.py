"""The sums of `weights.py`: dW = xᵀ dz of some inputs, and of the panels of one register tile.

The rows of a batch are read once for each tile of weights, and parameters and moments once for each step, none of which
caches keep for wide layers. So while a register tile is reduced, lines are asked for that are needed some tiles later.
"""

from __future__ import annotations

from fastbp.kernels.ahead import ask_to_write
from fastbp.kernels.flags import inlined
from fastbp.kernels.memory import bytes_of
from fastbp.kernels.ops import EPILOGUE_NONE
from fastbp.kernels.tile import COLUMNS, DEPTH, MIXED, RUN, TILE_M, is_tall, tile
from fastbp.kernels.vector import LINE


@inlined
def ask_for(blocks, offset, stride, n, lines):
    """Have the parameters and moments of a register tile, lines of n panels from an offset on, fetched for writing."""
    ask_to_write(blocks.parameters + offset, stride, n, lines)
    for number in range(1, 4):
        if blocks.each[number] != 0:
            ask_to_write(blocks.each[number] + offset, stride, n, lines)


@inlined
def run_to_write(at, n, inputs, blocks, offset, stride, otherwise):
    """The run of parameters or moments of n panels that tile `at` asks for: one after another, a block after the other.

    Four blocks have no more runs than there are tiles where RUN divides the inputs, so all are near when the last tile
    is done; elsewhere the last ones may be left out. A panel's last run ends with its inputs, which are RUN at least.
    """
    each = (inputs + RUN - 1) // RUN  # runs of a panel
    number = at // (n * each)
    at -= number * n * each
    if number > 3 or blocks.each[number] == 0:
        return otherwise
    return blocks.each[number] + offset + at // each * stride + min(at % each * RUN, inputs - RUN) * LINE


@inlined
def run_to_read(at, n, i, d, d_stride, x_stride, in_line, x_next, d_next):
    """The run that tile `at` asks for: by turns one of x, in the panel of input i, and one of n panels of d."""
    if at % 2 != 0:
        return d if x_next == 0 else x_next + i // in_line * x_stride
    at //= 2
    each = DEPTH // RUN  # runs of a panel
    if d_next == 0 or at // each >= n:
        return d
    return d_next + at // each * d_stride + at % each * RUN * LINE


@inlined
def reduce_tile(m, n, x, x_stride, d, d_stride, me, i, out, out_stride, count, begun, reading, writing, z):
    """The tile of m inputs from input i on: n panels of dW in registers, begun with zeros or the lines at `out`."""
    item = bytes_of(z)
    in_line = LINE // item
    a = x + i // in_line * x_stride + i % in_line * item
    o = out + i * LINE
    start = me.zero
    start_row = 0
    start_panel = 0
    if begun:
        start = o
        start_row = LINE
        start_panel = out_stride
    tile(
        z, m, n, COLUMNS, a, 0, d, d_stride, o, out_stride, count,
        start, start_row, start_panel, EPILOGUE_NONE, 0, 0, me.largest, reading, writing,
    )  # fmt: skip


@inlined
def reduce_panels(
    n, x, x_stride, d, d_stride, me, i0, i1, out, out_stride, b0, count, begun, wanted, stride, x_next, d_next, z
):
    """n panels of dW for inputs i0 to i1, of `count` rows from b0 on, added to the lines at `out` if they are begun.

    Tiles of many rows ask for lines a turn at a time: of parameters and moments from offset `wanted` on, unless that is
    negative, and where x and d go on, unless these are 0: x with a run of a panel, d with all rows of n panels. Where
    there are too few tiles or rows for runs, parameters and moments are asked for in bursts.
    """
    # x: (B, I) in   d: (B, n panels) in   out: (n, i1 - i0) lines in and out
    in_line = LINE // bytes_of(z)
    x += b0 * LINE
    d += b0 * LINE
    out -= i0 * LINE
    blocks = me.head.update.blocks
    gently = count == DEPTH and i1 - i0 >= RUN and (wanted >= 0 or x_next != 0 or d_next != 0)
    i = i0
    at = 0
    while i < i1:
        left = min(i1 - i, in_line - i % in_line)  # a tile ends with a panel of x
        tall = is_tall(left)
        if not tall and not (MIXED and left >= 4):
            break
        high = TILE_M if tall else 4
        reading, writing = d, out + i0 * LINE
        if gently:
            reading = run_to_read(at, n, i, d, d_stride, x_stride, in_line, x_next, d_next)
            if wanted >= 0:
                writing = run_to_write(at, n, i1 - i0, blocks, wanted + i0 * LINE, stride, writing)
        elif wanted >= 0:
            ask_for(blocks, wanted + i * LINE, stride, n, high)
        if tall:
            if gently:
                reduce_tile(
                    TILE_M, n, x, x_stride, d, d_stride, me, i, out, out_stride, count, begun, reading, writing, z
                )
            else:
                reduce_tile(TILE_M, n, x, x_stride, d, d_stride, me, i, out, out_stride, count, begun, 0, 0, z)
        elif MIXED:
            if gently:
                reduce_tile(4, n, x, x_stride, d, d_stride, me, i, out, out_stride, count, begun, reading, writing, z)
            else:
                reduce_tile(4, n, x, x_stride, d, d_stride, me, i, out, out_stride, count, begun, 0, 0, z)
        at += 1
        i += high
    while TILE_M > 4 and not MIXED and i + 4 <= i1:
        reduce_tile(4, n, x, x_stride, d, d_stride, me, i, out, out_stride, count, begun, 0, 0, z)
        i += 4
    if i + 2 <= i1:
        reduce_tile(2, n, x, x_stride, d, d_stride, me, i, out, out_stride, count, begun, 0, 0, z)
        i += 2
    if i < i1:
        reduce_tile(1, n, x, x_stride, d, d_stride, me, i, out, out_stride, count, begun, 0, 0, z)
