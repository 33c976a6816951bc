"""A table as it is written, for copies that change nothing in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fastbp.data.dialect import Dialect

PIECE = 1 << 20  # characters


@dataclass
class Written:
    """The rows of a file as texts, with their quotes and line ends.

    Attributes
    ----------
    names : list of str
        The columns.
    dialect : Dialect
    head : str
        The header, with the blank lines before it; empty where there is none.
    mark : str
        The byte order mark.
    tail : str
        Blank lines after the last row.
    """

    names: list[str]
    dialect: Dialect
    head: str
    mark: str = ""
    tail: str = ""
    pieces: list[bytes] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, row: str) -> None:
        """Add the text of a row, with the blank lines before it."""
        self.last.append(row)
        self.size += len(row)
        if self.size > PIECE:
            self._pack()

    def _pack(self) -> None:
        self.pieces.append("\0".join(self.last).encode())
        self.last, self.size = [], 0

    def rows(self) -> Iterator[str]:
        """The text of each row."""
        for piece in self.pieces:
            yield from piece.decode().split("\0")
        yield from self.last

    def fields(self) -> Iterator[list[str]]:
        """The fields of each row, without their quotes."""
        delimiter, quote = self.dialect.delimiter, self.dialect.quote
        for row in self.rows():
            for found in csv.reader(io.StringIO(row, newline=""), delimiter=delimiter, quotechar=quote):
                if found and (len(found) > 1 or not found[0].isspace()):
                    yield found


@dataclass
class Typed:
    """The columns of a file that has types: arrays, or series of Polars."""

    columns: dict[str, Any]

    @property
    def names(self) -> list[str]:
        return list(self.columns)
