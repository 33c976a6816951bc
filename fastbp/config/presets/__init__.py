"""Presets: keys of a configuration, by a name, for the table at hand.

`preset: NAME` lays a preset's keys beneath those of the configuration, which win as in a file merged with `-c`.
Each file of this folder that has a list `PRESETS` brings some, and no other place has to know of them:

    def _small(known: Known) -> dict[str, Any]:
        return {"network": {"hidden": [32]}, "trainer": {"epochs": 50, "batch_size": min(32, known.rows)}}

    PRESETS = [Preset("small", "One hidden layer of 32, for a first look.", _small)]

`known` is what the training rows are like (`known.py`): the task, how many rows, outputs, columns of numbers and of
categories there are. The map may have the keys `network`, `trainer`, `pack` and `dtype`, and of `data` those of how
columns are prepared, such as `scale`, `encode` and `indicator`. It must depend on nothing but `known`: the same table
has the same keys on every machine. `network.layers` may be listed, with `known.outputs` for the width of the last.

Estimators (`preset=` of `MLPClassifier`) lay it beneath their parameters in the same way. There a preset may have all
of `network` and `trainer`, of `pack` all but `bootstrap`, and of `data` what an estimator has too: `scale`, `missing`,
`indicator`, `encode`, `min_frequency`, `embed_std`, `embed_size`, `most_one_hot`, `scale_categories`, `clamp_target`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from fastbp.config.presets.known import Known

__all__ = ["Known", "Preset", "presets"]

MAY = ("data", "dtype", "network", "trainer", "pack")  # keys that a preset may have


@dataclass(frozen=True)
class Preset:
    """A preset.

    Attributes
    ----------
    name : str
        As `preset` has it.
    about : str
        One line for lists.
    of : function
        From a `Known` to a map of keys.
    pack : bool
        Whether it is a pack whose members are drawn, so that of an estimator an ensemble is kept, which does not go on.
    names : bool
        Whether an estimator finds numbers that name things, as `fastbp init` does for all presets.
    """

    name: str
    about: str
    of: Callable[[Known], dict[str, Any]]
    pack: bool = False
    names: bool = False

    def keys(self, known: Known) -> dict[str, Any]:
        """The keys for such a table."""
        found = self.of(known)
        assert set(found) <= set(MAY), (self.name, found)
        return found


@cache
def presets() -> dict[str, Preset]:
    """All presets by their names: `standard` and `plain` first, and then as the alphabet has them."""
    found: dict[str, Preset] = {}
    for module in pkgutil.iter_modules(__path__):
        for preset in getattr(import_module(f"{__name__}.{module.name}"), "PRESETS", ()):
            assert preset.name not in found, preset.name
            found[preset.name] = preset
    first = ("standard", "plain")
    return {name: found[name] for name in sorted(found, key=lambda name: (name not in first, name == "plain", name))}
