"""Activations, layers and losses by the names used in files: what their files define."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastbp.errors import ConfigTypeError, brief, not_one_of
from fastbp.spec import activations, bins, class_losses, embeddings, gates, layers, members, number_losses
from fastbp.spec.activations import Activation, LogSoftmax, Softmax
from fastbp.spec.checks import is_formula
from fastbp.spec.custom import Custom, CustomLoss
from fastbp.spec.elsewhere import hint_of_name
from fastbp.spec.layers import Layer
from fastbp.spec.losses import Loss
from fastbp.spec.named import named

OF_NUMBERS = (
    bins.PiecewiseLinear,
    bins.PiecewiseLinearEmbedding,
    embeddings.PBLD,
    embeddings.CosineEmbedding,
    embeddings.PeriodicEmbedding,
)
LAYERS: dict[str, type[Layer]] = {
    **named(layers),
    **{made.kind: made for made in OF_NUMBERS},
    **named(members),
    **named(gates),
    **named(activations),
    Custom.kind: Custom,
}


def _activations() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, made in named(activations).items():
        if made not in (Softmax, LogSoftmax):  # which are of a whole row
            variants = getattr(made, "variants", {})
            found |= {name: made, **{other: partial(made, **settings) for other, settings in variants.items()}}
    return found


# What `activation=` may say, and in a file: each a layer with its default settings.
ACTIVATIONS = _activations()

LOSSES: dict[str, type[Loss]] = {**named(class_losses), **named(number_losses)}


def is_layer(layer: Any) -> bool:
    """Whether this is a layer of ours, not of a user's subclass."""
    return isinstance(layer, Layer) and LAYERS.get(layer.kind) is type(layer)


def activation_named(where: str, given: Any) -> Activation:
    """The activation of this name or formula."""
    if isinstance(given, str) and given not in ACTIVATIONS and is_formula(given):
        return Custom(given)
    if not isinstance(given, str) or given not in ACTIVATIONS:
        error = not_one_of(where, given, ACTIVATIONS)
        raise error.at(hint=hint_of_name(given, ACTIVATIONS) or error.hint)
    made: Activation = ACTIVATIONS[given]()
    return made


def activation_in(where: str, given: Any) -> Activation:
    """The activation itself, or the one of a name, of a formula, or of a map with `name` and settings."""
    if isinstance(given, Mapping) and isinstance(given.get("name"), str):
        settings = {str(key): value for key, value in given.items() if key != "name"}
        table = {name: made for name, made in LAYERS.items() if isinstance(made, type) and issubclass(made, Activation)}
        if given["name"] not in table:
            raise not_one_of(f"{where}.name", given["name"], {name: 0 for name in table if name != Custom.kind})
        known = list(table[given["name"]].__dataclass_fields__)
        other = next((key for key in settings if key not in known), None)
        if other is not None:
            raise not_one_of(where, other, known).at(must=f"must have settings of `{given['name']}`")
        given = table[given["name"]].from_plain(settings)
    if not isinstance(given, Activation):
        given = activation_named(where, given)
    if not isinstance(given, Activation):
        names = {name: 0 for name in ACTIVATIONS if name not in ("prelu", "parametric")}
        raise not_one_of(where, given.kind, names)
    return given


def loss_of(value: Any, where: str = "loss") -> Loss:
    """A loss unchanged, or the one of this name with its default settings."""
    if isinstance(value, Loss) and value.kind:
        return value
    if not isinstance(value, str):
        raise ConfigTypeError(
            where, "must be the name of a loss, or one such as `fb.Huber(delta=1.0)`", f"`{brief(value)}`"
        )
    if value not in LOSSES and is_formula(value):
        return CustomLoss(value)
    if value not in LOSSES:
        raise not_one_of(where, value, LOSSES)
    return LOSSES[value]()


def facts_of(loss: str | Loss) -> Loss | type[Loss]:
    """The loss itself, or its class by name; the base class for a formula."""
    return loss if isinstance(loss, Loss) else LOSSES.get(loss, Loss)
