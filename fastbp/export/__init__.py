"""Models for elsewhere: files that others run without this package.

Each writer is a function here that takes a model and a path; `WRITERS` says by the ending of a file which it is. Their
modules are imported when they are used. `register_skl2onnx` has skl2onnx convert estimators in pipelines.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fastbp.engine.forks import IMPORTS
from fastbp.export.writers import WRITERS

_HOMES = {writer.name: writer.home for writer in WRITERS.values()}
_HOMES |= {"register_skl2onnx": "fastbp.export.sklearn_onnx"}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `fastbp.export` has no attribute `{name}`")
    with IMPORTS:
        found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
