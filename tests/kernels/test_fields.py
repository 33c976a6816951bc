"""Records: where their fields stand, what they refuse, and that compiled code and Python read and write the same."""

from __future__ import annotations

from functools import cache, reduce
from typing import Any

import numpy as np
import pytest
from numba import types
from numba.core.errors import TypingError

import fastbp as fb
from fastbp.engine.compiler import sweep
from fastbp.engine.machine_code import Loader, object_of
from fastbp.kernels.fields import (
    LINE,
    LINE_WORDS,
    WORD,
    Lines,
    Link,
    Part,
    Real,
    Reals,
    RealsAt,
    Record,
    Word,
    WordLine,
    Words,
    WordsAt,
)
from fastbp.kernels.flags import OPTIONS, TAKES
from fastbp.kernels.ops import KINDS, Op, ProductOp
from fastbp.kernels.records import Head, Matrix, Operand, Task, Trained, Worker
from fastbp.kernels.target import lower
from fastbp.kernels.words import WORDS, address_of, reals_at, typed

every_record = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
ROOMS = (Op, Task, Trained)  # whose kinds stand in one table


def leaves(kind: type[Record], path: str = "", start: int = 0) -> list[tuple[str, Any, int]]:
    """Path, field and place of everything in a record that is no record itself."""
    out = []
    for name, field in kind.fields.items():
        if isinstance(field, Part):
            out += leaves(field.kind, f"{path}{name}.", start + field.offset)
        else:
            out.append((path + name, field, start + field.offset))
    return out


def is_over(field: Any) -> bool:
    return isinstance(field, Words) and bool(field.over)


# Where fields stand


@every_record
def test_fields_lie_inside_the_record_and_apart(kind):
    taken = [""] * kind.size
    for path, field, place in leaves(kind):
        assert 0 <= place <= kind.size - field.size, path
        for word in range(place, place + field.size):
            if not is_over(field):
                assert not taken[word], f"{path} stands on {taken[word]}"
                taken[word] = path


@every_record
def test_other_names_are_for_fields_of_the_same_numbers(kind):
    for path, field, place in leaves(kind):
        if is_over(field):
            below = [one for _, one, other in leaves(kind) if place <= other < place + field.size and not is_over(one)]
            assert len(below) == field.size, path
            assert {isinstance(one, Real) for one in below} == {isinstance(field, Reals)}, path


@pytest.mark.parametrize("base", ROOMS, ids=lambda base: base.__name__)
def test_kinds_of_a_table_take_the_same_room(base):
    kinds = [kind for kind in KINDS.values() if issubclass(kind, base)]
    assert len(kinds) > 1
    assert {kind.size for kind in kinds} == {base.room}


@every_record
def test_lines_begin_at_lines(kind):
    for path, field, place in leaves(kind):
        if isinstance(field, Lines | WordLine):
            assert place % LINE_WORDS == 0, path
            assert field.size % LINE_WORDS == 0, path
            assert kind.size % LINE_WORDS == 0, path


def test_the_words_that_threads_contend_for_have_lines_of_their_own():
    for path in ("team.now", "team.done"):
        (field,) = (field for name, field, _ in leaves(Head) if name == path)
        assert isinstance(field, WordLine)
    net = fb.Network([fb.Linear(3), fb.Linear(2)], inputs=4, seed=0)
    trainer = fb.Trainer(net, loss="mse", batch_size=8, threads=2)
    trainer.run(np.ones((8, 4)), np.ones((8, 2)), steps=1)
    plan = trainer._batch_plan
    team = plan.head.team
    assert [n % LINE for n in (plan.head_address, team.workers, team.worker_bytes, team.tickets)] == [0] * 4
    assert team.worker_bytes >= WORD * (Worker.magnitudes.offset + plan.head.magnitudes)


