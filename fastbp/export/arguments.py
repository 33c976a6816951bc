"""What traced functions are exported for: arguments of given shapes."""

from __future__ import annotations

import inspect
from typing import Any

from fastbp.autodiff.function import Traced, Traces
from fastbp.errors import ConfigError, ConfigTypeError


def traces_for(F: Traced, arguments: Any) -> Traces:
    """A function as it is traced for arguments of these shapes."""
    if arguments is None:
        must = "must be given for a traced function, whose file is for their shapes"
        raise ConfigError("arguments", must, hint="such as `arguments=(np.zeros(3), 1.0)`")
    if not isinstance(arguments, tuple | list):
        must = "must be a tuple, one value per argument"
        raise ConfigTypeError("arguments", must, f"a `{type(arguments).__name__}`")
    return F._values(arguments)[1]


def argument_names(F: Traced, count: int) -> list[str]:
    """Those of the function's arguments."""
    try:
        kinds = inspect.signature(F.function).parameters.values()
    except (TypeError, ValueError):  # a function of C
        return [f"x{i}" for i in range(count)]
    found = [one.name for one in kinds if one.kind is not one.VAR_POSITIONAL]
    return found if len(found) == count else [f"x{i}" for i in range(count)]
