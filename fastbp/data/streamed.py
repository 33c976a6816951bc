"""Tables that do not fit into memory: one pass of text into columns, one of these into rows in files, once a table."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fastbp.data.array_files import room_for_a_file
from fastbp.data.blocks import CHUNK, in_blocks, look
from fastbp.data.categories import Category, say_many
from fastbp.data.dates import Dates
from fastbp.data.files import FRAMES, files_of, must_exist, reading_of, suffix_of
from fastbp.data.fitting import LOOKED, Stream, fit_inputs, fit_outputs, looked_at, parts_of
from fastbp.data.gathered import MOST_TEXTS, TYPES, Gathered, gather, kept_of
from fastbp.data.outputs import Outputs
from fastbp.data.plan import Seen, column_plan
from fastbp.data.polars_files import shape_of
from fastbp.data.prepare import LOSS_OF, Prepared, fits_task, target_columns, task_of, transforms_of
from fastbp.data.raw import Raw
from fastbp.data.recipe import Recipe
from fastbp.data.rows import say_styles
from fastbp.data.rowstore import (
    Rows,
    folder_of,
    keep_as,
    kept_as,
    key_of,
    must_have_room,
    others_of,
    prepare_rows,
    tidy,
)
from fastbp.data.sizes import amount, limit_of
from fastbp.data.streams import stream
from fastbp.errors import ConfigError, DataWarning, tell, visible
from fastbp.numerics.splits import PARTS
from fastbp.spec.catalogue import loss_of

BASE = 1 << 28  # bytes of the program itself
LEAST = 1 << 29  # of memory, for rows that stream
PACKED = 5  # times the size of a compressed file
LISTED = 3  # folders of other rows that are named

Sources = list[tuple[str | None, list[str]]]


@dataclass
class Told:
    """What hears of a pass: its name, the part of it that is done, and rows."""

    pass_: Callable[[str, float, int], None] = lambda name, done, rows: None
    say: Callable[[str], None] = lambda text: None


def sources_of(data: Any) -> Sources | None:
    """The files of each part, if all of them can be read in blocks."""
    if data.source not in (None, "files"):
        return None
    given = [(None, data.path)] if data.path is not None else [(p, getattr(data, p)) for p in PARTS]
    found: Sources = []
    for part, paths in given:
        if paths is not None:
            files = in_blocks(paths)
            if files is None:
                return None
            found.append((part, files))
    return found or None


def must_be_there(data: Any) -> None:
    """Refuse files that there are not."""
    for paths in (data.path, *(getattr(data, part) for part in PARTS)):
        for file in files_of(paths) if paths is not None else ():
            must_exist(file)


def need_of(sources: Sources, data: Any) -> tuple[int, int]:
    """Bytes that rows take in memory, about, and how many of them reading needs."""
    size = fields = 0
    for _, files in sources:
        for file in files:
            here = os.path.getsize(file) * (PACKED if suffix_of(file).endswith((".gz", ".zst")) else 1)
            if suffix_of(file) in FRAMES:
                fields += math.prod(shape_of(file))
            else:
                with stream(file) as opened:
                    begin = opened.read(1 << 14)
                signs = max(begin.count(sign) for sign in (b",", b";", b"\t", b"|")) + begin.count(b"\n")
                fields += here * max(1, signs) // max(1, len(begin))
                size += here
    return BASE + size + 28 * fields, size + 64 * fields


def streams(data: Any) -> Sources | None:
    """The files of a table that is to be streamed; None where rows are to be in memory."""
    if data.stream is False:
        return None
    sources = sources_of(data)
    if data.stream:
        if sources is None:
            must_be_there(data)
            raise ConfigError("data.stream", "must be false but for CSV, Parquet and Arrow files", "true")
        return sources
    if sources is None:
        return None
    need, reading = need_of(sources, data)
    most = limit_of(data)
    return sources if (reading > room_for_a_file() if most is None else need > most) else None


def origin_of(sources: Sources) -> str:
    """The files, for messages."""
    files = [file for _, files in sources for file in files]
    return files[0] + (f" and {len(files) - 1} more" if len(files) > 1 else "")


def streamed(
    data: Any, sources: Sources, seed: int, dtype: Any, loss: Any, strict: bool, base: Path, told: Told
) -> tuple[Prepared, Rows]:
    """`prepare`, of rows that stay in files below the folder `base`."""
    must_do(data)
    most = limit_of(data)
    settings = msgspec.to_builtins(data)
    for key in (*PARTS, "path", "max_memory", "store", "stream", "block_rows", "window_blocks"):
        settings.pop(key)

    def named(task: str | None, loss: Any) -> tuple[str, list[Any]]:
        said = {**settings, "task": task}
        return key_of(sources, {"data": said, "seed": seed, "dtype": str(dtype), "loss": loss and repr(loss)})

    def settled(task: str) -> str:
        return named(task, loss_of(LOSS_OF[task]) if loss is None else loss)[0]

    key, stamps = named(data.task, loss)
    key = kept_as(base, key)
    rows = Rows.old(base / key)
    if rows is None:
        with folder_of(base, key, stamps) as folder:
            rows = Rows.old(folder)  # as another process may have made them meanwhile
            if rows is None:
                others = [str(other) for other in others_of(base, key, stamps)]
                if others:
                    more = f" and {len(others) - LISTED} more folders there" if len(others) > LISTED else ""
                    before = "rows of these files as they were, or of other settings"
                    told.say(f"{before}, are in {', '.join(others[:LISTED])}{more}, which may be removed")
                rows = _made(folder, sources, stamps, data, seed, dtype, loss, strict, told, settled)
    tidy(rows.folder)
    need, origin = amount(need_of(sources, data)[0]), origin_of(sources)
    told.say(
        f"{origin}, about {need} in memory, is streamed; its rows are in {rows.folder}, {amount(rows.size)}, and are"
        " made anew if that is removed"
    )
    parts = rows.parts(data.block_rows, data.window_blocks)
    windows = max(part.X.nbytes for part in parts.values())
    if most is not None and windows > most - BASE:
        must = f"and `data.window_blocks` must be such that three windows take at most {amount(most - BASE)}"
        raise ConfigError("data.block_rows", must, f"{amount(windows)}")
    return Prepared(parts, rows.recipe, [Seen(**one) for one in rows.seen]), rows


def _made(
    folder: Path,
    sources: Sources,
    stamps: list[Any],
    data: Any,
    seed: int,
    dtype: Any,
    loss: Any,
    strict: bool,
    told: Told,
    settled: Callable[[str], str],
) -> Rows:
    """The rows of a table that was not read before, or not to its end."""
    table = Gathered.old(folder)
    if table is None:
        found = look(sources[0][1][0], data, reading_of(data))
        targets = target_columns(found.frame, data)
        must_be_enough(data, len(found.names))
        _room_for_columns(folder, sources, found, targets, data)
        table = gather(
            folder,
            sources,
            data,
            found,
            targets,
            [(size, time) for _, _, size, time in stamps],
            lambda done, total, rows: told.pass_("reading", done / max(total, 1), rows),
        )
    if table.dropped:
        whole = len(table) + table.dropped
        tell(DataWarning(f"{table.origin}: {table.dropped:,} of {whole:,} rows have no target and were dropped"))
    for kept in table.columns:
        if kept.many:
            why = f"has more than {MOST_TEXTS:,} different texts and is ignored, as rows do not fit into memory"
            tell(DataWarning(f"{table.origin}: column `{visible(kept.name)}` {why}"))
    recipe, parts, seen = _fitted(table, data, seed, loss, told)
    keep_as(folder, settled(recipe.outputs.task))
    return prepare_rows(
        folder,
        table,
        parts,
        recipe,
        dtype,
        strict,
        [asdict(one) for one in seen],
        lambda done, total: told.pass_("preparing", done / total, done),
    )


def _fitted(table: Gathered, data: Any, seed: int, loss: Any, told: Told) -> tuple[Recipe, Any, list[Seen]]:
    """What makes rows of a table, the part that each of its rows is in, and what its columns are."""
    looked = table.some(looked_at(len(table), len(table.columns), seed))
    targets = target_columns(looked, data)
    task = task_of(looked, targets, data.task)
    loss = loss_of(LOSS_OF[task]) if loss is None else loss
    fits_task(task, loss, targets)
    if data.clamp_target and task != "numbers":
        raise ConfigError("data.clamp_target", f"must be `false` where targets are {task}", "`true`")
    parts = parts_of(table, looked, data, seed, targets, task)
    assert looked.rows is not None
    train = looked.take(np.flatnonzero(parts[looked.rows] == 0))
    outputs = Outputs(task, targets, transforms=transforms_of(data.target_transform, task, loss, targets))
    inputs, weight, seen = column_plan(train, data, targets, looked)
    for part in inputs.parts:
        if isinstance(part, Dates) and part.order is None:
            part.order = table.named(part.name).order
    told.pass_("fitting", 0.0, len(table))
    if len(looked) == len(table):
        outputs.fit(train, data.scale_target and loss.scaled, data.clamp_target)
        inputs.fit(train)
    else:
        stream = Stream.of(train, table, parts)
        fit_outputs(outputs, stream, data.scale_target and loss.scaled, data.clamp_target)
        fit_inputs(inputs, stream)
    seen = [_width(one, inputs) for one in seen]
    about = f"more than {MOST_TEXTS:,} different texts"
    unread = {kept.name: about if kept.many else "" for kept in table.columns if kept.many or kept.unread}
    seen = [replace(one, about=unread.get(one.name, one.about)) for one in seen]
    say_many(table.origin, int(np.count_nonzero(parts == 0)), inputs.categories)
    say_styles(train, [*targets, weight, *(part.name for part in inputs.parts)])
    recipe = Recipe(inputs, outputs, loss.named, weight, Raw.of(data, train.columns.values()))
    return recipe, parts, seen


def _width(one: Seen, inputs: Any) -> Seen:
    part = next((part for part in inputs.parts if part.name == one.name), None)
    if part is None:
        return one
    encode = part.encode if isinstance(part, Category) else ""
    return Seen(one.name, one.type, one.about, one.scale, encode, part.width)


def must_do(data: Any) -> None:
    """Refuse a limit below what streaming takes."""
    most = limit_of(data)
    if most is not None and most < LEAST:
        must = f"must be at least {LEAST >> 20} MiB where rows do not fit"
        raise ConfigError("data.max_memory", must, f"`{data.max_memory}`")


def must_be_enough(data: Any, columns: int) -> None:
    """Refuse a limit below what rows of so many columns need that are looked at."""
    most, least = limit_of(data), LEAST + 3 * 8 * max(0, 20_000 * columns - LOOKED)
    if most is not None and most < least:
        must = f"must be at least {least >> 20} MiB for {columns:,} columns"
        raise ConfigError("data.max_memory", must, f"`{data.max_memory}`")


def _room_for_columns(folder: Path, sources: Sources, found: Any, targets: list[str], data: Any) -> None:
    """Refuse a disk without room for the columns, before they are read."""
    looked = found.frame
    a_row = sum(np.dtype(TYPES[kept.kind]).itemsize for kept in kept_of(found, targets, data))
    rows = 0
    for _, files in sources:
        for file in files:
            if suffix_of(file) in FRAMES:
                rows += shape_of(file)[0]
            else:
                size = os.path.getsize(file) * (PACKED if suffix_of(file).endswith((".gz", ".zst")) else 1)
                head = min(CHUNK, size)
                rows += len(looked) * size // max(1, head)
    must_have_room(folder, rows * (a_row + 4 * len(looked.columns)))
