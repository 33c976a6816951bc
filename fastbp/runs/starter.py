"""A commented configuration for a table: what was found in it, and the keys to change first."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fastbp.config.schema import Data
from fastbp.config.text import MOST_BYTES, one_line
from fastbp.data.categories import say_many
from fastbp.data.files import read_paths
from fastbp.data.frame import Frame, missing_column
from fastbp.data.kinds import Kind, kinds_of
from fastbp.data.leaks import leaks_of
from fastbp.data.prepare import task_of
from fastbp.data.rows import without_targets
from fastbp.errors import ConfigError, DataError, DataWarning, visible

WIDEST = 60  # width of a key with its type; notes are aligned behind it


def starter(
    path: str, targets: Sequence[str], delimiter: str | None = None, encoding: str | None = None, header: bool = True
) -> str:
    """The text of a configuration for the table at `path`.

    Names and values of the table are quoted, or escaped in comments, so a table cannot inject keys.
    """
    if any("\ud800" <= c <= "\udfff" for c in path):
        raise ConfigError(f"a table must have a path in Unicode, as configurations are, got `{path}`")
    data = Data(path=path, delimiter=delimiter, encoding=encoding, header=header)
    frame = read_paths(path, data)
    names = list(frame.columns)
    if not targets:
        found = "y" if "y" in names else "target" if "target" in names else names[-1] if names else "y"
        targets = [found]
    for i, target in enumerate(targets):
        if target not in frame.columns:
            raise missing_column(frame, target)
        if target in targets[:i]:
            raise ConfigError("--target", "must name each column once", f"`{target}` twice")
    if frame.matrix is None and len(targets) == len(names):
        raise _nothing_beside(frame, targets)
    gone = without_targets(frame, targets)
    lines = [f"# {len(frame):,} rows of {visible(path)}.", f"name: {one_line(_slug(path))}", "seed: 0", "", "data:"]
    lines += [f"  path: {one_line(path)}"]
    lines += [f"  {key}: {one_line(v)}" for key, v in (("delimiter", delimiter), ("encoding", encoding)) if v]
    lines += [] if header else ["  header: false"]
    if len(targets) == 1:
        lines.append(f"  target: {one_line(targets[0])}")
    else:
        lines += ["  target:", *(f"    - {one_line(target)}" for target in targets)]
    if gone.any():
        lines.append(
            f"  missing_target: drop  # {gone.sum():,} of {len(gone):,} rows have no target; refuse is the default"
        )
        frame = frame.take(np.flatnonzero(~gone))
    task = task_of(frame, targets, None)
    lines += [f"  task: {task}  # classes, numbers, or labels for several of 0 and 1"]
    if frame.matrix is None:
        inputs = [name for name in names if name not in targets]
        leaks, kinds = leaks_of(frame, inputs, targets, task), kinds_of(frame, inputs)
        lines += _columns(kinds, leaks)
        _say_leaks(frame, leaks)
        texts = {name: frame.texts(name).tolist() for name, kind in kinds.items() if kind.name == "category"}
        rows = round(len(frame) * (1.0 - data.split.validation - data.split.test))
        say_many(path, rows, {name: len({*values} - {None}) for name, values in texts.items()})
    lines += [
        "  scale: standard  # of numbers; auto takes quantiles where tails are heavy; or robust, quantile, none",
        "  missing: mean  # or median, constant, refuse",
        f"  indicator: {str(_any_missing(frame, targets)).lower()}  # an indicator column for missing numbers",
        "  encode: one_hot  # of categories; embedding learns a table for each; auto, for those of more than 8",
        "  split:",
        "    validation: 0.15",
        "    test: 0.15",
        "",
        "network:",
        f"  hidden: {_hidden(len(frame))}",
        "  activation: relu  # or gelu, silu, tanh, ...",
        "  dropout: 0.0",
        "",
        "trainer:",
        "  epochs: 100",
        f"  batch_size: {_batch(len(frame))}",
        "  optimizer:",
        "    name: adamw",
        "    lr: 0.001",
        "    weight_decay: 0.01",
        "  schedule: cosine",
        "  early_stopping:",
        "    patience: 15",
    ]
    text = "\n".join(lines) + "\n"
    if len(text.encode()) > MOST_BYTES:
        raise DataError(f"{path}: must have columns whose names fit into a config of 1 MiB")
    return text


def _nothing_beside(frame: Frame, targets: Sequence[str]) -> DataError:
    """The error for a table that has targets only."""
    shown = " and ".join(f"`{visible(target)}`" for target in targets)
    hint = (
        "`--delimiter` says what divides the fields of a line"
        if len(targets) == 1 and frame.lines is not None
        else None
    )
    return DataError(f"{frame.origin}: must have a column beside the target {shown} to predict from", hint=hint)


def _say_leaks(frame: Frame, leaks: Mapping[str, str]) -> None:
    """Warn of columns that alone tell a target."""
    for name, target in leaks.items():
        warnings.warn(
            DataWarning(
                f"{frame.origin}: column `{visible(name)}` alone tells the target `{visible(target)}`",
                hint="if it is known only once the target is, make it `ignore` in the configuration",
            ),
            stacklevel=2,
        )


def _columns(found: dict[str, Kind], leaks: Mapping[str, str]) -> list[str]:
    """The lines of `data.columns`; of very many columns only those that are ignored or unclear."""
    found = dict(found)
    for name, target in leaks.items():
        found[name] = replace(found[name], about=f"{found[name].about}; alone tells `{visible(target)}`")
    head = "  columns:  # number, category, date, words, ignore or weight"
    if sum(len(name) + len(kind.about) + 40 for name, kind in found.items()) > MOST_BYTES // 2:
        found = {name: kind for name, kind in found.items() if kind.unclear is not None or kind.name == "ignore"}
        head += "; the others are inferred"
    entries = [(_entry(one_line(name), _type(kind)), _about(kind)) for name, kind in found.items()]
    width = max((len(entry) for entry, _ in entries if len(entry) <= WIDEST), default=0)
    return [head] * bool(entries) + [f"    {entry.ljust(width)}  # {about}" for entry, about in entries]


def _type(kind: Kind) -> str:
    return "{type: date, order: day}" if kind.unclear is not None else kind.name


def _about(kind: Kind) -> str:
    if kind.unclear is not None:
        return f"or month: no date says which is first in {visible(kind.unclear)}"
    return kind.about


def _entry(key: str, kind: str) -> str:
    """A key and its value; YAML needs a question mark before keys longer than 1,024 characters."""
    return f"{key}: {kind}" if len(key) <= 1000 else f"? {key}\n    : {kind}"


def _slug(path: str) -> str:
    stem = Path(path).name.split(".")[0]
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem).strip("-._")
    return kept[:64] or "run"


def _any_missing(frame: Frame, targets: Sequence[str]) -> bool:
    numbers = [c.values for n, c in frame.columns.items() if n not in targets and c.values.dtype.kind == "f"]
    return any(np.isnan(v).any() for v in numbers)


def _hidden(rows: int) -> str:
    return "[32, 32]" if rows < 1000 else "[64, 64]" if rows < 20_000 else "[256, 128]"


def _batch(rows: int) -> int:
    return 32 if rows < 20_000 else 128 if rows < 200_000 else 512
