"""A run of a configuration with `pack`, from its members to its result."""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastbp.config.build import Plan
from fastbp.config.space import brief_value, short_names
from fastbp.config.text import dotted
from fastbp.engine import threads as team
from fastbp.errors import CheckpointError, ConfigError, DivergedError, FileError
from fastbp.model.network import Network
from fastbp.runs.checkpoint import Checkpoint
from fastbp.runs.entrants import Entrant, entrants_of, subjects_of
from fastbp.runs.folder import RunFolder, epoch_row
from fastbp.runs.online import RunOnline
from fastbp.runs.pack_checkpoint import PackCheckpoint
from fastbp.runs.pack_scores import Rows
from fastbp.runs.saving import Saving
from fastbp.runs.standings import Standing, Standings
from fastbp.runs.stopping import TIME_IS_UP, Signals, Stopped
from fastbp.runs.subject import resolved_of
from fastbp.runs.training import differences, known
from fastbp.runs.watched import Watched
from fastbp.train.callbacks import Monitor
from fastbp.train.checkpoints import load_state, state_of
from fastbp.train.history import History
from fastbp.train.pack_calls import Turns
from fastbp.train.selection import Greedy
from fastbp.train.time_limits import begun, in_turn
from fastbp.writing import write_together


class Runner(Watched):
    """A network of the run: what watches it, its best epoch, and where it goes on."""

    def __init__(self, entrant: Entrant, monitor: str, told: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(entrant.of.plan, monitor)
        self.entrant, self.told = entrant, told
        self.epochs = entrant.of.plan.config.trainer.epochs
        self.going = True
        names = short_names(entrant.of.drawn)
        self.about = " ".join(f"{names[name]} {brief_value(value)}" for name, value in entrant.of.drawn.items())

    @property
    def name(self) -> str:
        """As it is shown: its member, and its fold."""
        found = self.entrant.named
        return f"member {found['member']}" + (f" fold {found['fold']}" if "fold" in found else "")

    @property
    def history(self) -> History:
        """Of its fit so far."""
        return self.entrant.member.history

    @property
    def settled(self) -> bool:
        """Whether it has ended."""
        return bool(self.history.stopped) or len(self.history.loss) >= self.epochs

    def epoch(self, trainer: Any, history: History) -> None:
        self.judge(trainer, history)
        self.told(self.row(len(history.loss) - 1))

    def row(self, at: int) -> dict[str, Any]:
        """The record of an epoch."""
        return {**self.entrant.named, **epoch_row(self.history, at)}

    def rows(self) -> list[dict[str, Any]]:
        """The records of all epochs that were measured."""
        history = self.history
        count = len(history.loss) if self.entrant.held_out is None else len(history.val_loss)
        return [self.row(at) for at in range(count)]

    def work(self, pauses: bool = False) -> Any:
        """What it wants to run; perhaps it pauses between its epochs."""
        entrant, member = self.entrant, self.entrant.member
        held_out = None if entrant.held_out is None else (entrant.held_out.checked, None)
        hooks = [*self.others.values(), self]
        history = None if self.before is None else self.before.history
        words: dict[str, Any] = {"measured": entrant.held_out, "history": history, "pauses": pauses}
        return member.guarded(member.fit(entrant.data, self.epochs, held_out, hooks, **words))

    def restore(self, found: Checkpoint, path: Path) -> None:
        """Stand where a checkpoint has it."""
        member = self.entrant.member
        try:
            load_state(member.trainer, found.arrays, found.numbers, member.rows)
        except CheckpointError as error:
            raise error.at(place=f"`{path}`") from None
        member.history = found.history
        self.go_on_from(found)

    def state(self) -> Checkpoint:  # type: ignore[override]
        """Its part of a checkpoint."""
        if self.before is not None and not self.going:
            return self.before
        (arrays, numbers), (best, states) = state_of(self.entrant.member.trainer), self.kept()
        return Checkpoint({**arrays, **best}, numbers, self.history, states, self.best, False, "")

    def network(self) -> Network:
        """The network of the best epoch."""
        own = self.entrant.member.net
        net = self.best_of(own)
        net.trained_with = own.trained_with
        return net

    @property
    def standing(self) -> Standing:
        """Where it stands."""
        history, best = self.history, self.best
        return Standing(
            self.name, len(history.loss), self.epochs, best["value"], best["epoch"], self.about, self.settled
        )


class PackTraining(Saving):
    """One run, with its files and checkpoints."""

    def __init__(self, plan: Plan, folder: RunFolder, progress: Standings, signals: Signals, going_on: bool) -> None:
        self.plan, self.folder, self.progress, self.signals = plan, folder, progress, signals
        self.begun = time.perf_counter()
        self.threads = team.chosen(plan.config.trainer.threads)
        self.subjects = subjects_of(plan)
        first = self.subjects[0]
        self.resolved = resolved_of(plan, first)
        entrants = entrants_of(plan, self.subjects)
        held_out = "validation" in first.parts
        self.measure = plan.config.trainer.monitor or ("val_loss" if held_out else "loss")
        self.runners = [Runner(one, self.measure, folder.append) for one in entrants]
        monitor = Monitor("trainer", self.measure, plan.config.trainer.mode)
        names: dict[str, list[float]] = {f"val_{name}": [] for name in first.metrics} if held_out else {}
        trainer = entrants[0].member.trainer
        trainer.validating = held_out
        monitor.begin(trainer, History(metrics=names))
        self.upwards = monitor.upwards
        going_on = going_on and folder.checkpoint.is_file()  # a run killed before its first checkpoint starts again
        self.idle: tuple[str, str] | None = None  # why nothing was trained, and a hint
        self.cut = ""  # why it ended before all networks had
        self.online = self._online()
        self.done = False
        if going_on:
            self._restore(PackCheckpoint.load(folder.checkpoint))

    def _online(self) -> RunOnline | None:
        """The ensemble that is chosen meanwhile, if that is asked for."""
        said = self.plan.config.pack.online  # type: ignore[union-attr]
        if said is None:
            return None
        first = self.runners[0].entrant
        assert first.held_out is not None
        rows = Rows({0: [first.member.net]}, self.subjects, [None])
        judge = rows.judge(self.measure.removeprefix("val_"))
        judge.upwards = self.upwards
        return RunOnline(Greedy(said.size, said.patience), self.runners, first.held_out.checked[0], judge)

    @property
    def fingerprint(self) -> str:
        """A hash of the rows of all networks."""
        found = zlib.crc32(b"")
        for subject in self.subjects:
            found = zlib.crc32(subject.fingerprint.encode(), found)
        for one in self.runners:
            if one.entrant.member.rows is not None:
                found = zlib.crc32(one.entrant.member.rows.tobytes(), found)
        return f"{found:08x}"

    @property
    def settings(self) -> dict[str, Any]:
        """The run's settings without its data, as JSON."""
        said = {key: self.resolved[key] for key in ("dtype", "seed", "network", "trainer", "pack")}
        return dict(json.loads(json.dumps(said)))

    def _restore(self, found: PackCheckpoint) -> None:
        """Stand where the checkpoint has the run; refuses one of another."""
        folder = self.folder
        for path, before, now in differences(found.settings, known(self.settings, found.settings)):
            what = f"{now} as `{dotted(path)}`, which was {before}"
            raise CheckpointError(folder.config, "must keep the run's initial settings", what)
        if found.rows != self.fingerprint:
            raise CheckpointError(folder.path, "must be resumed with the same rows, but its files have others")
        why = next(found.disagreements([one.entrant for one in self.runners], self.measure), None)
        if why is None and (self.online is None) != (found.online is None):
            why = f"{'an' if self.online is None else 'no'} ensemble of epochs"
        if why is None and self.online is not None and found.online is not None:
            why = next(self.online.disagreements(found.online, found.kept), None)
        if why is not None:
            raise CheckpointError(folder.checkpoint, "must be consistent with itself and its run", why)
        early = [said["trainer"].get("early_stopping") for said in (found.settings, self.settings)]
        before = found.settings["trainer"]["epochs"]
        self.done = found.done
        for one, state, diverged in zip(self.runners, found.networks, found.diverged, strict=True):
            if one.epochs < state.epochs_begun:
                must = f"must be at least {state.epochs_begun}, the epochs begun so far of {one.name}"
                place = self.plan.text.place(("trainer", "epochs"))
                raise ConfigError("trainer.epochs", must, f"`{one.epochs}`, so nothing was trained", place=place)
            one.restore(state, folder.checkpoint)
            one.entrant.member.diverged = diverged
            if early[0] != early[1] and not diverged:
                state.history.stopped = ""
        if self.online is not None and found.online is not None:
            self.online.restore(found.online, found.kept)
        if self.done and self._complete():
            self.idle = (
                f"nothing was trained, as the {len(self.runners)} networks of this run have ended",
                f"`--set trainer.epochs={2 * before}` trains those on that were not stopped",
            )

    def _complete(self) -> bool:
        return all(one.settled for one in self.runners)

    def described(self) -> list[str]:
        """Lines about what is trained."""
        return [f"{one.name}: {one.entrant.member.net!r} {one.about}".rstrip() for one in self.runners]

    # The run

    def go(self) -> dict[str, Any]:
        """Train to the end; returns the result."""
        from fastbp.runs.pack_result import finished

        with self.signals:  # a stop after the last epoch has no effect
            if self.idle is None:
                self._train()
                if not self.cut:
                    self.save(done=True)
            self.folder.write_history([row for one in self.runners for row in one.rows()])
            return finished(self)

    def _train(self) -> None:
        folder = self.folder
        rows = [row for one in self.runners for row in one.rows()]
        self.set_due(self.open_folder(self.resolved, rows, self.threads))
        self.flush_at = 0.0
        histories = [one.history for one in self.runners]
        done, samples = (sum(map(len, histories)), sum(history.samples for history in histories))
        self.progress.begin(self.measure, self.upwards, done, samples)
        for one in self.runners:
            one.going = not one.history.stopped
        going = [one for one in self.runners if one.going]
        try:
            if self.online is not None:
                each = [one.work(pauses=True) if one.going else None for one in self.runners]
                self.online.train(each, Turns(self.threads), self._between)
            else:
                turns, stages = Turns(self.threads), [[one.work() for one in going]]
                if self.plan.time_limit is not None:
                    works, alone = [begun(work) for work in stages[0]], not any(one.settled for one in self.runners)
                    stages = in_turn(works, self.threads, alone)
                for works in stages:
                    turns.run(works, self._between)
        except (Stopped, KeyboardInterrupt) as stop:
            late = isinstance(stop, Stopped) and stop.code == TIME_IS_UP
            if not (late and any(one.best_arrays for one in self.runners)):
                self.progress.end()
                raise
            self.cut = str(stop)
        self._draw(last=True)
        self.progress.end()
        for one in going:
            if one.entrant.member.diverged:
                self.progress.say(f"{one.name} stopped: {one.history.stopped}")
        if not any(one.best_arrays for one in self.runners):
            folder.flush()
            why = self.runners[0].history.stopped
            raise DivergedError(f"no member stayed finite for an epoch; the first: {why}", 0, "")

    @property
    def may_end(self) -> bool:
        """Whether there is something to end with; an ensemble of epochs is that of many networks at once."""
        return self.online is not None or any(one.best_arrays for one in self.runners)

    def of_member(self) -> dict[int, list[Runner]]:
        """The networks of each member."""
        of: dict[int, list[Runner]] = {}
        for one in self.runners:
            of.setdefault(one.entrant.of.number, []).append(one)
        return of

    def _between(self) -> None:
        """Behind a region: draw, save if due, and stop if requested."""
        if self.progress.due():
            self._draw()
        self.look_up(self.save)

    def _draw(self, last: bool = False) -> None:
        samples = sum(one.history.samples for one in self.runners)
        self.progress.draw([one.standing for one in self.runners], samples, last)

    def save(self, done: bool = False) -> None:
        """Save a checkpoint, and set when the next one is due."""
        begun = time.perf_counter()
        states = [one.state() for one in self.runners]
        lost = [one.entrant.member.diverged for one in self.runners]
        online = (None, {}) if self.online is None else self.online.state()
        found = PackCheckpoint(states, lost, done, self.fingerprint, self.settings, *online)
        write_together({self.folder.checkpoint: found.to_bytes()})
        with contextlib.suppress(FileError):
            self.folder.flush()
        self.set_due(time.perf_counter() - begun)
