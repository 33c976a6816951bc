"""Reads, writes and calls by address: everything a kernel does outside its registers.

Addresses are plain int64. `z` is a zero whose type, float32 or float64, says what lies there. Every vector access is
aligned to its elements only, because LLVM would otherwise assume whole lines and fault on a row of a user's array.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.vector import I8, I32, I64, VectorType, call_llvm, splat, suffix


def pointer(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """The pointer that stands at `address`, in a function for which null is an address like any other.

    LLVM may split an address into a pointer and an offset; where the part that it makes the pointer turns out to be 0,
    it takes the access for one through null, which is undefined, and drops it: stores vanish without a word. The
    attribute forbids that conclusion, and a function that is inlined hands it on to its caller.
    """
    # llvmlite's own `add` refuses attributes whose names it does not know
    set.add(builder.function.attributes, "null_pointer_is_valid")
    return builder.inttoptr(address, kind.as_pointer())


def load_from(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """Load a vector or a number, aligned to its element."""
    value = builder.load(pointer(builder, address, kind))
    element = kind.element if isinstance(kind, ir.VectorType) else kind
    value.align = size_of(element)
    return value


def store_to(builder: ir.IRBuilder, address: ir.Value, value: ir.Value) -> None:
    element = value.type.element if isinstance(value.type, ir.VectorType) else value.type
    builder.store(value, pointer(builder, address, value.type)).align = size_of(element)


def size_of(element: ir.Type) -> int:
    if isinstance(element, ir.IntType):
        return max(1, element.width // 8)
    return 4 if isinstance(element, ir.FloatType) else 8


def lane_numbers(lanes: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))


def first_lanes(builder: ir.IRBuilder, count: ir.Value, lanes: int) -> ir.Value:
    """Mask of the first `count` lanes."""
    limit = splat(builder, builder.trunc(count, I32), lanes)
    return builder.icmp_signed("<", lane_numbers(lanes), limit)


# --- lines -----------------------------------------------------------------------------------------------------------


@intrinsic
def load(typing_context: Any, address: Any, z: Any) -> Any:
    """The line of reals at `address`."""
    kind = VectorType(z)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return load_from(builder, args[0], kind.llvm())

    return kind(types.int64, z), generate


@intrinsic
def load_bits(typing_context: Any, address: Any, z: Any) -> Any:
    """The line of unsigned integers at `address`, each as wide as `z`."""
    kind = VectorType(z, integer=True)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return load_from(builder, args[0], kind.llvm())

    return kind(types.int64, z), generate


@intrinsic
def store(typing_context: Any, address: Any, line: Any) -> Any:
    """Write a line of any kind to `address`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        store_to(builder, args[0], args[1])
        return context.get_dummy_value()

    return types.void(types.int64, line), generate


@intrinsic
def load_first(typing_context: Any, address: Any, count: Any, z: Any) -> Any:
    """The first `count` reals at `address` and zeros behind them; nothing further is read."""
    kind = VectorType(z)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = kind.llvm()
        mask = first_lanes(builder, args[1], vector.count)
        source = pointer(builder, args[0], vector)
        align = ir.Constant(I32, size_of(vector.element))
        zeros = ir.Constant(vector, None)
        name = f"llvm.masked.load.{suffix(vector)}.p0"
        return call_llvm(builder, name, vector, [source, align, mask, zeros])

    return kind(types.int64, types.int64, z), generate


@intrinsic
def store_first(typing_context: Any, address: Any, count: Any, line: Any) -> Any:
    """Write the first `count` numbers of a line; nothing further is touched."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[2].type
        mask = first_lanes(builder, args[1], vector.count)
        target = pointer(builder, args[0], vector)
        align = ir.Constant(I32, size_of(vector.element))
        call_llvm(
            builder,
            f"llvm.masked.store.{suffix(vector)}.p0",
            ir.VoidType(),
            [args[2], target, align, mask],
        )
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, line), generate


@intrinsic
def keep_first(typing_context: Any, line: Any, count: Any, other: Any) -> Any:
    """`line` in its first `count` lanes, the number `other` in the rest."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[0].type
        mask = first_lanes(builder, args[1], vector.count)
        return builder.select(mask, args[0], splat(builder, args[2], vector.count))

    return line(line, types.int64, line.real), generate


@intrinsic
def fill(typing_context: Any, number: Any) -> Any:
    """A line of `number`."""
    kind = VectorType(number)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return splat(builder, args[0], kind.lanes)

    return kind(number), generate


@intrinsic
def zero_bits(typing_context: Any, z: Any) -> Any:
    """A line of integer zeros."""
    kind = VectorType(z, integer=True)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(kind.llvm(), None)

    return kind(z), generate


@intrinsic
def column_numbers(typing_context: Any, z: Any) -> Any:
    """0, 1, 2 ... as a line of integers."""
    kind = VectorType(z, integer=True)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = kind.llvm()
        return ir.Constant(vector, list(range(vector.count)))

    return kind(z), generate


# --- numbers ---------------------------------------------------------------------------------------------------------


