"""The space of a sweep: what is asked for each key, in which order, and the configuration of the answers.

Beside what `pack.space` can say,

trainer.optimizer: [{name: sgd, momentum: {uniform: [0, 0.99]}}, adam]     settings inside of what is chosen
network.dropout: {uniform: [0, 0.5], when: {network.norm: layer_norm}}     keys that are there now and then

A space is walked with something that answers: a sampler, or a script that goes through all answers one after another.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastbp.config.build import Plan, plan_of
from fastbp.config.check import fail, path_of, show
from fastbp.config.places import Path_
from fastbp.config.schema import SECTIONS
from fastbp.config.search_parts import Asked, Choice, Constant, Filled, Number, Part, Whole, part_of
from fastbp.config.space import SWEEP, Drawn, brief_value, check_drawn, put
from fastbp.config.space import said as in_words
from fastbp.config.text import Text
from fastbp.errors import ConfigError

OF_ALL = {"trainer": ("monitor", "mode", "metrics", "threads", "time_limit")}  # what makes runs comparable
NEVER = ("name", "run", "pack", "sweep")
MOST_POINTS = 100_000  # combinations of a grid
MOST_PROBES = 500  # configurations that are checked before a sweep


@dataclass(frozen=True)
class Key:
    """A key of the space: what is asked for it, and the values of others with which it is there."""

    name: str
    path: Path_
    part: Part
    when: dict[str, list[Any]]

    def is_there(self, drawn: dict[str, Any]) -> bool:
        """Whether it is, with these values of the keys before it."""
        return all(name in drawn and _plain(drawn[name]) in values for name, values in self.when.items())


def _plain(value: Any) -> Any:
    """A value as a condition names it: what has settings by its name."""
    return value.get("name", value) if isinstance(value, dict) else value


@dataclass(frozen=True)
class Space:
    """All keys, each behind those that it depends on."""

    text: Text
    keys: list[Key]

    def drawn(self, ask: Asked) -> dict[str, Any]:
        """The value of each key that is there, by the answers, in the order of the file."""
        found: dict[str, Any] = {}
        for key in self.keys:
            if key.is_there(found):
                try:
                    found[key.name] = key.part.value(ask)
                except ConfigError as error:
                    raise error.at(place=self.text.place((*SWEEP, key.name))) from None
        return {name: found[name] for name in self.text.data["sweep"]["space"] if name in found}

    def said(self) -> dict[str, str]:
        """What each key is chosen from, in words, in the order of the file."""
        found = {}
        for key in self.keys:
            among = self.text.data["sweep"]["space"][key.name]
            if key.when:
                among = {name: value for name, value in among.items() if name != "when"}
            where = [f"`{name}` is {' or '.join(map(brief_value, values))}" for name, values in key.when.items()]
            found[key.name] = in_words(among) + (f", where {' and '.join(where)}" if where else "")
        return {name: found[name] for name in self.text.data["sweep"]["space"]}

    def configuration(self, drawn: dict[str, Any]) -> Text:
        """The configuration with these values, as a run of its own has it."""
        data = {key: copy.deepcopy(value) for key, value in self.text.data.items() if key != "sweep"}
        places = dict(self.text.places)
        for key in self.keys:
            if key.name not in drawn:
                continue
            here = (*SWEEP, key.name)
            put(self.text, data, Drawn(key.name, key.path, None), copy.deepcopy(drawn[key.name]), SWEEP)
            for known in [path for path in places if path[: len(key.path)] == key.path]:
                del places[known]
            if here in self.text.places:
                for size in range(1, len(key.path) + 1):
                    places.setdefault(key.path[:size], self.text.places[here])
        return Text(data, places)

    def plan(self, drawn: dict[str, Any]) -> Plan:
        """The same, checked."""
        try:
            return plan_of(self.configuration(drawn))
        except ConfigError as error:
            if error.place is None:
                raise error.at(place=self.text.place(SWEEP)) from None
            raise

    @property
    def packable(self) -> bool:
        """Whether its configurations may be members of one pack: they differ in network and trainer only."""
        return all(key.path[0] in ("network", "trainer") and len(key.path) > 1 for key in self.keys)

    def points(self) -> list[dict[str, Any]]:
        """The answers of every combination, the last key changing first; refuses what has endlessly many."""
        for key in self.keys:
            for part in key.part.parts():
                if isinstance(part, Number):
                    here = (*SWEEP, key.name)
                    must = "must have lists and whole numbers only with the sampler `grid`"
                    raise fail(self.text, here, must, "`log`" if part.log else "`uniform`")
        found = []
        for script in _scripts(lambda script: self.drawn(script), whole=True):
            found.append(script.answers)
            if len(found) > MOST_POINTS:
                raise fail(self.text, SWEEP, f"must have at most {MOST_POINTS:,} combinations for `grid`", "more")
        return found

    def check(self) -> None:
        """Refuse a space of which some values are no configuration: each choice and each bound is tried once."""
        seen: set[tuple[str, int]] = set()
        waiting: list[list[int]] = [[]]
        for _ in range(MOST_PROBES):
            if not waiting:
                return
            script = Script(waiting.pop(0))
            drawn = self.drawn(script)
            new = [(name, at) for name, at, _ in script.trace if (name, at) not in seen]
            if new or not seen:
                self.plan(drawn)
                seen.update(new)
            for i, (name, _, count) in enumerate(script.trace):
                before = [at for _, at, _ in script.trace[:i]]
                waiting += [[*before, at] for at in range(count) if (name, at) not in seen and new]


class Script:
    """Answers by number: the first so many are given, the others are the first of each."""

    def __init__(self, given: Sequence[int], whole: bool = False) -> None:
        self.given, self.whole = given, whole
        self.trace: list[
            tuple[str, int, int]
        ] = []  # of each question: its name, the answer's number, how many there are
        self.answers: dict[str, Any] = {}

    def _next(self, name: str, count: int) -> int:
        at = self.given[len(self.trace)] if len(self.trace) < len(self.given) else 0
        self.trace.append((name, at, count))
        return at

    def choice(self, name: str, labels: tuple[Any, ...]) -> int:
        at = self._next(name, len(labels))
        self.answers[name] = labels[at]
        return at

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        return (low, high)[self._next(name, 2)]

    def integer(self, name: str, low: int, high: int, log: bool) -> int:
        ends = range(low, high + 1) if self.whole else sorted({low, high})
        self.answers[name] = ends[self._next(name, len(ends))]
        return int(self.answers[name])


def _scripts(walk: Callable[[Script], Any], whole: bool) -> Iterator[Script]:
    """A walk with every combination of answers."""
    given: list[int] | None = []
    while given is not None:
        script = Script(given, whole)
        walk(script)
        yield script
        more = [i for i, (_, at, count) in enumerate(script.trace) if at + 1 < count]
        given = [at for _, at, _ in script.trace[: more[-1]]] + [script.trace[more[-1]][1] + 1] if more else None


def space_of_sweep(text: Text, space: dict[str, Any]) -> Space:
    """The space of a configuration with `sweep`; refuses keys that there are not, or that runs must share."""
    keys = []
    for name, said in space.items():
        path, here = path_of(name), (*SWEEP, name)
        _check_key(text, name, path)
        when: dict[str, list[Any]] = {}
        among = said
        if isinstance(said, dict) and "when" in said:
            among = {key: value for key, value in said.items() if key != "when"}
            when = _condition(text, here, said["when"], name, space)
        check_drawn(text, here, among)
        keys.append(Key(name, path, part_of(text, here, name, among), when))
    _check_values(text, keys)
    keys.sort(key=lambda one: len(one.path))
    return Space(text, _in_order(text, keys))


def _condition(text: Text, here: Path_, said: Any, name: str, space: dict[str, Any]) -> dict[str, list[Any]]:
    if not isinstance(said, dict) or not said:
        raise fail(text, (*here, "when"), "must be a map from keys of the space to values", show(said))
    for key in said:
        if key not in space or key == name:
            close = difflib.get_close_matches(str(key), [one for one in space if one != name], n=1)
            hint = f"did you mean `{close[0]}`?" if close else None
            raise fail(text, (*here, "when"), "must name other keys of the space", show(key), hint)
    return {key: value if isinstance(value, list) else [value] for key, value in said.items()}


def _check_values(text: Text, keys: list[Key]) -> None:
    """Refuse conditions that are never true, as their keys would be in no trial."""
    parts = {key.name: key.part for key in keys}
    for key in keys:
        for name, values in key.when.items():
            for value in values:
                if not _may_be(parts[name], value):
                    here = (*SWEEP, key.name, "when", name)
                    raise fail(text, here, f"must be a value that `{name}` may have", show(value))


def _may_be(part: Part, value: Any) -> bool:
    """Whether a key may have this value, as a condition names it."""
    if isinstance(part, Constant):
        return bool(_plain(part.it) == value)
    if isinstance(part, Choice):
        return any(_may_be(one, value) for one in part.options)
    if isinstance(part, Whole):
        return isinstance(value, int) and part.low <= value <= part.high
    name = dict(part.items).get("name") if isinstance(part, Filled) else None
    return name is None or _may_be(name, value)


def _in_order(text: Text, keys: list[Key]) -> list[Key]:
    """Each behind those that it depends on."""
    found: list[Key] = []
    left = list(keys)
    while left:
        there = {key.name for key in found}
        ready = next((key for key in left if key.when.keys() <= there), None)
        if ready is None:
            must = "must not depend on each other in a circle"
            raise fail(text, (*SWEEP, left[0].name, "when"), must, ", ".join(f"`{key.name}`" for key in left))
        found.append(ready)
        left.remove(ready)
    return found


def _check_key(text: Text, name: str, path: Path_) -> None:
    top = SECTIONS[""].__struct_fields__
    here = (*SWEEP, name)
    section = str(path[0]) if path else ""
    if section in NEVER:
        raise fail(text, here, "must not differ by run, as that would make no other network")
    if section == "preset":
        raise fail(text, here, "must not be chosen itself, but the keys that it stands for may be")
    if section not in top:
        known = [one for one in top if one not in NEVER]
        close = difflib.get_close_matches(section, known, n=1)
        hint = f"did you mean `{'.'.join([close[0], *map(str, path[1:])])}`?" if close else None
        raise fail(text, SWEEP, "must have keys of the configuration", show(name), hint)
    if section not in SECTIONS:
        if len(path) > 1:
            raise fail(text, here, f"must be `{section}`, which has no keys of its own")
        return
    fields = SECTIONS[section].__struct_fields__
    if len(path) < 2 or path[1] not in fields:
        close = difflib.get_close_matches(str(path[1]), fields, n=1) if len(path) > 1 else []
        hint = f"did you mean `{section}.{close[0]}`?" if close else None
        raise fail(text, SWEEP, f"must have keys of `{section}`", show(name), hint)
    if path[1] in OF_ALL.get(section, ()):
        raise fail(text, here, "must not differ by run, as all are trained and compared in one way")
