"""Which rows of a table are used, and what is said of those that are read."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fastbp.data.columns import number
from fastbp.data.frame import Frame
from fastbp.errors import DataError, DataWarning, visible


def without_targets(frame: Frame, targets: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows lack a target; all may not."""
    gone = np.zeros(len(frame), bool)
    for name in targets:
        values = frame.columns[name].values
        gone |= np.array([v is None for v in values.tolist()], bool) if values.dtype.kind == "O" else values != values
    if gone.all():
        raise DataError(f"{frame.origin}: target {_listed(targets)} must have a value in some rows, but has none")
    return gone


def with_targets(frame: Frame, targets: Sequence[str], part: str = "") -> Frame:
    """The rows that have all targets; how many have none is said."""
    gone = without_targets(frame, targets)
    if not gone.any():
        return frame
    shown = _listed(targets)
    where = frame.origin + (f", {part} rows" if part else "")
    warnings.warn(
        DataWarning(f"{where}: {int(gone.sum()):,} of {len(gone):,} rows have no target {shown} and were dropped"),
        stacklevel=2,
    )
    return frame.take(np.flatnonzero(~gone))


def _listed(targets: Sequence[str]) -> str:
    return " and ".join(f"`{visible(name)}`" for name in targets[:3]) + " ..." * (len(targets) > 3)


def say_styles(frame: Frame, used: Iterable[str | None]) -> None:
    """Say which columns have numbers that are not written as plain ones."""
    for name in used:
        column = frame.columns.get(name or "")
        if column is not None and column.style is not None:
            said = f"{frame.origin}: column `{visible(column.name)}` is read as numbers"
            warnings.warn(
                DataWarning(said + styled(column.style.decimal, column.style.missing, column.example)), stacklevel=2
            )


def styled(decimal: str, missing: Sequence[str], example: str) -> str:
    """How numbers are written, as a clause of a sentence."""
    text = f", `{visible(example)}` as {number(example, decimal):.12g}" if example else ""
    if missing:
        marks = ", ".join(f"`{visible(mark)}`" for mark in missing[:5]) + ", ..." * (len(missing) > 5)
        text += f"{', and' if text else ','} {marks} as missing"
    return text
