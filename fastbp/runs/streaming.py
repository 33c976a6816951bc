"""Predictions for tables that do not fit into memory: block by block, from the rows of a file to those of another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastbp.config.schema import Data
from fastbp.data.blocks import Look, blocks, look
from fastbp.data.sizes import limit_of
from fastbp.data.streamed import must_do, sources_of, streams
from fastbp.data.unseen import Unseen, joined
from fastbp.data.written import Written
from fastbp.errors import ConfigError, DataError
from fastbp.runs.prediction import Model
from fastbp.runs.tables import Predictions

WORDS = "where rows do not fit into memory"


def streaming(model: Any, files: Sequence[str], settings: dict[str, Any], max_memory: str | None) -> list[str] | None:
    """The files whose rows are to be read block by block; None where they are to be in memory."""
    if not isinstance(model, Model) or "-" in files:
        return None
    data = Data(**{**settings, "path": list(files), "max_memory": max_memory})
    try:
        limit_of(data)
        sources = None if sources_of(data) is None else streams(data)
        if sources is not None:
            must_do(data)
    except ConfigError as error:
        raise error.at(where="--max-memory") from None
    return None if sources is None else sources[0][1]


class Blocks:
    """The predictions for some files, block by block.

    Attributes
    ----------
    unseen : list of Unseen
        What training did not see, said at the end.
    """

    def __init__(
        self,
        model: Model,
        files: Sequence[str],
        settings: dict[str, Any],
        keep: bool,
        probabilities: bool,
        strict: bool,
    ) -> None:
        self.model, self.files, self.keep, self.probabilities, self.strict = model, files, keep, probabilities, strict
        self.data = Data(**settings)
        self.unseen: list[Unseen] = []
        if keep:
            written = {(tuple(one.names), one.dialect) for one in map(self._look, files)}
            if len(written) > 1 or None in next(iter(written)):
                raise DataError(f"`--keep` must be given with files of text that are written alike {WORDS}")

    def _look(self, file: str) -> Look:
        return look(file, self.data, self.model.reading, self.keep)

    def __iter__(self) -> Iterator[Predictions]:
        rows = 0
        for number, file in enumerate(self.files):
            found = self._look(file)
            for at, block in enumerate(blocks(file, self.data, found, self.keep)):
                frame = block.frame()
                frame.blank = "an empty field or `NA`"
                new: list[Unseen] = []
                columns = self.model.predict(frame, self.probabilities, self.strict, new)
                rows += len(frame)
                self.unseen = joined([*self.unseen, *new], rows)
                for one in frame.written:
                    if isinstance(one, Written) and not number and not at:
                        one.head, one.mark = found.head, found.mark
                yield Predictions(columns, frame.written)
        name = self.files[0] + (f" and {len(self.files) - 1} more" if len(self.files) > 1 else "")
        self.model.recipe.tell(joined(self.unseen, rows), name)


def csv(found: Blocks, quote_formulas: bool) -> Iterator[str]:
    """The pieces of a CSV file."""
    for number, table in enumerate(found):
        yield from table.csv(quote_formulas, head=not number)


def jsonl(found: Blocks) -> Iterator[str]:
    """The pieces of a file of JSON lines."""
    if found.keep:
        raise DataError(f"`--keep` must be given with CSV {WORDS}")
    for table in found:
        yield from table.jsonl()


def write_typed(found: Blocks, file: Any, ending: str) -> None:
    """Write NPZ, whose columns are in memory, Parquet or Arrow."""
    if found.keep:
        raise DataError(f"`--keep` must be given with CSV {WORDS}")
    if ending == ".npz":
        parts = [table.arrays() for table in found]
        np.savez(file, **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})  # type: ignore[arg-type]
        return
    from polars.io.plugins import register_io_source

    tables = iter(found)
    first = next(tables).frame()

    def read(*words: Any) -> Iterator[Any]:
        yield first
        for table in tables:
            yield table.frame()

    lazy = register_io_source(read, schema=first.schema)
    lazy.sink_parquet(file) if ending == ".parquet" else lazy.sink_ipc(file)
