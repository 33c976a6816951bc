"""How often probabilities came true, as SVG: a point for each bin, and below how many rows are in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastbp.pictures.page import page, rule, short, write
from fastbp.pictures.picture import Picture

SIDE, LEFT, TOP, LOW = 320, 76, 64, 60  # of the square, the room around it, and the height of the bars
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def reliability(bins: Sequence[Mapping[str, float]], of: str, error: float, title: str = "Calibration") -> Picture:
    """The picture of bins with `low`, `high`, `rows`, `predicted` and `actual`."""
    bottom = TOP + SIDE
    base = bottom + 30 + LOW
    most = max((b["rows"] for b in bins), default=1.0) or 1.0

    def x(value: float) -> float:
        return LEFT + SIDE * value

    def y(value: float) -> float:
        return bottom - SIDE * value

    middle = TOP + SIDE / 2
    body = [write(16, 24, title, more=' font-size="14" font-weight="600"')]
    body.append(write(16, 44, f"expected error {error:.3g}; dashed: true as often as it is said", "soft"))
    for tick in TICKS:
        body += [rule(x(tick), TOP, x(tick), bottom), rule(LEFT, y(tick), LEFT + SIDE, y(tick))]
        body.append(write(LEFT - 8, y(tick) + 4, f"{tick:.1f}", "soft", "end"))
        body.append(write(x(tick), bottom + 18, f"{tick:.1f}", "soft", "middle"))
    body.append(rule(x(0), y(0), x(1), y(1), "axis", ' stroke-dasharray="7 4"'))
    points = " ".join(f"{x(b['predicted']):.1f},{y(b['actual']):.1f}" for b in bins)
    body.append(f'<polyline points="{points}" fill="none" class="s0" stroke-width="1.8"/>')
    for b in bins:
        body.append(f'<circle cx="{x(b["predicted"]):.1f}" cy="{y(b["actual"]):.1f}" r="4" class="s0fill"/>')
        tall = LOW * b["rows"] / most
        box = f'x="{x(b["low"]) + 1:.1f}" y="{base - tall:.1f}" width="{SIDE * (b["high"] - b["low"]) - 2:.1f}"'
        body.append(f'<rect {box} height="{tall:.1f}" class="heat" fill-opacity="0.55"/>')
    body.append(rule(LEFT, base, LEFT + SIDE, base, "axis"))
    body.append(write(LEFT - 8, base - LOW + 8, f"{most:.4g}", "soft", "end"))
    body.append(write(LEFT - 8, base + 2, "0 rows", "soft", "end"))
    body.append(write(LEFT + SIDE / 2, base + 24, f"probability of {short(of, 32)}", "soft", "middle"))
    turned = f' transform="rotate(-90 18 {middle:.1f})"'
    body.append(write(18, middle, "share in which it came true", "soft", "middle", turned))
    return Picture(page(LEFT + SIDE + 60, base + 40, title, body))
