"""How predictions depend on columns, as SVG: the mean over the rows, and behind it the band that most rows are in.

Numbers are a line by their size; dates and categories are points beside each other, as is what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastbp.pictures.page import SERIES, apart, page, rule, short, write
from fastbp.pictures.picture import Picture
from fastbp.pictures.scale import Scale

WIDTH, HEIGHT = 760, 270
LEFT, RIGHT, TOP, BOTTOM = 76, 190, 40, 62
GONE = 46  # room for what is missing, beside a line
LETTERS, LONGEST = 26, 14  # of a label beside a curve, and of a value below it
GAP = 15.0
POINT = 4.0


@dataclass(frozen=True)
class Line:
    """Of one output the mean at each value, and the band."""

    name: str
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Curve:
    """A column with its values, None for missing; `numbers` are drawn by their size."""

    name: str
    numbers: bool
    values: Sequence[Any]
    lines: Sequence[Line]


def dependences(curves: Sequence[Curve], title: str = "Dependence") -> Picture:
    """The picture of columns, one below the other."""
    body = [write(16, 24, title, more=' font-size="14" font-weight="600"')]
    for i, curve in enumerate(curves):
        body += _panel(curve, 24 + i * HEIGHT)
    return Picture(page(max(WIDTH, 32 + 8 * len(title)), 24 + HEIGHT * len(curves), title, body))


def _panel(curve: Curve, top: int) -> list[str]:
    scale = Scale.of([value for line in curve.lines for value in (*line.low, *line.high, *line.mean)])
    bottom, right = top + HEIGHT - BOTTOM, WIDTH - RIGHT
    places = _places(curve, LEFT + 8.0, right - 8.0)

    def y(value: float) -> float:
        return bottom - (bottom - top - TOP) * scale.at(value)

    out = []
    for tick in scale.ticks():
        out += [rule(LEFT, y(tick), right, y(tick)), write(LEFT - 8, y(tick) + 4, f"{tick:.4g}", "soft", "end")]
    out += _labels(curve, places, bottom)
    out += [rule(LEFT, bottom, right, bottom, "axis")]
    out.append(write((LEFT + right) / 2, bottom + 50, short(curve.name, 60), "soft", "middle"))
    connected = [i for i, value in enumerate(curve.values) if curve.numbers and value is not None]
    labels = []
    for k, line in enumerate(curve.lines):
        color = f"s{k % SERIES}"
        if len(connected) > 1:
            out += _band([(places[i], y(line.low[i]), y(line.high[i]), y(line.mean[i])) for i in connected], color)
        shift = (k - (len(curve.lines) - 1) / 2) * 2.0 * POINT
        for i in range(len(curve.values)):
            if len(connected) > 1 and i in connected:
                continue
            x = places[i] + shift
            out.append(rule(x, y(line.low[i]), x, y(line.high[i]), color, ' stroke-width="1.4"'))
            out.append(f'<circle cx="{x:.1f}" cy="{y(line.mean[i]):.1f}" r="{POINT}" class="{color}fill"/>')
        labels.append((y(line.mean[connected[-1] if len(connected) > 1 else -1]), line.name, f"{color}fill"))
    for place, (_, name, kind) in zip(
        apart([at + 4 for at, _, _ in labels], GAP, top + TOP, bottom + 4), labels, strict=True
    ):
        out.append(write(right + 10, place, short(name, LETTERS), kind))
    return out


def _band(points: Sequence[tuple[float, float, float, float]], color: str) -> list[str]:
    """An area from low to high, and the mean as a line."""
    ends = [f"{x:.1f},{low:.1f}" for x, low, _, _ in points] + [f"{x:.1f},{high:.1f}" for x, _, high, _ in points[::-1]]
    middle = " ".join(f"{x:.1f},{mean:.1f}" for x, _, _, mean in points)
    return [
        f'<polygon points="{" ".join(ends)}" class="{color}fill" fill-opacity="0.16"/>',
        f'<polyline points="{middle}" fill="none" class="{color}" stroke-width="1.8"/>',
    ]


def _places(curve: Curve, left: float, right: float) -> list[float]:
    """Where each value stands."""
    count = len(curve.values)
    if not curve.numbers:
        return [left + (right - left) * ((i + 0.5) / count) for i in range(count)]
    there = [value for value in curve.values if value is not None]
    room = right - GONE if len(there) < count else right
    scale = Scale.of(there)
    return [right - GONE / 3 if value is None else left + (room - left) * scale.at(value) for value in curve.values]


def _labels(curve: Curve, places: Sequence[float], bottom: float) -> list[str]:
    """What stands below: round numbers, or each value."""
    out = []
    if curve.numbers:
        there = [(value, place) for value, place in zip(curve.values, places, strict=True) if value is not None]
        if there:
            scale = Scale.of([value for value, _ in there])
            first, last = there[0], there[-1]
            wide = last[1] - first[1]
            known = [tick for tick in scale.ticks() if first[0] <= tick <= last[0]] if wide else [first[0]]
            for tick in known:
                x = first[1] + (wide * (tick - first[0]) / (last[0] - first[0]) if wide else 0.0)
                out += [rule(x, bottom, x, bottom + 4, "axis"), write(x, bottom + 18, f"{tick:.4g}", "soft", "middle")]
        if None in curve.values:
            out.append(write(places[list(curve.values).index(None)], bottom + 18, "missing", "soft", "middle"))
        return out
    for i, (value, place) in enumerate(zip(curve.values, places, strict=True)):
        text = short("missing" if value is None else str(value), LONGEST)
        low = bottom + (18 if i % 2 == 0 or len(curve.values) < 6 else 32)
        out.append(write(place, low, text, "soft", "middle"))
    return out
