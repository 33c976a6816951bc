"""Every kernel that moves numbers between lanes, bit for bit against the order of operations that its module documents.

Compilers have mixed lanes up before. Here each kernel whose code shuffles a line, or masks a part of one, is called at
every number of lanes in use of the last line, on random operands: numbers of very different magnitudes for sums, so
that another order is rounded to other bits, and random bits where they only travel. A twin in NumPy does the same one
lane after the other. What is called is the optimised code itself, whatever the self-test thinks of it.

`python -m tests.kernels.test_shuffles` checks this process's level and prints JSON; the tests run it at every level of
the machine. Whatever is compiled already is checked at each of them; the other pairs of kernel and dtype are dealt out
to the levels, since it takes long to compile them. `FASTBP_SHUFFLES=5` takes all pairs at all levels, with five seeds.
"""

from __future__ import annotations

import dis
import json
import os
import re
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
import pytest

from fastbp.engine import compiler
from fastbp.engine.machine_code import FAST, Loader, object_of
from fastbp.kernels import levels, lines, weights
from fastbp.kernels.flags import KERNELS
from fastbp.kernels.vector import LINE
from tests.kernels import calls, harness, shuffle_rows, shuffle_training, shuffle_turns
from tests.kernels.harness import DTYPES, Machine, same_bits
from tests.kernels.shuffle_twin import CASES, Draw, Neighbours, OneLost, Repeated, Twin, larger

ROOT = Path(__file__).parents[2]
SEED = 180338
ROUNDS = int(os.environ.get("FASTBP_SHUFFLES", "0"))
LANES = sorted({level.lanes for level in levels.runnable()})

assert shuffle_rows
assert shuffle_training
assert shuffle_turns  # whose imports fill CASES

EVEN = ("cross_entropy", "mae", "multi_margin")  # the largest magnitude stands in all lanes: none can be missed
ALONE = ("piecewise_linear_vjp",)  # one lane of a sum is not zero: every order gives it
MASKED = ("gather", "scatter", "gather_repeated")  # lanes stay where they are; behind the last one nothing is touched
# What moves lanes, and the wrong twins that must not pass for it.
SHUFFLES = {
    lines.total: {"neighbours": Neighbours(), "a lane of a sum lost": OneLost(np.add)},
    lines.largest: {"a lane of a maximum lost": OneLost(larger)},
    lines.largest_lane: {"a lane of a magnitude lost": OneLost(np.maximum)},
    weights.transpose_block: {"a column repeated": Repeated()},
}


class Checked(NamedTuple):
    """One kernel in one dtype: what was wrong, and which wrong twins passed in every case."""

    kernel: str
    dtype: str
    cases: int
    wrong: list[str]
    unseen: list[str]


@cache
def optimised(kernel: str, dtype: str) -> int:
    """Where the code of a kernel stands that the self-test is not asked about."""
    return loader().address(compiler._object(kernel, dtype, FAST), compiler._symbol(kernel, dtype))


@cache
def loader() -> Loader:
    return Loader()


def differences(actual: tuple[Any, ...], expected: tuple[Any, ...]) -> list[int]:
    """Which results have other bits."""
    pairs = zip(map(np.asarray, actual), map(np.asarray, expected), strict=True)
    return [i for i, pair in enumerate(pairs) if not same_bits(*pair)]


