"""The ensemble that a pack's run chooses while it trains, with all that a checkpoint has of it.

As in `train.selection`, of candidates of the run: what a member that has left says is what its best epoch says. A round
is an epoch of every member that still trains, and a choice. Members that have done theirs when a checkpoint is written
wait for the others when the run goes on, so no bit depends on when it was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.model.network import Network
from fastbp.runs.pack_checkpoint import OnlineState
from fastbp.train.averages import averaged
from fastbp.train.judge import Judge
from fastbp.train.pack_calls import Turns, Work, has_ended, to_its_pause
from fastbp.train.selection import Candidate, Greedy, Online

if TYPE_CHECKING:
    from fastbp.runs.pack_training import Runner


class RunOnline(Online):
    """The ensemble of a run.

    Parameters
    ----------
    settings : Greedy
    runners : sequence of Runner
        A network each of the members.
    x : array
        Validation rows as kernels read them.
    judge : Judge
        By the monitored measure.
    """

    def __init__(self, settings: Greedy, runners: Sequence[Runner], x: Any, judge: Judge) -> None:
        super().__init__(settings, [one.entrant.member for one in runners], [[] for _ in runners], x, judge)
        self.runners, self.rounds = runners, 0

    def train(self, works: Sequence[Work | None], turns: Turns, between: Callable[[], None]) -> str:
        """Run works, None for members that have left, until all end or the ensemble is no longer getting better.

        Returns why it ended before them.
        """
        try:
            while any(map(_goes_on, works)):
                due = [
                    work
                    for one, work in zip(self.runners, works, strict=True)
                    if work is not None and not has_ended(work) and len(one.history.val_loss) <= self.rounds
                ]
                turns.run([to_its_pause(work) for work in due], between)
                self.choose([_goes_on(work) for work in works], turns)
                self.rounds += 1
                if self.is_over and any(map(_goes_on, works)):
                    why = f"the ensemble did not improve for {self.waited} epochs"
                    for one, work in zip(self.runners, works, strict=True):
                        if _goes_on(work):
                            one.history.stopped = why
                    return why
            return ""
        finally:
            for work in works:
                if work is not None:
                    work.close()

    @property
    def is_over(self) -> bool:
        """Whether patience is."""
        patience = self.settings.patience
        return patience is not None and self.waited >= max(patience, 1)

    def _last_epoch(self, i: int) -> int:
        return int(self.runners[i].best["epoch"]) if self.runners[i].best_arrays else 0

    def _candidates(self, asked: list[int], turns: Turns, running: Sequence[bool]) -> dict[int, Candidate]:
        found = super()._candidates([i for i in asked if running[i]], turns, running)
        for i in asked:
            if not running[i]:
                found[i] = self._of_network(i, self._last_epoch(i), self.runners[i].network())
        return found

    def _with_network(self, one: Candidate) -> Candidate:
        found = super()._with_network(one)
        assert found.kept is not None
        own = self.members[one.member].net  # a running average knows of no table
        found.kept.about, found.kept.trained_with = own.about, own.trained_with
        return found

    def _of_network(self, i: int, epoch: int, net: Network) -> Candidate:
        """An epoch of a member that is kept."""
        outputs: Any = net.predict(self.x, threads=1)
        parts = outputs if isinstance(outputs, tuple) else (outputs,)
        said = [averaged(loss, part) for (loss, _), part in zip(self.loss.parts, parts, strict=True)]
        return Candidate(i, epoch, self.judge.ready(said), net)

    # Checkpoints

    def state(self) -> tuple[OnlineState, dict[str, Any]]:
        """Words and arrays of a checkpoint."""
        arrays: dict[str, Any] = {}
        for number, one in enumerate(self.best):
            assert one.kept is not None
            arrays[f"online/{number}/flat"], arrays[f"online/{number}/states"] = one.kept.flat, one.kept.states.flat()
        chosen = [(one.member, one.epoch) for one in self.best]
        return OnlineState(self.rounds, self.waited, list(self.scores), chosen), arrays

    def restore(self, state: OnlineState, arrays: dict[str, Any]) -> None:
        """Stand where a checkpoint has it; it has been found in order."""
        self.rounds, self.waited, self.scores = state.rounds, state.waited, list(state.scores)
        self.best = []
        for number, (member, epoch) in enumerate(state.chosen):
            own = self.members[member].net
            net = Network._from_graph(own.graph, own.seed, own.dtype)
            net.about, net.trained_with = own.about, own.trained_with
            net.flat = arrays[f"online/{number}/flat"]
            if len(states := arrays[f"online/{number}/states"]):
                net.states.set_flat(states)
            self.best.append(self._of_network(member, epoch, net))

    def disagreements(self, state: OnlineState, arrays: dict[str, Any]) -> Iterator[str]:
        """Inconsistencies of a checkpoint with the run."""
        if len(state.scores) != len(state.chosen):
            yield f"{len(state.scores)} scores of {len(state.chosen)} epochs in the ensemble"
        wanted = set()
        for number, (member, epoch) in enumerate(state.chosen):
            if not 0 <= member < len(self.members) or not 1 <= epoch <= state.rounds:
                yield f"epoch {epoch} of member {member} in the ensemble"
                return
            net = self.members[member].net
            for name, count in (("flat", net.parameters.count), ("states", net.states.count)):
                key = f"online/{number}/{name}"
                wanted.add(key)
                array = arrays.get(key)
                if array is None or array.shape != (count,) or array.dtype != net.dtype or not np.isfinite(array).all():
                    yield f"`{key}` that is none of member {member}"
        if more := {name for name in arrays if name not in wanted}:
            yield f"`{min(more)}`"


def _goes_on(work: Work | None) -> bool:
    return work is not None and not has_ended(work)
