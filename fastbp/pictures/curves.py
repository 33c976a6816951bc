"""Curves of a run as SVG: losses above, other metrics below, each with its own scale."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 120, 24, 34
COLORS = ("#1f5fa8", "#c2571a", "#2f8f4e", "#7a4fa3", "#8a6d1d", "#a8324a")


def curves(rows: list[dict[str, Any]]) -> str:
    """An SVG with one panel of losses, and one of metrics if there are any."""
    names = [name for name in (rows[0] if rows else {}) if name not in ("epoch", "lr")]
    losses = [name for name in names if name in ("loss", "val_loss")]
    panels = [losses, *([[n for n in names if n not in losses]] if len(names) > len(losses) else [])]
    height = HEIGHT * len(panels)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for i, panel in enumerate(panels):
        out += _panel(rows, panel, i * HEIGHT)
    return "\n".join([*out, "</svg>"]) + "\n"


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two."""
    step = 10.0 ** math.floor(math.log10((high - low) / 3.0))
    for times in (1.0, 2.0, 5.0, 10.0):
        if (high - low) / (step * times) <= 5.0:
            step *= times
            break
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _panel(rows: list[dict[str, Any]], names: list[str], top: int) -> list[str]:
    values = [row[n] for row in rows for n in names if row.get(n) is not None and math.isfinite(row[n])]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low < 1e-12 * max(abs(high), 1.0):
        low, high = low - 0.5, high + 0.5
    last = max(len(rows) - 1, 1)

    def x(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * epoch / last

    def y(value: float) -> float:
        return top + HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    bottom = top + HEIGHT - BOTTOM
    out = []
    for tick in _ticks(low, high):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#e3e3e3"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="#555">{tick:.6g}</text>')
    for tick in _ticks(0.0, float(last)):
        if tick == int(tick):
            out.append(f'<text x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle" fill="#555">{int(tick)}</text>')
    out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}" stroke="#888"/>')
    for i, name in enumerate(names):
        color = COLORS[i % len(COLORS)]
        points = [(x(r), y(row[name])) for r, row in enumerate(rows) if _there(row.get(name))]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        if len(points) == 1:
            out.append(f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="2.5" fill="{color}"/>')
        else:
            out.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 10}" y="{top + TOP + 14 + 16 * i}" fill="{color}">{escape(name)}</text>')
    return out


def _there(value: Any) -> bool:
    return value is not None and math.isfinite(value)
