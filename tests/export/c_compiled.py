"""C files compiled and called: what the tests of `fb.export.c` share."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, Any]

NAMES = [
    *("gcc", "clang", "g++", "clang++"),
    *("aarch64-linux-gnu-gcc", "arm-linux-gnueabihf-gcc", "riscv64-linux-gnu-gcc"),
]
COMPILERS = {name: found for name in NAMES if (found := shutil.which(name))}
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off")
WAYS = ["gcc -O0", "gcc -O3 -march=native", "clang -O0", "clang -O3 -march=native"]
CPP = [("g++ -O2", "-std=c++11"), ("clang++ -O1", "-std=c++17")]
# Compilers for other processors, and what runs their programs here.
ELSEWHERE = {
    "aarch64-linux-gnu-gcc -O2": "qemu-aarch64-static",
    "arm-linux-gnueabihf-gcc -O2 -mfpu=neon-vfpv4": "qemu-arm-static",
    "riscv64-linux-gnu-gcc -O2": "qemu-riscv64-static",
}
every_way = pytest.mark.parametrize("way", WAYS)


def compiled(way: str, source: Path, target: Path, *more: str, standard: str = "-std=c99") -> None:
    """Compile a file, without a warning; skips the test where there is no such compiler."""
    name, *flags = way.split()
    if name not in COMPILERS:
        pytest.skip(f"no {name} on this machine")
    language = ["-x", "c++"] if name.endswith("++") else []
    command = [COMPILERS[name], standard, *flags, *STRICT, *more, *language, str(source), "-o", str(target), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def any_way() -> str:
    """Whichever compiler there is, with speed for many rows."""
    return "gcc -O1" if "gcc" in COMPILERS else "clang -O1"


class Library:
    """The functions of a C file, row by row."""

    def __init__(self, way: str, source: Path, folder: Path) -> None:
        target = folder / f"{source.stem}-{abs(hash(way))}.so"
        compiled(way, source, target, "-shared", "-fPIC")
        self.name, self._library = source.stem, ctypes.CDLL(str(target))

    def __call__(self, function: str, width: int, *given: Array) -> Array:
        """What a function makes of each row of these arrays."""
        call = self._library[f"{self.name}_{function}"]
        call.restype = None
        rows = [np.ascontiguousarray(one) for one in given]
        out = np.full((len(rows[0]), width), np.nan, rows[0].dtype)
        for r in range(len(out)):
            call(*(ctypes.c_void_p(one[r].ctypes.data) for one in (*rows, out)))
        return out


def bits(found: Any) -> Array:
    """Numbers as whole numbers, every NaN the same."""
    array = np.asarray(found)
    array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return array.view(f"i{array.itemsize}")


def proved(source, way, *more, standard="-std=c99"):
    """What the program in a file says, and its exit status."""
    program = source.with_suffix(".proof")
    runner = ELSEWHERE.get(way)
    if runner and not shutil.which(runner):
        pytest.skip(f"no {runner} on this machine")
    static = ["-static"] if runner else []
    compiled(way, source, program, f"-D{source.stem.upper()}_SELF_TEST", *static, *more, standard=standard)
    command = [*([runner] if runner else []), str(program.resolve())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout
