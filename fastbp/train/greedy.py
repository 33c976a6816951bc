"""Greedy forward selection: which predictions to average, one after another (Caruana et al., 2004).

    first    the candidate whose predictions are best
    then     the one c with which the mean μ + (c - μ) / n of n is best, as long as that is better than before

Equally good ones are taken in the order of the candidates, and everything is computed in float64 by functions of the
same bits on every machine, so what is chosen depends on predictions and targets alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import DataError
from fastbp.spec.checks import flag, whole
from fastbp.train.averages import averaged
from fastbp.train.judge import Judge

if TYPE_CHECKING:
    from fastbp.train.ensemble import Ensemble

Array = NDArray[Any]
SIZE = 50  # choices among the members of a run or an estimator, at most
Said = list[Array]  # what one candidate says: what is averaged, for each output of the networks


def forward(
    candidates: Sequence[Said], judge: Judge, size: int, replacement: bool, stop_early: bool
) -> tuple[list[int], list[float]]:
    """Numbers of candidates in the order in which they are chosen, and the score after each choice.

    Candidates are as `Judge.ready` gives them.
    """
    order: list[int] = []
    scores: list[float] = []
    free = [i for i, said in enumerate(candidates) if all(np.isfinite(part).all() for part in said)]
    mean: Said = []
    while free and len(order) < size:
        found = judge.each(_with(mean, candidates[i], len(order) + 1) for i in free)
        worths = [judge.worth(score) for score in found]
        best = max(range(len(free)), key=worths.__getitem__)  # the first of equal ones
        if order and stop_early and not worths[best] > judge.worth(scores[-1]):
            break
        chosen = free[best]
        order.append(chosen)
        scores.append(found[best])
        mean = _with(mean, candidates[chosen], len(order))
        if not replacement:
            free.remove(chosen)
    return order, scores


def _with(mean: Said, said: Said, count: int) -> Said:
    """The mean of `count`, of which this is the last."""
    return [part + (own - part) / count for part, own in zip(mean, said, strict=True)] if mean else said


def greedily(
    whole_one: Ensemble,
    X: Any,
    y: Any,
    metric: str | None,
    size: int,
    replacement: bool,
    stop_early: bool,
    sample_weight: Any,
) -> Ensemble:
    """Choose among the members of an ensemble: the result of `Ensemble.greedy`."""
    count = whole("size", size, 1)
    again, early = flag("replacement", replacement), flag("stop_early", stop_early)
    rows, judge = whole_one.judged(X, y, metric, sample_weight)
    losses = [loss for loss, _ in whole_one.loss.parts]
    candidates = [
        judge.ready([averaged(*pair) for pair in zip(losses, parts, strict=True)]) for parts in whole_one.each(rows)
    ]
    order, scores = forward(candidates, judge, count, again, early)
    if not order:
        raise DataError("models", "must have one whose predictions are finite", "none")
    members = list(dict.fromkeys(order))
    weights = np.array([order.count(i) for i in members], np.float64)
    nets = [whole_one.members[i] for i in members]
    return type(whole_one).of(nets, weights, whole_one.loss, order, scores, judge.name)
