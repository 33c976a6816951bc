"""What the columns of a table are worth to a network, and how much its outputs answer to them.

    importance     how much worse a metric gets where a column's values are shuffled among the rows (Breiman, 2001)
    sensitivity    mean |∂ output / ∂ input| over rows and outputs, by reverse or forward derivatives

A column that the network cannot do without is important; one that another can stand in for is not, however sensitive.
Shuffles are functions of seed, column and repeat alone, so the same call gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, ConfigTypeError, ShapeError, brief
from fastbp.model.network import Network
from fastbp.numerics.philox import words
from fastbp.spec.checks import seed_of, whole
from fastbp.spec.coded import Coded
from fastbp.spec.losses import Loss
from fastbp.train.metrics import evaluate, metric_named

Array = NDArray[Any]
EXPLAIN = 9  # purpose of the random numbers
ALL = 0xFFFFFFFF  # instead of the number of a column, where rows are drawn
MOST = 10_000  # rows that are looked at, by default
NUMBERS = 1 << 22  # of Jacobians at a time


@dataclass(frozen=True)
class Importance:
    """What every column is worth.

    Attributes
    ----------
    metric : str
    score : float
        The metric with all columns in their place.
    columns : list of str
    drops : array, shape (columns, repeats)
        How much worse the metric is after each shuffle, negative where it is better.
    rows, of : int
        How many rows were looked at, and of how many these were drawn.
    """

    metric: str
    score: float
    columns: list[str]
    drops: NDArray[np.float64]
    rows: int = 0
    of: int = 0

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each column's drops."""
        return np.asarray(self.drops.mean(axis=1))

    @property
    def spread(self) -> NDArray[np.float64]:
        """Standard deviation of each column's drops."""
        return np.asarray(self.drops.std(axis=1))


def permutation_importance(
    net: Network,
    X: Any,
    y: Any,
    metric: str = "accuracy",
    loss: str | Loss = "cross_entropy",
    *,
    columns: Mapping[str, Sequence[int]] | None = None,
    repeats: int = 5,
    seed: int = 0,
    sample_weight: Any = None,
) -> Importance:
    """How much worse a metric gets where the values of one column are shuffled among the rows.

    Parameters
    ----------
    net : Network
    X, y : array
        Rows that the network was not trained on, and their targets for `loss`.
    metric : str
        "loss", or a metric that fits the loss, such as "roc_auc".
    loss : str or Loss
    columns : dict of str to list of int, optional
        Names of columns, each with the places of X that are shuffled together; by default each place is one.
    repeats : int, >= 1
    seed : int
    sample_weight : array, shape (rows,), >= 0, optional

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> X = np.random.default_rng(0).standard_normal((200, 2))
    >>> net = fb.Network([fb.Linear(1)], inputs=2)
    >>> net.parameters["0.weight"] = [[1.0], [0.0]]
    >>> found = fb.permutation_importance(net, X, X[:, :1], "r2", "mse")
    >>> bool(found.mean[0] > 1.5), float(found.mean[1])
    (True, 0.0)
    """
    higher = metric != "loss" and metric_named(metric, loss).higher_is_better

    def score(rows: Array) -> float:
        if metric == "loss":
            return net.evaluate(rows, y, loss, sample_weight)
        return evaluate(metric, net.predict(rows), y, sample_weight, loss=loss)

    rows = np.array(X, net.dtype)
    return importance_of(
        lambda mixed: score(*mixed), [rows], [named_columns(net, columns)], metric, higher, repeats, seed
    )


