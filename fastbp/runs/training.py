"""A training run from its configuration to its result."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastbp.config.build import LBFGSSettings, Plan, plan_of, trainer_of
from fastbp.config.check import fail, show
from fastbp.config.resolve import changes, resolved
from fastbp.config.text import dotted
from fastbp.data.prepare import Part
from fastbp.errors import CheckpointError, ConfigError, DataError, DivergedError
from fastbp.model.files import to_bytes
from fastbp.model.network import Network
from fastbp.pictures.curves import Beside, curves
from fastbp.runs.calibration import calibration_of, temperature_of
from fastbp.runs.checkpoint import Checkpoint
from fastbp.runs.folder import RunFolder, epoch_row
from fastbp.runs.passes import Passes, judged_on, note_begun
from fastbp.runs.profile import peak
from fastbp.runs.saving import Saving
from fastbp.runs.scores import baseline, files_of, gflops, score, told
from fastbp.runs.stopping import Signals, Stopped
from fastbp.runs.subject import Subject, absolute, subject_of
from fastbp.runs.told import FORMAT
from fastbp.runs.watched import Watched
from fastbp.train.checkpoints import load_state, state_of
from fastbp.train.held_out import Units
from fastbp.train.history import History
from fastbp.train.progress import Progress
from fastbp.train.temperature import with_temperature
from fastbp.writing import write_together


class Training(Watched, Saving):
    """One run, and the callback that writes its files, best network and checkpoints."""

    draws = True  # whether it leaves pictures

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        progress: Progress,
        signals: Signals,
        going_on: bool,
        subject: Subject | None = None,
    ) -> None:
        self.plan, self.folder, self.progress, self.signals = plan, folder, progress, signals
        self.resumable = not isinstance(plan.optimizer, LBFGSSettings)
        if going_on and not self.resumable:
            raise CheckpointError("`--resume` needs an optimiser with steps, and `lbfgs` has none")
        self.begun = time.perf_counter()
        said = plan.config.trainer
        note_begun(plan, folder)
        self.given = subject
        self.subject, self.net = self.read()
        subject, outputs = self.subject, self.subject.recipe.outputs
        self.trainer: Any = self.trainer_for(subject.loss)
        held_out = "validation" in subject.parts
        if held_out and subject.parts["validation"].numbers is not None:
            self.trainer.units = Units(outputs.back, subject.judged["validation"].numbers)
        name = said.monitor or ("val_loss" if held_out else "loss")
        super().__init__(plan, name)
        going_on = going_on and folder.checkpoint.is_file()  # a run killed before its first checkpoint starts again
        self.before = Checkpoint.load(folder.checkpoint) if going_on else None
        if self.before is not None:
            self._check(self.before, name)
        self.idle: tuple[str, str] | None = None  # why nothing was trained, and a hint
        self.warm: tuple[int, float] | None = None  # the best epoch, and the temperature of its network

    def read(self) -> tuple[Subject, Network]:
        """The rows, and the network as it is drawn."""
        subject = self.given
        if subject is None:
            subject = subject_of(self.plan, told=Passes(self.progress, self.signals, self.plan, self.begun))
        return subject, subject.network()

    def trainer_for(self, loss: Any) -> Any:
        """The trainer of the network."""
        return trainer_of(self.plan, self.net, loss)

    def _check(self, found: Checkpoint, monitor: str) -> None:
        """Refuse a checkpoint of another run."""
        folder, parts = self.folder, self.subject.parts
        settings = known(self.subject.settings, found.settings)
        for path, before, now in differences(found.settings, settings):
            what = f"{now} as `{dotted(path)}`, which was {before}"
            raise CheckpointError(folder.config, "must keep the run's initial settings", what)
        epochs, wanted = found.epochs_begun, self.plan.config.trainer.epochs
        if wanted < epochs:
            must = f"must be at least {epochs}, the epochs begun so far"
            got = f"`{wanted}`, so nothing was trained"
            raise ConfigError("trainer.epochs", must, got, place=self.plan.text.place(("trainer", "epochs")))
        if found.rows != self.subject.fingerprint:
            raise CheckpointError(folder.path, "must be resumed with the same rows, but its files have others")
        measured = ["val_loss", *(f"val_{name}" for name in self.subject.metrics)] if "validation" in parts else []
        rows, group = len(parts["train"].X), self.plan.config.trainer.accumulate
        why = next(found.disagreements(self.trainer, rows, group, measured, monitor), None)
        if why is not None:
            raise CheckpointError(folder.checkpoint, "must be consistent with itself and its run", why)

    # Callback

    def begin(self, trainer: Any, history: History) -> None:
        super().begin(trainer, history)
        self.set_due(self.waited)
        self.flush_at = 0.0
        self.progress.begin(
            history, trainer, self.plan.config.trainer.epochs, len(self.subject.parts["train"]), self.monitor.name
        )

    def chunk(self, trainer: Any, history: History) -> None:
        self.progress.chunk(history)
        self._look_up(history)

    def _look_up(self, history: History) -> None:
        self.look_up((lambda: self.save(history)) if self.resumable else self.save_networks, self.resumable)

    def epoch(self, trainer: Any, history: History) -> None:
        improved = self.judge(trainer, history)
        row = epoch_row(history, len(history.loss) - 1)
        self.folder.append(row)
        self.progress.epoch(history, row, improved)
        self._look_up(history)

    # Files

    def save(self, history: History, done: bool = False) -> None:
        """Save a checkpoint and the networks of the last and the best epoch; sets when the next one is due."""
        begun = time.perf_counter()
        (arrays, numbers), (best, states) = state_of(self.trainer), self.kept()
        said = self.subject.fingerprint, self.subject.settings
        found = Checkpoint({**arrays, **best}, numbers, history, states, self.best, done, *said)
        self.save_networks({self.folder.checkpoint: found.to_bytes()})
        self.set_due(time.perf_counter() - begun)

    def save_networks(self, more: dict[Path, bytes] | None = None) -> None:
        """Write `last.safetensors`, `best.safetensors`, other files, and the epochs so far."""
        last = self.trainer.evaluated
        last.about = self.net.about
        networks = {self.folder.last: to_bytes(last), self.folder.best: to_bytes(self.best_network())}
        write_together({**(more or {}), **networks}, self.lasting)
        self.folder.flush()

    def best_network(self) -> Network:
        """The network of the best epoch, with its temperature if it is to have one."""
        found = self.best_of(self.net)
        if self.plan.config.trainer.calibrate is None:
            return found
        if self.warm is None or self.warm[0] != self.best["epoch"]:
            self.warm = self.best["epoch"], temperature_of(found, self.subject)
        return with_temperature(found, self.warm[1])

    def described(self) -> list[str]:
        """Lines about what is trained."""
        return [repr(self.net)]

    # The run

    def go(self) -> dict[str, Any]:
        """Train to the end; returns the result."""
        with self.signals:  # a stop after the last epoch has no effect
            if self._is_complete():
                history = self._restored()
                self.idle = self._why_idle(history)
                # Written after the last checkpoint, so missing if the process died in between.
                self._write_history(history)
                self.save_networks()
            else:
                history = self._train()
                if self.resumable:
                    self.save(history, done=True)
                else:
                    self.save_networks()
            return self.finished(history)

    def _is_complete(self) -> bool:
        """Whether the resumed run was complete at its checkpoint."""
        found = self.before
        if found is None or not found.done:
            return False
        return self._stays_stopped(found.history) or len(found.history.loss) >= self.plan.config.trainer.epochs

    def _why_idle(self, history: History) -> tuple[str, str]:
        """The sentence about a complete run that was to go on, and a hint."""
        done = len(history.loss)
        if done >= self.plan.config.trainer.epochs:
            return (
                f"nothing was trained, as `trainer.epochs` is `{done}` and so many were done before",
                f"`--set trainer.epochs={2 * done}` trains {done} more",
            )
        return (
            f"nothing was trained, as the run has ended after {done} epochs: {history.stopped}",
            "another `trainer.early_stopping` goes on",
        )

    def _restored(self) -> History:
        """Restore trainer and best network from the checkpoint; returns the history."""
        assert self.before is not None
        try:
            load_state(self.trainer, self.before.arrays, self.before.numbers)
        except CheckpointError as error:
            raise error.at(place=f"`{self.folder.checkpoint}`") from None
        self.go_on_from(self.before)
        return self.before.history

    def _stays_stopped(self, history: History) -> bool:
        """Whether early stopping, as it was at the checkpoint, still ends the fit."""
        assert self.before is not None
        if self.before.settings:
            both = self.before.settings, self.subject.settings
            before, now = (said.get("trainer", {}).get("early_stopping") for said in both)
        else:  # an older version, without settings in its file
            before = plan_of(self.folder.settings()).config.trainer.early_stopping
            now = self.plan.config.trainer.early_stopping
        return bool(history.stopped) and before == now

    def _write_history(self, history: History | None) -> None:
        self.folder.write_history([epoch_row(history, i) for i in range(len(history.loss))] if history else [])

    def _train(self) -> History:
        folder, said = self.folder, self.plan.config.trainer
        history = None
        if self.before is not None:
            history = self._restored()
            if not self._stays_stopped(history):  # else it died between its last epoch and its end
                history.stopped = ""
        rows = [epoch_row(history, i) for i in range(len(history.loss))] if history else []
        self.waited = self.open_folder(self.subject.resolved, rows, getattr(self.trainer, "threads", 0))
        parts = self.subject.parts
        train = parts["train"]
        validation = parts.get("validation")
        held_out = None
        if validation is not None:
            held_out = (
                (validation.X, validation.y)
                if validation.weight is None
                else (validation.X, validation.y, validation.weight)
            )
        words: dict[str, Any] = {} if not self.resumable else {"history": history}
        try:
            found: History = self.trainer.fit(
                train.X,
                train.y,
                epochs=said.epochs,
                validation=held_out,
                callbacks=[*self.others.values(), self],
                sample_weight=self.subject.training_weight,
                metrics=self.subject.metrics if held_out is not None else [],
                **words,
            )
        except (Stopped, KeyboardInterrupt):
            self.progress.stopped()
            raise
        except DivergedError:
            self.progress.end()
            folder.flush()
            if self.best_arrays:
                with contextlib.suppress(DataError):  # the network of the last epoch is not finite
                    self.save_networks()
            raise
        self.progress.end()
        return found

    def baseline(self, part: Part) -> dict[str, float]:
        """Loss and metrics of what says the same of every row."""
        subject = self.subject
        outputs, named = self.net.outputs, (subject.loss, subject.metrics, subject.recipe)
        return baseline(subject.judged["train"], part, outputs, *named)

    def peak(self) -> float:
        """Billions of operations a second that the run's threads could do."""
        return peak(getattr(self.trainer, "threads", 1))

    def finished(self, history: History) -> dict[str, Any]:
        """Write the result to the folder."""
        folder = self.folder
        net = self.best_network()
        parts, loss, recipe = self.subject.judged, self.subject.loss, self.subject.recipe
        named, last = self.subject.metrics, [*parts][-1]
        metrics = {name: score(net, part, loss, named, recipe) for name, part in parts.items()}
        seen = parts["validation" if "validation" in parts else "train"]
        constant, drawn = (self.baseline(part) for part in (parts[last], seen))
        seconds = history.seconds
        calibrated = {}
        if self.warm is not None:
            calibrated["calibration"] = calibration_of(self.best_of(self.net), net, self.warm[1], self.subject)
        result = {
            "format": FORMAT,
            "run_dir": str(folder.path),
            "metrics": metrics,
            "baseline": constant,
            "report": {"part": last, **told(net, parts[last], loss, recipe)},
            **calibrated,
            "best_epoch": self.best["epoch"],
            "epochs": len(history.loss),
            "steps": history.steps,
            "stopped": history.stopped,
            "seconds": seconds,
            "samples_per_second": history.samples / seconds if seconds else 0.0,
            "gflops": gflops(net, history),
            **judged_on(self.subject),
            "share_of_peak": gflops(net, history) / self.peak(),
        }
        folder.write(folder.result, json.dumps(result, indent=2) + "\n")
        if not self.draws:
            return result
        rows = [epoch_row(history, i) for i in range(len(history.loss))]
        beside = Beside(self.best["epoch"], drawn, metrics["train"])
        folder.write(folder.curves, curves(rows, beside, f"Loss and metrics of {folder.path.name} by epoch"))
        for name, text in files_of(result["report"], last).items():
            folder.write(folder.path / name, text)
        return result


def refuse_changes(before: Plan, after: Plan) -> None:
    """Refuse to resume a run with other settings."""
    task = before.config.data.task or "numbers"
    pair = [absolute(resolved(p, p.loss, list(p.config.trainer.metrics or ()), task)) for p in (before, after)]
    for path, old, new in differences(*pair):
        may = "where epochs, time limit and patience may change"
        raise fail(after.text, path, f"must stay {old} when a run is resumed, {may}", new)


def differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Paths at which two resolved configurations differ and may not, and both values for messages."""
    for path in changes(old, new):
        values = []
        for data in (old, new):
            value: Any = data
            for key in path:
                value = value.get(key) if isinstance(value, dict) else None
            values.append(show(value))
        yield path, values[0], values[1]


def known(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """`new` restricted to the keys of `old`, as an older version had fewer."""
    return {key: _known_value(value, old[key]) for key, value in new.items() if key in old}


def _known_value(new: Any, old: Any) -> Any:
    if isinstance(new, dict) and isinstance(old, dict):
        return known(new, old)
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [_known_value(a, b) for a, b in zip(new, old, strict=True)]
    return new
