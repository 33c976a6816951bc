"""Gates as layer specs: they join branches of a network or split a signal, and have no parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fastbp.errors import ConfigError, ShapeError
from fastbp.spec.checks import real, whole
from fastbp.spec.layers import Layer


@dataclass(frozen=True)
class Gate(Layer):
    """An elementwise layer of signals of the same width."""

    arity: ClassVar[tuple[int, int | None]] = (2, 2)

    def of(self, widths: Sequence[int], names: Sequence[str]) -> int:
        self.check_count(widths)
        if len(set(widths)) > 1:
            shown = " and ".join(f"`{width}` of {name}" for width, name in zip(widths, names, strict=True))
            raise ShapeError(self.kind, "must have signals of the same width", shown)
        return widths[0]


@dataclass(frozen=True)
class Add(Gate):
    """z = x + y, and so on for more signals; each gets the cotangent of z unchanged."""

    kind: ClassVar[str] = "add"
    arity: ClassVar[tuple[int, int | None]] = (2, None)


@dataclass(frozen=True)
class Subtract(Gate):
    """z = x - y."""

    kind: ClassVar[str] = "subtract"


@dataclass(frozen=True)
class Multiply(Gate):
    """z = x ∘ y, number by number; the cotangent of each signal is that of z times the other."""

    kind: ClassVar[str] = "multiply"


@dataclass(frozen=True)
class Divide(Gate):
    """z = x / y, number by number."""

    kind: ClassVar[str] = "divide"


@dataclass(frozen=True)
class Concat(Gate):
    """The features of several signals, concatenated."""

    kind: ClassVar[str] = "concat"
    arity: ClassVar[tuple[int, int | None]] = (2, None)

    def of(self, widths: Sequence[int], names: Sequence[str]) -> int:
        self.check_count(widths)
        return sum(widths)


@dataclass(frozen=True)
class Slice(Layer):
    """A range of the features.

    Parameters
    ----------
    start : int, >= 0
        The first feature.
    stop : int, > start
        The end, exclusive.
    """

    kind: ClassVar[str] = "slice"
    start: int
    stop: int

    def __post_init__(self) -> None:
        self._check("start", whole, 0)
        self._check("stop", whole, 1)
        if self.stop <= self.start:
            raise ConfigError("Slice.stop", f"must be above `start`, {self.start}", f"`{self.stop}`")

    def outputs(self, inputs: int) -> int:
        if self.stop > inputs:
            raise ShapeError("Slice.stop", f"must be at most {inputs}, the width of its signal", f"`{self.stop}`")
        return self.stop - self.start


@dataclass(frozen=True)
class Sum(Layer):
    """The sum of the features of a row: one number."""

    kind: ClassVar[str] = "sum"

    def outputs(self, inputs: int) -> int:
        return 1


@dataclass(frozen=True)
class Mean(Layer):
    """The mean of the features of a row: one number."""

    kind: ClassVar[str] = "mean"

    def outputs(self, inputs: int) -> int:
        return 1


@dataclass(frozen=True)
class Repeat(Layer):
    """One number per row, broadcast to every feature.

    Parameters
    ----------
    features : int, >= 1
    """

    kind: ClassVar[str] = "repeat"
    features: int

    def __post_init__(self) -> None:
        self._check("features", whole, 1)

    def outputs(self, inputs: int) -> int:
        if inputs != 1:
            raise ShapeError("Repeat", "must have a signal of width 1", f"`{inputs}`")
        return int(self.features)


@dataclass(frozen=True)
class Affine(Layer):
    """y = a x + b with numbers that are not learned.

    Parameters
    ----------
    factor : float
        a.
    shift : float
        b.
    """

    kind: ClassVar[str] = "affine"
    factor: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        self._check("factor", real)
        self._check("shift", real)


@dataclass(frozen=True)
class Reciprocal(Layer):
    """y = a / x, number by number.

    Parameters
    ----------
    numerator : float
        a.
    """

    kind: ClassVar[str] = "reciprocal"
    numerator: float = 1.0

    def __post_init__(self) -> None:
        self._check("numerator", real)
