"""Probabilities of classes from the outputs z of a network, by its last layer or else by a loss.

    ends with Softmax                   z             classes
    ends with LogSoftmax                exp z         classes
    ends with Sigmoid, one output       1 - z, z      two classes
    ends with Sigmoid, more             z             several labels a row
    members' mean by softmax     softmax z     classes
    members' mean by sigmoid     as of binary_cross_entropy
    cross_entropy, one output           1 - σ z, σ z  two classes
    cross_entropy                       softmax z     classes
    binary_cross_entropy, one output    1 - σ z, σ z  two classes
    binary_cross_entropy, more          σ z           several labels a row

Other losses say nothing of probabilities: a hinge ranks classes, and numbers are no classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError
from fastbp.numerics.exact import exp
from fastbp.numerics.likely import sigmoid, softmax
from fastbp.spec.joint_loss import loss_for_outputs

Array = NDArray[Any]


def probabilities(net: Any, X: Any, loss: Any, threads: int | None) -> Array:
    """The result of `Network.probabilities`."""
    if len(net.graph.heads) > 1:
        outputs = len(net.graph.heads)
        raise ConfigError(f"`probabilities` needs a network with one output, got {outputs}")
    end = net.graph.nodes[net.graph.heads[0]].layer.kind
    members = net.graph.members
    meaning = end if end in ("softmax", "log_softmax", "sigmoid") else ""
    if not meaning and members is not None and loss is None:
        meaning = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy"}.get(members.average, "")
    meaning = meaning or _meaning(net, loss)
    z = np.asarray(net.predict(np.atleast_2d(X) if net._parts is None else X, threads=threads), np.float64)
    if meaning == "log_softmax":
        z = exp(z)
    elif meaning == "binary_cross_entropy" or (meaning == "cross_entropy" and z.shape[1] == 1):
        z = sigmoid(z)
    elif meaning == "cross_entropy":
        z = softmax(z)
    if z.shape[1] == 1 and meaning not in ("softmax", "log_softmax"):
        z = np.concatenate([1.0 - z, z], axis=1)
    return z.astype(net.dtype)


def _meaning(net: Any, loss: Any) -> str:
    """The loss by which outputs become probabilities."""
    of = net.trained_with if loss is None else loss_for_outputs(loss, net.graph.splits)
    if of is None:
        raise ConfigError(
            "`probabilities` needs `loss`, as no trainer was made for this network and its outputs may mean anything",
            hint='`loss="cross_entropy"` takes them as logits',
        )
    if of.kind not in ("cross_entropy", "binary_cross_entropy"):
        must = "must be `cross_entropy` or `binary_cross_entropy` for outputs to be probabilities"
        raise ConfigError("loss", must, f"`{of.named}`")
    return str(of.kind)
