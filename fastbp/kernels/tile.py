"""The register tile: M rows by N panels of C (+)= A B, one generator for every product.

    c[m, n, :] += Σ_k a[m, k] b[n, k, :]

`b[n, k, :]` is a line, `a[m, k]` one number that is repeated in every lane, so vectors run along columns of C only
and each element is one chain of fused multiply-adds in the order of k, on every machine. A is read in one of two
ways:

    ROWS     a[m, k] stands m lines down and k numbers along: activations times weights (forward), cotangents times
             transposed weights (δ Wᵀ)
    COLUMNS  a[m, k] stands m numbers along and k lines down: inputs transposed times cotangents (xᵀ δ)

Which M and N fit depends on the registers, each of which holds `LANES` float32. With 32 of a whole line, 8 x 2 lines of
C, 2 of B and one of A are 19, and 16 chains hide the latency of an FMA twice over. On one core of Zen 5 it ran at 201
to 236 GFLOP/s; 12 x 2, 14 x 2, 8 x 3, 6 x 4, 12 x 1 and 16 x 1 ran at 195 to 229 and were no better on all sizes.
With 16 narrower registers 4 x 1 lines fit.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastbp.kernels import levels
from fastbp.kernels.memory import load_from, size_of, store_to
from fastbp.kernels.ops import EPILOGUE_RELU, EPILOGUE_RELU_VJP
from fastbp.kernels.vector import I64, LINE, V, VectorType, call_llvm, splat, suffix

LANES = levels.level().lanes

# Rows and panels of the largest tile; smaller powers of two serve the tails.
TILE_M = 8 if LANES == 16 else 4
TILE_N = 2 if LANES == 16 else 1

ROWS, COLUMNS = 0, 1


class Emitter:
    """Builds one tile's instructions; lines are split into pieces as wide as the machine's registers."""

    def __init__(self, builder: ir.IRBuilder, real: Any, m: int, n: int) -> None:
        self.builder, self.m, self.n = builder, m, n
        line = VectorType(real).llvm()
        self.element = line.element
        self.itemsize = size_of(self.element)
        self.lanes = line.count * LANES // 16
        self.vector = ir.VectorType(self.element, self.lanes)
        self.pieces = 16 // LANES

    def number(self, value: int) -> ir.Constant:
        return ir.Constant(I64, value)

    def at(self, base: ir.Value, offset: int) -> ir.Value:
        return self.builder.add(base, self.number(offset)) if offset else base

    def panels(self, base: ir.Value, stride: ir.Value) -> list[ir.Value]:
        """The address of each panel's first line."""
        out = [base]
        for _ in range(self.n - 1):
            out.append(self.builder.add(out[-1], stride))
        return out

    def tile(self) -> list[tuple[int, int, int]]:
        """(row, panel, piece) of every register of C."""
        return [(m, n, p) for m in range(self.m) for n in range(self.n) for p in range(self.pieces)]

    def offset(self, piece: int) -> int:
        return piece * LINE // self.pieces

    def loop(self, accumulators: list[ir.Value], a: Any, b: Any, count: Any, mode: int) -> list[ir.Value]:
        """The sum over k, at least one term."""
        builder = self.builder
        (a, a_stride), (b, b_stride) = a, b
        entry = builder.block
        body, after = builder.append_basic_block("k"), builder.append_basic_block("summed")
        builder.branch(body)
        builder.position_at_end(body)
        k, here, line = (builder.phi(I64) for _ in range(3))
        for phi, first in ((k, self.number(0)), (here, a), (line, b)):
            phi.add_incoming(first, entry)
        sums = []
        for start in accumulators:
            phi = builder.phi(self.vector)
            phi.add_incoming(start, entry)
            sums.append(phi)

        weights = {
            (n, p): load_from(builder, self.at(address, self.offset(p)), self.vector)
            for n, address in enumerate(self.panels(line, b_stride))
            for p in range(self.pieces)
        }
        step = LINE if mode == ROWS else self.itemsize
        rows = []
        for m in range(self.m):
            scalar = load_from(builder, self.at(here, m * step), self.element)
            rows.append(splat(builder, scalar, self.lanes))
        fma = f"llvm.fma.{suffix(self.vector)}"
        new = [
            call_llvm(builder, fma, self.vector, [rows[m], weights[n, p], total])
            for (m, n, p), total in zip(self.tile(), sums, strict=True)
        ]

        next_k = builder.add(k, self.number(1))
        if mode == ROWS:
            in_line = LINE // self.itemsize
            wraps = builder.icmp_signed("==", builder.and_(next_k, self.number(in_line - 1)), self.number(0))
            jump = builder.sub(a_stride, self.number(LINE - self.itemsize))
            forward = builder.select(wraps, jump, self.number(self.itemsize))
        else:
            forward = self.number(LINE)
        k.add_incoming(next_k, body)
        here.add_incoming(builder.add(here, forward), body)
        line.add_incoming(builder.add(line, self.number(LINE)), body)
        for phi, value in zip(sums, new, strict=True):
            phi.add_incoming(value, body)
        builder.cbranch(builder.icmp_signed("<", next_k, count), body, after)
        builder.position_at_end(after)
        return new

    def finish(self, values: list[ir.Value], c: Any, y: Any, epilogue: ir.Value, largest: ir.Value) -> None:
        """Apply the epilogue, note the largest magnitude, store."""
        builder = self.builder
        (c, c_stride), (y, y_stride) = c, y
        done = builder.append_basic_block("stored")
        cases = {}
        for code in (EPILOGUE_RELU, EPILOGUE_RELU_VJP):
            cases[code] = builder.append_basic_block(f"epilogue{code}")
        plain = builder.append_basic_block("plain")
        switch = builder.switch(epilogue, plain)
        for code, block in cases.items():
            switch.add_case(ir.Constant(I64, code), block)

        def relu(value: V, position: tuple[int, int, int]) -> V:
            return value.le(0.0).select(0.0, value)

        def relu_vjp(value: V, position: tuple[int, int, int]) -> V:
            m, n, p = position
            saved = load_from(builder, self.at(saved_panels[n], m * LINE + self.offset(p)), self.vector)
            return V(builder, saved).gt(0.0).select(value, 0.0)

        for block, transform in (
            (plain, None),
            (cases[EPILOGUE_RELU], relu),
            (cases[EPILOGUE_RELU_VJP], relu_vjp),
        ):
            builder.position_at_end(block)
            saved_panels = self.panels(y, y_stride)
            panels = self.panels(c, c_stride)
            integers = V(builder, values[0]).bits().kind
            top = V(builder, load_from(builder, largest, integers))
            for position, value in zip(self.tile(), values, strict=True):
                m, n, p = position
                out = V(builder, value)
                magnitude = (1 << (integers.element.width - 1)) - 1
                top = top.umax(out.bits() & magnitude)
                if transform is not None:
                    out = transform(out, position)
                store_to(builder, self.at(panels[n], m * LINE + self.offset(p)), out.value)
            store_to(builder, largest, top.value)
            builder.branch(done)
        builder.position_at_end(done)


