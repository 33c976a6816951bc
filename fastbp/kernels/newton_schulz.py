"""The orthogonal matrix nearest to a direction of steps, by Newton and Schulz's iteration (Jordan et al., 2024).

    momentum    u = m' + (1 - μ)(g - m'),  m' = m + (1 - μ)(g - m)         and the sum of squares of each panel
    begin       X = u / (‖u‖ + 10⁻⁷), or its transpose where that is narrower
    gram        S = Xᵀ X
    factor      F = a I + b S + c S²                                       a, b, c = 3.4445, -4.7750, 2.0315
    product     X ← X F
    end         the transpose of X, where X was

With X = U Σ Vᵀ, S = V Σ² Vᵀ, so X F = U (a Σ + b Σ³ + c Σ⁵) Vᵀ: five turns bring each of the singular values, at most 1
at first, near 1, and leave U and Vᵀ. The published form, with A = X Xᵀ and (a I + b A + c A²) X for a wide X, is this
one transposed.

S and F are symmetric, to the bit: S[i, j] and S[j, i] are one chain of the same products, each of which is the same
from either side. So a task computes a block right of the diagonal and writes it on the other side, too, and of a block
on the diagonal each panel down to its own rows. That saves a third of all: Xᵀ X and S² cost little more than half. A
task owns what it writes; blocks are cut by the matrix alone.

u is finite where g, m and their difference are: what is not is found by the trial of the update (`attempts.py`).
"""

from __future__ import annotations

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.lines import times
from fastbp.kernels.memory import as_real, bytes_of, get_real, load, put_real, store, zero_bits
from fastbp.kernels.ops import Turn
from fastbp.kernels.optimizers.muon import settings_at
from fastbp.kernels.optimizers.rule import mean_line
from fastbp.kernels.products import product_rows
from fastbp.kernels.reduction import reduce_panels
from fastbp.kernels.tile import DEPTH, TILE_N
from fastbp.kernels.updates import root_of, squares_of
from fastbp.kernels.vector import LINE, V, vector_function
from fastbp.kernels.weights import transpose_block, within

A, B, C = 3.4445, -4.7750, 2.0315
TINY = 1e-7  # is added to the norm
BLOCK = 64  # columns of a block of S: 64 x 64 numbers and two such bands of X are in L1 and L2


@vector_function
def direction_line(g: V, m: V, part: V) -> V:
    """u."""
    return mean_line(mean_line(m, g, part), g, part)


@vector_function
def powers_line(s: V, square: V) -> V:
    """b S + c S²."""
    return square.fma(C, s * B)


@inlined
def current(task):
    """The product of this turn."""
    return task.matrix.back if task.swapped != 0 else task.matrix.forth


@kernel(Turn)
def muon_momentum(task, me, r0, r1, z):
    """u of panels p0 to p1, from gradients that wait, and the sum of squares of each: see `updates.py`."""
    head, matrix = me.head, task.matrix
    power, scale = as_real(head.update.clip_power, z), as_real(head.update.clip_scale, z)
    limit = as_real(head.update.clip_value, z)
    part = as_real(1.0 - settings_at(head.update.settings).momentum, z)
    clipped = head.update.clip_value > 0.0
    for panel in range(task.p0, task.p1):
        offset = matrix.offset + panel * matrix.stride
        out = head.update.directions + offset
        for o in range(0, matrix.inputs * LINE, LINE):
            g = times(times(load(head.update.gradients + offset + o, z), power), scale)
            if clipped:
                g = within(g, limit)
            store(out + o, direction_line(g, load(head.update.blocks.moment_1 + offset + o, z), part))
        matrix.squares[panel] = squares_of(out, matrix.inputs, z)


@inlined
def norm_of(matrix):
    """‖u‖ from the sums of its panels, in their order, and the power of two by which it is to be taken."""
    norm, down = root_of(matrix.squares, matrix.panels)
    return norm + (TINY if down == 1.0 else 0.0), down


@kernel(Turn)
def muon_begin(task, me, r0, r1, z):
    """X of panels p0 to p1 of the matrix: columns of X, or rows where it is turned."""
    matrix, x = task.matrix, current(task).a
    norm, power = norm_of(matrix)
    down, scale = as_real(power, z), as_real(1.0 / norm, z)
    in_line = LINE // bytes_of(z)
    for panel in range(task.p0, task.p1):
        source = me.head.update.directions + matrix.offset + panel * matrix.stride
        if matrix.turned == 0:
            target = x.start + panel * x.stride
            for o in range(0, matrix.inputs * LINE, LINE):
                store(target + o, times(times(load(source + o, z), down), scale))
        else:
            for i in range(0, matrix.inputs, in_line):
                target = x.start + i // in_line * x.stride + panel * in_line * LINE
                transpose_block(source + i * LINE, target, z)
                for o in range(0, in_line * LINE, LINE):
                    store(target + o, times(times(load(target + o, z), down), scale))


