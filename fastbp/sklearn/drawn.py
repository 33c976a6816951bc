"""The pack of a preset: members with settings that are drawn, and the ensemble that is chosen of them.

Members, their draws and seeds are those of a run of `fastbp train` with the preset and the seed `random_state`, and so
is how they are chosen: epochs meanwhile, or members at the end by what they say of rows that they were not trained on.
But columns are prepared once, by all rows that train.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import DataWarning, DivergedError, tell
from fastbp.sklearn.callbacks import Watched
from fastbp.sklearn.layers import graph_for
from fastbp.sklearn.presets import filled
from fastbp.train.averages import averaged
from fastbp.train.callbacks import Callback, EarlyStopping, TimeBudget
from fastbp.train.ensemble import Ensemble
from fastbp.train.greedy import SIZE, forward
from fastbp.train.held_out import HeldOut, held_out_of
from fastbp.train.judge import LOSS, Judge
from fastbp.train.members import Member
from fastbp.train.pack import Pack
from fastbp.train.pack_calls import Work
from fastbp.train.selection import Greedy, Online
from fastbp.train.time_limits import compared, in_turn

if TYPE_CHECKING:
    from fastbp.data.inputs import Inputs
    from fastbp.model.network import Network
    from fastbp.sklearn.members import Folds, Part
    from fastbp.sklearn.rows import Rows
    from fastbp.sklearn.settings import Settings
    from fastbp.spec.losses import Loss
    from fastbp.train.history import History
    from fastbp.train.trainer import Trainer

Array = NDArray[Any]


class Until(TimeBudget):
    """A limit of time that is the same moment for all networks, whenever they begin."""

    def __init__(self, seconds: float, end: float) -> None:
        super().__init__(seconds)
        self.end_at = end

    def begin(self, trainer: Trainer, history: History) -> None:
        super().begin(trainer, history)
        self._deadline = self.end_at


class Drawn(Pack):
    """A pack whose members have settings of their own; with folds those of a member stand fold by fold."""

    settings: list[Settings]
    folds: int


def pack_of(
    estimator: Any, said: Settings, inputs: Inputs, outputs: int, rows: Rows, loss: Loss, seed: int, folds: Folds
) -> Drawn:
    """The members of a preset, on all rows or on those outside of each fold."""
    from fastbp.sklearn.settings import Settings

    members: list[Member] = []
    settings: list[Settings] = []
    others: list[Any] = [one.astype(np.uint32) for one, _ in folds] or [None]
    matrix = cache(lambda: inputs.matrix(rows.frame, estimator._filled.dtype))
    for number, keys in enumerate(keys_of(estimator, said, seed)):
        own = filled(estimator, keys)
        settings.append(Settings.of(own))
        graph = graph_for(own, inputs, outputs, rows.frame, loss, matrix)
        alone = replace(settings[-1], threads=1)
        for one in others:
            members.append(Member(alone.trainer(graph, loss, (seed + number) % 2**64, own.dtype), one))
    pack = Drawn._of(members, said.threads)
    assert isinstance(pack, Drawn)
    pack.settings, pack.folds = settings, len(others)
    return pack


def keys_of(estimator: Any, said: Settings, seed: int) -> list[dict[str, Any]]:
    """The keys of each member: those of the preset, with what is drawn for it."""
    from fastbp.config.build import plan_of
    from fastbp.config.pack import members_of
    from fastbp.config.text import Text

    keys = estimator._preset_keys
    rows = {**keys.get("data", {}), "source": "files", "path": "X"}
    pack = {**keys["pack"], "members": said.n_ens}
    return [one.plan.text.data for one in members_of(plan_of(Text({**keys, "data": rows, "seed": seed, "pack": pack})))]


@dataclass
class Fit:
    """A fit of such a pack, and what is chosen of it.

    Attributes
    ----------
    estimator : Perceptron
    pack : Drawn
    said : Settings
        Of all.
    rows : Rows
        That train; with folds those that are held out, too.
    X, y : array
        The same, prepared.
    parts : list of Part
        What the members of each fold are given, or all.
    folds : list of arrays
        The rows of each, or none.
    metrics : list of str
        Taken of rows that are held out.
    """

    estimator: Any
    pack: Drawn
    said: Settings
    rows: Rows
    X: Any
    y: Array
    parts: Sequence[Part]
    folds: Sequence[Array]
    metrics: Sequence[str]

    def run(self) -> Ensemble:
        """Train all members at once, or while time is left one after another, and choose the ensemble."""
        pack, self.begun = self.pack, time.perf_counter()
        with pack._lock:
            data, scores = self._checked()
            self.hooks = [self._hooks(i, scores[i % pack.folds]) for i in range(len(pack))]
            online = self._online(scores[0])
            works = []
            for i, member in enumerate(pack._members):
                score = scores[i % pack.folds]
                held_out = None if score is None else (score.checked, None)
                words: dict[str, Any] = {"measured": score, "pauses": online is not None}
                epochs = pack.settings[i // pack.folds].epochs
                works.append(member.guarded(member.fit(data[i % pack.folds], epochs, held_out, self.hooks[i], **words)))
            if online is not None:
                online.run(works, pack._turns)
            else:
                for stage in self._stages(works):
                    pack._turns.run(stage)
            self._warn()
            return self._chosen(scores) if online is None else self._of_epochs(online)

    def _checked(self) -> tuple[list[Any], list[HeldOut | None]]:
        """For each fold, or for all, rows as kernels read them, and those that are held out."""
        first, found, scores = self.pack._members[0], {}, []
        for part in self.parts:
            if id(part.weights) not in found:
                found[id(part.weights)] = self.pack._checked(self.X, self.y, part.weights)
            metrics = self.metrics if part.held_out is not None else ()
            scores.append(held_out_of(first.net, first.trainer._loss, part.held_out, metrics, part.units))
        return [found[id(part.weights)] for part in self.parts], scores

    def _hooks(self, i: int, score: HeldOut | None) -> list[Callback]:
        own = self.pack.settings[i // self.pack.folds]
        found = own.callbacks(score is not None, f"network {i + 1}/{len(self.pack)}", self.metrics)
        for hook in found:
            if isinstance(hook, Watched) and isinstance(hook.own, TimeBudget):
                hook.own = Until(hook.own.seconds, self.begun + hook.own.seconds)
        return found

    def _limits(self, i: int) -> list[Until]:
        """What limits the time of a network."""
        watched = [hook.own for hook in self.hooks[i] if isinstance(hook, Watched)]
        return [own for own in watched if isinstance(own, Until)]

    def _stages(self, works: list[Work]) -> list[list[Work]]:
        ends = [one.end_at for one in self._limits(0)]
        if not ends:
            return [works]
        return in_turn(works, self.pack.threads, alone=True, over=lambda: time.perf_counter() >= min(ends))

    def _warn(self) -> None:
        lost = [i for i, member in enumerate(self.pack._members) if member.diverged]
        if lost:
            more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
            why = self.pack._members[lost[0]].history.stopped
            tell(DataWarning(f"network {lost[0] + 1} of {len(self.pack)}{more} stopped: {why}"))

    # The ensemble

    @property
    def loss(self) -> Loss:
        """Of all networks."""
        return self.pack._members[0].trainer._loss.parts[0][0]

    @property
    def measure(self) -> str:
        """What networks are compared by."""
        name = self.said.monitor.removeprefix("val_")
        return name if name in self.metrics else LOSS

    def _judge(self, y: Array, weights: Any, units: Any) -> Judge:
        net = self.pack._members[0].net
        judge = Judge(self.loss, net.graph.splits, net.dtype, y, self.measure, weights, units)
        if self.measure != LOSS and self.said.beyond.mode != "auto":
            judge.upwards = self.said.beyond.mode == "max"
        return judge

    def _online(self, score: HeldOut | None) -> Online | None:
        """What chooses an ensemble of epochs meanwhile, if the preset has that."""
        asked = None if self.said.pack is None else self.said.pack.online
        if asked is None or score is None:
            return None
        judge = self._judge(score.y, score.weights, score.units)
        settings = Greedy(asked.size, asked.patience)
        return Online(settings, self.pack._members, self.hooks, score.checked[0], judge)

    def _of_epochs(self, online: Online) -> Ensemble:
        for one in online.best:
            self._tell(one.kept, one.member)
        found = online.ensemble
        if found is None:
            raise self._lost()
        return found

    def _tell(self, net: Any, i: int) -> None:
        """Let a network know how its rows were prepared, and how it was trained."""
        net.about = {"recipe": self.estimator.recipe_.to_data()}
        net.trained_with = self.pack._members[i].net.trained_with

    def _lost(self) -> DivergedError:
        why = self.pack._members[0].history.stopped
        return DivergedError(f"no member stayed finite for an epoch; the first: {why}", 0, "")

    def _ended(self, i: int) -> tuple[bool, bool]:
        """Whether a network has an epoch, and whether it was trained to its end."""
        member, stops = self.pack._members[i], [hook for hook in self.hooks[i] if isinstance(hook, EarlyStopping)]
        there = bool(stops[-1].best_epoch) if stops else bool(member.history.loss) and not member.diverged
        return there, there and not self._is_cut(i)

    def _is_cut(self, i: int) -> bool:
        """Whether time was up before a network was trained to its end."""
        return not self.pack._members[i].history.loss or any(one.spent for one in self._limits(i))

    def _chosen(self, scores: list[HeldOut | None]) -> Ensemble:
        """Members chosen by rows that they were not trained on, on the folds that they have; without such rows all."""
        pack, count = self.pack, self.pack.folds
        every = [[self._ended(i + k) for k in range(count)] for i in range(0, len(pack), count)]
        cut = bool(self.folds) and any(self._is_cut(i) for i in range(len(pack)))
        members, self.some = compared(every, cut)
        if not members or not self.some:
            raise self._lost()
        nets = {i: [pack._members[i * count + k].trainer.evaluated for k in self.some] for i in members}
        self.weights = dict.fromkeys(members, 1)
        if self.folds or scores[0] is not None:
            judge, said = self._judged(scores[0], nets)
            order, _ = forward([judge.ready([averaged(self.loss, z)]) for z in said], judge, SIZE, True, True)
            counts = Counter(members[i] for i in order)
            self.weights = {i: counts[i] for i in dict.fromkeys(members[i] for i in order)} or self.weights
        self.nets = {i: nets[i] for i in self.weights}
        for i, own in self.nets.items():
            for net in own:
                self._tell(net, i * count)
        return self._together(range(len(self.some)))

    def _judged(self, score: HeldOut | None, nets: dict[int, list[Network]]) -> tuple[Judge, list[Array]]:
        """What measures members, and what each says of the rows that are held out."""
        threads = self.pack.threads
        if not self.folds:
            assert score is not None
            said = [own[0].predict(score.checked[0], threads=threads) for own in nets.values()]
            return self._judge(score.y, score.weights, score.units), said
        folds = [self.folds[k] for k in self.some]
        rows, own = np.concatenate(folds), self.rows.weight
        judge = self._judge(self.y[rows], None if own is None else own[rows], self.estimator._units(self.rows.y[rows]))
        each = [self.X[fold] for fold in folds]
        return judge, [
            np.concatenate([net.predict(x, threads=threads) for net, x in zip(found, each, strict=True)])
            for found in nets.values()
        ]

    def _together(self, which: Sequence[int]) -> Ensemble:
        """The networks of some folds of those that there are."""
        nets = [own[k] for own in self.nets.values() for k in which]
        weights = np.repeat(np.array(list(self.weights.values()), np.float64), len(which))
        return Ensemble.of(nets, weights, self.loss)

    def out_of_fold(self) -> Array:
        """Outputs for each row by the networks that were not trained on it; NaN where time was up before there were."""
        out = np.full((len(self.X), self.pack.members[0].outputs), np.nan)
        for at, k in enumerate(self.some):
            out[self.folds[k]] = self._together([at]).together(self.X[self.folds[k]], self.pack.threads)
        return out