def test_a_table_finds_records_of_every_kind_where_python_wrote_them():
    assert all(isinstance(kind.fields["kernel"], Word) for kind in KINDS.values() if issubclass(kind, Op | Task))
    places = {base: [kind.fields[name].offset for kind in KINDS.values() if issubclass(kind, base)]
              for base, name in ((Op, "kernel"), (Op, "number"), (Task, "kernel"), (Trained, "more"))}  # fmt: skip
    assert all(len(set(found)) == 1 for found in places.values())


@every_record
def test_links_lead_to_records_that_there_are(kind):
    assert {field.kind for _, field, _ in leaves(kind) if isinstance(field, Link)} <= set(KINDS)


def test_the_records_of_kernels_are_among_these():
    assert {kind for pair in TAKES.values() for kind in pair} - {None, WORDS} <= set(KINDS.values())


def test_a_record_that_is_larger_than_its_room_is_refused():
    with pytest.raises(TypeError, match="`Large` takes 9 words, more than the 8"):
        type("Large", (Task,), {"many": Words(8, "too many")})


# What Python sees


@every_record
def test_a_field_that_there_is_not_is_refused(kind):
    with pytest.raises(AttributeError, match=f"'{kind.__name__}' object has no attribute 'bogus'"):
        kind(bogus=1)
    with pytest.raises(AttributeError, match=f"'{kind.__name__}' object has no attribute 'bogus'"):
        kind().bogus = 1
    with pytest.raises(AttributeError, match="bogus"):
        kind().bogus  # noqa: B018


def test_lines_are_no_value():
    with pytest.raises(AttributeError, match="`work` cannot be read as a whole"):
        Worker().work  # noqa: B018
    with pytest.raises(AttributeError, match="`work` cannot be written as a whole"):
        Worker(work=0)


def test_what_holds_a_whole_number_takes_no_other():
    with pytest.raises(TypeError):
        ProductOp(width=2.5)
    with pytest.raises(OverflowError):
        ProductOp(width=2**63)


def test_a_part_becomes_a_copy_or_points_at_a_buffer():
    class Buffer:
        address, stride = 128, 64

    op = ProductOp(a=Buffer, b=Matrix(start=64, stride=192))
    assert (op.a.start, op.a.stride, op.b.start, op.b.stride) == (128, 64, 64, 192)
    op.b.start = 0
    op.c = op.a
    op.a.start = 0
    assert (op.b.start, op.b.stride, op.c.start) == (0, 192, 128)
    with pytest.raises(TypeError, match="`Operand` cannot be made of `Matrix`"):
        KINDS["GateOp"](a=Matrix())
    with pytest.raises(TypeError, match="`Matrix` cannot be made of `Operand`"):
        ProductOp(a=Operand())
    with pytest.raises(TypeError, match="`Learned` cannot be made of `int`"):
        Trained(weight=3)


def test_a_copy_has_memory_of_its_own_and_the_same_notes():
    op = ProductOp(name="product", width=3)
    other = op.copy()
    other.width = 4
    assert (op.width, other.width, other.name, type(other)) == (3, 4, "product", ProductOp)
    window = op.at(other.words)
    window.panels = 7
    assert (other.panels, window.width, window.name) == (7, 4, "product")


def test_a_record_is_printed_with_what_it_holds():
    text = repr(ProductOp(width=3, a=Matrix(stride=64)))
    assert text == "ProductOp(width=3, a={'stride': 64})"


# What compiled code sees


def get(record: Record, path: str) -> Any:
    return reduce(getattr, path.split("."), record)


def put(record: Record, path: str, value: Any) -> None:
    *parts, last = path.split(".")
    setattr(reduce(getattr, parts, record), last, value)


def is_real(field: Any) -> bool:
    return isinstance(field, Real | Reals) and not isinstance(field, RealsAt)


def numbers(kind: type[Record]) -> list[tuple[str, Any, int]]:
    """Path and field of every number in a record, and which of the field's it is, or -1 where it has one."""
    out: list[tuple[str, Any, int]] = []
    for path, field, _ in leaves(kind):
        if isinstance(field, Words):
            out += [(path, field, i) for i in range(field.size)]
        elif not isinstance(field, Lines):
            out.append((path, field, -1))
    return out


