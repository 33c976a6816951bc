"""The folder of a run.

config.yaml             all settings and defaults; begun.yaml has the given ones while a table is streamed before
environment.json        machine, versions, command
metrics.jsonl           a line an epoch; history.csv has the same as a table
best.safetensors        the network of the best epoch; `fastbp predict` and `fb.load` take it
last.safetensors        the network of the last epoch
checkpoint.safetensors  the state from which a run is resumed
curves.svg              loss and metrics by epoch
confusion.svg, calibration.svg    of classes: what was taken for what, and how often probabilities came true; as
                        tables confusion.csv and calibration.csv
result.json             the result of the run

With `pack` there is no last network, and epochs are of members. Besides:

members.safetensors     all members, as an ensemble
ensemble.safetensors    the ensemble that `fastbp predict` and `fb.load` take
out_of_fold.csv         with folds, what the ensemble says of each row by networks that were not trained on it
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import errno
import io
import json
import math
import os
import platform
import secrets
import shutil
import stat
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastbp.config.merging import merge
from fastbp.config.text import Text, read
from fastbp.errors import CheckpointError, ConfigError, FileError
from fastbp.train.history import History
from fastbp.writing import TEMPORARY, naming, sweep, write_together

LOCK = ".lock"
ROWS = ".rows"  # a folder of prepared rows while several ranks train; what a killed run leaves of it is removed


OLD = {"data": {"embed_std": 1.0}}  # what runs did before there was a key for it


class RunFolder:
    """Paths and files of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.begun = self.path / "begun.yaml"
        self.environment = self.path / "environment.json"
        self.metrics = self.path / "metrics.jsonl"
        self.history = self.path / "history.csv"
        self.best = self.path / "best.safetensors"
        self.last = self.path / "last.safetensors"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.curves = self.path / "curves.svg"
        self.result = self.path / "result.json"
        self.members = self.path / "members.safetensors"
        self.ensemble = self.path / "ensemble.safetensors"
        self.out_of_fold = self.path / "out_of_fold.csv"
        self.made = False  # whether this run made the folder
        self._told: list[dict[str, Any]] = []  # epochs for both files
        self._written = 0  # epochs written; -1 if unknown

    def settings(self) -> Text:
        """The run's configuration; what an older version did in it stays so."""
        return merge(Text(OLD), read(self.config)) if self.config.is_file() else read(self.begun)

    @classmethod
    def new(cls, base: str, name: str, exact: str | None = None) -> RunFolder:
        """Make a new folder: `base`/name-date-time-xxxx, or `exact`."""
        if exact is not None:
            folder = Path(exact)
            if os.path.lexists(folder) and not (folder.is_dir() and _is_empty(folder)):
                raise _not_new(folder)
        else:
            now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
            folder = Path(base) / f"{name}-{now}-{secrets.token_hex(2)}"
        out = cls(folder)
        try:
            out.made = not folder.exists()
            folder.mkdir(parents=True, exist_ok=exact is not None)
        except OSError as error:
            where, got = "run.folder" if exact is None else "--run-dir", f"`{folder}` ({error.strerror})"
            raise ConfigError(where, "must be where folders can be made", got) from None
        return out

    @classmethod
    def old(cls, path: str, base: str = "runs") -> RunFolder:
        """An existing run; "auto" is the newest one below `base`."""
        if path == "auto":
            found = [cls(p.parent) for name in ("config", "begun") for p in Path(base).glob(f"*/{name}.yaml")]
            if not found:
                raise CheckpointError("--resume auto", f"must find a run to resume in `{base}`")
            path = str(max(found, key=lambda run: (run._last_written(), run.path.name)).path)
        folder = cls(path)
        if not folder.config.is_file() and not folder.begun.is_file():
            empty = folder.path.is_dir() and _is_empty(folder.path)
            hint = f"to train a run that was stopped before it began, use `--run-dir {path}`" if empty else None
            raise CheckpointError(path, "must be the folder of a run, but has no `config.yaml`", hint=hint)
        return folder

    def _last_written(self) -> int:
        """Time of the newest checkpoint or, if there is none, of the configuration."""
        file = next((f for f in (self.checkpoint, self.config) if f.exists()), self.begun)
        return file.stat().st_mtime_ns

    @contextlib.contextmanager
    def held(self, new: bool = False) -> Iterator[None]:
        """Hold the run's lock; it is released when the process dies.

        A `new` run may have been used by another process since its folder was made.
        """
        lock = self.path / LOCK
        handle = _taken(lock)
        try:
            if new and not _is_empty(self.path):
                raise _not_new(self.path)
            sweep(self.path)
            shutil.rmtree(self.path / ROWS, ignore_errors=True)
            yield
        finally:
            with contextlib.suppress(OSError):
                lock.unlink()  # while locked: a process that has opened it sees that it is gone
            _close(handle)

    def discard(self) -> None:
        """Remove the folder if this run made it and wrote nothing yet."""
        with contextlib.suppress(OSError):
            if self.made and not self.config.exists():
                self.begun.unlink(missing_ok=True)
            if self.made and _is_empty(self.path):
                sweep(self.path)
                self.path.rmdir()

    def write(self, path: Path, text: str, lasting: bool = False) -> None:
        """Write a file atomically."""
        write_together({path: text.encode()}, lasting)

    def remove(self, path: Path) -> None:
        """Remove a file, if it exists."""
        with naming(path):
            path.unlink(missing_ok=True)

    def write_history(self, rows: list[dict[str, Any]]) -> None:
        """Rewrite both files of the epochs."""
        self._told, self._written = list(rows), 0
        self._whole()

    def append(self, row: dict[str, Any]) -> None:
        """Add an epoch, written by the next `flush`."""
        self._told.append(row)

    @property
    def unwritten(self) -> bool:
        """Whether `flush` has epochs to write."""
        return self._written < len(self._told)

    def flush(self) -> None:
        """Append the epochs not written yet; rewrite all if the last time failed."""
        if not self.unwritten:
            return
        if self._written < 0:
            self._whole()
            return
        first, new = self._written == 0, self._told[self._written :]
        self._written = -1
        _append(self.metrics, "".join(line(row) for row in new))
        _append(self.history, table(new, head=first))
        self._written = len(self._told)

    def _whole(self) -> None:
        self._written = -1
        self.write(self.metrics, "".join(line(row) for row in self._told))
        self.write(self.history, table(self._told))
        self._written = len(self._told)

    def rows(self) -> list[dict[str, Any]]:
        """The epochs in `metrics.jsonl`; an incomplete last line, from a crash, is ignored."""
        if not self.metrics.is_file():
            return []
        found = []
        for text in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(text))
            except json.JSONDecodeError:
                break
        return found