@inlined
def end_of(task, i1, panel, z):
    """Where rows of a block end that are computed up to this panel: at the diagonal, or with the block."""
    return i1 if task.r0 != task.p0 else min(i1, panel * (LINE // bytes_of(z)))


@inlined
def columns_product(source, rows, out, width, me, task, z):
    """A block of sourceᵀ source, rows r0 to r1 and columns p0 to p1, which are blocks: what `end_of` says of it."""
    in_line = LINE // bytes_of(z)
    wide = BLOCK // in_line
    last = (width + in_line - 1) // in_line
    i0, i1 = task.r0 * BLOCK, min(task.r1 * BLOCK, width)
    p0, p1 = task.p0 * wide, min(task.p1 * wide, last)
    begun = False
    for b0 in range(0, rows, DEPTH):
        count = min(DEPTH, rows - b0)
        panel = p0
        while panel < p1:
            target, d = out.start + panel * out.stride + i0 * LINE, source.start + panel * source.stride
            if TILE_N > 1 and panel + TILE_N <= p1:
                reduce_panels(
                    TILE_N, source.start, source.stride, d, source.stride, me, i0,
                    end_of(task, i1, panel + TILE_N, z), target, out.stride, b0, count, begun, -1, 0, 0, 0, z,
                )  # fmt: skip
                panel += TILE_N
            else:
                reduce_panels(
                    1, source.start, source.stride, d, source.stride, me, i0,
                    end_of(task, i1, panel + 1, z), target, out.stride, b0, count, begun, -1, 0, 0, 0, z,
                )  # fmt: skip
                panel += 1
        begun = True
    store(me.largest, zero_bits(z))
    return i0, i1, p0, p1


@inlined
def mirror(out, task, i0, i1, p0, p1, z):
    """Write what of a block is right of the diagonal on the other side."""
    in_line = LINE // bytes_of(z)
    for panel in range(p0, p1):
        for i in range(i0, end_of(task, i1, panel, z), in_line):
            source = out.start + panel * out.stride + i * LINE
            transpose_block(source, out.start + i // in_line * out.stride + panel * in_line * LINE, z)


@kernel(Turn)
def muon_gram(task, me, r0, r1, z):
    """A block of S = Xᵀ X, and its mirror image."""
    matrix = task.matrix
    i0, i1, p0, p1 = columns_product(current(task).a, matrix.rows, matrix.gram, matrix.width, me, task, z)
    mirror(matrix.gram, task, i0, i1, p0, p1, z)


@kernel(Turn)
def muon_factor(task, me, r0, r1, z):
    """A block of F = a I + b S + c S², and its mirror image."""
    matrix = task.matrix
    in_line = LINE // bytes_of(z)
    s, out = matrix.gram, matrix.forth.b
    i0, i1, p0, p1 = columns_product(s, matrix.width, out, matrix.width, me, task, z)
    for panel in range(p0, p1):
        o = panel * out.stride
        for i in range(i0 * LINE, end_of(task, i1, panel + 1, z) * LINE, LINE):
            store(out.start + o + i, powers_line(load(s.start + panel * s.stride + i, z), load(out.start + o + i, z)))
    mirror(out, task, i0, i1, p0, p1, z)
    if task.r0 != task.p0:
        return
    for i in range(i0, i1):
        place = out.start + i // in_line * out.stride + i * LINE + i % in_line * bytes_of(z)
        put_real(place, get_real(place, z) + as_real(A, z))


@kernel(Turn)
def muon_product(task, me, r0, r1, z):
    """Rows r0 to r1 of panels p0 to p1 of X F."""
    op = current(task)
    depth, panel = op.width, task.p0
    while panel < task.p1:
        pair = TILE_N > 1 and panel + TILE_N <= task.p1
        for k0 in range(0, depth, DEPTH):
            count = min(DEPTH, depth - k0)
            if pair:
                product_rows(TILE_N, op, me, task.r0, task.r1, panel, k0, count, 0, z)
            else:
                product_rows(1, op, me, task.r0, task.r1, panel, k0, count, 0, z)
        panel += TILE_N if pair else 1
    store(me.largest, zero_bits(z))


@kernel(Turn)
def muon_end(task, me, r0, r1, z):
    """Panels p0 to p1 of the directions, where X is their transpose."""
    matrix, x = task.matrix, current(task).a
    in_line = LINE // bytes_of(z)
    for panel in range(task.p0, task.p1):
        target = me.head.update.directions + matrix.offset + panel * matrix.stride
        for i in range(0, matrix.inputs, in_line):
            transpose_block(x.start + i // in_line * x.stride + panel * in_line * LINE, target + i * LINE, z)
