"""Lines as values: the vectors that kernels compute with.

A vector is always one line wide (`<16 x float>`, `<8 x double>`), whatever the machine: LLVM splits it into the
registers there are. Element for element the arithmetic is the same on all of them, and sums across a vector go
through one fixed tree, so no bit depends on the width of the machine's registers.

`V` builds the LLVM instructions; `vector_function` makes a formula over `V` callable from compiled kernels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from fastbp.kernels.fields import LINE

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
FLOAT, DOUBLE = ir.FloatType(), ir.DoubleType()


class VectorType(types.Type):
    """The Numba type of one line: of reals (`float32`, `float64`) or of unsigned integers of the same width."""

    def __init__(self, real: types.Float, integer: bool = False) -> None:
        self.real = real
        self.integer = integer
        super().__init__(name=f"line({real}{', bits' if integer else ''})")

    @property
    def lanes(self) -> int:
        return LINE * 8 // int(self.real.bitwidth)

    def llvm(self) -> ir.VectorType:
        bits = self.real.bitwidth
        real = FLOAT if bits == 32 else DOUBLE
        return ir.VectorType(ir.IntType(bits) if self.integer else real, self.lanes)


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: VectorType) -> None:
        super().__init__(manager, fe_type, fe_type.llvm())


def splat(builder: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    """Repeat a scalar in every lane."""
    kind = ir.VectorType(scalar.type, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))


def suffix(kind: ir.VectorType) -> str:
    """Name a vector type as LLVM's intrinsics do: v16f32, v8i64."""
    element = kind.element
    letter = {FLOAT: "f32", DOUBLE: "f64"}.get(element) or f"i{element.width}"
    return f"v{kind.count}{letter}"


def call_llvm(builder: ir.IRBuilder, name: str, returns: ir.Type, args: list[ir.Value]) -> ir.Value:
    """Call an LLVM intrinsic by its full name."""
    signature = ir.FunctionType(returns, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), args)