def by_compiled(kind: type[Record]) -> list[str]:
    """Lines of code: every number of `record` goes to `words`, then the other way round."""
    reads, writes = [], []
    for place, (path, field, i) in enumerate(numbers(kind)):
        own = f"record.{path}" if i < 0 else f"record.{path}[{i}]"
        other = f"{'reals' if is_real(field) else 'words'}[{place}]"
        reads.append(f"{other} = {f'address_of({own})' if isinstance(field, Link | WordsAt | RealsAt) else own}")
        writes.append(f"{own} = {other}")
    return [
        "def both(record, words, writing, r1, z):",
        *("    reals = reals_at(address_of(words))", "    if writing == 0:"),
        *(f"        {line}" for line in reads or ["pass"]),
        "    else:",
        *(f"        {line}" for line in writes or ["pass"]),
    ]


@cache
def loader() -> Loader:
    return Loader()


def compile_(lines: list[str], symbol: str, first: Any, second: Any = WORDS) -> int:
    """The address of a function of a record and of words."""
    names: dict[str, Any] = {"address_of": address_of, "reals_at": reals_at}
    exec("\n".join(lines), names)
    (function,) = (made for name, made in names.items() if name == lines[0].split("(")[0].removeprefix("def "))
    signature = types.void(typed(first), typed(second), types.int64, types.int64, types.float32)
    return loader().address(object_of(*lower(function, signature, OPTIONS, for_python=False), symbol), symbol)


def call(address: int, record: Record, words: Any, r0: int = 0) -> None:
    sweep("invoke", "float32")(address, record.words.ctypes.data, words.ctypes.data, r0, 0, np.float32(0))


def put_by_python(record: Record, values: Any) -> None:
    """Write every number, by the names that Python has for them."""
    for place, (path, field, i) in enumerate(numbers(type(record))):
        value = (values.view(np.float64) if is_real(field) else values)[place]
        if i < 0:
            put(record, path, value)
        else:
            get(record, path)[i] = value


def read_by_python(record: Record) -> Any:
    """The bits of every number."""
    out = np.zeros(len(numbers(type(record))), np.int64)
    for place, (path, field, i) in enumerate(numbers(type(record))):
        value = get(record, path) if i < 0 else get(record, path)[i]
        (out.view(np.float64) if is_real(field) else out)[place] = value
    return out


def some_values(kind: type[Record], first: float) -> Any:
    """A number of its own for every word of a record, whatever name it has."""
    at: dict[str, int] = {path: place for path, _, place in leaves(kind)}
    out = np.zeros(len(numbers(kind)), np.int64)
    for place, (path, field, i) in enumerate(numbers(kind)):
        word = first + at[path] + max(i, 0)
        (out.view(np.float64) if is_real(field) else out)[place] = word + 0.5 if is_real(field) else word
    return out


@every_record
def test_compiled_code_and_python_read_and_write_the_same(kind):
    address = compile_(by_compiled(kind), f"test_fields_{kind.__name__}", kind)
    memory = np.full((2, 3, kind.size), -1, np.int64)
    memory[:, 1] = 0
    python, compiled = kind(memory[0, 1]), kind(memory[1, 1])
    values, found = some_values(kind, 1000), np.full(len(numbers(kind)), -1, np.int64)
    put_by_python(python, values)
    call(address, python, found)
    np.testing.assert_array_equal(found, values)  # compiled code reads what Python wrote
    call(address, compiled, values, 1)
    np.testing.assert_array_equal(read_by_python(compiled), values)  # and the other way round
    np.testing.assert_array_equal(memory[0], memory[1])  # nothing else was written, on either side


def test_what_numbers_share_their_words_agree():
    head = Head()
    head.update.blocks.moment_2 = 7
    head.update.now.rest = 0.25
    assert head.update.blocks.each.tolist() == [0, 0, 7, 0, 0]
    assert head.update.now.each.tolist() == [0.0, 0.0, 0.0, 0.0, 0.25]


