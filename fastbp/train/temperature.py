"""Calibration by temperature: of networks as a last layer, of ensembles behind the mean of their members."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, ConfigTypeError, DataError
from fastbp.model.network import Network
from fastbp.numerics.temperature import temperature
from fastbp.spec.elsewhere import known_words
from fastbp.spec.gates import Affine
from fastbp.spec.graph import Node
from fastbp.spec.joint_loss import loss_for_outputs
from fastbp.spec.losses import Loss
from fastbp.train.averages import outputs_of, probable
from fastbp.train.ensemble import Ensemble
from fastbp.train.ensemble_models import loss_known
from fastbp.train.metrics.inputs import read_weights
from fastbp.train.metrics.raw import label_columns, labels_of, two_columns

Array = NDArray[Any]
TEMPERATURE = "temperature"
ENDS = ("softmax", "log_softmax", "sigmoid")  # layers whose outputs are no logits


@known_words
def calibrate(model: Any, X: Any, y: Any = None, *, sample_weight: Any = None, loss: Any = None) -> Any:
    """The same model with the temperature that its probabilities need on rows that it was not trained on.

    Logits are divided by one number T, with which the log loss on these rows is least (Guo et al., 2017): too sure
    probabilities become less sure, and no class another. A network has that as its last layer, an `Affine`; an ensemble
    divides what its members say together, behind their mean. A network with `Members` comes back as an ensemble of one.

    Parameters
    ----------
    model : Network or Ensemble
        That is trained with "cross_entropy" or "binary_cross_entropy"; it stays as it is.
    X : array or table
    y : array
        Targets; a raw table may have them itself.
    sample_weight : array, shape (rows,), optional
    loss : str or Loss, optional
        What outputs of a network mean; by default that of its trainer, or of its file.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> net = fb.Network([fb.Linear(2)], inputs=1, dtype="float64")
    >>> net.parameters["0.weight"], net.parameters["0.bias"] = [[0.0, 0.0]], np.log([0.1, 0.9])
    >>> found = fb.calibrate(net, np.zeros((4, 1)), [1, 1, 1, 0], loss="cross_entropy")
    >>> round(found.layers[-1].factor, 6), found.probabilities([[0.0]], "cross_entropy").round(3).tolist()
    (0.5, [[0.25, 0.75]])
    """
    if not isinstance(model, Network | Ensemble):
        must = "must be a network or an ensemble"
        hint = "`calibrate=` of the estimators, and `trainer.calibrate` of configurations, do it in training"
        raise ConfigTypeError("model", must, f"`{type(model).__name__}`", hint)
    of = model.members[0] if isinstance(model, Ensemble) else model
    if isinstance(model, Ensemble):
        if loss is not None:
            raise ConfigError("loss", "must be left out for an ensemble, which has its own", f"`{loss}`")
        known: Loss | None = model.loss
    else:
        known = loss_known(model) if loss is None else loss_for_outputs(loss, model.graph.splits)
    if known is None:
        must = "must be given, as no trainer was made for this network and its outputs may mean anything"
        raise ConfigError("loss", must, hint='`loss="cross_entropy"` takes them as logits')
    if len(known.parts) > 1 or not probable(known):
        must = "must be `cross_entropy` or `binary_cross_entropy` for outputs to be probabilities"
        raise ConfigError("loss", must, f"`{known.named}`")
    rows = X
    if y is None:
        part = None if of.tables is None else of.tables.part_of(X)
        if part is None:
            raise DataError("y", "must be given with an array", "`None`")
        rows, y, sample_weight = part.X, part.y, part.weight if sample_weight is None else sample_weight
    if isinstance(model, Ensemble):
        (average,) = model.tempered(1.0).averages(model.prepared(X)[0])
        return model.tempered(fitted(outputs_of(known, average.mean, model.outputs), y, known, sample_weight))
    value = fitted(Network.predict(model, rows), y, known, sample_weight)
    if model.graph.members is not None:  # whose mean is behind the last layer
        return Ensemble([model], loss=known).tempered(value)
    return with_temperature(model, value)


def fitted(z: Array, y: Any, loss: Loss, weight: Any = None) -> float:
    """The temperature of the outputs of a network that is trained with this loss; rows that it ignores do not count."""
    z, y = np.asarray(z, np.float64), np.asarray(y)
    weight = read_weights(weight, len(z))
    ignored = getattr(loss, "ignore_index", None)
    if ignored is not None and y.ndim == 1:
        kept = y != ignored
        z, y, weight = z[kept], y[kept], None if weight is None else weight[kept]
    if "labels" in loss.tasks and z.shape[1] > 1:
        t = labels_of(y, z, True)
        return temperature(label_columns(z), t.ravel().astype(np.int64), _each(weight, z.shape[1]))
    return temperature(two_columns(z), labels_of(y, z, False).astype(np.int64), weight)


def _each(weight: Array | None, labels: int) -> Array | None:
    return None if weight is None else np.repeat(weight, labels)


def with_temperature(net: Network, value: float) -> Network:
    """A network like this one, as it is now, whose outputs are divided by a temperature."""
    graph, count = net.graph, len(net.graph.nodes)
    if len(graph.heads) > 1:
        raise ConfigError("model", "must have one output", f"{len(graph.heads)}")
    if graph.members is not None:
        hint = "`fb.calibrate` makes an ensemble of it, which has a temperature behind the mean"
        raise ConfigError("model", "must have no `Members` for a last layer with a temperature", "some", hint)
    head = graph.nodes[graph.heads[0]]
    if head.layer.kind in ENDS:
        raise ConfigError("model", "must end in logits to be calibrated", f"`{head.layer.kind}`")
    width, names = head.outputs, {node.name for node in graph.nodes}
    name = next(name for name in (str(count), TEMPERATURE, f"{TEMPERATURE}:") if name not in names)
    last = Node(count, Affine(factor=1.0 / value), (head.index,), (width,), width, name, name)
    made = Network._from_graph(replace(graph, nodes=(*graph.nodes, last), heads=(count,)), net.seed, net.dtype)
    with net.lock:
        made.flat, states = net.flat, net.states.flat()
    if len(states):
        made.states.set_flat(states)
    made.about, made.trained_with = net.about, net.trained_with
    return made
