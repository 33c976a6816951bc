"""Checks of single settings: each returns the value in its right type, or raises one sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from inspect import signature
from pathlib import Path
from typing import Any

from fastbp.errors import ConfigError, ConfigTypeError, brief, whole_number


def whole(where: str, value: Any, least: int, bits: int = 63) -> int:
    """Check a whole number; compiled code counts in 63 bits."""
    number = whole_number(where, value)
    if number < least:
        raise ConfigError(where, f"must be at least {least}", f"`{brief(number)}`")
    if number >= 2**bits:
        raise ConfigError(where, f"must be below 2**{bits}", f"`{brief(number)}`")
    return number


def real(where: str, value: Any) -> float:
    """Check a finite number."""
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    scalar = getattr(value, "ndim", 0) == 0 and not isinstance(value, bool | str | bytes | type)
    if not scalar or kind not in "fiu" or not hasattr(value, "__float__"):
        raise ConfigTypeError(where, "must be a number", f"`{brief(value)}`")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf") if value > 0 else float("-inf")
    if number != number or number in (float("inf"), float("-inf")):
        raise ConfigError(where, "must be finite", f"`{number}`")
    return number


def chance(where: str, value: Any) -> float:
    """Check a probability below 1."""
    number = real(where, value)
    if not 0.0 <= number < 1.0:
        raise ConfigError(where, "must be at least 0 and below 1", f"`{number}`")
    return number


def seed_of(value: Any) -> int:
    """Check a seed: 64 bits."""
    return whole("seed", value, 0, 64)


def flag(where: str, value: Any) -> bool:
    """Check a switch."""
    if not isinstance(value, bool):
        raise ConfigTypeError(where, "must be True or False", f"`{brief(value)}`")
    return value


def positive(where: str, value: Any) -> float:
    """Check a number above 0."""
    number = real(where, value)
    if number <= 0.0:
        raise ConfigError(where, "must be above 0", f"`{number}`")
    return number


def small(where: str, value: Any) -> float:
    """Check an ε: above 0 and below 1."""
    number = positive(where, value)
    if number >= 1.0:
        hint = "the number of features is that of the layer before"
        raise ConfigError(where, "must be above 0 and below 1", f"`{number}`", hint=hint)
    return number


def from_zero(where: str, value: Any, below: float | None = None) -> float:
    """Check a number that is at least 0, and below a limit if there is one."""
    number = real(where, value)
    if number < 0.0 or (below is not None and number >= below):
        limit = f" and below {below:g}" if below is not None else ""
        raise ConfigError(where, f"must be at least 0{limit}", f"`{number}`")
    return number


def between(where: str, value: Any, low: float, high: float) -> float:
    """Check a number from `low` to `high`, both included."""
    number = real(where, value)
    if not low <= number <= high:
        raise ConfigError(where, f"must be between {low:g} and {high:g}", f"`{number}`")
    return number


FORMULA = r"[()+*/<>=,%^]|^\s*[-0-9]|\s-\s"  # characters of formulas, not of names


def path_of(where: str, value: Any) -> Path:
    """A path of a file or folder."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value) or "\0" in str(value):
        raise ConfigTypeError(where, "must be a path", f"`{brief(value)}`")
    return Path(value)


def path_ending_in(where: str, value: Any, *endings: str) -> Path:
    """A path of a file whose name has one of these endings."""
    file = path_of(where, value)
    if file.name in endings:
        raise ConfigError(where, "must have a name in front of its ending", f"`{file.name}`")
    if file.suffix not in endings:
        *others, last = (f"`{one}`" for one in endings)
        listed = f"{', '.join(others)} or {last}" if others else last
        raise ConfigError(where, f"must end in {listed}", f"`{file.name}`")
    return file


def takes(function: Any, count: int) -> bool:
    """Whether a function may be given so many arguments; True of one that does not say."""
    try:
        found = signature(function, follow_wrapped=False)
    except (TypeError, ValueError):  # a function of C
        return True
    try:
        found.bind(*range(count))
    except TypeError:
        return False
    return True


def texts(where: str, value: Any) -> list[str]:
    """Check a list of texts."""
    if isinstance(value, str) or not isinstance(value, Collection) or not all(isinstance(one, str) for one in value):
        raise ConfigTypeError(where, "must be a list of texts", f"`{brief(value)}`")
    return list(value)


def is_formula(text: str) -> bool:
    """Whether text is a formula, not a name."""
    return bool(re.search(FORMULA, text))


def signed(seed: int) -> int:
    """A 64-bit seed as a signed word."""
    return seed - 2**64 if seed >= 2**63 else seed
