"""The one place that chooses how Numba compiles.

`error_model="numpy"`: the default adds a branch for division by zero that stops vectorising.
`fastmath` stays off: nnan and ninf would blind the checks for NaN, reassoc, arcp and afn would change bits, and
where a fused multiply-add is meant the kernels say so themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types

from fastbp.kernels.target import Function

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "debug": False,
    "fastmath": False,
}

SIGNATURES = {
    "float32": types.void(types.int64, types.int64, types.int64, types.int64, types.float32),
    "float64": types.void(types.int64, types.int64, types.int64, types.int64, types.float64),
}


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a helper that kernels call; it is always merged into its caller."""
    return Function(function, {"nopython": True, "forceinline": True, **OPTIONS})


KERNELS: dict[str, Callable[..., None]] = {}


def kernel(function: Callable[..., None]) -> Callable[..., None]:
    """Register a kernel under its own name; `engine.compiler` compiles it when a plan first needs it."""
    KERNELS[function.__name__] = function
    return function
