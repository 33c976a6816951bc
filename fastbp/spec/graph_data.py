"""A graph as plain values of a file, and back."""

from __future__ import annotations

from typing import Any

from fastbp.errors import ConfigError, ShapeError
from fastbp.spec.catalogue import LAYERS
from fastbp.spec.checks import whole
from fastbp.spec.graph import INPUT, Builder, Graph, chain
from fastbp.spec.layers import Layer


def to_data(graph: Graph) -> dict[str, Any]:
    """A graph as data for files; a chain is a list of its layers."""
    layers = [{"kind": node.layer.kind, **node.layer.plain()} for node in graph.nodes]
    data: dict[str, Any] = {"inputs": graph.inputs, "layers": layers}
    if graph == _chained(graph):
        return data
    for node, entry in zip(graph.nodes, layers, strict=True):
        entry["of"] = {"sources": list(node.sources), "name": node.name, "home": node.home}
    joined = layers[:-1] if len(graph.heads) > 1 else layers
    return data | {"layers": joined, "parts": [list(part) for part in graph.parts], "heads": list(graph.heads)}


def _chained(graph: Graph) -> Graph | None:
    """The layers as a chain, if they are one; else None."""
    if len(graph.heads) > 1 or any(len(node.sources) > 1 for node in graph.nodes):
        return None
    try:
        return chain([node.layer for node in graph.nodes], graph.inputs)
    except (ConfigError, ShapeError):
        return None


def from_data(data: dict[str, Any]) -> Graph:
    """The graph from a file's data."""
    entries: list[tuple[Layer, dict[str, Any]]] = []
    for entry in data["layers"]:
        settings = dict(entry)
        kind, place = settings.pop("kind"), settings.pop("of", {})
        if kind not in LAYERS:
            raise ConfigError(f"layers[{len(entries)}].kind", "must be a layer of this version", f"`{kind}`")
        entries.append((LAYERS[kind].from_plain(settings), place))
    if "parts" not in data:
        return chain([layer for layer, _ in entries], data["inputs"])
    builder = Builder([(name, whole("parts", width, 1)) for name, width in data["parts"]])
    for i, (layer, place) in enumerate(entries):
        sources = [whole("sources", s, INPUT) for s in place["sources"]]
        if any(s >= i for s in sources) or not sources:
            raise ConfigError(f"layers[{i}].of.sources", "must be layers before it", f"`{sources}`")
        home = place["home"] if place["home"] != place["name"] else None
        builder.add(layer, sources, str(place["name"]), home)
    heads = [whole("heads", head, 0) for head in data["heads"]]
    if not heads or any(head >= len(entries) for head in heads):
        raise ConfigError("heads", f"must be some of the {len(entries)} layers", f"`{heads}`")
    return builder.done(heads)
