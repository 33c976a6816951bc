"""Checked reading of a run's files, which may have been edited."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

import msgspec

from fastbp.errors import CheckpointError
from fastbp.runs.folder import RunFolder

FORMAT = "fastbp-result-2"  # of `result.json`; before it had one, epochs were counted from 0


class Result(msgspec.Struct):
    """The schema of `result.json`."""

    run_dir: str
    metrics: dict[str, dict[str, float]]
    best_epoch: int
    epochs: int
    steps: int
    stopped: str | None
    seconds: float
    samples_per_second: float
    gflops: float
    share_of_peak: float | None = None
    baseline: dict[str, float] | None = None
    format: Literal["fastbp-result-2"] | None = None


def result_of(path: Path) -> dict[str, Any]:
    """The result of a run, if it is done."""
    file = path / "result.json"
    if not file.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        said = msgspec.convert(found, Result)
        names = {tuple(scores) for scores in said.metrics.values()}
        if said.baseline is not None and tuple(said.baseline) not in names:
            names = set()
    except (ValueError, RecursionError):  # of JSON, UTF-8 and msgspec
        names = set()
    if len(names) != 1:
        raise CheckpointError(file, "must be JSON as a run writes it")
    if said.format is None:
        found["best_epoch"] += 1
    return found


class PackMember(msgspec.Struct):
    """A member in the result of a pack's run."""

    member: int
    settings: dict[str, Any]
    networks: list[dict[str, Any]]
    metrics: dict[str, dict[str, float]] | None


class PackEnsemble(msgspec.Struct):
    """An ensemble in it."""

    members: dict[str, float]
    metrics: dict[str, dict[str, float]]


class PackResult(msgspec.Struct):
    """The schema of `result.json` of a run with `pack`."""

    format: Literal["fastbp-pack-result-1"]
    run_dir: str
    monitor: str
    members: list[PackMember]
    order: list[int]
    ensembles: dict[str, PackEnsemble]
    ensemble: str
    baseline: dict[str, float]
    report: dict[str, Any]
    steps: int
    seconds: float
    samples_per_second: float


def pack_result_of(path: Path) -> dict[str, Any]:
    """The result of a pack's run, if it is done."""
    file = path / "result.json"
    if not file.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        said = msgspec.convert(found, PackResult)
        there = {one.member for one in said.members if one.metrics is not None}
        parts = {tuple(one.metrics) for one in said.ensembles.values()}
        sound = set(said.order) == there and bool(there) and len(parts) == 1 and "best" in said.ensembles
        sound = sound and all(set(one["settings"]) == set(found["members"][0]["settings"]) for one in found["members"])
        sound = sound and all("best_epoch" in network for one in said.members for network in one.networks)
    except (ValueError, RecursionError):  # of JSON, UTF-8 and msgspec
        sound = False
    if not sound:
        raise CheckpointError(file, "must be JSON as a run writes it")
    return found


def pack_epochs_of(folder: RunFolder) -> list[dict[str, Any]]:
    """The epochs of a pack's run: their member, fold and number, loss, metrics and learning rate."""
    try:
        rows: list[Any] = folder.rows()
    except (ValueError, RecursionError):
        rows = [None]
    done: dict[tuple[Any, Any], int] = {}
    for i, row in enumerate(rows, 1):
        sound = isinstance(row, dict) and isinstance(row.get("member"), int) and isinstance(row.get("fold", 0), int)
        if sound:
            key = row["member"], row.get("fold")
            done[key] = done.get(key, 0) + 1
            sound = row.get("epoch") == done[key] and _are_numbers(row) and [*row] == [*rows[0]]
        if not sound:
            raise CheckpointError(folder.metrics, f"must be lines as a run writes them, but line {i} is not")
    return rows


def epochs_of(folder: RunFolder) -> list[dict[str, Any]]:
    """The epochs of a run: their number, loss, metrics and learning rate."""
    try:
        rows: list[Any] = folder.rows()
    except (ValueError, RecursionError):
        rows = [None]
    if rows and isinstance(rows[0], dict) and rows[0].get("epoch") == 0:  # as older versions counted
        rows = [{**row, "epoch": row["epoch"] + 1} if _has_epoch(row) else row for row in rows]
    for i, row in enumerate(rows, 1):
        if not (isinstance(row, dict) and row.get("epoch") == i and _are_numbers(row) and [*row] == [*rows[0]]):
            raise CheckpointError(folder.metrics, f"must be lines as a run writes them, but line {i} is not")
    return rows


def _has_epoch(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("epoch"), int)


def _are_numbers(row: dict[str, Any]) -> bool:
    """Whether a row has a loss, and numbers or null only."""
    try:
        return {"loss", "lr"} <= {*row} and all(v is None or math.isfinite(v) for v in row.values())
    except (TypeError, OverflowError):
        return False
