"""Models with recipes: the raw columns that all of their members read, and what becomes of these for each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fastbp.errors import ConfigError, visible
from fastbp.export.model import Model
from fastbp.export.recipe import preprocessing_of
from fastbp.export.steps import Outcome, Preprocessing, Raw


@dataclass(frozen=True)
class Tables:
    """What goes into a model with recipes and what comes out.

    Attributes
    ----------
    ways : tuple of Preprocessing
        For each recipe of the model.
    raws : tuple of Raw
        The columns that one of them reads at least.
    """

    ways: tuple[Preprocessing, ...]
    raws: tuple[Raw, ...]

    @property
    def outcome(self) -> Outcome:
        """What is predicted, in the terms of the first."""
        return self.ways[0].outcome

    @property
    def array(self) -> bool:
        """Whether rows are those of one array of numbers."""
        return len(self.raws) == 1 and self.raws[0].width > 1


def tables_of(model: Model, numbers: Collection[str] = ()) -> Tables:
    """The tables of a model with recipes; `numbers` are columns of categories that are given as numbers."""
    ways = tuple(preprocessing_of(recipe, model.dtype, numbers, model.array) for recipe in model.recipes)
    raws: dict[str, Raw] = {}
    for way in ways:
        for raw in way.raws:
            known = raws.setdefault(raw.name, raw)
            if known != raw:
                must = f"must have members that read column `{visible(raw.name)}` alike, as {_kind(known)}"
                raise ConfigError("model", must, _kind(raw))
    return Tables(ways, tuple(raws.values()))


def _kind(raw: Raw) -> str:
    return f"{raw.kind}s" if raw.width == 1 else f"{raw.width} columns of {raw.kind}s"
