"""Keys that would change nothing: schedules of what is 0, and settings of encodings that no column has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastbp.config.merging import as_map
from fastbp.config.places import Path_


def idle(data: Any) -> Iterator[tuple[Path_, str]]:
    """The path of each key that is given in vain, and what it must be; `data` is a configuration, or nearly one."""
    yield from _schedules(data)
    yield from _encodings(_map(data, "data"))


def _schedules(data: Any) -> Iterator[tuple[Path_, str]]:
    trainer, network = _map(data, "trainer"), _map(data, "network")
    space = {**_map(_map(data, "pack"), "space"), **_map(_map(data, "sweep"), "space")}
    given = _map(trainer, "schedules")
    here = ("trainer", "schedules")
    layers = network.get("layers")
    drops = network.get("dropout") or "network.dropout" in space
    if isinstance(layers, list):
        drops = any(isinstance(one := as_map(layer), dict) and one.get("name") == "dropout" for layer in layers)
    if given.get("dropout") is not None and not drops:
        must = (
            "must be left out where no layer is `dropout`"
            if layers
            else "must be left out where `network.dropout` is 0"
        )
        yield (*here, "dropout"), must
    drawn = {"trainer.optimizer", "trainer.optimizer.weight_decay"} & set(space)
    if given.get("weight_decay") is not None and not drawn and not _setting(trainer, "optimizer", "weight_decay"):
        yield (*here, "weight_decay"), "must be left out where `trainer.optimizer.weight_decay` is 0"
    if given.get("label_smoothing") is not None and not _setting(trainer, "loss", "label_smoothing"):
        yield (*here, "label_smoothing"), "must be left out where `trainer.loss.label_smoothing` is 0"


def _encodings(data: dict[str, Any]) -> Iterator[tuple[Path_, str]]:
    columns = _map(data, "columns").values()
    found = {data.get("encode", "one_hot"), *(str(one["encode"]) for one in columns if _has(one, "encode"))}
    if data.get("most_one_hot") is not None and "auto" not in found:
        yield ("data", "most_one_hot"), "must be left out where no `encode` is `auto`"
    if data.get("embed_size") is not None and found == {"one_hot"}:
        yield ("data", "embed_size"), "must be left out where every `encode` is `one_hot`"
    if data.get("scale_categories", "none") != "none" and found == {"embedding"}:
        yield ("data", "scale_categories"), "must be `none` where every `encode` is `embedding`"


def _setting(trainer: dict[str, Any], key: str, setting: str) -> Any:
    """A setting of what a key names, or its default."""
    from fastbp.spec.catalogue import LOSSES
    from fastbp.train.catalogue import OPTIMIZERS

    said = as_map(trainer.get(key)) or {"name": {"optimizer": "adam", "loss": "cross_entropy"}[key]}
    if not isinstance(said, dict):
        return None
    table: Mapping[str, Any] = OPTIMIZERS if key == "optimizer" else LOSSES
    cls = table.get(str(said.get("name")))
    return said.get(setting, getattr(cls, setting, None))


def _map(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _has(value: Any, key: str) -> bool:
    return isinstance(value, dict) and key in value
