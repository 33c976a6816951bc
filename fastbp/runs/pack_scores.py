"""What the members of a pack say of rows, and how good it is: each alone, and several together.

A member says of a row what its network says; with folds, on validation rows, what that network says which was not
trained on the row, and on other rows the mean over its networks. Numbers are on the scale of the first fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.prepare import Part
from fastbp.model.network import Network
from fastbp.runs.calibration import said
from fastbp.runs.scores import score, told
from fastbp.runs.subject import Subject
from fastbp.train.averages import Average, averaged, outputs_of, tempered
from fastbp.train.ensemble_models import Scale, grouped, scales_of
from fastbp.train.held_out import Units
from fastbp.train.judge import LOSS, Judge
from fastbp.train.temperature import fitted

Array = NDArray[Any]


class Says:
    """What several networks say together, as one network: its outputs, whatever rows it is asked for."""

    def __init__(self, loss: Any, mean: Array, widths: Sequence[int], dtype: Any) -> None:
        self.loss, self.mean, self.widths, self.dtype = loss, mean, widths, dtype

    def predict(self, X: Any) -> Array:
        """Outputs as float64."""
        return outputs_of(self.loss, self.mean, sum(self.widths))

    def evaluate(self, X: Any, y: Any, loss: Any, sample_weight: Any = None) -> float:
        """The loss of what they say together."""
        return Judge(loss, self.widths, self.dtype, y, LOSS, sample_weight).score([self.mean])


Folds = Sequence[int | None]  # their numbers; None is that of rows without folds


@dataclass
class Rows:
    """The networks of members, one for each of some folds, and the rows of these."""

    each: Mapping[int, Sequence[Network]]
    subjects: Sequence[Subject]
    numbers: Folds

    @property
    def folds(self) -> bool:
        """Whether there are folds."""
        return self.numbers[0] is not None

    @property
    def first(self) -> Subject:
        """In whose terms all is said."""
        return self.subjects[0]

    @cached_property
    def _scales(self) -> list[Scale | None]:
        nets = next(iter(self.each.values()))
        return scales_of(nets, grouped(nets))

    @property
    def widths(self) -> list[int]:
        """Columns of each output of a network."""
        return list(next(iter(self.each.values()))[0].graph.splits)

    def parts(self) -> list[str]:
        """The parts of the rows on which members can be compared: with folds none that some were trained on."""
        return [name for name in self.first.parts if not (self.folds and name == "train")]

    def part(self, name: str) -> Part:
        """The targets of a part in the terms of the first fold; with folds its validation rows are those of all."""
        if not (self.folds and name == "validation"):
            return self.first.parts[name]
        every = [subject.parts[name] for subject in self.subjects]
        outputs = self.first.recipe.outputs
        if every[0].numbers is None:
            y, numbers = np.concatenate([part.y for part in every]), None
        else:
            numbers = np.concatenate([part.numbers for part in every])
            forward = zip(outputs.transforms, numbers.T, outputs.center, outputs.spread, strict=True)
            columns = [(transform.forward(x) - center) / spread for transform, x, center, spread in forward]
            y = np.ascontiguousarray(np.stack(columns, axis=1).astype(every[0].y.dtype))
        weight, rows = (_joined([getattr(part, key) for part in every]) for key in ("weight", "rows"))
        return Part(np.zeros((len(y), 1), every[0].X.dtype), y, weight, numbers, rows)

    def fold_of(self) -> Array:
        """The fold of each validation row."""
        counts = [len(subject.parts["validation"]) for subject in self.subjects]
        return np.repeat(np.array(self.numbers), counts)

    def said(self, member: int, name: str) -> Array:
        """What is averaged of a member, as float64."""
        loss = self.first.loss
        found = []
        for net, subject, scale in zip(self.each[member], self.subjects, self._scales, strict=True):
            z = net.predict(subject.parts[name].X)
            found.append(z if scale is None else scale.to_first(z))
        if self.folds and name == "validation":
            return averaged(loss, np.concatenate(found))
        average = Average(loss)
        for z in found:
            average.add(z)
        return average.mean

    def together(self, weights: Mapping[int, float], name: str, temperature: float = 1.0) -> Says:
        """Several members together, behind their mean with a temperature."""
        mean: Array = np.zeros((1, 1))
        total = 0.0
        for member, weight in weights.items():
            total += weight
            mean = mean + (self.said(member, name) - mean) * weight / total
        return self.says(tempered(self.first.loss, mean, temperature))

    def temperature(self, weights: Mapping[int, float]) -> float:
        """The temperature that several members together need on the validation rows; 1 if they are to have none."""
        if self.first.plan.config.trainer.calibrate is None:
            return 1.0
        part = self.part("validation")
        return fitted(self.together(weights, "validation").predict(None), part.y, self.first.loss, part.weight)

    def calibration(self, weights: Mapping[int, float], temperature: float) -> dict[str, Any]:
        """What a temperature changes on each part."""
        both = {
            name: (self.together(weights, name), self.together(weights, name, temperature), self._blank(name))
            for name in self.parts()
        }
        return said(temperature, both, self.first)

    def says(self, mean: Array) -> Says:
        """What was averaged, as a network."""
        return Says(self.first.loss, mean, self.widths, np.dtype(self.first.plan.config.dtype))

    def scores(self, weights: Mapping[int, float], temperature: float = 1.0) -> dict[str, dict[str, float]]:
        """Loss and metrics of several members together on each part."""
        return {name: self._score(self.together(weights, name, temperature), name) for name in self.parts()}

    def each_scores(self) -> Iterator[tuple[int, dict[str, dict[str, float]]]]:
        """Loss and metrics of each member."""
        for member in self.each:
            yield member, {name: self._score(self.says(self.said(member, name)), name) for name in self.parts()}

    def _score(self, says: Any, name: str) -> dict[str, float]:
        subject = self.first
        return score(says, self._blank(name), subject.loss, subject.metrics, subject.recipe)

    def told(self, weights: Mapping[int, float], name: str, temperature: float = 1.0) -> dict[str, Any]:
        """The report of several members together."""
        says: Any = self.together(weights, name, temperature)
        return told(says, self._blank(name), self.first.loss, self.first.recipe)

    def _blank(self, name: str) -> Part:
        part = self.part(name)
        return replace(part, X=np.zeros((len(part), 1), part.X.dtype))

    def judge(self, metric: str) -> Judge:
        """What measures averages on the validation rows."""
        part, subject = self.part("validation"), self.first
        units = None if part.numbers is None else Units(subject.recipe.outputs.back, part.numbers)
        dtype = np.dtype(subject.plan.config.dtype)
        return Judge(subject.loss, self.widths, dtype, part.y, metric, part.weight, units)

    def predictions(self, weights: Mapping[int, float], temperature: float = 1.0) -> dict[str, Any]:
        """Columns of predictions for the validation rows."""
        says = self.together(weights, "validation", temperature)
        return self.first.recipe.predictions(says.predict(None), self.first.task != "numbers")


def _joined(arrays: Sequence[Array | None]) -> Array | None:
    """Arrays one after another, where there are such."""
    there = [array for array in arrays if array is not None]
    return np.concatenate(there) if there else None
