"""Rows of a table that does not fit into memory, drawn as it is read once, to know its columns by."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.blocks import Block, Texts, blocks, look
from fastbp.data.files import reading_of
from fastbp.data.fitting import SAMPLE, keys, looked_at, most_looked_at
from fastbp.data.frame import Column, Frame, Source, joined
from fastbp.data.streamed import Sources, Told, must_be_enough, origin_of
from fastbp.errors import DataError

Array = NDArray[Any]
ROOM, FALL = 1.35, (4, 5)  # times the rows of the sample that are kept before fewer are, and the share of them then
TWICE = 2  # times the columns, so half the rows that training looks at, whose texts are codes
SHARED = 1 << 14  # different texts of a column of which each is held once; where there are more, few are the same


@dataclass
class _Some:
    """Some rows of a block, their numbers, and the random bits by which they stay."""

    frame: Frame
    numbers: Array
    drawn: Array

    def take(self, rows: Array) -> _Some:
        return _Some(self.frame.take(rows), self.numbers[rows], self.drawn[rows])


def sampled(data: Any, sources: Sources, seed: int, told: Told) -> tuple[Frame, int]:
    """The rows that are looked at, in their order, and how many the table has.

    Those stay whose random bits are below a limit, which falls as rows come.
    """
    files = [file for _, names in sources for file in names]
    found = look(files[0], data, reading_of(data))
    must_be_enough(data, len(found.names))
    columns = TWICE * len(found.names)
    most, limit = most_looked_at(columns), 1 << 64
    sizes = [os.path.getsize(file) for file in files]
    kept: list[_Some] = []
    texts: dict[str, dict[Any, Any]] = {}
    ends, rows = [0], 0
    for at, file in enumerate(files):
        for block in blocks(file, data, found):
            numbers = np.arange(rows, rows + len(block))
            kept.append(_below(block, numbers, keys(numbers.astype(np.uint64), seed, SAMPLE), limit, texts))
            rows += len(block)
            if sum(len(some.numbers) for some in kept) > ROOM * most:
                limit = limit * FALL[0] // FALL[1]
                kept = [some.take(np.flatnonzero(some.drawn < np.uint64(limit))) for some in kept]
            told.pass_("reading", (sum(sizes[:at]) + block.done) / max(sum(sizes), 1), rows)
        ends.append(rows)
    if not rows:
        raise DataError(f"{origin_of(sources)}: must have rows")
    looked = looked_at(rows, columns, seed)
    kept = [some.take(np.flatnonzero(np.isin(some.numbers, looked))) for some in kept]
    frame = joined([some.frame for some in kept])
    places = [Source(file, end - first, None) for file, first, end in zip(files, ends, ends[1:], strict=False)]
    return replace(frame, origin=origin_of(sources), rows=looked, sources=places), rows


def _below(block: Block, numbers: Array, drawn: Array, limit: int, texts: dict[str, dict[Any, Any]]) -> _Some:
    """The rows of a block whose bits are below a limit; equal `texts` of all blocks are held once."""
    rows = np.flatnonzero(drawn < np.uint64(limit)) if limit < 1 << 64 else np.arange(len(drawn))
    columns = {}
    for name, one in block.columns.items():
        if isinstance(one, Texts):
            known, values = texts.setdefault(name, {}), Texts(name, one.codes[rows], one.values).column().values
            if len(known) <= SHARED:
                values = np.array([known.setdefault(text, text) for text in values.tolist()], object)
            columns[name] = Column(name, values)
        else:
            columns[name] = one.with_values(one.values[rows])
    return _Some(Frame(None, columns, block.file), numbers[rows], drawn[rows])
