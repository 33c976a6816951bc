"""Several networks in the place of one: members of a pack, on all rows or each without a fold.

Member i is what a trainer alone makes of the same rows with the seed s + i, to the bit. With folds, members stand fold
by fold, and those of a fold are what its rows are predicted by: none of them was trained on these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import DivergedError
from fastbp.model.network import Network
from fastbp.spec.graph import Graph
from fastbp.spec.losses import Loss
from fastbp.train.ensemble import Ensemble
from fastbp.train.held_out import Units, held_out_of
from fastbp.train.history import History
from fastbp.train.pack import Pack
from fastbp.train.pack_calls import Work

if TYPE_CHECKING:
    from fastbp.sklearn.settings import Settings

Array = NDArray[Any]
Folds = Sequence[tuple[Array, Array]]  # the other rows of each fold, and its own


def pack_of(said: Settings, graph: Graph, loss: Loss, seed: int, dtype: str, folds: Folds) -> Pack:
    """The members: `n_ens` on all rows, or on those outside of each fold."""
    rows = [others for others, _ in folds for _ in range(said.n_ens)] or None
    nets = [Network.of_graph(graph, (seed + i) % 2**64, dtype) for i in range(len(rows or range(said.n_ens)))]
    settings: dict[str, Any] = {"schedule": said.schedule, **said.beyond.of(graph, loss, said.optimizer), "rows": rows}
    return Pack(nets, loss, said.optimizer, said.batch_size, said.threads, **settings)


def go_on(pack: Pack, said: Settings) -> None:
    """Settings that may be others before training goes on."""
    pack.optimizers = said.optimizer
    pack._threads = pack._turns.threads = said.threads


@dataclass
class Part:
    """What the members of a fold are given, or all where there are no folds.

    Attributes
    ----------
    weights : array, optional
        Of the rows that are trained on.
    held_out : (X, y, weights), optional
        Rows that decide when to stop.
    units : Units, optional
        Of their scores.
    """

    weights: Any
    held_out: Any
    units: Units | None


def train(
    pack: Pack,
    said: Settings,
    X: Any,
    y: Array,
    parts: Sequence[Part],
    epochs: int,
    metrics: Sequence[str],
) -> list[History]:
    """Train all members at once; one that diverges is the error that it is alone."""
    works: list[Work] = []
    each = len(pack) // len(parts)
    with pack._lock:
        checked: dict[int, Any] = {}
        for i, member in enumerate(pack._members):
            part = parts[i // each]
            if i % each == 0:
                if id(part.weights) not in checked:
                    checked[id(part.weights)] = pack._checked(X, y, part.weights)
                data, held_out, score = checked[id(part.weights)], None, None
                if part.held_out is not None:
                    score = held_out_of(member.net, member.trainer._loss, part.held_out, metrics, part.units)
                    assert score is not None
                    held_out = score.checked, None
            hooks = said.callbacks(score is not None, f"network {i + 1}/{len(pack)}", metrics)
            works.append(_named(i, member.fit(data, epochs, held_out, hooks, measured=score)))
        pack._turns.run(works)
    return pack.histories


def _named(i: int, work: Work) -> Work:
    """The same work, whose error says which network it is about."""
    try:
        yield from work
    except DivergedError as error:
        raise error.at(place=f"networks_[{i}]") from None


def ensemble_of(pack: Pack, loss: Loss, recipe: dict[str, Any]) -> Ensemble:
    """The members as they are now, with the preprocessing in their file."""
    nets = list(pack.evaluated)
    for net in nets:
        net.about = {"recipe": recipe}
    return Ensemble(nets, loss=loss)


def out_of_fold(pack: Pack, loss: Loss, X: Any, folds: Folds, threads: int) -> Array:
    """Outputs for each row by the members that were not trained on it."""
    each = len(pack) // len(folds)
    out = np.empty((len(X), pack.members[0].outputs))
    for k, (_, fold) in enumerate(folds):
        own = Ensemble(list(pack.evaluated[k * each : (k + 1) * each]), loss=loss)
        out[fold] = own.together(X[fold], threads)
    return out
