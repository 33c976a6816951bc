"""The checkpoint of a pack's run: one sealed file with what a run's checkpoint has, of every network.

Arrays are named by network: `3/parameters/0.weight`, `3/best/flat`; those of an ensemble of epochs are in
`online/0/flat`. It is verified as a run's is (`checkpoint.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from fastbp.errors import CheckpointError
from fastbp.model.sealed import sealed, unsealed
from fastbp.runs.checkpoint import Best, Callbacks, Checkpoint, Count, Epochs, Numbers
from fastbp.train.history import History

FORMAT = "fastbp-pack-run-1"


class Each(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON part of a network."""

    numbers: Numbers
    history: Epochs
    callbacks: Callbacks
    best: Best
    diverged: bool


class OnlineState(msgspec.Struct, forbid_unknown_fields=True):
    """The ensemble of epochs that is chosen meanwhile.

    Attributes
    ----------
    rounds : int
        Choices made.
    waited : int
        Of those, the last that did not make it better.
    scores : list of float
        After each of its epochs.
    chosen : list of (member, epoch)
    """

    rounds: Count
    waited: Count
    scores: list[float]
    chosen: list[tuple[int, int]]


class Words(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON part of the file."""

    networks: list[Each]
    done: bool
    rows: str
    settings: dict[str, Any]
    online: OnlineState | None = None


@dataclass
class PackCheckpoint:
    """The state of a pack's run.

    Attributes
    ----------
    networks : list of Checkpoint
        The state of each.
    diverged : list of bool
        Which did not stay finite.
    done : bool
    rows : str
        Fingerprint of the rows.
    settings : dict
        The run's initial settings, without its data.
    online : OnlineState, optional
    kept : dict
        Arrays of that.
    """

    networks: list[Checkpoint]
    diverged: list[bool]
    done: bool
    rows: str
    settings: dict[str, Any]
    online: OnlineState | None = None
    kept: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The contents of its file."""
        arrays: dict[str, Any] = dict(self.kept)
        each = []
        for i, (one, diverged) in enumerate(zip(self.networks, self.diverged, strict=True)):
            arrays |= {f"{i}/{name}": array for name, array in one.arrays.items()}
            words = {name: getattr(one, name) for name in ("numbers", "callbacks", "best")}
            each.append({**words, "history": asdict(one.history), "diverged": diverged})
        said = {"networks": each, "done": self.done, "rows": self.rows, "settings": self.settings}
        if self.online is not None:
            said["online"] = msgspec.to_builtins(self.online)
        return sealed(arrays, {"format": FORMAT, "run": json.dumps(said)})

    @classmethod
    def load(cls, path: Path) -> PackCheckpoint:
        """Read a checkpoint and check its types."""
        header, arrays = unsealed(path, "a checkpoint of a run with `pack`", (FORMAT, ""))
        try:
            words = msgspec.convert(json.loads(header["run"]), Words)
            owned: list[dict[str, Any]] = [{} for _ in words.networks]
            kept = {name: array for name, array in arrays.items() if name.startswith("online/")}
            for name, array in arrays.items():
                if name in kept:
                    continue
                number, _, own = name.partition("/")
                owned[int(number)][own] = array
        except msgspec.ValidationError as error:
            raise CheckpointError(path, f"must be a valid checkpoint: {error}") from None
        except (KeyError, ValueError, IndexError, RecursionError) as error:
            why = str(error) or type(error).__name__
            raise CheckpointError(path, f"must be a valid checkpoint: cannot be read ({why})") from None
        data = msgspec.to_builtins(words)
        networks = []
        for one, arrays_of in zip(data["networks"], owned, strict=True):
            callbacks = {name: state for name, state in one["callbacks"].items() if state is not None}
            history = History(**one["history"])
            said = one["numbers"], history, callbacks, one["best"], words.done, words.rows
            networks.append(Checkpoint(arrays_of, *said))
        diverged = [one["diverged"] for one in data["networks"]]
        return cls(networks, diverged, words.done, words.rows, words.settings, words.online, kept)

    def disagreements(self, entrants: list[Any], monitor: str) -> Iterator[str]:
        """Inconsistencies of each network, as of a run's checkpoint."""
        if len(self.networks) != len(entrants):
            yield f"{len(self.networks)} networks, where there must be {len(entrants)}"
            return
        for i, (one, entrant) in enumerate(zip(self.networks, entrants, strict=True)):
            held_out, said = entrant.held_out, entrant.of.plan.config.trainer
            measured = [] if held_out is None else ["val_loss", *(f"val_{name}" for name in held_out.names)]
            pending = bool(measured) and len(one.history.val_loss) < len(one.history.loss)
            one.settings = {"trainer": msgspec.to_builtins(said)}
            stopped, one.history.stopped = one.history.stopped, "" if self.diverged[i] else one.history.stopped
            trainer = entrant.member.trainer
            for why in one.disagreements(trainer, entrant.rows, said.accumulate, measured, monitor, pending):
                yield f"{why} (network {i})"
            one.history.stopped = stopped
