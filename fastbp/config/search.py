"""A sweep of a configuration: its space, sampler and pruner, checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastbp.config.build import LBFGSSettings, Plan
from fastbp.config.check import fail
from fastbp.config.naming import named
from fastbp.config.schema import Config
from fastbp.config.search_space import Space, space_of_sweep
from fastbp.config.searchers import PRUNERS, SAMPLERS, TRIALS, Grid
from fastbp.config.space import SHARED, SWEEP
from fastbp.config.text import Text


@dataclass(frozen=True)
class Search:
    """A sweep: its configuration, and how the space is searched."""

    plan: Plan
    space: Space
    sampler: Any
    pruner: Any

    @property
    def seed(self) -> int:
        """Of the sampler."""
        said = self.plan.config.sweep
        assert said is not None
        return self.plan.config.seed if said.seed is None else said.seed

    @cached_property
    def points(self) -> list[dict[str, Any]] | None:
        """Every combination, where the sampler goes through all."""
        return self.space.points() if isinstance(self.sampler, Grid) else None

    @property
    def trials(self) -> int:
        """Runs of the study."""
        said = self.plan.config.sweep
        assert said is not None
        if self.points is None:
            return TRIALS if said.trials is None else said.trials
        return len(self.points) if said.trials is None else min(said.trials, len(self.points))

    @property
    def threads(self) -> int:
        """Of a run."""
        return self.plan.config.trainer.threads or 1

    @property
    def keeps(self) -> bool:
        """Whether folders of runs stay."""
        said = self.plan.config.sweep
        assert said is not None
        return said.keep == "run"

    @property
    def packable(self) -> bool:
        """Whether runs may be trained as one pack."""
        shared = any(key.path[0] == "trainer" and key.path[1] in SHARED for key in self.space.keys)
        stepless = isinstance(self.plan.optimizer, LBFGSSettings)
        drawn = any(key.path[:2] == ("trainer", "optimizer") and "lbfgs" in str(key.part) for key in self.space.keys)
        return self.space.packable and not (shared or stepless or drawn)


def search_of(plan: Plan, probe: bool = True) -> Search:
    """The sweep of a configuration; refuses one whose values are no configurations, if it is to `probe` them."""
    text, sweep = plan.text, plan.config.sweep
    if sweep is None:
        raise fail(text, ("sweep",), "must be given, with a `space` of what is searched")
    found = Search(plan, *check_sweep(text, plan.config))
    if probe:
        found.space.check()
    if found.points is not None and not found.points:
        raise fail(text, SWEEP, "must have a combination")
    return found


def check_sweep(text: Text, config: Config) -> tuple[Space, Any, Any]:
    """Check the section: its space, sampler and pruner."""
    sweep = config.sweep
    assert sweep is not None
    if config.pack is not None:
        raise fail(text, ("pack",), "must not be given together with `sweep`, which has packs of its own")
    if config.trainer.time_limit is not None:
        must = "must not be given together with `sweep`, of which `--time-limit` is one"
        raise fail(text, ("trainer", "time_limit"), must)
    if not sweep.space:
        raise fail(text, SWEEP, "must have a key of the configuration, such as `trainer.optimizer.lr`", "none")
    sampler = named(text, ("sweep", "sampler"), sweep.sampler, SAMPLERS)
    pruner = named(text, ("sweep", "pruner"), sweep.pruner, PRUNERS)
    return space_of_sweep(text, sweep.space), sampler, pruner
