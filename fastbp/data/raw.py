"""How the table of training was written, stored with the model, so that others are read alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from fastbp.data.columns import Column, Reading, Style
from fastbp.data.stored import Stored

SIGNS = (".", ",")


@dataclass
class Raw:
    """What readers of tables are told.

    Attributes
    ----------
    styles : dict of str to Style
        Columns whose numbers are not written as plain ones.
    missing : list of str
        More texts of missing values.
    decimal : str or None
        The decimal sign of all columns, if it was set.
    drop : bool
        Whether rows without a target are dropped.
    unseen : float
        The share of rows with unseen categories, above the expected one, from which a table is refused.
    """

    styles: dict[str, Style] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    decimal: str | None = None
    drop: bool = False
    unseen: float = 1.0

    @classmethod
    def of(cls, data: Any, columns: Iterable[Column]) -> Raw:
        """From the section `data`, and the columns that were read."""
        styles = {column.name: column.style for column in columns if column.style is not None}
        return cls(styles, list(data.missing_texts), data.decimal, data.missing_target == "drop", data.unseen)

    def reading(self, texts: Iterable[str]) -> Reading:
        """How other tables are read; `texts` are the columns of categories."""
        return Reading(frozenset(texts), self.styles, frozenset(self.missing), self.decimal)

    def to_data(self) -> dict[str, Any]:
        styles = {name: {"decimal": s.decimal, "missing": list(s.missing)} for name, s in self.styles.items()}
        return {key.name: getattr(self, key.name) for key in fields(self)} | {"styles": styles}

    @classmethod
    def from_data(cls, data: Stored) -> Raw:
        """From the result of `to_data`, as stored in a file."""
        found = data.keys(*(f.name for f in fields(cls)))
        styles = {}
        for name, said in found["styles"].entries():
            style = said.keys("decimal", "missing")
            styles[name] = Style(style["decimal"].one_of(SIGNS), tuple(style["missing"].texts()))
        decimal = None if found["decimal"].value is None else found["decimal"].one_of(SIGNS)
        return cls(styles, found["missing"].texts(), decimal, found["drop"].flag(), found["unseen"].share())
