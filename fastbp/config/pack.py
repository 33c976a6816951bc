"""The members of a pack in a file: each a whole configuration, checked like any."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from fastbp.config.build import LBFGSSettings, Plan, plan_of
from fastbp.config.check import fail
from fastbp.config.places import Path_
from fastbp.config.schema import Split
from fastbp.config.space import SPACE, Drawn, put, space_of
from fastbp.config.text import Text
from fastbp.errors import ConfigError


@dataclass
class MemberPlan:
    """A member: its number, its values of the keys that are drawn, and its configuration."""

    number: int
    drawn: dict[str, Any]
    plan: Plan


def members_of(plan: Plan) -> list[MemberPlan]:
    """The members of a configuration with `pack`.

    Raises
    ------
    ConfigError
        For the first member whose draws are no configuration; its message names member and key.
    """
    pack = plan.config.pack
    assert pack is not None
    space = space_of(plan.text, pack.space)
    return [_member(plan, space, number) for number in range(pack.members)]


def configuration(plan: Plan, number: int, fold: int | None = None) -> dict[str, Any]:
    """The configuration of a member, on a fold, from which `fastbp train` makes the same network to the bit.

    It differs from the pack's by the member's seed and draws; what the seed decides of the rows stays. Rows that
    `pack.bootstrap` draws have no configuration.
    """
    pack = plan.config.pack
    assert pack is not None
    data: dict[str, Any] = _member(plan, space_of(plan.text, pack.space), number).plan.text.data
    return data if fold is None else on_fold(data, pack.folds, fold)


def on_fold(data: dict[str, Any], folds: int | None, fold: int) -> dict[str, Any]:
    """The same configuration, validated on one of so many folds."""
    rows = data.get("data") or {}
    return {**data, "data": {**rows, "split": {**(rows.get("split") or {}), "folds": folds, "fold": fold}}}


def _member(plan: Plan, space: list[Drawn], number: int) -> MemberPlan:
    text, config = plan.text, plan.config
    undrawn = 0 if config.pack is None else config.pack.undrawn
    data = {key: copy.deepcopy(value) for key, value in text.data.items() if key != "pack"}
    data["seed"] = (config.seed + number) % 2**64
    rows = data.setdefault("data", {})
    if config.data.seed is None and config.data.source not in (None, "files", "digits"):
        rows["seed"] = config.seed
    own_parts = config.data.source == "digits" and config.data.split == Split()
    if config.data.split.seed is None and not own_parts:
        rows["split"] = {**(rows.get("split") or {}), "seed": config.seed}
    drawn: dict[str, Any] = {}
    places = dict(text.places)
    for one in space if number >= undrawn else ():
        with naming(text, number, one):
            drawn[one.name] = one.value(config.seed, number)
            put(text, data, one, copy.deepcopy(drawn[one.name]))
        for known in [path for path in places if path[: len(one.path)] == one.path]:
            del places[known]
        if (*SPACE, one.name) in text.places:
            for size in range(1, len(one.path) + 1):
                places.setdefault(one.path[:size], text.places[(*SPACE, one.name)])
    with of_member(number):
        made = plan_of(Text(data, places))
        made.config.trainer.threads = 1  # a pack has threads, of which each trains whole members
        made.strict, made.time_limit = plan.strict, None
        if isinstance(made.optimizer, LBFGSSettings):
            raise fail(made.text, ("trainer", "optimizer"), "must have steps in a pack", "`lbfgs`")
    if number < undrawn:
        drawn = {one.name: _value(made.config, one.path) for one in space}
    return MemberPlan(number, {name: drawn[name] for name in config.pack.space} if config.pack else {}, made)


def _value(config: Any, path: Path_) -> Any:
    """What a configuration has for a key."""
    for part in path:
        if isinstance(config, dict):
            config = config.get(part)
        elif isinstance(config, list):
            config = config[part] if isinstance(part, int) and part < len(config) else None
        else:
            config = getattr(config, str(part), None)
    return config


class of_member:
    """Errors inside are said of a member."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, ConfigError) and error.where is not None:
            raise error.at(must=f"of member {self.number} {error.must}") from None
        if isinstance(error, ConfigError):
            raise error.at(place=f"{error.place}: member {self.number}" if error.place else None) from None


class naming(of_member):
    """Errors inside are said of a member and the key that is drawn."""

    def __init__(self, text: Text, number: int, drawn: Drawn) -> None:
        super().__init__(number)
        self.text, self.drawn = text, drawn

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, ConfigError) and error.place is None:
            error = error.at(place=self.text.place((*SPACE, self.drawn.name)))
        super().__exit__(kind, error, trace)
