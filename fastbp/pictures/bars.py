"""Bars from left to right, with a whisker where a number has a spread: panels beside each other, of the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastbp.pictures.page import page, rule, short, write
from fastbp.pictures.picture import Picture
from fastbp.pictures.scale import ticks

HIGH, LONG, TOP, LONGEST = 24, 250, 84, 28  # of a row, of a panel, above the rows, and letters of a name
NUMBER = 62  # room for a number behind a bar


@dataclass(frozen=True)
class Bar:
    """A name with its number, None where it has none."""

    name: str
    value: float | None
    spread: float = 0.0


def bars(title: str, panels: Sequence[Sequence[Bar]], titles: Sequence[str]) -> Picture:
    """The picture of panels whose rows have the same names."""
    names = [short(bar.name, LONGEST) for bar in panels[0]]
    left = 28 + 7.0 * max(map(len, names), default=1)
    bottom = TOP + HIGH * len(names)
    body = [write(16, 26, title, more=' font-size="14" font-weight="600"')]
    for i, name in enumerate(names):
        body.append(write(left - 10, TOP + HIGH * i + 16, name, "ink", "end"))
    for at, (panel, called) in enumerate(zip(panels, titles, strict=True)):
        start = left + at * (LONG + NUMBER + 24)
        body += _panel(panel, start, bottom, f"s{at}")
        body.append(write(start, 56, called, "soft"))
    return Picture(page(left + len(panels) * (LONG + NUMBER + 24), bottom + 34, title, body))


def _panel(panel: Sequence[Bar], start: float, bottom: float, color: str) -> list[str]:
    ends = [v for b in panel if b.value is not None for v in (b.value - b.spread, b.value + b.spread)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    if high == low:
        high = low + 1.0

    def x(value: float) -> float:
        return start + LONG * (value - low) / (high - low)

    out = []
    for tick in ticks(low, high, 4):
        out += [rule(x(tick), TOP - 4, x(tick), bottom), write(x(tick), bottom + 18, f"{tick:.4g}", "soft", "middle")]
    for i, bar in enumerate(panel):
        y = TOP + HIGH * i
        if bar.value is None:
            out.append(write(x(0) + 6, y + 16, "none", "soft"))
            continue
        left, right = sorted((x(0), x(bar.value)))
        box = f'x="{left:.1f}" y="{y + 4}" width="{right - left:.1f}" height="{HIGH - 9}"'
        out.append(f'<rect {box} class="{color}fill" fill-opacity="0.75"/>')
        end = max(right, x(bar.value + bar.spread))
        if bar.spread:
            middle = y + 4 + (HIGH - 9) / 2
            a, b = x(bar.value - bar.spread), x(bar.value + bar.spread)
            out += [rule(a, middle, b, middle, "edge"), rule(a, middle - 4, a, middle + 4, "edge")]
            out.append(rule(b, middle - 4, b, middle + 4, "edge"))
        out.append(write(end + 6, y + 16, f"{bar.value:.4g}", "ink"))
    out.append(rule(x(0), TOP - 4, x(0), bottom, "axis"))
    return out