def check(kernel: str, dtype: str) -> Checked:
    """Call a kernel once for every number of lanes in use and every seed."""
    cases, wrong = 0, []
    moved = [one for one in moved_by(kernel) if kernel not in EVEN or one is not lines.largest_lane]
    unseen = {name: twin for one in moved for name, twin in SHUFFLES[one].items()}
    unseen = {name: twin for name, twin in unseen.items() if kernel not in ALONE or name != "neighbours"}
    for seed in range(SEED, SEED + max(ROUNDS, 1)):
        for used in range(1, LINE // np.dtype(dtype).itemsize + 1):
            d, m = Draw(dtype, used, seed, zlib.crc32(kernel.encode())), Machine(dtype)
            with np.errstate(all="ignore"):
                actual, expected = CASES[kernel](m, d)
                found = differences(actual, expected(Twin()))
                unseen = {name: twin for name, twin in unseen.items() if not differences(actual, expected(twin))}
            if found or m.unwritten() or m.overrun():
                what = f"results {found}, unwritten {m.unwritten()}, overrun {m.overrun()}"
                wrong.append(f"{kernel} {dtype} {d.rows}x{d.width} seed {seed}: {what}")
            cases += 1
    return Checked(kernel, dtype, cases, wrong, list(unseen))


def reached(function: Any) -> list[Any]:
    """Everything of `kernels/` that this function calls, directly or not."""
    out: list[Any] = []
    waiting = [function]
    while waiting:
        code = waiting.pop()
        held = [cell.cell_contents for cell in code.__closure__ or ()]
        named = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
        for found in [*held, *(code.__globals__.get(name) for name in sorted(named))]:
            if callable(found) and all(found is not known for known in out):
                out.append(found)
                waiting += [found.py_func] if hasattr(found, "py_func") else []
    return out


def moved_by(kernel: str) -> list[Any]:
    """What moves lanes in a kernel."""
    return [one for one in reached(compiler._kernels()[kernel]) if any(one is known for known in SHUFFLES)]


def shuffling() -> set[str]:
    """The kernels in which lanes are moved; not those of formulas in other tests."""
    return {kernel for kernel in compiler._kernels() if "custom_" not in kernel and moved_by(kernel)}


def pairs() -> list[tuple[str, str]]:
    """The kernels and dtypes that this process checks: all whose code is at hand, and its share of the others."""
    every = [(kernel, dtype) for kernel in sorted(CASES) for dtype in DTYPES]
    own = every[LANES.index(levels.level().lanes) :: len(LANES)]
    return [pair for pair in every if ROUNDS or pair in own or compiler.is_kept(*pair)]


# The tests

at_every_level = pytest.mark.parametrize("lanes", LANES)


@pytest.fixture(scope="module")
def checked():
    """What processes at all levels have found, by their lanes."""
    command = [sys.executable, "-m", "tests.kernels.test_shuffles"]
    running = []
    for lanes in LANES:
        environment = os.environ | {"FASTBP_QUIET": "1", "FASTBP_LANES": str(lanes)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, cwd=ROOT, env=environment, **pipes))
    printed = [process.communicate() for process in running]
    assert [problem for process, (_, problem) in zip(running, printed, strict=True) if process.returncode] == []
    found = [json.loads(out) for out, _ in printed]
    return {each["lanes"]: [Checked(*one) for one in each["checked"]] for each in found}


@at_every_level
def test_every_result_has_the_bits_of_its_twin(checked, lanes):
    assert [line for each in checked[lanes] for line in each.wrong] == []


@at_every_level
def test_a_twin_that_takes_the_wrong_lanes_is_seen(checked, lanes):
    assert [each for each in checked[lanes] if each.unseen] == []


def test_every_kernel_is_called_at_every_number_of_lanes(checked):
    lanes = {"float32": 16, "float64": 8}
    done = {each[:3] for level in checked.values() for each in level}
    assert done == {(kernel, dtype, max(ROUNDS, 1) * lanes[dtype]) for kernel in CASES for dtype in DTYPES}


def test_every_kernel_that_shuffles_has_a_case():
    assert shuffling() == set(CASES) - set(MASKED)


def test_a_kernel_that_shuffles_without_a_case_is_found(monkeypatch):
    monkeypatch.setitem(KERNELS, "another", compiler._kernels()["norm"])
    assert shuffling() - set(CASES) == {"another"}


def test_nothing_else_moves_lanes():
    written = {file.name: file.read_text() for file in (ROOT / "fastbp" / "kernels").glob("*.py")}
    moving = {name: len(re.findall(r"shuffle_vector\(|\.reduce\(", text)) for name, text in written.items()}
    # a splat and `reduce`; three uses of that; the transposition
    assert {name: count for name, count in moving.items() if count} == {"vector.py": 2, "lines.py": 3, "weights.py": 1}


SHUFFLE = re.compile(r"(shufflevector [^\n]* <i32 )(\d+)(, i32 )(\d+)")  # but not of equal lanes, which is no list


def losing_a_lane(kernel: str, dtype: str) -> list[bytes]:
    """The code of a kernel in which one shuffle takes a lane twice, for some of its shuffles."""
    module, name = compiler._lowered(kernel, dtype)
    text, out = str(module), []
    places = list(SHUFFLE.finditer(text))
    for place in places[:: 1 + len(places) // 5]:
        changed = text[: place.start()] + SHUFFLE.sub(r"\1\4\3\4", place[0]) + text[place.end() :]
        out.append(object_of(llvm.parse_assembly(changed), name, compiler._symbol(kernel, dtype)))
    return out


@pytest.mark.parametrize(
    ("kernel", "dtype"),
    [
        ("gate_sum_columns", "float32"),
        ("softmax_forward", "float64"),
        ("branch_add", "float32"),
        ("scan_reals", "float64"),
        ("transpose_weights", "float32"),
    ],
)
def test_a_compiler_that_loses_a_lane_is_found(monkeypatch, kernel, dtype):
    def seen(code: bytes) -> bool:
        loader = Loader()
        address = loader.address(code, compiler._symbol(kernel, dtype))
        monkeypatch.setattr(harness, "kernel_address", lambda name, real: address)
        return bool(check(kernel, dtype).wrong)

    assert not seen(compiler._object(kernel, dtype, FAST))
    assert all(seen(code) for code in losing_a_lane(kernel, dtype))


if __name__ == "__main__":
    harness.kernel_address = calls.kernel_address = optimised
    print(json.dumps({"lanes": levels.level().lanes, "checked": [check(*pair) for pair in pairs()]}))
