"""Does the compiler do what the kernels say? Machine code as it ships against the same code without optimisation.

Three checks, of one level each, on kernels that are named or on all of them:

* translation: every kernel with both, bit for bit, on random shapes of 1 to 40 rows, on poisoned buffers; and whole
  networks, for the kernels that only a plan can call;
* scan: the LLVM IR from which the code is generated holds no store, return or branch of poison, and no access through
  null;
* answers: the self-test with both.

`python -m tests.kernels.codegen` does all of it and prints what it did; `scripts/verify-codegen`, at every level.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from fastbp.engine import compiler, proof
from fastbp.engine.machine_code import FAST, PLAIN
from fastbp.kernels import levels
from tests.kernels import every_kernel
from tests.kernels.harness import DTYPES, Array, Machine, same_bits

# What means that the compiler found an operation undefined and could drop it.
UNDEFINED = (
    re.compile(r"^unreachable\b"),
    re.compile(r"\bstore (?:volatile |atomic )?\S.*\bpoison\b"),
    re.compile(r"\bret \S.* poison\b"),
    re.compile(r"\bbr i1 (?:poison|undef)\b"),
    re.compile(r"\bswitch \S+ (?:poison|undef)\b"),
    re.compile(r"\b(?:load|store|atomicrmw|cmpxchg)\b.*\bptr null\b"),
    re.compile(r"\bgetelementptr\b.*\bptr null\b"),
    re.compile(r"\binttoptr \(i64 0 to ptr\)"),
)
# A function whose result is nothing stores a null pointer where Numba looks for it: null is what is stored there.
ALLOWED = re.compile(r"store ptr null, ptr %\S+, align 8$")

# A kernel runs where neither Python nor Numba is at hand.
ALLOWED_OUTSIDE = {"sched_yield", "SwitchToThread", "fma", "fmaf", "sqrt", "memset", "memcpy"}


def suspicious(ir: str) -> list[str]:
    """Instructions of a module that a compiler which found nothing undefined would not leave."""
    lines = (line.strip() for line in ir.splitlines() if not line.startswith(("declare", "define", ";", "@", "!")))
    return [line for line in lines if not ALLOWED.match(line) and any(p.search(line) for p in UNDEFINED)]


def foreign(ir: str) -> list[str]:
    """Functions and variables outside of it that a module refers to, but for LLVM's own."""
    names = re.findall(r"^(?:declare\b.*?|@(?=\S+ = external ))@?([\w.$]+)(?:\(| =)", ir, flags=re.MULTILINE)
    return sorted({name for name in names if not name.startswith("llvm.")})


def scan(names: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """What is suspicious in the final IR of kernels and entries, by name; so is a kernel that refers to Python."""
    found = {}
    for name, real in names:
        ir = compiler.final_ir(name, real)
        unknown = [] if name in compiler.ENTRIES else sorted(set(foreign(ir)) - ALLOWED_OUTSIDE)
        found[f"{name}-{real}"] = suspicious(ir) + unknown
    return {name: lines for name, lines in found.items() if lines}


def random_shapes(seed: int) -> None:
    """Let the cases of `every_kernel` have random shapes from now on."""
    rng = np.random.default_rng(seed)
    every_kernel.SHAPES = tuple((int(rng.integers(1, 41)), int(rng.integers(1, 70))) for _ in range(6))
    every_kernel.SIZES = tuple(sorted({1, *(int(size) for size in rng.integers(2, 41, 3))}))
    every_kernel.DEPTHS = tuple(int(depth) for depth in rng.integers(1, 600, 3))


def both(case: every_kernel.Case, dtype: str) -> Iterator[list[Array]]:
    """The results of a case without optimisation and with it."""
    for pipeline in (PLAIN, FAST):
        with proof.running(pipeline):
            machine = Machine(dtype, seed=every_kernel.SEED, step=every_kernel.STEP)
            yield [np.ascontiguousarray(array) for array in case.run(machine)]


def translated(dtype: str, kernels: Iterable[str] | None = None) -> tuple[Counter[str], list[str]]:
    """How many cases of each kernel were compared, and those whose bits differ."""
    counts: Counter[str] = Counter()
    wrong = []
    wanted = None if kernels is None else set(kernels)
    for case in every_kernel.cases(dtype):
        if wanted is not None and case.kernel not in wanted:
            continue
        plain, fast = both(case, dtype)
        counts[case.kernel] += 1
        if len(plain) != len(fast) or not all(same_bits(a, b) for a, b in zip(plain, fast, strict=True)):
            wrong.append(f"{case.kernel} {dtype} {case.shape}")
    return counts, wrong


def networks() -> bool:
    """Whether networks of all layers, losses and treatments train to the same bits with both."""
    digests = set()
    for pipeline in (PLAIN, FAST):
        with proof.running(pipeline):
            digests.add(every_kernel.trained())
    return len(digests) == 1


def answers() -> list[str]:
    """The answers of the self-test that are wrong with either."""
    wrong = []
    for pipeline in (PLAIN, FAST):
        with proof.running(pipeline):
            found = compiler.self_test()
        wrong += [
            f"{case} {real} {pipeline}" for real, cases in found.items() for case, right in cases.items() if not right
        ]
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kernels.codegen", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of random shapes")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    level, begun = levels.level(), time.perf_counter()
    problems: list[str] = []
    found = scan(compiler.everything())
    problems += [f"{name}: {lines[0]}" for name, lines in found.items()]
    print(f"{level.name}: scanned {len(compiler.everything())} functions, suspicious: {len(found)}", flush=True)
    counts: Counter[str] = Counter()
    for round_ in range(chosen.rounds):
        random_shapes(chosen.seed + round_)
        for dtype in DTYPES:
            compared, wrong = translated(dtype)
            counts += compared
            problems += wrong
    print(
        f"{level.name}: {counts.total()} cases of {len(counts)} kernels compared, {len(problems)} problems", flush=True
    )
    trained, wrong = networks(), answers()
    problems += wrong + ([] if trained else ["networks"])
    print(f"{level.name}: networks {'equal' if trained else 'DIFFER'}, wrong answers {len(wrong)}")
    print(f"{level.name}: {time.perf_counter() - begun:.0f} s")
    print(*problems, sep="\n", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
