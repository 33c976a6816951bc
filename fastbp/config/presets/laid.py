"""A configuration with the keys of its preset beneath its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastbp.config.check import checked, one_of
from fastbp.config.idle import idle
from fastbp.config.merging import NAMED, as_map, merge, paths
from fastbp.config.places import Path_
from fastbp.config.presets import presets
from fastbp.config.presets.known import known_of
from fastbp.config.schema import Network
from fastbp.config.space import flattened
from fastbp.config.text import Text

SHORT = tuple(key for key in Network.__struct_fields__ if key != "layers")  # of a network, beside `layers`


def laid(text: Text) -> Text:
    """The same configuration in full: without the key `preset`, and with what that stands for."""
    name = text.data.get("preset")
    if name is None:
        return Text({key: value for key, value in text.data.items() if key != "preset"}, text.places)
    if not isinstance(name, str):
        checked(text)  # refuses it
    if name not in presets():
        raise one_of(text, ("preset",), name, presets())
    own = Text({key: value for key, value in text.data.items() if key != "preset"}, dict(text.places))
    found: dict[str, Any] = flattened(Text(presets()[name].keys(known_of(checked(own))))).data
    kinds = _kinds(found.get("network"))
    if _listed(own.data):  # all layers are the configuration's own
        found["network"] = {key: value for key, value in found.get("network", {}).items() if key not in SHORT}
    found = _with_space(found, lambda path: not _says(own.data, found, path))
    kinds -= _kinds(merge(Text(found), own).data.get("network"))
    found = _with_monitor(_with_factors(found, kinds), own.data.get("trainer") or {})
    for path, _ in list(idle(merge(Text(found), own).data)):  # what the configuration leaves without effect
        found = _without(found, path)
    return merge(Text(found, dict.fromkeys(paths(found), (f"preset {name}", 0))), own)


def _listed(data: dict[str, Any]) -> bool:
    """Whether a configuration lists all layers."""
    return (data.get("network") or {}).get("layers") is not None


def _with_space(found: dict[str, Any], kept: Callable[[Path_], bool]) -> dict[str, Any]:
    """The keys of a preset with those of its `pack.space` that are kept; without any, members differ by their seeds."""
    pack = found.get("pack") or {}
    space = {key: value for key, value in pack.get("space", {}).items() if kept(tuple(key.split(".")))}
    return {**found, "pack": {**pack, "space": space}} if "space" in pack else found


def _says(own: Any, found: Any, path: Path_) -> bool:
    """Whether a configuration says what its preset draws: that key, or a whole of which it would be a part."""
    if path[0] == "network" and _listed(own):
        return True
    for i, key in enumerate(path):
        if not isinstance(own, dict) or key not in own:
            return False
        own, found = own[key], (found or {}).get(key)
        if i + 1 < len(path) and path[: i + 1] in NAMED:
            own, found = as_map(own), as_map(found)
            if not isinstance(own, dict) or own.get("name", found["name"]) != found["name"]:
                return True
    return True


def _with_factors(found: dict[str, Any], gone: set[str]) -> dict[str, Any]:
    """The keys of a preset without factors of kinds of layers that are gone with what the configuration replaces."""
    trainer = dict(found.get("trainer") or {})
    for key in ("lr_factors", "decay_factors"):
        if trainer.get(key):
            trainer[key] = {name: one for name, one in trainer[key].items() if name.split(".")[0] not in gone}
    return {**found, "trainer": trainer} if trainer else found


def _with_monitor(found: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The keys of a preset, with the measure of its best epoch, or else the first of the configuration's metrics."""
    trainer, metrics = found.get("trainer") or {}, own.get("metrics")
    measure = (trainer.get("monitor") or "loss").removeprefix("val_")
    if metrics is None or "monitor" in own or measure in (*metrics, "loss"):
        return found
    return {**found, "trainer": {**trainer, "monitor": f"val_{(*metrics, 'loss')[0]}"}}


def _without(found: Any, path: Path_) -> Any:
    """The keys of a preset without this one, if it has it."""
    if not isinstance(found, dict) or path[0] not in found:
        return found
    if len(path) == 1:
        return {key: value for key, value in found.items() if key != path[0]}
    return {**found, path[0]: _without(found[path[0]], path[1:])}


def _kinds(network: Any) -> set[str]:
    """Kinds of layers that a network of these keys has, beside its tables of categories."""
    said = network if isinstance(network, dict) else {}
    if said.get("layers") is not None:
        return {name for layer in said["layers"] if isinstance(name := (as_map(layer) or {}).get("name"), str)}
    named = [as_map(said.get(key)) for key in ("activation", "norm", "embed_numbers")]
    found = {one["name"] for one in named if isinstance(one, dict) and isinstance(one.get("name"), str)}
    return found | {"linear"} | ({"scale"} if said.get("front_scale") else set())
