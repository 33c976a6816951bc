"""Machine code for what a plan names: shipped with a wheel, kept in the user's cache, or compiled here, once.

A kernel is compiled for one of two signatures (float32, float64) as a C function, so that a plan can hold its address
and the sweeps can call it without knowing it: an op more or a network more compiles nothing else.

Before the first kernel of a precision is handed out on a machine, the self-test runs with the code that is there. Where
that computes anything but the known answers, every kernel is made again without optimisation.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from fastbp.engine import cache as store
from fastbp.engine.machine_code import FAST, PLAIN, Loader, object_of, optimised
from fastbp.engine.threads import check_fork
from fastbp.errors import FastbpError

_LOCK = threading.RLock()
_COMPILED: list[str] = []
_LOADED: dict[tuple[str, str, str], Any] = {}
_ORIGINS: dict[str, str] = {}  # name -> "shipped", "cached" or "compiled"
_pipeline = [FAST]
_proving = [True]
# Name, precision and pipeline of kernels whose code gave the known answers here, and of those whose case has begun.
_passed: set[tuple[str, ...]] = set()
_asked: set[tuple[str, ...]] = set()
_instead: set[str] = set()  # kernels that are taken without optimisation, one after another, to find a wrong one

NOT_ASKED = ("scan_reals", "scan_labels")  # they look at numbers and compute none
SELF_TEST = "fastbp.train.self_test"  # by name, because it stands above: it trains networks

REALS = ("float32", "float64")
ENTRIES = (
    *("invoke", "run_serial", "run_parallel", "predict_rows", "product_rows", "step_batch", "step_batch_labels"),
    "run_groups",
)


def compilations() -> list[str]:
    """Names of the functions that this process had to compile rather than load, in order."""
    return list(_COMPILED)


def origins() -> dict[str, str]:
    """Where each function of this process came from: "shipped", "cached" or "compiled"."""
    return dict(_ORIGINS)


def announce() -> None:
    """One line on stderr before this process compiles for the first time."""
    if not _COMPILED and os.environ.get("FASTBP_QUIET", "") in ("", "0"):
        print("fastbp: compiling kernels for this machine, once (a few seconds)", file=sys.stderr, flush=True)


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


def _lowered(name: str, real: str) -> tuple[Any, str]:
    """The IR of a kernel or an entry, and its name there."""
    from fastbp.engine import entries
    from fastbp.kernels import target
    from fastbp.kernels.flags import OPTIONS, SIGNATURES

    if name in ENTRIES:
        options = {"parallel": name == "run_parallel", **OPTIONS}
        return target.lower(getattr(entries, name), entries.signature(name, real), options, for_python=True)
    return target.lower(_kernels()[name], SIGNATURES[real], OPTIONS, for_python=False)


def _symbol(name: str, real: str) -> str:
    return f"fastbp_{name}_{real}"


def compiled(name: str, real: str, pipeline: str = FAST) -> bytes:
    """Compile a function into an object, whatever is kept of it."""
    return object_of(*_lowered(name, real), _symbol(name, real), pipeline)


def final_ir(name: str, real: str, pipeline: str = FAST) -> str:
    """The LLVM IR that a function's machine code is generated from."""
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
    """Name and precision of every function that there is."""
    own = sorted(name for name in _kernels() if "custom_" not in name)  # those of formulas are the user's
    return [(name, real) for name in (*own, *ENTRIES) for real in REALS]


def is_kept(name: str, real: str, *, shipped: bool = True) -> bool:
    """Whether a function's object is at hand: in the cache, or in the wheel where that counts."""
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
        found = _LOADED.get((name, real, _pipeline[0]))
        if found is not None:
            return found
    with _LOCK:
        if name not in ENTRIES and name not in NOT_ASKED and "custom_" not in name:
            _prove(name, real)
        pipeline = PLAIN if name in _instead else _pipeline[0]
        key = (name, real, pipeline)
        if key not in _LOADED:
            _LOADED[key] = wrap(_loader(pipeline).address(_object(*key), _symbol(name, real)))
        return _LOADED[key]


def loaded() -> list[tuple[str, str]]:
    """Name and precision of every function that this process has loaded."""
    return [(name, real) for name, real, _ in _LOADED]


@contextmanager
def running(pipeline: str) -> Iterator[None]:
    """What is asked for meanwhile is the code of this pipeline, right or wrong; for checks of one against the other."""
    with _LOCK:
        before = _pipeline[0], _proving[0]
        _pipeline[0], _proving[0] = pipeline, False
        try:
            yield
        finally:
            _pipeline[0], _proving[0] = before


