"""Optimisers and schedules by the names used in files: what their files define."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from fastbp.errors import ConfigError, ConfigTypeError, brief, not_one_of
from fastbp.spec.named import named
from fastbp.train import adam, muon, optimizers
from fastbp.train.optimizers import Optimizer
from fastbp.train.schedules import OTHERS, SCHEDULES, Schedule

OPTIMIZERS: dict[str, type[Optimizer]] = {**named(optimizers), **named(adam), **named(muon)}


def optimizer_named(given: Any) -> Optimizer:
    """An optimiser unchanged, or the one of this name with its default settings."""
    if isinstance(given, Optimizer):
        return given
    if not isinstance(given, str):
        raise ConfigTypeError("optimizer", "must be an optimiser such as `fb.Adam(lr=1e-3)`", f"`{brief(given)}`")
    if given not in OPTIMIZERS:
        raise not_one_of("optimizer", given, OPTIMIZERS)
    made: Any = OPTIMIZERS[given]
    optimizer: Optimizer = made()
    return optimizer


def schedule_named(given: Any, where: str = "schedule") -> Schedule:
    """A schedule unchanged, or the one of this name with its default settings."""
    if isinstance(given, Schedule):
        return given
    if not isinstance(given, str):
        raise ConfigTypeError(where, "must be a schedule such as `fb.Cosine()`", f"`{brief(given)}`")
    if given not in SCHEDULES:
        raise not_one_of(where, given, SCHEDULES)
    made = SCHEDULES[given]
    needed = [f.name for f in fields(made) if f.default is MISSING and f.default_factory is MISSING]
    if needed:
        message = f"`{where}` must have `{needed[0]}`, such as `fb.{made.__name__}({needed[0]}=...)`"
        raise ConfigTypeError(f"{message}, got `{given}` alone")
    return made()


def schedules_named(given: Any) -> dict[str, Schedule]:
    """Schedules by what they are of; what is a probability is not to grow."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigTypeError("schedules", "must be a dict of what to schedule", f"`{brief(given)}`")
    found = {}
    for name, one in given.items():
        if name not in OTHERS:
            raise not_one_of("schedules", name, OTHERS)
        where = f"schedules.{name}"
        found[name] = schedule = schedule_named(one, where)
        if schedule.highest > 1.0 and name != "weight_decay":
            raise ConfigError(where, "must have no factor above 1", f"`{schedule}`")
    return found
