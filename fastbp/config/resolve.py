"""A configuration with every default filled in; as a file it reproduces the run bit for bit."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from fastbp.config.build import Plan
from fastbp.config.naming import INIT_OF, activation_of, init_of
from fastbp.config.rules import of_task
from fastbp.config.wiring import Place

# Paths that may change when a run is resumed.
FREE = (
    ("data", "max_memory"),
    ("data", "store"),
    ("trainer", "epochs"),
    ("trainer", "time_limit"),
    ("trainer", "early_stopping"),
    ("trainer", "threads"),
    ("run", "checkpoint_seconds"),
)


def resolved(plan: Plan, loss: Any, metrics: list[str], task: str) -> dict[str, Any]:
    """All settings and defaults; refuses settings that do not fit the loss or the task."""
    of_task(plan.text, plan.layers, loss, metrics, task, plan.config.trainer.monitor)
    data: dict[str, Any] = msgspec.to_builtins(plan.config)
    del data["preset"], data["sweep"]  # the keys of the one are there, and the other is no part of a run
    data["data"]["task"] = task
    trainer, network = data["trainer"], data["network"]
    trainer["loss"] = _spec(loss)
    trainer["optimizer"] = _spec(plan.optimizer)
    trainer["schedule"] = None if plan.schedule is None else _spec(plan.schedule)
    for key, schedule in plan.schedules.items():
        trainer["schedules"][key] = _spec(schedule)
    trainer["metrics"] = metrics
    if plan.layers is not None:
        data["network"] = {
            "layers": [_layer(layer, place) for layer, place in zip(plan.layers, plan.places, strict=True)]
        }
    else:
        network["hidden"] = network["hidden"] if network["hidden"] is not None else [128]
        network["activation"] = _spec(activation_of(plan.text, plan.config))
        network["embed_numbers"] = None if plan.embedder is None else _spec(plan.embedder)
        for key in INIT_OF:
            init = init_of(plan.text, plan.config, key)
            network[key] = None if init is None else _plain(init)
        del network["layers"]
    return data


def _spec(value: Any) -> dict[str, Any]:
    """An object as a map with its name and all settings."""
    if value.kind == "custom":
        rest = {"reduction": value.reduction} if hasattr(value, "reduction") else {}
        return {"name": value.formula, **rest}
    settings = value.settings() if hasattr(value, "settings") else dataclasses.asdict(value)
    return {"name": value.kind, **{k: _plain(v) for k, v in settings.items()}}


def _layer(layer: Any, place: Place) -> dict[str, Any]:
    """A layer with its `as`, `from` and `share`."""
    return {**({"share": place.share} if place.share is not None else _spec(layer)), **place.keys()}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {k: v for k, v in dataclasses.asdict(value).items() if v is not None}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return value


def changes(old: dict[str, Any], new: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths at which two resolved configurations differ and may not."""
    found: list[tuple[str, ...]] = []
    for key in {**old, **new}:
        here = (*path, key)
        if here in FREE:
            continue
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += changes(a, b, here)
        elif a != b:
            found.append(here)
    return found