# The self-test: no kernel is handed out before its case gave the known answer here, with the code that will run


def _prove(name: str, real: str) -> None:
    """Make sure that the machine code of a kernel gives the known answers on this kind of processor."""
    pipeline = _pipeline[0]
    if not _proving[0] or (name, real, pipeline) in _asked:
        return None
    check_fork()
    if not _asked:
        found = store.proofs()
        _passed.update(tuple(proof) for proof in found.get("right", ()))
        _asked.update(_passed)
        if "wrong" in found:
            _pipeline[0] = PLAIN
            _warn_of(*found["wrong"])
            return _prove(name, real)
        if (name, real, pipeline) in _asked:
            return None
    cases: Any = importlib.import_module(SELF_TEST)
    case = cases.case_of(name)
    tested = {(kernel, real, pipeline) for kernel in (cases.known()[case]["kernels"] if case else [name])}
    if tested <= _asked:
        return None
    _asked.update(tested)  # now, since the case asks for them
    try:
        right = case is None or cases.is_right(case, real)
        if _pipeline[0] == pipeline:
            return _note(name, real, case, tested, right)
    except BaseException:
        _asked.difference_update(tested)
        raise
    return _prove(name, real)  # a case within this one found something wrong: again, with the code that runs now


def _note(name: str, real: str, case: str, tested: set[tuple[str, str, str]], right: bool) -> None:
    """What follows from a case: a proof that is kept, code without optimisation from now on, or an error."""
    if right:
        _passed.update(tested)
        store.keep_proofs({"right": sorted(_passed)})
        return
    if _pipeline[0] == PLAIN:
        raise FastbpError(
            f"the kernel `{name}` computes wrong numbers on this processor in {real}, without optimisation too: its "
            f"self-test is `{case}`"
        )
    # Those of this case, and of cases that wait for it.
    begun = sorted(kernel for kernel, *rest in _asked - _passed if rest == [real, FAST])
    found = [kernel for kernel in begun if _is_wrong(kernel, real, case)]
    cases: Any = importlib.import_module(SELF_TEST)
    wrong = [", ".join(found or begun), real, (cases.case_of(found[0]) if found else None) or case]
    _pipeline[0] = PLAIN
    _prove(name, real)  # raises where that is no way out
    store.keep_proofs({"wrong": wrong})
    _warn_of(*wrong)


def _is_wrong(name: str, real: str, case: str) -> bool:
    """Whether it is this kernel that a case fails for: it passes with this one alone made without optimisation."""
    cases: Any = importlib.import_module(SELF_TEST)
    _instead.add(name)
    try:
        return bool(cases.is_right(case, real))
    finally:
        _instead.discard(name)


def _warn_of(name: str, real: str, case: str) -> None:
    warnings.warn(
        f"fastbp's kernel `{name}` computes wrong numbers on this processor in {real} (self-test `{case}`), so kernels "
        "run without optimisation, which is right but slow; please report this with what `fastbp doctor` says",
        RuntimeWarning,
        stacklevel=2,
    )


def self_test() -> dict[str, dict[str, bool]]:
    """Run the self-test again on the code that ships: precision -> case -> whether it gives its known answer.

    All of its cases where every kernel is at hand, else those that most networks need.
    """
    cases: Any = importlib.import_module(SELF_TEST)
    whole = all(is_kept(*one) for one in everything())
    names = list(cases.known())[: None if whole else cases.COMMON]
    with running(FAST):
        return {real: {case: cases.is_right(case, real) for case in names} for real in REALS}


def kernel_address(name: str, real: str) -> int:
    """Where the machine code of a kernel stands.

    Parameters
    ----------
    name : str
        A name of `fastbp.kernels.flags.KERNELS`.
    real : {"float32", "float64"}
    """
    return int(_load(name, real, lambda address: address))


def sweep(name: str, real: str) -> Any:
    """A compiled entry of `engine.entries`, by a name of ENTRIES, to be called with values of its types only."""

    def wrap(address: int) -> Any:
        from fastbp.engine import entries
        from fastbp.kernels import target

        return target.callable_at(address, getattr(entries, name), entries.signature(name, real))

    if name == "run_parallel":
        from numba.np.ufunc.parallel import _launch_threads

        _launch_threads()  # which also tells LLVM where the threading layer's functions are
    return _load(name, real, wrap)
