"""What a machine can do, measured by compiled code: `runs/profile.py` calls these entries and takes the time."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastbp.kernels.memory import atomic_load, atomic_store, store_to
from fastbp.kernels.tile import LANES, LINE
from fastbp.kernels.vector import I64, call_llvm, suffix

# Independent sums, each in a register. Two units of a latency of 4 want 8, four want 16; of 16 registers the factor
# and the addend take two. Those of AVX-512 and of Arm are 32.
CHAINS = 12 if LANES == 8 else 24
PATIENCE = 50_000_000  # looks at a word, tens of milliseconds, after which the other thread is given up


def flops_of_a_turn(itemsize: int) -> int:
    """Operations of one turn of `fma_chains`: a multiplication and an addition a number."""
    return 2 * CHAINS * (LINE // itemsize) * LANES // 16


@intrinsic
def chains(typing_context: Any, turns: Any, out: Any, z: Any) -> Any:
    """x = x / 2 + 1 in every lane of CHAINS registers, `turns` times; writes the sum of the registers to `out`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        turns, out, _ = args
        element = ir.FloatType() if z == types.float32 else ir.DoubleType()
        lanes = flops_of_a_turn(z.bitwidth // 8) // (2 * CHAINS)
        vector = ir.VectorType(element, lanes)

        def constant(number: float) -> Any:
            return ir.Constant(vector, [ir.Constant(element, number)] * lanes)

        entry, body, after = builder.block, *(builder.append_basic_block(name) for name in ("turn", "done"))
        builder.branch(body)
        builder.position_at_end(body)
        turn, *sums = [builder.phi(kind) for kind in (I64, *[vector] * CHAINS)]
        fma = f"llvm.fma.{suffix(vector)}"
        following = [call_llvm(builder, fma, vector, [x, constant(0.5), constant(1.0)]) for x in sums]
        count = builder.add(turn, ir.Constant(I64, 1))
        builder.cbranch(builder.icmp_signed("<", count, turns), body, after)
        turn.add_incoming(ir.Constant(I64, 0), entry)
        turn.add_incoming(count, body)
        for number, (x, new) in enumerate(zip(sums, following, strict=True)):
            x.add_incoming(constant(3.0 + number), entry)  # none is 2, which stays 2: LLVM would drop that chain
            x.add_incoming(new, body)
        builder.position_at_end(after)
        total = following[0]
        for x in following[1:]:
            total = builder.fadd(total, x)
        store_to(builder, out, total)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, z), generate


def fma_chains(turns, out, z):
    """As many fused multiply-adds as the core can begin; at least one turn."""
    chains(turns, out, z)


def hand_over(word, me, turns, z):
    """Thread `me`, 0 or 1, of two that take turns at writing one word; returns 1, or 0 if the other does not come."""
    for turn in range(turns):
        mine = 2 * turn + me
        looks = 0
        while atomic_load(word) != mine:
            looks += 1
            if looks > PATIENCE:
                return 0
        atomic_store(word, mine + 1)
    return 1
