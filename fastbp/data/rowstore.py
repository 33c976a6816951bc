"""Rows as a network takes them, in files: what a table becomes once, however often it is trained on.

A folder is of some files, as they were when they were read, and of what makes rows of them. It has for each part of the
rows

    PART.x           inputs, the network's numbers, and codes where some stand for several columns
    PART.y           targets as the loss takes them
    PART.weight      float64, where rows have weights
    PART.numbers     float64, targets in the units of the table, where they are numbers

and rows.json, which is written last. Until then done.json says how many rows are certain to be there: a pass that is
killed goes on behind them, with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.blocks import rows_of_block
from fastbp.data.gathered import Gathered
from fastbp.data.prepare import Part, part_of
from fastbp.data.recipe import Recipe
from fastbp.data.unseen import Unseen, joined
from fastbp.errors import ConfigError, DataError, FileError
from fastbp.numerics.splits import PARTS
from fastbp.spec.coded import Coded
from fastbp.spec.windows import Source, Windows, sampled
from fastbp.writing import write_together

Array = NDArray[Any]
FORMAT = "fastbp-rows-1"
ROWS, DONE, FILES, ALSO = "rows.json", "done.json", "files.json", "also.txt"
STEP = 1 << 16  # rows of the table that are prepared together
SAVED = 16  # of these, between two marks


@dataclass
class StoredPart(Part):
    """A part of the rows that stays in files; `X` is `Windows` of it, and the others are mapped."""

    def __len__(self) -> int:
        return len(self.X)

    def some(self) -> Part:
        """Rows of it in memory: all, or evenly many of more than a million or 32 MiB."""
        X: Any = self.X
        rows = sampled(len(X), X.source.array.shape[1])
        y, weight, numbers = (None if a is None else Source(a).some(rows) for a in (self.y, self.weight, self.numbers))
        assert y is not None
        return Part(X.some(rows), y, weight, numbers, rows)


@dataclass
class Rows:
    """The rows of a folder.

    Attributes
    ----------
    counts : tuple of int
        See `Coded`; empty where no column stands for several.
    arrays : dict
        Name -> (type, shape) of each file.
    check : str
        A hash of all bytes.
    """

    folder: Path
    recipe: Recipe
    counts: tuple[int, ...]
    arrays: dict[str, tuple[str, list[int]]]
    check: str
    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(int(np.dtype(kind).itemsize * np.prod(shape)) for kind, shape in self.arrays.values())

    def parts(self, block_rows: int | None, window_blocks: int) -> dict[str, Part]:
        """The parts of the rows."""
        found: dict[str, Part] = {}
        for part in PARTS:
            if f"{part}.x" not in self.arrays:
                continue
            x, y, weight, numbers = (self._mapped(f"{part}.{end}") for end in ("x", "y", "weight", "numbers"))
            X: Any = Windows(Coded(x, self.counts) if self.counts else x, block_rows, window_blocks)
            found[part] = StoredPart(X, y, weight, numbers)
        return found

    def _mapped(self, name: str) -> Any:
        if name not in self.arrays:
            return None
        kind, shape = self.arrays[name]
        try:
            return np.memmap(self.folder / name, np.dtype(kind), "r", shape=tuple(shape))
        except (OSError, ValueError):
            raise DataError(
                f"{self.folder / name}: must have the rows that were written there",
                hint=f"without the folder `{self.folder}` they are made anew",
            ) from None

    @classmethod
    def old(cls, folder: Path) -> Rows | None:
        """The rows of a folder that has all of them."""
        if not (folder / ROWS).is_file():
            return None
        try:
            said = json.loads((folder / ROWS).read_bytes())
            arrays = {name: (kind, shape) for name, (kind, shape) in said["arrays"].items()}
            recipe = Recipe.from_data(said["recipe"])
        except (ValueError, KeyError):  # damaged, so rows are made anew
            return None
        return cls(folder, recipe, tuple(said["counts"]), arrays, said["check"], said["seen"])


def key_of(files: Sequence[tuple[str | None, Sequence[str]]], said: dict[str, Any]) -> tuple[str, list[Any]]:
    """The name of the folder of some files and of what makes rows of them, and what it is of."""
    stamps = [[part, os.path.abspath(f), os.stat(f).st_size, os.stat(f).st_mtime_ns] for part, fs in files for f in fs]
    text = json.dumps([FORMAT, stamps, said], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest(), stamps


def kept_as(base: Path, key: str) -> str:
    """The folder of a key: its own, or one of which `keep_as` said that it has the same rows."""
    if not (base / key / ROWS).is_file():
        for path in sorted(base.glob(f"*/{ALSO}")):
            if path.read_bytes() == key.encode() and (path.parent / ROWS).is_file():
                return path.parent.name
    return key


def keep_as(folder: Path, key: str) -> None:
    """Have rows be found with the settings that a run writes, with the task and the loss that were found out.

    That is said before the rows are there, since who is killed behind them does not come to it.
    """
    if key != folder.name:
        write_together({folder / ALSO: key.encode()})


@contextmanager
def folder_of(base: Path, key: str, stamps: list[Any]) -> Iterator[Path]:
    """The folder, held by this process."""
    folder = base / key
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("data.store", "must be where folders can be made", f"`{folder}` ({error.strerror})") from None
    try:
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise FileError.of(error, folder / ".lock") from None
    try:
        _lock(handle, folder)
        if not (folder / FILES).is_file():
            write_together({folder / FILES: json.dumps(stamps).encode()})
        yield folder
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return
    except BlockingIOError:
        raise DataError(f"{folder}: must be made by one process at a time, and another is at it") from None
    except OSError as error:
        raise FileError.of(error, folder / ".lock") from None


def others_of(base: Path, key: str, stamps: list[Any]) -> list[Path]:
    """Folders of the same files, as they were before, or of other settings."""
    mine, found = [stamp[1] for stamp in stamps], []
    for path in sorted(base.glob(f"*/{FILES}")):
        try:
            theirs = [stamp[1] for stamp in json.loads(path.read_bytes())]
        except (OSError, ValueError, IndexError, TypeError):
            continue
        if theirs == mine and path.parent.name != key:
            found.append(path.parent)
    return found


def must_have_room(folder: Path, size: int) -> None:
    """Refuse a disk that has less room than rows need."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"{folder}: must have {size >> 20:,} MiB free for rows that do not fit into memory,"
            f" got `{free >> 20:,} MiB`",
            hint="`data.store` names a folder elsewhere",
        )


