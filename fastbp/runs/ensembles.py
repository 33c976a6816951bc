"""Saved ensembles on raw tables: each member prepares the rows as it was trained to, all predict together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.data.prepare import Part
from fastbp.data.recipe import Recipe
from fastbp.data.streamed import Told
from fastbp.errors import CheckpointError, ConfigError, DataError
from fastbp.model.draw import count_of
from fastbp.runs.entrants import subjects_of
from fastbp.runs.prediction import Model
from fastbp.runs.scores import plan_at
from fastbp.runs.subject import subject_of
from fastbp.spec.joint_loss import loss_for_outputs
from fastbp.train import ensemble_files
from fastbp.train.averages import outputs_of
from fastbp.train.ensemble import Ensemble
from fastbp.train.judge import LOSS, Judge


@dataclass
class Tables:
    """The rows of a table as each way of reading them has them: by the first member that reads so."""

    frames: dict[int, Frame]

    @property
    def written(self) -> Any:
        """The table's own columns."""
        return self.frames[0].written


@dataclass
class Several:
    """The same rows as each member reads them."""

    rows: list[Any]

    def __len__(self) -> int:
        return len(self.rows[0])


class Together:
    """An ensemble as one network: its outputs say what the members say together."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble, self.dtype = ensemble, ensemble.dtype

    def _rows(self, X: Any) -> list[Any]:
        return X.rows if isinstance(X, Several) else [X] * len(self.ensemble)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Outputs as float64."""
        (average,) = self.ensemble.averages(self._rows(X))
        return outputs_of(average.loss, average.mean, self.ensemble.outputs)

    def evaluate(self, X: Any, y: Any, loss: Any, sample_weight: Any = None) -> float:
        """The loss of what they say together."""
        widths = self.ensemble.members[0].graph.splits
        judge = Judge(loss_for_outputs(loss, widths), widths, self.dtype, y, LOSS, sample_weight)
        return judge.score([average.mean for average in self.ensemble.averages(self._rows(X))])


@dataclass
class EnsembleModel:
    """An ensemble with the recipes of its members, which stands where a `Model` does."""

    ensemble: Ensemble
    models: dict[int, Model]
    path: Path

    @classmethod
    def load(cls, file: Path) -> EnsembleModel:
        """Read an ensemble from its file."""
        ensemble = ensemble_files.load(file)
        return cls(ensemble, {at: Model.of(ensemble.members[at], file) for at in ensemble.ways}, file)

    @property
    def net(self) -> Any:
        """What predicts and is measured."""
        return Together(self.ensemble)

    @property
    def recipe(self) -> Recipe:
        """That of the first member, in whose terms the others speak too."""
        return self.models[0].recipe

    def read(self, files: tuple[str, ...], settings: dict[str, Any], keep: bool = False) -> Tables:
        """The rows of files, read as the training rows of each member were."""
        first = self.models[0]
        frames = {0: first.read(files, settings, keep)}
        for at, model in self.models.items():
            if model.reading == first.reading:
                frames.setdefault(at, frames[0])
            elif "-" in files:
                raise DataError("-", "must be a file, as the members of the ensemble read tables in different ways")
            else:
                frames.setdefault(at, model.read(files, settings))
        return Tables(frames)

    def _spread(self, found: dict[int, Any]) -> list[Any]:
        """For each member what was found for the way in which it reads tables."""
        return [found[at] for at in self.ensemble.groups]

    def predict(self, frame: Any, probabilities: bool = False, strict: bool = False) -> dict[str, Any]:
        """Columns of predictions for the rows of a table; `strict` as for `Model`."""
        rows = {
            at: model.recipe.matrix(frame.frames[at], self.ensemble.dtype, strict=strict)
            for at, model in self.models.items()
        }
        return self.ensemble.columns(self._spread(rows), self.recipe, probabilities=probabilities)

    def part(self, frame: Any, strict: bool = False) -> Part:
        """The rows of a table that has the targets, ready to be measured."""
        parts = {at: model.part(frame.frames[at], strict) for at, model in self.models.items()}
        rows: Any = Several(self._spread({at: part.X for at, part in parts.items()}))
        return replace(parts[0], X=rows)

    def loss(self, said: Any = None) -> Any:
        """The loss of a run, or the ensemble's."""
        return self.ensemble.loss if said is None else said


def own_rows(path: str, found: Any) -> tuple[dict[str, Part], Any, Recipe]:
    """The parts of the rows of a run, its loss, and the recipe in whose terms its networks speak.

    Of a table that is streamed these are some rows of each part. Of a pack with folds they are the test rows: of the
    others, each was one that some of the networks were trained on.
    """
    plan = plan_at(path)
    if plan.config.pack is None or plan.config.pack.folds is None:
        subject = subject_of(plan, told=Told())
        return subject.judged, subject.loss, subject.recipe
    subjects = subjects_of(plan)
    if "test" not in subjects[0].parts:
        must = "must have test rows to be evaluated on, as its networks were trained on all others"
        raise ConfigError(path, must, hint="`out_of_fold.csv` and `fastbp show` have what was said of those")
    of = [subject.recipe.to_data() for subject in subjects]
    parts = {}
    for at, model in found.models.items():
        own = model.recipe.to_data()
        if own not in of:
            raise CheckpointError(
                found.path, "must have been trained on the rows of its run, but its files have others"
            )
        parts[at] = subjects[of.index(own)].parts["test"]
    rows: Any = Several(found._spread({at: part.X for at, part in parts.items()}))
    return {"test": replace(parts[0], X=rows)}, subjects[0].loss, found.recipe


@dataclass
class Row:
    """A member of an ensemble; `chosen` is what a selection called it, a number or ``(member, epoch)``."""

    member: int
    weight: float
    chosen: Any
    layers: str
    parameters: int


def members_in(file: Path) -> list[Row]:
    """The members of an ensemble's file."""
    ensemble = ensemble_files.load(file)
    names = list(dict.fromkeys(ensemble.chosen))
    names = names if len(names) == len(ensemble) else [None] * len(ensemble)
    found = []
    for i, net in enumerate(ensemble.members):
        layers = " ".join(type(layer).__name__ for layer in net.layers)
        total = sum(map(count_of, net.graph.nodes))
        found.append(Row(i, float(ensemble.weights[i]), names[i], layers, total))
    return found
