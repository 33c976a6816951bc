"""NumPy's names for gates and compositions of gates."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from math import log, pi, prod
from typing import Any

import numpy as np

from fastbp.autodiff import composed
from fastbp.autodiff.tracer import Tracer, gate, matmul, node_of, reshape, total
from fastbp.errors import ConfigError, ConfigTypeError, FastbpError


def _gate(name: str) -> Callable[..., Tracer]:
    return lambda *values: gate(name, *values)


SAME = (
    *("add", "subtract", "multiply", "divide", "power", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "arctan"),
    *("tanh", "hypot", "maximum", "minimum", "sign"),
    *("greater", "greater_equal", "less", "less_equal", "equal", "not_equal"),
)
UFUNCS: dict[str, Callable[..., Tracer]] = {
    **{name: _gate(name) for name in SAME},
    "negative": _gate("negate"),
    "positive": lambda x: x,
    "absolute": _gate("abs"),
    "fabs": _gate("abs"),
    "float_power": _gate("power"),
    "matmul": matmul,
    "square": composed.square,
    "reciprocal": lambda x: gate("divide", 1.0, x),
    "tan": composed.tan,
    "sinh": composed.sinh,
    "cosh": composed.cosh,
    "log2": lambda x: gate("divide", gate("log", x), log(2.0)),
    "log10": lambda x: gate("divide", gate("log", x), log(10.0)),
    "exp2": lambda x: gate("exp", gate("multiply", x, log(2.0))),
    "logaddexp": composed.logaddexp,
    "deg2rad": lambda x: gate("multiply", x, pi / 180.0),
    "rad2deg": lambda x: gate("multiply", x, 180.0 / pi),
    "isnan": lambda x: gate("not_equal", x, x),
    "logical_and": lambda x, y: gate("minimum", composed.truth(x), composed.truth(y)),
    "logical_or": lambda x, y: gate("maximum", composed.truth(x), composed.truth(y)),
    "logical_xor": lambda x, y: gate("not_equal", composed.truth(x), composed.truth(y)),
    "logical_not": lambda x: gate("equal", x, 0.0),
}


def where(condition: Any, x: Any, y: Any) -> Tracer:
    """x where the condition holds, otherwise y."""
    return gate("where", condition, x, y)


def full_like(a: Tracer, fill_value: Any) -> Any:
    if isinstance(fill_value, Tracer):
        return composed.broadcast_to(fill_value, a.shape)
    return np.full(a.shape, fill_value, a.dtype)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sum": total,
    "mean": composed.mean,
    "var": composed.var,
    "std": composed.std,
    **dict.fromkeys(("max", "amax"), composed.largest("maximum")),
    **dict.fromkeys(("min", "amin"), composed.largest("minimum")),
    "linalg.norm": composed.norm,
    "dot": composed.dot,
    "inner": composed.inner,
    "vdot": composed.vdot,
    "outer": composed.outer,
    "trace": composed.diagonal_sum,
    "diag": composed.diag,
    "where": where,
    "reshape": lambda a, shape: reshape(a, shape),
    "ravel": lambda a: reshape(a, -1),
    "transpose": composed.transpose,
    "matrix_transpose": lambda x: composed.transpose(x),
    "clip": composed.clip,
    "concatenate": composed.concatenate,
    "stack": composed.stack,
    "vstack": lambda tup: composed.vstack(tup),
    "hstack": lambda tup: composed.hstack(tup),
    "column_stack": lambda tup: composed.column_stack(tup),
    "flip": composed.flip,
    "fliplr": lambda m: composed.flip(m, 1),
    "flipud": lambda m: composed.flip(m, 0),
    "roll": composed.roll,
    "diff": composed.diff,
    "expand_dims": composed.expand_dims,
    "squeeze": composed.squeeze,
    "broadcast_to": composed.broadcast_to,
    "zeros_like": lambda a: full_like(a, 0.0),
    "ones_like": lambda a: full_like(a, 1.0),
    "full_like": full_like,
    "shape": lambda a: a.shape,
    "ndim": lambda a: a.ndim,
    "size": lambda a: prod(a.shape),
    "copy": lambda a: a,
}
# SciPy functions that are gates.
SCIPY: dict[str, Callable[..., Tracer]] = {"erf": _gate("erf"), "expit": _gate("sigmoid")}


def listed() -> str:
    """The functions that can be traced, for docs/ops.md."""
    names = sorted({*UFUNCS, *FUNCTIONS}, key=lambda name: (name.count("."), name))
    own = ", ".join(f"`fb.{name}`" for name in ("erf", "relu", "sigmoid", "softplus"))
    return f"NumPy's {', '.join(f'`{name}`' for name in names)}, and {own}"


def unknown(name: str) -> ConfigError:
    return ConfigError(f"`{name}` cannot be traced", hint="docs/ops.md lists the functions that can")


def called(shown: str, own: Callable[..., Any], args: Any, settings: Any) -> Any:
    """Call own(*args, **settings), with readable errors."""
    known = signature(own).parameters
    for name in settings:
        if name not in known:
            raise ConfigError(f"`{shown}` of a traced value must have no `{name}`")
    try:
        signature(own).bind(*args, **settings)
    except TypeError:
        names = ", ".join(f"`{p.name}`" for p in known.values() if p.kind is not Parameter.KEYWORD_ONLY)
        raise ConfigTypeError(
            f"`{shown}` of a traced value must be given {names}, got {len(args) + len(settings)} values"
        ) from None
    try:
        return own(*args, **settings)
    except FastbpError:
        raise
    except TypeError:
        kinds = ", ".join(f"`{type(a).__name__}`" for a in (*args, *settings.values()))
        raise ConfigTypeError(f"`{shown}` of a traced value takes traced values and numbers, got {kinds}") from None


def ufunc(function: Any, method: str, inputs: Any, settings: Any) -> Any:
    """Apply a ufunc of NumPy or SciPy to traced values."""
    name, of_numpy = function.__name__, getattr(np, function.__name__, None) is function
    shown = f"np.{name}" if of_numpy else name
    own = (UFUNCS if of_numpy else SCIPY).get(name)
    if method != "__call__":
        raise unknown(f"{shown}.{method}")
    if own is None:
        raise unknown(shown)
    if settings:
        raise ConfigError(f"`{shown}` of a traced value must have no `{next(iter(settings))}`")
    return own(*inputs)


def array_function(function: Any, args: Any, settings: Any) -> Any:
    module = getattr(function, "__module__", None) or "numpy"
    name = ".".join([*module.split(".")[1:], function.__name__])
    if name not in FUNCTIONS:
        raise unknown(f"np.{name}")
    return called(f"np.{name}", FUNCTIONS[name], args, settings)


def method(name: str, x: Tracer, args: Any, settings: Any) -> Any:
    """x.name(...)."""
    return called(f"x.{name}", FUNCTIONS[name], (x, *args), settings)


def nodes_of_results(graph: Any, found: Any) -> tuple[list[int], bool]:
    """The nodes of a traced function's results, and whether it returned a single value."""
    single = not isinstance(found, tuple | list) or not any(isinstance(v, Tracer) for v in found)
    numbers = []
    for value in [found] if single else found:
        try:
            numbers.append(node_of(graph, value))
        except (ConfigTypeError, TypeError):
            raise ConfigTypeError(
                "a traced function must return numbers, arrays or a tuple of them,"
                f" got {'' if single else 'a tuple with '}a `{type(value).__name__}`"
            ) from None
    return numbers, single
