"""Checked access to the recipe in a file, which is untrusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import CheckpointError, visible

Array = NDArray[Any]


@dataclass(frozen=True)
class Stored:
    """A value and its path, such as `inputs[0].spread`."""

    value: Any
    where: str

    def fail(self, must: str) -> CheckpointError:
        """The error for this value; `must` is the requirement."""
        return CheckpointError(self.where, f"must {must}", f"{_shown(self.value)}")

    def keys(self, *names: str, absent: Mapping[str, Any] | None = None) -> dict[str, Stored]:
        """The values of an object that has these keys and no others; `absent` has those that may be missing."""
        if not isinstance(self.value, dict):
            raise self.fail("be an object")
        base = "" if self.where == "recipe" else f"{self.where}."
        given = {**(absent or {}), **self.value}
        for name in names:
            if name not in given:
                raise CheckpointError(self.where, f"must have `{name}`")
        for name in self.value:
            if name not in names:
                raise CheckpointError(self.where, "must have known keys only", f"`{visible(name)}`")
        return {name: Stored(given[name], base + name) for name in names}

    def items(self) -> list[Stored]:
        """The values of a list."""
        if not isinstance(self.value, list):
            raise self.fail("be a list")
        return [Stored(value, f"{self.where}[{i}]") for i, value in enumerate(self.value)]

    def entries(self) -> list[tuple[str, Stored]]:
        """The keys of an object and their values."""
        if not isinstance(self.value, dict):
            raise self.fail("be an object")
        return [(key, Stored(value, f"{self.where}[{visible(key)}]")) for key, value in self.value.items()]

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.fail("be a text")
        return self.value

    def texts(self) -> list[str]:
        """A list of unique texts."""
        found: set[str] = set()
        for item in self.items():
            if item.text() in found:
                raise item.fail(f"differ from the others of `{self.where}`")
            found.add(item.value)
        return list(self.value)

    def one_of(self, names: Sequence[str]) -> str:
        if self.text() not in names:
            raise self.fail(f"be one of {', '.join(f'`{name}`' for name in names)}")
        return str(self.value)

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.fail("be true or false")
        return self.value

    def whole(self) -> int:
        """A whole number of at least 1."""
        if type(self.value) is not int or not 0 < self.value < 2**31:
            raise self.fail("be a whole number, at least 1")
        return self.value

    def number(self) -> float:
        """A finite number."""
        try:
            if type(self.value) in (int, float) and math.isfinite(self.value):
                return float(self.value)
        except OverflowError:
            pass
        raise self.fail("be a finite number")

    def share(self) -> float:
        """A number from 0 to 1."""
        if not 0.0 <= self.number() <= 1.0:
            raise self.fail("be from 0 to 1")
        return self.number()

    def numbers(self, count: int | None = None) -> Array:
        """A list of `count` finite numbers."""
        found = np.array([item.number() for item in self.items()], np.float64)
        if count is not None and len(found) != count:
            raise self._count(f"{count} number{'s' * (count != 1)}")
        return found

    def positive(self, count: int) -> Array:
        """A list of `count` numbers above 0."""
        found = self.numbers(count)
        if (found <= 0.0).any():
            raise self.items()[int(np.argmax(found <= 0.0))].fail("be above 0")
        return found

    def flags(self, count: int) -> Array:
        """A list of `count` booleans."""
        found = np.array([item.flag() for item in self.items()], bool)
        if len(found) != count:
            raise self._count(f"{count} boolean{'s' * (count != 1)}")
        return found

    def _count(self, what: str) -> CheckpointError:
        return CheckpointError(self.where, f"must have {what}", f"{len(self.value)}")


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "`null`", True: "`true`", False: "`false`"}[value]
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return f"`{visible(str(value))}`"
