"""The first line of a table of text: the names of its columns, or a row that stands in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastbp.data.columns import FALSE, TRUE, Column, is_number
from fastbp.data.moments import are_moments
from fastbp.errors import DataError, visible

FEW = 20  # different texts up to which a column is expected to repeat what its first row has
UNNAMED = "give it a name in the first line; pandas writes no index with `index=False`"


def names_of(fields: Sequence[str], place: str) -> list[str]:
    """The names in a first line, without the spaces around."""
    names: dict[str, None] = {}
    some = any(is_number(field.strip()) for field in fields)
    hint = "if the first line is a row, set `data.header` to false" if some else None
    for i, field in enumerate(fields):
        name = field.strip()
        if not name:
            raise DataError(
                f"{place}: every column must have a name, but column {i + 1} has none", hint=hint or UNNAMED
            )
        if name in names:
            raise DataError(
                f"{place}: column names must be unique, got `{visible(name)}` twice",
                hint=hint or f"rename one `{visible(name)}` in the first line",
            )
        names[name] = None
    return list(names)


def is_row(columns: Mapping[str, Column]) -> bool:
    """Whether the names of all columns could be values of these, as where a table has no header.

    They are if columns of numbers have numbers above them, columns of dates dates, and columns of a few texts one of
    these. Texts that nearly all differ say nothing.
    """
    some = False
    for name, column in columns.items():
        values = [value for value in column.values.tolist() if value is not None]
        if not column.is_text:
            fits = is_number(name) or (column.boolean and name in TRUE | FALSE)
        elif name in values:
            fits = True
        elif are_moments([name]):
            fits = are_moments(values)
        else:
            fits = False
            if len(set(values)) > max(FEW, len(values) / 2):
                continue
        if not fits:
            return False
        some = True
    return some
