"""Numbers as waves: layers that make several numbers of each column of numbers, all of them learned.

What is embedded stands first, column by column, in the order of a layer's setting `columns`. The other settings alone
are what embeds the numbers of a table, whose columns are then known: `embed_numbers` of configurations and estimators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import pi
from typing import Any, ClassVar

import numpy as np

from fastbp.engine.blocks import Stack
from fastbp.errors import ConfigError, ConfigTypeError, brief
from fastbp.spec.bins import QuantileBins
from fastbp.spec.checks import positive, whole
from fastbp.spec.elsewhere import KnownWords
from fastbp.spec.initial import Init
from fastbp.spec.layers import ZEROS, Draws, Layer


@dataclass(frozen=True)
class OfColumns(Layer):
    """A layer of some columns, or of all."""

    columns: Any = None

    def __post_init__(self) -> None:
        if self.columns is None:
            return
        where = f"{type(self).__name__}.columns"
        given = self.columns.tolist() if isinstance(self.columns, np.ndarray) else self.columns
        if not isinstance(given, Sequence) or isinstance(given, str) or not given:
            raise ConfigTypeError(where, "must be a list of columns, or None for all", f"`{brief(self.columns)}`")
        columns = tuple(whole(f"{where}[{i}]", column, 0) for i, column in enumerate(given))
        for column in columns:
            if columns.count(column) > 1:
                raise ConfigError(where, "must name each column once", f"`{column}` twice")
        object.__setattr__(self, "columns", columns)

    def of_inputs(self, inputs: int) -> tuple[int, ...]:
        """Which of so many columns are embedded."""
        columns: tuple[int, ...] = tuple(range(inputs)) if self.columns is None else self.columns
        for column in columns:
            if column >= inputs:
                raise ConfigError(
                    f"{type(self).__name__}.columns", f"must be below {inputs}, the inputs", f"`{column}`"
                )
        return columns

    def settings(self) -> dict[str, Any]:
        return {**self.__dict__, "columns": None if self.columns is None else list(self.columns)}


def behind(numbers: Sequence[int], codes: Sequence[int]) -> tuple[int, ...]:
    """Where columns of numbers are behind an embedding of `codes`."""
    return tuple(column - sum(code < column for code in codes) for column in numbers)


class Waves(KnownWords):
    """Settings of a layer of waves, which embed the numbers of a table."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        for name, how, *least in (("frequencies", whole, 1), ("features", whole, 1), ("sigma", positive)):
            if hasattr(self, name):
                checked = how(f"{type(self).__name__}.{name}", getattr(self, name), *least)
                object.__setattr__(self, name, checked)

    def layer(self, X: Any, numbers: Sequence[int], codes: Sequence[int] = ()) -> Layer | None:
        """The layer for rows of which some columns are `numbers`, behind an embedding of `codes`; None without any."""
        if not numbers:
            return None
        settings: Any = self
        made: Layer = LAYERS[self.kind](behind(numbers, codes), **asdict(settings))
        return made


@dataclass(frozen=True, kw_only=True)
class PBLDNumbers(Waves):
    """16 waves of each number, 3 linear functions of these, and the number as it is, as in RealMLP.

    See `fb.PBLD`.
    """

    kind: ClassVar[str] = "pbld"
    frequencies: int = 16
    features: int = 3
    sigma: float = 0.1


@dataclass(frozen=True)
class PBLD(PBLDNumbers, OfColumns):
    """Numbers as linear functions of waves, and as they are: y = [h W + β of each column, x], h = cos(2π w x + b).

    The numerical embedding of RealMLP (Holzmüller et al., 2024): periodic, with a bias, linear, dense. Each column has
    W, β, w and b of its own.

    Parameters
    ----------
    columns : list of int, optional
        Which columns are embedded, by default all. The others pass on, too.
    frequencies : int, >= 1
        How many waves a column becomes.
    features : int, >= 1
        How many numbers these become.
    sigma : float, > 0
        Standard deviation of w at first. b is between ±π, W and β between ±1/√frequencies.

    Examples
    --------
    >>> import fastbp as fb
    >>> net = fb.Network([fb.PBLD([0, 2]), fb.Linear(1)], inputs=3, seed=0)
    >>> {name: array.shape for name, array in net.parameters.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'0.frequency': (2, 16), '0.phase': (2, 16), '0.weight': (2, 16, 3), '0.bias': (2, 3), '1.weight': (9, 1),
     '1.bias': (1,)}
    """

    decays: ClassVar[tuple[str, ...]] = ("weight",)

    def __post_init__(self) -> None:
        super().__post_init__()
        OfColumns.__post_init__(self)

    def outputs(self, inputs: int) -> int:
        return inputs + self.features * len(self.of_inputs(inputs))

    def draws(self, inputs: int) -> Draws:
        count, waves = len(self.of_inputs(inputs)), self.frequencies
        return {
            "frequency": (Init("normal", self.sigma), Stack((count, waves)), 1, waves),
            "phase": (Init("uniform", pi), Stack((count, waves)), 1, waves),
            "weight": (Init("torch"), Stack((count, waves, self.features)), waves, self.features),
            "bias": (Init("torch"), Stack((count, self.features)), waves, self.features),
        }


