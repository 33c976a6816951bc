"""The network as data: a static graph of layers, its shapes inferred and checked once.

Nodes stand in an order in which every node comes after its inputs, and say which nodes those are, so what reads the
graph need not know that today each node has one input, the node before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastbp.errors import ConfigError, ConfigTypeError
from fastbp.model import activations
from fastbp.model.checks import whole
from fastbp.model.initial import Init
from fastbp.model.layers import LAYERS, Embedding, Layer

INPUT = -1
del activations  # imported so that LAYERS knows them


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
            for part, (_, shape, _, _) in node.layer.draws(node.inputs).items():
                out[f"{node.index}.{part}"] = shape
        return out

    def states(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """Shape and first value of everything that is learned without a gradient."""
        out: dict[str, tuple[tuple[int, ...], float]] = {}
        for node in self.nodes:
            for part, state in node.layer.states(node.inputs).items():
                out[f"{node.index}.{part}"] = state
        return out

    def decaying(self) -> set[str]:
        """Parameters that weight decay is meant for: matrices and tables, no biases, norms or scales."""
        return {f"{node.index}.{part}" for node in self.nodes for part in node.layer.decays}


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
        if isinstance(layer, Embedding) and index:
            raise ConfigError(
                f"`layers[{index}]` is an Embedding, which must be the first layer, got one behind others"
            )
        outputs = layer.outputs(features)
        nodes.append(Node(index, layer, (index - 1 if index else INPUT,), features, outputs))
        features = outputs
    return Graph(first, tuple(nodes))


def to_data(graph: Graph) -> dict[str, Any]:
    """What a file says about a graph."""
    return {
        "inputs": graph.inputs,
        "layers": [{"kind": node.layer.kind, **_plain(node.layer)} for node in graph.nodes],
    }


def _plain(layer: Layer) -> dict[str, Any]:
    """A layer's settings as JSON can hold them, initialisers as [name, scale]."""
    return {k: [v.name, v.scale] if isinstance(v, Init) else v for k, v in layer.settings().items()}


def from_data(data: dict[str, Any]) -> Graph:
    """The graph that a file describes."""
    layers: list[Layer] = []
    for entry in data["layers"]:
        settings = dict(entry)
        kind = settings.pop("kind")
        if kind not in LAYERS:
            raise ConfigError(f"`layers[{len(layers)}].kind` must be a layer of this version, got `{kind}`")
        for name, value in settings.items():
            if name in ("init", "bias_init") and isinstance(value, list):
                settings[name] = Init(*value)
        layers.append(LAYERS[kind](**settings))
    return chain(layers, data["inputs"])