def _append(path: Path, text: str) -> None:
    with naming(path), open(path, "a", encoding="utf-8", newline="") as file:
        file.write(text)


def _not_new(folder: Path) -> ConfigError:
    return ConfigError("--run-dir", "must be a new or empty folder", f"`{folder}`")


def _is_empty(folder: Path) -> bool:
    """Whether the folder is empty but for leftovers of a process killed at its start."""
    return all(path.name in (LOCK, ROWS) or TEMPORARY.fullmatch(path.name) for path in folder.iterdir())


def _taken(lock: Path) -> int:
    """Lock a file for the life of the process, if the system has such locks."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    while True:
        try:
            handle = os.open(lock, flags, 0o666)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise FileError.of(error, lock) from None
            raise CheckpointError(lock, "must be a regular file", "a link") from None
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise CheckpointError(lock, "must be a regular file")
            _lock(handle, lock.parent)
            if _is_at(handle, lock):
                return handle
        except BaseException:
            _close(handle)
            raise
        _close(handle)  # its holder has removed it, so another process may hold a new one


def _lock(handle: int, run: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CheckpointError(run, "must be a run that no other process uses") from None
    except OSError as error:
        warnings.warn(
            f"`{run}` is where files cannot be locked ({error.strerror}), so nothing keeps two processes from working"
            " on it",
            stacklevel=2,
        )


def _close(handle: int) -> None:
    """Close a file that was only read; errors do not matter."""
    with contextlib.suppress(OSError):
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def epoch_row(history: History, at: int, steps_of: int | None = None) -> dict[str, Any]:
    """The record of the epoch at this index; epochs are counted from 1."""
    row: dict[str, Any] = {"epoch": at + 1, "loss": history.loss[at]}
    if history.val_loss:
        row["val_loss"] = history.val_loss[at]
    row |= {name: values[at] for name, values in history.metrics.items()}
    return {**row, "lr": history.lr[at]}


def line(row: dict[str, Any]) -> str:
    """A row as a line of JSON; numbers that are not finite become null."""
    return json.dumps({k: _finite(v) for k, v in row.items()}) + "\n"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(rows: list[dict[str, Any]], head: bool = True) -> str:
    """Rows as CSV."""
    return lines_of([*([list(rows[0])] if head and rows else []), *(list(row.values()) for row in rows)])


def lines_of(rows: list[list[Any]]) -> str:
    """Lines of CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def environment(threads: int) -> dict[str, Any]:
    """Machine, versions and command."""
    from importlib.metadata import version

    return {
        "fastbp": version_of_fastbp(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numba", "llvmlite", "numpy", "safetensors")},
        "platform": platform.platform(),
        "processor": processor(),
        "processors": os.cpu_count(),
        "threads": threads,
        "command": sys.argv,
        "folder": _current_folder(),
        "began": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _current_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # deleted
        return None


def version_of_fastbp() -> str:
    """The package's own version, installed or not."""
    return str(sys.modules["fastbp"].__version__)


def processor() -> str:
    """The processor's name."""
    try:
        with open("/proc/cpuinfo") as file:
            for text in file:
                if text.startswith("model name"):
                    return text.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
