"""Curves in a terminal, two by four dots a character."""

from __future__ import annotations

import math
from typing import Any

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a Braille character, by row and column


def plot(rows: list[dict[str, Any]], names: list[str], width: int, height: int) -> str:
    """Lists of numbers by epoch, one curve a name."""
    values = [r[n] for r in rows for n in names if r.get(n) is not None]
    if not values:
        return "nothing to draw"
    low, high = min(values), max(values)
    if high - low < 1e-12 * max(abs(high), 1.0):
        low, high = low - 0.5, high + 0.5
    labels = [f"{high:.4g}", f"{low:.4g}"]
    margin = max(map(len, labels)) + 1
    columns = max(width - margin - 12, 10)
    cells = [[0] * columns for _ in range(height)]
    ends: dict[int, str] = {}
    for name in names:
        before = None
        for i, row in enumerate(rows):
            if row.get(name) is None:
                before = None
                continue
            x = round(i / max(len(rows) - 1, 1) * (2 * columns - 1))
            y = round((high - row[name]) / (high - low) * (4 * height - 1))
            for a, b in _line(before, (x, y)):
                cells[b // 4][a // 2] |= DOTS[b % 4][a % 2]
            before = (x, y)
        if before is not None:
            line = before[1] // 4
            while line in ends and line + 1 < height:
                line += 1
            ends[line] = name
    out = []
    for i, cell in enumerate(cells):
        label = labels[0] if i == 0 else labels[1] if i == height - 1 else ""
        text = "".join(chr(0x2800 + c) if c else " " for c in cell)
        out.append(f"{label:>{margin - 1}} {text} {ends.get(i, '')}".rstrip())
    return "\n".join(out)


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
