"""Lines that are asked for before they are needed; no result depends on it.

A burst of them keeps the loads behind it waiting, so where there are many a tile asks for one a turn: a run of them in
a row, from an address on.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastbp.kernels.flags import inlined
from fastbp.kernels.memory import pointer
from fastbp.kernels.vector import I8, I32, LINE, call_llvm

FIRST, SECOND = 3, 2  # caches, as LLVM numbers them


def ask(builder: Any, address: Any, *, writing: bool, near: int) -> None:
    """Emit that the line at an address, which may be any, is brought near a cache."""
    how = [ir.Constant(I32, n) for n in (int(writing), near, 1)]
    call_llvm(builder, "llvm.prefetch.p0", ir.VoidType(), [pointer(builder, address, I8), *how])


@intrinsic
def expect_to_write(typing_context: Any, address: Any) -> Any:
    """Ask for the line at `address` to be brought near, as one that will be written."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        ask(builder, args[0], writing=True, near=FIRST)
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def expect_to_read(typing_context: Any, address: Any) -> Any:
    """Ask for the line at `address` to be brought into the second cache."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        ask(builder, args[0], writing=False, near=SECOND)
        return context.get_dummy_value()

    return types.void(types.int64), generate


@inlined
def ask_to_read(first, stride, n, begin, end):
    """Have lines `begin` to `end` of n panels brought near."""
    for panel in range(n):
        for o in range(begin * LINE, end * LINE, LINE):
            expect_to_read(first + panel * stride + o)


@inlined
def ask_to_write(first, stride, n, lines):
    """Have so many lines of n panels brought near, for writing."""
    for panel in range(n):
        for o in range(0, lines * LINE, LINE):
            expect_to_write(first + panel * stride + o)
