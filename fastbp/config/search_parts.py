"""What a key of a sweep's space is chosen from, as a tree that is walked with something that answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from fastbp.config.check import show
from fastbp.config.places import Path_
from fastbp.config.space import BOUNDED, DEEPEST, WHOLE, brief_value, check_drawn, said
from fastbp.config.text import Text
from fastbp.errors import ConfigError


class Asked(Protocol):
    """What answers: a sampler, or a script."""

    def choice(self, name: str, labels: tuple[Any, ...]) -> int:
        """The number of one of these."""

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        """A number between two others."""

    def integer(self, name: str, low: int, high: int, log: bool) -> int:
        """A whole number between two others, both included."""


class Part(ABC):
    """A part of the tree."""

    @abstractmethod
    def value(self, ask: Asked) -> Any:
        """The value that the answers make."""

    def parts(self) -> Iterator[Part]:
        """Itself, and everything in it."""
        yield self


@dataclass(frozen=True)
class Constant(Part):
    """What is not chosen."""

    it: Any

    def value(self, ask: Asked) -> Any:
        return self.it


@dataclass(frozen=True)
class Choice(Part):
    """One of several."""

    name: str
    labels: tuple[Any, ...]
    options: tuple[Part, ...]

    def value(self, ask: Asked) -> Any:
        return self.options[ask.choice(self.name, self.labels)].value(ask)

    def parts(self) -> Iterator[Part]:
        yield self
        for one in self.options:
            yield from one.parts()


@dataclass(frozen=True)
class Number(Part):
    """A number between two others."""

    name: str
    low: float
    high: float
    log: bool

    def value(self, ask: Asked) -> Any:
        return ask.number(self.name, self.low, self.high, self.log)


@dataclass(frozen=True)
class Whole(Part):
    """A whole number."""

    name: str
    low: int
    high: int
    log: bool = False

    def value(self, ask: Asked) -> Any:
        return ask.integer(self.name, self.low, self.high, self.log)


@dataclass(frozen=True)
class Repeated(Part):
    """A list of `depth` times `width`."""

    name: str
    width: Part
    depth: Part

    def value(self, ask: Asked) -> Any:
        width, depth = self.width.value(ask), self.depth.value(ask)
        if not (isinstance(depth, int) and not isinstance(depth, bool) and 0 <= depth <= DEEPEST):
            raise ConfigError(self.name, f"must have a whole `depth` from 0 to {DEEPEST}", show(depth))
        return [width] * depth

    def parts(self) -> Iterator[Part]:
        yield self
        yield from self.width.parts()
        yield from self.depth.parts()


@dataclass(frozen=True)
class Filled(Part):
    """A map of which some values are chosen."""

    items: tuple[tuple[str, Part], ...]

    def value(self, ask: Asked) -> Any:
        return {key: part.value(ask) for key, part in self.items}

    def parts(self) -> Iterator[Part]:
        yield self
        for _, one in self.items:
            yield from one.parts()


def part_of(text: Text, path: Path_, name: str, among: Any) -> Part:
    """The tree of what a key is chosen from."""
    if isinstance(among, list):
        options = tuple(_inside(text, (*path, i), f"{name}[{i}]", one) for i, one in enumerate(among))
        return Choice(name, _labels(among), options)
    if "width" in among:
        width, depth = (
            part_of(text, (*path, key), f"{name}.{key}", one) if isinstance(one, list | dict) else Constant(one)
            for key, one in ((key, among[key]) for key in ("width", "depth"))
        )
        return Repeated(name, width, depth)
    ((kind, values),) = among.items()
    if kind == "choice":
        return part_of(text, (*path, kind), name, values)
    low, high = values
    if kind in WHOLE:
        return Whole(name, low, high, kind == "log_int")
    return Number(name, float(low), float(high), kind == "log")


def _inside(text: Text, path: Path_, name: str, value: Any) -> Part:
    """The tree of a value of a list, or of a setting in it."""
    if not isinstance(value, dict):
        return Constant(value)
    if _is_asked(value):
        check_drawn(text, path, value)
        return part_of(text, path, name, value)
    items = tuple((key, _inside(text, (*path, key), f"{name}.{key}", one)) for key, one in value.items())
    return Constant(value) if all(isinstance(part, Constant) for _, part in items) else Filled(items)


def _is_asked(value: dict[str, Any]) -> bool:
    keys = set(value)
    return keys == {"width", "depth"} or (len(keys) == 1 and keys <= {"choice", *BOUNDED})


def _labels(values: list[Any]) -> tuple[Any, ...]:
    """What values are called in a study: as they are, or where that is no plain value in few characters."""
    plain = all(value is None or isinstance(value, bool | int | float | str) for value in values)
    if plain and len(set(values)) == len(values):
        return tuple(values)
    names = [said(value) if isinstance(value, dict) and _is_asked(value) else brief_value(value) for value in values]
    if len(set(names)) < len(names):
        names = [f"{i}: {name}" for i, name in enumerate(names)]
    return tuple(names)
