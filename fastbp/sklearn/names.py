"""Numbers that name things in the rows of an estimator with a preset, as `fastbp init` finds them in tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastbp.data.goal import MOST_COLUMNS
from fastbp.data.kinds import Kind, kinds_of
from fastbp.data.things import nearly_names, things_of
from fastbp.errors import DataWarning, tell, visible
from fastbp.sklearn.rows import Rows
from fastbp.sklearn.tables import are_categories

HINT = "`categorical_features=None` has numbers stay amounts, and a list names the columns that are categories"
SHOWN = 5  # columns, in a warning


def with_names(estimator: Any, X: Any, rows: Rows) -> tuple[Rows, Any]:
    """The rows, with columns for an array in which some numbers name things; and which columns are categories then."""
    asked, matrix = estimator.categorical_features, rows.frame.matrix
    if not isinstance(asked, str) or asked != "from_dtype" or (matrix is not None and matrix.shape[1] > MOST_COLUMNS):
        return rows, asked
    frame = rows.frame.in_columns()
    typed = are_categories(X, frame) if matrix is None else set()
    kinds = kinds_of(frame, frame.columns)
    for name in typed:  # of whatever they are
        if kinds[name].name == "number" and not frame.columns[name].boolean:
            kinds[name] = Kind("category", kinds[name].about)
    said = [name for name, kind in kinds.items() if kind.name == "category" and nearly_names(frame.columns[name])]
    found = things_of(frame, kinds, rows.goal(), said)
    if not found:
        return rows, asked
    _say(found)
    left_out = None if rows.left_out is None else rows.left_out.in_columns()
    return replace(rows, frame=frame, left_out=left_out), [
        name for name in frame.columns if name in typed or name in found
    ]


def _say(found: dict[str, tuple[float, float] | None]) -> None:
    """Say which columns of numbers name things, and why."""
    told = [
        f"`{visible(name)}` by the word in its name"
        if one is None
        else f"`{visible(name)}` as the same number tells {one[0]:.3f} of y, neighbouring ones {max(0.0, one[1]):.3f}"
        for name, one in list(found.items())[:SHOWN]
    ]
    more = f"; and {len(found) - SHOWN:,} more" * (len(found) > SHOWN)
    tell(DataWarning(f"X: numbers are taken for names of things: {'; '.join(told)}{more}", HINT))
