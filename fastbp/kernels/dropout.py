"""Dropout: y = m ∘ x / (1 - p), with m = 1 where 32 random bits are at least p 2³², else 0.

    forward   y  = m ∘ x s           s = 1 / (1 - p), so that E[y] = x
    vjp       dx = m ∘ dy s          diagonal, and the mask does not depend on x
    jvp       ty = m ∘ tx s

The mask is a pure function of (seed, step, layer, row, column), a step being one batch: four Philox words k make
the key of a layer and step, and

    bits(r, c) = mix(mix(r ^ k0) ^ k1 ^ c)

where mix is an invertible 32-bit scrambler. So nothing is saved: the vjp makes the same mask again. With a schedule p
is the layer's times f <= 1 of the step, and p 2³² is rounded half up.
"""

from __future__ import annotations

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.memory import as_real, bytes_of, load, store
from fastbp.kernels.ops import DropoutOp
from fastbp.kernels.philox import DROPOUT, LOW, philox
from fastbp.kernels.vector import LINE, V, vector_function
from fastbp.kernels.words import exists


@inlined
def mix(x):
    """Scramble 32 bits (in an int64) so that every input bit reaches every output bit."""
    x ^= x >> 16
    x = (x * 0x7FEB352D) & LOW
    x ^= x >> 15
    x = (x * 0x846CA68B) & LOW
    return x ^ (x >> 16)


@vector_function
def masked(x: V, scale: V, row: V, column: V, chance: V) -> V:
    """x * scale where the bits of (row, column) are at least `chance`, else 0; the last three are 32-bit integers,
    `column` that of lane 0."""
    bits = row ^ (column + column.lane_numbers())
    bits = bits ^ (bits >> 16)
    bits = bits * 0x7FEB352D
    bits = bits ^ (bits >> 15)
    bits = bits * 0x846CA68B
    bits = bits ^ (bits >> 16)
    return bits.ge(chance).select(x * scale, 0.0)


@kernel(DropoutOp)
def dropout(op, me, r0, r1, z):
    """C = A ∘ m s for rows r0 to r1: forward, vjp and jvp are this one product."""
    head = me.head
    step = head.step.draw
    seed = head.data.seed
    k0, k1, _, _ = philox(step & LOW, (step >> 32) & LOW, op.node, DROPOUT, seed & LOW, (seed >> 32) & LOW)
    chance, part = op.chance, op.scale
    if exists(head.step.drops):
        p = op.p * head.step.dropping
        chance, part = min(int(p * 4294967296.0 + 0.5), LOW), 1.0 / (1.0 - p)
    scale = as_real(part, z)
    in_line = LINE // bytes_of(z)
    first = op.first_panel * in_line
    for r in range(r0, r1):
        row = mix(((r + me.shift) & LOW) ^ k0) ^ k1
        source = op.a.start + r * LINE
        target = op.c.start + r * LINE
        for panel in range(op.panels):
            kept = masked(load(source, z), scale, row, first + panel * in_line, chance)
            store(target, kept)
            source += op.a.stride
            target += op.c.stride
