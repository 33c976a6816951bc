"""What all pictures share: a page with its colours, light or dark as the reader's screen is, and its letters.

Colours differ in lightness as well as in hue, so that they are told apart without seeing red or green, and in print.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

SERIES = 6  # colours of curves, s0 to s5; their classes end in `fill` where an area has them
_LIGHT = ("#0072b2", "#c44e00", "#00785a", "#a8407e", "#7a5c00", "#3b3b3b")
_DARK = ("#5ab4f0", "#ff9a4d", "#3ecf9f", "#f08cc4", "#e3c34a", "#d0d0d0")
_TONES = {  # class -> what it is, in light and in dark
    "page": ("fill", "#ffffff", "#14181d"),
    "ink": ("fill", "#1a1a1a", "#ececec"),
    "soft": ("fill", "#5a5a5a", "#a9b0b8"),
    "grid": ("stroke", "#e4e4e4", "#2c333b"),
    "axis": ("stroke", "#8a8a8a", "#7b848e"),
    "edge": ("stroke", "#666666", "#9aa3ad"),
    "head": ("fill", "#666666", "#9aa3ad"),
    "heat": ("fill", "#0072b2", "#3f97d6"),
    "onheat": ("fill", "#ffffff", "#ffffff"),
    "plain": ("fill", "#ffffff", "#1d232a"),
    "weights": ("fill", "#dbe9f6", "#1d3a52"),
    "function": ("fill", "#dff0e4", "#1e4030"),
    "norm": ("fill", "#f8ebd4", "#4a3a1c"),
    "noise": ("fill", "#ececec", "#333a42"),
    "gate": ("fill", "#f4e1ee", "#4a2a42"),
    "warm": ("fill", "#a8321e", "#ff9a80"),
}
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif"


def _rules(at: int) -> str:
    colours = (_LIGHT, _DARK)[at]
    rules = [f".fastbp .{name}{{{what[0]}:{what[1 + at]}}}" for name, what in _TONES.items()]
    for i, colour in enumerate(colours):
        rules.append(f".fastbp .s{i}{{stroke:{colour}}}.fastbp .s{i}fill{{fill:{colour}}}")
    return "".join(rules)


STYLE = f"<style>{_rules(0)}@media(prefers-color-scheme:dark){{{_rules(1)}}}</style>"


def page(width: float, height: float, title: str, body: Sequence[str]) -> str:
    """A whole SVG."""
    size = f'width="{width:.0f}" height="{height:.0f}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width:.0f} {height:.0f}" class="fastbp"'
        f' role="img" font-family="{FONT}" font-size="12">\n<title>{clean(title)}</title>'
    )
    return "\n".join([head, STYLE, f'<rect {size} class="page"/>', *body, "</svg>"]) + "\n"


def clean(text: str) -> str:
    """A text as it may stand in XML: without control characters, escaped."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in text))


def write(x: float, y: float, text: str, kind: str = "ink", anchor: str = "start", more: str = "") -> str:
    """A line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}"{more}>{clean(text)}</text>'


def rule(x0: float, y0: float, x1: float, y1: float, kind: str = "grid", more: str = "") -> str:
    """A straight line."""
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" class="{kind}"{more}/>'


def short(text: str, most: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near to those wanted as may be, in their order, `gap` apart, within `low` and `high` if they fit."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    found = list(wanted)
    floor = low
    for i in order:
        floor = found[i] = max(found[i], floor)
        floor += gap
    ceiling = high
    for i in reversed(order):
        ceiling = found[i] = min(found[i], ceiling)
        ceiling -= gap
    return found
