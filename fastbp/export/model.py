"""What can be exported: every model as networks with weights, what prepares their rows, and what they say together.

    model                        members                predictions
    Network, Trainer             the network            its outputs
    Pack, Ensemble               all, with weights      means of what their outputs stand for
    a run, an estimator          those of either, with recipes: rows are raw, predictions in the terms of the table

All writers begin with `model_of`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.recipe import Recipe
from fastbp.errors import ConfigError, ConfigTypeError, DataError
from fastbp.model.network import Network
from fastbp.spec.losses import Loss
from fastbp.train.ensemble import Ensemble
from fastbp.train.ensemble_models import Scale, loss_known
from fastbp.train.pack import Pack
from fastbp.train.trainer import Trainer

Array = NDArray[Any]


@dataclass(frozen=True)
class Member:
    """A network of a model.

    Attributes
    ----------
    net : Network
    arrays : dict
        Its parameters and running statistics by name, as they were when the export began.
    weight : float
        Its share of what is said together; shares add up to 1.
    scale : Scale or None
        From its numbers to those of the first member, where their targets were scaled in different ways.
    way : int
        Which of the model's recipes prepares its rows.
    given : float
        The weight that its share is made of.
    """

    net: Network
    arrays: dict[str, Array]
    weight: float = 1.0
    scale: Scale | None = None
    way: int = 0
    given: float = 1.0


@dataclass(frozen=True)
class Model:
    """What all writers begin with.

    Attributes
    ----------
    members : tuple of Member
        With as many inputs, outputs and heads as the first one.
    loss : Loss or None
        What outputs mean; None of a network whose outputs may mean anything. Its `parts` are those of the heads.
    joined : bool
        Whether predictions are weighted means of what the members' outputs stand for (`fastbp.train.averages`);
        otherwise there is one member, and they are its outputs.
    temperature : float
        By which the logits of what they say together are divided.
    recipes : tuple of Recipe
        What prepares raw rows, for each way of doing so; that of the first says what predictions are. Empty where the
        model takes its inputs as they are.
    classes : tuple or None
        Of an estimator, its classes, numbers or texts, in the order of the recipe's.
    array : bool
        Whether raw rows are those of an array, whose columns the recipes have in order, as of an estimator that was
        fitted to one.
    wide : bool
        Whether predictions are float64, as an estimator has them, also where the network is float32.
    """

    members: tuple[Member, ...]
    loss: Loss | None = None
    joined: bool = False
    temperature: float = 1.0
    recipes: tuple[Recipe, ...] = ()
    classes: tuple[Any, ...] | None = None
    array: bool = False
    wide: bool = False

    @property
    def net(self) -> Network:
        """The first network, which says of all what goes in and what comes out."""
        return self.members[0].net

    @property
    def recipe(self) -> Recipe | None:
        """What says what predictions are."""
        return self.recipes[0] if self.recipes else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the members' numbers."""
        return self.net.dtype

    @property
    def inputs(self) -> tuple[tuple[str, int], ...]:
        """Name and width of each input of the networks, which stand side by side in their rows."""
        parts, taken = self.net.graph.parts, {name for name, _ in self.net.graph.parts if name}
        given = [name or free("x" if len(parts) == 1 else f"x{i}", taken) for i, (name, _) in enumerate(parts)]
        return tuple((name, width) for name, (_, width) in zip(given, parts, strict=True))

    @property
    def outputs(self) -> tuple[tuple[str, int], ...]:
        """Name and width of each output of the networks: the name of its last layer, where the user gave one."""
        graph = self.net.graph
        heads = [graph.nodes[head] for head in graph.heads]
        taken = {name for name, _ in self.inputs}
        said = [None if node.name.isdecimal() else free(node.name, taken) for node in heads]
        given = [name or free("y" if len(heads) == 1 else f"y{i}", taken) for i, name in enumerate(said)]
        return tuple((name, node.outputs) for name, node in zip(given, heads, strict=True))

    @property
    def spans(self) -> tuple[slice, ...]:
        """Of rows that have those of each way side by side, where each stands."""
        widths = [recipe.inputs.width for recipe in self.recipes] or [self.net.inputs]
        ends = np.cumsum(widths).tolist()
        return tuple(slice(end - width, end) for end, width in zip(ends, widths, strict=True))

    @property
    def codes(self) -> dict[int, int]:
        """The columns that must hold codes of categories in such rows, and how many there are."""
        found: dict[int, int] = {}
        for member in self.members:
            for column, count in member.net.graph.codes():
                at = self.spans[member.way].start + column
                found[at] = min(count, found.get(at, count))
        return found

    def bare(self) -> Model:
        """The same without its recipes: its inputs are those of the networks, its outputs what these say."""
        if len(self.recipes) > 1:
            must = "must be kept, as the members prepare their rows in different ways"
            raise ConfigError("preprocessing", must, "`False`")
        return Model(self.members, self.loss, self.joined, self.temperature)


