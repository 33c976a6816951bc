"""Optuna, imported when a sweep begins, and its samplers and pruners by our names.

A sampler is made anew for every trial, with a seed of the study's and the trial's number, so that what is chosen is a
function of these and of what the study knows by then: a process that was killed chooses the same when it comes back.
"""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Iterator
from typing import Any

from fastbp.config.search import Search
from fastbp.config.searchers import CmaEs, Gp, Halving, Hyperband, Median, Nsga2, Percentile, Qmc, Threshold, Tpe
from fastbp.errors import DependencyError

OLDEST = 5  # the first version of Optuna whose defaults are known here


def optuna() -> Any:
    """The package."""
    try:
        import optuna as found
    except ImportError:
        must = "a sweep needs optuna, which is not installed"
        raise DependencyError(must, hint='pip install "fastbp[sweep]"') from None
    version = str(found.__version__)
    if int(version.split(".")[0]) < OLDEST:
        must = f"a sweep needs optuna {OLDEST} or newer, and this is {version}"
        raise DependencyError(must, hint='pip install "fastbp[sweep]"')
    return found


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without what Optuna logs, and without its warnings of what may change in later versions."""
    found = optuna()
    before = found.logging.get_verbosity()
    found.logging.set_verbosity(found.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=found.exceptions.ExperimentalWarning)
            yield
    finally:
        found.logging.set_verbosity(before)


def seed_of(seed: int, number: int, name: str = "") -> int:
    """A seed of 32 bits for a trial, and for one of its settings."""
    hashed = hashlib.blake2b(f"{seed} {number} {name}".encode(), digest_size=4).digest()
    return int.from_bytes(hashed, "little")


class ByNumber:
    """A sampler whose choices for a trial depend on its number, and not on those that were made before.

    Parameters
    ----------
    sampler
        One of `fastbp.config.searchers`.
    seed : int
    points : list of dict, optional
        Every combination, of which each trial gets one.
    """

    def __init__(self, sampler: Any, seed: int, points: list[dict[str, Any]] | None = None) -> None:
        self.kind, self.seed, self.points = sampler, seed, points
        self._made: tuple[int, Any] | None = None

    def __str__(self) -> str:
        return str(self.kind.kind)

    def _of(self, number: int) -> Any:
        """The sampler of a trial."""
        if self._made is None or self._made[0] != number:
            self._made = number, made(self.kind, seed_of(self.seed, number), self.seed)
        return self._made[1]

    def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
        return {} if self.points is not None else self._of(trial.number).infer_relative_search_space(study, trial)

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
        return {} if self.points is not None else self._of(trial.number).sample_relative(study, trial, search_space)

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        if self.points is not None:
            return self.points[trial.number % len(self.points)][param_name]
        alone = made(self.kind, seed_of(self.seed, trial.number, param_name), self.seed)
        return alone.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Any, trial: Any) -> None:
        if self.points is None:
            self._of(trial.number).before_trial(study, trial)

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        if self.points is None:
            self._of(trial.number).after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Nothing: it has no state."""


def made(kind: Any, seed: int, base: int) -> Any:
    """A sampler of Optuna; `base` is the study's seed, of what all its samplers must have in common."""
    samplers = optuna().samplers
    with needing(kind), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(kind, Tpe):
            return samplers.TPESampler(n_startup_trials=kind.startup, n_ei_candidates=kind.candidates, seed=seed)
        if isinstance(kind, CmaEs):
            return samplers.CmaEsSampler(n_startup_trials=kind.startup, seed=seed, warn_independent_sampling=False)
        if isinstance(kind, Gp):
            return samplers.GPSampler(n_startup_trials=kind.startup, seed=seed)
        if isinstance(kind, Nsga2):
            return samplers.NSGAIISampler(population_size=kind.population, seed=seed)
        if isinstance(kind, Qmc):
            first = samplers.RandomSampler(seed=seed)
            words = {"independent_sampler": first, "warn_independent_sampling": False}
            return samplers.QMCSampler(scramble=True, seed=base % 2**32, **words)
        return samplers.RandomSampler(seed=seed)


NEEDS = {"cmaes": ("cmaes",), "gp": ("scipy", "torch"), "qmc": ("scipy",)}  # beside Optuna


@contextlib.contextmanager
def needing(kind: Any) -> Iterator[None]:
    """Say which package a sampler needs."""
    try:
        yield
    except ImportError:
        names = NEEDS.get(kind.kind, ())
        said = " and ".join(names)
        raise DependencyError(
            f"the sampler `{kind.kind}` needs {said}, which {'are' if len(names) > 1 else 'is'} not installed",
            hint=f"pip install {' '.join(names)}",
        ) from None


def check_packages(kind: Any) -> None:
    """Refuse a sampler whose packages are not there, before anything begins."""
    from importlib import import_module

    with needing(kind):
        for name in NEEDS.get(kind.kind, ()):
            import_module(name)


def sampler_of(search: Search) -> ByNumber:
    """The sampler of a sweep."""
    return ByNumber(search.sampler, search.seed, search.points)


def pruner_of(kind: Any, epochs: int | None) -> Any:
    """A pruner of Optuna; epochs are counted from 1."""
    pruners = optuna().pruners
    if isinstance(kind, Median | Percentile):
        share = 50.0 if isinstance(kind, Median) else kind.percentile
        return pruners.PercentilePruner(share, kind.startup, kind.warmup + 1, kind.every)
    if isinstance(kind, Halving):
        return pruners.SuccessiveHalvingPruner(kind.least, kind.reduction)
    if isinstance(kind, Hyperband):
        return pruners.HyperbandPruner(kind.least, "auto" if epochs is None else epochs, kind.reduction)
    if isinstance(kind, Threshold):
        return pruners.ThresholdPruner(kind.lower, kind.upper, kind.warmup + 1, kind.every)
    return pruners.NopPruner()


class Answers:
    """A trial of Optuna as what answers a space."""

    def __init__(self, trial: Any) -> None:
        self.trial = trial

    def choice(self, name: str, labels: tuple[Any, ...]) -> int:
        found = self.trial.suggest_categorical(name, labels)
        return next(i for i, label in enumerate(labels) if label is found or label == found)

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        return float(self.trial.suggest_float(name, low, high, log=log))

    def integer(self, name: str, low: int, high: int, log: bool) -> int:
        return int(self.trial.suggest_int(name, low, high, log=log))
