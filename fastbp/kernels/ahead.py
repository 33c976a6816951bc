"""Lines that are asked for before they are needed; no result depends on it."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastbp.kernels.memory import pointer
from fastbp.kernels.vector import I8, I32, call_llvm


def _asking(writing: int, near: int) -> Any:
    """Code that asks for the line at an address, which may be any, for writing or not, near a level of the caches."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = pointer(builder, args[0], I8)
        call_llvm(
            builder, "llvm.prefetch.p0", ir.VoidType(), [place, *(ir.Constant(I32, n) for n in (writing, near, 1))]
        )
        return context.get_dummy_value()

    return generate


@intrinsic
def expect_to_write(typing_context: Any, address: Any) -> Any:
    """Ask for the line at `address` to be brought near, as one that will be written."""
    return types.void(types.int64), _asking(1, 3)


@intrinsic
def expect_to_read(typing_context: Any, address: Any) -> Any:
    """Ask for the line at `address` to be brought into the second cache."""
    return types.void(types.int64), _asking(0, 2)
