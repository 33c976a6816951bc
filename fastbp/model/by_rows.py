"""Initial parameters that depend on rows of data: a pure function of seed and rows, with the same bits everywhere.

Layers are completed one after another, each by what those before it make of the rows. With z = x W + b over some rows

    std    W drawn standard normal, each column divided by the standard deviation of its z, so that z has variance 1
    he5    b = -Σ_i λ_i z[r_i] with b = 0 in z, for each unit five random rows r and λ_i = E_i / Σ E, E exponential, so
           that the kink of each unit lies among the data (Steinwart, 2019)

A column whose z is the same in every row stays as drawn. Behind `Members` each row is one of every member.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, DataError
from fastbp.model.network import Network
from fastbp.numerics.exact import log
from fastbp.numerics.philox import uniform
from fastbp.numerics.splits import shuffled
from fastbp.spec.graph import Graph, Node
from fastbp.spec.initial import OF_ROWS, draw, tensor_of

ROWS = 1 << 14  # the most that are looked at; of more, some are drawn
KINK_ROWS = 5

Array = NDArray[np.float64]


def initialize(net: Network, X: Any) -> Network:
    """Draw the parameters anew that layers have by rows of data: ``init="std"`` and ``bias_init="he5"``.

    The first training does it with its rows where nobody has; of more than 16,384 rows it takes some.

    Parameters
    ----------
    net : Network
    X : array, shape (rows, inputs)

    Returns
    -------
    Network
        The same.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> X = np.random.default_rng(0).normal(3.0, 2.0, size=(1000, 4))
    >>> net = fb.initialize(fb.Network([fb.Linear(8, init="std", bias_init="he5")], inputs=4, seed=0), X)
    >>> net.predict(X).std(axis=0).round(3)
    array([1., 1., 1., 1., 1., 1., 1., 1.], dtype=float32)
    """
    names = {name for node in net.graph.nodes for name in asking(node)}
    if not names:
        raise ConfigError("net", 'must have a layer with `init="std"` or `bias_init="he5"`', "none")
    _complete(net, net._rows(X), names)
    return net


def complete(net: Network, x: Any, chosen: NDArray[np.uint32] | None = None) -> None:
    """Complete what still waits for rows, by these, or the chosen of these."""
    waiting = net.parameters.waiting
    if waiting:
        _complete(net, x, set(waiting), chosen)


def asking(node: Node) -> dict[str, str]:
    """Parameters of a node that rows complete, and which part each is."""
    if node.shares or node.layer.kind != "linear":
        return {}
    drawn = node.layer.draws(node.inputs)
    return {node.parameter(part): part for part, (init, *_) in drawn.items() if init.name == OF_ROWS[part]}


def _complete(net: Network, x: Any, names: set[str], chosen: NDArray[np.uint32] | None = None) -> None:
    rows = len(x if chosen is None else chosen)
    if rows > ROWS:
        some = np.sort(shuffled(rows, net.seed)[:ROWS])
        x = x[some if chosen is None else chosen[some]]
    elif chosen is not None:
        x = x[chosen]
    made = _copy(net)
    for node in net.graph.nodes:
        parts = [part for name, part in asking(node).items() if name in names]
        if parts:
            _complete_layer(made, node, parts, x)
    net.parameters.put({name: made.parameters[name] for name in names})


def _copy(net: Network) -> Network:
    """The network with memory of its own, so that rows that are refused change nothing."""
    made = Network._from_graph(net.graph, net.seed, net.dtype)
    with net.lock:
        made.flat = net.flat
        made.states.set_flat(net.states.flat())
    return made


def _complete_layer(net: Network, node: Node, parts: list[str], x: Any) -> None:
    parameters, seed = net.parameters, net.seed
    numbers = {part: tensor_of(node.index, i) for i, part in enumerate(node.layer.draws(node.inputs))}
    weight = None
    if "weight" in parts:
        init, shape, fan_in, fan_out = node.layer.draws(node.inputs)["weight"]
        weight = draw(init, shape, fan_in, fan_out, seed, numbers["weight"])
        parameters[node.parameter("weight")] = weight
    if "bias" in parts:
        parameters[node.parameter("bias")] = np.zeros(node.outputs)
    z = _outputs(_until(net, node), x).astype(np.float64)
    if not np.isfinite(z).all():
        raise DataError(
            "X", f"must have finite outputs of layer `{node.name}`, which begins by them", "NaN or infinity"
        )
    if weight is not None:
        spread = _deviation(z)
        parameters[node.parameter("weight")] = weight / spread
        z /= spread
    if "bias" in parts:
        parameters[node.parameter("bias")] = -_mixed(z, seed, numbers["bias"])


def _until(net: Network, node: Node) -> Network:
    """The network as far as this layer, with the same parameters."""
    graph = Graph(net.graph.inputs, net.graph.nodes[: node.index + 1], (node.index,), ((None, net.graph.inputs),))
    found = Network._from_graph(graph, net.seed, net.dtype)
    found._parameters.block, found._states = net._parameters.block, net._states
    found._share_lock(net.lock)
    return found


def _outputs(net: Network, x: Any) -> Any:
    """What it makes of rows; of so many fewer where each is one of every member."""
    members = net.graph.members
    if members is None:
        return net.predict(x)
    apart = -(-len(x) * members.count // ROWS)
    return net.members(x[np.arange(0, len(x), apart)] if apart > 1 else x).reshape(-1, net.outputs)


def _deviation(z: Array) -> Array:
    """The standard deviation of each column; 1 for a constant."""
    mean = z.sum(axis=0) / len(z)
    spread = np.sqrt(np.square(z - mean).sum(axis=0) / len(z))
    spread[(z == z[:1]).all(axis=0)] = 1.0
    return np.asarray(spread)


def _mixed(z: Array, seed: int, tensor: int) -> Array:
    """For each column the mean of some of its numbers, with random weights."""
    count = z.shape[1] * KINK_ROWS
    u = uniform(2 * count, seed, tensor)
    rows = np.minimum((u[:count] * len(z)).astype(np.int64), len(z) - 1).reshape(-1, KINK_ROWS)
    share = -log(u[count:]).reshape(-1, KINK_ROWS)
    total, found = np.zeros(z.shape[1]), np.zeros(z.shape[1])
    for i in range(KINK_ROWS):
        total = total + share[:, i]
        found = found + share[:, i] * z[rows[:, i], np.arange(z.shape[1])]
    return np.asarray(found / total)