def free(name: str, taken: set[str]) -> str:
    """This name, or it with `_out` behind it where it is taken; it is taken then."""
    while name in taken:
        name += "_out"
    taken.add(name)
    return name


def model_of(model: Any) -> Model:
    """What a model is made of.

    Parameters
    ----------
    model : Network, Trainer, Pack, Ensemble, estimator of `fastbp.sklearn`, or path
        A path is of a file that one of these was saved to, or of a run's folder.
    """
    if isinstance(model, str | os.PathLike):
        from fastbp.runs.loading import load

        model = load(model)
    if isinstance(model, Trainer):
        net = model.evaluated
        return _of_network(net, net.trained_with or model.net.trained_with)
    if isinstance(model, Network):
        return _of_network(model, loss_known(model))
    if isinstance(model, Pack):
        model = Ensemble(model)
    if isinstance(model, Ensemble):
        recipes = [getattr(model.members[at].tables, "recipe", None) for at in model.ways]
        return _of_ensemble(model, tuple(one for one in recipes if one is not None))
    if hasattr(model, "_rows_to_explain"):
        return _of_estimator(model)
    must = "must be a network, a trainer, a pack, an ensemble, an estimator of fastbp, or a path of one"
    raise ConfigTypeError("model", must, f"`{type(model).__name__}`")


def _of_network(net: Network, loss: Loss | None) -> Model:
    recipe = getattr(net.tables, "recipe", None)
    return Model((Member(net, _arrays(net)),), loss, recipes=() if recipe is None else (recipe,))


def _of_ensemble(model: Ensemble, recipes: tuple[Recipe, ...]) -> Model:
    ways = {at: i for i, at in enumerate(model.ways)}
    shares = model.weights / model.weights.sum()
    given = model.weights.tolist()
    parts = zip(model.members, shares.tolist(), model._scales, model.groups, given, strict=True)
    members = tuple(
        Member(net, _arrays(net), share, scale, ways[at] if recipes else 0, weight)
        for net, share, scale, at, weight in parts
        if share
    )
    return Model(members, model.loss, True, model.temperature, recipes)


def _of_estimator(model: Any) -> Model:
    model._check_fitted()
    found = getattr(model, "ensemble_", None) or model.network_
    if isinstance(found, Network) and hasattr(model, "temperature_"):
        found = model._warm()
    classes = getattr(model, "classes_", None)
    names = None if classes is None or model.recipe_.outputs.task != "classes" else tuple(classes.tolist())
    array = not hasattr(model, "feature_names_in_")
    if isinstance(found, Ensemble):
        made = _of_ensemble(found, (model.recipe_,))
        return Model(made.members, made.loss, True, made.temperature, made.recipes, names, array, True)
    alone = (Member(found, _arrays(found)),)
    return Model(alone, model._loss_of(), recipes=(model.recipe_,), classes=names, array=array, wide=True)


def _arrays(net: Network) -> dict[str, Array]:
    """Parameters and running statistics, which must be finite."""
    found = net.arrays()
    for name, array in found.items():
        if not np.isfinite(array).all():
            raise DataError(name, "must be finite to be exported", "NaN or infinity")
    return found
