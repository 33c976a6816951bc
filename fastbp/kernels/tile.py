"""The register tile: M rows by N panels of C (+)= A B, one generator for every product.

    c[m, n, :] += Σ_k a[m, k] b[n, k, :]

`b[n, k, :]` is a line, `a[m, k]` one number that is repeated in every lane, so vectors run along columns of C only
and each element is one chain of fused multiply-adds in the order of k, on every machine. A is read in one of two
ways:

    ROWS     a[m, k] stands m lines down and k numbers along: activations times weights (forward), cotangents times
             transposed weights (δ Wᵀ)
    COLUMNS  a[m, k] stands m numbers along and k lines down: inputs transposed times cotangents (xᵀ δ)

Which M and N fit depends on the registers, each of which holds `LANES` float32. With 32 of a whole line, 8 x 2 lines of
C, 2 of B and one of A are 19, and 16 chains hide the latency of an FMA twice over. With 16 of half a line, 6 x 1 lines
of C, one of B and a number of A are 15, and 12 chains hide it with some to spare. A turn of the loop does several k,
which shares its scalar instructions among more FMAs. `scripts/tune-tiles` times other shapes. No tile of COLUMNS may
cross from one panel of A into the next.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastbp.kernels import levels
from fastbp.kernels.ahead import FIRST, SECOND, ask
from fastbp.kernels.flags import inlined
from fastbp.kernels.memory import load_from, size_of, store_to
from fastbp.kernels.ops import EPILOGUE_RELU, EPILOGUE_RELU_VJP
from fastbp.kernels.vector import I64, LINE, V, VectorType, call_llvm, splat, suffix

LANES = levels.level().lanes

# Rows and panels of the largest tile; smaller powers of two serve the tails.
TILE_M = {16: 8, 8: 6}.get(LANES, 4)
MIXED = TILE_M == 6  # tiles of 4 rows go with the largest ones: 16 inputs are 6, 6 and 4, 8 are 4 and 4
TILE_N = 2 if LANES == 16 else 1

UNROLL = 1 if levels.level().name == "x86-64-v2" else 4  # terms of a turn of the loop over k; FMAs may be calls

ROWS, COLUMNS = 0, 1

# Terms of a sum done in one go: that many lines of three panels are 48 KiB, about L1 where registers are a line. Where
# they are half of it L1 is most often 32 KiB, and 128 lines of two panels are half of that: 256 were 1 to 4 % slower.
DEPTH = 128 if LANES == 8 else 256
RUN = DEPTH // UNROLL  # lines of a run that a tile of so many terms asks for, one a turn


@inlined
def is_tall(left):
    """Whether of so many rows that are left the largest tile takes the first: 8 are better two of 4 than 6 and 2."""
    return left >= TILE_M and not (MIXED and 8 <= left <= 9)


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

    def opaque(self, address: ir.Value) -> ir.Value:
        """The same address, of which LLVM knows nothing.

        Otherwise it keeps a sum of an address and a constant for each access of a turn, more than there are registers,
        where one register and the constant in the instruction do.
        """
        return self.builder.asm(ir.FunctionType(I64, [I64]), "", "=r,0", [address], False)

    def tile(self) -> list[tuple[int, int, int]]:
        """(row, panel, piece) of every register of C."""
        return [(m, n, p) for m in range(self.m) for n in range(self.n) for p in range(self.pieces)]

    def offset(self, piece: int) -> int:
        return piece * LINE // self.pieces

    def loop(
        self, accumulators: list[ir.Value], a: Any, b: Any, count: ir.Value, mode: int, ahead: Any
    ) -> list[ir.Value]:
        """The sum over k, at least one term: turns of several terms, then the terms that are left one by one.

        A turn's scalar instructions compete with its FMAs for ports, on Intel for two of those that FMAs go through.
        """
        builder = self.builder
        state = [self.number(0), a[0], b[0], *accumulators]
        if UNROLL > 1:
            limit = builder.sub(count, self.number(UNROLL - 1))
            state = self._turns(state, a[1], b[1], limit, UNROLL, mode, ahead)
            ahead = None
        return self._turns(state, a[1], b[1], count, 1, mode, ahead)[3:]

    def _turns(
        self,
        state: list[ir.Value],
        a_stride: ir.Value,
        b_stride: ir.Value,
        limit: ir.Value,
        terms: int,
        mode: int,
        ahead: Any,
    ) -> list[ir.Value]:
        """Turns of so many terms while k is below the limit; `state` is k, where A and B are read next, and the sums.

        k begins at the beginning of a line of A and that many terms divide one, so a turn never crosses a line's end.
        """
        builder = self.builder
        entry = builder.block
        body, after = builder.append_basic_block(f"by{terms}"), builder.append_basic_block(f"after{terms}")
        builder.cbranch(builder.icmp_signed("<", state[0], limit), body, after)
        builder.position_at_end(body)
        begin = [builder.phi(value.type) for value in state]
        k, here, line, *sums = begin
        own, lines = self.opaque(here), [self.opaque(address) for address in self.panels(line, b_stride)]
        step, along = (LINE, self.itemsize) if mode == ROWS else (self.itemsize, LINE)
        fma = f"llvm.fma.{suffix(self.vector)}"
        for term in range(terms):
            weights = {
                (n, p): load_from(builder, self.at(address, term * LINE + self.offset(p)), self.vector)
                for n, address in enumerate(lines)
                for p in range(self.pieces)
            }
            rows = [
                splat(builder, load_from(builder, self.at(own, m * step + term * along), self.element), self.lanes)
                for m in range(self.m)
            ]
            sums = [
                call_llvm(builder, fma, self.vector, [rows[m], weights[n, p], total])
                for (m, n, p), total in zip(self.tile(), sums, strict=True)
            ]
        if ahead is not None:
            self._ask(k, here, b_stride, terms, mode, ahead)
        next_k = builder.add(k, self.number(terms))
        forward: ir.Value = self.number(terms * along)
        if mode == ROWS:
            in_line = LINE // self.itemsize
            wraps = builder.icmp_signed("==", builder.and_(next_k, self.number(in_line - 1)), self.number(0))
            forward = builder.select(wraps, builder.sub(a_stride, self.number(LINE - terms * along)), forward)
        end = [next_k, builder.add(here, forward), builder.add(line, self.number(terms * LINE)), *sums]
        for phi, first, value in zip(begin, state, end, strict=True):
            phi.add_incoming(first, entry)
            phi.add_incoming(value, body)
        builder.cbranch(builder.icmp_signed("<", next_k, limit), body, after)
        builder.position_at_end(after)
        out = [builder.phi(value.type) for value in state]
        for phi, first, value in zip(out, state, end, strict=True):
            phi.add_incoming(first, entry)
            phi.add_incoming(value, body)
        return out

    def _ask(self, k: ir.Value, here: ir.Value, b_stride: ir.Value, terms: int, mode: int, ahead: Any) -> None:
        """Ask for the next line of each run: of panels of B, and of A the part of this turn in the rows of the next
        tile; for COLUMNS of what is read and of what is written.
        """
        builder = self.builder
        reading, writing = ahead
        along = builder.mul(k, self.number(LINE // UNROLL))
        if mode == COLUMNS:
            ask(builder, builder.add(reading, along), writing=False, near=SECOND)
            ask(builder, builder.add(writing, along), writing=True, near=FIRST)
            return
        for run in self.panels(reading, b_stride):
            ask(builder, builder.add(run, along), writing=False, near=SECOND)
        # While numbers of a line of A are read, as many lines of each row of the tile below are asked for.
        rows = builder.add(here, builder.mul(builder.and_(here, self.number(LINE - 1)), self.number(self.m - 1)))
        for at in range(0, terms * self.m * self.itemsize, LINE):
            ask(builder, self.at(rows, self.m * LINE + at), writing=False, near=SECOND)

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
    reading: Any,
    writing: Any,
) -> Any:
    """One tile: m, n and mode are constants, `count` >= 1 terms are added to the lines at `start`.

    `start_row` and `start_panel` are the strides of `start`: the tile of C itself, one line of biases a panel (row
    stride 0), or a line of zeros (both 0). `epilogue` and `y` are those of the op. `largest` is a line of integers.
    Runs of lines at `reading`, for ROWS in as many panels as B has, and at `writing` are asked for meanwhile, unless
    `reading` is the constant 0.
    """
    sizes = m.literal_value, n.literal_value, mode.literal_value
    asks = not isinstance(reading, types.IntegerLiteral)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, a_stride, b, b_stride, c, c_stride, count, start, start_row, start_panel, *rest = args[4:]
        epilogue, y, y_stride, largest, *runs = rest
        emit = Emitter(builder, z, sizes[0], sizes[1])
        first = []
        panels = emit.panels(start, start_panel)
        for row, panel, piece in emit.tile():
            down = builder.mul(start_row, emit.number(row))
            address = builder.add(emit.at(panels[panel], emit.offset(piece)), down)
            first.append(load_from(builder, address, emit.vector))
        sums = emit.loop(first, (a, a_stride), (b, b_stride), count, sizes[2], runs if asks else None)
        emit.finish(sums, (c, c_stride), (y, y_stride), epilogue, largest)
        return context.get_dummy_value()

    # What is generated is kept by these types, so they say whether `reading` is a constant.
    return types.void(z, m, n, mode, *[types.int64] * 14, reading if not asks else types.int64, types.int64), generate