@dataclass(frozen=True, kw_only=True)
class CosineNumbers(Waves):
    """16 waves of each number, which are 0 at first, and the number as it is, as in TabPack.

    See `fb.CosineEmbedding`.
    """

    kind: ClassVar[str] = "cosine"
    frequencies: int = 16
    sigma: float = 1.0


@dataclass(frozen=True)
class CosineEmbedding(CosineNumbers, OfColumns):
    """Numbers as waves, and as they are: y = [h a + c of each column, x], h = cos(2π (w x + b)).

    The embedding of TabPack. a and c are 0 at first, so that a network begins with plain numbers.

    Parameters
    ----------
    columns : list of int, optional
        Which columns are embedded, by default all. The others pass on, too.
    frequencies : int, >= 1
        How many waves a column becomes.
    sigma : float, > 0
        Standard deviation of w at first, before all beyond ±3σ is drawn again; b is 0.

    Examples
    --------
    >>> import fastbp as fb
    >>> net = fb.Network([fb.CosineEmbedding(frequencies=8), fb.Linear(1)], inputs=2, seed=0)
    >>> net.parameters["0.frequency"].shape, net.parameters["1.weight"].shape
    ((2, 8), (18, 1))
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        OfColumns.__post_init__(self)

    def outputs(self, inputs: int) -> int:
        return inputs + self.frequencies * len(self.of_inputs(inputs))

    def draws(self, inputs: int) -> Draws:
        shape = Stack((len(self.of_inputs(inputs)), self.frequencies))
        fans = 1, self.frequencies
        return {
            "frequency": (Init("truncated_normal_3", self.sigma), shape, *fans),
            "phase": (ZEROS, shape, *fans),
            "weight": (ZEROS, shape, *fans),
            "bias": (ZEROS, shape, *fans),
        }


@dataclass(frozen=True, kw_only=True)
class PeriodicNumbers(Waves):
    """24 functions of each number, each a Fourier series of 48 waves where that is above 0.

    See `fb.PeriodicEmbedding`.
    """

    kind: ClassVar[str] = "periodic"
    frequencies: int = 48
    features: int = 24
    sigma: float = 0.01


@dataclass(frozen=True)
class PeriodicEmbedding(PeriodicNumbers, OfColumns):
    """Numbers as what of Fourier series is above 0: y = max(0, cos(2π w x) A + sin(2π w x) B + β) of each column.

    Periodic, linear, ReLU (Gorishniy et al., 2022): each column has w, A, B and β of its own. Behind what becomes of
    them stand the other columns.

    Parameters
    ----------
    columns : list of int, optional
        Which columns are embedded, by default all.
    frequencies : int, >= 1
        How many frequencies w a column has.
    features : int, >= 1
        How many numbers a column becomes.
    sigma : float, > 0
        Standard deviation of w at first, before all beyond ±3σ is drawn again. A, B and β are between
        ±1/√(2 frequencies).

    Examples
    --------
    >>> import fastbp as fb
    >>> net = fb.Network([fb.PeriodicEmbedding([1], features=4), fb.Linear(1)], inputs=3, seed=0)
    >>> net.parameters["0.sine"].shape, net.parameters["1.weight"].shape
    ((1, 48, 4), (6, 1))
    """

    decays: ClassVar[tuple[str, ...]] = ("cosine", "sine")

    def __post_init__(self) -> None:
        super().__post_init__()
        OfColumns.__post_init__(self)

    def outputs(self, inputs: int) -> int:
        return inputs + (self.features - 1) * len(self.of_inputs(inputs))

    def draws(self, inputs: int) -> Draws:
        count, waves = len(self.of_inputs(inputs)), self.frequencies
        matrices = Init("torch"), Stack((count, waves, self.features)), 2 * waves, self.features
        return {
            "frequency": (Init("truncated_normal_3", self.sigma), Stack((count, waves)), 1, waves),
            "cosine": matrices,
            "sine": matrices,
            "bias": (Init("torch"), Stack((count, self.features)), 2 * waves, self.features),
        }


LAYERS: dict[str, Any] = {made.kind: made for made in (PBLD, CosineEmbedding, PeriodicEmbedding)}
EMBEDDERS: dict[str, Any] = {made.kind: made for made in (QuantileBins, PBLDNumbers, CosineNumbers, PeriodicNumbers)}
