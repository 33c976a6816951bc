"""What an ensemble is made of: networks, packs and other ensembles become networks that fit, each with a weight."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, ConfigTypeError, FastbpError, brief
from fastbp.model import files
from fastbp.model.network import Network
from fastbp.numerics.exact import log
from fastbp.spec.catalogue import loss_of
from fastbp.spec.checks import from_zero
from fastbp.spec.joint_loss import loss_for_outputs
from fastbp.spec.losses import Loss
from fastbp.train.averages import probable
from fastbp.train.pack_settings import like

TARGETS = {"task": "task", "columns": "targets", "names": "classes", "transforms": "transforms"}  # of a recipe
LARGEST = 1e100  # sum of weights, with which no product overflows
Opener = Callable[[Any], Any]
_OPENERS: list[Opener] = [files.load]


def opens(opener: Any) -> Any:
    """Have paths among models be opened by this function: `fb.load`, which knows more files than these rooms do."""
    _OPENERS.append(opener)
    return opener


@dataclass
class Found:
    """A network of a model, and what is known of it.

    Attributes
    ----------
    where : str
        What messages call it.
    model : int
        The number of its model.
    net : Network
    weight : float
        Among the networks of its model.
    loss : Loss or None
    """

    where: str
    model: int
    net: Network
    weight: float
    loss: Loss | None


def found_in(models: Any, where: str = "models") -> list[Found]:
    """All networks of these models."""
    alone = hasattr(models, "members")  # a pack or an ensemble
    if not alone and (isinstance(models, str | os.PathLike) or not isinstance(models, Sequence)):
        raise ConfigTypeError(where, "must be a list of networks, packs, ensembles or paths", f"`{brief(models)}`")
    given = [models] if alone else list(models)
    if not given:
        raise ConfigError(where, "must have at least one model", "none")
    return [one for i, model in enumerate(given) for one in _networks(f"{where}[{i}]", i, model)]


def _networks(where: str, number: int, model: Any) -> list[Found]:
    if isinstance(model, str | os.PathLike):
        try:
            model = _OPENERS[-1](model)
        except (FastbpError, OSError) as error:
            if isinstance(error, FastbpError):
                raise error.at(place=where) from None
            raise
    if isinstance(model, Network):
        return [Found(where, number, model, 1.0, loss_known(model))]
    weights = getattr(model, "weights", None)  # an ensemble's
    nets = getattr(model, "evaluated", None) if weights is None else model.members  # a pack's
    if nets is None:
        must = "must be a network, a pack, an ensemble or a path of one"
        raise ConfigTypeError(where, must, f"`{type(model).__name__}`")
    shares = np.ones(len(nets)) if weights is None else weights
    return [
        Found(f"{where}.members[{i}]", number, net, float(share), getattr(model, "loss", None) or loss_known(net))
        for i, (net, share) in enumerate(zip(nets, shares, strict=True))
    ]


def loss_known(net: Network) -> Loss | None:
    """The loss that a network was trained with, if its trainer or its recipe says it."""
    recipe = net.about.get("recipe") if isinstance(net.about, dict) else None
    if isinstance(recipe, dict) and isinstance(recipe.get("loss"), str):
        return net.trained_with or loss_of(recipe["loss"])
    return net.trained_with


def fitting_loss(found: Sequence[Found], given: Any) -> Loss:
    """The loss by which predictions of these networks are averaged: the one that is given, or that of the first."""
    first = found[0]
    if given is not None:
        loss, whose = loss_for_outputs(given, first.net.graph.splits), "`loss`"
    else:
        known = [one for one in found if one.loss is not None]
        if not known:
            raise ConfigError(
                "loss",
                "must be given, as no trainer was made for these networks and their outputs may mean anything",
                hint='`loss="cross_entropy"` takes them as logits',
            )
        assert known[0].loss is not None
        loss, whose = known[0].loss, f"`{known[0].where}`"
    for one in found:
        if one.loss is not None and _meaning(one.loss) != _meaning(loss):
            must = f"must have a loss by which predictions mean the same as by `{loss.named}` of {whose}"
            raise ConfigError(one.where, must, f"`{one.loss.named}`")
    return loss


def _meaning(loss: Loss) -> Any:
    """What is the same of losses whose outputs mean the same."""
    return [
        (part.tasks, probable(part), getattr(part.predicted, "__func__", None), part.outputs_per_target)
        for part, _ in loss.parts
    ]


def check_alike(found: Sequence[Found]) -> None:
    """Refuse networks whose predictions cannot be averaged."""
    first = found[0]
    recipes = [_recipe(one.net) for one in found]
    tables = recipes[0] is not None
    for one, recipe in zip(found[1:], recipes[1:], strict=True):
        if tables != (recipe is not None):
            must = f"must prepare raw tables as `{first.where}` does, but is a network only"
            raise ConfigError(one.where, must if tables else f"must be a network only as `{first.where}` is")
        like(one.where, one.net, first.where, first.net, inputs=recipe == recipes[0])
        for name, said in TARGETS.items() if tables else ():
            own, wanted = recipe["outputs"].get(name), recipes[0]["outputs"].get(name)
            if own != wanted:
                raise ConfigError(
                    one.where, f"must have the {said} of `{first.where}`, `{brief(wanted)}`", f"`{brief(own)}`"
                )


def _recipe(net: Network) -> Any:
    return net.about.get("recipe") if isinstance(net.about, dict) else None


def grouped(nets: Sequence[Network]) -> list[int]:
    """For each network the first that prepares its inputs in the same way."""
    recipes = [_recipe(net) for net in nets]
    return [next(i for i, other in enumerate(recipes) if other == own) for own in recipes]


@dataclass(frozen=True)
class Scale:
    """From the numbers of a network to those of the first one, where targets were scaled in different ways."""

    center: NDArray[np.float64]
    spread: NDArray[np.float64]
    first_center: NDArray[np.float64]
    first_spread: NDArray[np.float64]

    def to_first(self, z: NDArray[Any]) -> NDArray[np.float64]:
        """The same outputs on the scale of the first: behind the numbers there may be log variances."""
        numbers, rest = np.split(np.atleast_2d(z.astype(np.float64)), [len(self.center)], axis=1)
        numbers = (numbers * self.spread + (self.center - self.first_center)) / self.first_spread
        return np.hstack([numbers, rest + 2.0 * log(self.spread / self.first_spread)]) if rest.size else numbers


def scales_of(nets: Sequence[Network], groups: Sequence[int]) -> list[Scale | None]:
    """How the numbers of each network become those of the first."""
    if not any(groups):
        return [None] * len(nets)
    outputs = [_recipe(net)["outputs"] for net in nets]
    first, found = outputs[0], []
    for own in outputs:
        same = (own["center"], own["spread"]) == (first["center"], first["spread"])
        numbers = [np.array(x, np.float64) for x in (own["center"], own["spread"], first["center"], first["spread"])]
        found.append(None if same or own["task"] != "numbers" else Scale(*numbers))
    return found


def weights_of(found: Sequence[Found], given: Any) -> NDArray[np.float64]:
    """The weight of each network: its own, or its part of that of its model."""
    own = np.array([one.weight for one in found])
    count = found[-1].model + 1
    if given is None:
        return own
    values = check_weights(given, count)
    models = np.array([one.model for one in found])
    totals = np.bincount(models, own)
    alone = np.bincount(models) == 1
    return np.array([values[m] * (1.0 if alone[m] else w / totals[m]) for m, w in zip(models, own, strict=True)])


def check_weights(given: Any, count: int) -> NDArray[np.float64]:
    """A weight for each of so many models."""
    if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
        raise ConfigTypeError("weights", "must be a list of numbers", f"`{brief(given)}`")
    if len(given) != count:
        raise ConfigError("weights", f"must have a number for each of the {count} models", f"`{len(given)}`")
    values = [from_zero(f"weights[{i}]", one) for i, one in enumerate(given)]
    if not any(values):
        raise ConfigError("weights", "must have one above 0", "only zeros")
    if sum(values) > LARGEST:
        raise ConfigError("weights", f"must have a sum of at most {LARGEST:g}", f"`{sum(values):g}`")
    return np.array(values)


def copies(nets: Sequence[Network]) -> list[Network]:
    """The networks as they are now, whatever becomes of them."""
    return [copy.copy(net) for net in nets]
