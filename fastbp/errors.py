"""The errors fastbp raises on purpose, by whose problem it is.

    FastbpError
    ├── ConfigError        (ValueError)            a setting: an argument, a config key, layers that clash
    │   └── ConfigTypeError    (TypeError)         ... of the wrong type
    ├── DataError          (ValueError)            an array or a data file
    │   ├── DataTypeError      (TypeError)         ... whose elements are of the wrong type
    │   └── ShapeError                             ... of the wrong shape
    ├── CheckpointError    (ValueError)            a saved network or run: damaged, or of another network
    ├── DivergedError      (FloatingPointError)    the run itself: a loss, gradient or update that is not finite
    ├── FileError          (OSError)               a file that cannot be written: a full disk, no permission
    ├── PlanError          (AssertionError)        compiled code: an op that differs from its twin in NumPy
    ├── ForkError          (RuntimeError)          the process: forked beside threads that it would need
    └── DependencyError    (ImportError)           a package that an extra would have installed

`DataWarning` is a warning: what was found in a table and was not refused.

Each is also the built-in error in brackets, so `except ValueError` catches what a Python user expects it to.
A shape error is a data error because what is wrong is an array handed in. Layer sizes that clash are
settings: they raise `ConfigError`.

A message is one sentence without a full stop: place, requirement and value, in backquotes. A second line may start with
``hint:``. Values come from files, tables and arguments, so control characters are escaped in every message, and long
ones are cut in the middle.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Iterable

__all__ = [
    "CheckpointError",
    "ConfigError",
    "ConfigTypeError",
    "DataError",
    "DataTypeError",
    "DataWarning",
    "DependencyError",
    "DivergedError",
    "FastbpError",
    "FileError",
    "ForkError",
    "PlanError",
    "ShapeError",
    "brief",
    "escaped",
    "not_one_of",
    "sentence",
    "visible",
    "whole_number",
]

LONGEST = 2000  # characters of a message's line


def escaped(text: str) -> str:
    """A text with invisible characters escaped, line ends too.

    Examples
    --------
    >>> escaped("two\\nlines \\x1b[2J")
    'two\\\\nlines \\\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def visible(text: str, most: int = 60) -> str:
    """A text as a value of a message: invisible characters are escaped, long texts are cut.

    Examples
    --------
    >>> visible("two\\nlines")
    'two\\\\nlines'
    """
    return escaped(text if len(text) <= most else text[: most - 3] + "...")


def sentence(message: str) -> str:
    """A message ready to be shown: a line and a hint, escaped and cut to a readable length.

    Examples
    --------
    >>> print(sentence("`a\\x07` must be `b`\\nhint: none"))
    `a\\x07` must be `b`
    hint: none
    """
    first, sign, hint = message.rpartition("\nhint: ")
    lines = (escaped(first), "hint: " + escaped(hint)) if sign else (escaped(message),)
    return "\n".join(x if len(x) <= LONGEST else f"{x[: LONGEST - 255]} ... {x[-250:]}" for x in lines)


class FastbpError(Exception):
    """Root of every error that fastbp raises on purpose."""

    def __init__(self, message: object = "") -> None:
        super().__init__(sentence(str(message)))


class ConfigError(FastbpError, ValueError):
    """A setting has a value that is not allowed."""


class ConfigTypeError(ConfigError, TypeError):
    """A setting has a value of the wrong type."""


class DataError(FastbpError, ValueError):
    """An array or a data file is not what the network can use."""


class DataTypeError(DataError, TypeError):
    """The elements of an array are of a type that cannot be used."""


class ShapeError(DataError):
    """An array has the wrong shape."""


class DataWarning(UserWarning):
    """What was found in a table that whoever gave it may not know."""

    def __init__(self, message: object = "") -> None:
        super().__init__(sentence(str(message)))


class CheckpointError(FastbpError, ValueError):
    """A saved network or run cannot be read, or belongs to another network."""


class DivergedError(FastbpError, FloatingPointError):
    """The loss, a gradient or an update was not finite; parameters and state are those before that step.

    Parameters
    ----------
    message : str
        The sentence to show.
    step : int
        The optimiser step that was stopped, counted from 0.
    layer : str
        The first layer with a value that is not finite, such as ``"2"``; the last where only the loss is not.
    """

    def __init__(self, message: str, step: int, layer: str) -> None:
        super().__init__(message)
        self.step = step
        self.layer = layer

    def __reduce__(self) -> tuple[type[DivergedError], tuple[str, int, str]]:
        # The default rebuilds from the message alone, so the error could not be unpickled.
        return type(self), (str(self), self.step, self.layer)


class FileError(FastbpError, OSError):
    """A file cannot be written.

    Parameters
    ----------
    message : str
        The sentence to show.
    errno, strerror, filename
        As in `OSError`.
    """

    def __init__(
        self, message: str, errno: int | None = None, strerror: str | None = None, filename: str | None = None
    ) -> None:
        super().__init__(message)
        self.errno, self.strerror, self.filename = errno, strerror, filename

    @classmethod
    def of(cls, error: OSError, path: object) -> FileError:
        """The error about a file, from an error of the system."""
        why = error.strerror or str(error)
        return cls(f"`{path}` must be a file that can be written ({why})", error.errno, why, str(path))

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[FileError], tuple[str, int | None, str | None, str | None]]:
        return type(self), (str(self), self.errno, self.strerror, self.filename)


class ForkError(FastbpError, RuntimeError):
    """A fork has lost threads that are needed, or left data half written."""


class PlanError(FastbpError, AssertionError):
    """An op of a plan does not do what its twin in NumPy does, or has none; see `FASTBP_PLAN`."""


class DependencyError(FastbpError, ImportError):
    """A package is needed that is not installed."""


def brief(value: object, words: Callable[[object], str] = repr, limit: int = 200) -> str:
    """Return a value's repr for a message, cut if long; its type if `repr` raises.

    Examples
    --------
    >>> brief([1, 2])
    '[1, 2]'
    >>> brief("x" * 1000, limit=20)
    "'xxxxxxxx…xxxxxxxx'"
    """
    try:
        text = words(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    if len(text) <= limit:
        return text
    half = (limit - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def not_one_of(where: str, value: object, allowed: Iterable[str]) -> ConfigError:
    """Return the error for a `value` not among the `allowed` names, with the nearest as a hint.

    Examples
    --------
    >>> print(not_one_of("activation", "rleu", ["relu", "tanh"]))
    `activation` must be one of `relu`, `tanh`, got `rleu`
    hint: did you mean `relu`?
    """
    names = list(allowed)
    message = f"`{where}` must be one of {', '.join(f'`{name}`' for name in names)}, got `{visible(brief(value, str))}`"
    close = difflib.get_close_matches(value.lower(), names, n=1) if isinstance(value, str) else []
    if close:
        message += f"\nhint: did you mean `{close[0]}`?"
    return ConfigError(message)


def whole_number(where: str, value: object) -> int:
    """Return a whole number of any type as an int, or raise the error for other values.

    Examples
    --------
    >>> whole_number("epochs", 3)
    3
    >>> whole_number("epochs", 2.5)
    Traceback (most recent call last):
    fastbp.errors.ConfigTypeError: `epochs` must be a whole number, got `2.5`
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ConfigTypeError(f"`{where}` must be a whole number, got `{brief(value)}`") from None