def test_compiled_code_takes_the_address_of_lines_and_parts():
    named = ["largest", "zero", "work"]
    lines = ["def lines(record, words, r0, r1, z):", *(f"    words[{i}] = record.{n}" for i, n in enumerate(named))]
    worker, found = Worker(), np.zeros(3, np.int64)
    call(compile_(lines, "test_lines", Worker), worker, found)
    start = worker.words.ctypes.data
    assert found.tolist() == [start + WORD * Worker.fields[name].offset for name in named]

    lines = ["def parts(record, words, r0, r1, z):", "    words[0] = address_of(record.y)"]
    op, found = KINDS["GateOp"](), np.zeros(1, np.int64)
    call(compile_(lines, "test_parts", KINDS["GateOp"]), op, found)
    assert found[0] == op.y.words.ctypes.data


def test_compiled_code_follows_links():
    """To the second of two records, to numbers, and to what a record before them links to."""
    layers = np.zeros((2, Trained.size), np.int64)
    rates = np.array([0.5, 0.25])
    order = np.array([3, 4, 5])
    head = Head(layers=layers.ctypes.data)
    head.step.rates, head.data.normalisers = rates.ctypes.data, 0
    Trained(layers[1]).more = layers.ctypes.data
    Trained(layers[0]).node, Trained(layers[1]).node = 8, 9
    rows = KINDS["RowList"](rows=order.ctypes.data)
    lines = [
        "def links(record, words, r0, r1, z):",
        "    words[0] = record.layers[1].node",
        "    words[1] = record.layers[1].more.node",
        "    reals_at(address_of(words))[2] = record.step.rates[1]",
        "    record.step.rates[0] = 2.0",
        "    record.layers[1].x.stride = 64",
        "    record.layers[0].more = record.layers[1]",
        "    record.step.epoch_rows += 3",
    ]
    found = np.zeros(3, np.int64)
    call(compile_(lines, "test_links", Head), head, found)
    assert found[:2].tolist() == [9, 8]
    assert found.view(np.float64)[2] == 0.25
    assert (rates[0], Trained(layers[1]).x.stride, head.step.epoch_rows) == (2.0, 64, 3)
    assert Trained(layers[0]).more == layers[1].ctypes.data
    lines = ["def row(record, words, r0, r1, z):", "    words[0] = record.rows[2]", "    record.rows[0] = 6"]
    call(compile_(lines, "test_rows", KINDS["RowList"]), rows, found)
    assert (found[0], order.tolist()) == (5, [6, 4, 5])


WRONG = {
    "a field that there is not": (ProductOp, "words[0] = record.bogus", TypingError, r"bogus.*record\(ProductOp\)"),
    "one of another kind": (ProductOp, "words[0] = record.tables", TypingError, r"tables.*record\(ProductOp\)"),
    "one in a part": (Head, "words[0] = record.step.bogus", TypingError, r"bogus.*record\(Step\)"),
    "one that is written": (ProductOp, "record.bogus = 1", TypingError, "bogus"),
    "arithmetic": (ProductOp, "words[0] = record + 8", TypingError, r"record\(ProductOp\)"),
    "a record for a number": (ProductOp, "words[0] = record.a", TypingError, r"record\(Matrix\)"),
    "an assignment to a part": (ProductOp, "record.a = 1", TypeError, "`a` of `ProductOp` cannot be assigned"),
    "one to numbers": (Head, "record.update.factors = 1", TypeError, "`factors` of `Update` cannot be assigned"),
    "one to lines": (Worker, "record.work = 1", TypeError, "`work` of `Worker` cannot be assigned"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_a_record_has_not_is_found_when_a_kernel_is_compiled(what):
    kind, line, error, said = WRONG[what]
    with pytest.raises(error, match=f"(?s){said}"):
        compile_(["def wrong(record, words, r0, r1, z):", f"    {line}"], "test_wrong", kind)


def test_an_operand_is_a_matrix_with_more():
    assert [Operand.fields[name].offset for name in Matrix.fields] == [field.offset for field in Matrix.fields.values()]
