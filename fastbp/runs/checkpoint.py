"""The checkpoint of a run: one safetensors file, written to a temporary name and moved, that a run goes on from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastbp.errors import CheckpointError
from fastbp.model.files import to_bytes, write_whole
from fastbp.train.history import History

FORMAT = "fastbp-run-1"


@dataclass
class Checkpoint:
    """Where a run stands.

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
        What tells the rows apart from others.
    """

    arrays: dict[str, Any]
    numbers: dict[str, Any]
    history: History
    callbacks: dict[str, Any]
    best: dict[str, Any]
    done: bool
    rows: str

    def save(self, path: Path) -> None:
        """Write it."""
        text = {
            "format": FORMAT,
            "run": _dump(
                {
                    "numbers": self.numbers,
                    "history": asdict(self.history),
                    "callbacks": self.callbacks,
                    "best": self.best,
                    "done": self.done,
                    "rows": self.rows,
                }
            ),
        }
        write_whole(path, to_bytes(self.arrays, text))

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read one."""
        from safetensors import SafetensorError, safe_open

        if not path.is_file():
            raise CheckpointError(f"`{path.parent}` must have a checkpoint to go on from, got a run without one")
        try:
            with safe_open(str(path), framework="numpy") as content:
                header = content.metadata() or {}
                arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"`{path}` must be a checkpoint, got a file that cannot be read ({error})") from None
        if header.get("format") != FORMAT:
            raise CheckpointError(f"`{path}` must be a checkpoint of a run, got format `{header.get('format')}`")
        data = json.loads(header["run"])
        history = History(**data["history"])
        rest = {key: data[key] for key in ("callbacks", "best", "done", "rows")}
        return cls(arrays, data["numbers"], history, **rest)


def _dump(data: Any) -> str:
    """JSON that reads back to the same floats, NaN and infinities too."""
    return json.dumps(data)
