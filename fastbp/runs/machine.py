"""What fastbp detects on this machine."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from fastbp.runs.folder import processor, version_of_fastbp

if TYPE_CHECKING:
    from fastbp.runs.profile import Profile

FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512vl", "amx-tile", "neon", "sve")


def findings() -> dict[str, Any]:
    """Processor, vector width, threads and their source, cache, peak, versions."""
    from llvmlite import binding as llvm

    from fastbp.engine import cache, threads
    from fastbp.kernels import levels
    from fastbp.runs import profile

    features = llvm.get_host_cpu_features()
    count, reason = threads.default_threads(), why_threads()
    found: dict[str, Any] = {
        "processor": processor(),
        "features": " ".join(name for name in FEATURES if features.get(name)),
        "level": f"{levels.level().name}, registers of {levels.level().lanes} float32",
        "processors": os.cpu_count(),
        "threads": f"{count}, {reason}",
        "cache_folder": str(cache.folder()),
        "machine_code": origin_of_code(),
        **{f"self_test_{real}": found for real, found in self_test().items()},
    }
    measured = profile.measure(count)
    found["threading_layer"] = threading_layer()
    found |= in_words(measured)
    found["profile"] = asdict(measured)
    found["python"] = platform.python_version()
    found["fastbp"] = version_of_fastbp()
    for name in ("numba", "llvmlite", "numpy", "safetensors", "msgspec"):
        found[name] = version(name)
    for name in ("scipy", "polars", "matplotlib"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def in_words(measured: Profile) -> dict[str, str]:
    """A profile for people."""
    count = measured.threads
    sizes = {"L1": measured.l1_bytes, "L2": measured.l2_bytes, "L3": measured.l3_bytes}
    known = [f"{size / 1024:.0f} KiB {name}" for name, size in sizes.items() if size]
    crossing = "unknown" if measured.crossing_ns is None else f"{measured.crossing_ns:.0f} ns from core to core"
    return {
        "peak_gflops": f"{measured.peak_gflops:.0f} on one thread, {measured.peak_gflops_of_all:.0f} on {count}",
        "launch": f"{measured.launch_us:.1f} µs for a call on {count} threads",
        "barrier": f"{measured.barrier_ns:.0f} ns from phase to phase",
        "cache_line": crossing,
        "caches": ", ".join(known) or "unknown",
    }


def threading_layer() -> str:
    """Numba's threading layer in this process, if any."""
    import numba

    try:
        return str(numba.threading_layer())  # type: ignore[attr-defined]
    except ValueError:
        return "none, as there is one thread"


def origin_of_code() -> str:
    """The origin of compiled functions on this machine."""
    from fastbp.engine import cache, compiler

    count = len(compiler.everything())
    wrong = cache.proofs().get("wrong")
    if wrong:
        return f"without optimisation, since `{wrong[0]}` is wrong here in {wrong[1]} (self-test `{wrong[2]}`)"
    shipped = cache.shipped()
    if shipped:
        return f"{len(shipped.places)} of {count} functions came with the wheel, made by numba {shipped.made['numba']}"
    kept = sum(compiler.is_kept(*one) for one in compiler.everything())
    found = f"{kept} of {count} functions are in the cache, the others are compiled when they are first used"
    return f"{found}; those of the wheel are for other versions or sources" if cache.brought() else found


def self_test() -> dict[str, str]:
    """Results of the self-test and a digest of its answers, for each precision."""
    from fastbp.engine import compiler
    from fastbp.train import self_test as cases

    said = {}
    for real, found in compiler.self_test().items():
        wrong = [case for case, right in found.items() if not right]
        digest = hashlib.sha256("".join(cases.digest(case, real) for case in found).encode()).hexdigest()[:16]
        said[real] = f"{len(found) - len(wrong)} of {len(found)} answers right, digest {digest}"
        said[real] += f", wrong: {', '.join(wrong)}" if wrong else ""
    return said


def why_threads() -> str:
    """The source of the default number of threads."""
    from fastbp.engine import threads

    if os.environ.get("FASTBP_NUM_THREADS"):
        return "from FASTBP_NUM_THREADS"
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = threads.quota()
    if quota < affinity:
        return f"from the container's quota of {quota:g} processors"
    if affinity < (os.cpu_count() or 1):
        return f"from the process's affinity to {affinity} processors"
    return "one for each processor"
