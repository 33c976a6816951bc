"""Branching networks in files: `as` names a layer, `from` lists its inputs, `share` the owner of its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastbp.config.check import fail, one_of, show
from fastbp.config.places import Path_
from fastbp.config.text import Text
from fastbp.errors import ConfigError, ShapeError

KEYS = ("as", "from", "share")
ROWS = "inputs"  # the name of the rows of data in `from`


def layer_table() -> dict[str, Any]:
    """Every name a layer may have in a file: activations first and gates last."""
    from fastbp.spec import gates
    from fastbp.spec.catalogue import ACTIVATIONS, LAYERS

    known: dict[str, Any] = {**ACTIVATIONS, **LAYERS}
    del known["custom"]  # named by its formula
    return dict(sorted(known.items(), key=lambda item: getattr(item[1], "__module__", "") == gates.__name__))


@dataclass(frozen=True)
class Place:
    """A layer's own name, the names of its inputs (None: the layer before), and whose parameters it shares."""

    name: str | None = None
    sources: tuple[str, ...] | None = None
    share: str | None = None

    def keys(self) -> dict[str, Any]:
        """As in a file."""
        found: dict[str, Any] = {} if self.name is None else {"as": self.name}
        if self.sources is not None:
            found["from"] = list(self.sources) if len(self.sources) != 1 else self.sources[0]
        return found


def placed(text: Text, values: list[Any]) -> tuple[list[Place], list[Any]]:
    """The place of every layer in the list, and the rest of each entry."""
    names = [v.get("as") for v in values if isinstance(v, dict)]
    places: list[Place] = []
    rest = []
    for i, value in enumerate(values):
        place, left = Place(), value
        if isinstance(value, dict) and any(key in value for key in KEYS):
            path: Path_ = ("network", "layers", i)
            before = [p.name for p in places if p.name is not None]
            place = _place(text, path, value, before, names)
            left = {k: v for k, v in value.items() if k not in KEYS}
            if place.share is not None and left:
                raise fail(text, path, f"must have no `{next(iter(left))}` together with `share`")
        places.append(place)
        rest.append(left)
    return places, rest


def _place(text: Text, path: Path_, value: dict[str, Any], before: list[str], names: list[Any]) -> Place:
    from fastbp.spec.signals import checked_name

    name = value.get("as")
    if name is not None:
        if not isinstance(name, str):
            raise fail(text, (*path, "as"), "must be a name", show(name))
        try:
            checked_name(name)
        except ConfigError as error:
            raise fail(text, (*path, "as"), error.must, error.got) from None
        if name in before or name == ROWS:
            raise fail(text, (*path, "as"), "must be unique", f"`{name}` again")
    sources: tuple[str, ...] | None = None
    if value.get("from") is not None:
        given = value["from"]
        listed = given if isinstance(given, list) else [given]
        for j, source in enumerate(listed):
            _known(
                text, (*path, "from", j) if isinstance(given, list) else (*path, "from"), source, [ROWS, *before], names
            )
        sources = tuple(listed)
        if not sources:
            raise fail(text, (*path, "from"), "must name at least one layer", "an empty list")
    share = value.get("share")
    if share is not None:
        _known(text, (*path, "share"), share, before, names)
    return Place(name, sources, share)


def _known(text: Text, path: Path_, name: Any, before: list[str], names: list[Any]) -> None:
    """Refuse a name that is not an earlier layer's."""
    if not isinstance(name, str):
        raise fail(text, path, "must be the name of a layer", show(name))
    if name not in before:
        if name in names:
            raise fail(text, path, "must name an earlier layer", f"`{name}`")
        raise one_of(text, path, name, before)


def wired(text: Text, layers: list[Any], places: list[Place], inputs: int, first: Any = None) -> Any:
    """The graph of placed layers; `first`, if given, comes between the rows and all others."""
    from fastbp.spec.graph import INPUT, Builder

    builder = Builder([(None, inputs)])
    rows = INPUT if first is None else builder.add(first, (INPUT,), "0")
    at = {ROWS: rows}
    last = rows
    for i, (layer, place) in enumerate(zip(layers, places, strict=True)):
        sources = [last] if place.sources is None else [at[source] for source in place.sources]
        try:
            home = builder.nodes[at[place.share]].home if place.share is not None else None
            last = builder.add(layer, sources, place.name or str(len(builder.nodes)), home)
        except (ConfigError, ShapeError) as error:
            path = ("network", "layers", i)
            if error.where == f"layers[{len(builder.nodes)}]":
                raise fail(text, path, error.must, error.got) from None
            raise ConfigError(**error.at(place=text.inside(path)).fields) from None
        if place.name is not None:
            at[place.name] = last
    graph = builder.done([last])
    readers = graph.readers()
    for i in range(len(layers) - 1):
        if not readers[i + (first is not None)]:
            raise fail(text, ("network", "layers", i), "must be read by a later layer")
    return graph
