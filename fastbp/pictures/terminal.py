"""Curves in a terminal, two by four dots a character."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastbp.pictures.page import apart
from fastbp.pictures.scale import Scale, whole_ticks

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a Braille character, by row and column
NARROW = 10  # columns that a curve has at least


def plot(rows: Sequence[dict[str, Any]], names: Sequence[str], width: int, height: int, best: int | None = None) -> str:
    """Lists of numbers by epoch, one curve a name, with the epochs below and a mark at the best, counted from 1."""
    values = [r[n] for r in rows for n in names if r.get(n) is not None]
    if not values:
        return "nothing to draw"
    scale, last = Scale.of(values, may_be_log=True), len(rows)
    middle = height // 2
    labels = {0: _high(scale, 1.0), middle: _high(scale, 1 - (middle + 0.5) / height), height - 1: _high(scale, 0.0)}
    margin = max(map(len, labels.values())) + 1
    columns = max(width - margin - max(len(name) for name in (*names, "epoch")) - 1, NARROW)
    cells = [[0] * columns for _ in range(height)]

    def across(epoch: int) -> int:
        """The dot of an epoch, from 0."""
        return round(epoch / max(last - 1, 1) * (2 * columns - 1))

    ends: list[tuple[float, str]] = []
    for name in names:
        before = None
        for i, row in enumerate(rows):
            if row.get(name) is None:
                before = None
                continue
            place = across(i), round((1.0 - scale.at(row[name])) * (4 * height - 1))
            for a, b in _line(before, place):
                cells[b // 4][a // 2] |= DOTS[b % 4][a % 2]
            before = place
        if before is not None:
            ends.append((before[1] / 4 - 0.5, name))
    lines = apart([at for at, _ in ends], 1.0, 0.0, height - 1.0)
    named = {round(line): name for line, (_, name) in zip(lines, ends, strict=True)}
    out = ["loss, logarithmic"] if scale.log else []
    for i, cell in enumerate(cells):
        text = "".join(chr(0x2800 + c) if c else " " for c in cell)
        out.append(f"{labels.get(i, ''):>{margin - 1}} {text} {named.get(i, '')}".rstrip())
    out.append(" " * margin + _epochs(last, across, columns))
    if best is not None and 1 <= best <= last:
        at, said = across(best - 1) // 2, f"best epoch {best}"
        fits = at + 2 + len(said) <= columns
        out.append(" " * margin + (" " * at + f"▲ {said}" if fits else f"{said} ▲".rjust(at + 1)))
    return "\n".join(out)


def _high(scale: Scale, part: float) -> str:
    """The number at a part of a scale's height."""
    if scale.log:
        return f"{math.exp(math.log(scale.low) + part * (math.log(scale.high) - math.log(scale.low))):.3g}"
    return f"{scale.low * (1 - part) + scale.high * part:.4g}"


def _epochs(last: int, across: Any, columns: int) -> str:
    """The axis: numbers of epochs where they are, as far as they are apart."""
    line = [" "] * columns
    free = 0
    for epoch in whole_ticks(last, max(columns // 10, 1)):
        text = str(epoch)
        start = min(max(across(epoch - 1) // 2 - len(text) // 2, 0), columns - len(text))
        if start >= free:
            line[start : start + len(text)] = text
            free = start + len(text) + 1
    return "".join(line).rstrip() + " epoch"


def _line(start: tuple[int, int] | None, end: tuple[int, int]) -> list[tuple[int, int]]:
    """Dots from one place to another."""
    if start is None:
        return [end]
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (
            math.floor(start[0] + (end[0] - start[0]) * i / steps + 0.5),
            math.floor(start[1] + (end[1] - start[1]) * i / steps + 0.5),
        )
        for i in range(steps + 1)
    ]
