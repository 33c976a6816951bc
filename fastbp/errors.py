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
    ├── ForkError          (RuntimeError)          the process: forked while a thread was writing
    └── DependencyError    (ImportError)           a package that an extra would have installed

`DataWarning` is a warning: what was found in a table and was not refused.

Each is also the built-in error in brackets, so `except ValueError` catches what a Python user expects it to.
A shape error is a data error because what is wrong is an array handed in. Layer sizes that clash are
settings: they raise `ConfigError`.

A message is one sentence without a full stop, and where there is one, a hint on a second line. It is made of fields, of
which an error has those that apply; each is a text as it is shown, without control characters:

    c.yaml:3: `trainer.epochs` must be at least 1, got `0`
    hint: did you mean `max_epochs`?

    place    c.yaml:3           file and line, or what else holds `where`
    where    trainer.epochs     the argument, key or file
    must     must be at least 1
    got      `0`                what it is instead
    hint     did you mean `max_epochs`?

A sentence of another form is `must` without `where`. Code that knows better where a value came from raises the error
again `at` the other place. Values come from files, tables and arguments, so what a terminal would act on is escaped in
every message, and long ones are cut in the middle.
"""

from __future__ import annotations

import copy
import difflib
import operator
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

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
    "line",
    "not_one_of",
    "tell",
    "visible",
    "whole_number",
]

LONGEST = 2000  # characters of a message's line
BETWEEN = ("fastbp", "sklearn", "joblib")  # packages, no line of which is the user's

Error = TypeVar("Error", bound="FastbpError")


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


def line(text: str) -> str:
    """A text as a line of a message, escaped and cut to a readable length.

    Examples
    --------
    >>> line("`a\\x07` must be `b`")
    '`a\\\\x07` must be `b`'
    """
    text = escaped(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 255]} ... {text[-250:]}"


class FastbpError(Exception):
    """Root of every error that fastbp raises on purpose; the fields of a message are explained in this module.

    Parameters
    ----------
    where : str or path
        What the error is about; or, alone, a whole sentence.
    must : str, optional
        What is said of it, which nearly always begins with "must".
    got, hint, place : str, optional

    Examples
    --------
    >>> error = ConfigError("epochs", "must be at least 1", "`0`")
    >>> print(error)
    `epochs` must be at least 1, got `0`
    >>> print(error.at(where="trainer.epochs", place="c.yaml:3"))
    c.yaml:3: `trainer.epochs` must be at least 1, got `0`
    """

    def __init__(
        self,
        where: object = "",
        must: str | None = None,
        got: str | None = None,
        hint: str | None = None,
        place: str | None = None,
    ) -> None:
        named, said = (None, where) if must is None else (where, must)
        self.where = None if named is None else escaped(str(named))
        self.must = escaped(str(said))
        self.got, self.hint, self.place = (text and escaped(text) for text in (got, hint, place))
        before = (f"{self.place}: " if place else "") + ("" if self.where is None else f"`{self.where}` ")
        lines = [f"{before}{self.must}" + (f", got {self.got}" if got else ""), f"hint: {self.hint}"]
        super().__init__("\n".join(map(line, lines if hint else lines[:1])))

    @property
    def fields(self) -> dict[str, str | None]:
        """What an error of another class is made of to say the same."""
        return {name: getattr(self, name) for name in ("where", "must", "got", "hint", "place")}

    def at(self: Error, **fields: str | None) -> Error:
        """The same error with another `where`, `place` or other field."""
        error = copy.copy(self)
        FastbpError.__init__(error, **(self.fields | fields))
        return error

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would make it anew of its message alone.
        return _blank, (type(self),), {**vars(self), "args": self.args}


def _blank(cls: type[Error]) -> Error:
    return cls.__new__(cls)


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

    def __init__(self, message: object = "", hint: str | None = None) -> None:
        self.said, self.hint = str(message), hint
        super().__init__("\n".join(map(line, [self.said, f"hint: {hint}"] if hint else [self.said])))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.said, self.hint)


def tell(warning: DataWarning) -> None:
    """Warn at the line that led here from outside of this package, and of what may run it between."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(warning, stacklevel=level)


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
    hint : str, optional
    """

    def __init__(self, message: str, step: int, layer: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.step = step
        self.layer = layer


class FileError(FastbpError, OSError):
    """A file cannot be written.

    Parameters
    ----------
    message : str
        The sentence to show.
    errno, strerror, filename
        As in `OSError`.
    hint : str, optional
    """

    # Names of this class in front of those of `OSError`, which are outside of `vars` and would not be pickled.
    errno: int | None = None
    strerror: str | None = None
    filename: str | None = None

    def __init__(
        self,
        message: str,
        errno: int | None = None,
        strerror: str | None = None,
        filename: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.errno, self.strerror, self.filename = errno, strerror, filename

    @classmethod
    def of(cls, error: OSError, path: object) -> FileError:
        """The error about a file, from an error of the system."""
        why = error.strerror or str(error)
        return cls(f"`{path}` must be a file that can be written ({why})", error.errno, why, str(path))


class ForkError(FastbpError, RuntimeError):
    """A fork has left data half written."""


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
    close = difflib.get_close_matches(value.lower(), names, n=1) if isinstance(value, str) else []
    must = f"must be one of {', '.join(f'`{name}`' for name in names)}"
    hint = f"did you mean `{close[0]}`?" if close else None
    return ConfigError(where, must, f"`{visible(brief(value, str))}`", hint)


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
        raise ConfigTypeError(where, "must be a whole number", f"`{brief(value)}`") from None
