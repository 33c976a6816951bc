"""The linear layer's product, for rows: z = x W + b, and with other operands everything else that has its shape.

    forward   z  = x W + b       A = x,  B = W panels,                 start at b
    vjp       dx = dz Wᵀ         A = dz, B = panels of Wᵀ,             start at 0
    jvp       tz = tx W          A = tx, B = W panels,                 start at 0

The Jacobian of z in x is Wᵀ for every row, so a cotangent goes back through W and a tangent forward through it. One
kernel does all three: the op's record says which operands. The other half of the vjp, dW = xᵀ dz, is in `weights.py`.

An epilogue is applied while the tile is in registers: relu (forward), or the mask of a relu whose output was saved
(vjp).
"""

from __future__ import annotations

from fastbp.kernels.ahead import ask_to_read
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.lines import note_magnitude
from fastbp.kernels.memory import bytes_of
from fastbp.kernels.ops import EPILOGUE_NONE, ProductOp
from fastbp.kernels.tile import DEPTH, LANES, MIXED, ROWS, RUN, TILE_M, TILE_N, is_tall, tile
from fastbp.kernels.vector import LINE

# Bytes of B above which its next panels are asked for while the rows pass by the present ones: less stays in L2. The
# first tiles ask, a line of each panel a turn; where there are too few of them, lines are asked for in bursts.
KEPT = 2**20

# Panels of the tile of one, two or three rows. A sum waits for its last term, so more sums at once read B faster; with
# registers of half a line three rows of two panels do not stay in them. With four lanes few rows were not looked at.
ONE, TWO, THREE = (4, 4, 4) if LANES == 16 else (4, 2, 1)


@inlined
def place_of(op, me, panel, k0, count, z):
    """Where n panels of the product are: what stands in each operand for row 0, with the strides of panels.

    The first terms are added to zeros or biases, a line for all rows; those from k0 on to what is there.
    """
    # A: (rows, `width`) in   B: (panels, `width`) lines in   C: (rows, panels) out
    a = op.a.start + k0 // (LINE // bytes_of(z)) * op.a.stride
    b = op.b.start + panel * op.b.stride + k0 * LINE
    c = op.c.start + panel * op.c.stride
    y = op.y.start + panel * op.y.stride
    start, start_row, start_panel = me.zero, 0, 0
    if k0 > 0:
        start, start_row, start_panel = c, LINE, op.c.stride
    elif op.bias != 0:
        start, start_panel = op.bias + panel * LINE, LINE
    epilogue = op.epilogue if k0 + count == op.width else EPILOGUE_NONE
    return (
        a, op.a.stride, b, op.b.stride, c, op.c.stride, count, start, start_row, start_panel,
        epilogue, y, op.y.stride, me.largest,
    )  # fmt: skip


@inlined
def product_tile(m, n, place, r, reading, z):
    """The tile of m rows from row r on: n panels of C in registers."""
    a, a_stride, b, b_stride, c, c_stride, count, start, start_row, start_panel, epilogue, y, y_stride, largest = place
    o = r * LINE
    tile(
        z, m, n, ROWS, a + o, a_stride, b, b_stride, c + o, c_stride, count,
        start + r * start_row, start_row, start_panel, epilogue, y + o, y_stride, largest, reading, 0,
    )  # fmt: skip


@inlined
def product_rows(n, op, me, r0, r1, panel, k0, count, ahead, z):
    """Rows r0 to r1 of n panels, `count` terms from k0 on; lines of B at `ahead` are asked for, unless that is 0."""
    place = place_of(op, me, panel, k0, count, z)
    b, b_stride = place[2], place[3]
    each = DEPTH // max(1, (r1 - r0) // TILE_M) + 1
    gently = ahead != 0 and count == DEPTH and r1 - r0 >= DEPTH // RUN * TILE_M
    asked = 0
    r = r0
    while r + TILE_M <= r1 and (not MIXED or is_tall(r1 - r)):
        if gently:
            product_tile(TILE_M, n, place, r, ahead + asked * LINE if asked < DEPTH else b, z)
            asked += RUN
        else:
            if ahead != 0 and asked < DEPTH:
                ask_to_read(ahead, b_stride, n, asked, asked + each)
                asked += each
            product_tile(TILE_M, n, place, r, 0, z)
        r += TILE_M
    while TILE_M > 4 and r + 4 <= r1:
        if ahead != 0 and asked < DEPTH:
            ask_to_read(ahead, b_stride, n, asked, asked + each)
            asked += each
        product_tile(4, n, place, r, 0, z)
        r += 4
    if r + 2 <= r1:
        product_tile(2, n, place, r, 0, z)
        r += 2
    if r < r1:
        product_tile(1, n, place, r, 0, z)


@inlined
def few_rows(rows, n, op, me, r0, z):
    """So few rows by n panels, both constants, as often as there are so many; returns the first panel that is left."""
    panel = 0
    while panel + n <= op.panels:
        product_tile(rows, n, place_of(op, me, panel, 0, op.width, z), r0, 0, z)
        panel += n
    return panel


@kernel(ProductOp)
def product(op, me, r0, r1, z):
    """C = epilogue(start + A B) for rows r0 to r1."""
    depth = op.width
    panels = op.panels
    streamed = depth * panels * LINE > KEPT
    panel = 0
    if LANES >= 8:
        if r1 - r0 == 1:
            panel = few_rows(1, ONE, op, me, r0, z)
        elif r1 - r0 == 2:
            panel = few_rows(2, TWO, op, me, r0, z)
        elif r1 - r0 == 3:
            panel = few_rows(3, THREE, op, me, r0, z)
    while panel < panels:
        pair = TILE_N > 1 and panel + TILE_N <= panels
        for k0 in range(0, depth, DEPTH):
            count = min(DEPTH, depth - k0)
            ahead = 0
            if streamed and k0 + DEPTH < depth:
                ahead = op.b.start + panel * op.b.stride + (k0 + DEPTH) * LINE
            elif streamed and panel + TILE_N < panels:
                ahead = op.b.start + (panel + TILE_N) * op.b.stride
            if pair:
                product_rows(TILE_N, op, me, r0, r1, panel, k0, count, ahead, z)
            else:
                product_rows(1, op, me, r0, r1, panel, k0, count, ahead, z)
        panel += TILE_N if pair else 1
    note_magnitude(op, me, z)
