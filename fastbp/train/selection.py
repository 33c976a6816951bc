"""An ensemble that is chosen while a pack trains: of epochs of its members.

After every epoch of all members that still train, candidates are

    the epochs in the ensemble so far, whose parameters are kept
    the best epoch of each member that has left, with its patience, or otherwise its last
    the last epoch of each member that still trains

and `greedy.forward` chooses among them without replacement. What it finds becomes the ensemble if it is better. Epoch e
of all members is there before epoch e + 1 of any begins, so nothing depends on threads or on time.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, DataError
from fastbp.model.network import Network
from fastbp.spec.checks import whole
from fastbp.spec.elsewhere import KnownWords
from fastbp.train.averages import averaged
from fastbp.train.callbacks import EarlyStopping
from fastbp.train.ensemble import Ensemble
from fastbp.train.greedy import forward
from fastbp.train.held_out import Units
from fastbp.train.judge import Judge
from fastbp.train.members import Member
from fastbp.train.pack_calls import Turns, Work, has_ended, to_its_pause
from fastbp.train.trainer import Trainer


@dataclass(frozen=True)
class Greedy(KnownWords):
    """Choose an ensemble while a pack trains: `ensemble` of `Pack.fit`.

    After each epoch it is chosen anew, from the best single network on, one after another, as long as the mean of the
    predictions for the validation rows gets better. A member may be in it with several of its epochs.

    Parameters
    ----------
    size : int, >= 1
        How many networks it has at most.
    patience : int, >= 0, optional
        The fit ends after so many epochs in which the ensemble did not get better; 0 ends it as 1 does, None never.
    metric : str, optional
        "loss", or one of `fb.metrics.METRICS` that fits the loss; by default "log_loss" where outputs stand for
        probabilities, otherwise the loss of what the networks say together.

    Examples
    --------
    >>> import fastbp as fb
    >>> pack = fb.Pack(fb.mlp([64, 16, 10]), n=3, optimizer=fb.Adam(lr=1e-2))
    >>> validation = fb.data.digits("validation")
    >>> _ = pack.fit(*fb.data.digits("train"), epochs=4, validation=validation, ensemble=fb.Greedy(size=4))
    >>> len(pack.selected) <= 4, pack.selected.metric
    (True, 'log_loss')
    """

    size: int = 32
    patience: int | None = 32
    metric: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", whole("Greedy.size", self.size, 1))
        if self.patience is not None:
            object.__setattr__(self, "patience", whole("Greedy.patience", self.patience, 0))

    def judge(self, trainer: Trainer, y: Any, weight: Any, units: Units | None) -> Judge:
        """What measures predictions of such a trainer's network for the validation rows."""
        net = trainer.net
        try:
            return Judge(trainer._loss, net.graph.splits, net.dtype, y, self.metric, weight, units).tried()
        except ConfigError as error:
            raise error.at(where="Greedy.metric" if error.where == "metric" else error.where) from None
        except DataError as error:
            raise error.at(place="validation") from None


@dataclass
class Candidate:
    """An epoch of a member, and what it says of the validation rows; kept ones have a network of their own."""

    member: int
    epoch: int
    said: list[NDArray[Any]]
    kept: Network | None = None

    @property
    def name(self) -> tuple[int, int]:
        return self.member, self.epoch


class Online:
    """The ensemble of a fit.

    Parameters
    ----------
    settings : Greedy
    members : sequence of Member
    hooks : list of list of Callback
        Of each member.
    x : array
        Validation rows as kernels read them.
    judge : Judge
    """

    def __init__(
        self, settings: Greedy, members: Sequence[Member], hooks: list[list[Any]], x: Any, judge: Judge
    ) -> None:
        self.settings, self.members, self.hooks, self.x, self.judge = settings, members, hooks, x, judge
        self.loss = members[0].trainer._loss
        self.best: list[Candidate] = []
        self.scores: list[float] = []
        self.waited = 0
        self._gone: dict[int, Candidate | None] = {}  # members that have left

    def run(self, works: Sequence[Work], turns: Turns) -> None:
        """Run works that pause after their epochs to the end, or until the ensemble is no longer getting better."""
        try:
            while any(not has_ended(work) for work in works):
                turns.run([to_its_pause(work) for work in works if not has_ended(work)])
                self.choose([not has_ended(work) for work in works], turns)
                patience = self.settings.patience
                if patience is not None and self.waited >= max(patience, 1):
                    for member, work in zip(self.members, works, strict=True):
                        if not has_ended(work):
                            member.history.stopped = f"the ensemble did not improve for {self.waited} epochs"
                    break
        finally:
            for work in works:
                work.close()

    def choose(self, running: Sequence[bool], turns: Turns) -> None:
        """Choose anew after an epoch."""
        asked = [i for i in range(len(self.members)) if i not in self._gone]
        new = self._candidates([i for i in asked if running[i] or self._last_epoch(i)], turns, running)
        for i in asked:
            if not running[i]:
                self._gone[i] = new.get(i)
        kept = {one.name for one in self.best}
        found = [new.get(i) or self._gone.get(i) for i in range(len(self.members))]
        pool = [*self.best, *(one for one in found if one is not None and one.name not in kept)]
        order, scores = forward([one.said for one in pool], self.judge, self.settings.size, False, True)
        worth = self.judge.worth
        if order and (not self.best or worth(scores[-1]) > worth(self.scores[-1])):
            self.best, self.scores, self.waited = [self._with_network(pool[i]) for i in order], scores, 0
        else:
            self.waited += 1

    def _last_epoch(self, i: int) -> int:
        """The epoch that a member that has left is at; 0: at none."""
        member = self.members[i]
        for hook in self.hooks[i]:
            if isinstance(hook, EarlyStopping):
                return hook.best_epoch
        return 0 if member.diverged else len(member.history.loss)

    def _candidates(self, asked: list[int], turns: Turns, running: Sequence[bool]) -> dict[int, Candidate]:
        """What these members say now."""
        outputs = [np.empty((len(self.x), self.members[i].net.outputs), self.members[i].net.dtype) for i in asked]
        turns.run([self.members[i].predict(self.x, y) for i, y in zip(asked, outputs, strict=True)])
        found = {}
        for i, y in zip(asked, outputs, strict=True):
            net = self.members[i].net
            parts = (y,) if net._splits is None else net._apart(y)
            said = [averaged(loss, part) for (loss, _), part in zip(self.loss.parts, parts, strict=True)]
            epoch = len(self.members[i].history.loss) if running[i] else self._last_epoch(i)
            found[i] = Candidate(i, epoch, self.judge.ready(said))
        return found

    def _with_network(self, one: Candidate) -> Candidate:
        """A candidate with a copy of its network, which is there as long as its member is at that epoch."""
        if one.kept is None:
            one.kept = copy.copy(self.members[one.member].trainer.evaluated)
        return one

    @property
    def ensemble(self) -> Ensemble | None:
        """What was chosen; None before the first epoch."""
        nets = [one.kept for one in self.best if one.kept is not None]
        if not nets:
            return None
        chosen = [one.name for one in self.best]
        return Ensemble.of(nets, np.ones(len(nets)), self.loss, chosen, self.scores, self.judge.name)
