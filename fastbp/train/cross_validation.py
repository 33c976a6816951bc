"""Cross-validation: a trainer trained once for each fold, on the other rows, and measured on the fold."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigTypeError, brief
from fastbp.spec.checks import seed_of
from fastbp.train.held_out import held_out_of
from fastbp.train.history import History
from fastbp.train.lbfgs import LBFGS
from fastbp.train.parts import Rows
from fastbp.train.trainer import Trainer

Array = NDArray[Any]
Trains = Trainer | LBFGS


@dataclass
class CrossValidation:
    """What `cross_validate` found: by name a list with a number for each fold, as a sequence a dict for each fold.

    Attributes
    ----------
    scores : dict of list of float
        Loss and metrics of each fold, by names such as "val_loss".
    rows : list of array
        The rows of each fold.
    histories : list of History
    trainers : list of Trainer
    """

    scores: dict[str, list[float]] = field(default_factory=dict)
    rows: list[Array] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)
    trainers: list[Any] = field(default_factory=list)

    def __getitem__(self, name: str) -> list[float]:
        return self.scores[name]

    def keys(self) -> list[str]:
        """Names of the measures."""
        return list(self.scores)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for at in range(len(self.rows)):
            yield {"fold": at + 1, **{name: values[at] for name, values in self.scores.items()}}

    @property
    def mean(self) -> dict[str, float]:
        """The mean over the folds."""
        return {name: float(np.mean(values)) for name, values in self.scores.items()}

    @property
    def spread(self) -> dict[str, float]:
        """The standard deviation between folds, √(Σ (s - mean)² / (folds - 1))."""
        return {name: float(np.std(values, ddof=1)) for name, values in self.scores.items()}

    def __repr__(self) -> str:
        mean, spread = self.mean, self.spread
        said = "".join(f", {name}={mean[name]:.4g} ± {spread[name]:.2g}" for name in self.scores)
        return f"CrossValidation(folds={len(self.rows)}{said})"


def cross_validate(
    trainer: Trains | Callable[[], Trains],
    X: Any,
    y: Any,
    folds: int = 5,
    seed: int = 0,
    epochs: int = 1,
    metrics: Sequence[str] = (),
    callbacks: Sequence[Any] = (),
    sample_weight: Any = None,
) -> CrossValidation:
    """Train once for each fold, on all other rows, and measure on the fold.

    Parameters
    ----------
    trainer : Trainer, LBFGS, or function of nothing that makes one
        A trainer is copied for each fold as it is, so it should not have been trained; it stays as it is.
    X, y, epochs, metrics, sample_weight
        As for `Trainer.fit`.
    folds : int, >= 2
    seed : int
        Chooses the folds, which have the same share of every class where `y` is a class for each row.
    callbacks : list
        As for `Trainer.fit`, copied for each fold; its rows are what `fb.EarlyStopping` and others watch.

    Returns
    -------
    CrossValidation

    Examples
    --------
    >>> import fastbp as fb
    >>> X, y = fb.data.digits("train")
    >>> trainer = fb.Trainer(fb.mlp([64, 32, 10]), optimizer=fb.Adam(lr=1e-2))
    >>> found = fb.cross_validate(trainer, X, y, folds=4, epochs=5, metrics=["accuracy"])
    >>> len(found["val_accuracy"]), found.mean["val_accuracy"] > 0.9, found.spread["val_accuracy"] < 0.1
    (4, True, True)
    """
    seed = seed_of(seed)
    first = _made(trainer)
    rows = Rows(first.net, first._loss, X, y, sample_weight)
    parts = rows.folds(folds, seed)
    if not isinstance(callbacks, list | tuple):
        raise ConfigTypeError("callbacks", "must be a list of callbacks", f"`{brief(callbacks)}`")
    found = CrossValidation()
    for number, (others, fold) in enumerate(parts):
        one = first if number == 0 else _made(trainer)
        x, t, weights = rows.take(others, training=True)
        held_out = rows.take(fold, training=False)
        history = one.fit(
            x,
            t,
            epochs=epochs,
            validation=held_out,
            callbacks=copy.deepcopy(list(callbacks)),
            sample_weight=weights,
            metrics=metrics,
        )
        last = History(metrics={f"val_{name}": [] for name in metrics})
        measured = held_out_of(one.net, one._loss, held_out, metrics, one.units)
        assert measured is not None
        measured.measure(one.evaluated, last)  # after callbacks, which may have put the best parameters back
        for name in ("val_loss", *last.metrics):
            found.scores.setdefault(name, []).append(last[name][0])
        found.rows.append(fold)
        found.histories.append(history)
        found.trainers.append(one)
    return found


def _made(trainer: Any) -> Trains:
    """A trainer for a fold."""
    made = copy.deepcopy(trainer) if isinstance(trainer, Trains) else trainer() if callable(trainer) else trainer
    if not isinstance(made, Trains):
        got = f"`{brief(made)}`" + (" from the function" if made is not trainer else "")
        raise ConfigTypeError("trainer", "must be a trainer or a function of nothing that makes one", got)
    return made
