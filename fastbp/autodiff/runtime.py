"""What traced functions call when they run: gates that are more than an expression, compiled."""

from __future__ import annotations

import math
from functools import cache
from typing import Any


@cache
def names() -> dict[str, Any]:
    """Name -> what compiled code calls by it."""
    import numpy as np
    from numba import njit

    from fastbp.kernels import functions
    from fastbp.kernels.memory import fill
    from fastbp.kernels.vector import vector_function

    def scalar(function: Any) -> Any:
        def formula(x: Any) -> Any:
            return function(x)

        formula.__name__ = f"first_{function.__name__}"
        return vector_function(formula, scalar=True)

    quick = njit(error_model="numpy")

    @quick
    def sum_all(x: Any) -> Any:
        out = 0.0
        for value in x.ravel():
            out += value
        return out

    @quick
    def sum_middle(x: Any) -> Any:
        out = np.zeros((x.shape[0], x.shape[2]))
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                for k in range(x.shape[2]):
                    out[i, k] += x[i, j, k]
        return out

    @quick
    def matmul(x: Any, y: Any) -> Any:
        out = np.zeros((x.shape[0], y.shape[1]))
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                for k in range(y.shape[1]):
                    out[i, k] += x[i, j] * y[j, k]
        return out

    @quick
    def maximum(x: Any, y: Any) -> Any:
        return x if x > y or x != x else y

    @quick
    def minimum(x: Any, y: Any) -> Any:
        return x if x < y or x != x else y

    @quick
    def sign(x: Any) -> Any:
        return (1.0 if x > 0.0 else -1.0 if x < 0.0 else x) if x == x else x

    found = {f.__name__: scalar(f) for f in (functions.exp, functions.log, functions.tanh, functions.sigmoid)}
    found |= {"sin": math.sin, "cos": math.cos, "sqrt": np.sqrt, "power": quick(lambda x, y: x**y), "fill": fill}
    return {
        **found,
        "np": np,
        "sum_all": sum_all,
        "sum_middle": sum_middle,
        "matmul": matmul,
        "maximum": maximum,
        "minimum": minimum,
        "sign": sign,
    }