def prepare_rows(
    folder: Path,
    table: Gathered,
    parts: Array,
    recipe: Recipe,
    dtype: Any,
    strict: bool,
    seen: list[dict[str, Any]],
    told: Callable[[int, int], None],
) -> Rows:
    """Make the rows of a table, from where a pass before was stopped."""
    counts = {name: int(np.count_nonzero(parts == i)) for i, name in enumerate(PARTS)}
    arrays, codes = _layout(table, parts, recipe, dtype, counts)
    whole = Rows(folder, recipe, codes, arrays, "", seen)
    fitted = json.dumps(recipe.to_data())
    done = _done(folder, fitted, arrays)
    must_have_room(folder, whole.size - sum(_bytes(arrays[name], rows) for name, rows in done["rows"].items()))
    unseen: dict[str, list[Unseen]] = {name: [] for name in PARTS}
    for name, new in done["unseen"].items():
        unseen[name] = [Unseen(**one) for one in new]
    files: dict[str, Any] = {}
    try:
        for name, spec in arrays.items():
            rows = done["rows"].get(name, 0)
            files[name] = open(folder / name, "r+b" if rows else "wb")  # noqa: SIM115
            files[name].truncate(_bytes(spec, rows))
            files[name].seek(0, os.SEEK_END)
        written = {name: done["rows"].get(name, 0) for name in arrays}
        step = rows_of_block(len(table.columns), STEP)
        for number, first in enumerate(range(done["at"], len(table), step), 1):
            end = min(first + step, len(table))
            block = table.frame(first, end)
            for i, part in enumerate(PARTS):
                here = np.flatnonzero(parts[first:end] == i)
                if len(here):
                    frame = block if len(here) == len(block) else block.take(here)
                    made = part_of(recipe, frame, dtype, part, strict, unseen[part])
                    unseen[part] = joined(unseen[part], counts[part])
                    _append(files, written, part, made)
            told(end, len(table))
            if number % SAVED == 0 or end == len(table):
                _mark(folder, files, {"at": end, "rows": dict(written), "unseen": unseen, "recipe": fitted})
    except OSError as error:
        raise FileError.of(error, folder) from None
    finally:
        for file in files.values():
            file.close()
    for part, new in unseen.items():
        recipe.tell(new, table.origin, part)
    whole.check = _hash(folder, arrays)
    said = {"format": FORMAT, "recipe": recipe.to_data(), "counts": codes, "arrays": arrays, "check": whole.check}
    write_together({folder / ROWS: json.dumps({**said, "seen": seen}).encode()}, lasting=True)
    return whole


