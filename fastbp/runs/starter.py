"""A commented configuration for a table: what was found in it, and the keys that people change first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastbp.config.schema import Data
from fastbp.config.text import as_yaml
from fastbp.data.files import read_paths
from fastbp.data.frame import Frame, missing_column
from fastbp.data.prepare import task_of

IDS = 0.95  # a column of texts of which so many differ names rows rather than kinds of them


def starter(path: str, target: str | None, delimiter: str) -> str:
    """The text of a configuration for the table at `path`."""
    data = Data(path=path, delimiter=delimiter)
    frame = read_paths(path, data)
    names = list(frame.columns)
    if target is None:
        target = "y" if "y" in names else "target" if "target" in names else names[-1] if names else None
    if target is None or target not in frame.columns:
        raise missing_column(frame, target or "y")
    task = task_of(frame, [target], None)
    lines = [f"# {len(frame):,} rows of {path}.", f"name: {_slug(path)}", "seed: 0", "", "data:"]
    lines += [f"  path: {_scalar(path)}"]
    if delimiter != ",":
        lines.append(f"  delimiter: {_scalar(delimiter)}")
    lines += [f"  target: {_scalar(target)}", f"  task: {task}  # classes, numbers, or labels for several of 0 and 1"]
    columns = [(name, *_seen(frame, name)) for name in names if name != target]
    if columns and frame.matrix is None:
        lines.append("  columns:  # number, category, ignore or weight")
        width = max(len(f"{_scalar(name)}: {kind}") for name, kind, _ in columns)
        lines += [f"    {f'{_scalar(name)}: {kind}'.ljust(width)}  # {about}" for name, kind, about in columns]
    lines += [
        "  scale: standard  # of numbers; robust and quantile bear outliers, none leaves them alone",
        "  missing: mean  # or median, constant, refuse",
        f"  indicator: {str(_any_missing(frame, target)).lower()}  # a second column for where one was missing",
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
    return "\n".join(lines) + "\n"


def _scalar(value: str) -> str:
    return as_yaml({"k": value})[3:].strip()


def _slug(path: str) -> str:
    stem = Path(path).name.split(".")[0]
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem).strip("-._")
    return kept[:64] or "run"


def _seen(frame: Frame, name: str) -> tuple[str, str]:
    """The type of a column, and what was found in it."""
    column = frame.columns[name]
    values: Any = column.values
    if column.is_text:
        there = [v for v in values.tolist() if v is not None]
        kinds = len(set(there))
        gone = len(values) - len(there)
        if kinds > max(20, IDS * len(there)):
            return "ignore", f"{kinds:,} different texts, most of them once"
        example = ", ".join(sorted(set(there))[:4]) + (", ..." if kinds > 4 else "")
        return "category", f"{kinds:,} values: {example}" + _gone(gone)
    there = values[~np.isnan(values)]
    gone = len(values) - len(there)
    if not len(there):
        return "ignore", "nothing but missing values"
    if there.min() == there.max():
        return "ignore", f"always {there[0]:g}" + _gone(gone)
    return "number", f"{there.min():g} to {there.max():g}" + _gone(gone)


def _gone(count: int) -> str:
    return f", {count:,} missing" if count else ""


def _any_missing(frame: Frame, target: str) -> bool:
    numbers = [c.values for n, c in frame.columns.items() if n != target and not c.is_text]
    return any(np.isnan(v).any() for v in numbers)


def _hidden(rows: int) -> str:
    return "[32, 32]" if rows < 1000 else "[64, 64]" if rows < 20_000 else "[256, 128]"


def _batch(rows: int) -> int:
    return 32 if rows < 20_000 else 128 if rows < 200_000 else 512