class V:
    """One line in the making: arithmetic on it emits LLVM instructions.

    Integer vectors wrap around and shift logically; comparisons are false on NaN and give masks.
    """

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder = builder
        self.value = value
        self.kind: ir.VectorType = value.type
        self.is_real = self.kind.element in (FLOAT, DOUBLE)
        self.is_float32 = self.kind.element == FLOAT

    def new(self, value: ir.Value) -> V:
        return V(self.builder, value)

    def like(self, other: Any) -> ir.Value:
        """Bring a number to this vector's type, or take another vector's value."""
        if isinstance(other, V):
            return other.value
        number = float(other) if self.is_real else int(other) % (1 << self.kind.element.width)
        return ir.Constant(self.kind, [ir.Constant(self.kind.element, number)] * self.kind.count)

    def __add__(self, other: Any) -> V:
        emit = self.builder.fadd if self.is_real else self.builder.add
        return self.new(emit(self.value, self.like(other)))

    __radd__ = __add__

    def __sub__(self, other: Any) -> V:
        emit = self.builder.fsub if self.is_real else self.builder.sub
        return self.new(emit(self.value, self.like(other)))

    def __rsub__(self, other: Any) -> V:
        return self.new(self.like(other)) - self

    def __mul__(self, other: Any) -> V:
        emit = self.builder.fmul if self.is_real else self.builder.mul
        return self.new(emit(self.value, self.like(other)))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> V:
        return self.new(self.builder.fdiv(self.value, self.like(other)))

    def __rtruediv__(self, other: Any) -> V:
        return self.new(self.like(other)) / self

    def __neg__(self) -> V:
        return self.new(self.builder.fneg(self.value))

    def __and__(self, other: Any) -> V:
        return self.new(self.builder.and_(self.value, self.like(other)))

    def __or__(self, other: Any) -> V:
        return self.new(self.builder.or_(self.value, self.like(other)))

    def __xor__(self, other: Any) -> V:
        return self.new(self.builder.xor(self.value, self.like(other)))

    def __lshift__(self, other: Any) -> V:
        return self.new(self.builder.shl(self.value, self.like(other)))

    def __rshift__(self, other: Any) -> V:
        return self.new(self.builder.lshr(self.value, self.like(other)))

    def sra(self, other: Any) -> V:
        return self.new(self.builder.ashr(self.value, self.like(other)))

    def _llvm(self, name: str, *others: Any) -> V:
        args = [self.value, *(self.like(o) for o in others)]
        return self.new(call_llvm(self.builder, f"llvm.{name}.{suffix(self.kind)}", self.kind, args))

    def fma(self, factor: Any, addend: Any) -> V:
        """self * factor + addend with one rounding."""
        return self._llvm("fma", factor, addend)

    def rint(self) -> V:
        return self._llvm("roundeven")

    def abs(self) -> V:
        return self._llvm("fabs")

    def sqrt(self) -> V:
        return self._llvm("sqrt")

    def copysign(self, sign: Any) -> V:
        return self._llvm("copysign", sign)

    def umax(self, other: Any) -> V:
        return self._llvm("umax", other)

    def _compare(self, sign: str, other: Any) -> V:
        emit = self.builder.fcmp_ordered if self.is_real else self.builder.icmp_unsigned
        return self.new(emit(sign, self.value, self.like(other)))

    def lt(self, other: Any) -> V:
        return self._compare("<", other)

    def le(self, other: Any) -> V:
        return self._compare("<=", other)

    def gt(self, other: Any) -> V:
        return self._compare(">", other)

    def ge(self, other: Any) -> V:
        return self._compare(">=", other)

    def isnan(self) -> V:
        return self.new(self.builder.fcmp_unordered("uno", self.value, self.value))

    def select(self, yes: V | float, no: V | float) -> V:
        """Where this mask is set `yes`, elsewhere `no`; one of the two must be a vector."""
        vector = yes if isinstance(yes, V) else no
        assert isinstance(vector, V)
        return self.new(self.builder.select(self.value, vector.like(yes), vector.like(no)))

    def min(self, other: Any) -> V:
        return self.lt(other).select(self, other)

    def max(self, other: Any) -> V:
        return self.gt(other).select(self, other)

    def _integers(self) -> ir.VectorType:
        return ir.VectorType(I32 if self.is_float32 else I64, self.kind.count)

    def _reals(self) -> ir.VectorType:
        return ir.VectorType(FLOAT if self.kind.element.width == 32 else DOUBLE, self.kind.count)

    def bits(self) -> V:
        return self.new(self.builder.bitcast(self.value, self._integers()))

    def as_real(self) -> V:
        return self.new(self.builder.bitcast(self.value, self._reals()))

    def to_int(self) -> V:
        return self.new(self.builder.fptosi(self.value, self._integers()))

    def to_real(self) -> V:
        return self.new(self.builder.sitofp(self.value, self._reals()))

    def lane_numbers(self) -> V:
        """0, 1, 2 ... as a vector of this type."""
        return self.new(ir.Constant(self.kind, list(range(self.kind.count))))

    def reduce(self, combine: Callable[[V, V], V]) -> V:
        """Combine all lanes through the tree (i, i + n/2): the result stands in every lane that matters, lane 0."""
        out, lanes = self, self.kind.count
        width = lanes // 2
        while width:
            order = [(i + width) % lanes for i in range(lanes)]
            indices = ir.Constant(ir.VectorType(I32, lanes), order)
            moved = self.new(self.builder.shuffle_vector(out.value, out.value, indices))
            out = combine(out, moved)
            width //= 2
        return out

    def first(self) -> ir.Value:
        """Lane 0 as a scalar."""
        return self.builder.extract_element(self.value, ir.Constant(I32, 0))


def vector_function(formula: Callable[..., Any] | None = None, *, count: int = 1, scalar: bool = False) -> Any:
    """Make a formula over `V` callable from compiled code.

    Vectors arrive as they are; scalars are repeated in every lane, integers as 32 bits. The result has the type of
    the first argument: one vector, a tuple of `count`, or with `scalar` the number in lane 0.
    """
    if formula is None:
        return lambda f: vector_function(f, count=count, scalar=scalar)
    parameters = list(inspect.signature(formula).parameters)

    def typed(typing_context: Any, *args: Any) -> Any:
        kind: VectorType = args[0]
        number = types.int64 if kind.integer else kind.real
        one = number if scalar else kind
        returns = one if count == 1 else types.UniTuple(one, count)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
            lines = []
            for arg, value in zip(signature.args, values, strict=True):
                if not isinstance(arg, VectorType):
                    scalar_value = builder.trunc(value, I32) if isinstance(arg, types.Integer) else value
                    value = splat(builder, scalar_value, kind.lanes)
                lines.append(V(builder, value))
            out = formula(*lines)
            if scalar:
                first = out.first()
                narrow = kind.integer and first.type.width < 64
                return builder.zext(first, I64) if narrow else first
            if count == 1:
                return out.value
            return cgutils.pack_array(builder, [o.value for o in out])

        return returns(*args), generate

    names = ["typing_context", *parameters]
    typed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names]
    )
    typed.__name__ = formula.__name__
    return intrinsic(typed)
