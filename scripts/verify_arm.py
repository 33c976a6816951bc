"""Digests of training and of kernels on x86-64 and on an emulated Arm, side by side; run by scripts/verify-arm.

    x86-64-v4, ...      each level that this machine can run
    aarch64 itself      Arm with a cold cache: all is compiled there, and every object must be the one compiled here
    aarch64 shipped     Arm with the objects compiled here, as a wheel brings them: nothing may be compiled there

Emulation shows what is computed. It does not show in which order one thread sees what another wrote: QEMU keeps the
order of x86-64, which is stricter than Arm's. The sign of a NaN that an operation makes is the processor's own choice
and is not looked at.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import fastbp as fb
from fastbp.engine import cache, compiler
from fastbp.kernels import levels
from fastbp.lowering import plans

ROOT = Path(__file__).resolve().parents[1]
STEPS, ROWS, BATCH = 50, 61, 13  # the last batch has 9 rows: one tile and a tail
DTYPES = ("float32", "float64")
PART = 12  # digits of a digest that are shown

Digests = dict[str, str]


# What a process computes


def networks() -> Iterator[tuple[str, list[Any], Any, Any, dict[str, Any]]]:
    """Name, layers, loss, optimiser and settings of the trainer."""
    layers = [fb.Linear(33), fb.ReLU(), fb.Dropout(0.3), fb.Linear(17), fb.Tanh(), fb.Linear(5)]
    yield "classifier", layers, "cross_entropy", fb.Adam(1e-2), {}
    layers = [fb.Embedding({2: (4, 3)}), fb.Linear(33), fb.BatchNorm(), fb.PReLU(), fb.Linear(20), fb.LayerNorm()]
    layers += [fb.GELU(), fb.Dropout(0.1), fb.Linear(19), fb.RMSNorm(), fb.Sigmoid(), fb.Scale(), fb.Linear(5)]
    smooth = fb.CrossEntropy(label_smoothing=0.1)
    yield "many layers", layers, smooth, fb.AdamW(1e-2), {"clip_norm": 1.0, "ema": 0.9}


def training() -> Iterator[tuple[str, str]]:
    """Digests of the parameters and losses of small networks."""
    from tests.train import bits

    plans.SERIAL_WORK = 0  # or networks of this size would leave the second thread out
    os.environ["FASTBP_TEAM"] = "all"
    x = bits.fractions(ROWS * 9, 0).reshape(ROWS, 9)
    x[:, 2] = np.arange(ROWS) % 4
    y = bits.fractions(ROWS * 5, 1).reshape(ROWS, 5).argmax(1)
    for dtype in DTYPES:
        for threads in (1, 2):
            for name, layers, loss, optimizer, settings in networks():
                net = fb.Network(layers, inputs=9, seed=2**33 + 5, dtype=dtype)
                trainer = fb.Trainer(net, loss=loss, optimizer=optimizer, batch_size=BATCH, threads=threads, **settings)
                losses = np.array(trainer.run(x, y, steps=STEPS).loss)
                found = hashlib.sha256(losses.tobytes() + net.flat.tobytes() + net.states.flat().tobytes())
                yield f"{name} {dtype} {threads}", found.hexdigest()


def kernels() -> Iterator[tuple[str, str]]:
    """A digest for each kernel of all that it computes in the cases of its tests."""
    from tests.kernels import every_kernel
    from tests.kernels.harness import Machine

    def numbers(dtype: str, *shape: int) -> Any:
        """In the place of normal ones, which NumPy makes by logarithms of the C library."""
        return (np.random.default_rng(shape).integers(-1024, 1024, (4, *shape)).sum(0) / 1024).astype(dtype)

    every_kernel.normal = numbers
    for dtype in DTYPES:
        found: dict[str, Any] = {}
        for case in every_kernel.cases(dtype):
            digest = found.setdefault(case.kernel, hashlib.sha256())
            for array in case.run(Machine(dtype, seed=every_kernel.SEED, step=every_kernel.STEP)):
                if array.dtype.kind == "f":
                    array = np.where(np.isnan(array), array.dtype.type(np.nan), array)
                digest.update(np.ascontiguousarray(array).tobytes())
        yield from ((f"{kernel} {dtype}", digest.hexdigest()) for kernel, digest in found.items())


def report(part: str, objects: Path | None) -> dict[str, Any]:
    """What one process says: digests, the functions it compiled, and those of them that `objects` has otherwise."""
    found: dict[str, Any] = {"training": dict(training())}
    if part == "all":
        found["kernels"] = dict(kernels())
    found["compiled"] = compiler.compilations()
    if objects:
        brought = cache.unpack(objects)
        assert brought, f"{objects} is for other sources"
        found["other objects"] = [n for n in compiler.compilations() if cache.read(n) != brought.read(n)]
    return found


# Comparing processes


class Column:
    """One machine: its name, and how to get its report."""

    def __init__(self, name: str, python: Path, tree: Path, part: str, *options: str, **environment: str) -> None:
        self.name = name
        # A kernel that fails its self-test, or an object that is damaged, is a warning and then other code.
        command = [str(python), "-W", "error::RuntimeWarning", __file__, "--part", part, *options]
        # Two threads even where there is one processor.
        own = {"PYTHONPATH": str(tree), "FASTBP_QUIET": "1", "NUMBA_NUM_THREADS": "2", **environment}
        self.command, self.environment = command, {**os.environ, **own}

    def run(self) -> Column:
        start = time.perf_counter()
        done = subprocess.run(self.command, env=self.environment, stdout=subprocess.PIPE, text=True)
        self.seconds = time.perf_counter() - start
        if done.returncode:
            stop(f"there are no digests of {self.name}: its process ended with {done.returncode}, its message is above")
        self.report = json.loads(done.stdout)
        digests = dict(self.report["training"])
        for dtype in DTYPES:
            every = "".join(d for name, d in self.report.get("kernels", {}).items() if name.endswith(dtype))
            digests[f"kernels {dtype}"] = hashlib.sha256(every.encode()).hexdigest() if every else ""
        self.digests: Digests = digests
        return self


def stop(sentence: str) -> None:
    raise SystemExit(f"fastbp: {sentence}")


def copy(source: Path, to: Path) -> Path:
    """A copy of the package and its tests, without objects."""
    shutil.rmtree(to, ignore_errors=True)
    for name in ("fastbp", "tests"):
        shutil.copytree(source / name, to / name, ignore=shutil.ignore_patterns("__pycache__", "objects"))
    return to


def compare(arm: Path) -> None:
    """Run every process, print the table, and stop where something differs."""
    bare = copy(ROOT, arm / "bare")  # so that all see the same sources, whatever is edited meanwhile
    shipped = copy(bare, arm / "shipped")
    objects = shipped / "fastbp" / "engine" / "objects"
    start = time.perf_counter()
    command = [sys.executable, "-m", "fastbp.engine.build", "--level", "aarch64", "--into", str(objects)]
    if subprocess.run(command, cwd=bare, env={**os.environ, "FASTBP_QUIET": "1"}, stdout=subprocess.DEVNULL).returncode:
        stop("nothing could be compiled for aarch64, the message is above")
    print(f"compiled for aarch64 in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    with tempfile.TemporaryDirectory() as cold, tempfile.TemporaryDirectory() as empty:
        file, python = objects / "aarch64.objects", arm / "python"
        columns = [
            Column("aarch64 itself", python, bare, "training", "--objects", str(file), FASTBP_CACHE_DIR=cold),
            *(
                Column(level.name, Path(sys.executable), bare, "all", FASTBP_LANES=str(level.lanes))
                for level in levels.runnable()
            ),
            Column("aarch64 shipped", python, shipped, "all", FASTBP_CACHE_DIR=empty),
        ]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            itself, *native, brought = pool.map(Column.run, columns)
    print(table([*native, itself, brought]))
    wrong = list(differences([*native, itself, brought]))
    if not itself.report["compiled"]:
        wrong.append("aarch64 itself compiled nothing")
    if itself.report["other objects"]:
        wrong.append(f"Arm compiles other objects than this machine: {', '.join(itself.report['other objects'])}")
    if brought.report["compiled"]:
        wrong.append(f"Arm compiled what was shipped: {', '.join(brought.report['compiled'])}")
    if wrong:
        stop("; ".join(wrong))
    print(f"all the same; {len(itself.report['compiled'])} objects compiled on Arm are those compiled here")


def differences(columns: list[Column]) -> Iterator[str]:
    """What a column has that the first has not."""
    first, *others = columns
    for other in others:
        for part in ("training", "kernels"):
            ours, theirs = first.report[part], other.report.get(part)
            if theirs is None:
                continue
            names = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
            if names:
                yield f"{other.name} differs from {first.name} in {part} of {', '.join(names)}"


def table(columns: list[Column]) -> str:
    """Digests, a row for each run and for the kernels of each precision."""
    rows = [("", *(column.name for column in columns))]
    for name in columns[0].digests:
        rows.append((name, *(column.digests[name][:PART] or "-" for column in columns)))
    rows.append(("seconds", *(f"{column.seconds:.0f}" for column in columns)))
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/verify-arm", description=__doc__)
    parser.add_argument("arm", type=Path, nargs="?", help="the folder of the emulated Python")
    parser.add_argument("--part", choices=("training", "all"), help="be one of the processes")
    parser.add_argument("--objects", type=Path, help="what the functions compiled here must be equal to")
    chosen = parser.parse_args()
    if chosen.part:
        json.dump(report(chosen.part, chosen.objects), sys.stdout)
    elif chosen.arm:
        compare(chosen.arm)
    else:
        parser.error("the folder of the emulated Python must be given")


if __name__ == "__main__":
    main()
