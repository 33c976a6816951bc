"""What the header of a report says about the machine, the commit and the day."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def facts(threads: int) -> dict[str, str]:
    """Return what is to be known besides the numbers, in the order it is printed."""
    return {
        "machine": f"{processor()}{registers()}, {cpus()} CPUs, {platform.system()}",
        "threads": str(threads),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown",
        "python": platform.python_version(),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def cpus() -> int:
    """The CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


CPUINFO = Path("/proc/cpuinfo")
VENDORS = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD", "aarch64": "Arm", "arm64": "Arm"}
# As compiled code has levels: v4 needs all of these.
WIDTHS = {"AVX-512": {"avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512cd"}, "AVX2": {"avx2", "fma"}}


def processor() -> str:
    """The model name of the CPU."""
    return cpuinfo("model name") or platform.processor() or platform.machine()


def registers() -> str:
    """What says how wide the vector registers of x86 are, behind the name of the CPU."""
    flags = set(cpuinfo("flags").split())
    return next((f" with {name}" for name, needed in WIDTHS.items() if needed <= flags), "")


def kind() -> str:
    """The kind of machine that has a section of the README: the maker of its CPU, and that it has no AVX-512."""
    name = cpuinfo("vendor_id") or platform.machine()
    width = registers()
    return VENDORS.get(name, name) + ("" if width.endswith("512") else width)


def cpuinfo(field: str) -> str:
    """A field of the first CPU as Linux tells it; empty if there is none."""
    if CPUINFO.exists():
        for line in CPUINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == field:
                return value.strip()
    return ""


def commit() -> str:
    """The short hash of the commit, marked where tracked files differ from it."""
    try:
        git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
