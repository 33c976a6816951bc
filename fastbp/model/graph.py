"""The network as data: a static graph of layers, its shapes inferred and checked once.

Nodes stand in an order in which every node comes after its inputs, and say which nodes those are, so what reads the
graph need not know that today each node has one input, the node before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastbp.errors import ConfigError, ConfigTypeError
from fastbp.model.layers import LAYERS, Layer, Linear, whole

INPUT = -1


@dataclass(frozen=True)
class Node:
    """One layer in its place: `sources` are the indices of the nodes it reads, INPUT for the network's input."""

    index: int
    layer: Layer
    sources: tuple[int, ...]
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Graph:
    """Nodes in order, and the number of features that go into the first."""

    inputs: int
    nodes: tuple[Node, ...]

    @property
    def outputs(self) -> int:
        return self.nodes[-1].outputs

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Name and natural shape of every parameter, in order."""
        out: dict[str, tuple[int, ...]] = {}
        for node in self.nodes:
            if isinstance(node.layer, Linear):
                out[f"{node.index}.weight"] = (node.inputs, node.outputs)
                if node.layer.bias:
                    out[f"{node.index}.bias"] = (node.outputs,)
        return out


def chain(layers: Any, inputs: Any) -> Graph:
    """Graph of layers that each read the one before."""
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise ConfigTypeError(f"`layers` must be a list of layers, got `{layers!r}`")
    if not layers:
        raise ConfigError("`layers` must hold at least one layer, got `[]`")
    features = first = whole("inputs", inputs, 1)
    nodes = []
    for index, layer in enumerate(layers):
        if not isinstance(layer, Layer) or LAYERS.get(layer.kind) is not type(layer):
            hint = ""
            if isinstance(layer, type) and issubclass(layer, Layer):
                hint = f"\nhint: did you mean `{layer.__name__}()`?"
            raise ConfigTypeError(f"`layers[{index}]` must be a layer such as `fb.Linear(10)`, got `{layer!r}`{hint}")
        outputs = layer.outputs(features)
        nodes.append(Node(index, layer, (index - 1 if index else INPUT,), features, outputs))
        features = outputs
    return Graph(first, tuple(nodes))


def to_data(graph: Graph) -> dict[str, Any]:
    """What a file says about a graph."""
    return {
        "inputs": graph.inputs,
        "layers": [{"kind": node.layer.kind, **node.layer.settings()} for node in graph.nodes],
    }


def from_data(data: dict[str, Any]) -> Graph:
    """The graph that a file describes."""
    layers: list[Layer] = []
    for entry in data["layers"]:
        settings = dict(entry)
        kind = settings.pop("kind")
        if kind not in LAYERS:
            raise ConfigError(f"`layers[{len(layers)}].kind` must be a layer of this version, got `{kind}`")
        layers.append(LAYERS[kind](**settings))
    return chain(layers, data["inputs"])