def _reader(kind: Any, wide: Any) -> Any:
    """Read a number of LLVM type `kind` as Numba type `wide`, `slot` of its own sizes behind `address`."""

    def typed(typing_context: Any, address: Any, slot: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            offset = builder.mul(args[1], ir.Constant(I64, size_of(kind)))
            value = load_from(builder, builder.add(args[0], offset), kind)
            return builder.zext(value, I64) if isinstance(kind, ir.IntType) and kind.width < 64 else value

        return wide(types.int64, types.int64), generate

    return intrinsic(typed)


def _writer(kind: Any, wide: Any) -> Any:
    def typed(typing_context: Any, address: Any, slot: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            offset = builder.mul(args[1], ir.Constant(I64, size_of(kind)))
            narrow = isinstance(kind, ir.IntType) and kind.width < 64
            out = builder.trunc(args[2], kind) if narrow else args[2]
            store_to(builder, builder.add(args[0], offset), out)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, wide), generate

    return intrinsic(typed)


get_index = _reader(I32, types.int64)
put_index = _writer(I32, types.int64)


@intrinsic
def get_real(typing_context: Any, address: Any, z: Any) -> Any:
    """The real at `address`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return load_from(builder, args[0], context.get_value_type(z))

    return z(types.int64, z), generate


@intrinsic
def put_real(typing_context: Any, address: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        store_to(builder, args[0], args[1])
        return context.get_dummy_value()

    return types.void(types.int64, value), generate


@intrinsic
def as_real(typing_context: Any, number: Any, z: Any) -> Any:
    """A float64 rounded to the type of `z`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.cast(builder, args[0], types.float64, z)

    return z(types.float64, z), generate


@intrinsic
def bytes_of(typing_context: Any, z: Any) -> Any:
    """The size of one real, a constant."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(I64, z.bitwidth // 8)

    return types.int64(z), generate


# --- the machine -----------------------------------------------------------------------------------------------------


@intrinsic
def call_kernel(typing_context: Any, function: Any, op: Any, me: Any, r0: Any, r1: Any, z: Any) -> Any:
    """Call the kernel whose machine code stands at `function`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [I64, I64, I64, I64, context.get_value_type(z)])
        builder.call(pointer(builder, args[0], kind), args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, op, me, types.int64, types.int64, z), generate


@intrinsic
def atomic_load(typing_context: Any, address: Any) -> Any:
    """Read a word; what its writer wrote before it is seen too."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(pointer(builder, args[0], I64), "acquire", 8)

    return types.int64(address), generate


@intrinsic
def atomic_store(typing_context: Any, address: Any, value: Any) -> Any:
    """Publish a word, and with it everything written before."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[1], pointer(builder, args[0], I64), "release", 8)
        return context.get_dummy_value()

    return types.void(address, types.int64), generate


@intrinsic
def atomic_add(typing_context: Any, address: Any, value: Any) -> Any:
    """Add to a word and return what it held before."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", pointer(builder, args[0], I64), args[1], "acq_rel")

    return types.int64(address, types.int64), generate


@intrinsic
def atomic_swap(typing_context: Any, address: Any, expected: Any, value: Any) -> Any:
    """Replace a word if it still holds `expected`; say whether it did."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = pointer(builder, args[0], I64)
        pair = builder.cmpxchg(word, args[1], args[2], "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(address, types.int64, types.int64), generate


def _on_x86(builder: ir.IRBuilder) -> bool:
    return str(builder.module.triple).startswith(("x86_64", "i686", "amd64"))


@intrinsic
def spin_hint(typing_context: Any) -> Any:
    """Tell the core that this thread waits in a loop."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _on_x86(builder):
            call_llvm(builder, "llvm.x86.sse2.pause", ir.VoidType(), [])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def give_way(typing_context: Any) -> Any:
    """Let another thread have this core (sched_yield)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        name = "SwitchToThread" if "windows" in str(builder.module.triple) else "sched_yield"
        call_llvm(builder, name, I32, [])
        return context.get_dummy_value()

    return types.void(), generate


FLUSH_X86 = 0x8040  # MXCSR: flush results (bit 15) and operands (bit 6) that are subnormal to zero
FLUSH_ARM = 1 << 24  # FPCR.FZ: the same


@intrinsic
def flush_subnormals(typing_context: Any) -> Any:
    """Flush subnormals to zero on this thread; returns the state to give to `restore_rounding`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _on_x86(builder):
            slot = cgutils.alloca_once(builder, I32)
            where = builder.bitcast(slot, I8.as_pointer())
            call_llvm(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), [where])
            old = builder.load(slot)
            builder.store(builder.or_(old, ir.Constant(I32, FLUSH_X86)), slot)
            call_llvm(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), [where])
            return builder.zext(old, I64)
        old = call_llvm(builder, "llvm.aarch64.get.fpcr", I64, [])
        new = builder.or_(old, ir.Constant(I64, FLUSH_ARM))
        call_llvm(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), [new])
        return old

    return types.int64(), generate


@intrinsic
def restore_rounding(typing_context: Any, state: Any) -> Any:
    """Undo `flush_subnormals`, or the user's NumPy would flush too."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _on_x86(builder):
            slot = cgutils.alloca_once(builder, I32)
            builder.store(builder.trunc(args[0], I32), slot)
            where = builder.bitcast(slot, I8.as_pointer())
            call_llvm(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), [where])
        else:
            call_llvm(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), [args[0]])
        return context.get_dummy_value()

    return types.void(types.int64), generate
