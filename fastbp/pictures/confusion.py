"""A confusion matrix as SVG: a row for each true class, a column for each predicted one, darker the more of its row."""

from __future__ import annotations

from collections.abc import Sequence

from fastbp.pictures.page import clean, page, short, write
from fastbp.pictures.picture import Picture

LONGEST = 18  # characters of a class
LETTER = 6.6  # width of one


def confusion(names: Sequence[str], counts: Sequence[Sequence[float]], title: str = "Confusion matrix") -> Picture:
    """The picture of a matrix C[true][predicted]."""
    size = len(names)
    cell = next(side for most, side in ((4, 64), (12, 46), (20, 34), (40, 20), (10**9, 12)) if size <= most)
    letters = min(12.0, cell * 0.72)
    labels = [short(name, LONGEST) for name in names]
    longest = max(len(label) for label in labels) * LETTER * letters / 12
    upright = longest > cell - 4
    left, top = 46 + longest, 62 + (longest if upright else 14)
    side = size * cell
    width, height = left + side + 24, top + side + 20
    body = [
        write(16, 24, title, more=' font-size="14" font-weight="600"'),
        write(left + side / 2, 48, "predicted class", "soft", "middle"),
        write(18, top + side / 2, "true class", "soft", "middle", f' transform="rotate(-90 18 {top + side / 2:.1f})"'),
    ]
    small = f' font-size="{letters:.1f}"'
    for i, label in enumerate(labels):
        body.append(write(left - 8, top + (i + 0.5) * cell + letters * 0.35, label, "ink", "end", small))
        x = left + (i + 0.5) * cell
        if upright:
            at = f' transform="rotate(-90 {x + letters * 0.35:.1f} {top - 8:.1f})"'
            body.append(write(x + letters * 0.35, top - 8, label, "ink", "start", small + at))
        else:
            body.append(write(x, top - 8, label, "ink", "middle", small))
    for i, row in enumerate(counts):
        whole = sum(row)
        for j, count in enumerate(row):
            x, y, share = left + j * cell, top + i * cell, count / whole if whole else 0.0
            tip = f"{names[i]} taken for {names[j]}: {count:.6g}"
            shade = f'fill-opacity="{0.04 + 0.96 * share if count else 0:.3f}"'
            box = f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell}" height="{cell}" class="heat grid" {shade}'
            body.append(f"{box}>{_tip(tip)}</rect>")
            said = f"{count:.4g}"
            if count and len(said) * LETTER * letters / 12 <= cell - 2 and cell >= 20:
                kind = "onheat" if share > 0.55 else "ink"
                body.append(write(x + cell / 2, y + cell / 2 + letters * 0.35, said, kind, "middle", small))
    return Picture(page(max(width, 24 + 8 * len(title)), height, title, body))


def _tip(text: str) -> str:
    return f"<title>{clean(text)}</title>"
