"""Saved networks on raw tables: predictions and scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.config.schema import Data
from fastbp.config.text import CONFIGS
from fastbp.data.columns import Reading
from fastbp.data.files import FRAMES, TABLES, TARGET, read_paths, suffix_of
from fastbp.data.frame import Column, Frame
from fastbp.data.prepare import Part, part_of
from fastbp.data.recipe import Recipe
from fastbp.data.rows import with_targets
from fastbp.data.unseen import Unseen
from fastbp.data.written import Typed
from fastbp.errors import CheckpointError, DataError, visible
from fastbp.model.files import load
from fastbp.model.network import Network
from fastbp.model.sealed import format_of
from fastbp.spec.catalogue import loss_of
from fastbp.spec.layers import Embedding


def instead(path: Path) -> str | None:
    """What to name instead of a table or a configuration in the place of a network."""
    ending = suffix_of(path)
    if ending in (*TABLES, *FRAMES):
        return "a network, or the folder of its run, is what is named first"
    return f"`fastbp train {path}` trains a network; its run's folder is named here" if ending in CONFIGS else None


def file_of(path: str, alone: bool = False) -> Path:
    """The file of a network or an ensemble, or that of a run's folder: its ensemble, or `alone` its best network."""
    file = Path(path)
    if file.is_dir():
        ensemble = file / "ensemble.safetensors"
        file = ensemble if ensemble.is_file() and not alone else file / "best.safetensors"
        if not file.is_file():
            raise CheckpointError(path, "must be a network or the folder of a run with a network")
    elif not file.is_file():
        raise CheckpointError(path, "must be a network or the folder of a run with a network, but does not exist")
    return file


def saved(path: str) -> tuple[Network, Path]:
    """The network of a file, or the best of a run's folder; and its file."""
    file = file_of(path, alone=True)
    try:
        return load(file), file
    except CheckpointError as error:
        raise error.at(hint=instead(file) or error.hint) from None


