"""Records in compiled code: `op.a.stride`, `head.step.number += 1`, `head.layers[i]`, `head.update.factors[2] = x`.

A record is its address, an int64, whose Numba type knows the fields of its class (`records.py`); so is an array
of numbers. A field that the record does not have is an error when the kernel is compiled, and so is arithmetic on a
record's address.
"""

from __future__ import annotations

from operator import getitem, setitem
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.imputils import lower_getattr_generic, lower_setattr_generic
from numba.core.typing import templates
from numba.extending import intrinsic, lower_builtin, lower_cast, models, register_model

from fastbp.kernels.fields import WORD, Field, Lines, Link, Part, Real, Reals, RealsAt, Record, Words, WordsAt
from fastbp.kernels.memory import load_from, store_to
from fastbp.kernels.ops import KINDS
from fastbp.kernels.vector import I64


class RecordType(types.Type):
    """The type of a record's address."""

    def __init__(self, record: type[Record]) -> None:
        self.record = record
        super().__init__(name=f"record({record.__name__})")


class NumbersType(types.Type):
    """The type of the address of an array of int64 or float64 numbers."""

    def __init__(self, number: Any) -> None:
        self.number = number
        super().__init__(name=f"numbers({number})")


@register_model(RecordType)
@register_model(NumbersType)
class AddressModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, I64)


WORDS, REALS = NumbersType(types.int64), NumbersType(types.float64)


def typed(kind: Any) -> Any:
    """The type of an address: of a record of a class, of numbers, or of anything where `kind` is None."""
    if kind is None:
        return types.int64
    return kind if isinstance(kind, NumbersType) else RecordType(kind)


def type_of(field: Field) -> Any:
    """The Numba type of a field."""
    if isinstance(field, Part):
        return RecordType(field.kind)
    if isinstance(field, Link):
        return RecordType(KINDS[field.kind])
    if isinstance(field, Real | Reals | RealsAt):
        return REALS if isinstance(field, Reals | RealsAt) else types.float64
    return WORDS if isinstance(field, Words | WordsAt) else types.int64


def moved(builder: ir.IRBuilder, address: ir.Value, words: int) -> ir.Value:
    return builder.add(address, ir.Constant(I64, WORD * words)) if words else address


@templates.infer_getattr
class Fields(templates.AttributeTemplate):
    key = RecordType

    def generic_resolve(self, kind: RecordType, name: str) -> Any:
        field = kind.record.fields.get(name)
        return None if field is None else type_of(field)


@lower_getattr_generic(RecordType)
def read(context: Any, builder: ir.IRBuilder, kind: RecordType, value: ir.Value, name: str) -> ir.Value:
    field = kind.record.fields[name]
    address = moved(builder, value, field.offset)
    if isinstance(field, Part | Words | Lines):
        return address
    return load_from(builder, address, ir.DoubleType() if isinstance(field, Real) else I64)


@lower_setattr_generic(RecordType)
def write(context: Any, builder: ir.IRBuilder, signature: Any, args: Any, name: str) -> None:
    """Numba has brought the value to the field's type."""
    field = signature.args[0].record.fields[name]
    if isinstance(field, Part | Words | Lines):
        raise TypeError(f"`{name}` of `{signature.args[0].record.__name__}` cannot be assigned as a whole")
    store_to(builder, moved(builder, args[0], field.offset), args[1])


@lower_cast(types.Integer, RecordType)
@lower_cast(types.Integer, NumbersType)
def link(context: Any, builder: ir.IRBuilder, given: Any, wanted: Any, value: ir.Value) -> ir.Value:
    """An address may be assigned to a link unchecked; 0 is none."""
    return context.cast(builder, value, given, types.int64)


@templates.infer_global(getitem)
class Items(templates.AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        kind, index = args
        if isinstance(kind, RecordType) and isinstance(index, types.Integer):
            return templates.signature(kind, kind, types.int64)
        if isinstance(kind, NumbersType) and isinstance(index, types.Integer):
            return templates.signature(kind.number, kind, types.int64)
        return None


@lower_builtin(getitem, RecordType, types.int64)
def record_at(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
    """The record `index` sizes further on."""
    size = WORD * signature.args[0].record.size
    return builder.add(args[0], builder.mul(args[1], ir.Constant(I64, size)))


@lower_builtin(getitem, NumbersType, types.int64)
def number_at(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
    address = builder.add(args[0], builder.mul(args[1], ir.Constant(I64, WORD)))
    return load_from(builder, address, context.get_value_type(signature.return_type))


@templates.infer_global(setitem)
class SetItems(templates.AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        kind, index, _ = args
        if isinstance(kind, NumbersType) and isinstance(index, types.Integer):
            return templates.signature(types.none, kind, types.int64, kind.number)
        return None


@lower_builtin(setitem, NumbersType, types.int64, types.Number)
def set_number(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
    address = builder.add(args[0], builder.mul(args[1], ir.Constant(I64, WORD)))
    store_to(builder, address, args[2])
    return context.get_dummy_value()


@intrinsic
def exists(typing_context: Any, record: Any) -> Any:
    """Whether a link is not 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.icmp_unsigned("!=", args[0], ir.Constant(I64, 0))

    return types.boolean(record), generate


@intrinsic
def same(typing_context: Any, one: Any, other: Any) -> Any:
    """Whether two records are one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.icmp_unsigned("==", args[0], args[1])

    return types.boolean(one, other), generate


@intrinsic
def address_of(typing_context: Any, record: Any) -> Any:
    """The address of a record or an array of numbers."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return args[0]

    return types.int64(record), generate


@intrinsic
def further(typing_context: Any, record: Any, size: Any) -> Any:
    """The record or numbers of the same kind so many bytes further on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.add(args[0], args[1])

    return record(record, types.int64), generate


def at(kind: Any) -> Any:
    """A cast of an address, or of a record of a base class, to a record of a class or an array of numbers."""
    wanted = typed(kind)

    def seen_as(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return args[0]

        return wanted(address), generate

    return intrinsic(seen_as)


words_at, reals_at = at(WORDS), at(REALS)
