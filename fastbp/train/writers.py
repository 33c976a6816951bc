"""Callbacks that write files: networks and logs."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
from abc import ABC, abstractmethod
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any, BinaryIO

from fastbp.errors import ConfigError
from fastbp.spec.checks import flag, path_of, whole
from fastbp.train.callbacks import Callback, Monitor
from fastbp.writing import naming

if TYPE_CHECKING:
    from fastbp.train.history import History
    from fastbp.train.trainer import Trainer


def _make_folder_of(path: Path) -> None:
    with naming(path), contextlib.suppress(FileExistsError):  # reported when it is opened
        path.parent.mkdir(parents=True, exist_ok=True)


def row_of(trainer: Trainer, history: History) -> dict[str, Any]:
    """The measures of the last epoch, which is counted from 1, by name."""
    names = ["loss", *(["val_loss"] if trainer.validating else []), *history.metrics, "lr"]
    row = {name: history[name][-1] for name in names}
    return {"epoch": len(history.loss), "step": trainer.steps_done, **row, "seconds": history.seconds}


class ModelCheckpoint(Callback):
    """Save the network after epochs, atomically: a crash leaves the file of the epoch before.

    With an `ema` the averaged network is saved.

    Parameters
    ----------
    path : str or Path
        File to write; names in braces are filled in: ``"{epoch:03d}-{val_loss:.4f}.safetensors"``. Folders are made.
    save_best_only : bool
        Whether to save only the best epoch so far.
    every : int, >= 1
        Number of epochs between saves.
    monitor : str
        "val_loss", "loss" or a metric of the fit; used with `save_best_only`.
    mode : {"auto", "min", "max"}
        Which way is better.
    """

    on_first = True

    def __init__(
        self,
        path: str | Path,
        save_best_only: bool = False,
        every: int = 1,
        monitor: str = "val_loss",
        mode: str = "auto",
    ) -> None:
        self.path = path_of("ModelCheckpoint.path", path)
        self.save_best_only = flag("ModelCheckpoint.save_best_only", save_best_only)
        self.every = whole("ModelCheckpoint.every", every, 1)
        self._monitor = Monitor("ModelCheckpoint", monitor, mode)
        self.saved: Path | None = None

    def begin(self, trainer: Trainer, history: History) -> None:
        if self.save_best_only:
            self._monitor.begin(trainer, history)
        known = ["epoch", "step", "loss", *(["val_loss"] if trainer.validating else []), *history.metrics, "lr"]
        fits: dict[str, float] = {name: 0 if name in ("epoch", "step") else 0.5 for name in known}
        try:
            for _, name, _, _ in Formatter().parse(str(self.path)):
                if name is not None and name not in known:
                    listed = ", ".join(f"`{n}`" for n in known)
                    raise ConfigError("ModelCheckpoint.path", f"may name {listed} in braces", f"`{name}`")
            str(self.path).format(**fits)
        except (ValueError, IndexError, KeyError) as error:
            if isinstance(error, ConfigError):
                raise
            must = "must be a path with names in braces"
            raise ConfigError("ModelCheckpoint.path", must, f"`{self.path}`") from None

    def epoch(self, trainer: Trainer, history: History) -> None:
        row = row_of(trainer, history)
        if len(history.loss) % self.every == 0 and (not self.save_best_only or self._monitor.improved(history)):
            self.saved = Path(str(self.path).format(**row))
            _make_folder_of(self.saved)
            trainer.evaluated.save(self.saved)


class _Log(Callback, ABC):
    """A text file with one line per epoch, written completely when the epoch ends."""

    on_first = True

    def __init__(self, path: str | Path, append: bool = False) -> None:
        self.path = path_of(f"{type(self).__name__}.path", path)
        self.append = flag(f"{type(self).__name__}.append", append)
        self._file: BinaryIO | None = None

    def epoch(self, trainer: Trainer, history: History) -> None:
        if self._file is None:  # not earlier, as another callback may refuse the fit
            _make_folder_of(self.path)
            with naming(self.path):
                self._file = open(self.path, "ab+" if self.append else "wb", buffering=0)  # noqa: SIM115
                self._begun = self._file.tell() > 0
                if self._begun and not _ends_with_a_line(self._file):  # an incomplete line after a crash
                    _add(self._file, b"\n")
        text = self._text(row_of(trainer, history), head=not self._begun)
        with naming(self.path):
            _add(self._file, text.encode())
        self._begun = True

    def end(self, trainer: Trainer, history: History) -> None:
        file, self._file = self._file, None
        if file is not None:
            with naming(self.path):
                file.close()

    @abstractmethod
    def _text(self, row: dict[str, Any], head: bool) -> str:
        """The line of one epoch, after a header if it is the first."""


def _ends_with_a_line(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _add(file: BinaryIO, line: bytes) -> None:
    """Append a line to a file; a failed write is undone."""
    before = file.tell()
    try:
        written = 0
        while written < len(line):
            written += file.write(line[written:])
    except BaseException:
        with contextlib.suppress(OSError):
            file.truncate(before)
            file.seek(before)
        raise


class CSVLogger(_Log):
    """A table of the epochs: epoch, step, loss, val_loss, metrics, lr, seconds.

    Parameters
    ----------
    path : str or Path
        Folders are made.
    append : bool
        Whether to append to an existing file, without a second header, instead of replacing it.
    """

    def _text(self, row: dict[str, Any], head: bool) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        if head:
            writer.writerow(row)
        writer.writerow(row.values())
        return out.getvalue()


class JSONLogger(_Log):
    """One JSON object per line and epoch, with the columns of `CSVLogger`; numbers that are not finite become null.

    Parameters
    ----------
    path : str or Path
        Folders are made.
    append : bool
        Whether to append to an existing file instead of replacing it.
    """

    def _text(self, row: dict[str, Any], head: bool) -> str:
        return json.dumps({k: v if math.isfinite(v) else None for k, v in row.items()}) + "\n"
