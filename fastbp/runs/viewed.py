"""Models in Python as speakers, and what is given to them as rows: arrays, raw tables, and rows of estimators."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.data.prepare import Part
from fastbp.data.tables import column_in
from fastbp.errors import ConfigError, ConfigTypeError, DataError, brief
from fastbp.model.network import Network
from fastbp.runs.ensembles import Together
from fastbp.runs.views import Speaker
from fastbp.spec.joint_loss import loss_for_outputs
from fastbp.train.ensemble import Ensemble
from fastbp.train.ensemble_models import loss_known
from fastbp.train.metrics.inputs import read_weights
from fastbp.train.pack import Pack

Array = NDArray[Any]


def speaker_of(model: Any, loss: Any = None) -> Speaker:
    """What predicts in a network, a pack, an ensemble or an estimator of this package."""
    if _is_estimator(model):
        if loss is not None:
            raise ConfigError("loss", "must be left out for an estimator, which has its own", f"`{brief(loss)}`")
        model._check_fitted()
        net = model.ensemble_ if hasattr(model, "ensemble_") else model.network_
        if isinstance(net, Network) and hasattr(model, "temperature_"):
            net = model._warm()
        return Speaker(Together(net) if isinstance(net, Ensemble) else net, {0: model.recipe_}, None, model._loss_of())
    if isinstance(model, Pack):
        model = Ensemble(model, loss=loss)
    if isinstance(model, Ensemble):
        _one_output(model.members[0])
        recipes = {at: getattr(model.members[at].tables, "recipe", None) for at in model.ways}
        return Speaker(Together(model), recipes, None if model.alike else model.groups, model.loss)
    if not isinstance(model, Network):
        must = "must be a network, a pack, an ensemble or an estimator of fastbp"
        raise ConfigTypeError("model", must, f"`{type(model).__name__}`", "`sklearn.inspection` takes any estimator")
    _one_output(model)
    known = loss_known(model) if loss is None else loss_for_outputs(loss, model.graph.splits)
    if known is None:
        must = "must be given, as no trainer was made for this network and its outputs may mean anything"
        raise ConfigError("loss", must, hint='`loss="cross_entropy"` takes them as logits')
    return Speaker(model, {0: getattr(model.tables, "recipe", None)}, None, known)


def _is_estimator(model: Any) -> bool:
    return hasattr(model, "_rows_to_explain")


def _one_output(net: Network) -> None:
    if len(net.graph.heads) > 1:
        raise ConfigError("model", "must have one output", f"{len(net.graph.heads)}")


def _networks(model: Any) -> dict[int, Any]:
    """Of each way in which rows are read the first network."""
    if isinstance(model, Pack):
        return {0: model.members[0]}
    return {at: model.members[at] for at in model.ways} if isinstance(model, Ensemble) else {0: model}


def frames_of(model: Any, speaker: Speaker, X: Any) -> dict[int, Frame]:
    """Raw rows of X as each way reads them; a matrix where there is no preprocessing."""
    if _is_estimator(model):
        return {0: model._rows_to_explain(X)}
    nets = _networks(model)
    if speaker.recipe is None:
        return {0: Frame(np.asarray(nets[0]._rows(nets[0]._side_by_side(X))), {}, "X")}
    found = {at: net.tables._frame(X) for at, net in nets.items()}
    if any(frame is None for frame in found.values()):
        must = "must be a raw table, as the model prepares its inputs itself"
        raise DataError("X", must, f"`{type(X).__name__}`")
    return found


def parts_of(model: Any, speaker: Speaker, X: Any, y: Any, sample_weight: Any) -> tuple[dict[int, Any], Part]:
    """Inputs as each way reads them, and their targets and weights."""
    if _is_estimator(model):
        if y is None:
            raise DataError("y", "must be given for an estimator", "`None`")
        part = Part(*model._targets_to_explain(X, y, sample_weight))
        return {0: part.X}, part
    frames = frames_of(model, speaker, X)
    if speaker.recipe is None:
        if y is None:
            raise DataError("y", "must be given with an array", "`None`")
        rows, weight = np.asarray(frames[0].matrix), read_weights(sample_weight, len(frames[0]))
        _networks(model)[0].checked(rows, y, speaker.loss, weight)
        return {0: rows}, Part(rows, np.asarray(y), weight)
    parts = {}
    for at, net in _networks(model).items():
        own = net.tables._model
        parts[at] = own.part(_targeted(frames[at], own, y))
        if sample_weight is not None:
            parts[at] = replace(parts[at], weight=read_weights(sample_weight, len(parts[at])))
    return {at: part.X for at, part in parts.items()}, parts[0]


def _targeted(frame: Frame, own: Any, y: Any) -> Frame:
    """The frame, with y as its target if that is given."""
    columns = own.recipe.outputs.columns
    if y is None:
        return frame
    if len(columns) > 1:
        raise DataError("y", f"must be left out, as the table must have the {len(columns)} targets", "an array")
    return replace(frame, columns={**frame.columns, columns[0]: column_in(columns[0], y, own.reading)})
