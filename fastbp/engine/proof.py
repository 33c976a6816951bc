"""Proofs: no kernel is used before its code has given the known answers on this kind of processor.

`train.self_test` has cases: computations whose result is known to the last bit. A kernel's case runs before its first
use, and the result is kept in the cache folder. If an answer is wrong, all kernels are replaced by code without
optimisation, once that has given the right answer; if it is wrong too, an error is raised, each time.

Cases call kernels, so they nest; a lock is held meanwhile.
"""

from __future__ import annotations

import importlib
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastbp.engine import cache as store
from fastbp.engine.forks import CODE
from fastbp.engine.machine_code import FAST, PLAIN
from fastbp.errors import FastbpError

REALS = ("float32", "float64")
LOCK = CODE
Kernel = tuple[str, str, str]  # name, precision, pipeline

_pipeline = [FAST]
_proving = [True]
_passed: set[Kernel] = set()
_begun: set[Kernel] = set()  # passed, or their case is running
_instead: set[str] = set()  # compiled without optimisation one by one, to find the wrong one
_thread = threading.local()  # `proving`: whether this thread runs a case


def _cases() -> Any:
    """The self-test, imported late, because it trains networks and so belongs to a room above."""
    return importlib.import_module("fastbp.train.self_test")


def under_way() -> bool:
    """Whether this thread runs a case, whose plans run as they are."""
    return getattr(_thread, "proving", False)


def _is_right(case: str, real: str) -> bool:
    """Whether a case gives its known answer."""
    before, _thread.proving = under_way(), True
    try:
        return bool(_cases().is_right(case, real))
    finally:
        _thread.proving = before


def pipeline(name: str = "") -> str:
    """The pipeline in use, or that of a kernel."""
    return PLAIN if name in _instead else _pipeline[0]


@contextmanager
def running(chosen: str) -> Iterator[None]:
    """Use the code of this pipeline meanwhile, right or wrong, to compare pipelines."""
    with LOCK:
        before = _pipeline[0], _proving[0]
        _pipeline[0], _proving[0] = chosen, False
        try:
            yield
        finally:
            _pipeline[0], _proving[0] = before


def again(whole: bool) -> dict[str, dict[str, bool]]:
    """Run all cases, or those that most networks need, on optimised code: precision -> case -> whether right."""
    cases = _cases()
    names = list(cases.known())[: None if whole else cases.COMMON]
    with running(FAST):
        return {real: {case: _is_right(case, real) for case in names} for real in REALS}


def prove(name: str, real: str) -> None:
    """Prove a kernel, unless that was done; the lock is held."""
    runs = _pipeline[0]
    if not _proving[0] or (name, real, runs) in _begun:
        return
    if not _begun:
        _remember(store.proofs())
        if (name, real, runs) not in _begun:
            prove(name, real)  # with the current proofs and pipeline
        return
    case = _cases().case_of(name)
    tested = {(kernel, real, runs) for kernel in (_cases().known()[case]["kernels"] if case else [name])}
    _begun.update(tested)  # or the case would require itself
    try:
        right = case is None or _is_right(case, real)
        if _pipeline[0] == runs:
            _conclude(name, real, case, tested, right)
            return
    except BaseException:
        _begun.difference_update(tested)
        raise
    prove(name, real)  # a nested case has failed


def _remember(found: dict[str, Any]) -> None:
    """Load earlier results."""
    _begun.add(("", "", ""))  # load once only
    _passed.update((name, real, runs) for name, real, runs in found.get("right", ()))
    _begun.update(_passed)
    if "wrong" in found:
        _pipeline[0] = PLAIN
        _warn_of(*found["wrong"])


def _conclude(name: str, real: str, case: str, tested: set[Kernel], right: bool) -> None:
    """Act on a case's result: keep a proof, switch to code without optimisation, or raise an error."""
    if right:
        _passed.update(tested)
        store.keep_proofs({"right": sorted(_passed)})
        return
    if _pipeline[0] == PLAIN:
        raise FastbpError(
            f"the kernel `{name}` computes wrong numbers on this processor in {real}, without optimisation too: its "
            f"self-test is `{case}`"
        )
    # Kernels of this case, and of cases that wait for it.
    begun = sorted(kernel for kernel, *rest in _begun - _passed if rest == [real, FAST])
    found = [kernel for kernel in begun if _is_wrong(kernel, real, case)]
    wrong = [", ".join(found or begun), real, (_cases().case_of(found[0]) if found else None) or case]
    _pipeline[0] = PLAIN
    prove(name, real)  # raises if that is wrong, too
    store.keep_proofs({"wrong": wrong})
    _warn_of(*wrong)


def _is_wrong(name: str, real: str, case: str) -> bool:
    """Whether this kernel makes a case fail: the case passes if only this kernel is compiled without optimisation."""
    _instead.add(name)
    try:
        return _is_right(case, real)
    finally:
        _instead.discard(name)


def _warn_of(name: str, real: str, case: str) -> None:
    warnings.warn(
        f"fastbp's kernel `{name}` computes wrong numbers on this processor in {real} (self-test `{case}`), so kernels "
        "run without optimisation, which is right but slow; please report this with what `fastbp doctor` says",
        RuntimeWarning,
        stacklevel=2,
    )
