"""The checkpoint of a run: one sealed file, written atomically, from which a run is resumed.

Everything in it is verified before use: its checksum, the type of every value (`msgspec`, as for configurations), and
consistency with itself and with the run to be resumed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from fastbp.errors import CheckpointError
from fastbp.model.network import Network
from fastbp.model.sealed import sealed, unsealed
from fastbp.train.history import History

FORMATS = "fastbp-run-3", "fastbp-run-2", "fastbp-run-1"  # the last has no checksums
FROM_ZERO = FORMATS[1:]  # of which the best epochs are counted from 0

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Place(msgspec.Struct, forbid_unknown_fields=True):
    """Where a trainer stands in its data."""

    epoch: Count
    cursor: Count
    pass_rows: Count
    pass_loss: float
    pass_weight: float


class Numbers(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A trainer's state besides its arrays."""

    steps_done: Count
    lr: float
    place: Place
    muon_lr: float | None = None
    waiting: list[str] = []  # parameters that rows of data are to complete
    windowed: bool = False  # whether rows stay in files, so that their order is known by seed and epoch


class Epochs(msgspec.Struct, forbid_unknown_fields=True):
    """A `History`."""

    loss: list[float]
    val_loss: list[float]
    lr: list[float]
    metrics: dict[str, list[float]]
    steps: Count
    seconds: float
    samples: Count
    first_step: Count
    stopped: str


class Best(msgspec.Struct, forbid_unknown_fields=True):
    """The best monitored value and its epoch, counted from 1; 0 is none."""

    value: float | None
    epoch: Annotated[int, msgspec.Meta(ge=-1)]  # -1 in older files


class EarlyStoppingState(msgspec.Struct, forbid_unknown_fields=True):
    best: float | None
    best_epoch: Annotated[int, msgspec.Meta(ge=-1)]


class ReduceLRState(msgspec.Struct, forbid_unknown_fields=True):
    best: float | None
    waited: Count
    cooling: Count


class Callbacks(msgspec.Struct, forbid_unknown_fields=True):
    """The state of each callback of the run."""

    early_stopping: EarlyStoppingState | None = None
    reduce_lr: ReduceLRState | None = None


