"""fastbp: training and running multi-layer perceptrons on CPUs, fast, with the same bits on every machine.

Names load what they need when they are first used, so that importing the package costs nothing. What type checkers see
is `__init__.pyi`, which `scripts/docs.py` writes.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fastbp.engine.forks import IMPORTS

__version__ = "0.1.0"

# Every class there that has a name in files is public.
_SHELVES = (
    "fastbp.spec.layers",
    "fastbp.spec.activations",
    "fastbp.spec.members",
    "fastbp.spec.gates",
    "fastbp.spec.class_losses",
    "fastbp.spec.number_losses",
    "fastbp.train.optimizers",
    "fastbp.train.adam",
    "fastbp.train.muon",
    "fastbp.train.schedules",
)
# What else is, by where it is.
_HOMES = {
    "fastbp.spec.bins": ["PiecewiseLinear", "PiecewiseLinearEmbedding"],
    "fastbp.spec.embeddings": ["PBLD", "CosineEmbedding", "PeriodicEmbedding"],
    "fastbp.spec.signals": ["Input", "concat"],
    "fastbp.spec.initial": ["Init"],
    "fastbp.spec.windows": ["Windows"],
    "fastbp.spec.custom": ["activation", "loss"],
    "fastbp.spec.joint_loss": ["JointLoss"],
    "fastbp.model.network": ["Network"],
    "fastbp.model.by_rows": ["initialize"],
    "fastbp.model.mlp": ["mlp"],
    "fastbp.runs.loading": ["Ensemble", "load"],
    "fastbp.runs.explain": ["importance"],
    "fastbp.runs.dependence": ["dependence"],
    "fastbp.studies.python": ["sweep"],
    "fastbp.train.trainer": ["Trainer"],
    "fastbp.train.pack": ["Pack"],
    "fastbp.train.selection": ["Greedy"],
    "fastbp.train.history": ["History"],
    "fastbp.train.callbacks": ["Callback", "EarlyStopping", "ReduceLROnPlateau", "TimeBudget"],
    "fastbp.train.lbfgs": ["LBFGS"],
    "fastbp.train.writers": ["CSVLogger", "JSONLogger", "ModelCheckpoint"],
    "fastbp.train.tensorboard": ["TensorBoard"],
    "fastbp.train.cross_validation": ["CrossValidation", "cross_validate"],
    "fastbp.train.explain": ["permutation_importance", "sensitivity"],
    "fastbp.train.temperature": ["calibrate"],
    "fastbp.export.in_torch.reading": ["load_torch"],
    "fastbp.autodiff.function": ["trace"],
    "fastbp.autodiff.functions": ["erf", "relu", "sigmoid", "softplus", "tanh"],
    "fastbp.errors": [
        "CheckpointError",
        "ConfigError",
        "DataError",
        "DependencyError",
        "DivergedError",
        "FastbpError",
        "FileError",
        "ForkError",
        "ShapeError",
    ],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_ROOMS = {name: f"fastbp.{name}" for name in ("data", "errors", "export", "reference")}
_ROOMS["metrics"] = "fastbp.train.metrics"
# What needs a package of an extra: not in `__all__`, so that `from fastbp import *` does not import that.
_EXTRAS = dict.fromkeys(("MLPClassifier", "MLPRegressor", "distill", "sklearn"), "fastbp.sklearn")


def _on_shelf(shelf: str) -> dict[str, Any]:
    """The public classes of one file by their names."""
    from fastbp.spec.named import named

    return {made.__name__: made for made in named(import_module(shelf)).values()}


def _found(name: str) -> Any:
    if name == "__all__":
        return sorted({*_HOME, *_ROOMS, *(name for shelf in _SHELVES for name in _on_shelf(shelf))})
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _ROOMS:
        return import_module(_ROOMS[name])
    if name in _EXTRAS:
        home = import_module(_EXTRAS[name])
        return home if name == "sklearn" else getattr(home, name)
    if name[:1].isupper():  # as classes are called
        for shelf in _SHELVES:
            if name in (classes := _on_shelf(shelf)):
                return classes[name]
    raise AttributeError(f"module `fastbp` has no attribute `{name}`")


def __getattr__(name: str) -> Any:
    with IMPORTS:
        value = _found(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__getattr__("__all__"), *_EXTRAS, "__version__"})
