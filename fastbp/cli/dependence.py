"""What `fastbp explain --dependence` prints of a column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastbp.cli.output import table
from fastbp.pictures.page import short


def text(found: dict[str, Any], shown: Sequence[int]) -> str:
    """A line for each value, and for each output that is shown its mean, the band, and how much curves differ."""
    from fastbp.cli.explain import rows_of
    from fastbp.cli.report import LONGEST

    rows = [[short(found["column"], LONGEST), "rows", *_heads(found, shown)]]
    for i, value in enumerate(found["values"]):
        said = "missing" if value is None else value if isinstance(value, str) else f"{value:.6g}"
        cells = [said if value is None else short(said, LONGEST), f"{found['counts'][i]:,}"]
        for k in shown:
            low, mean, high, bend = (_said(found[name][i][k]) for name in ("low", "mean", "high", "bend"))
            cells += [mean, f"{low} to {high}", bend] if len(shown) == 1 else [mean]
        rows.append(cells)
    head = f"predictions by `{found['column']}` on {rows_of(found)}"
    if len(shown) == 1:
        head = f"{short(found['outputs'][shown[0]], 2 * LONGEST)} by `{found['column']}` on {rows_of(found)}"
    more = [f"and {found['more']} more value{'s' * (found['more'] > 1)}"] if found["more"] else []
    return "\n".join([head, "", table(rows), *more])


def _heads(found: dict[str, Any], shown: Sequence[int]) -> list[str]:
    if len(shown) == 1:
        return ["mean", "80 % of rows", "bend"]
    return [short(found["outputs"][k], 18) for k in shown]


def _said(value: float) -> str:
    return f"{value:.4g}"