@intrinsic(prefer_literal=True)
def tile(
    typing_context: Any,
    z: Any,
    m: Any,
    n: Any,
    mode: Any,
    a: Any,
    a_stride: Any,
    b: Any,
    b_stride: Any,
    c: Any,
    c_stride: Any,
    count: Any,
    start: Any,
    start_row: Any,
    start_panel: Any,
    epilogue: Any,
    y: Any,
    y_stride: Any,
    largest: Any,
) -> Any:
    """One tile: m, n and mode are constants, `count` >= 1 terms are added to the lines at `start`.

    `start_row` and `start_panel` are the strides of `start`: the tile of C itself, one line of biases a panel (row
    stride 0), or a line of zeros (both 0). `epilogue` and `y` are those of the op. `largest` is a line of integers.
    """
    sizes = m.literal_value, n.literal_value, mode.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, a_stride, b, b_stride, c, c_stride, count, start, start_row, start_panel, *rest = args[4:]
        epilogue, y, y_stride, largest = rest
        emit = Emitter(builder, z, sizes[0], sizes[1])
        first = []
        panels = emit.panels(start, start_panel)
        for row, panel, piece in emit.tile():
            down = builder.mul(start_row, emit.number(row))
            address = builder.add(emit.at(panels[panel], emit.offset(piece)), down)
            first.append(load_from(builder, address, emit.vector))
        sums = emit.loop(first, (a, a_stride), (b, b_stride), count, sizes[2])
        emit.finish(sums, (c, c_stride), (y, y_stride), epilogue, largest)
        return context.get_dummy_value()

    return types.void(z, m, n, mode, *[types.int64] * 14), generate
