"""Machine code for what a plan names: compiled once per machine, kept in a cache, found by name.

A kernel is compiled for one of two signatures (float32, float64) as a C function, so that a plan can hold its address
and the sweeps can call it without knowing it: an op more or a network more compiles nothing else.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

_LOCK = threading.RLock()
_COMPILED: list[str] = []
_LOADED: dict[tuple[str, str], Any] = {}


def compilations() -> list[str]:
    """Names of the functions that this process had to compile rather than load, in order."""
    return list(_COMPILED)


def announce() -> None:
    """One line on stderr before this process compiles for the first time."""
    if not _COMPILED and os.environ.get("FASTBP_QUIET", "") in ("", "0"):
        print("fastbp: compiling kernels for this machine, once (a few seconds)", file=sys.stderr, flush=True)


def _build(name: str, real: str, make: Callable[[Any], Any]) -> Any:
    """Load a compiled function from the cache, or compile and keep it."""
    from fastbp.engine.cache import FunctionCache

    key = (name, real)
    with _LOCK:
        if key not in _LOADED:
            store = FunctionCache(f"{name}-{real}")
            _LOADED[key] = make(store)
            if store.missed:
                _COMPILED.append(f"{name}-{real}")
        return _LOADED[key]


@cache
def _kernels() -> dict[str, Callable[..., None]]:
    """Import every kernel and return them by name."""
    import fastbp.kernels
    from fastbp.engine import sweeps
    from fastbp.kernels.flags import KERNELS

    for module in pkgutil.iter_modules(fastbp.kernels.__path__):
        importlib.import_module(f"fastbp.kernels.{module.name}")
    del sweeps
    return KERNELS


def kernel_address(name: str, real: str) -> int:
    """Where the machine code of a kernel stands.

    Parameters
    ----------
    name : str
        A name of `fastbp.kernels.flags.KERNELS`.
    real : {"float32", "float64"}
    """
    from numba.core.ccallback import CFunc

    from fastbp.kernels.flags import OPTIONS, SIGNATURES

    def make(store: Any) -> Any:
        signature = SIGNATURES[real]
        out: Any = CFunc(_kernels()[name], (signature.args, signature.return_type), locals={}, options=dict(OPTIONS))
        out._cache = store
        out.compile()
        return out

    return int(_build(name, real, make).address)


def sweep(name: str, real: str) -> Any:
    """A compiled entry of `engine.entries`, by a name of ENTRIES."""
    from numba import njit

    from fastbp.engine import entries
    from fastbp.kernels.flags import OPTIONS

    def make(store: Any) -> Any:
        out = njit(parallel=name == "run_parallel", **OPTIONS)(getattr(entries, name))
        out._cache = store
        out.compile(entries.signature(name, real))
        out.disable_compile()
        return out

    return _build(name, real, make)


ENTRIES = (
    *("invoke", "run_serial", "run_parallel", "predict_rows", "product_rows", "step_batch", "step_batch_labels"),
    "run_groups",
)


def compile_all() -> int:
    """Compile everything in both precisions into the cache; returns how many functions that are."""
    names = sorted(_kernels())
    for real in ("float32", "float64"):
        for name in names:
            kernel_address(name, real)
        for name in ENTRIES:
            sweep(name, real)
    return 2 * (len(names) + len(ENTRIES))
