"""Activations, layers and losses by the names used in files; a new one is a line here."""

from __future__ import annotations

from typing import Any

from fastbp.errors import ConfigTypeError, brief, not_one_of
from fastbp.spec.activations import (
    ELU,
    GELU,
    SELU,
    Activation,
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
from fastbp.spec.checks import is_formula
from fastbp.spec.class_losses import BinaryCrossEntropy, CrossEntropy, MultiMargin
from fastbp.spec.custom import Custom, CustomLoss
from fastbp.spec.gates import Add, Affine, Concat, Divide, Mean, Multiply, Reciprocal, Repeat, Slice, Subtract, Sum
from fastbp.spec.layers import BatchNorm, Dropout, Embedding, Layer, LayerNorm, Linear, RMSNorm, Scale
from fastbp.spec.losses import Loss
from fastbp.spec.number_losses import MAE, MSE, GaussianNLL, HalfMSE, Huber, LogCosh, Poisson, Quantile

# Names for `activation=` and in files: each a layer with its default settings.
ACTIVATIONS: dict[str, Any] = {
    "identity": Identity,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "prelu": PReLU,
    "elu": ELU,
    "selu": SELU,
    "gelu": GELU,
    "gelu_tanh": lambda: GELU("tanh"),
    "silu": SiLU,
    "mish": Mish,
    "softplus": Softplus,
    "softsign": Softsign,
    "sigmoid": Sigmoid,
    "hard_sigmoid": HardSigmoid,
    "tanh": Tanh,
    "hardtanh": Hardtanh,
}

_LAYERS: tuple[type[Layer], ...] = (
    *(Linear, Dropout, Scale, LayerNorm, RMSNorm, BatchNorm, Embedding),
    *(Add, Subtract, Multiply, Divide, Concat, Slice, Sum, Mean, Repeat, Affine, Reciprocal),
    *(made for made in ACTIVATIONS.values() if isinstance(made, type)),
    *(Softmax, LogSoftmax, Custom),
)
LAYERS = {layer.kind: layer for layer in _LAYERS}

LOSSES: dict[str, type[Loss]] = {
    loss.kind: loss
    for loss in (
        *(CrossEntropy, BinaryCrossEntropy, MultiMargin),
        *(MSE, HalfMSE, MAE, Huber, Quantile, LogCosh, Poisson, GaussianNLL),
    )
}


def is_layer(layer: Any) -> bool:
    """Whether this is a layer of ours, not of a user's subclass."""
    return isinstance(layer, Layer) and LAYERS.get(layer.kind) is type(layer)


def activation_named(where: str, given: Any) -> Activation:
    """The activation of this name or formula."""
    if isinstance(given, str) and given not in ACTIVATIONS and is_formula(given):
        return Custom(given)
    if not isinstance(given, str) or given not in ACTIVATIONS:
        raise not_one_of(where, given, ACTIVATIONS)
    made: Activation = ACTIVATIONS[given]()
    return made


def loss_of(value: Any, where: str = "loss") -> Loss:
    """A loss unchanged, or the one of this name with its default settings."""
    if isinstance(value, Loss) and value.kind:
        return value
    if not isinstance(value, str):
        raise ConfigTypeError(
            f"`{where}` must be the name of a loss, or one such as `fb.Huber(delta=1.0)`, got `{brief(value)}`"
        )
    if value not in LOSSES and is_formula(value):
        return CustomLoss(value)
    if value not in LOSSES:
        raise not_one_of(where, value, LOSSES)
    return LOSSES[value]()


def facts_of(loss: str | Loss) -> Loss | type[Loss]:
    """The loss itself, or its class by name; `CustomLoss` for a formula."""
    return loss if isinstance(loss, Loss) else LOSSES.get(loss, Loss)