@dataclass
class Model:
    """A network and the recipe that converts raw tables."""

    net: Network
    recipe: Recipe
    path: Path

    @classmethod
    def load(cls, path: str) -> Model:
        """Read a model from a file, or the best network of a run's folder."""
        return cls.of(*saved(path))

    @classmethod
    def of(cls, net: Network, file: Path) -> Model:
        """The model of a network whose file this is."""
        about: Any = net.about
        if not isinstance(about, dict):
            raise CheckpointError(file, "must hold an object about its network")
        if about.get("recipe") is None:
            raise CheckpointError(
                file,
                "must hold a recipe that turns tables into inputs, but has a network only",
                hint="`fb.load` reads it in Python; `fastbp train` writes networks with a recipe",
            )
        first = net.graph.nodes[0].layer
        tables = first.columns if isinstance(first, Embedding) else {}
        try:
            recipe = Recipe.from_data(about["recipe"])
            recipe.check(net.inputs, net.outputs, tables)
        except CheckpointError as error:
            raise error.at(place=f"`{file}` holds a damaged recipe") from None
        return cls(net, recipe, file)

    @property
    def reading(self) -> Reading:
        """How tables are read, as the training rows were."""
        return self.recipe.raw.reading([part.name for part in self.recipe.inputs.categories])

    def read(self, files: tuple[str, ...], settings: dict[str, Any], keep: bool = False) -> Frame:
        """The rows of files, read like the training rows; `keep` has the frame also have them as they are written."""
        data = Data(**settings)
        targets = self.recipe.outputs.columns
        data.target = targets[0] if len(targets) == 1 else None
        frame = read_paths(list(files), data, self.reading, keep)
        frame.blank = "an empty field or `NA`"
        in_columns = frame.matrix is not None and self._has_columns_of_a_matrix(frame.matrix.shape[1])
        alone = frame.matrix is not None and (in_columns or self._wants_a_matrix())
        frame = frame.in_columns() if in_columns else frame
        if alone and len(targets) == 1 and targets[0] not in frame.columns and TARGET in frame.columns:
            frame.columns[targets[0]] = Column(targets[0], frame.columns[TARGET].values)
        if self.recipe.outputs.task == "classes" and targets[0] in frame.columns:
            self._name_booleans(frame.columns[targets[0]])
        if keep and not frame.written and frame.columns:
            frame.written = [Typed({name: column.values for name, column in frame.columns.items()})]
        return frame

    def _name_booleans(self, target: Column) -> None:
        """Have booleans and 0 and 1 be called as the classes are."""
        names = set(self.recipe.outputs.names)
        if not target.is_text and names in ({"0", "1"}, {"False", "True"}):
            there = target.values[~np.isnan(target.values)]
            target.boolean = "True" in names and bool(np.isin(there, (0.0, 1.0)).all())

    def _wants_a_matrix(self) -> bool:
        return any(getattr(part, "name", None) is None for part in self.recipe.inputs.parts)

    def _has_columns_of_a_matrix(self, width: int) -> bool:
        """Whether an estimator was fitted to so wide an array, some of whose numbers are categories."""
        return [part.name for part in self.recipe.inputs.parts] == [f"x{i}" for i in range(width)]

    def predict(
        self, frame: Frame, probabilities: bool = False, strict: bool = False, unseen: list[Unseen] | None = None
    ) -> dict[str, Any]:
        """Columns of predictions for the rows of a frame; `strict` refuses categories that training did not see.

        `unseen` gets these where they are to be said later.
        """
        X = self.recipe.matrix(frame, self.net.dtype, strict=strict, unseen=unseen)
        return self.recipe.predictions(self.net.predict(X), probabilities)

    def part(self, frame: Frame, strict: bool = False) -> Part:
        """The rows of a frame that has the targets, ready to be measured; `strict` as in `predict`."""
        missing = [name for name in self.recipe.outputs.columns if name not in frame.columns]
        if missing:
            raise DataError(f"{frame.origin}: there must be a column `{visible(missing[0])}` to evaluate on")
        if self.recipe.raw.drop:
            frame = with_targets(frame, self.recipe.outputs.columns)
        if self.recipe.weight is not None and self.recipe.weight not in frame.columns:
            frame.columns[self.recipe.weight] = Column(self.recipe.weight, np.ones(len(frame)))
        return part_of(self.recipe, frame, self.net.dtype, strict=strict)

    def evaluate(self, frame: Frame, metrics: list[str], loss: Any = None) -> dict[str, float]:
        """Loss and metrics on a frame that has the targets."""
        from fastbp.runs.scores import score

        return score(self.net, self.part(frame), self.loss(loss), metrics, self.recipe)

    def loss(self, said: Any = None) -> Any:
        """The loss of a run, or the one that the network's file names."""
        return loss_of(self.recipe.loss) if said is None else said


def is_ensemble(file: Path) -> bool:
    """Whether a file says that it is one of an ensemble."""
    return (format_of(file) or "").startswith("fastbp-ensemble-")


def model_at(path: str) -> Any:
    """A `Model`, or an `EnsembleModel`, which can do the same, of a file or the best of a run's folder."""
    file = file_of(path)
    if not is_ensemble(file):
        return Model.load(path)
    from fastbp.runs.ensembles import EnsembleModel

    return EnsembleModel.load(file)


def settings_of(path: str) -> tuple[dict[str, Any], Any, list[str] | None]:
    """How a run's tables are written, its loss and metrics; nothing for a network without a run."""
    from fastbp.config.build import plan_of
    from fastbp.config.text import read

    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    config = folder / "config.yaml"
    if not config.is_file() or not (folder / "environment.json").is_file():
        return {}, None, None
    plan = plan_of(read(config))
    data = plan.config.data
    settings = {"delimiter": data.delimiter, "header": data.header, "encoding": data.encoding}
    return settings, plan.loss, plan.config.trainer.metrics
