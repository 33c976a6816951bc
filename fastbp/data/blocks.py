"""Tables in blocks of rows, one after another, whatever their length.

What a column is, is found in the first rows of the first file, 8 MiB of text at most; then every block is read so. No
number depends on where a block ends. CSV is read by Polars where it is installed and reads what our own rules read;
blocks in which anything is unusual are read by these.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.columns import MISSING, Column, Reading
from fastbp.data.csv_files import LINE, SAMPLE, UTF_16, read_csv, read_rows
from fastbp.data.dialect import Dialect, checked_encoding, dialect_of
from fastbp.data.files import FRAMES, TABLES, files_of, suffix_of
from fastbp.data.frame import Frame, other_columns
from fastbp.data.polars_files import polars_column, scanned, shape_of
from fastbp.data.streams import stream
from fastbp.errors import DataError

Array = NDArray[Any]
CHUNK = 1 << 23  # bytes of text
ROWS, FIELDS = 1 << 16, 1 << 21  # of a block of a file with types, at most


@dataclass
class Texts:
    """A column of texts: `values`, each once, and for each row 1 + its place there, 0 where missing."""

    name: str
    codes: Array
    values: list[str]

    def column(self) -> Column:
        """The same as texts."""
        return Column(self.name, np.array([None, *self.values], object)[self.codes])


@dataclass
class Block:
    """Some rows of a file: its columns, the line of each where it has lines, and how much of the file is read.

    `behind` is where the next begins: bytes of text, lines and rows.
    """

    file: str
    columns: dict[str, Column | Texts]
    lines: Array | None
    first: int  # rows of the file before
    done: int  # bytes
    behind: tuple[int, int, int] = (0, 0, 0)
    written: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        one = next(iter(self.columns.values()))
        return len(one.codes if isinstance(one, Texts) else one.values)

    def frame(self) -> Frame:
        """The rows as those of a table."""
        columns = {n: c.column() if isinstance(c, Texts) else c for n, c in self.columns.items()}
        frame = Frame(None, columns, self.file, self.lines, written=self.written)
        if self.lines is None and self.first:  # so that places are those of the file
            frame.rows = np.arange(self.first, self.first + len(self))
        return frame


@dataclass
class Look:
    """What the first rows of a table say of all.

    Attributes
    ----------
    frame : Frame
        These rows.
    reading : Reading
        How all of them are read.
    """

    frame: Frame
    reading: Reading
    dialect: Dialect | None = None
    head: str = ""
    mark: str = ""  # the byte order mark

    @property
    def names(self) -> list[str]:
        return list(self.frame.columns)


def rows_of_block(columns: int, most: int) -> int:
    """Rows of a block of so many columns."""
    return max(64, min(most, FIELDS // max(columns, 1)))


def in_blocks(paths: Any) -> list[str] | None:
    """The files that some paths name, if all of them can be read in blocks."""
    files = files_of(paths)
    known = all(suffix_of(file) in (*TABLES, *FRAMES) and Path(file).is_file() for file in files)
    return files if known else None


def look(file: str, data: Any, reading: Reading, keep: bool = False) -> Look:
    """Look at the first rows of a file."""
    if suffix_of(file) in FRAMES:
        batch = next(scanned(file, ROWS), None)
        batch = None if batch is None else batch.head(rows_of_block(batch.width, ROWS))
        if batch is None:
            raise DataError(f"{file}: must have rows")
        frame = Frame(None, {s.name: polars_column(s, file, reading.of_texts()) for s in batch.get_columns()}, file)
        return Look(frame, _settled(frame, reading))
    with _utf8(file, data) as text:
        head, more = text.read(CHUNK), text.read(1)
        mark = "\ufeff" if text.marked else ""
    delimiter = "\t" if "tsv" in suffix_of(file) else data.delimiter
    whole = head
    if more:
        lines = head[:SAMPLE].decode("utf-8", "replace").splitlines()
        whole = head[: _cut(head, dialect_of(lines, True, delimiter, file)) or len(head)]
    frame = read_csv(file, delimiter, data.header, reading, None, True, whole)
    written: Any = frame.written[0]
    frame.written = written if keep else []
    frame.origin = file
    reading = reading.in_semicolons() if written.dialect.delimiter == ";" else reading
    return Look(frame, _settled(frame, reading), written.dialect, written.head, mark)


def _settled(frame: Frame, reading: Reading) -> Reading:
    """How other rows are read, so that their columns are the same."""
    texts = [c.name for c in frame.columns.values() if c.is_text]
    styles = {c.name: c.style for c in frame.columns.values() if c.style is not None}
    return replace(reading, texts=reading.texts | {*texts}, styles={**reading.styles, **styles}, codes=False)


def blocks(
    file: str, data: Any, found: Look, keep: bool = False, begin: tuple[int, int, int] = (0, 0, 0)
) -> Iterator[Block]:
    """The rows of a file, whose columns must be those of the first, from where another block has ended.

    `keep` has blocks have them as they are written.
    """
    typed = suffix_of(file) in FRAMES
    for block in _of_types(file, found, begin) if typed else _of_text(file, data, found, keep, begin):
        if set(block.columns) != set(found.names):
            raise other_columns(file, block.columns, found.frame.origin, found.names)
        if found.reading.missing:
            for name, column in block.columns.items():
                if isinstance(column, Column):
                    block.columns[name] = found.reading.filtered(column)
        yield block


class _Text:
    """The text of a file in UTF-8, without a byte order mark."""

    def __init__(self, file: Any, encoding: str | None, name: str) -> None:
        self.file, self.name, self.marked = file, name, False
        begin = file.peek(3)[:3]
        code = encoding or ("utf-16" if begin[:2] in UTF_16 else "utf-8-sig")
        self.decoder = None if code == "utf-8-sig" else codecs.getincrementaldecoder(code)()
        if self.decoder is None and begin == codecs.BOM_UTF8:
            self.marked = bool(file.read(3))

    def behind(self, size: int) -> bytes:
        """What is read besides when so many bytes are passed over."""
        piece = b""
        while size > 0:
            piece = self.read(min(size, CHUNK))
            if not piece:
                break
            size -= len(piece)
        return piece[len(piece) + size :] if size < 0 else b""

    def read(self, size: int) -> bytes:
        """About so many bytes; none at the end only."""
        if self.decoder is None:
            return bytes(self.file.read(size))
        try:
            while True:
                raw = self.file.read(size)
                text = self.decoder.decode(raw, not raw)
                if text or not raw:
                    return text.encode()
        except UnicodeError:
            raise DataError(f"{self.name}: must be in the encoding that `data.encoding` says") from None


@contextmanager
def _utf8(file: str, data: Any) -> Iterator[_Text]:
    with stream(file) as opened:
        yield _Text(opened, checked_encoding(data.encoding), file)


def _cut(content: bytes, dialect: Dialect) -> int:
    """Behind the last line end that is in no quotes; 0 if there is none."""
    at, quote = content.rfind(b"\n"), dialect.quote.encode()
    if quote not in content:
        return at + 1
    text = np.frombuffer(content, np.uint8)
    quotes = np.flatnonzero(text == quote[0])
    before = text[quotes[::2] - 1]  # those that open a field, or are the second of two inside
    signs = np.frombuffer(dialect.delimiter.encode() + b"\r\n" + quote, np.uint8)
    if not (np.isin(before, signs) | (quotes[::2] == 0)).all():
        return _walked(content, dialect)
    while at >= 0 and np.searchsorted(quotes, at) % 2:
        at = content.rfind(b"\n", 0, at)
    return at + 1


def _walked(content: bytes, dialect: Dialect) -> int:
    """The same where quotes stand within fields, which open nothing."""
    read = [0]

    def lines() -> Iterator[str]:
        for line in io.StringIO(content.decode("utf-8", "surrogateescape"), newline=""):
            read[0] += len(line.encode("utf-8", "surrogateescape"))
            yield line

    end = 0
    try:
        for _ in csv.reader(lines(), delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True):
            if content[read[0] - 1] == ord("\n"):
                end = read[0]
    except csv.Error as error:
        if "end of data" not in str(error):  # who reads the rows says what is wrong
            return content.rfind(b"\n") + 1
    return end


def _of_text(file: str, data: Any, found: Look, keep: bool, begin: tuple[int, int, int]) -> Iterator[Block]:
    header = found if file == found.frame.origin else look(file, data, found.reading)
    names, dialect = header.names, header.dialect
    assert dialect is not None
    size = os.path.getsize(file)
    packed = suffix_of(file).endswith((".gz", ".zst"))
    with _utf8(file, data) as text:
        done, line, rows = begin if any(begin) else (len(header.head.encode()), header.head.count("\n"), 0)
        rest = text.behind(done)
        while True:
            more = text.read(CHUNK)
            content = rest + more
            end = _cut(content, dialect) if more else len(content)
            if more and not end:
                if len(content) > LINE:
                    must = f"{file}:{line + 1}: a line must have at most {LINE >> 20} MiB, got more"
                    raise DataError(must, hint="a quote that is opened must be closed")
                rest = content
                continue
            here, rest = content[:end], content[end:]
            if here:
                block = _fast(here, names, dialect, found, file, line) if not keep else None
                block = block or _own(read_rows(here, names, dialect, found.reading, file, line, keep), file)
                done += len(here)
                block.first, block.done = rows, min(done, size) if not packed else 0
                line += here.count(b"\n")
                rows += len(block)
                block.behind = done, line, rows
                if len(block):
                    yield block
            if not more:
                return


def _own(frame: Frame, file: str) -> Block:
    columns = {n: _coded(c) if c.is_text else c for n, c in frame.columns.items()}
    return Block(file, columns, frame.lines, 0, 0, written=frame.written)


def _coded(column: Column) -> Texts:
    """Texts as codes."""
    places: dict[Any, int] = {None: 0}
    codes = np.array([places.setdefault(v, len(places)) for v in column.values.tolist()], np.int32)
    return Texts(column.name, codes, list(places)[1:])


def _fast(content: bytes, names: list[str], dialect: Dialect, found: Look, file: str, line: int) -> Block | None:
    """A block as Polars reads it; None where it may differ from what we read."""
    try:
        import polars
    except ImportError:
        return None
    looked = found.frame.columns
    numbers = [n for n in names if n in looked and not looked[n].is_text and looked[n].style is None]
    numbers = [n for n in numbers if not looked[n].boolean and n not in found.reading.texts]
    if len(names) < 2 or found.reading.decimal == "," or b"\0" in content or not numbers:
        return None
    schema = {n: polars.Float64 if n in numbers else polars.String for n in names}
    gone = MISSING | found.reading.missing
    words = sorted(gone - {""})
    settings: Any = {"separator": dialect.delimiter, "quote_char": dialect.quote, "null_values": words}
    try:
        table = polars.read_csv(content, has_header=False, schema=schema, **settings)
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException):
        return None
    rows = len(table)
    if content.count(b"\n") + (not content.endswith(b"\n")) != rows or _divided(content, dialect) != rows * (
        len(names) - 1
    ):
        return None
    columns: dict[str, Column | Texts] = {}
    for series in table.get_columns():
        if series.name in numbers:
            values = series.fill_null(float("nan")).to_numpy() if series.null_count() else series.to_numpy()
            columns[series.name] = Column(series.name, values)
        elif series.name in found.reading.texts:
            columns[series.name] = texts_of(series.str.strip_chars(), gone)
        else:
            return None
    return Block(file, columns, np.arange(line + 1, line + 1 + rows), 0, 0)


def _divided(content: bytes, dialect: Dialect) -> int:
    """How many delimiters are in no quotes."""
    sign, quote = dialect.delimiter.encode(), dialect.quote.encode()
    if len(sign) > 1 or quote not in content:
        return content.count(sign)
    text = np.frombuffer(content, np.uint8)
    inside = np.bitwise_xor.accumulate((text == quote[0]).view(np.uint8))
    return int(np.count_nonzero((text == sign[0]) & (inside == 0)))


def texts_of(series: Any, gone: frozenset[str] = frozenset(("",))) -> Texts:
    """A series of Polars as codes."""
    import polars

    unique = series.drop_nulls().unique(maintain_order=True)
    kept = [text for text in unique.to_list() if text not in gone]
    table = polars.DataFrame(
        {"text": kept, "code": np.arange(1, len(kept) + 1, dtype=np.int32)},
        {"text": polars.String, "code": polars.Int32},
    )
    codes = series.rename("text").to_frame().join(table, on="text", how="left", maintain_order="left")["code"]
    return Texts(series.name, codes.fill_null(0).to_numpy().astype(np.int32), kept)


def _of_types(file: str, found: Look, begin: tuple[int, int, int]) -> Iterator[Block]:
    import polars

    looked, rows, size = found.frame.columns, 0, os.path.getsize(file)
    reading = found.reading.of_texts()
    gone = MISSING | found.reading.missing
    total = max(1, shape_of(file)[0])
    for batch in scanned(file, rows_of_block(len(looked), ROWS)):
        if rows < begin[2]:
            batch, skipped = batch.slice(begin[2] - rows), min(len(batch), begin[2] - rows)
            rows += skipped
            if not len(batch):
                continue
        columns: dict[str, Column | Texts] = {}
        for series in batch.get_columns():
            name = series.name
            if name in looked and looked[name].is_text and series.dtype == polars.String:
                columns[name] = texts_of(series.str.strip_chars(), gone)
            else:
                column = polars_column(series, file, reading)
                columns[name] = _coded(column) if column.is_text else column
        rows += len(batch)
        yield Block(file, columns, None, rows - len(batch), size * rows // total, (0, 0, rows))


def sizes(files: Sequence[str]) -> int:
    """Bytes of some files."""
    return sum(os.path.getsize(file) for file in files)
