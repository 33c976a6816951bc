"""Parts of the rows, chosen by a seed: those that `data.split` of a configuration would choose.

Where rows have classes, each part gets the same share of every class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, DataError
from fastbp.model.network import Network
from fastbp.numerics.splits import split
from fastbp.spec.checks import whole
from fastbp.spec.losses import Loss
from fastbp.train.class_weights import of_classes, row_weights

Array = NDArray[Any]


class Rows:
    """Rows for a network and a loss, of which parts can be taken.

    Attributes
    ----------
    classes : array or None
        The class of each row, where the loss is of classes and `y` has one for each row.
    """

    def __init__(self, net: Network, loss: Loss, X: Any, y: Any, sample_weight: Any = None) -> None:
        self._count = len(net.checked(X, y, loss, row_weights(sample_weight, y))[0])
        self._x = np.atleast_2d(np.asarray(net._side_by_side(X)))
        apart = len(net.graph.heads) > 1
        self._y: tuple[Array, ...] = tuple(map(np.asarray, y)) if apart else (np.asarray(y),)
        self._apart, self._weights = apart, sample_weight
        labels = self._y[0]
        labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
        one_each = not apart and labels.ndim == 1 and labels.dtype.kind in "iub"
        self.classes = labels if one_each and "labels" in loss.metrics else None

    def __len__(self) -> int:
        return self._count

    def take(self, rows: Array, training: bool) -> tuple[Any, Any, Any]:
        """X, y and the weights of these rows; weights by class are for training only."""
        y = tuple(part[rows] for part in self._y) if self._apart else self._y[0][rows]
        weights = self._weights
        if of_classes(weights):
            weights = weights if training else None
        elif weights is not None:
            weights = np.asarray(weights)[rows]
        return self._x[rows], y, weights

    def part(self, fraction: float, seed: int) -> tuple[Array, Array]:
        """The other rows, and this part of them."""
        if not 0.0 < fraction < 1.0:
            raise ConfigError("validation", "must be above 0 and below 1 as a part of the rows", f"`{fraction}`")
        try:
            found = split(len(self), seed, fraction, 0.0, classes=self.classes)
        except DataError as error:
            raise error.at(where="validation") from None
        return found["train"], found["validation"]

    def folds(self, folds: Any, seed: int) -> list[tuple[Array, Array]]:
        """For each fold the other rows, and its own."""
        count = whole("folds", folds, 2)
        if count > len(self):
            raise ConfigError("folds", f"must be at most {len(self)}, the number of rows", f"`{count}`")
        if self.classes is not None:
            names, sizes = np.unique(self.classes, return_counts=True)
            rare = int(np.argmin(sizes))
            if sizes[rare] < count:
                what = f"class `{names[rare]}` has {sizes[rare]} row{'' if sizes[rare] == 1 else 's'}"
                must = f"must be such that each fold has every class, but {what}"
                raise ConfigError("folds", must, f"`{count}`")
        found = [split(len(self), seed, 0.0, 0.0, classes=self.classes, folds=count, fold=i) for i in range(count)]
        return [(part["train"], part["validation"]) for part in found]


def parted(
    net: Network, loss: Loss, X: Any, y: Any, validation: Any, sample_weight: Any, seed: int
) -> tuple[Any, Any, Any, Any]:
    """X, y, sample weights and validation rows of a fit, whose `validation` may be a part of the rows."""
    if isinstance(validation, bool) or not isinstance(validation, float | int | np.floating):
        return X, y, sample_weight, validation
    rows = Rows(net, loss, X, y, sample_weight)
    others, held_out = rows.part(float(validation), seed)
    *found, weights = rows.take(held_out, training=False)
    return *rows.take(others, training=True), (*found, weights)