def importance_of(
    score: Callable[[Sequence[Array]], float],
    X: Sequence[Array],
    columns: Sequence[Mapping[str, Sequence[int]]],
    metric: str,
    higher: bool,
    repeats: int,
    seed: int,
    of: int | None = None,
) -> Importance:
    """The same for any score of matrices, which are given back as they were: rows as different networks read them.

    Each matrix has its own places of the columns, and all have the same shuffles; the rows were drawn of so many `of`.
    """
    count, seed = whole("repeats", repeats, 1), seed_of(seed)
    before, rows = score(X), len(X[0])
    names = list(dict.fromkeys(name for own in columns for name in own))
    drops = np.empty((len(names), count))
    for c, name in enumerate(names):
        places = [list(own.get(name, ())) for own in columns]
        kept = [x[:, at] for x, at in zip(X, places, strict=True)]
        for r in range(count):
            order = shuffle(rows, seed, c, r)
            for x, at, values in zip(X, places, kept, strict=True):
                x[:, at] = values[order]
            after = score(X)
            drops[c, r] = before - after if higher else after - before
        for x, at, values in zip(X, places, kept, strict=True):
            x[:, at] = values
    return Importance(metric, before, names, drops, rows, rows if of is None else of)


def some_rows(rows: int, most: int, seed: int) -> NDArray[np.int64]:
    """The numbers of at most so many rows, drawn at random and in order."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(shuffle(rows, seed, ALL, 0)[:most])


def shuffle(rows: int, seed: int, column: int, repeat: int) -> NDArray[np.int64]:
    """Row numbers in random order."""
    counter = np.zeros((4, rows), np.uint64)
    counter[0], counter[1], counter[2], counter[3] = np.arange(rows), column, repeat, EXPLAIN
    drawn = words(counter, (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF))
    return np.argsort(drawn[0] << np.uint64(32) | drawn[1], kind="stable")


def named_columns(net: Network, columns: Any) -> dict[str, list[int]]:
    """The places of each column, checked."""
    if columns is None:
        return {str(i): [i] for i in range(net.inputs)}
    if not isinstance(columns, Mapping):
        raise ConfigTypeError(f"`columns` must be a dict of name to places, got `{brief(columns)}`")
    for name, places in columns.items():
        if isinstance(places, str) or not isinstance(places, Sequence) or not len(places):
            raise ConfigTypeError(f"`columns[{name!r}]` must be a list of places, got `{brief(places)}`")
        for place in places:
            if whole(f"columns[{name!r}]", place, 0) >= net.inputs:
                raise ConfigError(
                    f"`columns[{name!r}]` must be below {net.inputs}, the network's inputs, got `{place}`"
                )
    return {str(name): [int(place) for place in places] for name, places in columns.items()}


def sensitivity(net: Network, X: Any, slopes: Any = None) -> NDArray[np.float64]:
    """Mean |∂ output / ∂ input| over the rows, by output and input.

    Parameters
    ----------
    net : Network
    X : array, shape (rows, inputs), rows >= 1
    slopes : array, shape (rows, outputs), optional
        Factor of the derivatives of each row and output: f′(output), where outputs are turned into other units by f.

    Returns
    -------
    array, shape (outputs, inputs)

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> net = fb.Network([fb.Linear(1)], inputs=2)
    >>> net.parameters["0.weight"] = [[3.0], [-4.0]]
    >>> fb.sensitivity(net, np.zeros((5, 2))).tolist()
    [[3.0, 4.0]]
    """
    rows = X if isinstance(X, Coded) else np.asarray(X, net.dtype)
    if rows.ndim != 2 or not len(rows):
        raise ConfigError(f"`X` must have shape `(rows, {net.inputs})` with rows >= 1, got `{rows.shape}`")
    factors = None if slopes is None else np.asarray(slopes, np.float64)
    if factors is not None and factors.shape != (len(rows), net.outputs):
        raise ShapeError("slopes", f"must have shape `({len(rows)}, {net.outputs})`", f"`{factors.shape}`")
    total = np.zeros((net.outputs, net.inputs))
    block = max(1, NUMBERS // (net.outputs * net.inputs))
    for first in range(0, len(rows), block):
        jacobians = net.jacobian(np.asarray(rows[first : first + block], net.dtype))
        if factors is not None:
            jacobians = jacobians * factors[first : first + block, :, None]
        for jacobian in np.abs(jacobians):
            total += jacobian
    return total / len(rows)
