"""`fb.load`: a network from its file, or the best one of a run's folder, which predicts raw tables too; a pack, or an
ensemble, whose paths it opens.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fastbp.data.frame import Frame
from fastbp.data.recipe import Recipe
from fastbp.data.tables import frame_of, is_table
from fastbp.errors import CheckpointError, ConfigError, DataError
from fastbp.model import files
from fastbp.model.network import Network
from fastbp.model.sealed import format_of
from fastbp.runs.prediction import Model, settings_of
from fastbp.train import ensemble_files, pack_files
from fastbp.train.ensemble import Ensemble as Ensemble
from fastbp.train.ensemble_models import opens
from fastbp.train.held_out import Units

READ_ELSEWHERE = "a table that pandas or Polars reads may be given instead of a file"


@opens
def load(path: Any) -> Any:
    """Read a network that `Network.save` wrote, or the pack or ensemble of a file; of a run's folder its best network,
    and of a run with `pack` its ensemble.

    A network that `fastbp train` wrote predicts raw tables as well as arrays: see `TableNetwork.predict`.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    CheckpointError
        If the file is not a network of fastbp, or is damaged, or the folder has none.
    """
    file = Path(path) if isinstance(path, str | os.PathLike) else path
    if isinstance(file, Path) and file.is_dir():
        ensemble = file / "ensemble.safetensors"
        file = ensemble if ensemble.is_file() else file / "best.safetensors"
        if not file.is_file():
            raise CheckpointError(path, f"must be a network's file or the folder of a run with `{file.name}`")
    kind = format_of(file) if isinstance(file, Path) else None
    if kind == pack_files.FORMAT:
        return pack_files.load(file, callers=1)
    if kind == ensemble_files.FORMAT:
        return ensemble_files.load(file, lambda net: as_it_is(net, file), callers=1)
    return as_it_is(files.load(file, callers=1), file)


def as_it_is(net: Network, file: Path) -> Network:
    """A network of a file, with what prepares raw tables if it has such."""
    if not isinstance(net.about, dict) or net.about.get("recipe") is None:
        return net
    return TableNetwork.of(net, file)


@dataclass
class Judged:
    """Rows of a table with their targets, and the units that numbers are measured in."""

    X: Any
    y: Any
    weight: Any
    units: Units | None


class TableNetwork(Network):
    """A network with what turns raw tables into its inputs, as `fastbp train` writes it."""

    file: Path

    @classmethod
    def of(cls, net: Network, file: Path) -> TableNetwork:
        """The same network, with the recipe in its file."""
        out = cls.__new__(cls)
        out._set_up(net.graph, net.seed, net.dtype)
        out.flat, out.about = net.flat, net.about
        out.states.set_flat(net.states.flat())
        out.file = file
        return out

    def __reduce__(self) -> Any:
        kind, parts, more = super().__reduce__()
        return kind, parts, {name: value for name, value in more.items() if name != "_model"}  # which is of this one

    @cached_property
    def _model(self) -> Model:
        return Model.of(self, self.file)

    @property
    def tables(self) -> Any:
        """What reads raw tables as its inputs: itself."""
        return self

    @property
    def recipe(self) -> Recipe:
        """What prepares raw tables."""
        return self._model.recipe

    def predict(self, X: Any, out: Any = None, threads: int | None = None, probabilities: bool = False) -> Any:
        """Predictions for the rows of X.

        Parameters
        ----------
        X : array, or a table
            An array holds the network's inputs, as for every network. A table is raw, as in training: the path of a
            file or a list of them, a dict of columns, or a table of pandas, Polars or Arrow. It
            needs no targets.
        out, threads
            For arrays, as in `Network.predict`.
        probabilities : bool
            For tables: whether there is a column with the probability of each class too.

        Returns
        -------
        array, shape (rows, outputs), or for a table a dict of columns
            Classes by their names, numbers in the units of the table.
        """
        frame = self._frame(X)
        if frame is None:
            if probabilities:
                raise ConfigError("probabilities", "must be given with a table only, as an array gets raw outputs")
            return super().predict(X, out, threads)
        if out is not None:
            raise ConfigError("out", "must be given with an array only, as predictions for a table are columns")
        return self._model.predict(frame, probabilities)

    def probabilities(self, X: Any, loss: Any = None, threads: int | None = None) -> Any:
        """The probability of each class for the rows of an array or a raw table, by the loss of training.

        Classes are in the order of their columns in `predict(X, probabilities=True)`.
        """
        frame = self._frame(X)
        rows = X if frame is None else self.recipe.matrix(frame, self.dtype)
        return super().probabilities(rows, self._model.loss() if loss is None else loss, threads)

    predict_proba = probabilities

    def rows_of(self, X: Any) -> Any:
        """The rows of a raw table as inputs; None for anything else."""
        frame = self._frame(X)
        return None if frame is None else self.recipe.matrix(frame, self.dtype)

    def part_of(self, X: Any) -> Any:
        """The rows of a raw table with their targets; None for anything else."""
        frame = self._frame(X)
        if frame is None:
            return None
        part = self._model.part(frame)
        units = None if part.numbers is None else Units(self.recipe.outputs.back, part.numbers)
        return Judged(part.X, part.y, part.weight, units)

    def _frame(self, X: Any) -> Frame | None:
        """The rows of a table; None for anything else."""
        paths = X if isinstance(X, list | tuple) else (X,)
        if paths and all(isinstance(path, str | os.PathLike) for path in paths):
            try:
                return self._model.read(tuple(map(str, paths)), settings_of(str(self.file))[0])
            except DataError as error:  # here is nothing that says how a file is written
                settable = error.hint is not None and "`data." in error.hint
                raise error.at(hint=READ_ELSEWHERE if settable else error.hint) from None
        if is_table(X):
            return frame_of(X, self._model.reading)
        return None
