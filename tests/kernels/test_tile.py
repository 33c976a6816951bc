"""The machine code of the register tile: its loop over k holds nothing in memory, and little beside its FMAs."""

import platform
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Level, registers of a line, rows and panels of the largest tile.
LEVELS = {"x86-64-v4": (1, 8, 2), "x86-64-v3": (2, 6, 1)}

# Loops of tiles of each height and width, by turns and one by one, with lines that are asked for and without.
LEAST = {"product": {"x86-64-v4": 26, "x86-64-v3": 16}, "weights": {"x86-64-v4": 20, "x86-64-v3": 12}}

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="of x86-64 code")

ASSEMBLY = """
import sys
from fastbp.kernels import levels
levels.build_for(sys.argv[1])
from fastbp.engine import compiler, machine_code
module = machine_code.optimised(*compiler._lowered(sys.argv[2], sys.argv[3]), "kernel")
print(machine_code._machine("fast").emit_assembly(module))
"""


@cache
def loops(level, kernel, real):
    """The innermost loops of a kernel that multiply, as lists of instructions."""
    done = subprocess.run(
        [sys.executable, "-c", ASSEMBLY, level, kernel, real], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = []
    for block in re.split(r"\n(?=\.L)", done.stdout):
        label = block.partition(":")[0]
        code = [line.strip() for line in block.splitlines() if re.match(r"\t[a-z]", line)]
        back = [i for i, line in enumerate(code) if re.match(rf"j\w+\s+{re.escape(label)}$", line)]
        if back and "vfmadd" in block:
            found.append(code[: back[-1] + 1])  # what comes behind it is no part of the loop
    return found


def is_vector(line):
    return re.search(r"%[xyz]mm", line) is not None


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("kernel", ["product", "weights"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_turn_is_fmas_and_what_they_read(level, kernel, real):
    pieces, rows, panels = LEVELS[level]
    in_turn = 4 * rows * panels * pieces
    turns = [code for code in loops(level, kernel, real) if sum("vfmadd" in line for line in code) == in_turn]
    assert len(turns) == 2  # one of them asks for lines
    asked = [sum("prefetch" in line for line in code) for code in turns]
    item = int(real[5:]) // 8
    of_product = panels - (-4 * rows * item // 64)  # of B and of A
    assert sorted(asked) == [0, 2 if kernel == "weights" else of_product]
    to_write = [sum("prefetchw" in line for line in code) for code in turns]
    assert sorted(to_write) == [0, kernel == "weights"]
    for code, asks in zip(turns, asked, strict=True):
        spilled = [line for line in code if is_vector(line) and re.search(r"\(%rsp\)", line)]
        assert spilled == []
        reads = 4 * (rows + panels * pieces)  # numbers of A and lines of B
        scalar = [line for line in code if not is_vector(line)]
        assert len(code) - len(scalar) <= in_turn + reads
        assert len(scalar) <= 24 + 2 * asks


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("kernel", ["product", "weights"])
def test_no_loop_of_any_tile_spills(kernel, real):
    for level in LEVELS:
        assert len(loops(level, kernel, real)) >= LEAST[kernel][level]
        for code in loops(level, kernel, real):
            assert [line for line in code if is_vector(line) and re.search(r"\(%rsp\)", line)] == []


@pytest.mark.parametrize("level", LEVELS)
def test_parameters_are_asked_for_as_lines_to_be_written(level):
    done = subprocess.run(
        [sys.executable, "-c", ASSEMBLY, level, "weights", "float32"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.count("prefetchw\t") >= 3
    assert "prefetcht0" not in done.stdout