def tidy(folder: Path) -> None:
    """Remove what rows were made of; what cannot be removed is tried again when they are read the next time."""
    Gathered.remove(folder)
    with suppress(OSError):
        (folder / DONE).unlink()


def _layout(table: Gathered, parts: Array, recipe: Recipe, dtype: Any, counts: dict[str, int]) -> Any:
    """The type and shape of each file, by one row of each part, and the codes of inputs."""
    arrays: dict[str, tuple[str, list[int]]] = {}
    codes: tuple[int, ...] = ()
    for i, part in enumerate(PARTS):
        if counts[part]:
            row = int(np.argmax(parts == i))
            made = part_of(recipe, table.frame(row, row + 1), dtype, part, False, [])
            codes = made.X.counts if isinstance(made.X, Coded) else ()
            for end, array in _arrays(made).items():
                if array is not None:
                    arrays[f"{part}.{end}"] = array.dtype.str, [counts[part], *array.shape[1:]]
    return arrays, codes


def _arrays(part: Part) -> dict[str, Any]:
    x = part.X.narrow if isinstance(part.X, Coded) else part.X
    return {"x": x, "y": part.y, "weight": part.weight, "numbers": part.numbers}


def _append(files: dict[str, Any], written: dict[str, int], part: str, made: Part) -> None:
    for end, array in _arrays(made).items():
        if array is not None:
            files[f"{part}.{end}"].write(np.ascontiguousarray(array).data)
            written[f"{part}.{end}"] += len(array)


def _bytes(spec: tuple[str, list[int]], rows: int) -> int:
    kind, shape = spec
    return int(np.dtype(kind).itemsize * rows * np.prod(shape[1:], dtype=np.int64))


def _mark(folder: Path, files: dict[str, Any], said: dict[str, Any]) -> None:
    """Say how many rows are certain to be there."""
    for file in files.values():
        file.flush()
        os.fsync(file.fileno())
    said["unseen"] = {name: [vars(one) for one in new] for name, new in said["unseen"].items()}
    write_together({folder / DONE: json.dumps(said).encode()})


def _done(folder: Path, fitted: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """Where a pass before was stopped."""
    nothing: dict[str, Any] = {"at": 0, "rows": {}, "unseen": {}}
    try:
        said = json.loads((folder / DONE).read_bytes())
        enough = all((folder / n).stat().st_size >= _bytes(arrays[n], rows) for n, rows in said["rows"].items())
        return said if said["recipe"] == fitted and enough else nothing
    except (OSError, ValueError, KeyError):
        return nothing


def _hash(folder: Path, arrays: dict[str, Any]) -> str:
    """A hash of all bytes."""
    found = 0
    for name in arrays:
        with open(folder / name, "rb") as file:
            while piece := file.read(1 << 22):
                found = zlib.crc32(piece, found)
    return f"{found:08x}"
