"""fastbp: training and running multi-layer perceptrons on CPUs, fast, with the same bits on every machine.

Names load what they need when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "fastbp.model.layers": ["Dropout", "Identity", "Linear", "ReLU", "Sigmoid", "Tanh"],
    "fastbp.model.network": ["Network", "mlp"],
    "fastbp.model.files": ["load"],
    "fastbp.train.optimizers": ["SGD", "Adam", "AdamW"],
    "fastbp.train.trainer": ["Trainer"],
    "fastbp.train.history": ["History"],
    "fastbp.train.callbacks": ["Callback", "EarlyStopping"],
    "fastbp.errors": [
        "CheckpointError",
        "ConfigError",
        "DataError",
        "DivergedError",
        "FastbpError",
        "ForkError",
        "ShapeError",
    ],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_ROOMS = ["data", "errors", "reference"]

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Callback",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DivergedError",
    "Dropout",
    "EarlyStopping",
    "FastbpError",
    "ForkError",
    "History",
    "Identity",
    "Linear",
    "Network",
    "ReLU",
    "ShapeError",
    "Sigmoid",
    "Tanh",
    "Trainer",
    "data",
    "errors",
    "load",
    "mlp",
    "reference",
]

if TYPE_CHECKING:
    from fastbp import data, errors, reference
    from fastbp.errors import (
        CheckpointError,
        ConfigError,
        DataError,
        DivergedError,
        FastbpError,
        ForkError,
        ShapeError,
    )
    from fastbp.model.files import load
    from fastbp.model.layers import Dropout, Identity, Linear, ReLU, Sigmoid, Tanh
    from fastbp.model.network import Network, mlp
    from fastbp.train.callbacks import Callback, EarlyStopping
    from fastbp.train.history import History
    from fastbp.train.optimizers import SGD, Adam, AdamW
    from fastbp.train.trainer import Trainer


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name in _ROOMS:
        value = import_module(f"fastbp.{name}")
    else:
        raise AttributeError(f"module `fastbp` has no attribute `{name}`")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
