"""fastbp: training and running multi-layer perceptrons on CPUs, fast, with the same bits on every machine.

Names load what they need when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastbp.engine.forks import IMPORTS

__version__ = "0.1.0"

_HOMES = {
    "fastbp.spec.layers": ["BatchNorm", "Dropout", "Embedding", "LayerNorm", "Linear", "RMSNorm", "Scale"],
    "fastbp.spec.activations": [
        "ELU",
        "GELU",
        "SELU",
        "HardSigmoid",
        "Hardtanh",
        "Identity",
        "LeakyReLU",
        "LogSoftmax",
        "Mish",
        "PReLU",
        "ReLU",
        "SiLU",
        "Sigmoid",
        "Softmax",
        "Softplus",
        "Softsign",
        "Tanh",
    ],
    "fastbp.spec.gates": [
        "Add",
        "Affine",
        "Concat",
        "Divide",
        "Mean",
        "Multiply",
        "Reciprocal",
        "Repeat",
        "Slice",
        "Subtract",
        "Sum",
    ],
    "fastbp.spec.signals": ["Input", "concat"],
    "fastbp.spec.initial": ["Init"],
    "fastbp.spec.class_losses": ["BinaryCrossEntropy", "CrossEntropy", "MultiMargin"],
    "fastbp.spec.number_losses": ["MAE", "MSE", "GaussianNLL", "HalfMSE", "Huber", "LogCosh", "Poisson", "Quantile"],
    "fastbp.spec.custom": ["activation", "loss"],
    "fastbp.spec.joint_loss": ["JointLoss"],
    "fastbp.model.network": ["Network"],
    "fastbp.model.mlp": ["mlp"],
    "fastbp.model.files": ["load"],
    "fastbp.train.optimizers": ["SGD", "Adadelta", "Adagrad", "RMSprop"],
    "fastbp.train.adam": ["Adam", "AdamW", "Lion", "NAdam", "RAdam"],
    "fastbp.train.schedules": [
        "Constant",
        "CosLog4",
        "Cosine",
        "CosineRestarts",
        "Exponential",
        "FlatCosine",
        "MultiStep",
        "OneCycle",
        "Polynomial",
        "Step",
    ],
    "fastbp.train.trainer": ["Trainer"],
    "fastbp.train.history": ["History"],
    "fastbp.train.callbacks": ["Callback", "EarlyStopping", "ReduceLROnPlateau", "TimeBudget"],
    "fastbp.train.lbfgs": ["LBFGS"],
    "fastbp.train.writers": ["CSVLogger", "JSONLogger", "ModelCheckpoint"],
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
_ROOMS = {name: f"fastbp.{name}" for name in ("data", "errors", "reference")} | {"metrics": "fastbp.train.metrics"}

__all__ = [
    "ELU",
    "GELU",
    "LBFGS",
    "MAE",
    "MSE",
    "SELU",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Add",
    "Affine",
    "BatchNorm",
    "BinaryCrossEntropy",
    "CSVLogger",
    "Callback",
    "CheckpointError",
    "Concat",
    "ConfigError",
    "Constant",
    "CosLog4",
    "Cosine",
    "CosineRestarts",
    "CrossEntropy",
    "DataError",
    "DependencyError",
    "DivergedError",
    "Divide",
    "Dropout",
    "EarlyStopping",
    "Embedding",
    "Exponential",
    "FastbpError",
    "FileError",
    "FlatCosine",
    "ForkError",
    "GaussianNLL",
    "HalfMSE",
    "HardSigmoid",
    "Hardtanh",
    "History",
    "Huber",
    "Identity",
    "Init",
    "Input",
    "JSONLogger",
    "JointLoss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "Lion",
    "LogCosh",
    "LogSoftmax",
    "Mean",
    "Mish",
    "ModelCheckpoint",
    "MultiMargin",
    "MultiStep",
    "Multiply",
    "NAdam",
    "Network",
    "OneCycle",
    "PReLU",
    "Poisson",
    "Polynomial",
    "Quantile",
    "RAdam",
    "RMSNorm",
    "RMSprop",
    "ReLU",
    "Reciprocal",
    "ReduceLROnPlateau",
    "Repeat",
    "Scale",
    "ShapeError",
    "SiLU",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "Step",
    "Subtract",
    "Sum",
    "Tanh",
    "TimeBudget",
    "Trainer",
    "activation",
    "concat",
    "data",
    "erf",
    "errors",
    "load",
    "loss",
    "metrics",
    "mlp",
    "reference",
    "relu",
    "sigmoid",
    "softplus",
    "tanh",
    "trace",
]

if TYPE_CHECKING:
    from fastbp import data, errors, reference
    from fastbp.autodiff.function import trace
    from fastbp.autodiff.functions import erf, relu, sigmoid, softplus, tanh
    from fastbp.errors import (
        CheckpointError,
        ConfigError,
        DataError,
        DependencyError,
        DivergedError,
        FastbpError,
        ForkError,
        ShapeError,
    )
    from fastbp.model.files import load
    from fastbp.model.mlp import mlp
    from fastbp.model.network import Network
    from fastbp.spec.activations import (
        ELU,
        GELU,
        SELU,
        HardSigmoid,
        Hardtanh,
        Identity,
        LeakyReLU,
        LogSoftmax,
        Mish,
        PReLU,
        ReLU,
        Sigmoid,
        SiLU,
        Softmax,
        Softplus,
        Softsign,
        Tanh,
    )
    from fastbp.spec.class_losses import BinaryCrossEntropy, CrossEntropy, MultiMargin
    from fastbp.spec.custom import activation, loss
    from fastbp.spec.gates import (
        Add,
        Affine,
        Concat,
        Divide,
        Mean,
        Multiply,
        Reciprocal,
        Repeat,
        Slice,
        Subtract,
        Sum,
    )
    from fastbp.spec.initial import Init
    from fastbp.spec.joint_loss import JointLoss
    from fastbp.spec.layers import BatchNorm, Dropout, Embedding, LayerNorm, Linear, RMSNorm, Scale
    from fastbp.spec.number_losses import MAE, MSE, GaussianNLL, HalfMSE, Huber, LogCosh, Poisson, Quantile
    from fastbp.spec.signals import Input, concat
    from fastbp.train import metrics
    from fastbp.train.adam import Adam, AdamW, Lion, NAdam, RAdam
    from fastbp.train.callbacks import Callback, EarlyStopping, ReduceLROnPlateau, TimeBudget
    from fastbp.train.history import History
    from fastbp.train.lbfgs import LBFGS
    from fastbp.train.optimizers import SGD, Adadelta, Adagrad, RMSprop
    from fastbp.train.schedules import (
        Constant,
        Cosine,
        CosineRestarts,
        CosLog4,
        Exponential,
        FlatCosine,
        MultiStep,
        OneCycle,
        Polynomial,
        Step,
    )
    from fastbp.train.trainer import Trainer
    from fastbp.train.writers import CSVLogger, JSONLogger, ModelCheckpoint


def __getattr__(name: str) -> Any:
    if name not in _HOME and name not in _ROOMS:
        raise AttributeError(f"module `fastbp` has no attribute `{name}`")
    with IMPORTS:
        value = getattr(import_module(_HOME[name]), name) if name in _HOME else import_module(_ROOMS[name])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
