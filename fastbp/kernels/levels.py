"""The levels: the few named sets of instructions that machine code is made for, instead of whatever machine this is.

Numba compiles for the host: its name, as LLVM guesses it ("rocketlake" on a Sapphire Rapids), chooses instructions and
tuning, so what was tested on one processor is not what runs on the next. Here a machine's feature flags choose one of
the levels below, and a level's code is the same byte for byte wherever it was made.

    x86-64-v4   AVX-512: lines of one register
    x86-64-v3   AVX2 and FMA: lines of two
    x86-64-v2   SSE4.2, below those two: lines of four, and an FMA is a call of the C library's
    aarch64     NEON: lines of four

`FASTBP_LANES` asks for a level below the machine's own: 16, 8 or 4 float32 a register.
"""

from __future__ import annotations

import os
import platform
import sys
from typing import NamedTuple

import llvmlite.binding as llvm


class Level(NamedTuple):
    """A set of instructions: its name, the processor that LLVM is told of, and how many float32 a register holds."""

    name: str
    cpu: str
    lanes: int
    machine: str  # as LLVM's triples begin


LEVELS = {
    level.name: level
    for level in (
        Level("x86-64-v4", "x86-64-v4", 16, "x86_64"),
        Level("x86-64-v3", "x86-64-v3", 8, "x86_64"),
        Level("x86-64-v2", "x86-64-v2", 4, "x86_64"),
        Level("aarch64", "generic", 4, "aarch64"),
    )
}
AVX2 = ("avx2", "fma", "bmi", "bmi2", "f16c", "movbe", "lzcnt")
AVX512 = ("avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512cd")
NEEDS = {"x86-64-v4": AVX2 + AVX512, "x86-64-v3": AVX2}


def _machine() -> str:
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


def runnable() -> list[Level]:
    """The levels that this machine can run, the widest first."""
    machine, features = _machine(), llvm.get_host_cpu_features()
    found = [
        level
        for level in LEVELS.values()
        if level.machine == machine and all(features.get(name) for name in NEEDS.get(level.name, ()))
    ]
    return found or [Level(machine, "", 4, machine)]  # another architecture: LLVM's generic processor


def _wanted() -> Level:
    """The widest level of this machine with at most `FASTBP_LANES` lanes."""
    wanted = os.environ.get("FASTBP_LANES", "")
    if wanted not in ("", "4", "8", "16"):
        raise ValueError(f"`FASTBP_LANES` must be one of `4`, `8`, `16`, got `{wanted}`")
    most = int(wanted or 16)
    levels = runnable()
    return next((level for level in levels if level.lanes <= most), levels[-1])


_chosen: list[Level] = []


def level() -> Level:
    """The level of this process: kernels are built for it from the first import on."""
    if not _chosen:
        _chosen.append(_wanted())
    return _chosen[0]


def build_for(name: str) -> None:
    """Make this process compile for another machine; before any kernel is imported."""
    if _chosen:
        raise RuntimeError(f"this process compiles for `{_chosen[0].name}` already")
    _chosen.append(LEVELS[name])


def triple() -> str:
    """LLVM's name for the platform that this process compiles for; the same on every Linux."""
    machine = level().machine
    if machine != _machine() or (sys.platform == "linux" and level().name in LEVELS):
        return f"{machine}-unknown-linux-gnu"
    return str(llvm.get_process_triple())
