"""Pickling of traced functions, by the names of functions as Python pickles them; programs are made again.

A function that `fb.trace` decorates is found under its name as what it was decorated to, a method through its instance.
"""

from __future__ import annotations

import sys
from functools import reduce
from importlib import import_module
from types import MethodType
from typing import Any

from fastbp.autodiff.function import Traced
from fastbp.errors import ConfigTypeError


def parts(traced: Traced) -> Any:
    """The result of `Traced.__reduce__`; what cannot be imported Python refuses itself, in one sentence."""
    function: Any = traced.function
    if isinstance(function, MethodType):
        method = getattr(type(function.__self__), function.__name__, None)
        if isinstance(method, Traced) and method.function is function.__func__:
            return getattr, (function.__self__, function.__name__)
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if _found(sys.modules.get(module or ""), name) is traced:
        return _imported, (module, name)
    return Traced, (function, traced.dtype.name)


def _found(module: Any, name: str) -> Any:
    try:
        return reduce(getattr, name.split("."), module)
    except AttributeError:  # of a function within another
        return None


def _imported(module: str, name: str) -> Traced:
    found = _found(import_module(module), name)
    if not isinstance(found, Traced):
        raise ConfigTypeError(f"{module}.{name}", "must be the traced function that was pickled", f"`{found!r}`")
    return found
