"""The columns of a table that is read once, block by block, each a file of its own, to which all is fitted.

    numbers   float64, NaN where missing
    dates     microseconds since 1970
    texts     codes, int32: 1 + the place in a list of all that differ, 0 where missing

A pass that is killed goes on behind its last mark. The files go when the rows that a network takes are made of them.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.blocks import Block, Look, Texts, blocks
from fastbp.data.columns import Column, Style
from fastbp.data.frame import Frame, Source, as_texts
from fastbp.data.moments import are_moments, moments, order_of, unclear
from fastbp.data.rows import without_targets
from fastbp.errors import DataError, FileError, visible
from fastbp.writing import write_together

Array = NDArray[Any]
TYPES = {"number": "<f8", "date": "<i8", "text": "<i4"}
MOST_TEXTS = 1 << 18  # different texts of a column
INDEX, DONE = "columns.json", "reading.json"
SAVED = 64  # blocks between two marks


@dataclass
class Kept:
    """A column: its kind, and what is known of it besides; `values` are its different texts.

    One whose type nobody said is ignored if these are `many`; then, and where it is `unread`, its rows are all missing.
    """

    name: str
    kind: str
    boolean: bool = False
    style: dict[str, Any] | None = None
    example: str = ""
    order: str | None = None
    values: list[str] = field(default_factory=list)
    free: bool = False  # whether it may be ignored
    many: bool = False
    unread: bool = False

    def column(self, raw: Array) -> Column:
        """Some of its rows."""
        if self.many or self.unread:
            return Column(self.name, np.full(len(raw), None, object))
        if self.kind == "text":
            return Column(self.name, np.array([None, *self.values], object)[raw])
        if self.kind == "date":
            return Column(self.name, raw.view("datetime64[us]"))
        style = None if self.style is None else Style(self.style["decimal"], tuple(self.style["missing"]))
        return Column(self.name, raw, self.boolean, style, self.example)


@dataclass
class Gathered:
    """A table's columns in a folder.

    Attributes
    ----------
    columns : list of Kept
    files : list of (str, int)
        Each file, and how many of its rows are there.
    given : list of (str or None, int)
        The part that some files were given as, and their rows; None: they are to be divided.
    dropped : int
        Rows without a target, which are not there.
    """

    folder: Path
    columns: list[Kept]
    files: list[tuple[str, int]]
    given: list[tuple[str | None, int]]
    dropped: int = 0

    def __len__(self) -> int:
        return sum(rows for _, rows in self.files)

    @property
    def origin(self) -> str:
        """The files, for messages."""
        return self.files[0][0] + (f" and {len(self.files) - 1} more" if len(self.files) > 1 else "")

    def named(self, name: str) -> Kept:
        return next(one for one in self.columns if one.name == name)

    def raw(self, name: str, first: int, end: int) -> Array:
        """Rows of a column as they are kept."""
        at = next(i for i, one in enumerate(self.columns) if one.name == name)
        kind = np.dtype(TYPES[self.columns[at].kind])
        with open(self.folder / f"{at}.column", "rb") as file:
            file.seek(first * kind.itemsize)
            return np.frombuffer(file.read((end - first) * kind.itemsize), kind)

    def frame(self, first: int, end: int) -> Frame:
        """Neighbouring rows as a table."""
        return self._frame({c.name: self.raw(c.name, first, end) for c in self.columns}, np.arange(first, end))

    def some(self, rows: Array, step: int = 1 << 20) -> Frame:
        """Rows of rising numbers as a table."""
        found = {}
        for column in self.columns:
            out = np.empty(len(rows), TYPES[column.kind])
            for first in range(0, len(self), step):
                low, high = np.searchsorted(rows, (first, first + step))
                if high > low:
                    out[low:high] = self.raw(column.name, first, min(first + step, len(self)))[rows[low:high] - first]
            found[column.name] = out
        return self._frame(found, rows)

    def _frame(self, raw: dict[str, Array], rows: Array) -> Frame:
        columns = {c.name: c.column(raw[c.name]) for c in self.columns}
        return Frame(None, columns, self.origin, rows=rows, sources=[Source(*one) for one in self.files])

    def write(self) -> None:
        """Say that all of it is there."""
        said = {"columns": [asdict(c) for c in self.columns], "files": self.files, "given": self.given}
        write_together({self.folder / INDEX: json.dumps({**said, "dropped": self.dropped}).encode()}, lasting=True)

    @classmethod
    def old(cls, folder: Path) -> Gathered | None:
        """What is in a folder, if all of it is there."""
        if not (folder / INDEX).is_file():
            return None
        try:
            said = json.loads((folder / INDEX).read_bytes())
        except ValueError:  # damaged, so columns are read anew
            return None
        columns, pairs = [Kept(**one) for one in said["columns"]], ("files", "given")
        files, given = ([(name, rows) for name, rows in said[key]] for key in pairs)
        return cls(folder, columns, files, given, said["dropped"])

    @staticmethod
    def remove(folder: Path) -> None:
        """Remove the files of one."""
        for path in (folder / INDEX, folder / DONE, *folder.glob("*.column")):
            with suppress(OSError):
                path.unlink()


def kept_of(found: Look, targets: Sequence[str], data: Any) -> list[Kept]:
    """How the columns of a table are kept, by its first rows."""
    settings = {n: {"type": v} if isinstance(v, str) else v for n, v in data.columns.items()}
    out = []
    for name, column in found.frame.columns.items():
        own, wanted = settings.get(name, {}), name in (*targets, data.split.group, data.split.column)
        if own.get("type") == "ignore" and not wanted:
            out.append(Kept(name, "text", unread=True))
            continue
        kind = "date" if column.values.dtype.kind == "M" else "text" if column.is_text else "number"
        order = None
        fixed = wanted or own.get("type") not in (None, "date")
        if kind == "text" and not fixed:
            texts = Counter(v for v in column.values.tolist() if v is not None)
            if texts and are_moments(texts):
                kind, order = "date", own.get("order") or order_of(texts)
                if order is None and (odd := unclear(texts)) is not None:
                    raise DataError(
                        f"{found.frame.origin}: column `{visible(name)}` must have a date in its first rows that says"
                        f" whether days or months come first, got only such as `{visible(odd)}`",
                        hint=f"`data.columns.{visible(name)}` may be `{{type: date, order: day}}`, or `order: month`",
                    )
        style = None if column.style is None else asdict(column.style)
        out.append(Kept(name, kind, column.boolean, style, column.example, order, free=not fixed and not own))
    return out


def gather(
    folder: Path,
    sources: Sequence[tuple[str | None, Sequence[str]]],
    data: Any,
    found: Look,
    targets: Sequence[str],
    stamps: Sequence[tuple[int, int]],
    told: Callable[[int, int, int], None],
) -> Gathered:
    """Read the files of each part once; `told` hears of bytes done, all bytes, and rows.

    `stamps` are the sizes and times that files must have still when they are read.

    A pass that was stopped goes on behind what is certain to be there.
    """
    columns = kept_of(found, targets, data)
    done, places = _done(folder, columns)
    every = [(part, file) for part, names in sources for file in names]
    sizes = [os.path.getsize(file) for _, file in every]
    files, dropped, rows = [(file, n) for file, n in done["files"]], done["dropped"], done["rows"]
    outs = []
    try:
        for i, column in enumerate(columns):
            outs.append(open(folder / f"{i}.column", "r+b" if rows else "wb"))  # noqa: SIM115
            outs[-1].truncate(rows * np.dtype(TYPES[column.kind]).itemsize)
            outs[-1].seek(0, os.SEEK_END)
        for at in range(len(files), len(every)):
            file, begin = every[at][1], tuple(done["behind"]) if at == len(done["files"]) else (0, 0, 0)
            here = done["here"] if any(begin) else 0
            for number, block in enumerate(blocks(file, data, found, begin=begin), 1):
                some = None
                if data.missing_target == "drop":
                    gone = _without(block, targets)
                    some, dropped = (np.flatnonzero(~gone) if gone.any() else None), dropped + int(gone.sum())
                for column, place, out in zip(columns, places, outs, strict=True):
                    raw = _raw(block, column, place)
                    out.write(np.ascontiguousarray(raw if some is None else raw[some]).data)
                added = len(block) if some is None else len(some)
                here, rows = here + added, rows + added
                told(sum(sizes[:at]) + block.done, sum(sizes), rows)
                if number % SAVED == 0:
                    said = {"files": files, "dropped": dropped, "rows": rows, "behind": block.behind, "here": here}
                    _mark(folder, outs, columns, places, said)
            if _stamp(file) != stamps[at]:
                raise DataError(f"{file}: must not change while it is read")
            files.append((file, here))
        for out in outs:
            out.flush()
            os.fsync(out.fileno())
    except FileError:
        raise
    except OSError as error:
        raise FileError.of(error, folder) from None
    finally:
        for out in outs:
            out.close()
    for column, place in zip(columns, places, strict=True):
        column.values = list(place)
    counts = [rows for _, rows in files]
    ends = np.cumsum([len(names) for _, names in sources]).tolist()
    given = [(p, sum(counts[e - len(n) : e])) for (p, n), e in zip(sources, ends, strict=True)]
    gathered = Gathered(folder, columns, files, given, dropped)
    if not rows:
        raise DataError(f"{found.frame.origin}: target must have a value in some rows, but has none")
    gathered.write()
    return gathered


def _mark(folder: Path, outs: list[Any], columns: list[Kept], places: list[dict[str, int]], said: Any) -> None:
    """Say how many rows are certain to be there."""
    for out in outs:
        out.flush()
        os.fsync(out.fileno())
    texts = {"values": list(map(list, places)), "many": [c.many for c in columns], "kinds": [c.kind for c in columns]}
    write_together({folder / DONE: json.dumps({**said, **texts}).encode()})


def _done(folder: Path, columns: list[Kept]) -> tuple[dict[str, Any], list[dict[str, int]]]:
    """Where a pass before was stopped, and the places of the texts that it has seen."""
    try:
        said = json.loads((folder / DONE).read_bytes())
        sizes = [said["rows"] * np.dtype(TYPES[column.kind]).itemsize for column in columns]
        enough = all((folder / f"{i}.column").stat().st_size >= size for i, size in enumerate(sizes))
        if enough and said["kinds"] == [column.kind for column in columns]:
            for column, many in zip(columns, said["many"], strict=True):
                column.many = many
            return said, [{text: i for i, text in enumerate(values)} for values in said["values"]]
    except (OSError, ValueError, KeyError):
        pass
    for old in (*folder.glob("*.column"), folder / INDEX):
        old.unlink(missing_ok=True)
    return {"files": [], "dropped": 0, "rows": 0, "behind": (0, 0, 0), "here": 0}, [{} for _ in columns]


def _stamp(file: str) -> tuple[int, int]:
    said = os.stat(file)
    return said.st_size, said.st_mtime_ns


def _without(block: Block, targets: Sequence[str]) -> Array:
    """Which rows of a block lack a target."""
    gone = np.zeros(len(block), bool)
    for name in targets:
        column = block.columns[name]
        if isinstance(column, Texts):
            gone |= column.codes == 0
        else:
            try:
                gone |= without_targets(Frame(None, {name: column}, block.file), [name])
            except DataError:  # all of a block may
                gone[:] = True
    return gone


def _raw(block: Block, kept: Kept, place: dict[str, int]) -> Array:
    """A column of a block as it is kept."""
    column = block.columns[kept.name]
    if kept.many or kept.unread:
        return np.zeros(len(block), np.int32)
    if kept.kind == "text":
        return _codes(column, kept, place, block)
    if kept.kind == "date":
        return moments(block.frame(), kept.name, None, kept.order).astype("<i8")
    values = block.frame().numbers(kept.name) if isinstance(column, Texts) else column.values
    if values.dtype.kind == "M":
        must = "must be numbers, as in the first file, got dates"
        raise DataError(f"{block.file}: column `{visible(kept.name)}` {must}")
    if kept.boolean:
        bad = ~(np.isin(values, (0.0, 1.0)) | np.isnan(values))
        if bad.any():
            row = int(np.argmax(bad))
            must = f"column `{visible(kept.name)}` must be true or false, as in its first rows, got `{values[row]:g}`"
            raise DataError(f"{block.frame().place(row)}{must}")
    return values


def _codes(column: Column | Texts, kept: Kept, place: dict[str, int], block: Block) -> Array:
    if not isinstance(column, Texts):
        values = as_texts(column).tolist()
        local = dict.fromkeys(v for v in values if v is not None)
        where = {None: 0} | {v: i + 1 for i, v in enumerate(local)}
        column = Texts(kept.name, np.array([where[v] for v in values], np.int32), list(local))
    codes = np.array([0] + [place.setdefault(v, len(place)) + 1 for v in column.values], np.int32)
    if len(place) > MOST_TEXTS and kept.free:
        kept.many = True
        place.clear()
    elif len(place) > MOST_TEXTS:
        raise DataError(
            f"{block.file}: column `{visible(kept.name)}` must have at most {MOST_TEXTS:,} different texts where rows"
            " do not fit into memory, got more",
            hint=f"`data.columns: {{{visible(kept.name)}: ignore}}` leaves it out",
        )
    return codes[column.codes]
