"""What is fitted to the training rows of a table that does not fit into memory.

Where all rows are few enough to be looked at, all is as it would be in memory. Of more, a part of a row, and whether it
is looked at, is a pure function of seed and row number; exact are means, deviations, extremes and counts of categories,
and to the sample are fitted quantiles, medians, dates and words, and what the columns are.

Quantiles of n rows of a sample are, with 95 %, all within √(log 40 / 2n) of their rank: 0.14 % for a million.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.categories import Category, settle
from fastbp.data.frame import Frame
from fastbp.data.gathered import Gathered
from fastbp.data.inputs import Inputs
from fastbp.data.numbers import Numbers
from fastbp.data.outputs import Outputs, ordered
from fastbp.data.prepare import divided
from fastbp.data.shards import CELLS, Shards
from fastbp.data.unseen import Keys
from fastbp.errors import ConfigError, DataError, visible
from fastbp.numerics.draws import word
from fastbp.numerics.philox import words
from fastbp.numerics.splits import PARTS, SPLIT

Array = NDArray[Any]
SAMPLE = 13  # purpose of the random numbers
LOOKED = 1 << 23  # numbers that are looked at, 64 MiB
MOST = 1_000_000  # rows of these
STEP = 1 << 18  # rows that are done together
SAID = "must be false where rows do not fit into memory, as parts of rows are drawn row by row"


def keys(numbers: Array, seed: int, purpose: int) -> Array:
    """64 random bits of each number, of 64 bits."""
    counter = np.zeros((4, len(numbers)), np.uint64)
    counter[0], counter[1] = numbers & np.uint64(0xFFFFFFFF), numbers >> np.uint64(32)
    counter[3] = purpose
    drawn = words(counter, (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF))
    return np.asarray(drawn[0] << np.uint64(32) | drawn[1])


def most_looked_at(columns: int) -> int:
    """How many rows of so many columns are looked at, about: a million, fewer of more than eight columns."""
    return max(20_000, min(MOST, LOOKED // max(columns, 1)))


def looked_at(rows: int, columns: int, seed: int) -> Array:
    """The numbers of the rows that are looked at: all, or as many as these are."""
    most = most_looked_at(columns)
    if rows <= most:
        return np.arange(rows)
    limit = np.uint64((most << 64) // rows)
    steps = ((first, min(first + STEP, rows)) for first in range(0, rows, STEP))
    drawn = (keys(np.arange(first, end, dtype=np.uint64), seed, SAMPLE) < limit for first, end in steps)
    return np.concatenate([number * STEP + np.flatnonzero(some) for number, some in enumerate(drawn)])


def parts_of(table: Gathered, looked: Frame, data: Any, seed: int, targets: list[str], task: str) -> Array:
    """Which of the parts each row is in, by its place in `PARTS`."""
    out = np.zeros(len(table), np.uint8)
    at, said, first_seed = 0, data.split, seed if data.split.seed is None else data.split.seed
    given = {part for part, _ in table.given}
    for part, rows in table.given:
        out[at : at + rows] = PARTS.index(part or "train")
        whole = part is None or (part == "train" and "validation" not in given)
        if whole and (said.column or said.folds or said.validation > 0.0 or (part is None and said.test > 0.0)):
            mine = type(said)(**{f: getattr(said, f) for f in said.__struct_fields__})
            if "test" in given:
                mine.test = 0.0
            if len(looked) == len(table):
                frame = looked if part is None else looked.take(np.arange(at, at + rows))
                for name, numbers in divided(frame, data, seed, targets, task, mine).items():
                    out[numbers.rows] = PARTS.index(name)
            elif said.column is not None:
                out[at : at + rows] = _said(table, at, rows, said.column)
            else:
                out[at : at + rows] = _drawn(table, at, rows, mine, first_seed)
        at += rows
    if not (out == 0).any():
        raise DataError("data.split", f"must leave rows in every part, but `train` gets none of {len(out)} rows")
    return out


def _said(table: Gathered, at: int, rows: int, name: str) -> Array:
    """The parts that a column says."""
    kept, out = table.named(name), np.zeros(rows, np.uint8)
    known = np.array([len(PARTS), *(PARTS.index(v) if v in PARTS else len(PARTS) for v in kept.values)], np.uint8)
    for first in range(0, rows, STEP):
        end = min(first + STEP, rows)
        raw = table.raw(name, at + first, at + end)
        here = known[raw] if kept.kind == "text" else np.full(len(raw), len(PARTS), np.uint8)
        if (here == len(PARTS)).any():
            row = at + first + int(np.argmax(here == len(PARTS)))
            frame = table.frame(row, row + 1)
            text = frame.texts(name)[0]
            must = f"column `{visible(name)}` must be `train`, `validation` or `test`"
            raise DataError(f"{frame.place(0)}{must}, got {'none' if text is None else f'`{visible(text)}`'}")
        out[first:end] = here
    return out


def _drawn(table: Gathered, at: int, rows: int, said: Any, seed: int) -> Array:
    """The parts of rows that are drawn one by one, or group by group."""
    if said.stratify:
        raise ConfigError("data.split.stratify", SAID, "true")
    out = np.zeros(rows, np.uint8)
    of_group: Any = None
    if said.group is not None:
        kept = table.named(said.group)
        if kept.kind == "text":
            key = Keys(kept.values)
            of_group = np.array([word(seed, SPLIT, text) for text in ["", *map(key, kept.values)]], np.uint64)
    for first in range(0, rows, STEP):
        end = min(first + STEP, rows)
        if said.group is None:
            bits = keys(np.arange(first, end, dtype=np.uint64), seed, SPLIT)
        else:
            raw = table.raw(said.group, at + first, at + end)
            bits = keys(_bits(raw), seed, SPLIT) if of_group is None else of_group[raw]
        place = bits.astype(np.float64) * 2.0**-64
        held = place >= 1.0 - said.test
        if said.folds is not None:
            inner = np.minimum(np.floor(place / (1.0 - said.test) * said.folds), said.folds - 1)
            chosen = (inner == said.fold) & ~held
        else:
            chosen = (place >= 1.0 - said.test - said.validation) & ~held
        out[first:end] = np.where(held, 2, np.where(chosen, 1, 0))
    return out


def _bits(raw: Array) -> Array:
    """The bits of numbers or dates, the same where they are equal or missing."""
    if raw.dtype.kind == "f":
        raw = np.where(np.isnan(raw), np.nan, raw) + 0.0
    return raw.view(np.uint64)


class TrainColumn(Shards):
    """The training rows of a column of numbers, read block by block."""

    def __init__(self, table: Gathered, name: str, parts: Array, sample: Array) -> None:
        self.table, self.name, self.parts, self.sample = table, name, parts, sample[:, None]
        counts = [np.count_nonzero(parts[first : first + STEP] == 0) for first in range(0, len(parts), STEP)]
        self.before = np.concatenate([[0], np.cumsum(counts)])
        self.shape, self.dtype = (int(self.before[-1]), 1), np.dtype(np.float64)

    def read(self, first: int, end: int) -> Array:
        """Training rows `first` to `end` - 1."""
        out, end = [], min(end, len(self))
        at = int(np.searchsorted(self.before, first, "right")) - 1
        while at < len(self.before) - 1 and self.before[at] < end:
            low, high = at * STEP, min((at + 1) * STEP, len(self.parts))
            rows = self.table.raw(self.name, low, high)[self.parts[low:high] == 0]
            out.append(rows[max(0, first - self.before[at]) : end - self.before[at]])
            at += 1
        return np.concatenate(out)[:, None]


class Stream(Frame):
    """The training rows that are looked at; columns of numbers are those of all."""

    table: Gathered
    parts: Array

    @classmethod
    def of(cls, sample: Frame, table: Gathered, parts: Array) -> Stream:
        found = cls(None, sample.columns, sample.origin, sample.lines, sample.rows, sample.sources)
        found.table, found.parts = table, parts
        return found

    def numbers(self, name: str, target: bool = False) -> Any:
        kept = self.table.named(name)
        found = super().numbers(name, target)
        if kept.kind != "number":  # texts that are numbers, which are fitted to the sample
            return found
        return _Upright(TrainColumn(self.table, name, self.parts, found))

    def counts(self, name: str) -> tuple[Counter[str], int]:
        """How often each text of a column is there, and the rows."""
        kept, rows = self.table.named(name), int(np.count_nonzero(self.parts == 0))
        if kept.kind != "text":
            texts = [text for text in self.texts(name).tolist() if text is not None]
            return Counter(texts), len(self)
        found = np.zeros(len(kept.values) + 1, np.int64)
        for first in range(0, len(self.parts), STEP):
            codes = self.table.raw(name, first, min(first + STEP, len(self.parts)))
            found += np.bincount(codes[self.parts[first : first + STEP] == 0], minlength=len(found))
        return Counter(
            {text: count for text, count in zip(kept.values, found[1:].tolist(), strict=True) if count}
        ), rows


class _Upright:
    """What `[:, None]` makes a matrix of one column."""

    def __init__(self, column: TrainColumn) -> None:
        self.column = column

    def __getitem__(self, key: Any) -> TrainColumn:
        return self.column


def fit_inputs(inputs: Inputs, stream: Stream) -> None:
    """`Inputs.fit` to more rows than are looked at."""
    for part in inputs.parts:
        if isinstance(part, Category):
            part.fit_counts(*stream.counts(part.name))
        elif isinstance(part, Numbers):
            part.fit(stream)
        else:
            part.fit(Frame(None, stream.columns, stream.origin, stream.lines, stream.rows, stream.sources))
    settle(inputs.categories, int(np.count_nonzero(stream.parts == 0)))
    if inputs.width == 0:
        raise DataError(f"{stream.origin}: there must be a column to predict from")


def fit_outputs(outputs: Outputs, stream: Stream, scaled: bool, clamped: bool) -> None:
    """`Outputs.fit` to more rows than are looked at."""
    looked = Frame(None, stream.columns, stream.origin, stream.lines, stream.rows, stream.sources)
    if outputs.task == "classes" and stream.table.named(outputs.columns[0]).kind == "text":
        outputs.fit(looked, scaled, clamped)
        counts, _ = stream.counts(outputs.columns[0])
        outputs.names = ordered(set(map(Keys(set(counts)), counts)))
        return
    if outputs.task == "classes":
        _numbered(outputs, stream)
        return
    outputs.fit(looked, scaled, clamped)
    if outputs.task != "numbers":
        return
    for i, name in enumerate(outputs.columns):
        column, transform = TrainColumn(stream.table, name, stream.parts, looked.numbers(name)), outputs.transforms[i]
        low, high, total, squares = np.inf, -np.inf, 0.0, 0.0
        for first in range(0, len(column), CELLS):
            values = column.read(first, first + CELLS)[:, 0]
            _there(values, stream, name)
            transform.check(values, looked, name)
            low, high = min(low, float(values.min())), max(high, float(values.max()))
            total += float(transform.forward(values).sum())
        mean = total / len(column)
        if scaled:
            for first in range(0, len(column), CELLS):
                squares += float(np.square(transform.forward(column.read(first, first + CELLS)[:, 0]) - mean).sum())
            deviation = float(np.sqrt(squares / len(column)))
            if not np.isfinite(deviation):
                must = f"target `{visible(name)}` must have numbers whose spread is finite"
                raise DataError(f"{stream.origin}: {must}, got `{max(low, high, key=abs):g}`")
            outputs.center[i], outputs.spread[i] = mean, deviation if deviation > 0.0 else 1.0
        if clamped:
            outputs.low[i], outputs.high[i] = low, high


def _numbered(outputs: Outputs, stream: Stream) -> None:
    """Classes that are numbers, of which every row may have a new one."""
    name, known = outputs.columns[0], set[float]()
    column = TrainColumn(stream.table, name, stream.parts, np.zeros(0))
    for first in range(0, len(column), CELLS):
        values = column.read(first, first + CELLS)[:, 0]
        _there(values, stream, name)
        known |= set(np.unique(values).tolist())
    kept = stream.table.named(name).column(np.array(sorted(known)))
    outputs.fit(Frame(None, {name: kept}, stream.origin), False)


def _there(values: Array, stream: Stream, name: str) -> None:
    if not np.isfinite(values).all():
        gone = np.isnan(values).any()
        must = "have a value in every row" if gone else "be finite"
        hint = "`data.missing_target: drop` leaves out rows without a target" if gone else None
        raise DataError(f"{stream.origin}: target `{visible(name)}` must {must}", hint=hint)
