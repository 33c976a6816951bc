"""Models on rows whose columns are moved, whatever the models are: one network, or an ensemble as one.

A column of a table is moved among the inputs that it becomes: all of its one-hot columns, numbers of a date, codes and
indicators at once. Where networks of an ensemble read tables in different ways, it is moved in each of these alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.inputs import Inputs
from fastbp.data.numbers import Numbers
from fastbp.data.recipe import Recipe
from fastbp.runs.ensembles import Several
from fastbp.spec.coded import Coded
from fastbp.spec.losses import Loss
from fastbp.train.averages import averaged, predicted, probable

Array = NDArray[Any]


@dataclass
class Speaker:
    """What predicts: one network, or several as one.

    Attributes
    ----------
    net : Network or Together
    recipes : dict of int to Recipe or None
        Of each way in which rows are read, by the number of the first network that does; None: as they are.
    groups : list of int, or None
        Of each network its way; None where there is one for all.
    loss : Loss
        What outputs mean.
    """

    net: Any
    recipes: dict[int, Recipe | None]
    groups: list[int] | None
    loss: Loss

    @property
    def recipe(self) -> Recipe | None:
        """In whose terms it speaks."""
        return self.recipes[0]

    def says(self, z: Array) -> tuple[Array, list[str]]:
        """What outputs stand for, probabilities or numbers in the units of the table, and what each column is."""
        found, recipe = predicted(self.loss, averaged(self.loss, z)), self.recipe
        if recipe is None:
            return found, [str(i) for i in range(found.shape[1])]
        outputs = recipe.outputs
        if outputs.task == "numbers":
            return np.asarray(outputs.unscaled(found)), list(outputs.names)
        return found, [f"{outputs.columns[0]} = {name}" for name in outputs.names] if self.classes else outputs.names

    @property
    def classes(self) -> bool:
        """Whether rows are of one class each."""
        return self.recipe is not None and self.recipe.outputs.task == "classes"

    @property
    def probable(self) -> bool:
        """Whether it says probabilities."""
        return probable(self.loss)


@dataclass
class View:
    """Rows as a speaker reads them, whose columns may be moved.

    Attributes
    ----------
    kept : list of array
        Of each way the inputs, a copy, of which columns of many categories are codes.
    counts : list
        Of each way as of `Coded`, or None.
    places : list of dict
        Of each way the places of each column in what is kept.
    """

    speaker: Speaker
    kept: list[Array]
    counts: list[tuple[int, ...] | None]
    places: list[dict[str, list[int]]]

    @classmethod
    def of(cls, speaker: Speaker, X: Mapping[int, Any], chosen: NDArray[np.int64] | None = None) -> View:
        """Some of these rows, by default all."""
        view = cls(speaker, [], [], [])
        for at, recipe in speaker.recipes.items():
            rows = X[at]
            own = {str(i): [i] for i in range(rows.shape[1])} if recipe is None else columns_of(recipe.inputs)
            coded = isinstance(rows, Coded)
            narrow = rows.narrow if coded else rows
            view.counts.append(rows.counts if coded else None)
            view.kept.append(np.array(narrow if chosen is None else narrow[chosen]))
            view.places.append({name: rows.sources(of) if coded else of for name, of in own.items()})
        return view

    @property
    def columns(self) -> list[str]:
        """Names of all columns."""
        return list(dict.fromkeys(name for own in self.places for name in own))

    def inputs(self, kept: Sequence[Array]) -> Any:
        """What the speaker's network is given for these rows."""
        rows = [x if counts is None else Coded(x, counts) for x, counts in zip(kept, self.counts, strict=True)]
        if self.speaker.groups is None:
            return rows[0]
        of_way = dict(zip(self.speaker.recipes, rows, strict=True))
        return Several([of_way[way] for way in self.speaker.groups])

    def outputs(self, kept: Sequence[Array]) -> Array:
        """Outputs for these rows."""
        return np.asarray(self.speaker.net.predict(self.inputs(kept)), np.float64)


def columns_of(inputs: Inputs) -> dict[str, list[int]]:
    """The places in the network's inputs of each column of the table; those of a matrix have numbers."""
    found: dict[str, list[int]] = {}
    at = 0
    for part in inputs.parts:
        if part.name is None and isinstance(part, Numbers):
            width = len(part.fill)
            holes = iter(range(at + width, at + part.width))
            for i in range(width):
                found[str(i)] = [at + i, *([next(holes)] if part.holes[i] else [])]
        else:
            found[str(part.name)] = list(range(at, at + part.width))
        at += part.width
    return {name: places for name, places in found.items() if places}
