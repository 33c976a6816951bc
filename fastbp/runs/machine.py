"""What fastbp detects on this machine."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from fastbp.runs.folder import processor, version_of_fastbp

FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512vl", "amx-tile", "neon", "sve")


def findings() -> dict[str, Any]:
    """Processor, vector width, threads and their source, cache, peak, versions."""
    from llvmlite import binding as llvm

    from fastbp.engine import cache, threads
    from fastbp.kernels import levels

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
    one, many = peak(1), peak(count)
    found["threading_layer"] = threading_layer()
    found["peak_gflops"] = f"{one:.0f} on one thread, {many:.0f} on {count}"
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


def peak(threads: int) -> float:
    """Billions of operations a second that a forward pass of wide layers reaches, the best of several tries."""
    from fastbp.model.mlp import mlp

    net = mlp([512, 512, 512])
    X = np.zeros((1024 * threads, 512), np.float32)
    out = np.empty_like(X)
    best = float("inf")
    for _ in range(12):
        begun = time.perf_counter()
        net.predict(X, out=out, threads=threads)
        best = min(best, time.perf_counter() - begun)
    return 2.0 * 2 * 512 * 512 * len(X) / best / 1e9
