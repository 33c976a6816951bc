"""An ensemble: networks whose predictions are averaged, each with a weight."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, DataError
from fastbp.model.network import Network
from fastbp.spec.elsewhere import known_words
from fastbp.spec.losses import Loss
from fastbp.train.averages import Average, outputs_of, probable
from fastbp.train.ensemble_models import (
    Scale,
    check_alike,
    copies,
    fitting_loss,
    found_in,
    grouped,
    scales_of,
    weights_of,
)
from fastbp.train.judge import Judge

Array = NDArray[Any]


class Ensemble:
    """Networks that predict together: the weighted mean of probabilities, or of numbers.

    Networks are copied as they are, so training goes on without changing the ensemble. They need the same inputs,
    outputs and dtype, and losses by which outputs mean the same. Those that `fastbp train` or an estimator wrote
    predict raw tables too. Where each prepares a table in its own way, as those of different folds do, they predict
    tables only, and their numbers are averaged on the scale of the first.

    Parameters
    ----------
    models : list of Network, Pack, Ensemble or path
        All networks of a pack, with an `ema` their averages; of an ensemble its members with their weights. Paths are
        of files or of runs' folders, as for `fb.load`.
    weights : list of float, >= 0, optional
        One for each model, which the networks of a pack share; by default each network counts the same.
    loss : str or Loss, optional
        What outputs mean; by default that of the trainers that were made for the networks, or of their files.

    Attributes
    ----------
    loss : Loss
    chosen : tuple
        Of a selection what was chosen, in order, each as often as it was: numbers of models, or of epochs
        ``(member, epoch)``.
    scores : tuple of float
        The metric after each choice.
    metric : str or None
    temperature : float
        By which the logits of what the members say together are divided: see `fb.calibrate`.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> X = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    >>> nets = [fb.mlp([1, 16, 1], activation="tanh", seed=seed) for seed in range(3)]
    >>> for net in nets:
    ...     _ = fb.Trainer(net, loss="mse", optimizer=fb.Adam(lr=1e-2)).run(X, X**2, steps=300)
    >>> ensemble = fb.Ensemble(nets)
    >>> ensemble
    Ensemble(members=3, loss='mse')
    >>> ensemble.predict(X).shape, ensemble.spread(X).shape, ensemble.predict_members(X).shape
    ((64, 1), (64, 1), (3, 64, 1))
    """

    @known_words
    def __init__(self, models: Any, weights: Any = None, loss: str | Loss | None = None) -> None:
        found = found_in(models)
        check_alike(found)
        self._set_up(copies([one.net for one in found]), weights_of(found, weights), fitting_loss(found, loss))

    def _set_up(
        self,
        nets: Sequence[Network],
        weights: Array,
        loss: Loss,
        chosen: Sequence[Any] = (),
        scores: Sequence[float] = (),
        metric: str | None = None,
        temperature: float = 1.0,
    ) -> None:
        self.temperature = temperature
        self._members, self._weights, self.loss = tuple(nets), weights, loss
        self.chosen, self.scores, self.metric = tuple(chosen), tuple(scores), metric
        self.groups = grouped(self._members)  # for each member the first that prepares rows in the same way
        self._scales: list[Scale | None] = scales_of(self._members, self.groups)

    @classmethod
    def of(
        cls,
        nets: Sequence[Network],
        weights: Array,
        loss: Loss,
        chosen: Sequence[Any] = (),
        scores: Sequence[float] = (),
        metric: str | None = None,
        temperature: float = 1.0,
    ) -> Ensemble:
        """The ensemble of these networks themselves, which must fit."""
        made = cls.__new__(cls)
        made._set_up(nets, weights, loss, chosen, scores, metric, temperature)
        return made

    def tempered(self, temperature: float) -> Ensemble:
        """The same with another temperature."""
        selection = self.chosen, self.scores, self.metric
        return self.of(self._members, self._weights, self.loss, *selection, temperature)

    @classmethod
    @known_words
    def greedy(
        cls,
        models: Any,
        X: Any,
        y: Any = None,
        metric: str | None = None,
        size: int = 32,
        replacement: bool = True,
        stop_early: bool = True,
        sample_weight: Any = None,
        loss: str | Loss | None = None,
    ) -> Ensemble:
        """Choose networks step by step: the best one, then the one with which the mean is best, and so on.

        One that is chosen several times counts so often (Caruana et al., 2004). Of equally good ones the first is
        taken.

        Parameters
        ----------
        models : list of Network, Pack, Ensemble or path
            The candidates: each network of a pack or an ensemble is one.
        X : array or table
            Rows that none was trained on.
        y : array
            Their targets for the loss; a table has them itself, in which case numbers are measured in its units.
        metric : str, optional
            "loss", or one of `fb.metrics.METRICS` that fits the loss; by default "log_loss" where outputs stand for
            probabilities, otherwise the loss of what the networks say together.
        size : int, >= 1
            How many choices there are at most.
        replacement : bool
            Whether one may be chosen again.
        stop_early : bool
            Whether it ends where no choice makes the metric better; otherwise at `size`.
        sample_weight : array, shape (rows,), optional
        loss : str or Loss, optional
            As for `Ensemble`.

        Returns
        -------
        Ensemble
            With weights that are counts; `chosen` has numbers of candidates, counted from 0 through all models.
        """
        from fastbp.train.greedy import greedily

        return greedily(cls(models, loss=loss), X, y, metric, size, replacement, stop_early, sample_weight)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        weights = "" if (self._weights == self._weights[0]).all() else f", weights={self._weights.round(4).tolist()}"
        warm = "" if self.temperature == 1.0 else f", temperature={self.temperature:.4g}"
        return f"Ensemble(members={len(self)}, loss={self.loss.named!r}{weights}{warm})"

    def _repr_html_(self) -> str:
        from fastbp.train.ensemble_files import html

        return html(self)

    def __reduce__(self) -> Any:
        selection = self.chosen, self.scores, self.metric, self.temperature
        return _rebuilt, (type(self), self._members, self._weights, self.loss, *selection)

    def __copy__(self) -> Ensemble:
        return copy.deepcopy(self)

    @property
    def members(self) -> tuple[Network, ...]:
        """The networks."""
        return self._members

    @property
    def weights(self) -> NDArray[np.float64]:
        """The weight of each member, a copy; only their ratios matter."""
        return self._weights.copy()

    @property
    def inputs(self) -> int:
        """Number of input features."""
        return self._members[0].inputs

    @property
    def outputs(self) -> int:
        """Number of outputs of each member."""
        return self._members[0].outputs

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the members and of predictions."""
        return self._members[0].dtype

    @property
    def ways(self) -> list[int]:
        """The first member of each way of preparing rows."""
        return list(dict.fromkeys(self.groups))

    @property
    def alike(self) -> bool:
        """Whether all members prepare their inputs in the same way, so that arrays may be predicted."""
        return not any(self.groups)

    def save(self, path: Any) -> None:
        """Write all members to one safetensors file that `fastbp.load` reads."""
        from fastbp.train.ensemble_files import save

        save(self, path)

    # Predictions

    def prepared(self, X: Any) -> tuple[list[Any], bool]:
        """Rows as each member reads them, and whether X is a raw table."""
        tables = self._members[0].tables
        rows = None if tables is None else tables.rows_of(X)
        if rows is None:
            if not self.alike:
                must = "must be a raw table, as the members prepare their inputs in different ways"
                raise DataError("X", must, f"`{type(X).__name__}`")
            return [X] * len(self), False
        found = {at: self._members[at].tables.rows_of(X) if at else rows for at in self.ways}
        return [found[at] for at in self.groups], True

    def each(self, rows: Sequence[Any], threads: int | None = None) -> Iterator[list[Array]]:
        """Of each member the outputs, a matrix for each output of the networks, on the scale of the first member."""
        for net, x, scale in zip(self._members, rows, self._scales, strict=True):
            z: Any = Network.predict(net, x, threads=threads)
            parts = z if isinstance(z, tuple) else (z,)
            yield [np.atleast_2d(part if scale is None else scale.to_first(part)) for part in parts]

    def averages(self, rows: Sequence[Any], threads: int | None = None) -> list[Average]:
        """What is averaged, for each output of the networks; `rows` are as of `prepared`."""
        found = [Average(loss) for loss, _ in self.loss.parts]
        for parts, weight in zip(self.each(rows, threads), self._weights.tolist(), strict=True):
            for average, z in zip(found, parts, strict=True):
                average.add(z, weight)
        for average in found:
            average.temper(self.temperature)
        return found

    def _is_one_row(self, X: Any) -> bool:
        return X is not None and np.ndim(self._members[0]._side_by_side(X)) == 1

    def _shaped(self, X: Any, found: list[Array], dtype: Any = None) -> Any:
        """Results as the networks give theirs: of one row without rows, of one output without a tuple."""
        one = self._is_one_row(X)
        shaped = tuple((part[0] if one else part).astype(dtype or self.dtype) for part in found)
        return shaped if len(shaped) > 1 else shaped[0]

    def predict(self, X: Any, threads: int | None = None, probabilities: bool = False) -> Any:
        """The mean of what the members predict for the rows of X.

        Parameters
        ----------
        X : array, or a table
            As for the networks: with preprocessing a raw table may be given, too.
        threads : int, optional
            At most so many, by default one per processor of this process; results do not depend on it.
        probabilities : bool
            For tables: whether there is a column with the probability of each class too.

        Returns
        -------
        array, shape (rows, classes or outputs), or a tuple of one per output of the networks if there are several
            Of probabilities, where the loss is "cross_entropy" (one of each class) or "binary_cross_entropy" (one of
            each output); of numbers as targets are otherwise. For a table a dict of columns: classes by their names,
            numbers in its units.
        """
        rows, is_table = self.prepared(X)
        if is_table:
            first: Any = self._members[0]
            return self.columns(rows, first.recipe, threads, probabilities)
        if probabilities:
            raise ConfigError("probabilities", "must be given with a table only, as an array gets them anyway")
        return self._shaped(X, [average.predictions for average in self.averages(rows, threads)])

    def columns(
        self, rows: Sequence[Any], recipe: Any, threads: int | None = None, probabilities: bool = False
    ) -> dict[str, Any]:
        """Columns of predictions for rows of a table, as of `prepared`, by the recipe of the first member."""
        (average,) = self.averages(rows, threads)
        together = outputs_of(average.loss, average.mean, self.outputs)
        said = average.predictions.astype(self.dtype)
        found: dict[str, Any] = recipe.predictions(together, probabilities, said)
        return found

    def spread(self, X: Any, threads: int | None = None) -> Any:
        """The standard deviation over the members of what `predict` is the mean of; of the same shape.

        Of a table as an array: of probabilities, or of numbers as the networks have them.
        """
        rows, is_table = self.prepared(X)
        return self._shaped(None if is_table else X, [average.spread for average in self.averages(rows, threads)])

    def probabilities(self, X: Any, threads: int | None = None) -> Any:
        """The mean probability of each class for the rows of an array or a raw table; two columns for one output."""
        if len(self.loss.parts) > 1 or not probable(self.loss):
            must = "must be `cross_entropy` or `binary_cross_entropy` for outputs to be probabilities"
            raise ConfigError("loss", must, f"`{self.loss.named}`")
        rows, _ = self.prepared(X)
        p = self.averages(rows, threads)[0].predictions
        p = np.hstack([1.0 - p, p]) if p.shape[1] == 1 else p
        return self._shaped(None, [p])

    predict_proba = probabilities

    def predict_members(self, X: Any, threads: int | None = None) -> Any:
        """Outputs of each member for the rows of X.

        Returns
        -------
        array, shape (members, rows, outputs), or a tuple of one per output of the networks if there are several
        """
        rows, is_table = self.prepared(X)
        each = list(self.each(rows, threads))
        one = not is_table and self._is_one_row(X)
        found = tuple(
            np.stack([parts[i][0] if one else parts[i] for parts in each]).astype(self.dtype)
            for i in range(len(self.loss.parts))
        )
        return found if len(found) > 1 else found[0]

    def together(self, X: Any, threads: int | None = None) -> Any:
        """Outputs with which one network would say what the members say together, as float64: logits, or numbers."""
        rows, is_table = self.prepared(X)
        widths = self._members[0].graph.splits
        averages = self.averages(rows, threads)
        found = [outputs_of(one.loss, one.mean, width) for one, width in zip(averages, widths, strict=True)]
        return self._shaped(None if is_table else X, found, np.float64)

    def judged(self, X: Any, y: Any, metric: str | None, sample_weight: Any) -> tuple[list[Any], Judge]:
        """Rows as each member reads them, and what measures predictions for them."""
        units = None
        if y is None:
            tables = [self._members[at].tables for at in self.ways]
            parts = {at: one and one.part_of(X) for at, one in zip(self.ways, tables, strict=True)}
            if parts[0] is None:
                raise DataError("y", "must be given with an array", "`None`")
            rows = [parts[at].X for at in self.groups]
            y, weight, units = parts[0].y, parts[0].weight, parts[0].units
            sample_weight = weight if sample_weight is None else sample_weight
        else:
            rows, _ = self.prepared(X)
        widths = self._members[0].graph.splits
        return rows, Judge(self.loss, widths, self.dtype, y, metric, sample_weight, units)

    @known_words
    def evaluate(self, X: Any, y: Any = None, metric: str = "loss", sample_weight: Any = None) -> float:
        """The loss of what the members say together, or a metric that fits it.

        Parameters
        ----------
        X : array or table
        y : array
            Targets for the loss; a table has them itself, in which case numbers are measured in its units.
        metric : str
        sample_weight : array, shape (rows,), optional
        """
        rows, judge = self.judged(X, y, metric, sample_weight)
        return judge.score([average.mean for average in self.averages(rows)])


def _rebuilt(kind: type[Ensemble], *parts: Any) -> Ensemble:
    return kind.of(*parts)
