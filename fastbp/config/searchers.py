"""The section `sweep` of configurations, and the samplers and pruners that it names; Optuna is not needed for these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from msgspec import field

from fastbp.config.keys import Named, Section, Seed, Whole, about
from fastbp.errors import ConfigError
from fastbp.spec.checks import real, whole

TRIALS = 100  # of a study whose file does not say how many


class Sweep(Section):
    """A search for the best settings: a study of many runs."""

    trials: Annotated[
        Whole | None,
        about("Number of runs in all, by whichever processes; by default 100, with `grid` every combination."),
    ] = None
    sampler: Annotated[
        Named, about("How settings are chosen: `tpe`, `random`, `grid`, `cmaes`, `gp`, `nsga2` or `qmc`.")
    ] = "tpe"
    pruner: Annotated[
        Named,
        about(
            "Which runs end early, by their epochs so far: `median`, `percentile`, `halving`, `hyperband`, `threshold`"
            " or `none`.",
            {"name": "median", "warmup": 5},
        ),
    ] = "median"
    seed: Annotated[Seed | None, about("Seed of the sampler; by default the `seed` of the run.")] = None
    together: Annotated[
        Whole | None,
        about(
            "Runs that a process trains at once, as a pack; by default several where the space has keys of `network`"
            " and `trainer` only."
        ),
    ] = None
    keep: Annotated[
        Literal["run", "result"], about("What is kept of each run: its whole folder, or only its result.")
    ] = "run"
    space: Annotated[
        dict[str, Any],
        about(
            "Key of the configuration -> what it is chosen from: a list, or `{choice: [...]}`; `{log: [low, high]}`,"
            " `{uniform: [low, high]}`, `{int: [low, high]}` or `{log_int: [low, high]}`;"
            " for a list of equal numbers `{width: ..., depth: ...}`."
            " Values of a list, and settings in them, may be chosen themselves; with `when: {key: value}` a key is"
            " there only where another has such a value."
        ),
    ] = field(default_factory=dict)


@dataclass(frozen=True)
class Tpe:
    """A model of good and of other settings (Bergstra et al., 2011): good where the ratio of their densities is."""

    kind: ClassVar[str] = "tpe"
    startup: int = 10
    candidates: int = 24

    def __post_init__(self) -> None:
        whole("Tpe.startup", self.startup, 0)
        whole("Tpe.candidates", self.candidates, 1)


@dataclass(frozen=True)
class Random:
    """Each setting by itself at random."""

    kind: ClassVar[str] = "random"


@dataclass(frozen=True)
class Grid:
    """Every combination once, of lists and whole numbers."""

    kind: ClassVar[str] = "grid"


@dataclass(frozen=True)
class CmaEs:
    """A normal distribution that moves towards good settings (Hansen, 2016); needs the package cmaes."""

    kind: ClassVar[str] = "cmaes"
    startup: int = 1

    def __post_init__(self) -> None:
        whole("CmaEs.startup", self.startup, 0)


@dataclass(frozen=True)
class Gp:
    """A Gaussian process, where it expects the largest improvement; needs scipy and torch."""

    kind: ClassVar[str] = "gp"
    startup: int = 10

    def __post_init__(self) -> None:
        whole("Gp.startup", self.startup, 0)


@dataclass(frozen=True)
class Nsga2:
    """Generations of settings that cross and mutate (Deb et al., 2002)."""

    kind: ClassVar[str] = "nsga2"
    population: int = 50

    def __post_init__(self) -> None:
        whole("Nsga2.population", self.population, 2)


@dataclass(frozen=True)
class Qmc:
    """Points that are spread evenly, those of Sobol; needs scipy."""

    kind: ClassVar[str] = "qmc"


@dataclass(frozen=True)
class Never:
    """Every run to its end."""

    kind: ClassVar[str] = "none"


@dataclass(frozen=True)
class Median:
    """What is worse at its best than the median of others was at the same epoch, after `warmup` epochs of it."""

    kind: ClassVar[str] = "median"
    startup: int = 5
    warmup: int = 0
    every: int = 1

    def __post_init__(self) -> None:
        _check_waits(self)


@dataclass(frozen=True)
class Percentile:
    """What is not among the best `percentile` per cent at the same epoch."""

    kind: ClassVar[str] = "percentile"
    percentile: float = 25.0
    startup: int = 5
    warmup: int = 0
    every: int = 1

    def __post_init__(self) -> None:
        if not 0.0 < real("Percentile.percentile", self.percentile) <= 100.0:
            raise ConfigError("Percentile.percentile", "must be above 0 and at most 100", f"`{self.percentile}`")
        _check_waits(self)


@dataclass(frozen=True)
class Halving:
    """Of `reduction` runs that have come so far, one goes on (Li et al., 2020); the first rung is at `least` epochs."""

    kind: ClassVar[str] = "halving"
    least: int = 1
    reduction: int = 4

    def __post_init__(self) -> None:
        whole("Halving.least", self.least, 1)
        whole("Halving.reduction", self.reduction, 2)


@dataclass(frozen=True)
class Hyperband:
    """Successive halving from several first rungs (Li et al., 2018)."""

    kind: ClassVar[str] = "hyperband"
    least: int = 1
    reduction: int = 3

    def __post_init__(self) -> None:
        whole("Hyperband.least", self.least, 1)
        whole("Hyperband.reduction", self.reduction, 2)


@dataclass(frozen=True)
class Threshold:
    """What is below `lower` or above `upper`, or not a number, after `warmup` epochs."""

    kind: ClassVar[str] = "threshold"
    lower: float | None = None
    upper: float | None = None
    warmup: int = 0
    every: int = 1

    def __post_init__(self) -> None:
        if self.lower is None and self.upper is None:
            raise ConfigError("Threshold.upper", "must be given, or `lower`")
        for name in ("lower", "upper"):
            if getattr(self, name) is not None:
                real(f"Threshold.{name}", getattr(self, name))
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ConfigError("Threshold.upper", f"must be above `lower`, which is `{self.lower}`", f"`{self.upper}`")
        whole("Threshold.warmup", self.warmup, 0)
        whole("Threshold.every", self.every, 1)


def _check_waits(pruner: Any) -> None:
    name = type(pruner).__name__
    whole(f"{name}.startup", pruner.startup, 0)
    whole(f"{name}.warmup", pruner.warmup, 0)
    whole(f"{name}.every", pruner.every, 1)


SAMPLERS: dict[str, Any] = {cls.kind: cls for cls in (Tpe, Random, Grid, CmaEs, Gp, Nsga2, Qmc)}
PRUNERS: dict[str, Any] = {cls.kind: cls for cls in (Never, Median, Percentile, Halving, Hyperband, Threshold)}
