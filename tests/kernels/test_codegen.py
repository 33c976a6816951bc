"""The machine code that ships does what the kernels say: a sample here, the whole by `scripts/verify-codegen`."""

import llvmlite.binding as llvm
import pytest

from fastbp.engine import compiler, machine_code, proof
from tests.kernels import codegen, every_kernel
from tests.kernels.harness import DTYPES

SAMPLE = ("product", "weights", "relu_vjp", "cross_entropy", "gather", "transpose_weights", "adam")


@pytest.fixture
def random_shapes(monkeypatch):
    for name in ("SHAPES", "SIZES", "DEPTHS"):
        monkeypatch.setattr(every_kernel, name, getattr(every_kernel, name))
    codegen.random_shapes(seed=20261127)


@pytest.mark.parametrize("dtype", DTYPES)
def test_optimised_kernels_have_the_bits_of_plain_ones(dtype, random_shapes):
    counts, wrong = codegen.translated(dtype, SAMPLE)
    assert set(counts) == set(SAMPLE)
    assert counts.total() > 30
    assert wrong == []


def test_a_kernel_that_is_optimised_wrongly_is_seen(monkeypatch, random_shapes):
    right = compiler.kernel_address
    monkeypatch.setattr(
        "tests.kernels.harness.kernel_address",
        lambda name, real: right("relu_vjp" if proof.pipeline() == "fast" else name, real),
    )
    _, wrong = codegen.translated("float32", ["leaky_relu_vjp"])
    assert wrong


def test_no_kernel_that_stores_through_addresses_has_undefined_code():
    names = [(name, "float32") for name in ("product", "weights", "columns", "scatter", "step_batch")]
    assert codegen.scan(names) == {}


# What code generation makes of a sum of an address and an offset; a caller then gives 0 for the address.
ADD_LINES = """
define void @add_lines(i64 %address, i64 %offset) alwaysinline {} {{
  %pointer = inttoptr i64 %address to ptr
  %place = getelementptr i8, ptr %pointer, i64 %offset
  %old = load <8 x double>, ptr %place, align 8
  %new = fadd <8 x double> %old, %old
  store <8 x double> %new, ptr %place, align 8
  ret void
}}
define void @caller(i64 %offset) {{
  call void @add_lines(i64 0, i64 %offset)
  ret void
}}
"""


def through_null(attribute):
    machine_code._machine(machine_code.FAST)
    module = llvm.parse_assembly(ADD_LINES.format(attribute))
    return str(machine_code.optimised(module, "caller", "caller"))


def test_the_scan_sees_a_store_that_was_dropped():
    ir = through_null("")
    assert "store" not in ir  # what went wrong on half of all processors
    assert codegen.suspicious(ir) == ["unreachable"]


def test_the_attribute_of_every_pointer_keeps_that_store():
    assert "store <8 x double>" in through_null("null_pointer_is_valid")
    assert "null_pointer_is_valid" in str(compiler._lowered("weights", "float32")[0])


@pytest.mark.parametrize(
    "line",
    [
        "store <8 x double> poison, ptr %p, align 8",
        "ret float poison",
        "br i1 poison, label %a, label %b",
        "%v = load i64, ptr null, align 8",
        "store i64 %v, ptr getelementptr (i8, ptr null, i64 8), align 8",
    ],
)
def test_the_scan_sees_each_kind_of_undefined_code(line):
    assert codegen.suspicious(f"define void @f() {{\n  {line}\n}}") == [line]
