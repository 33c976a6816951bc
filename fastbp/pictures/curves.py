"""Curves of a run as SVG: losses above, metrics below, each panel with its own scale.

Beside the curves there are the best epoch, and by what each is to be measured: the baseline, which says the same of
every row, and on the training rows the metrics of the best network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastbp.pictures.page import SERIES, apart, page, rule, short, write
from fastbp.pictures.scale import Scale, whole_ticks

WIDTH, HEIGHT = 820, 290
LEFT, RIGHT, TOP, BOTTOM = 70, 230, 40, 52
LETTERS = 34  # of a label
GAP = 15.0  # between the baselines of two labels
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Beside:
    """What is drawn beside the curves.

    Attributes
    ----------
    best : int, optional
        The best epoch, from 1.
    baseline : dict of str to float
        Loss and metrics of a network that says the same of every row.
    training : dict of str to float
        Metrics of the best epoch's network on the training rows.
    """

    best: int | None = None
    baseline: Mapping[str, float] | None = None
    training: Mapping[str, float] | None = None


def curves(rows: Sequence[Row], beside: Beside | None = None, title: str = "") -> str:
    """An SVG with a panel of losses, one of metrics between 0 and 1, and one for each other metric."""
    beside = beside or Beside()
    panels = panels_of(rows)
    body = []
    for i, names in enumerate(panels):
        body += _panel(rows, names, i * HEIGHT, beside)
    return page(WIDTH, HEIGHT * len(panels), title or "Loss and metrics by epoch", body)


def panels_of(rows: Sequence[Row]) -> list[list[str]]:
    """The names of each panel."""
    names = [name for name in (rows[0] if rows else {"loss": None}) if name not in ("epoch", "lr")]
    losses = [name for name in names if name in ("loss", "val_loss")]
    metrics = [name for name in names if name not in losses]
    shares = [name for name in metrics if all(0.0 <= value <= 1.0 for value in _values(rows, [name]))]
    return [losses, *([shares] if shares else []), *([name] for name in metrics if name not in shares)]


def _values(rows: Sequence[Row], names: Sequence[str]) -> list[float]:
    return [row[name] for row in rows for name in names if there(row.get(name))]


def there(value: Any) -> bool:
    """Whether it is a finite number."""
    return value is not None and math.isfinite(value)


def _plain(name: str) -> str:
    return name.removeprefix("val_")


TITLES = {"r2": "R²", "mse": "MSE", "rmse": "RMSE", "mae": "MAE", "mape": "MAPE", "roc_auc": "ROC AUC"}


def _titled(name: str) -> str:
    return TITLES.get(name, name.replace("_", " "))


def said(value: float) -> str:
    """A number beside a curve."""
    return f"{value:.4g}"


def _panel(rows: Sequence[Row], names: list[str], top: int, beside: Beside) -> list[str]:
    losses = names[:1] == ["loss"]
    training = {} if losses else beside.training or {}
    of_training = {n: v for n, v in training.items() if f"val_{n}" in names and there(v)}
    against = {n: v for n, v in (beside.baseline or {}).items() if n in {_plain(name) for name in names} and there(v)}
    alone = next(iter(against.values())) if len(against) == 1 else None
    scale = Scale.of([*_values(rows, names), *of_training.values()], losses, alone)
    last, bottom, right = len(rows), top + HEIGHT - BOTTOM, WIDTH - RIGHT

    def x(epoch: int) -> float:
        return LEFT + (right - LEFT) * ((epoch - 1) / (last - 1) if last > 1 else 0.5)

    def y(value: float) -> float:
        return bottom - (bottom - top - TOP) * scale.at(value)

    what = "Loss" if losses else ", ".join(_titled(name) for name in dict.fromkeys(map(_plain, names)))
    out = [write(LEFT, top + 22, what[:1].upper() + what[1:], more=' font-size="14" font-weight="600"')]
    for tick in scale.ticks():
        out += [rule(LEFT, y(tick), right, y(tick)), write(LEFT - 8, y(tick) + 4, said(tick), "soft", "end")]
    for epoch in whole_ticks(last):
        out.append(rule(x(epoch), bottom, x(epoch), bottom + 4, "axis"))
        out.append(write(x(epoch), bottom + 18, str(epoch), "soft", "middle"))
    middle = (top + TOP + bottom) / 2
    out.append(rule(LEFT, bottom, right, bottom, "axis"))
    out.append(write((LEFT + right) / 2, bottom + 38, "epoch", "soft", "middle"))
    axis = "loss" if losses else _titled(_plain(names[0])) if len(names) == 1 else "metric"
    axis += ", logarithmic" if scale.log else ""
    out.append(write(18, middle, axis, "soft", "middle", f' transform="rotate(-90 18 {middle:.1f})"'))
    if beside.best is not None and 1 <= beside.best <= last:
        at = x(beside.best)
        out.append(rule(at, top + TOP - 6, at, bottom, "axis", ' stroke-dasharray="2 3"'))
        side = "end" if at > (LEFT + right) / 2 else "start"
        out.append(write(at, top + TOP - 9, f"best epoch {beside.best}", "soft", side))
    labels: list[tuple[float, str, str]] = []
    for name, value in against.items():
        called = "baseline" if len(against) == 1 else f"{name} baseline"
        inside = value in scale
        place = y(value) if inside else (bottom if value < scale.low else float(top + TOP))
        if inside:
            out.append(rule(LEFT, place, right, place, "axis", ' stroke-dasharray="7 4"'))
        where = "" if inside else " ↓" if value < scale.low else " ↑"
        labels.append((place, f"{called} {said(value)}{where}", "soft"))
    for i, name in enumerate(names):
        color = f"s{i % SERIES}"
        out += _curve([(x(r + 1), y(row[name]) if there(row.get(name)) else None) for r, row in enumerate(rows)], color)
        ends = [row[name] for row in rows if there(row.get(name))]
        if ends:
            labels.append((y(ends[-1]), f"{name} {said(ends[-1])}", f"{color}fill"))
        if beside.best is not None and 1 <= beside.best <= last and there(rows[beside.best - 1].get(name)):
            place = y(rows[beside.best - 1][name])
            out.append(f'<circle cx="{x(beside.best):.1f}" cy="{place:.1f}" r="3.5" class="{color}fill"/>')
        reached = of_training.get(_plain(name))
        if reached is not None and beside.best is not None:
            a, b = x(beside.best), y(reached)
            diamond = f"M{a:.1f},{b - 5:.1f} l5,5 l-5,5 l-5,-5 z"
            out.append(f'<path d="{diamond}" class="{color}" fill="none" stroke-width="1.6"/>')
            labels.append((b, f"◇ training rows {said(reached)}", f"{color}fill"))
    places = apart([place + 4 for place, _, _ in labels], GAP, top + TOP, bottom + 4)
    out += [
        write(right + 10, place, short(text, LETTERS), kind)
        for place, (_, text, kind) in zip(places, labels, strict=True)
    ]
    return out


def _curve(points: list[tuple[float, float | None]], color: str) -> list[str]:
    """A line through what is there, interrupted where nothing is."""
    parts: list[list[str]] = [[]]
    for a, b in points:
        if b is None:
            parts.append([])
        else:
            parts[-1].append(f"{a:.1f},{b:.1f}")
    out = []
    for part in parts:
        if len(part) == 1:
            left, _, down = part[0].partition(",")
            out.append(f'<circle cx="{left}" cy="{down}" r="2.5" class="{color}fill"/>')
        elif part:
            points_of = " ".join(part)
            out.append(f'<polyline points="{points_of}" fill="none" class="{color}" stroke-width="1.8"/>')
    return out
