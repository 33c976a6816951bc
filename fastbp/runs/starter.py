"""A commented configuration for a table: what was found in it, and the keys to change first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastbp.config.schema import Data
from fastbp.config.text import MOST_BYTES, one_line
from fastbp.data.files import read_paths
from fastbp.data.frame import Frame, missing_column
from fastbp.data.kinds import Kind, kinds_of
from fastbp.data.numbers import scale_of
from fastbp.data.outputs import ordered
from fastbp.data.prepare import task_of
from fastbp.data.unseen import by_value
from fastbp.errors import ConfigError, DataError, visible
from fastbp.runs.outline import listed

WIDEST = 60  # width of a key with its type; notes are aligned behind it


def starter(path: str, targets: Sequence[str], delimiter: str | None = None, encoding: str | None = None) -> str:
    """The text of a configuration for the table at `path`.

    Names and values of the table are quoted, or escaped in comments, so a table cannot inject keys.
    """
    if any("\ud800" <= c <= "\udfff" for c in path):
        raise ConfigError(f"a table must have a path in Unicode, as configurations are, got `{path}`")
    data = Data(path=path, delimiter=delimiter, encoding=encoding)
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
    task = task_of(frame, targets, None)
    lines = [f"# {len(frame):,} rows of {visible(path)}.", f"name: {one_line(_slug(path))}", "seed: 0", "", "data:"]
    lines += [f"  path: {one_line(path)}"]
    lines += [f"  {key}: {one_line(v)}" for key, v in (("delimiter", delimiter), ("encoding", encoding)) if v]
    if len(targets) == 1:
        lines.append(f"  target: {one_line(targets[0])}")
    else:
        lines += ["  target:", *(f"    - {one_line(target)}" for target in targets)]
    lines += [f"  task: {task}  # classes, numbers, or labels for several of 0 and 1"]
    lines += (
        _classes(frame, targets[0]) if task == "classes" else _transform(frame, targets) if task == "numbers" else []
    )
    if frame.matrix is None:
        lines += _columns(frame, [name for name in names if name not in targets])
    lines += [
        "  scale: standard  # of numbers; auto takes quantiles where tails are heavy; or robust, quantile, none",
        "  missing: mean  # or median, constant, refuse",
        f"  indicator: {str(_any_missing(frame, targets)).lower()}  # an indicator column for missing numbers",
        "  encode: one_hot  # of categories; embedding learns a table for each",
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


def _classes(frame: Frame, target: str) -> list[str]:
    """A comment with the shares of the classes."""
    counts = by_value(Counter(text for text in frame.texts(target).tolist() if text is not None))
    shares = {name: count / counts.total() for name, count in counts.items()}
    return [f"  # {listed(ordered(set(shares)), shares)}"] if shares else []


def _transform(frame: Frame, targets: Sequence[str]) -> list[str]:
    """The line of `data.target_transform`, which says where a logarithm may be better."""
    heavy = []
    for name in targets:
        column = frame.columns[name]
        y = np.sort(column.values[np.isfinite(column.values)]) if column.values.dtype.kind == "f" else np.zeros(0)
        if len(y) and y[0] >= 0.0 and scale_of(y) == "quantile":
            heavy.append(f"{visible(name)} has a heavy tail, so {'log' if y[0] > 0.0 else 'log1p'} may be better")
    note = f"; {', '.join(heavy[:3])}" if heavy else ""
    return [f"  target_transform: none  # or log, log1p, sqrt, quantile{note}"]


def _columns(frame: Frame, names: list[str]) -> list[str]:
    """The lines of `data.columns`; of very many columns only those that are ignored or unclear."""
    found = kinds_of(frame, names)
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