class Words(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON part of a checkpoint."""

    numbers: Numbers
    history: Epochs
    callbacks: Callbacks
    best: Best
    done: bool
    rows: str
    settings: dict[str, Any] = {}


@dataclass
class Checkpoint:
    """The state of a run.

    Attributes
    ----------
    arrays : dict
        The trainer's, and "best/flat" and "best/states" of the best epoch.
    numbers : dict
        The trainer's.
    history : History
        Of complete epochs.
    callbacks : dict
        State of each, by name.
    best : dict
        Monitored value and epoch of the best.
    done : bool
    rows : str
        Fingerprint of the rows.
    settings : dict
        The run's initial settings, without its data; empty in files of older versions.
    """

    arrays: dict[str, Any]
    numbers: dict[str, Any]
    history: History
    callbacks: dict[str, Any]
    best: dict[str, Any]
    done: bool
    rows: str
    settings: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The contents of its file."""
        words = {name: getattr(self, name) for name in Words.__struct_fields__}
        words["history"] = asdict(self.history)
        return sealed(self.arrays, {"format": FORMATS[0], "run": json.dumps(words)})

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint and check its types."""
        if not path.is_file():
            raise CheckpointError(path.parent, "must have a checkpoint to resume from")
        header, arrays = unsealed(path, "a checkpoint of a run", FORMATS)
        try:
            words = msgspec.convert(json.loads(header["run"]), Words)
        except msgspec.ValidationError as error:
            raise CheckpointError(path, f"must be a valid checkpoint: {error}") from None
        except (KeyError, ValueError, RecursionError) as error:
            why = str(error) or type(error).__name__
            raise CheckpointError(path, f"must be a valid checkpoint: cannot be read ({why})") from None
        data = msgspec.to_builtins(words)
        if header["format"] in FROM_ZERO:
            data["best"]["epoch"] += 1
            if data["callbacks"]["early_stopping"] is not None:
                data["callbacks"]["early_stopping"]["best_epoch"] += 1
        callbacks = {name: state for name, state in data["callbacks"].items() if state is not None}
        rest = {name: data[name] for name in ("numbers", "best", "done", "rows", "settings")}
        return cls(arrays, history=History(**data["history"]), callbacks=callbacks, **rest)

    @property
    def epochs_begun(self) -> int:
        """Number of epochs, including a begun one."""
        return len(self.history.loss) + bool(self.numbers["place"]["cursor"])

    def disagreements(
        self, trainer: Any, rows: int, group: int, measured: list[str], monitor: str, pending: bool = False
    ) -> Iterator[str]:
        """Inconsistencies, with itself or with the run to be resumed.

        The run has a trainer, `rows`, `group` batches per step, and `measured` names such as "val_loss" and
        "val_accuracy"; `monitor` is one of these, or "loss". `pending` says that the last epoch is not measured yet.
        """
        history, place = self.history, self.numbers["place"]
        epochs = len(history.loss)
        named = {"loss": history.loss, "lr": history.lr, "val_loss": history.val_loss, **history.metrics}
        for name, values in named.items():
            wanted = epochs - (pending and name in measured) if name in ("loss", "lr", *measured) else 0
            if len(values) != wanted:
                yield f"{len(values)} of `{name}`, where there must be {wanted}"
        if set(history.metrics) != set(measured) - {"val_loss"}:
            yield f"metrics `{', '.join(history.metrics)}`"
        for name in ("loss", "lr"):
            if not all(map(math.isfinite, named[name])):
                yield f"a `{name}` that is not finite"
        for name in ("pass_loss", "pass_weight"):
            if not math.isfinite(place[name]):
                yield f"a `{name}` that is not finite"
        if not (math.isfinite(history.seconds) and history.seconds >= 0.0):
            yield f"`{history.seconds}` seconds"
        batch, every = min(trainer.batch_size, rows), rows
        rows -= rows % batch if trainer._update.drop_last else 0
        batches = -(-rows // batch)
        cursor = place["cursor"]
        if cursor >= rows or cursor % batch or cursor // batch % group:
            yield f"`{cursor}` rows done of an epoch of {rows}"
        if place["pass_rows"] != cursor or place["epoch"] != epochs:
            yield f"epoch `{place['epoch']}` after {epochs} epochs"
        steps = -(-batches // group)
        if history.first_step or history.steps != epochs * steps or history.samples != epochs * rows:
            yield f"`{history.steps}` steps and `{history.samples}` rows in {epochs} epochs"
        if self.numbers["steps_done"] != history.steps + cursor // batch // group:
            yield f"`{self.numbers['steps_done']}` steps in all"
        if len(self.arrays.get("order", ())) != (every if cursor and not self.numbers.get("windowed") else 0):
            yield "an order of other rows"
        at, value = self.best["epoch"], self.best["value"]
        if not 0 <= at <= epochs - pending or (at == 0) != (epochs - pending == 0):
            yield f"epoch `{at}` as the best of {epochs}"
        elif value is not None and (at == 0 or value != named[monitor][at - 1]):
            yield f"`{value}` as the best `{monitor}`"
        said = self.settings.get("trainer", {})
        has = {name for name in Callbacks.__struct_fields__ if said.get(name) is not None}
        if said and set(self.callbacks) != has:
            yield f"the state of `{', '.join(self.callbacks)}`"
        if history.stopped and (cursor or (said and said.get("early_stopping") is None)):
            yield "an end before the last epoch"
        for name, state in self.callbacks.items():
            if state["best"] is not None and state["best"] not in named[monitor]:
                yield f"`{state['best']}` as the best of `{name}`"
            if not 0 <= state.get("best_epoch", 0) <= epochs:
                yield f"epoch `{state['best_epoch']}` as the best of `{name}`"
        for name in trainer.optimizer.rates:
            lr, first = self.numbers[name], getattr(trainer.optimizer, name)
            if lr is None or not (0.0 <= lr <= first if "reduce_lr" in self.callbacks else lr == first):
                yield f"`{lr}` as the learning rate, which began with `{first}`"
        yield from self._wrong_best(trainer.net, at > 0)

    def _wrong_best(self, net: Network, wanted: bool) -> Iterator[str]:
        for name, block in (("flat", net.parameters), ("states", net.states)):
            found = self.arrays.get(f"best/{name}")
            if wanted != (found is not None):
                yield f"{'no' if wanted else 'a'} `best/{name}`"
            elif found is not None and (found.shape != (block.count,) or found.dtype != net.dtype):
                yield f"`best/{name}` of shape `{found.shape}` and dtype `{found.dtype}`"
            elif found is not None and not np.isfinite(found).all():
                yield f"`best/{name}` that is not finite"
