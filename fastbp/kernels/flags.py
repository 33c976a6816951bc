"""The one place that chooses how Numba compiles.

`error_model="numpy"`: the default adds a branch for division by zero that stops vectorising.
`fastmath` stays off: nnan and ninf would blind the checks for NaN, reassoc, arcp and afn would change bits, and
where a fused multiply-add is meant the kernels say so themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types

from fastbp.kernels.records import Worker
from fastbp.kernels.target import Function
from fastbp.kernels.words import typed

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "debug": False,
    "fastmath": False,
}

REALS = {"float32": types.float32, "float64": types.float64}


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a helper that kernels call; it is always merged into its caller."""
    return Function(function, {"nopython": True, "forceinline": True, **OPTIONS})


KERNELS: dict[str, Callable[..., None]] = {}
TAKES: dict[str, tuple[Any, Any]] = {}  # what a kernel's first two arguments are: records, numbers, or plain addresses


def kernel(first: Any = None, second: Any = Worker) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a kernel under its own name; `engine.compiler` compiles it when a plan first needs it.

    All kernels are called alike, with two addresses, two whole numbers and a zero of the reals they compute with. The
    addresses are of records of these classes, by default of one's worker in the second place.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        KERNELS[function.__name__] = function
        TAKES[function.__name__] = first, second
        return function

    return register


def signature(name: str, real: str) -> Any:
    """The Numba signature of a kernel."""
    first, second = (typed(one) for one in TAKES[name])
    return types.void(first, second, types.int64, types.int64, REALS[real])
