"""`fb.load`: a network from its file, or the best one of a run's folder, which predicts raw tables too."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

from fastbp.data.frame import Frame
from fastbp.data.tables import frame_of, is_table
from fastbp.errors import CheckpointError, ConfigError, DataError
from fastbp.model import files
from fastbp.model.network import Network
from fastbp.runs.prediction import Model, settings_of
from fastbp.train import pack_files

READ_ELSEWHERE = "a table that pandas or Polars reads may be given instead of a file"


def load(path: Any) -> Any:
    """Read a network that `Network.save` wrote, the best network of a run's folder, or a pack that `Pack.save` wrote.

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
        file = file / "best.safetensors"
        if not file.is_file():
            raise CheckpointError(path, f"must be a network's file or the folder of a run with `{file.name}`")
    if isinstance(file, Path) and pack_files.is_pack(file):
        return pack_files.load(file, callers=1)
    net = files.load(file, callers=1)
    if not isinstance(net.about, dict) or net.about.get("recipe") is None:
        return net
    return TableNetwork.of(net, file)


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

    @cached_property
    def _model(self) -> Model:
        return Model.of(self, self.file)

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
        rows = X if frame is None else self._model.recipe.matrix(frame, self.dtype)
        return super().probabilities(rows, self._model.loss() if loss is None else loss, threads)

    predict_proba = probabilities

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
