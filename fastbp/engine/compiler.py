"""Machine code of kernels: shipped with a wheel, cached, or compiled here, once.

A kernel is compiled for one of two signatures (float32, float64) as a C function whose address a plan holds; the sweeps
call it indirectly, so another op or network compiles nothing else.

A kernel is used only after its code has given the known answers on this kind of processor (`engine.proof`).
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from fastbp.engine import cache as store
from fastbp.engine import proof
from fastbp.engine.machine_code import FAST, Loader, object_of, optimised
from fastbp.engine.proof import LOCK, REALS
from fastbp.errors import ConfigError

_COMPILED: list[str] = []
_LOADED: dict[tuple[str, str, str], Any] = {}
_ORIGINS: dict[str, str] = {}  # name -> "shipped", "cached" or "compiled"
ENTRIES = (
    *("invoke", "run_serial", "run_parallel", "run_many", "predict_rows", "product_rows"),
    *("step_batch", "step_batch_labels", "run_task", "fma_chains", "hand_over"),
)
REGIONS = "run_parallel", "run_many"  # entries that are parallel regions


def computes(name: str) -> bool:
    """Whether a kernel computes numbers, so that it has known answers; others only inspect some."""
    return not name.endswith("_bounds") and name not in ("scan_reals", "scan_labels", "rest", "attempt")


def compilations() -> list[str]:
    """Names of the functions compiled by this process, in order."""
    return list(_COMPILED)


def origins() -> dict[str, str]:
    """The origin of each function of this process: "shipped", "cached" or "compiled"."""
    return dict(_ORIGINS)


def announce() -> None:
    """One line on stderr before this process compiles for the first time."""
    if not _COMPILED and os.environ.get("FASTBP_QUIET", "") in ("", "0"):
        print("fastbp: compiling kernels for this machine, once (a few seconds)", file=sys.stderr, flush=True)


@cache
def _kernels() -> dict[str, Callable[..., None]]:
    """Import every kernel and return them by name."""
    import fastbp.kernels
    from fastbp.kernels.flags import KERNELS
    from fastbp.sweeps import work as sweeps

    for module in pkgutil.iter_modules(fastbp.kernels.__path__):
        importlib.import_module(f"fastbp.kernels.{module.name}")
    del sweeps
    return KERNELS


def _lowered(name: str, real: str) -> tuple[Any, str]:
    """The IR of a kernel or an entry, and its symbol."""
    from fastbp.kernels import target
    from fastbp.kernels.flags import OPTIONS, signature
    from fastbp.sweeps import entries

    if name in ENTRIES:
        options = {"parallel": name in REGIONS, **OPTIONS}
        return target.lower(getattr(entries, name), entries.signature(name, real), options, for_python=True)
    return target.lower(_kernels()[name], signature(name, real), OPTIONS, for_python=False)


def _symbol(name: str, real: str) -> str:
    return f"fastbp_{name}_{real}"


def compiled(name: str, real: str, pipeline: str = FAST) -> bytes:
    """Compile a function to an object, bypassing the cache."""
    return object_of(*_lowered(name, real), _symbol(name, real), pipeline)


def final_ir(name: str, real: str, pipeline: str = FAST) -> str:
    """The optimised LLVM IR of a function."""
    return str(optimised(*_lowered(name, real), _symbol(name, real), pipeline))


def _object(name: str, real: str, pipeline: str) -> bytes:
    """A function's object: from the wheel, from the cache, or compiled and kept."""
    full = f"{name}-{real}" if pipeline == FAST else f"{name}-{real}-{pipeline}"
    brought = store.shipped()
    content = brought.read(full) if brought else None
    _ORIGINS[full] = "shipped"
    if content is None:
        content = store.read(full)
        _ORIGINS[full] = "cached"
    if content is None:
        announce()
        content = compiled(name, real, pipeline)
        _COMPILED.append(full)
        _ORIGINS[full] = "compiled"
        store.write(full, content)
    return content


def everything() -> list[tuple[str, str]]:
    """Name and precision of every function."""
    own = sorted(name for name in _kernels() if "custom_" not in name)  # without users' formulas
    return [(name, real) for name in (*own, *ENTRIES) for real in REALS]


def is_kept(name: str, real: str, *, shipped: bool = True) -> bool:
    """Whether a function's object is available: in the cache or, if that counts, in the wheel."""
    full, brought = f"{name}-{real}", store.shipped() if shipped else None
    return bool(brought and full in brought.places) or store.read(full) is not None


def keep(name: str, real: str) -> None:
    """Compile a function into the cache, without loading it."""
    _COMPILED.append(f"{name}-{real}")
    store.write(f"{name}-{real}", compiled(name, real))


@cache
def _loader(pipeline: str) -> Loader:
    return Loader()


def _load(name: str, real: str, wrap: Callable[[int], Any]) -> Any:
    if name in ENTRIES:
        found = _LOADED.get((name, real, proof.pipeline()))
        if found is not None:
            return found
    with LOCK:
        if name not in ENTRIES and computes(name) and "custom_" not in name:
            proof.prove(name, real)
        key = (name, real, proof.pipeline(name))
        if key not in _LOADED:
            _LOADED[key] = wrap(_loader(key[2]).address(_object(*key), _symbol(name, real)))
        return _LOADED[key]


def loaded() -> list[tuple[str, str]]:
    """Name and precision of every function that this process has loaded."""
    return [(name, real) for name, real, _ in _LOADED]


def self_test() -> dict[str, dict[str, bool]]:
    """Run the self-test again: all cases if every kernel is available, else those that most networks need."""
    return proof.again(whole=all(is_kept(*one) for one in everything()))


def kernel_address(name: str, real: str) -> int:
    """The address of a kernel's machine code.

    Parameters
    ----------
    name : str
        A name of `fastbp.kernels.flags.KERNELS`.
    real : {"float32", "float64"}
    """
    return int(_load(name, real, lambda address: address))


def sweep(name: str, real: str) -> Any:
    """A compiled entry of `sweeps.entries`, by a name of ENTRIES; it takes values of its types only."""

    def wrap(address: int) -> Any:
        from fastbp.kernels import target
        from fastbp.sweeps import entries

        return target.callable_at(address, getattr(entries, name), entries.signature(name, real))

    if name in REGIONS:
        from numba.np.ufunc.parallel import _launch_threads

        try:
            _launch_threads()  # this also registers the threading layer's symbols with LLVM
        except ValueError:
            found = importlib.import_module("numba").config.THREADING_LAYER
            raise ConfigError("NUMBA_THREADING_LAYER", "must be one that Numba can load", f"`{found}`") from None
    return _load(name, real, wrap)
